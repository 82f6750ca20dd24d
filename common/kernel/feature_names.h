// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_COMMON_KERNEL_FEATURE_NAMES_H_
#define ATTUNE_COMMON_KERNEL_FEATURE_NAMES_H_

#include <cstddef>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

namespace attune {

// The names of a study's features, in the order of every per-feature block: a list, or the voxels of a mask, of which there may
// be millions: their names are made when they are asked for.
class FeatureNames {
 public:
  FeatureNames() = default;
  FeatureNames(std::vector<std::string> names) : count_(names.size()), names_(std::move(names)) {}  // NOLINT: a list is one
  FeatureNames(std::initializer_list<std::string> names) : FeatureNames(std::vector<std::string>(names)) {}
  // "voxel 0" is the mask's first, with x running fastest.
  static FeatureNames Voxels(std::size_t count);

  std::size_t size() const { return count_; }
  bool empty() const { return count_ == 0; }
  bool voxels() const { return names_.empty() && count_ > 0; }
  std::string operator[](std::size_t feature) const;
  // The list; empty for voxels.
  const std::vector<std::string>& names() const { return names_; }

  bool operator==(const FeatureNames&) const = default;

 private:
  std::size_t count_ = 0;
  std::vector<std::string> names_;
};

}  // namespace attune

#endif  // ATTUNE_COMMON_KERNEL_FEATURE_NAMES_H_
