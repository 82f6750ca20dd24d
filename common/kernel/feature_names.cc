// SPDX-License-Identifier: Apache-2.0
#include "common/kernel/feature_names.h"

#include "absl/strings/str_cat.h"

namespace attune {

FeatureNames FeatureNames::Voxels(std::size_t count) {
  FeatureNames names;
  names.count_ = count;
  return names;
}

std::string FeatureNames::operator[](std::size_t feature) const {
  return names_.empty() ? absl::StrCat("voxel ", feature) : names_[feature];
}

}  // namespace attune
