// SPDX-License-Identifier: Apache-2.0
//
// The main job on made-up images: real processes and certificates.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/files.h"
#include "coordinator/simulate/synthetic_images.h"
#include "site_agent/imaging/image_data.h"
#include "tests/end_to_end/finished_images.h"
#include "tests/end_to_end/masked_values.h"
#include "tests/end_to_end/runner.h"
#include "tests/support/data.h"
#include "tests/support/naive_combat.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace attune::testing {
namespace {

class Voxels : public FinishedImages {};

TEST_F(Voxels, Demo_WritesImagesAndMaps) {
  for (int subject = 1; subject <= kSubjects; ++subject) {
    EXPECT_TRUE(FileExists(Output(Out(), subject))) << subject;
  }
  for (const char* map :
       {"desc-alpha_map", "desc-sigma_map", "desc-betaage_map", "batch-all_desc-gamma_map", "batch-all_desc-delta_map"}) {
    EXPECT_TRUE(FileExists(absl::StrCat(Out(), "/sites/bonn/maps/", map, ".nii.gz"))) << map;
  }
}

TEST_F(Voxels, Demo_MaskedSumsGiveTheSameImages) {
  const TempFolder temp;
  const std::string pooled = temp / "pooled";
  const ProgramResult run = Simulate(
      pooled, {"--demo-images", "--dtype", "float64", "--release", "pooled", "--policy", "permissive-test", "--quiet"});
  ASSERT_EQ(run.exit_code, 0) << run.output;
  double largest = 0;
  for (int subject = 1; subject <= kSubjects; ++subject) {
    const auto masked = AllValues(Output(pooled, subject));
    const auto per_batch = AllValues(Output(Out(), subject));
    ASSERT_EQ(masked.size(), per_batch.size());
    for (std::size_t v = 0; v < masked.size(); ++v) largest = std::max(largest, std::abs(masked[v] - per_batch[v]));
  }
  EXPECT_LE(largest, 1e-10);
}

TEST_F(Voxels, Demo_KilledWhileWriting_SameBytes) {
  const TempFolder temp;
  for (const char* crash : {"bonn=site.image_staged", "bonn=site.harmonizing"}) {
    const std::string out = temp / crash;
    const ProgramResult run = Simulate(out, {"--demo-images", "--dtype", "float64", "--quiet", "--crash-at", crash});
    ASSERT_EQ(run.exit_code, 0) << run.output;
    for (int subject = 1; subject <= kSubjects; ++subject) {
      EXPECT_TRUE(ReadText(Output(out, subject)) == ReadText(Output(Out(), subject))) << crash << subject;
    }
  }
}

TEST_F(Voxels, BadImage_NamesTheFileAndWritesNothing) {
  const TempFolder temp;
  std::filesystem::copy(Data(), temp / "data", std::filesystem::copy_options::recursive);
  const std::string image = temp / "data/images/" + Name(20, "gm");
  WriteText(image, ReadText(image).substr(0, 2000));
  const std::string out = temp / "out";
  const ProgramResult run = Simulate(out, {"--study", Data() + "/study.yaml", "--participants", Data() + "/participants.tsv",
                                           "--images", temp / "data/images", "--quiet"});
  EXPECT_EQ(run.exit_code, 3) << run.output;
  EXPECT_NE(run.output.find(Name(20, "gm")), std::string::npos) << run.output;
  EXPECT_FALSE(FileExists(out + "/images"));
}

// Made-up images in float64, which float32 cannot hold exactly, with values and NaN outside the mask. The mask is every 47th
// voxel of the demo's; in it, subject s lacks every voxel v with (v + 7 s) % 40 == 0.
class MissingVoxels : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK(WriteSyntheticImages(1, data_));
    WriteText(data_ + "/study.yaml", absl::StrCat("study: missing\nfeatures: {images: {mask: mask.nii}}\n",
                                                  "covariates:\n  - {name: age, type: continuous, unit: years}\n",
                                                  "method: {combat: {missing: allow}}\nrelease: per_batch\n"));
    std::string mask = ReadText(data_ + "/mask.nii");
    std::size_t inside = 0;
    for (std::size_t v = 0; v < kVoxels; ++v) {
      float value = 0;
      std::memcpy(&value, mask.data() + kHeader + 4 * v, sizeof(value));
      const float kept = value != 0 && inside++ % 47 == 0 ? 1 : 0;
      std::memcpy(mask.data() + kHeader + 4 * v, &kept, sizeof(kept));
    }
    WriteText(data_ + "/mask.nii", mask);
    mask_ = std::make_unique<Mask>(Mask::Open(data_ + "/mask.nii").value());
    const NaiveTable people = ReadNaive(data_ + "/participants.tsv");
    for (std::size_t row = 0; row < people.rows.size(); ++row) {
      const auto& cells = people.rows[row];
      const std::string path = data_ + "/images/" + cells[people.Column("image")];
      Change(path, row);
      rows_.push_back({.id = cells[0],
                       .batch = cells[people.Column("site")] + "/all",
                       .covariates = {Number(cells[people.Column("age")])},
                       .values = MaskedValues(path, *mask_)});
      names_.push_back(cells[people.Column("image")]);
    }
  }

  void Change(const std::string& path, std::size_t subject) {
    const std::vector<double> values = AllValues(path);
    std::string bytes = ReadText(path).substr(0, kHeader);
    const std::int16_t type[] = {64, 64};  // float64, bits
    std::memcpy(bytes.data() + 70, type, sizeof(type));
    std::vector<bool> inside(kVoxels);
    for (const VoxelRun& run : mask_->runs()) {
      for (std::uint32_t i = 0; i < run.count; ++i) inside[run.first + i] = true;
    }
    std::size_t masked = 0;
    for (std::size_t v = 0; v < kVoxels; ++v) {
      double value = values[v] + 1e-9 * static_cast<double>(v) / 3;
      if (inside[v] && (masked++ + 7 * subject) % 40 == 0) value = std::nan("");
      if (!inside[v] && v % 1000 == 0) value = std::nan("");
      bytes.append(reinterpret_cast<const char*>(&value), sizeof(value));
    }
    WriteText(path, bytes);
  }

  std::vector<std::vector<double>> Run(const std::string& type) {
    const std::string out = temp_ / type;
    const ProgramResult run =
        Simulate(out, {"--study", data_ + "/study.yaml", "--participants", data_ + "/participants.tsv", "--images",
                       data_ + "/images", "--policy", "permissive-test", "--dtype", type, "--threads", "2", "--quiet"});
    EXPECT_EQ(run.exit_code, 0) << run.output;
    std::vector<std::vector<double>> images;
    if (run.exit_code != 0) return images;
    for (const std::string& name : names_) {
      images.push_back(AllValues(absl::StrCat(out, "/images/", HarmonizedImageName(name))));
    }
    return images;
  }

  static constexpr std::size_t kVoxels = 26 * 30 * 24;
  static constexpr std::size_t kHeader = 352;
  TempFolder temp_;
  const std::string data_ = temp_ / "data";
  std::unique_ptr<Mask> mask_;
  std::vector<std::string> names_;
  std::vector<Row> rows_;
};

TEST_F(MissingVoxels, EqualTheNaiveReferenceInTheMaskAndTheInputOutside) {
  const NaiveResult expected = NaiveCombat(rows_, {});
  const auto exact = Run("float64");
  const auto rounded = Run("float32");
  ASSERT_EQ(exact.size(), 48U);
  ASSERT_EQ(rounded.size(), 48U);
  std::size_t missing = 0;
  std::size_t missing_outside = 0;
  double largest = 0;
  for (std::size_t s = 0; s < exact.size(); ++s) {
    ASSERT_EQ(exact[s].size(), kVoxels);
    ASSERT_EQ(rounded[s].size(), kVoxels);
    std::vector<double> want = AllValues(data_ + "/images/" + names_[s]);
    std::size_t f = 0;
    std::vector<bool> inside(kVoxels);
    for (const VoxelRun& run : mask_->runs()) {
      for (std::uint32_t i = 0; i < run.count; ++i) {
        inside[run.first + i] = true;
        want[run.first + i] = expected.values[s][f++];
      }
    }
    for (std::size_t v = 0; v < kVoxels; ++v) {
      ASSERT_EQ(std::isnan(exact[s][v]), std::isnan(want[v])) << s << " " << v;
      ASSERT_EQ(std::isnan(rounded[s][v]), std::isnan(want[v])) << s << " " << v;
      if (std::isnan(want[v])) {
        ++(inside[v] ? missing : missing_outside);
        continue;
      }
      if (inside[v]) {
        largest = std::max(largest, std::abs(exact[s][v] - want[v]));
      } else {
        ASSERT_EQ(exact[s][v], want[v]) << s << " " << v;
      }
      ASSERT_EQ(rounded[s][v], static_cast<double>(static_cast<float>(exact[s][v]))) << s << " " << v;
    }
  }
  EXPECT_LE(largest, 1e-10);
  EXPECT_GT(missing, 100U);
  EXPECT_GT(missing_outside, 500U);
}

}  // namespace
}  // namespace attune::testing
