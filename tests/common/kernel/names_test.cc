// SPDX-License-Identifier: Apache-2.0
//
// Names of batches and of design columns.
#include <gtest/gtest.h>

#include "common/kernel/batch_id.h"
#include "common/kernel/study_facts.h"
#include "tests/support/status_matchers.h"

namespace attune {
namespace {

using ::attune::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(BatchId, PartsOfAName) {
  EXPECT_EQ(MakeBatchId("NYU", "3T"), "NYU/3T");
  EXPECT_EQ(SiteOf("NYU/3T"), "NYU");
  EXPECT_EQ(LabelOf("NYU/3T"), "3T");
  EXPECT_EQ(SiteOf("NYU/a/b"), "NYU");
  EXPECT_EQ(LabelOf("NYU/a/b"), "a/b");
  EXPECT_EQ(LabelOf("NYU"), "");
  EXPECT_EQ(SiteOf("NYU"), "NYU");
}

TEST(ResolveBatch, FullNameLabelOrSiteWhereUnique) {
  const std::vector<BatchId> batches = {"A/prisma", "A/trio", "B/all", "C/skyra"};
  EXPECT_EQ(*ResolveBatch("A/trio", batches), "A/trio");
  EXPECT_EQ(*ResolveBatch("trio", batches), "A/trio");
  EXPECT_EQ(*ResolveBatch("B", batches), "B/all");
  EXPECT_EQ(*ResolveBatch("C", batches), "C/skyra");
}

TEST(ResolveBatch, Ambiguous_NamesTheCandidates) {
  const std::vector<BatchId> batches = {"A/prisma", "A/trio", "B/trio"};
  EXPECT_THAT(ResolveBatch("A", batches),
              StatusIs(absl::StatusCode::kInvalidArgument, AllOf(HasSubstr("A/prisma, A/trio"), Not(HasSubstr("B/trio")))));
  EXPECT_THAT(ResolveBatch("trio", batches), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("A/trio, B/trio")));
}

TEST(ResolveBatch, LabelThatIsAnotherSitesName_IsAmbiguous) {
  EXPECT_THAT(ResolveBatch("B", {"A/B", "B/all"}), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("A/B, B/all")));
  EXPECT_EQ(*ResolveBatch("B/all", {"A/B", "B/all"}), "B/all");
}

TEST(ResolveBatch, Unknown_NamesTheKnownOnes) {
  EXPECT_THAT(ResolveBatch("D", {"A/all", "B/all"}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("known batches: A/all, B/all")));
  EXPECT_THAT(ResolveBatch("", {"A/all"}), StatusIs(absl::StatusCode::kNotFound, HasSubstr("unknown batch ''")));
  EXPECT_THAT(ResolveBatch("a", {"A/all"}), StatusIs(absl::StatusCode::kNotFound, HasSubstr("'a'")));
}

TEST(DesignColumns, ContinuousOneEach_CategoricalOnePerLevelButTheFirst) {
  EXPECT_TRUE(DesignColumns({}).empty());
  const std::vector<DesignColumn> columns =
      DesignColumns({{"age", "years", {}}, {"sex", "", {"F", "M"}}, {"dx", "", {"control", "autism", "adhd"}}, {"iq", "", {}}});
  ASSERT_EQ(columns.size(), 5);
  const DesignColumn expected[] = {{"age", 0, 0}, {"sex[M]", 1, 1}, {"dx[autism]", 2, 1}, {"dx[adhd]", 2, 2}, {"iq", 3, 0}};
  for (std::size_t c = 0; c < 5; ++c) {
    EXPECT_EQ(columns[c].name, expected[c].name);
    EXPECT_EQ(columns[c].covariate, expected[c].covariate);
    EXPECT_EQ(columns[c].level, expected[c].level);
  }
}

}  // namespace
}  // namespace attune
