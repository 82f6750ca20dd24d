// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_COMMON_NUMERIC_MEDIAN_H_
#define ATTUNE_COMMON_NUMERIC_MEDIAN_H_

#include <algorithm>
#include <cstddef>
#include <vector>

namespace attune {

// The middle value, or the mean of the two middle ones; 0 of nothing. Leaves the values in another order.
inline double MedianInPlace(std::vector<double>& values) {
  if (values.empty()) return 0;
  const auto half = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), half, values.end());
  return values.size() % 2 == 1 ? *half : 0.5 * (*std::max_element(values.begin(), half) + *half);
}

inline double Median(std::vector<double> values) { return MedianInPlace(values); }

}  // namespace attune

#endif  // ATTUNE_COMMON_NUMERIC_MEDIAN_H_
