// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "site_agent/imaging/image_data.h"
#include "site_agent/imaging/progress.h"

namespace attune {
namespace {

TEST(HarmonizedImageName, Bids) {
  EXPECT_EQ(HarmonizedImageName("sub-01_desc-gm_T1w.nii.gz"), "sub-01_desc-gmHarmonized_T1w.nii.gz");
  EXPECT_EQ(HarmonizedImageName("a/sub-01_T1w.nii"), "a/sub-01_desc-harmonized_T1w.nii.gz");
  EXPECT_EQ(HarmonizedImageName("sub-01_desc-gm.nii"), "sub-01_desc-gmHarmonized.nii.gz");
  EXPECT_EQ(HarmonizedImageName("brain.nii.gz"), "brain_desc-harmonized.nii.gz");
}

TEST(Progress, Line_TimeLeft) {
  const Progress progress("harmonized", "images", 48);
  EXPECT_EQ(progress.Line(12, absl::Seconds(10)), "harmonized 12 of 48 images, about 30s left");
  EXPECT_EQ(progress.Line(48, absl::Seconds(40)), "harmonized 48 of 48 images");
}

}  // namespace
}  // namespace attune
