// SPDX-License-Identifier: Apache-2.0
#include "site_agent/imaging/mask.h"

#include <gmock/gmock.h>

#include <limits>

#include "tests/site_agent/imaging/nifti_files.h"

namespace attune::testing {
namespace {

using ::testing::HasSubstr;

TEST_F(NiftiFiles, Mask_RunsAreTheVoxelsThatAreNotZero) {
  NiftiBytes bytes(1, false);
  bytes.Type(4, 16);
  bytes.Slope(2, 0);
  for (const int value : {0, 1, 1, 0, 5, 0, 0, -1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1}) {
    bytes.Append(static_cast<std::int16_t>(value));
  }
  const auto mask = Mask::Open(WriteGzip("mask.nii.gz", {bytes.bytes()}));
  ASSERT_OK(mask);
  EXPECT_EQ(mask->voxels(), 7U);
  std::vector<std::pair<std::uint32_t, std::uint32_t>> runs;
  for (const VoxelRun& run : mask->runs()) runs.emplace_back(run.first, run.count);
  EXPECT_EQ(runs, (std::vector<std::pair<std::uint32_t, std::uint32_t>>{{1, 2}, {4, 1}, {7, 2}, {22, 2}}));
}

// The mask is read in pieces of 4096 voxels; a run goes on from one to the next.
TEST_F(NiftiFiles, Mask_OneRunOverPieces) {
  NiftiBytes bytes(1, false);
  bytes.Type(2, 8);
  bytes.Size({100, 100, 3});
  for (std::size_t i = 0; i < 30000; ++i) bytes.Append(static_cast<std::uint8_t>(i >= 4000 && i < 28000 ? 1 : 0));
  const auto mask = Mask::Open(Write("mask.nii", bytes.bytes()));
  ASSERT_OK(mask);
  ASSERT_EQ(mask->runs().size(), 1U);
  EXPECT_EQ(mask->runs()[0].first, 4000U);
  EXPECT_EQ(mask->runs()[0].count, 24000U);
  EXPECT_EQ(mask->voxels(), 24000U);
}

TEST_F(NiftiFiles, Mask_Errors) {
  NiftiBytes bytes = Float32();
  bytes.Put<float>(352, std::numeric_limits<float>::quiet_NaN());
  EXPECT_THAT(Mask::Open(Write("mask.nii", bytes.bytes())).status(), StatusIs(kInvalid, HasSubstr("NaN")));
  NiftiBytes zeros(1, false);
  for (std::size_t i = 0; i < kVoxels; ++i) zeros.Append(0.0F);
  EXPECT_THAT(Mask::Open(Write("mask.nii", zeros.bytes())).status(), StatusIs(kInvalid, HasSubstr("0 everywhere")));
}

}  // namespace
}  // namespace attune::testing
