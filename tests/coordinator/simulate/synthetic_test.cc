// SPDX-License-Identifier: Apache-2.0
#include "coordinator/simulate/synthetic.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace attune {
namespace {

using ::attune::testing::StatusIs;
using ::attune::testing::TempFolder;
using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;

TEST(SyntheticTest, SameSeed_SameBytes) {
  const TempFolder folder;
  for (const char* name : {"one", "again"}) ASSERT_OK(SyntheticConsortium(5).Write(folder / name));
  ASSERT_OK(SyntheticConsortium(6).Write(folder / "other"));
  for (const char* file : {"participants.tsv", "thickness.tsv", "study.yaml"}) {
    EXPECT_EQ(folder.Read(std::string("one/") + file), folder.Read(std::string("again/") + file));
  }
  EXPECT_NE(folder.Read("one/thickness.tsv"), folder.Read("other/thickness.tsv"));
}

TEST(SyntheticTest, Compare_UntouchedData_AfterIsBefore) {
  const TempFolder folder;
  const SyntheticConsortium consortium(1);
  ASSERT_OK(consortium.Write(folder / "data"));
  ASSERT_OK_AND_ASSIGN(const std::string table, consortium.Compare(folder / "data/thickness.tsv"));
  // Scanner, subjects; location true, before, after; scale true, before, after.
  EXPECT_THAT(table, AllOf(ContainsRegex("davos/mr750 +35 +\\+0.1[0-9]+ +(\\+0.1[0-9]+) +\\+0.1[0-9]+ +1.10"),
                           ContainsRegex("age effect, mm per year: true -0.00[0-9]+, before -0.00[0-9]+, after -0.00[0-9]+")));
  EXPECT_THAT(consortium.Compare(folder / "data/participants.tsv"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("not this consortium")));
}

}  // namespace
}  // namespace attune
