// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_COORDINATOR_SIMULATE_SYNTHETIC_IMAGES_H_
#define ATTUNE_COORDINATOR_SIMULATE_SYNTHETIC_IMAGES_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "coordinator/simulate/split.h"

namespace attune {

// Made-up grey matter maps of 3 sites, 16 people each: an ellipsoid of 26 x 30 x 24 voxels of 6 mm, with a smooth pattern, an
// effect of age, and at each site a smooth shift and a scale of its own. Writes participants.tsv, study.yaml, mask.nii and
// images/*.nii (NIfTI-1, float32) to the folder; the same bytes for the same seed.
absl::Status WriteSyntheticImages(std::uint64_t seed, const std::string& folder);

// The data set that was written there.
DataSet SyntheticImagesIn(const std::string& folder);

}  // namespace attune

#endif  // ATTUNE_COORDINATOR_SIMULATE_SYNTHETIC_IMAGES_H_
