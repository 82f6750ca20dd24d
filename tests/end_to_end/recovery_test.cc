// SPDX-License-Identifier: Apache-2.0
//
// The same bytes, whatever happens on the way: the order of rows and sites, threads, the carrier, and kill -9 at every step.
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "coordinator/simulate/process.h"
#include "tests/end_to_end/runner.h"
#include "tests/support/data.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace attune::testing {
namespace {

// The made-up consortium, run once undisturbed per release; every other run is compared with it.
const std::map<std::string, std::string>& Undisturbed(const std::string& release) {
  static auto& results = *new std::map<std::string, std::map<std::string, std::string>>;
  auto [found, is_new] = results.try_emplace(release);
  if (is_new) {
    const TempFolder temp;
    const ProgramResult run = Simulate(temp / "out", {"--demo", "--quiet", "--release", release, "--plain-sums"});
    EXPECT_EQ(run.exit_code, 0) << run.output;
    found->second = Results(temp / "out");
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
  const char* release;
};

class KillAt : public ::testing::TestWithParam<Crash> {};

TEST_P(KillAt, FinishesWithTheSameBytes) {
  const TempFolder temp;
  const Crash& crash = GetParam();
  const ProgramResult run = Simulate(temp / "out", {"--demo", "--release", crash.release, "--plain-sums", "--crash-at",
                                                    absl::StrCat(crash.process, "=", crash.point)});
  ASSERT_EQ(run.exit_code, 0) << run.output;
  // Otherwise the point was never reached and nothing was tested.
  EXPECT_TRUE(absl::StrContains(run.output, absl::StrCat(crash.process, " was killed as planned"))) << run.output;
  ExpectSameBytes(Undisturbed(crash.release), Results(temp / "out"));
}

constexpr Crash kCrashes[] = {
    {"coordinator", "coordinator.upload_chunk_kept", "per_batch"},
    {"coordinator", "coordinator.answer_adopted:3", "per_batch"},
    {"coordinator", "coordinator.answer_recorded:2", "per_batch"},
    {"coordinator", "coordinator.answer_recorded:4", "per_batch"},
    {"coordinator", "coordinator.outcome_written", "per_batch"},
    {"coordinator", "coordinator.outcome_recorded", "per_batch"},
    {"coordinator", "coordinator.report_recorded:2", "per_batch"},
    {"coordinator", "coordinator.outcome_written", "pooled"},
    {"coordinator", "coordinator.outcome_recorded", "pooled"},
    {"coordinator", "coordinator.outcome_recorded:2", "pooled"},
    {"davos", "site.own_written", "per_batch"},
    {"davos", "site.answer_written", "per_batch"},
    {"davos", "site.submit_chunk", "per_batch"},
    {"davos", "site.submitted", "per_batch"},
    {"davos", "site.correction_fetched", "per_batch"},
    {"davos", "site.model_written", "per_batch"},
    {"davos", "site.harmonized", "per_batch"},
    {"davos", "site.reported", "per_batch"},
    {"davos", "site.answer_written:2", "pooled"},
    {"davos", "site.submitted:2", "pooled"},
    {"davos", "site.model_written", "pooled"},
};

INSTANTIATE_TEST_SUITE_P(EveryStep, KillAt, ::testing::ValuesIn(kCrashes), [](const auto& param) {
  std::string name = absl::StrCat(param.param.process, "_", param.param.point, "_", param.param.release);
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
  return name;
});

TEST(SameBytes, ByFolderAsByGrpc) {
  for (const char* release : {"per_batch", "pooled"}) {
    const TempFolder temp;
    const ProgramResult run =
        Simulate(temp / "out", {"--demo", "--quiet", "--via", "folder", "--release", release, "--plain-sums"});
    ASSERT_EQ(run.exit_code, 0) << run.output;
    ExpectSameBytes(Undisturbed(release), Results(temp / "out"));
  }
}

TEST(SameBytes, WithEightThreads) {
  const TempFolder temp;
  const ProgramResult run =
      Simulate(temp / "out", {"--demo", "--quiet", "--release", "per_batch", "--plain-sums", "--threads", "8"});
  ASSERT_EQ(run.exit_code, 0) << run.output;
  ExpectSameBytes(Undisturbed("per_batch"), Results(temp / "out"));
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

// Starts a simulation, waits until `arguments` of one of its children contain `text`, and returns that child.
int AwaitChild(Process& simulation, const std::string& text) {
  for (int attempt = 0; attempt < 3000; ++attempt) {
    if (simulation.Poll()) return 0;
    const std::vector<int> found = ProcessesWith(text);
    if (!found.empty()) return found.front();
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return 0;
}

TEST(Simulate, DeadSite_EndsEverythingAndShowsItsLastLines) {
  const TempFolder temp;
  ASSERT_OK_AND_ASSIGN(Process simulation,
                       Process::Start({ProgramPath("attune-simulate"), "--demo", "--out", temp / "out"}, {}, temp / "log"));
  // cmdline separates arguments by NUL.
  const int site = AwaitChild(simulation, absl::StrCat(temp / "out", "/work/sites/cardiff", std::string(1, '\0'), "run"));
  ASSERT_GT(site, 0) << temp.Read("log");
  ::kill(site, SIGKILL);
  const auto end = simulation.WaitFor(60);
  ASSERT_TRUE(end.has_value());
  EXPECT_NE(end->exit_code, 0);
  EXPECT_TRUE(absl::StrContains(temp.Read("log"), "cardiff was ended by signal 9")) << temp.Read("log");
  EXPECT_TRUE(ProcessesWith(temp / "out").empty());
}

TEST(Simulate, Interrupted_LeavesNoProcess) {
  for (const int signal : {SIGINT, SIGTERM, SIGKILL}) {
    const TempFolder temp;
    ASSERT_OK_AND_ASSIGN(Process simulation,
                         Process::Start({ProgramPath("attune-simulate"), "--demo", "--out", temp / "out"}, {}, temp / "log"));
    ASSERT_GT(AwaitChild(simulation, absl::StrCat(temp / "out", "/work/coordinator", std::string(1, '\0'), "serve")), 0)
        << temp.Read("log");
    ::kill(simulation.pid(), signal);
    const auto end = simulation.WaitFor(60);
    ASSERT_TRUE(end.has_value());
    EXPECT_NE(end->exit_code, 0);
    // The kernel ends the children of a killed parent; give it a moment.
    for (int attempt = 0; attempt < 200 && !ProcessesWith(temp / "out").empty(); ++attempt) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    EXPECT_TRUE(ProcessesWith(temp / "out").empty()) << "signal " << signal;
  }
}

}  // namespace
}  // namespace attune::testing
