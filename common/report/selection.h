// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_COMMON_REPORT_SELECTION_H_
#define ATTUNE_COMMON_REPORT_SELECTION_H_

#include <Eigen/Core>
#include <span>
#include <vector>

namespace attune {

// Some of many features: `added`, the most affected of those that the sample does not have, then an even sample.
struct Selection {
  std::vector<Eigen::Index> features;
  Eigen::Index added = 0;

  Eigen::Index size() const { return static_cast<Eigen::Index>(features.size()); }
};

// At most `most` of the features [0, effect.size()), all of them where that is enough. At most half of them, and at most
// `most_added`, are added for the size of their effect (NaN: never). The sample is of the features from `sample_from` on.
Selection Select(std::span<const double> effect, Eigen::Index most, Eigen::Index most_added, Eigen::Index sample_from = 0);

}  // namespace attune

#endif  // ATTUNE_COMMON_REPORT_SELECTION_H_
