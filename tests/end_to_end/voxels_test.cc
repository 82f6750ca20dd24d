// SPDX-License-Identifier: Apache-2.0
//
// The main job on images: real processes and certificates.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/files.h"
#include "site_agent/imaging/mask.h"
#include "site_agent/imaging/nifti.h"
#include "tests/end_to_end/runner.h"
#include "tests/support/data.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace attune::testing {
namespace {

namespace fs = std::filesystem;

std::vector<double> MaskedValues(const std::string& path, const Mask& mask) {
  NiftiImage image;
  EXPECT_OK(ReadNifti(path, &mask.grid(), &image));
  std::vector<double> values(mask.voxels());
  Gather(image, mask.indices(), values);
  return values;
}

struct StudyRun {
  const char* golden;
  std::size_t people;      // the first so many of participants.tsv
  const char* covariates;  // of the study file
  std::vector<std::string> options;
};

class VoxelGolden : public ::testing::TestWithParam<StudyRun> {};

TEST_P(VoxelGolden, EqualsThePooledTool) {
  const StudyRun& run = GetParam();
  const auto data = SharedFolder("data/vbm");
  const auto golden = SharedFolder("golden");
  if (!data || !golden) GTEST_SKIP() << "no ../shared/data/vbm and ../shared/golden beside the project";
  const TempFolder temp;
  NaiveTable people = ReadNaive(*data + "/participants.tsv");
  people.rows.resize(run.people);
  std::string text = absl::StrCat(absl::StrJoin(people.header, "\t"), "\n");
  for (const auto& row : people.rows) absl::StrAppend(&text, absl::StrJoin(row, "\t"), "\n");
  WriteText(temp.path() + "/participants.tsv", text);
  WriteText(temp.path() + "/study.yaml", absl::StrCat("study: vbm\nfeatures: {images: {mask: ", *data, "/mask.nii.gz}}\n",
                                                      run.covariates, "method: {combat: {}}\nrelease: per_batch\n"));
  std::vector<std::string> arguments = {"--study",        temp.path() + "/study.yaml",
                                        "--participants", temp.path() + "/participants.tsv",
                                        "--images",       *data,
                                        "--policy",       "permissive-test",
                                        "--dtype",        "float64",
                                        "--quiet"};
  arguments.insert(arguments.end(), run.options.begin(), run.options.end());
  const std::string out = temp.path() + "/out";
  const ProgramResult result = Simulate(out, arguments);
  ASSERT_EQ(result.exit_code, 0) << result.output;
  const auto mask = Mask::Open(*data + "/mask.nii.gz");
  ASSERT_OK(mask);
  const NaiveTable expected = ReadNaive(absl::StrCat(*golden, "/", run.golden, ".csv.gz"));
  ASSERT_EQ(expected.rows.size(), run.people);
  double largest = 0;
  for (const auto& row : expected.rows) {
    const auto values = MaskedValues(absl::StrCat(out, "/images/", row[0], "_desc-gmHarmonized_T1w.nii.gz"), *mask);
    for (std::size_t c = 1; c < row.size(); ++c) {
      const std::size_t voxel = std::stoul(expected.header[c].substr(1));
      largest = std::max(largest, std::abs(values[voxel] - Number(row[c])));
    }
  }
  std::printf("%s %s: largest difference %.3g\n", run.golden, absl::StrJoin(run.options, " ").c_str(), largest);
  EXPECT_LE(largest, 1e-10);
}

constexpr char kAgeAndSex[] =
    "covariates:\n  - {name: age, type: continuous, unit: years}\n  - {name: sex, type: categorical, levels: [F, M]}\n";

INSTANTIATE_TEST_SUITE_P(
    Vbm, VoxelGolden,
    ::testing::Values(StudyRun{"vbm_parametric_every_997th_voxel", 48, "", {"--via", "grpc"}},
                      StudyRun{"vbm2_parametric_every_997th_voxel", 24, kAgeAndSex, {"--via", "folder"}},
                      StudyRun{"vbm2_parametric_every_997th_voxel", 24, kAgeAndSex, {"--release", "pooled", "--plain-sums"}}));

TEST(Voxels, Demo_Float32IsFloat64Rounded) {
  const TempFolder temp;
  for (const char* type : {"float32", "float64"}) {
    const ProgramResult result = Simulate(absl::StrCat(temp.path(), "/", type), {"--demo-images", "--dtype", type, "--quiet"});
    ASSERT_EQ(result.exit_code, 0) << result.output;
  }
  const auto mask = Mask::Open(temp.path() + "/float32/data/mask.nii");
  ASSERT_OK(mask);
  int images = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(temp.path() + "/float32/images")) {
    if (entry.path().extension() != ".gz") continue;
    const auto rounded = MaskedValues(entry.path().string(), *mask);
    const auto exact = MaskedValues(temp.path() + "/float64/images/" + entry.path().filename().string(), *mask);
    for (std::size_t v = 0; v < exact.size(); ++v) ASSERT_EQ(rounded[v], static_cast<double>(static_cast<float>(exact[v])));
    ++images;
  }
  EXPECT_EQ(images, 48);
  for (const char* map :
       {"desc-alpha_map", "desc-sigma_map", "desc-betaage_map", "batch-all_desc-gamma_map", "batch-all_desc-delta_map"}) {
    EXPECT_TRUE(FileExists(absl::StrCat(temp.path(), "/float32/sites/bonn/maps/", map, ".nii.gz"))) << map;
  }
}

TEST(Voxels, Demo_KilledWhileWriting_SameBytes) {
  const TempFolder temp;
  for (const char* crash : {"", "bonn=site.image_staged", "bonn=site.harmonizing"}) {
    std::vector<std::string> arguments = {"--demo-images", "--quiet"};
    if (*crash != 0) arguments.insert(arguments.end(), {"--crash-at", crash});
    const std::string out = temp.path() + "/out" + crash;
    const ProgramResult result = Simulate(out, arguments);
    ASSERT_EQ(result.exit_code, 0) << result.output;
    for (const fs::directory_entry& entry : fs::directory_iterator(temp.path() + "/out/images")) {
      const std::string name = "/images/" + entry.path().filename().string();
      if (entry.path().extension() != ".gz") continue;
      EXPECT_EQ(ReadFile(out + name).value(), ReadFile(temp.path() + "/out" + name).value()) << crash << name;
    }
  }
}

TEST(Voxels, BadImage_ExitCode3NamesTheFileAndWritesNothing) {
  const TempFolder temp;
  ASSERT_EQ(Simulate(temp.path() + "/made", {"--demo-images", "--quiet"}).exit_code, 0);
  const std::string data = temp.path() + "/made/data";
  const std::string image = data + "/images/sub-020_desc-gm_T1w.nii";
  const std::string whole = ReadFile(image).value();
  for (const std::string& bad : {whole.substr(0, 2000), std::string(), std::string("no image")}) {
    WriteText(image, bad);
    const std::string out = temp.path() + "/out";
    const ProgramResult result = Simulate(out, {"--study", data + "/study.yaml", "--participants", data + "/participants.tsv",
                                                "--images", data + "/images", "--quiet"});
    EXPECT_EQ(result.exit_code, 3) << result.output;
    EXPECT_NE(result.output.find("sub-020_desc-gm_T1w.nii"), std::string::npos) << result.output;
    EXPECT_FALSE(FileExists(out + "/images"));
  }
}

}  // namespace
}  // namespace attune::testing
