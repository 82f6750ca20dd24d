// SPDX-License-Identifier: Apache-2.0
#include "coordinator/simulate/process.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace attune {
namespace {

using ::attune::testing::TempFolder;
using ::testing::HasSubstr;

absl::StatusOr<Process> Shell(const TempFolder& folder, const std::string& script,
                              const std::vector<std::string>& environment = {}) {
  return Process::Start({"/bin/sh", "-c", script}, environment, folder / "log");
}

TEST(ProcessTest, ExitCodeAndLog) {
  const TempFolder folder;
  ASSERT_OK_AND_ASSIGN(Process process, Shell(folder, "echo out; echo $NAME >&2; exit 7", {"NAME=value"}));
  const auto end = process.WaitFor(20);
  ASSERT_TRUE(end.has_value());
  EXPECT_EQ(end->exit_code, 7);
  EXPECT_FALSE(end->signalled);
  EXPECT_EQ(folder.Read("log"), "out\nvalue\n");
  EXPECT_EQ(LastLines(folder / "log", 1), "value");
}

TEST(ProcessTest, NoSuchProgram) {
  const TempFolder folder;
  ASSERT_OK_AND_ASSIGN(Process process, Process::Start({"/no/such/program"}, {}, folder / "log"));
  const auto end = process.WaitFor(20);
  ASSERT_TRUE(end.has_value());
  EXPECT_EQ(end->exit_code, 127);
  EXPECT_THAT(folder.Read("log"), HasSubstr("cannot run '/no/such/program'"));
}

TEST(ProcessTest, Stop_AlsoOneThatDoesNotListen) {
  const TempFolder folder;
  ASSERT_OK_AND_ASSIGN(Process process, Shell(folder, "trap '' TERM; echo up; while :; do sleep 1; done"));
  while (folder.Read("log").empty()) EXPECT_FALSE(process.WaitFor(0.01).has_value());
  const pid_t pid = process.pid();
  process.Stop();
  EXPECT_NE(::kill(pid, 0), 0);
  EXPECT_TRUE(process.Poll()->signalled);
}

TEST(ProcessTest, Poll_WhenNobodyCanWait) {
  // As under a parent that ignores SIGCHLD: the kernel takes the child away, and how it ended is lost.
  const TempFolder folder;
  const auto before = ::signal(SIGCHLD, SIG_IGN);
  ASSERT_OK_AND_ASSIGN(Process process, Shell(folder, "exit 0"));
  const auto end = process.WaitFor(20);
  ::signal(SIGCHLD, before);
  ASSERT_TRUE(end.has_value());
  EXPECT_NE(end->exit_code, 0);
}

}  // namespace
}  // namespace attune
