// SPDX-License-Identifier: Apache-2.0
#include "common/report/selection.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>

namespace attune {

using Eigen::Index;

Selection Select(std::span<const double> effect, Index most, Index most_added, Index sample_from) {
  const auto total = static_cast<Index>(effect.size());
  Selection selection;
  if (total <= most) {
    selection.features.resize(effect.size());
    std::iota(selection.features.begin(), selection.features.end(), Index{0});
    selection.added = sample_from;
    return selection;
  }
  const Index wanted = std::min(most_added, most / 2);
  const Index pool = total - sample_from;
  const Index sampled = std::min(most - wanted, pool);
  std::vector<Index> sample;
  std::vector<bool> taken(effect.size());
  for (Index i = 0; i < sampled; ++i) {
    sample.push_back(sample_from + i * pool / sampled);
    taken[static_cast<std::size_t>(sample.back())] = true;
  }
  std::vector<Index> others;
  for (Index i = 0; i < total; ++i) {
    if (!taken[static_cast<std::size_t>(i)] && !std::isnan(effect[static_cast<std::size_t>(i)])) others.push_back(i);
  }
  const auto last = others.begin() + std::min(wanted, static_cast<Index>(others.size()));
  std::partial_sort(others.begin(), last, others.end(), [&](Index a, Index b) {
    const double of_a = effect[static_cast<std::size_t>(a)];
    const double of_b = effect[static_cast<std::size_t>(b)];
    return of_a != of_b ? of_a > of_b : a < b;
  });
  selection.features.assign(others.begin(), last);
  selection.added = selection.size();
  selection.features.insert(selection.features.end(), sample.begin(), sample.end());
  return selection;
}

}  // namespace attune
