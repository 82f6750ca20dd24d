// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_TESTS_SUPPORT_WHOLE_MOMENTS_H_
#define ATTUNE_TESTS_SUPPORT_WHOLE_MOMENTS_H_

#include <map>
#include <mutex>
#include <utility>

#include "common/numeric/moments.h"

namespace attune::testing {

// The moments of all features; of none when the tree has none.
inline Moments WholeMoments(MomentTree&& tree) {
  std::mutex mutex;
  std::map<Eigen::Index, Moments> tiles;
  std::move(tree).Finish([&](Eigen::Index first, const Moments& tile) {
    const std::lock_guard<std::mutex> lock(mutex);
    tiles.emplace(first, tile);
  });
  if (tiles.empty()) return Moments(0, 0, false);
  const Moments& one = tiles.begin()->second;
  const auto& [last, rest] = *tiles.rbegin();
  Moments whole(one.p(), last + rest.features(), one.per_feature);
  whole.subjects = one.subjects;
  for (const auto& [first, tile] : tiles) {
    const Eigen::Index count = tile.features();
    const Eigen::Index design = one.per_feature ? first : 0;
    whole.count.segment(design, tile.count.size()) = tile.count;
    whole.x_mean.middleCols(design, tile.x_mean.cols()) = tile.x_mean;
    whole.xx.middleCols(design, tile.xx.cols()) = tile.xx;
    whole.y_mean.segment(first, count) = tile.y_mean;
    whole.xy.middleCols(first, count) = tile.xy;
    whole.yy.segment(first, count) = tile.yy;
    whole.y_min.segment(first, count) = tile.y_min;
    whole.y_max.segment(first, count) = tile.y_max;
  }
  return whole;
}

}  // namespace attune::testing

#endif  // ATTUNE_TESTS_SUPPORT_WHOLE_MOMENTS_H_
