// SPDX-License-Identifier: Apache-2.0
#include "site_agent/design_notes.h"

#include "tests/support/memory_cohort.h"
#include "tests/support/status_matchers.h"

namespace attune {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

const std::vector<Covariate> kCovariates = {{.name = "age"}, {.name = "dx", .levels = {"control", "case"}}};

testing::MemoryCohort CohortOf(const std::vector<std::vector<double>>& designs) {
  std::vector<testing::Row> rows;
  for (std::size_t i = 0; i < designs.size(); ++i) {
    rows.push_back(
        {.id = std::string(1, static_cast<char>('a' + i)), .batch = i % 2 == 0 ? "s/1" : "s/2", .covariates = designs[i]});
  }
  return testing::MemoryCohort(rows);
}

TEST(DesignNotesTest, DescribeDesign_NothingToSay) {
  EXPECT_THAT(*DescribeDesign(kCovariates, CohortOf({{1, 0}, {2, 1}, {4, 1}, {3, 0}, {9, 0}, {7, 1}})), IsEmpty());
  EXPECT_THAT(*DescribeDesign({}, CohortOf({{}, {}})), IsEmpty());
  EXPECT_THAT(*DescribeDesign(kCovariates, CohortOf({})), ElementsAre(HasSubstr("age, dx[case]")));
}

TEST(DesignNotesTest, DescribeDesign_ConstantWithinBatches) {
  // dx is the scanner.
  EXPECT_THAT(*DescribeDesign(kCovariates, CohortOf({{1, 0}, {2, 1}, {4, 0}, {3, 1}})),
              ElementsAre(AllOf(HasSubstr("dx[case]"), Not(HasSubstr("age")))));
}

TEST(DesignNotesTest, DescribeDesign_Dependent) {
  EXPECT_THAT(*DescribeDesign(kCovariates, CohortOf({{10, 0}, {20, 1}, {20, 1}, {10, 0}, {10, 0}, {20, 1}})),
              ElementsAre(HasSubstr("not independent of each other")));
}

}  // namespace
}  // namespace attune
