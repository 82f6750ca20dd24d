// SPDX-License-Identifier: Apache-2.0
//
// The same bytes, whatever happens on the way: the order of rows and sites, threads, the carrier, and kill -9 at every step.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <iterator>
#include <map>
#include <regex>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "common/base/digest.h"
#include "coordinator/simulate/process.h"
#include "tests/end_to_end/runner.h"
#include "tests/support/data.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace attune::testing {
namespace {

// What two runs must have alike. Under secure aggregation every run has keys of its own, and so another manifest and other
// messages: there it is all that the sites and the consortium get, with digests left out.
std::map<std::string, std::string> Outcome(const std::string& release, const std::string& out) {
  std::map<std::string, std::string> results = Results(out);
  if (release != "pooled") return results;
  static const std::regex digest("[0-9a-f]{64}");
  std::erase_if(results, [](const auto& file) { return IsSha256Hex(file.first); });  // the coordinator's blobs
  for (auto& [name, bytes] : results) bytes = std::regex_replace(bytes, digest, "#");
  return results;
}

// The made-up consortium, run once undisturbed per release; every other run is compared with it.
const std::map<std::string, std::string>& Undisturbed(const std::string& release) {
  static auto& results = *new std::map<std::string, std::map<std::string, std::string>>;
  auto [found, is_new] = results.try_emplace(release);
  if (is_new) {
    const TempFolder temp;
    const ProgramResult run = Simulate(temp / "out", {"--demo", "--quiet", "--release", release});
    EXPECT_EQ(run.exit_code, 0) << run.output;
    found->second = Outcome(release, temp / "out");
  }
  return found->second;
}

void ExpectSameBytes(const std::map<std::string, std::string>& expected, const std::map<std::string, std::string>& actual) {
  ASSERT_GT(expected.size(), 10u);
  std::vector<std::string> names;
  for (const auto& [name, bytes] : actual) names.push_back(name);
  for (const auto& [name, bytes] : expected) {
    ASSERT_EQ(actual.count(name), 1u) << name << " is missing; there are " << absl::StrJoin(names, ", ");
    EXPECT_TRUE(actual.at(name) == bytes) << name << " differs";
  }
  EXPECT_EQ(actual.size(), expected.size()) << absl::StrJoin(names, ", ");
}

struct Crash {
  const char* process;
  const char* point;
  const char* release = "per_batch";
  const char* via = "grpc";
};

class KillAt : public ::testing::TestWithParam<Crash> {};

TEST_P(KillAt, FinishesWithTheSameBytes) {
  const TempFolder temp;
  const Crash& crash = GetParam();
  const ProgramResult run = Simulate(temp / "out", {"--demo", "--release", crash.release, "--via", crash.via, "--crash-at",
                                                    absl::StrCat(crash.process, "=", crash.point)});
  ASSERT_EQ(run.exit_code, 0) << run.output;
  // Otherwise the point was never reached and nothing was tested.
  EXPECT_TRUE(absl::StrContains(run.output, absl::StrCat(crash.process, " was killed as planned"))) << run.output;
  ExpectSameBytes(Undisturbed(crash.release), Outcome(crash.release, temp / "out"));
}

// Every crash point of the programs, in the order of a study. `grep -r CrashPoint` finds them.
constexpr Crash kCrashes[] = {
    // The operator's commands: invite, create, start.
    {"operator", "journal_before_commit"},
    {"operator", "journal_after_commit"},
    {"operator", "coordinator.started"},
    // Enrolling, registering, approving.
    {"davos", "site.request_kept"},
    {"davos", "site.certificate_received"},
    {"davos", "site.registered"},
    {"davos", "site.manifest_kept"},
    {"coordinator", "journal_before_commit:2"},  // a site enrols
    {"coordinator", "journal_after_commit:2"},
    {"coordinator", "journal_before_commit:6"},  // a site registers
    {"coordinator", "journal_after_commit:6"},
    // Answering.
    {"davos", "site.release_recorded"},
    {"davos", "site.own_written"},
    {"davos", "site.answer_written"},
    {"davos", "site.submit_chunk"},
    {"davos", "site.submitted"},
    {"coordinator", "coordinator.upload_chunk_kept"},
    {"coordinator", "coordinator.answer_adopted:3"},
    {"coordinator", "coordinator.answer_recorded:2"},
    {"coordinator", "coordinator.answer_recorded:4"},
    {"coordinator", "coordinator.outcome_written"},
    {"coordinator", "coordinator.outcome_recorded"},
    // Correcting.
    {"davos", "site.fetch_chunk"},
    {"davos", "site.fetch_chunk:3"},
    {"davos", "site.correction_fetched"},
    {"davos", "site.harmonizing"},
    {"davos", "site.output_staged"},
    {"davos", "site.model_written"},
    {"davos", "site.harmonized"},
    {"davos", "site.reported"},
    {"coordinator", "coordinator.report_recorded:2"},
    // Under secure aggregation: each step of a site, and of the coordinator; then the second round.
    {"davos", "site.secrets_kept", "pooled"},
    {"davos", "site.step_1_kept", "pooled"},
    {"davos", "site.step_2_kept", "pooled"},
    {"davos", "site.vector_kept", "pooled"},
    {"davos", "site.step_3_kept", "pooled"},
    {"davos", "site.step_4_kept", "pooled"},
    {"davos", "site.unmasking_kept", "pooled"},
    {"davos", "site.step_5_kept", "pooled"},
    {"davos", "site.step_3_kept:2", "pooled"},
    {"davos", "site.submit_chunk:3", "pooled"},
    {"davos", "site.submitted:5", "pooled"},
    {"davos", "site.correction_fetched", "pooled"},
    {"davos", "site.model_written", "pooled"},
    {"coordinator", "coordinator.upload_chunk_kept:9", "pooled"},
    {"coordinator", "coordinator.answer_adopted:5", "pooled"},
    {"coordinator", "coordinator.answer_recorded:4", "pooled"},
    {"coordinator", "coordinator.outcome_written:3", "pooled"},
    {"coordinator", "coordinator.outcome_recorded", "pooled"},
    {"coordinator", "coordinator.outcome_recorded:2", "pooled"},
    {"coordinator", "coordinator.outcome_written:5", "pooled"},
    {"coordinator", "coordinator.outcome_recorded:5", "pooled"},
    {"coordinator", "coordinator.outcome_recorded:8", "pooled"},
    // By folder.
    {"coordinator", "journal_before_commit", "per_batch", "folder"},
    {"coordinator", "coordinator.upload_chunk_kept", "per_batch", "folder"},
    {"coordinator", "coordinator.answer_recorded:2", "per_batch", "folder"},
    {"coordinator", "coordinator.outcome_written", "per_batch", "folder"},
    {"coordinator", "coordinator.report_recorded:2", "per_batch", "folder"},
    {"davos", "site.answer_written", "per_batch", "folder"},
    {"davos", "site.submitted", "per_batch", "folder"},
    {"davos", "site.correction_fetched", "per_batch", "folder"},
    {"davos", "site.reported", "per_batch", "folder"},
    {"davos", "site.step_3_kept", "pooled", "folder"},
    {"coordinator", "coordinator.outcome_recorded:3", "pooled", "folder"},
};

// Under sanitizers, where a program takes long to start, every third.
std::vector<Crash> Crashes() {
  std::vector<Crash> crashes;
  for (std::size_t k = 0; k < std::size(kCrashes); k += ATTUNE_EVERY_CRASH) crashes.push_back(kCrashes[k]);
  return crashes;
}

INSTANTIATE_TEST_SUITE_P(EveryStep, KillAt, ::testing::ValuesIn(Crashes()), [](const auto& param) {
  std::string name = absl::StrCat(param.param.process, "_", param.param.point, "_", param.param.release, "_", param.param.via);
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
  return name;
});

TEST(SameBytes, ByFolderAsByGrpc) {
  for (const char* release : {"per_batch", "pooled"}) {
    const TempFolder temp;
    const ProgramResult run = Simulate(temp / "out", {"--demo", "--quiet", "--via", "folder", "--release", release});
    ASSERT_EQ(run.exit_code, 0) << run.output;
    ExpectSameBytes(Undisturbed(release), Outcome(release, temp / "out"));
  }
}

TEST(SameBytes, WithEightThreads) {
  // Threads split tiles of 2048 features: five tiles' worth of them.
  const TempFolder temp;
  constexpr int kFeatures = 9000;
  std::string people = "participant_id\tsite\tage\n";
  std::string table = "participant_id";
  for (int f = 0; f < kFeatures; ++f) absl::StrAppend(&table, "\tf", f);
  for (int i = 0; i < 36; ++i) {
    absl::StrAppend(&people, "\nsub-", 10 + i, "\t", i % 3 == 0 ? "a" : "b", "\t", 20 + (i * 7) % 50);
    absl::StrAppend(&table, "\nsub-", 10 + i);
    for (int f = 0; f < kFeatures; ++f) absl::StrAppend(&table, "\t", (i * 7919 + f * 104729) % 1009, ".", i % 10);
  }
  const std::string study = temp.Write(
      "study.yaml",
      "study: many\nfeatures: {table: {columns: \"*\"}}\ncovariates: [{name: age, type: continuous}]\nmethod: {combat: "
      "{}}\n");
  std::map<std::string, std::string> results[2];
  for (const bool eight : {false, true}) {
    const std::string out = temp / (eight ? "eight" : "one");
    const ProgramResult run =
        Simulate(out, {"--quiet", "--study", study, "--participants",
                       temp.Write("p.tsv", absl::StrReplaceAll(people, {{"\n\n", "\n"}}) + "\n"), "--features",
                       temp.Write("f.tsv", table + "\n"), "--threads", eight ? "8" : "1", "--policy", "permissive-test"});
    ASSERT_EQ(run.exit_code, 0) << run.output;
    results[eight] = Results(out);
  }
  ExpectSameBytes(results[0], results[1]);
}

TEST(SameBytes, WhateverTheOrderOfRows) {
  const TempFolder temp;
  ASSERT_EQ(Simulate(temp / "first", {"--demo", "--quiet"}).exit_code, 0);
  // The same people in the opposite order, in both tables.
  const auto reversed = [&](const std::string& name) {
    const NaiveTable table = ReadNaive(temp / ("first/data/" + name));
    std::string text = absl::StrCat(absl::StrJoin(table.header, "\t"), "\n");
    for (auto row = table.rows.rbegin(); row != table.rows.rend(); ++row)
      absl::StrAppend(&text, absl::StrJoin(*row, "\t"), "\n");
    return temp.Write(name, text);
  };
  const ProgramResult run = Simulate(temp / "second", {"--quiet", "--study", temp / "first/data/study.yaml", "--participants",
                                                       reversed("participants.tsv"), "--features", reversed("thickness.tsv")});
  ASSERT_EQ(run.exit_code, 0) << run.output;
  const auto sorted = [](const std::string& path) {
    std::vector<std::string> lines = absl::StrSplit(ReadText(path), '\n');
    std::sort(lines.begin(), lines.end());
    return lines;
  };
  EXPECT_EQ(sorted(temp / "first/harmonized.tsv"), sorted(temp / "second/harmonized.tsv"));
  // Questions, answers and corrections are the same files.
  EXPECT_EQ(FilesBelow(temp / "first/coordinator/blobs"), FilesBelow(temp / "second/coordinator/blobs"));
}

// Runs a simulation of which one process dies for good: children inherit the variable, and nobody planned for it.
void ExpectEndsWithTheLastLinesOf(const std::string& name, const std::string& crash) {
  const TempFolder temp;
  ASSERT_OK_AND_ASSIGN(Process simulation, Process::Start({ProgramPath("attune-simulate"), "--demo", "--out", temp / "out"},
                                                          {absl::StrCat("ATTUNE_CRASH_AT=", crash)}, temp / "log"));
  const auto end = simulation.WaitFor(120);
  ASSERT_TRUE(end.has_value());
  EXPECT_NE(end->exit_code, 0);
  EXPECT_THAT(temp.Read("log"), ::testing::ContainsRegex(absl::StrCat(name, " was ended by signal 9; its last lines:\n.+")));
  EXPECT_TRUE(ProcessesWith(temp / "out").empty());
  EXPECT_FALSE(std::filesystem::exists(temp / "out")) << "nothing private stays";
}

TEST(Simulate, DeadSite_EndsEverythingAndShowsItsLastLines) {
  ExpectEndsWithTheLastLinesOf("(aachen|bergen|cardiff|davos)", "site.own_written");
}

TEST(Simulate, DeadCoordinator_EndsEverythingAndShowsItsLastLines) {
  ExpectEndsWithTheLastLinesOf("coordinator", "coordinator.answer_recorded");
}

// Starts a simulation, waits until the command line of one of its children contains `text`, and sends it `signal`.
void ExpectSignalLeavesNothing(int signal, const std::string& text) {
  const TempFolder temp;
  ASSERT_OK_AND_ASSIGN(Process simulation,
                       Process::Start({ProgramPath("attune-simulate"), "--demo", "--out", temp / "out"}, {}, temp / "log"));
  bool found = false;
  for (int attempt = 0; attempt < 6000 && !found; ++attempt) {
    ASSERT_FALSE(simulation.Poll().has_value()) << temp.Read("log");
    found = !ProcessesWith(absl::StrCat(temp / "out", text)).empty();
    if (!found) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  ASSERT_TRUE(found);
  ::kill(simulation.pid(), signal);
  const auto end = simulation.WaitFor(60);
  ASSERT_TRUE(end.has_value());
  EXPECT_NE(end->exit_code, 0);
  // The kernel ends the children of a killed parent; give it a moment.
  for (int attempt = 0; attempt < 400 && !ProcessesWith(temp / "out").empty(); ++attempt) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_TRUE(ProcessesWith(temp / "out").empty()) << "signal " << signal;
  if (signal != SIGKILL) {
    EXPECT_FALSE(std::filesystem::exists(temp / "out")) << "signal " << signal;
  }
}

TEST(Simulate, Interrupted_LeavesNoProcessAndNothingPrivate) {
  // Before any site is there (a command line separates its arguments by NUL), and when sites are.
  const std::string serve("/work/coordinator\0serve", 23);
  ASSERT_TRUE(absl::EndsWith(serve, "serve"));
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGKILL}) {
    ExpectSignalLeavesNothing(signal, serve);
    ExpectSignalLeavesNothing(signal, "/work/sites/");
  }
}

TEST(Simulate, CrashPointThatNobodyReaches_IsAnError) {
  const TempFolder temp;
  const ProgramResult run = Simulate(temp / "out", {"--demo", "--quiet", "--crash-at", "davos=site.nowhere"});
  EXPECT_EQ(run.exit_code, 3) << run.output;
  EXPECT_TRUE(absl::StrContains(run.output, "site.nowhere")) << run.output;
}

}  // namespace
}  // namespace attune::testing
