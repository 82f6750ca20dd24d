// SPDX-License-Identifier: Apache-2.0
#include "common/base/crash_point.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <csignal>

namespace attune {
namespace {

// Passes are counted over the life of a program, so each case dies, or lives, in a process of its own.
void Pass(const char* variable) {
  if (variable != nullptr) ::setenv("ATTUNE_CRASH_AT", variable, 1);
  CrashPoint("other");
  CrashPoint("here");
  CrashPoint("here");
  std::_Exit(0);
}

TEST(CrashPointDeathTest, KillsAtTheNamedOne) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(Pass("here"), ::testing::KilledBySignal(SIGKILL), "");
  EXPECT_EXIT(Pass("here:2"), ::testing::KilledBySignal(SIGKILL), "");
  EXPECT_EXIT(Pass("here:3"), ::testing::ExitedWithCode(0), "");
  EXPECT_EXIT(Pass("nowhere"), ::testing::ExitedWithCode(0), "");
  EXPECT_EXIT(Pass(nullptr), ::testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace attune
