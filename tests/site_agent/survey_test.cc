// SPDX-License-Identifier: Apache-2.0
#include "site_agent/survey.h"

#include <limits>

#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "tests/support/memory_cohort.h"
#include "tests/support/status_matchers.h"

namespace attune {
namespace {

using ::testing::HasSubstr;
using testing::MemoryCohort;
using testing::Row;
using testing::StatusIs;

constexpr double kSurveyNan = std::numeric_limits<double>::quiet_NaN();
const std::vector<Covariate> kSurveySex = {{.name = "sex", .levels = {"F", "M"}}};

TEST(SurveyTest, SurveyPeople_CountsPeopleNotRows) {
  // a has two rows, once with each level; c is not estimated on.
  const MemoryCohort cohort({{.id = "a_1", .batch = "s/1", .covariates = {0}, .values = {1}, .person = "a"},
                             {.id = "a_2", .batch = "s/1", .covariates = {1}, .values = {1}, .person = "a"},
                             {.id = "b_1", .batch = "s/1", .covariates = {1}, .values = {1}, .person = "b"},
                             {.id = "c_1", .batch = "s/1", .covariates = {1}, .values = {1}, .fit = false, .person = "c"}});
  ASSERT_OK_AND_ASSIGN(const auto batches, SurveyPeople(kSurveySex, 1, cohort, {.ledger_key = "key"}));
  ASSERT_EQ(batches.size(), 1u);
  EXPECT_EQ(batches[0].people, 2);
  EXPECT_EQ(batches[0].rows, 3);
  EXPECT_EQ(batches[0].levels[0].have.people, 1);  // F: a
  EXPECT_EQ(batches[0].levels[0].lack.people, 2);
  EXPECT_EQ(batches[0].levels[1].have.people, 2);
  std::vector<std::string> digests = {HmacSha256("key", "a").substr(0, 16), HmacSha256("key", "b").substr(0, 16)};
  std::sort(digests.begin(), digests.end());
  EXPECT_EQ(batches[0].digests, digests);
}

TEST(SurveyTest, SurveyPeople_RowsOfOnePersonApart) {
  const MemoryCohort cohort({{.id = "1", .batch = "s/1", .covariates = {}, .values = {}, .person = "a"},
                             {.id = "2", .batch = "s/1", .covariates = {}, .values = {}, .person = "b"},
                             {.id = "3", .batch = "s/1", .covariates = {}, .values = {}, .person = "a"}});
  EXPECT_THAT(SurveyPeople({}, 0, cohort, {}), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("'s/1'")));
}

TEST(SurveyTest, SurveyPeople_ByFeatureWhereValuesMayBeMissing) {
  const MemoryCohort cohort({{.id = "a", .batch = "s/1", .covariates = {0}, .values = {1, kSurveyNan, kSurveyNan}},
                             {.id = "b", .batch = "s/1", .covariates = {1}, .values = {1, 2, kSurveyNan}},
                             {.id = "c", .batch = "s/1", .covariates = {1}, .values = {-5, 2, kSurveyNan}}});
  ASSERT_OK_AND_ASSIGN(const auto batches, SurveyPeople(kSurveySex, 3, cohort, {.missing = true}));
  EXPECT_EQ(batches[0].present[0].people, 3);
  EXPECT_EQ(batches[0].present[1].people, 2);
  EXPECT_EQ(batches[0].present[2].people, 0);
  EXPECT_EQ(batches[0].present_levels[1 * 2 + 0].have.people, 0) << "no woman has the second feature";
  EXPECT_EQ(batches[0].present_levels[1 * 2 + 1].have.people, 2);
  EXPECT_EQ(batches[0].FewestPeople(), 2) << "a feature that nobody has does not count";
  EXPECT_FALSE(batches[0].dominated.has_value()) << "5 of 7, 2 of 4, and nothing of nothing";
}

TEST(SurveyTest, SurveyPeople_ValueThatIsNearlyTheSum) {
  for (const double other : {1.0, 0.9}) {
    const MemoryCohort cohort({{.id = "a", .batch = "s/1", .covariates = {}, .values = {1, -9, 0}},
                               {.id = "b", .batch = "s/1", .covariates = {}, .values = {1, other, 0}}});
    ASSERT_OK_AND_ASSIGN(const auto batches, SurveyPeople({}, 3, cohort, {}));
    // 9 of 10 is not more than nine tenths.
    EXPECT_EQ(batches[0].dominated, other == 1.0 ? std::nullopt : std::optional<std::size_t>(1));
  }
}

TEST(SurveyTest, SurveyPeople_NoValueIsTheSumOfALargeBatch) {
  for (const int rows : {29, 30}) {
    std::vector<Row> cohort;
    for (int i = 0; i < rows; ++i)
      cohort.push_back({.id = absl::StrCat(100 + i), .batch = "s/1", .covariates = {}, .values = {i == 0 ? 1e6 : 1.0}});
    ASSERT_OK_AND_ASSIGN(const auto batches, SurveyPeople({}, 1, MemoryCohort(cohort), {}));
    EXPECT_EQ(batches[0].dominated.has_value(), rows == 29);
  }
}

}  // namespace
}  // namespace attune
