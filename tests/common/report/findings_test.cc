// SPDX-License-Identifier: Apache-2.0
//
// Each finding has a study that triggers it, and one that does not.
#include "common/report/findings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/common/methods/combat_study.h"
#include "tests/common/report/report_study.h"

namespace attune::testing {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

std::vector<std::string> Codes(const v1::Report& report) {
  std::vector<std::string> codes;
  for (const v1::Finding& finding : report.findings()) codes.push_back(finding.code());
  return codes;
}

const v1::Finding* Find(const v1::Report& report, const std::string& code) {
  for (const v1::Finding& finding : report.findings()) {
    if (finding.code() == code) return &finding;
  }
  return nullptr;
}

v1::Report ReportOf(const ReportInput& input) {
  absl::StatusOr<v1::Report> report = MakeReport(input);
  EXPECT_OK(report);
  return report.ok() ? *std::move(report) : v1::Report();
}

// Nothing is wrong with it.
SyntheticStudy Quiet() {
  return MakeSynthetic({.seed = 41, .batches_per_site = {1, 1, 1}, .subjects_per_batch = 40, .features = 30});
}

TEST(Findings, OfAGoodStudy) {
  const v1::Report report = ReportOf(InputOf(Quiet()));
  const std::vector<std::string> codes = Codes(report);
  EXPECT_THAT(codes, Contains("batch_effect_removed"));
  EXPECT_THAT(codes, Contains("covariate_effects_kept"));
  EXPECT_THAT(codes, Contains("scales_alike"));
  EXPECT_THAT(codes, Contains("in_sample"));
  for (const char* code : {"few_subjects", "few_subjects_note", "unequal_batches", "small_batches", "features_left_out",
                           "no_empirical_bayes", "site_left_out", "site_unfinished", "nothing_tested", "pooled"}) {
    EXPECT_THAT(codes, Not(Contains(code)));
  }
}

TEST(Findings, TheGravestFirst) {
  ReportInput input = InputOf(Quiet());
  input.left_out = {"site99"};
  const v1::Report report = ReportOf(input);
  for (int i = 1; i < report.findings_size(); ++i) {
    EXPECT_LE(report.findings(i - 1).severity(), report.findings(i).severity());
  }
  EXPECT_EQ(report.findings(0).code(), "site_left_out");
}

TEST(Findings, FewSubjects) {
  SyntheticStudy study = Quiet();
  Shrink(study, "site10/scanner0", 19);
  Shrink(study, "site11/scanner0", 20);
  const v1::Report report = ReportOf(InputOf(study));
  ASSERT_NE(Find(report, "few_subjects"), nullptr);
  EXPECT_THAT(Find(report, "few_subjects")->detail(), HasSubstr("site10 (19)"));
  EXPECT_THAT(Find(report, "few_subjects")->detail(), Not(HasSubstr("site11")));
  ASSERT_NE(Find(report, "few_subjects_note"), nullptr);
  EXPECT_THAT(Find(report, "few_subjects_note")->detail(), HasSubstr("site11 (20)"));
  // 42 against 19.
  ASSERT_NE(Find(report, "unequal_batches"), nullptr);
  EXPECT_THAT(Find(report, "unequal_batches")->detail(), HasSubstr("2.2 times"));
}

TEST(Findings, SmallBatches) {
  SyntheticStudy study = Quiet();
  Shrink(study, "site10/scanner0", 6);
  study.facts.options = CombatOptionsOf([](v1::CombatOptions& o) { o.set_small_batches(v1::SMALL_BATCHES_MEAN_ONLY); });
  const v1::Report report = ReportOf(InputOf(study));
  ASSERT_NE(Find(report, "small_batches"), nullptr);
  EXPECT_THAT(Find(report, "small_batches")->detail(), HasSubstr("site10 (6)"));
  EXPECT_TRUE(report.batches().batches(0).location_only());
}

TEST(Findings, FeaturesLeftOut) {
  SyntheticStudy study = Quiet();
  for (Row& row : study.rows) row.values[0] = row.batch == "site10/scanner0" ? 4 : row.values[0];
  for (Row& row : study.rows) row.values[8] = 2 * row.covariates[0];
  const v1::Report report = ReportOf(InputOf(study));
  std::string details;
  for (const v1::Finding& finding : report.findings()) {
    if (finding.code() == "features_left_out") details += finding.detail();
  }
  EXPECT_THAT(details, HasSubstr("do not vary within some batch: feature0."));
  EXPECT_THAT(details, HasSubstr("explained exactly by the covariates: feature8."));
  EXPECT_EQ(report.features().tested(), 28u);
}

TEST(Findings, NoEmpiricalBayes) {
  SyntheticStudy study = MakeSynthetic({.seed = 42, .features = 9});
  const v1::Report few = ReportOf(InputOf(study));
  ASSERT_NE(Find(few, "no_empirical_bayes"), nullptr);
  EXPECT_FALSE(few.batches().empirical_bayes());
  EXPECT_THAT(few.methods(), HasSubstr("without empirical Bayes"));
  study.facts.release = Release::kPooled;
  EXPECT_THAT(Codes(ReportOf(InputOf(study))), Contains("no_empirical_bayes"));
  // Asked for: no finding.
  study.facts.options = CombatOptionsOf([](v1::CombatOptions& o) { o.set_prior(v1::PRIOR_NONE); });
  EXPECT_THAT(Codes(ReportOf(InputOf(study))), Not(Contains("no_empirical_bayes")));
}

TEST(Findings, BatchEffectRemains) {
  // One feature with an effect that the others do not have: the prior of locations shrinks it.
  SyntheticStudy study = MakeSynthetic({.seed = 43,
                                        .batches_per_site = {1, 1, 1},
                                        .subjects_per_batch = 12,
                                        .features = 40,
                                        .location_sd = 0.01,
                                        .log_scale_sd = 0.01});
  for (Row& row : study.rows) row.values[7] += row.batch == "site10/scanner0" ? 8 : 0;
  study.facts.options = CombatOptionsOf([](v1::CombatOptions& o) { o.set_mean_only(true); });
  const v1::Report report = ReportOf(InputOf(study));
  ASSERT_NE(Find(report, "batch_effect_remains"), nullptr);
  EXPECT_THAT(Find(report, "batch_effect_remains")->detail(), HasSubstr("feature7"));
  EXPECT_EQ(Find(report, "batch_effect_removed"), nullptr);
}

TEST(Findings, NothingToRemove) {
  const SyntheticStudy study =
      MakeSynthetic({.seed = 44, .batches_per_site = {1, 1}, .subjects_per_batch = 40, .features = 30, .location_sd = 0});
  EXPECT_THAT(Codes(ReportOf(InputOf(study))), Contains("no_batch_effect_before"));
}

TEST(Findings, ScalesDiffer) {
  SyntheticStudy study = MakeSynthetic({.seed = 45, .subjects_per_batch = 40, .log_scale_sd = 0.8});
  study.facts.options = CombatOptionsOf([](v1::CombatOptions& o) { o.set_mean_only(true); });
  const v1::Report report = ReportOf(InputOf(study));
  ASSERT_NE(Find(report, "scales_differ"), nullptr);
  EXPECT_THAT(Find(report, "scales_differ")->remedy(), HasSubstr("mean_only"));
}

TEST(Findings, CovariateEffectsLost) {
  // Figures as they would be: what counts is the comparison.
  ReportInput input = InputOf(Quiet());
  input.evidence.Mutable("after.covariate_f").row(0).setZero();
  const v1::Report report = ReportOf(input);
  ASSERT_NE(Find(report, "covariate_effects_lost"), nullptr);
  EXPECT_THAT(Find(report, "covariate_effects_lost")->title(), HasSubstr("age"));
}

TEST(Findings, OneAssociationMoreOrLessIsNoLoss) {
  // With a rate of false discoveries, the last features of a list come and go.
  ReportInput input = InputOf(Quiet());
  auto before = input.evidence.Mutable("before.covariate_f");
  auto after = input.evidence.Mutable("after.covariate_f");
  before.setZero();
  after.setZero();
  for (int f = 0; f < 8; ++f) before(1, f) = 100;
  for (int f = 0; f < 6; ++f) after(1, f) = 100;
  const v1::Report report = ReportOf(input);
  EXPECT_EQ(Find(report, "covariate_effects_lost"), nullptr);
  EXPECT_THAT(Find(report, "covariate_effects_kept")->title(), HasSubstr("sex"));
  EXPECT_THAT(Find(report, "no_covariate_effects")->title(), HasSubstr("age"));
  input.evidence.Mutable("after.covariate_f").col(5).setZero();
  EXPECT_NE(Find(ReportOf(input), "covariate_effects_lost"), nullptr);
}

TEST(Findings, NothingTested) {
  ReportInput input = InputOf(Quiet());
  input.evidence.Mutable("tested").setZero();
  const v1::Report report = ReportOf(input);
  ASSERT_NE(Find(report, "nothing_tested"), nullptr);
  EXPECT_EQ(report.findings(0).severity(), v1::FINDING_SEVERITY_ERROR);
  EXPECT_NE(Find(report, "features_not_tested"), nullptr);
}

TEST(Findings, Sites) {
  ReportInput input = InputOf(Quiet());
  input.left_out = {"bergen"};
  input.unfinished = {{"oslo", "stopped_by_error"}};
  const v1::Report report = ReportOf(input);
  EXPECT_THAT(Find(report, "site_left_out")->title(), HasSubstr("bergen"));
  EXPECT_THAT(Find(report, "site_unfinished")->detail(), HasSubstr("stopped_by_error"));
}

TEST(Findings, Pooled) {
  SyntheticStudy study = Quiet();
  study.facts.release = Release::kPooled;
  EXPECT_THAT(Codes(ReportOf(InputOf(study))), Contains("pooled"));
}

}  // namespace
}  // namespace attune::testing
