// SPDX-License-Identifier: Apache-2.0
//
// A consortium that has finished, and study files to try on its data.
#ifndef ATTUNE_TESTS_END_TO_END_FINISHED_CONSORTIUM_H_
#define ATTUNE_TESTS_END_TO_END_FINISHED_CONSORTIUM_H_

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "tests/end_to_end/runner.h"
#include "tests/support/temp_folder.h"

namespace attune::testing {

// A finished simulation of the made-up consortium, kept with its work folder; made once, never changed by a test.
inline const std::string& Finished() {
  static const TempFolder& temp = *new TempFolder;
  static const std::string& out = *new std::string([] {
    const ProgramResult run = Simulate(temp / "out", {"--demo", "--quiet", "--keep"});
    EXPECT_EQ(run.exit_code, 0) << run.output;
    return temp / "out";
  }());
  return out;
}

class RemoveFinished : public ::testing::Environment {
 public:
  void TearDown() override {
    std::error_code ignored;
    if (made) std::filesystem::remove_all(std::filesystem::path(Finished()).parent_path(), ignored);
  }
  static inline bool made = false;
};
inline const auto* const g_environment = ::testing::AddGlobalTestEnvironment(new RemoveFinished);

inline const std::string& Out() {
  RemoveFinished::made = true;
  return Finished();
}

inline constexpr char kTwoCovariates[] =
    "covariates:\n  - {name: age, type: continuous, unit: years}\n  - {name: sex, type: categorical, levels: [F, M]}\n";

inline std::string Study(const std::string& rest) {
  return absl::StrCat("study: test\nfeatures: {table: {columns: \"*\"}}\n", rest);
}

}  // namespace attune::testing

#endif  // ATTUNE_TESTS_END_TO_END_FINISHED_CONSORTIUM_H_
