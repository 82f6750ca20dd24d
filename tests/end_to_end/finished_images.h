// SPDX-License-Identifier: Apache-2.0
//
// A consortium on made-up images that has finished, and one site that has all of its data.
#ifndef ATTUNE_TESTS_END_TO_END_FINISHED_IMAGES_H_
#define ATTUNE_TESTS_END_TO_END_FINISHED_IMAGES_H_

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/end_to_end/runner.h"
#include "tests/support/temp_folder.h"

namespace attune::testing {

// Its folder "out" is the simulation's, with float64 images; made once for all tests of a suite, and never changed by one.
class FinishedImages : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    temp_ = new TempFolder;
    const ProgramResult run = Simulate(Out(), {"--demo-images", "--dtype", "float64", "--quiet"});
    ASSERT_EQ(run.exit_code, 0) << run.output;
  }
  static void TearDownTestSuite() {
    delete temp_;
    temp_ = nullptr;
  }

  static std::string Out() { return *temp_ / "out"; }
  static std::string Data() { return Out() + "/data"; }
  static std::string Name(int subject, const std::string& desc) {
    return absl::StrCat("sub-", subject < 10 ? "00" : "0", subject, "_desc-", desc, "_T1w.nii");
  }
  static std::string Input(int subject) { return Data() + "/images/" + Name(subject, "gm"); }
  static std::string Output(const std::string& folder, int subject) {
    return absl::StrCat(folder, "/images/", Name(subject, "gmHarmonized"), ".gz");
  }
  static constexpr int kSubjects = 48;

 private:
  static inline TempFolder* temp_ = nullptr;
};

}  // namespace attune::testing

#endif  // ATTUNE_TESTS_END_TO_END_FINISHED_IMAGES_H_
