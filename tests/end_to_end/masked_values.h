// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_TESTS_END_TO_END_MASKED_VALUES_H_
#define ATTUNE_TESTS_END_TO_END_MASKED_VALUES_H_

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "site_agent/imaging/mask.h"
#include "site_agent/imaging/nifti.h"
#include "tests/support/status_matchers.h"

namespace attune::testing {

// The values of an image's voxels in the mask.
inline std::vector<double> MaskedValues(const std::string& path, const Mask& mask) {
  NiftiImage image;
  EXPECT_OK(ReadNifti(path, &mask.grid(), &image));
  std::vector<double> values(mask.voxels());
  Gather(image, mask.runs(), values);
  return values;
}

// The values of all of its voxels.
inline std::vector<double> AllValues(const std::string& path) {
  NiftiImage image;
  EXPECT_OK(ReadNifti(path, nullptr, &image));
  std::vector<double> values(image.header.grid().voxels());
  const VoxelRun all = {0, static_cast<std::uint32_t>(values.size())};
  Gather(image, {&all, 1}, values);
  return values;
}

}  // namespace attune::testing

#endif  // ATTUNE_TESTS_END_TO_END_MASKED_VALUES_H_
