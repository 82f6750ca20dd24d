// SPDX-License-Identifier: Apache-2.0
//
// The agent killed at each of its crash points and started again.
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "site_agent/tables/derivative.h"
#include "tests/site_agent/study_fixture.h"

namespace attune {
namespace {

using testing::StudyAtSite;

// Runs the agent in a process of its own, which kills itself at `point` (nowhere when that is empty); returns how that process
// ended.
int RunInChild(StudyAtSite* at, const std::string& point) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::setenv("ATTUNE_CRASH_AT", point.c_str(), 1);
    ::_exit(at->Run().ok() ? 0 : 1);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return status;
}

class CrashTest : public ::testing::TestWithParam<const char*> {};

TEST_P(CrashTest, Run_KilledAndStartedAgain) {
  StudyAtSite whole;
  ASSERT_EQ(RunInChild(&whole, ""), 0);
  StudyAtSite at;
  const int killed = RunInChild(&at, GetParam());
  ASSERT_TRUE(WIFSIGNALED(killed) && WTERMSIG(killed) == SIGKILL) << "the agent did not pass this point";
  // Whatever stands there is whole: never part of a file, and no table beside another run's model.
  for (const auto& entry : std::filesystem::directory_iterator(at.out())) {
    const std::string name = entry.path().filename().string();
    EXPECT_EQ(at.Output(name), whole.Output(name)) << name;
  }
  ASSERT_EQ(RunInChild(&at, ""), 0);
  for (const char* name : {"own-1.bundle", "answer-1.bundle"}) {
    EXPECT_EQ(at.Kept(name), whole.Kept(name)) << name;
    EXPECT_FALSE(at.Kept(name).empty());
  }
  for (const char* name : {kHarmonizedTable, kModelFile, kHarmonizedSidecar, kDescriptionFile}) {
    EXPECT_EQ(at.Output(name), whole.Output(name)) << name;
    EXPECT_FALSE(at.Output(name).empty());
  }
}

INSTANTIATE_TEST_SUITE_P(EveryPoint, CrashTest,
                         ::testing::Values("site.release_recorded", "site.own_written", "site.answer_written", "site.submitted",
                                           "site.correction_fetched", "site.harmonizing", "site.output_staged",
                                           "site.model_written", "site.harmonized", "site.reported"),
                         [](const auto& each) { return std::string(each.param).substr(5); });

}  // namespace
}  // namespace attune
