// SPDX-License-Identifier: Apache-2.0
//
// The main job on real data: real processes and certificates harmonize ABIDE's 20 sites, and every value is that of the public
// pooled tools.
#include <gtest/gtest.h>

#include <cstdio>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tests/end_to_end/runner.h"
#include "tests/support/data.h"
#include "tests/support/temp_folder.h"

namespace attune::testing {
namespace {

constexpr double kTolerance = 1e-10;
constexpr double kMaskedTolerance = 1e-9;  // fixed point

constexpr char kAll[] =
    "  - {name: age, type: continuous, unit: years}\n  - {name: sex, type: categorical, levels: [F, M]}\n"
    "  - {name: dx, type: categorical, levels: [control, autism]}\n";
constexpr char kAge[] = "  - {name: age, type: continuous, unit: years}\n";

struct Case {
  const char* golden;
  const char* combat;      // the options in the study file
  const char* covariates;  // empty: none
  const char* input = "";  // another table than the thickness
};

constexpr Case kCases[] = {
    {"abide_parametric", "{prior: parametric}", kAll},
    {"abide_nonparametric", "{prior: nonparametric}", kAll},
    {"abide_mean_only", "{mean_only: true}", kAll},
    {"abide_reference_NYU", "{reference_batch: NYU}", kAll},
    {"abide_no_covariates", "{prior: parametric}", ""},
    {"abide_no_eb", "{prior: none}", kAll},
    {"abide_missing", "{missing: allow}", kAll, "abide_missing_input.csv.gz"},
    {"abide_two_small_sites_age", "{prior: parametric}", kAge},
};

struct Run {
  Case golden;
  const char* via;
  const char* release;
};

// Every case over gRPC and by folder in clear. Masked, which takes ten steps of 20 sites, those whose forms differ: with
// priors, with a reference batch, with missing values; and one by folder.
std::vector<Run> Runs() {
  std::vector<Run> runs;
  for (const Case& golden : kCases) {
    for (const char* via : {"grpc", "folder"}) runs.push_back({golden, via, "per_batch"});
  }
  for (const int k : {0, 3, 6}) runs.push_back({kCases[k], "grpc", "pooled"});
  runs.push_back({kCases[3], "folder", "pooled"});
  return runs;
}

class SimulateGolden : public ::testing::TestWithParam<Run> {};

TEST_P(SimulateGolden, EqualsThePooledTool) {
  const auto& [golden, via, release] = GetParam();
  const bool pooled = std::string(release) == "pooled";
  const auto data = SharedFolder("data/abide");
  const auto expected_folder = SharedFolder("golden");
  if (!data || !expected_folder) GTEST_SKIP() << "no ../shared/data/abide and ../shared/golden beside the project";
  const TempFolder temp;
  const NaiveTable expected = ReadNaive(absl::StrCat(*expected_folder, "/", golden.golden, ".csv.gz"));

  // The golden's people, in case it is of some only.
  std::set<std::string> wanted;
  for (const auto& row : expected.rows) wanted.insert(row[0]);
  const std::string input =
      *golden.input != 0 ? absl::StrCat(*expected_folder, "/", golden.input) : absl::StrCat(*data, "/thickness.tsv");
  const auto subset = [&](const std::string& from, const std::string& to) {
    const NaiveTable table = ReadNaive(from);
    std::string text = absl::StrCat(absl::StrJoin(table.header, "\t"), "\n");
    for (const auto& row : table.rows) {
      if (wanted.count(row[0]) == 1) absl::StrAppend(&text, absl::StrJoin(row, "\t"), "\n");
    }
    WriteText(to, text);
  };
  std::string participants = *data + "/participants.tsv";
  std::string features = input;
  if (wanted.size() < 1000) {
    participants = temp.path() + "/participants.tsv";
    features = temp.path() + "/features.tsv";
    subset(*data + "/participants.tsv", participants);
    subset(input, features);
  }
  const std::string study = temp.path() + "/study.yaml";
  WriteText(study, absl::StrCat("study: abide-thickness\nfeatures: {table: {columns: \"*\"}}\nbatch: site\n",
                                *golden.covariates != 0 ? "covariates:\n" : "", golden.covariates,
                                "method:\n  combat: ", golden.combat, "\nrelease: per_batch\nmin_batch_size: 10\n"));

  // A real policy refuses several of these sites, for their few women or few people.
  const std::string out = temp.path() + "/out";
  std::vector<std::string> arguments = {"--study",        study, "--participants", participants, "--features", features,
                                        "--via",          via,   "--release",      release,      "--quiet",    "--policy",
                                        "permissive-test"};
  const ProgramResult result = Simulate(out, arguments);
  ASSERT_EQ(result.exit_code, 0) << result.output;
  const double difference = LargestDifference(ReadNaive(out + "/harmonized.tsv"), expected);
  std::printf("%s via %s, %s: largest difference %.3g\n", golden.golden, via, release, difference);
  EXPECT_LE(difference, pooled ? kMaskedTolerance : kTolerance);
  EXPECT_TRUE(ProcessesWith(temp.path()).empty());
}

INSTANTIATE_TEST_SUITE_P(Abide, SimulateGolden, ::testing::ValuesIn(Runs()), [](const auto& param) {
  return absl::StrCat(param.param.golden.golden, "_", param.param.via, "_", param.param.release);
});

}  // namespace
}  // namespace attune::testing
