// SPDX-License-Identifier: Apache-2.0
//
// The main job on real images: every voxel that the public pooled tool was asked for is the same.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tests/end_to_end/masked_values.h"
#include "tests/end_to_end/runner.h"
#include "tests/support/data.h"
#include "tests/support/temp_folder.h"

namespace attune::testing {
namespace {

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

}  // namespace
}  // namespace attune::testing
