// SPDX-License-Identifier: Apache-2.0
//
// attune-simulate as a person uses it: exit codes, refusals with names, what it writes and what it leaves alone.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "attune/v1/outputs.pb.h"
#include "common/wire/json.h"
#include "tests/end_to_end/finished_consortium.h"
#include "tests/end_to_end/runner.h"
#include "tests/support/data.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace attune::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
namespace fs = std::filesystem;

// ---- attune-simulate ----

TEST(Simulate, WritesWhatItPromises) {
  for (const char* file :
       {"harmonized.tsv", "harmonized.json", "summary.json", "models/davos.json", "coordinator/journal.sqlite",
        "sites/davos/desc-harmonized_features.tsv", "sites/davos/desc-harmonized_features.json",
        "sites/davos/dataset_description.json", "sites/davos/model.json"}) {
    EXPECT_TRUE(fs::exists(fs::path(Out()) / file)) << file;
  }
  const NaiveTable before = ReadNaive(Out() + "/data/thickness.tsv");
  const NaiveTable after = ReadNaive(Out() + "/harmonized.tsv");
  EXPECT_EQ(before.header, after.header);
  ASSERT_EQ(before.rows.size(), after.rows.size());
  for (std::size_t row = 0; row < before.rows.size(); ++row) EXPECT_EQ(before.rows[row][0], after.rows[row][0]);
}

// The number in the first line of `text` that begins with `words`, after them, in the given column.
std::string Cell(const std::string& text, const std::string& words, std::size_t column) {
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    if (!absl::StartsWith(absl::StripLeadingAsciiWhitespace(line), words)) continue;
    const std::vector<std::string> cells =
        absl::StrSplit(line.substr(line.find(words) + words.size()), ' ', absl::SkipWhitespace());
    return column < cells.size() ? cells[column] : "";
  }
  return "";
}

// All that the coordinator and the sites keep for themselves; what a site hands on is in its derivative folder.
TEST(Simulate, PrivateFiles_AreTheirOwnersAlone) {
  int files = 0;
  for (const char* owned : {"work/coordinator", "work/sites", "work/logs"}) {
    for (auto it = fs::recursive_directory_iterator(Out() + "/" + owned); it != fs::recursive_directory_iterator(); ++it) {
      if (it->path().filename() == "derivative") {
        it.disable_recursion_pending();
        continue;
      }
      const fs::perms others = it->status().permissions() & (fs::perms::group_all | fs::perms::others_all);
      EXPECT_EQ(others, fs::perms::none) << it->path();
      ++files;
    }
  }
  EXPECT_GT(files, 20);
}

TEST(Simulate, Demo_ShowsThatItHelpedAndTheTruth) {
  for (const char* release : {"per_batch", "pooled"}) {
    const TempFolder temp;
    const ProgramResult run = Simulate(temp / "out", {"--demo", "--quiet", "--release", release, "--plain-sums"});
    ASSERT_EQ(run.exit_code, 0) << run.output;
    EXPECT_THAT(run.output, HasSubstr("state     complete"));
    v1::StudySummary summary;
    ASSERT_OK(FromJson(ReadText(temp / "out/summary.json"), "summary.json", &summary));
    EXPECT_EQ(summary.sites(), 4u);
    EXPECT_EQ(summary.batches(), 6u);
    EXPECT_EQ(summary.subjects(), 285u);
    EXPECT_EQ(summary.before().features_tested(), 40u);
    EXPECT_EQ(summary.before().features_with_batch_effect(), 40u);
    EXPECT_EQ(summary.after().features_with_batch_effect(), 0u);
    EXPECT_GT(summary.before().median_partial_eta_squared(), 0.2);
    EXPECT_LT(summary.after().median_partial_eta_squared(), 0.01);
    ASSERT_EQ(summary.after().covariates_size(), 2);
    EXPECT_EQ(summary.after().covariates(0).covariate(), "age");
    EXPECT_GE(summary.after().covariates(0).features_associated(), summary.before().covariates(0).features_associated());
    EXPECT_GE(summary.after().covariates(0).features_associated(), 38u);
    // Scales are of single batches.
    const bool per_batch = std::string(release) == "per_batch";
    EXPECT_EQ(summary.before().has_median_scale_ratio(), per_batch);
    EXPECT_EQ(summary.after().has_median_scale_ratio(), per_batch);
    if (per_batch) {
      EXPECT_GT(summary.before().median_scale_ratio(), 1.2);
      EXPECT_LT(summary.after().median_scale_ratio(), 1.1);
    }
    EXPECT_EQ(absl::StrContains(run.output, "scale ratio"), per_batch);
    EXPECT_EQ(Cell(run.output, "features with a batch effect", 0), "40");
    // Scanner, subjects; location true, before, after; scale true, before, after.
    for (const char* scanner :
         {"aachen/prisma", "aachen/vida", "bergen/ingenia", "cardiff/connectom", "davos/skyra", "davos/mr750"}) {
      EXPECT_NEAR(Number(Cell(run.output, scanner, 2)), Number(Cell(run.output, scanner, 1)), 0.04) << scanner;
      EXPECT_NEAR(Number(Cell(run.output, scanner, 3)), 0, 0.02) << scanner;
      EXPECT_NEAR(Number(Cell(run.output, scanner, 6)), 1, 0.15) << scanner;
    }
    // "true -0.00601, before -0.0047, after -0.0058": scanners with older patients distorted it.
    const std::string age = "age effect, mm per year:";
    const auto effect = [&](std::size_t column) {
      return Number(std::string(absl::StripSuffix(Cell(run.output, age, column), ",")));
    };
    EXPECT_LT(effect(1), -0.004);
    EXPECT_LT(std::abs(effect(5) - effect(1)), std::abs(effect(3) - effect(1)));
  }
}

TEST(Simulate, SiteColumn_AndOutputsThatAreForced) {
  const TempFolder temp;
  std::string people = ReadText(Out() + "/data/participants.tsv");
  people = absl::StrReplaceAll(people, {{"participant_id\tsite\t", "participant_id\thospital\t"}});
  const std::vector<std::string> arguments = {"--quiet",
                                              "--study",
                                              Out() + "/data/study.yaml",
                                              "--site-column",
                                              "hospital",
                                              "--participants",
                                              temp.Write("p.tsv", people),
                                              "--features",
                                              Out() + "/data/thickness.tsv"};
  const ProgramResult run = Simulate(temp / "out", arguments);
  ASSERT_EQ(run.exit_code, 0) << run.output;
  EXPECT_EQ(ReadText(temp / "out/harmonized.tsv"), ReadText(Out() + "/harmonized.tsv"));

  // A forced run that fails leaves what was there; one that succeeds replaces it.
  std::vector<std::string> forced = arguments;
  forced.push_back("--force");
  forced[4] = "no_such_column";
  EXPECT_EQ(Simulate(temp / "out", forced).exit_code, 3);
  EXPECT_EQ(ReadText(temp / "out/harmonized.tsv"), ReadText(Out() + "/harmonized.tsv"));
  forced[4] = "hospital";
  forced[2] = temp.Write("study.yaml", Study(absl::StrCat(kTwoCovariates, "method: {combat: {prior: none}}\n")));
  const ProgramResult again = Simulate(temp / "out", forced);
  ASSERT_EQ(again.exit_code, 0) << again.output;
  EXPECT_NE(ReadText(temp / "out/harmonized.tsv"), ReadText(Out() + "/harmonized.tsv"));
  EXPECT_FALSE(fs::exists(temp / "out/work"));
}

TEST(Simulate, ForceNeverTouchesWhatItDidNotMake) {
  const TempFolder temp;
  fs::create_directories(temp / "data");
  fs::copy(Out() + "/data", temp / "data", fs::copy_options::recursive);
  fs::create_directories(temp / "models");
  temp.Write("models/mine.txt", "precious");
  const std::vector<std::string> arguments = {"--quiet",        "--force",
                                              "--study",        temp / "data/study.yaml",
                                              "--participants", temp / "data/participants.tsv",
                                              "--features",     temp / "data/thickness.tsv"};
  const ProgramResult refused = Simulate(temp.path(), arguments);
  EXPECT_EQ(refused.exit_code, 6) << refused.output;
  EXPECT_EQ(temp.Read("models/mine.txt"), "precious");
  fs::remove_all(temp / "models");
  for (int i = 0; i < 2; ++i) {
    const ProgramResult run = Simulate(temp.path(), arguments);
    ASSERT_EQ(run.exit_code, 0) << run.output;
    EXPECT_EQ(temp.Read("data/thickness.tsv"), ReadText(Out() + "/data/thickness.tsv"));
  }
}

TEST(Simulate, HarmonizedTable_IsRefusedAsInput) {
  const TempFolder temp;
  const ProgramResult run = Simulate(temp / "out", {"--quiet", "--study", Out() + "/data/study.yaml", "--participants",
                                                    Out() + "/data/participants.tsv", "--features", Out() + "/harmonized.tsv"});
  EXPECT_EQ(run.exit_code, 3) << run.output;
  EXPECT_THAT(run.output, HasSubstr("harmonized already, in the study 'demo'"));
}

TEST(Simulate, OutputExists_Is6AndKeepsIt) {
  const std::string before = ReadText(Out() + "/harmonized.tsv");
  const ProgramResult run = Simulate(Out(), {"--demo", "--quiet"});
  EXPECT_EQ(run.exit_code, 6) << run.output;
  EXPECT_THAT(run.output, HasSubstr("--force"));
  EXPECT_EQ(ReadText(Out() + "/harmonized.tsv"), before);
}

TEST(Simulate, Usage_Is2) {
  const TempFolder temp;
  EXPECT_EQ(Simulate(temp / "out", {}).exit_code, 2);
  EXPECT_EQ(Simulate(temp / "out", {"--demo", "--via", "pigeon"}).exit_code, 2);
  EXPECT_EQ(RunProgram("attune-simulate", {"--no-such-option"}).exit_code, 2);
  EXPECT_EQ(RunProgram("attune-simulate", {"--help"}).exit_code, 0);
  EXPECT_EQ(RunProgram("attune-site", {"no-such-command"}).exit_code, 2);
  EXPECT_EQ(RunProgram("attune-coordinator", {}).exit_code, 2);
}

TEST(Simulate, Pooled_TellsWhatTheCoordinatorCouldSee) {
  const TempFolder temp;
  const ProgramResult masked = Simulate(temp / "masked", {"--demo", "--quiet", "--release", "pooled"});
  ASSERT_EQ(masked.exit_code, 0) << masked.output;
  EXPECT_THAT(masked.output, AllOf(HasSubstr("uniformly random words of 128 bits"), HasSubstr("one sum over 4 sites")));
  // Masks change nothing: the same as with plain sums, and as with the sums of each batch, to the fixed point's last digits.
  for (const std::vector<std::string>& other : {std::vector<std::string>{"pooled", "--plain-sums"}, {"per_batch"}}) {
    std::vector<std::string> arguments = {"--demo", "--quiet", "--force", "--release"};
    arguments.insert(arguments.end(), other.begin(), other.end());
    const ProgramResult plain = Simulate(temp / "plain", arguments);
    ASSERT_EQ(plain.exit_code, 0) << plain.output;
    EXPECT_THAT(plain.output, Not(HasSubstr("random words")));
    EXPECT_LE(LargestDifference(ReadNaive(temp / "masked/harmonized.tsv"), ReadNaive(temp / "plain/harmonized.tsv")), 1e-9);
  }
}

struct Refusal {
  const char* name;
  std::string study;                  // after "study:" and "features:"
  std::vector<std::string> messages;  // each must occur
};

class StudyIsRefused : public ::testing::TestWithParam<Refusal> {};

TEST_P(StudyIsRefused, WithAMessageThatHelps) {
  const TempFolder temp;
  const ProgramResult run =
      Simulate(temp / "out", {"--quiet", "--study", temp.Write("study.yaml", Study(GetParam().study)), "--participants",
                              Out() + "/data/participants.tsv", "--features", Out() + "/data/thickness.tsv"});
  EXPECT_EQ(run.exit_code, 3) << run.output;
  for (const std::string& message : GetParam().messages) EXPECT_THAT(run.output, HasSubstr(message));
  EXPECT_FALSE(fs::exists(temp / "out"));
  EXPECT_TRUE(ProcessesWith(temp.path()).empty());
}

INSTANTIATE_TEST_SUITE_P(
    Study, StudyIsRefused,
    ::testing::Values(
        Refusal{"UnknownKey", "method: {combat: {}}\nmin_bach_size: 10\n", {"study.yaml:4", "min_bach_size", "min_batch_size"}},
        Refusal{"WrongType", "method: {combat: {mean_only: perhaps}}\n", {"study.yaml:3", "mean_only"}},
        Refusal{"NoMethod", "release: per_batch\n", {"method"}},
        Refusal{"UnknownCovariate", "covariates:\n  - {name: weight, type: continuous}\nmethod: {combat: {}}\n", {"weight"}},
        Refusal{"UndeclaredLevel",
                "covariates:\n  - {name: sex, type: categorical, levels: [F, X]}\nmethod: {combat: {}}\n",
                {"participants.tsv:", "sex", "'M'"}},
        Refusal{"SmallBatch",
                absl::StrCat("batch: scanner\n", kTwoCovariates, "method: {combat: {}}\nmin_batch_size: 50\n"),
                {"aachen/vida", "45", "50", "small_batches: mean_only"}},
        Refusal{
            "ConfoundedCovariate",
            "covariates:\n  - {name: scanner, type: categorical, levels: [prisma, vida, ingenia, connectom, skyra, mr750]}\n"
            "batch: scanner\nmethod: {combat: {}}\n",
            {"scanner[vida]", "aachen/vida"}},
        Refusal{"UnknownReference", "method: {combat: {reference_batch: lyon}}\n", {"lyon", "aachen/all"}}),
    [](const auto& param) { return param.param.name; });

TEST(Simulate, RealConfoundedSites_AreNamed) {
  const auto data = SharedFolder("data/abide");
  if (!data) GTEST_SKIP() << "no ../shared/data/abide beside the project";
  const TempFolder temp;
  const NaiveTable people = ReadNaive(*data + "/participants.tsv");
  const NaiveTable thickness = ReadNaive(*data + "/thickness.tsv");
  std::string participants = absl::StrCat(absl::StrJoin(people.header, "\t"), "\n");
  std::map<std::string, int> taken;
  std::set<std::string> ids;
  for (const auto& row : people.rows) {
    const std::string& site = row[people.Column("site")];
    if ((site != "CMU" && site != "OLIN") || ++taken[site] > 12) continue;
    absl::StrAppend(&participants, absl::StrJoin(row, "\t"), "\n");
    ids.insert(row[0]);
  }
  std::string features = absl::StrCat(absl::StrJoin(thickness.header, "\t"), "\n");
  for (const auto& row : thickness.rows) {
    if (ids.count(row[0]) == 1) absl::StrAppend(&features, absl::StrJoin(row, "\t"), "\n");
  }
  const ProgramResult run =
      Simulate(temp / "out",
               {"--quiet", "--policy", "permissive-test", "--study",
                temp.Write("study.yaml", Study("covariates:\n  - {name: age, type: continuous}\n  - {name: dx, type: "
                                               "categorical, levels: [control, autism]}\nmethod: {combat: {}}\n")),
                "--participants", temp.Write("participants.tsv", participants), "--features", temp.Write("f.tsv", features)});
  EXPECT_EQ(run.exit_code, 3) << run.output;
  EXPECT_THAT(run.output, HasSubstr("dx[autism]"));
  EXPECT_THAT(run.output, HasSubstr("CMU/all"));
  EXPECT_THAT(run.output, HasSubstr("OLIN/all"));
}

TEST(Simulate, WhatARealSiteWouldRefuse_RunsUnderThePermissivePolicy) {
  const TempFolder temp;
  const auto of_two_sites = [&](const std::string& name, const std::string& keep) {
    const NaiveTable table = ReadNaive(Out() + "/data/" + name);
    std::string text = absl::StrCat(absl::StrJoin(table.header, "\t"), "\n");
    const NaiveTable people = ReadNaive(Out() + "/data/participants.tsv");
    for (std::size_t row = 0; row < table.rows.size(); ++row) {
      const std::string& site = people.rows[row][people.Column("site")];
      if (absl::StrContains(keep, site)) absl::StrAppend(&text, absl::StrJoin(table.rows[row], "\t"), "\n");
    }
    return temp.Write(name, text);
  };
  const std::vector<std::string> arguments = {"--quiet",
                                              "--study",
                                              Out() + "/data/study.yaml",
                                              "--participants",
                                              of_two_sites("participants.tsv", "aachen davos"),
                                              "--features",
                                              of_two_sites("thickness.tsv", "aachen davos")};
  const ProgramResult refused = Simulate(temp / "out", arguments);
  EXPECT_EQ(refused.exit_code, 4) << refused.output;
  EXPECT_THAT(refused.output, HasSubstr("2 sites, fewer than the 3"));
  EXPECT_THAT(refused.output, HasSubstr("give --policy permissive-test"));
  EXPECT_FALSE(fs::exists(temp / "out"));
  std::vector<std::string> permissive = arguments;
  permissive.insert(permissive.end(), {"--policy", "permissive-test"});
  const ProgramResult run = Simulate(temp / "out", permissive);
  EXPECT_EQ(run.exit_code, 0) << run.output;
}

TEST(Simulate, SmallBatchesMeanOnly_AreToldAndKeepTheirScale) {
  const TempFolder temp;
  const ProgramResult run = Simulate(
      temp / "out",
      {"--quiet", "--study",
       temp.Write("study.yaml", Study(absl::StrCat("batch: scanner\n", kTwoCovariates,
                                                   "method: {combat: {small_batches: mean_only}}\nmin_batch_size: 40\n"))),
       "--participants", Out() + "/data/participants.tsv", "--features", Out() + "/data/thickness.tsv"});
  ASSERT_EQ(run.exit_code, 0) << run.output;
  EXPECT_THAT(run.output, HasSubstr("davos/mr750"));
  EXPECT_THAT(run.output, HasSubstr("location only"));
}

TEST(Simulate, MissingCovariates_ErrorOrExclude) {
  const TempFolder temp;
  std::string people = ReadText(Out() + "/data/participants.tsv");
  const NaiveTable table = ReadNaive(Out() + "/data/participants.tsv");
  const std::string line = absl::StrJoin(table.rows[6], "\t");
  std::vector<std::string> cells = table.rows[6];
  cells[table.Column("age")] = "n/a";
  people = absl::StrReplaceAll(people, {{line, absl::StrJoin(cells, "\t")}});
  const std::string participants = temp.Write("participants.tsv", people);
  const auto run = [&](const char* rule) {
    return Simulate(temp / rule,
                    {"--quiet", "--study",
                     temp.Write("study.yaml",
                                Study(absl::StrCat(kTwoCovariates, "method: {combat: {}}\nmissing_covariates: ", rule, "\n"))),
                     "--participants", participants, "--features", Out() + "/data/thickness.tsv"});
  };
  const ProgramResult refused = run("error");
  EXPECT_EQ(refused.exit_code, 3);
  EXPECT_THAT(refused.output, HasSubstr("participants.tsv:8"));
  EXPECT_THAT(refused.output, HasSubstr("age"));
  const ProgramResult excluded = run("exclude");
  ASSERT_EQ(excluded.exit_code, 0) << excluded.output;
  const NaiveTable harmonized = ReadNaive(temp / "exclude/harmonized.tsv");
  EXPECT_EQ(harmonized.rows[6][0], table.rows[6][0]);
  EXPECT_EQ(harmonized.rows[6][1], "n/a");
  EXPECT_NE(harmonized.rows[5][1], "n/a");
}

TEST(Simulate, FitOn_EstimatesOnSomeAndAppliesToAll) {
  const TempFolder temp;
  const ProgramResult run =
      Simulate(temp / "out",
               {"--quiet", "--study",
                temp.Write("study.yaml",
                           Study("covariates:\n  - {name: age, type: continuous}\nmethod: {combat: {fit_on: {sex: F}}}\n")),
                "--participants", Out() + "/data/participants.tsv", "--features", Out() + "/data/thickness.tsv"});
  ASSERT_EQ(run.exit_code, 0) << run.output;
  const NaiveTable people = ReadNaive(Out() + "/data/participants.tsv");
  std::size_t women = 0;
  for (const auto& row : people.rows) women += row[people.Column("sex")] == "F" ? 1 : 0;
  EXPECT_THAT(run.output, HasSubstr(absl::StrCat(women, " subjects")));
  const NaiveTable before = ReadNaive(Out() + "/data/thickness.tsv");
  const NaiveTable after = ReadNaive(temp / "out/harmonized.tsv");
  for (std::size_t row = 0; row < before.rows.size(); ++row) {
    EXPECT_NE(Number(before.rows[row][1]), Number(after.rows[row][1])) << people.rows[row][people.Column("sex")];
  }
}

}  // namespace
}  // namespace attune::testing
