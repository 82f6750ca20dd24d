// SPDX-License-Identifier: Apache-2.0
//
// Covariates that combat/1 refuses: confounded with batch, constant, collinear. The error names columns, and batches where the
// coordinator may know them.
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "tests/common/methods/combat_study.h"
#include "tests/support/data.h"
#include "tests/support/status_matchers.h"

namespace attune::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr auto kRefusedDesign = absl::StatusCode::kFailedPrecondition;

TEST(Design_Confounded, NamesColumnAndBatchesUnderPerBatchOnly) {
  for (const v1::MissingValues missing : {v1::MISSING_VALUES_REFUSE, v1::MISSING_VALUES_ALLOW}) {
    SyntheticStudy study = MakeSynthetic({.seed = 1, .batches_per_site = {1, 1, 1}});
    for (Row& row : study.rows) row.covariates[1] = row.batch == study.facts.batches[1] ? 1 : 0;
    if (missing == v1::MISSING_VALUES_ALLOW) {
      // A feature that is set aside for another reason must not be the one that the message looks at.
      for (Row& row : study.rows) row.values[0] = row.batch == study.facts.batches[1] ? 5 : row.values[0];
    }
    study.facts.options = CombatOptionsOf([&](v1::CombatOptions& o) { o.set_missing(missing); });
    study.facts.release = Release::kPerBatch;
    EXPECT_THAT(
        RunRows(CombatMethod(), study.facts, study.rows),
        StatusIs(kRefusedDesign,
                 AllOf(HasSubstr("'sex[M]' does not vary within any batch"), HasSubstr("cannot be told from the batches'"),
                       HasSubstr("(site10/scanner0, site11/scanner0, site12/scanner0)"), Not(HasSubstr("'age'")))));
    study.facts.release = Release::kPooled;
    EXPECT_THAT(RunRows(CombatMethod(), study.facts, study.rows),
                StatusIs(kRefusedDesign, AllOf(HasSubstr("'sex[M]' does not vary within any batch"), Not(HasSubstr("site1")))));
  }
}

TEST(Design_Confounded, SumOfZeroOverTheBatches_IsNotTakenForVariation) {
  // Scanner strength, z-scored over the cohort: its sum over everybody is 0 but for rounding, and so is its sum of squares'
  // part that could tell how large rounding is.
  for (const v1::MissingValues missing : {v1::MISSING_VALUES_REFUSE, v1::MISSING_VALUES_ALLOW}) {
    for (const Release release : kReleases) {
      for (const std::vector<int>& sizes : {std::vector<int>{12, 12}, {25, 37}, {20, 22, 24}, {30, 17, 60}}) {
        SyntheticStudy study = MakeSynthetic(
            {.seed = 8, .batches_per_site = std::vector<int>(sizes.size(), 1), .subjects_per_batch = 60, .covariates = 1});
        for (std::size_t b = 0; b < sizes.size(); ++b) Shrink(study, study.facts.batches[b], sizes[b]);
        const double strengths[] = {1.5, 3, 7};
        const auto strength = [&](const Row& row) {
          for (std::size_t b = 0; b < sizes.size(); ++b) {
            if (row.batch == study.facts.batches[b]) return strengths[b];
          }
          return 0.0;
        };
        double sum = 0;
        double squares = 0;
        for (const Row& row : study.rows) sum += strength(row);
        const double mean = sum / static_cast<double>(study.rows.size());
        for (const Row& row : study.rows) squares += (strength(row) - mean) * (strength(row) - mean);
        const double sd = std::sqrt(squares / static_cast<double>(study.rows.size()));
        study.facts.covariates.push_back({"tesla", "z", {}});
        for (Row& row : study.rows) row.covariates.push_back((strength(row) - mean) / sd);
        study.facts.options = CombatOptionsOf([&](v1::CombatOptions& o) { o.set_missing(missing); });
        study.facts.release = release;
        EXPECT_THAT(
            RunRows(CombatMethod(), study.facts, study.rows),
            StatusIs(kRefusedDesign, AllOf(HasSubstr("'tesla' does not vary within any batch"),
                                           HasSubstr("cannot be told from the batches'"), Not(HasSubstr("everybody")))));
      }
    }
  }
}

TEST(Design_Constant, SaysThatItIsTheSameForEverybody) {
  for (const Release release : kReleases) {
    for (const double level : {0.0, 1.0}) {
      SyntheticStudy study = MakeSynthetic({.seed = 2});
      study.facts.release = release;
      for (Row& row : study.rows) row.covariates[2] = level;
      EXPECT_THAT(RunRows(CombatMethod(), study.facts, study.rows),
                  StatusIs(kRefusedDesign, AllOf(HasSubstr("'dx[patient]'"), HasSubstr("the same for everybody"))));
    }
  }
}

TEST(Design_Constant, LargeNumberWithoutVariation_IsNotTakenForVariation) {
  SyntheticStudy study = MakeSynthetic({.seed = 2});
  for (Row& row : study.rows) row.covariates[0] = 1234567.1;
  EXPECT_THAT(RunRows(CombatMethod(), study.facts, study.rows), StatusIs(kRefusedDesign, HasSubstr("'age' does not vary")));
}

TEST(Design_Collinear, NamesWhatDependsOnWhat) {
  for (const Release release : kReleases) {
    SyntheticStudy study = MakeSynthetic({.seed = 3});
    study.facts.release = release;
    study.facts.covariates.push_back({"age_in_months", "months", {}});
    for (Row& row : study.rows) row.covariates.push_back(12 * row.covariates[0]);
    EXPECT_THAT(RunRows(CombatMethod(), study.facts, study.rows),
                StatusIs(kRefusedDesign, HasSubstr("'age_in_months' is, within the batches, a linear combination of age.")));
  }
}

TEST(Design_Collinear, SumOfTwoColumns) {
  SyntheticStudy study = MakeSynthetic({.seed = 3});
  study.facts.covariates.push_back({"score", "", {}});
  for (Row& row : study.rows)
    row.covariates.push_back(2 * row.covariates[1] - 3 * row.covariates[3] + (row.batch < "site11" ? 5 : 0));
  EXPECT_THAT(
      RunRows(CombatMethod(), study.facts, study.rows),
      StatusIs(kRefusedDesign, HasSubstr("'score' is, within the batches, a linear combination of sex[M], dx[relative].")));
}

TEST(Design_NearlyCollinear, IsAllowed) {
  SyntheticStudy study = MakeSynthetic({.seed = 4});
  study.facts.covariates.push_back({"age_again", "years", {}});
  Dice dice(1);
  for (Row& row : study.rows) row.covariates.push_back(row.covariates[0] + 0.01 * dice.Normal());
  EXPECT_OK(RunRows(CombatMethod(), study.facts, study.rows));
}

TEST(Design_CovariatesOfWildlyDifferentScale, AreAllowed) {
  SyntheticStudy study = MakeSynthetic({.seed = 5});
  const SyntheticStudy same = study;
  for (Row& row : study.rows) row.covariates[0] *= 1e9;
  ASSERT_OK_AND_ASSIGN(const Values scaled, Harmonize(CombatMethod(), study.facts, study.rows));
  ASSERT_OK_AND_ASSIGN(const Values plain, Harmonize(CombatMethod(), same.facts, same.rows));
  EXPECT_LE(LargestRelativeDifference(scaled, plain), 1e-10);
}

TEST(Design_RealCase, First12OfCmuAndOlin_DxIsConfounded) {
  const auto data = SharedFolder("data/abide");
  if (!data) GTEST_SKIP() << "no ../shared/data/abide beside the project";
  const NaiveTable people = ReadNaive(*data + "/participants.tsv");
  const NaiveTable thickness = ReadNaive(*data + "/thickness.tsv");
  std::map<std::string, const std::vector<std::string>*> values_of;
  for (const auto& row : thickness.rows) values_of[row[0]] = &row;
  StudyFacts facts;
  facts.features = std::vector<std::string>(thickness.header.begin() + 1, thickness.header.end());
  facts.covariates = {{"age", "years", {}}, {"sex", "", {"F", "M"}}, {"dx", "", {"control", "autism"}}};
  facts.batches = {"CMU/all", "OLIN/all"};
  std::map<std::string, int> taken;
  std::vector<Row> rows;
  for (const auto& person : people.rows) {
    const std::string& site = person[people.Column("site")];
    if ((site != "CMU" && site != "OLIN") || ++taken[site] > 12) continue;
    Row row{person[0], MakeBatchId(site, kOnlyBatchLabel), {Number(person[people.Column("age")])}, {}};
    row.covariates.push_back(person[people.Column("sex")] == "M" ? 1 : 0);
    row.covariates.push_back(person[people.Column("dx")] == "autism" ? 1 : 0);
    const std::vector<std::string>& cells = *values_of.at(person[0]);
    for (std::size_t c = 1; c < cells.size(); ++c) row.values.push_back(Number(cells[c]));
    rows.push_back(row);
  }
  ASSERT_EQ(rows.size(), 24);
  EXPECT_THAT(RunRows(CombatMethod(), facts, rows),
              StatusIs(kRefusedDesign, AllOf(HasSubstr("'dx[autism]' does not vary within any batch"),
                                             HasSubstr("(CMU/all, OLIN/all)"), Not(HasSubstr("sex")))));
  facts.release = Release::kPooled;
  EXPECT_THAT(
      RunRows(CombatMethod(), facts, rows),
      StatusIs(kRefusedDesign, AllOf(HasSubstr("'dx[autism]' does not vary"), Not(HasSubstr("CMU")), Not(HasSubstr("OLIN")))));
  facts.covariates.pop_back();
  for (Row& row : rows) row.covariates.pop_back();
  EXPECT_OK(RunRows(CombatMethod(), facts, rows));
}

}  // namespace
}  // namespace attune::testing
