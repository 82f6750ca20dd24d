// SPDX-License-Identifier: Apache-2.0
//
// What the linker and the compiler made of the flags for hardened programs (common/cmake/AttuneTargets.cmake).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <string>

#include "absl/strings/str_cat.h"

namespace attune::testing {
namespace {

using ::testing::AnyOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

class Hardening : public ::testing::TestWithParam<const char*> {
 protected:
  static std::string ReadElf(const std::string& options) {
    std::FILE* const pipe =
        ::popen(absl::StrCat("LC_ALL=C readelf --wide ", options, " '", ATTUNE_BIN_DIR, "/", GetParam(), "'").c_str(), "r");
    std::string text;
    char piece[4096];
    while (pipe != nullptr) {
      const std::size_t size = std::fread(piece, 1, sizeof(piece), pipe);
      if (size == 0) break;
      text.append(piece, size);
    }
    if (pipe != nullptr) ::pclose(pipe);
    return text;
  }
};

TEST_P(Hardening, Program_IsPositionIndependent) { EXPECT_THAT(ReadElf("--file-header"), HasSubstr("DYN (")); }

TEST_P(Hardening, Program_BindsAtOnceAndWriteProtectsWhatItBound) {
  EXPECT_THAT(ReadElf("--dynamic"), AnyOf(HasSubstr("BIND_NOW"), ContainsRegex("FLAGS_1.*NOW")));
  EXPECT_THAT(ReadElf("--program-headers"), HasSubstr("GNU_RELRO"));
}

TEST_P(Hardening, Program_HasNoExecutableStackNorWritableCode) {
  const std::string segments = ReadElf("--program-headers");
  EXPECT_THAT(segments, ContainsRegex("GNU_STACK .* RW "));
  EXPECT_THAT(segments, Not(ContainsRegex("RWE")));
}

TEST_P(Hardening, Program_ChecksItsStackAndItsBuffers) {
  const std::string symbols = ReadElf("--dyn-syms");
  EXPECT_THAT(symbols, HasSubstr("__stack_chk_fail"));
  EXPECT_THAT(symbols, ContainsRegex("__[a-z]+_chk@"));
}

INSTANTIATE_TEST_SUITE_P(Programs, Hardening, ::testing::Values("attune-coordinator", "attune-site", "attune-simulate"));

}  // namespace
}  // namespace attune::testing
