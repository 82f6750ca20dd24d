// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_COMMON_NUMERIC_MEDIAN_H_
#define ATTUNE_COMMON_NUMERIC_MEDIAN_H_

#include <algorithm>
#include <cstddef>
#include <vector>

namespace attune {

// The middle value, or the mean of the two middle ones; 0 of nothing.
inline double Median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : 0.5 * (values[half - 1] + values[half]);
}

}  // namespace attune

#endif  // ATTUNE_COMMON_NUMERIC_MEDIAN_H_
