// SPDX-License-Identifier: Apache-2.0
#include "site_agent/imaging/image_data.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "common/wire/manifest.h"
#include "coordinator/simulate/synthetic_images.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace attune {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::StatusIs;
constexpr auto kInvalidImage = absl::StatusCode::kInvalidArgument;

class ImageDataTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK(WriteSyntheticImages(1, temp_.path()));
    study_ = ReadStudyFile(temp_.path() + "/study.yaml").value();
    site_.set_participants(temp_.path() + "/participants.tsv");
    site_.set_images(temp_.path() + "/images");
    options_ = {.site = "all", .mask = temp_.path() + "/mask.nii", .threads = 2};
  }
  auto Open() { return ImageData::Open(site_, study_, options_); }

  testing::TempFolder temp_;
  v1::StudyConfig study_;
  v1::SiteConfig site_;
  SiteDataOptions options_;
};

TEST_F(ImageDataTest, ForEach_EverybodyInOrderTheSameForAnyThreads) {
  std::vector<double> first;
  for (const int threads : {1, 3}) {
    options_.threads = threads;
    const auto data = Open();
    ASSERT_OK(data);
    EXPECT_EQ((*data)->features().size(), 7008U);
    EXPECT_EQ((*data)->inputs().size(), 49U);
    std::vector<double> sums;
    std::string last;
    ASSERT_OK((*data)->ForEach([&](const Subject& subject) {
      EXPECT_LT(last, subject.id);
      last = subject.id;
      double sum = 0;
      for (const double value : subject.values) sum += value;
      sums.push_back(sum);
      return absl::OkStatus();
    }));
    EXPECT_EQ(sums.size(), 48U);
    if (first.empty()) first = sums;
    EXPECT_EQ(sums, first);
  }
}

TEST_F(ImageDataTest, Open_AnotherMaskThanTheStudys) {
  const std::string right = Mask::Open(options_.mask)->sha256();
  options_.mask_sha256 = right;
  EXPECT_OK(Open());
  // As many voxels, and yet another file.
  std::fstream file(options_.mask, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(148);
  file << "another";
  file.close();
  EXPECT_THAT(Open().status(), StatusIs(kInvalidImage, AllOf(HasSubstr("not the study's"), HasSubstr(right))));
}

TEST_F(ImageDataTest, ForEach_ImageChangedSince) {
  const auto data = Open();
  ASSERT_OK(data);
  std::filesystem::copy_file(temp_.path() + "/images/sub-001_desc-gm_T1w.nii", temp_.path() + "/images/sub-002_desc-gm_T1w.nii",
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_THAT((*data)->ForEach([](const Subject&) { return absl::OkStatus(); }),
              StatusIs(absl::StatusCode::kDataLoss, AllOf(HasSubstr("sub-002"), HasSubstr("changed"))));
}

TEST_F(ImageDataTest, Open_OneImageForTwoPeople) {
  std::ofstream(site_.participants())
      << "participant_id\tage\timage\na\t30\tsub-001_desc-gm_T1w.nii\nb\t31\tsub-001_desc-gm_T1w.nii\n";
  EXPECT_THAT(Open().status(), StatusIs(kInvalidImage, AllOf(HasSubstr("participants.tsv:3"), HasSubstr("line 2"))));
}

TEST_F(ImageDataTest, Open_ImageOutsideItsFolder) {
  std::ofstream(site_.participants()) << "participant_id\tage\timage\na\t30\t../mask.nii\n";
  EXPECT_THAT(Open().status(), StatusIs(kInvalidImage, AllOf(HasSubstr("participants.tsv:2"), HasSubstr("folder of images"))));
}

}  // namespace
}  // namespace attune
