// SPDX-License-Identifier: Apache-2.0
//
// "Did it help?": the figures before and after are those of dense least squares on the actual rows, whichever way they were
// computed.
#include <gtest/gtest.h>

#include <cmath>

#include "common/evidence/summary.h"
#include "tests/common/methods/combat_study.h"
#include "tests/support/naive_combat.h"
#include "tests/support/status_matchers.h"

namespace attune::testing {
namespace {

constexpr double kTolerance = 1e-10;  // relative; a federated F and one from rows differ by rounding alone

void ExpectFigures(const Blocks& evidence, const std::string& phase, Eigen::Index f, const NaiveFigures& expected) {
  SCOPED_TRACE(phase + "feature " + std::to_string(f));
  const auto near = [&](const std::string& block, Eigen::Index row, double want) {
    EXPECT_NEAR(evidence[phase + block](row, f), want, kTolerance * std::max(1.0, std::abs(want))) << block;
  };
  EXPECT_EQ(evidence["tested"](0, f), 1);
  EXPECT_EQ(evidence["count"](0, f), expected.count);
  near("f", 0, expected.f);
  near("partial_eta_squared", 0, expected.partial_eta_squared);
  for (std::size_t c = 0; c < expected.covariate_f.size(); ++c)
    near("covariate_f", static_cast<Eigen::Index>(c), expected.covariate_f[c]);
  if (evidence.Has(phase + "log_scale_ratio")) near("log_scale_ratio", 0, expected.log_scale_ratio);
}

// Runs the study under both releases and compares every tested feature with the figures from its rows, before and after.
void ExpectFiguresOfRows(SyntheticStudy study) {
  for (const Release release : kReleases) {
    study.facts.release = release;
    SCOPED_TRACE(release == Release::kPooled ? "pooled" : "per_batch");
    ASSERT_OK_AND_ASSIGN(const FoldResult result, RunRows(CombatMethod(), study.facts, study.rows));
    ASSERT_OK_AND_ASSIGN(const Values after, ApplyRows(CombatMethod(), result, study.rows));
    Values before;
    for (const Row& row : study.rows) before.push_back(row.values);
    const Blocks& evidence = result.correction.evidence;
    EXPECT_EQ(evidence.Has("before.log_scale_ratio"), release == Release::kPerBatch);
    EXPECT_EQ(evidence["batches"](0, 0), static_cast<double>(study.facts.batches.size()));
    int tested = 0;
    for (std::size_t f = 0; f < study.facts.features.size(); ++f) {
      const auto column = static_cast<Eigen::Index>(f);
      EXPECT_EQ(evidence["tested"](0, column), result.correction.common["status"](0, column) == 0 ? 1 : 0);
      if (evidence["tested"](0, column) == 0) continue;
      ++tested;
      ExpectFigures(evidence, "before.", column, FiguresOfFeature(study.rows, before, f, study.facts.covariates));
      ExpectFigures(evidence, "after.", column, FiguresOfFeature(study.rows, after, f, study.facts.covariates));
    }
    EXPECT_GE(tested, 9);
  }
}

TEST(Evidence, EqualsFiguresFromRows) { ExpectFiguresOfRows(MakeSynthetic({.seed = 1})); }

TEST(Evidence, EqualsFiguresFromRows_WithoutCovariates) { ExpectFiguresOfRows(MakeSynthetic({.seed = 2, .covariates = 0})); }

TEST(Evidence, EqualsFiguresFromRows_MissingValues) {
  SyntheticStudy study = MakeSynthetic({.seed = 3, .missing_rate = 0.06});
  study.facts.options = CombatOptionsOf([](v1::CombatOptions& o) { o.set_missing(v1::MISSING_VALUES_ALLOW); });
  ExpectFiguresOfRows(study);
}

TEST(Evidence, EqualsFiguresFromRows_ReferenceBatch) {
  for (const v1::MissingValues missing : {v1::MISSING_VALUES_REFUSE, v1::MISSING_VALUES_ALLOW}) {
    SyntheticStudy study = MakeSynthetic({.seed = 4, .missing_rate = missing == v1::MISSING_VALUES_ALLOW ? 0.05 : 0});
    study.facts.options = CombatOptionsOf([&](v1::CombatOptions& o) {
      o.set_reference_batch("site12/scanner1");
      o.set_missing(missing);
    });
    ExpectFiguresOfRows(study);
  }
}

TEST(Evidence, EqualsFiguresFromRows_SmallBatchAndFeaturesSetAside) {
  SyntheticStudy study = MakeSynthetic({.seed = 5});
  Shrink(study, "site11/scanner1", 4);
  for (Row& row : study.rows) row.values[0] = row.batch == "site10/scanner0" ? 4 : row.values[0];
  for (Row& row : study.rows) row.values[8] = 2 * row.covariates[0];
  study.facts.options = CombatOptionsOf([](v1::CombatOptions& o) { o.set_small_batches(v1::SMALL_BATCHES_MEAN_ONLY); });
  ExpectFiguresOfRows(study);
}

TEST(Evidence, EqualsFiguresFromRows_FarFromZero) {
  // Means of a million deviations, as volumes in mm3 have: the figures rest on differences of sums of squares.
  SyntheticStudy study = MakeSynthetic({.seed = 6});
  for (Row& row : study.rows) {
    for (double& value : row.values) value = std::round(value * 1024) / 1024 + 1e6;
  }
  for (const Release release : kReleases) {
    study.facts.release = release;
    ASSERT_OK_AND_ASSIGN(const FoldResult result, RunRows(CombatMethod(), study.facts, study.rows));
    Values near_zero;
    for (const Row& row : study.rows) {
      near_zero.push_back(row.values);
      for (double& value : near_zero.back()) value -= 1e6;
    }
    for (std::size_t f = 0; f < 12; ++f) {
      const NaiveFigures expected = FiguresOfFeature(study.rows, near_zero, f, study.facts.covariates);
      EXPECT_NEAR(result.correction.evidence["before.f"](0, static_cast<Eigen::Index>(f)) / expected.f, 1, 1e-7);
    }
  }
}

TEST(Evidence, EveryTileOfFeatures) {
  // Evidence is computed in tiles of 2048 features; without a prior, features are independent of each other.
  constexpr std::size_t kFeatures = 2100;
  SyntheticStudy study = MakeSynthetic({.seed = 7, .batches_per_site = {1, 2}, .features = kFeatures});
  study.facts.options = CombatOptionsOf([](v1::CombatOptions& o) { o.set_prior(v1::PRIOR_NONE); });
  for (const Release release : kReleases) {
    study.facts.release = release;
    ASSERT_OK_AND_ASSIGN(const FoldResult result, RunRows(CombatMethod(), study.facts, study.rows));
    ASSERT_OK_AND_ASSIGN(const Values after, ApplyRows(CombatMethod(), result, study.rows));
    Values before;
    for (const Row& row : study.rows) before.push_back(row.values);
    for (const std::size_t f : {std::size_t{0}, std::size_t{2047}, std::size_t{2048}, kFeatures - 1}) {
      const auto column = static_cast<Eigen::Index>(f);
      ExpectFigures(result.correction.evidence, "before.", column,
                    FiguresOfFeature(study.rows, before, f, study.facts.covariates));
      ExpectFigures(result.correction.evidence, "after.", column,
                    FiguresOfFeature(study.rows, after, f, study.facts.covariates));
    }
  }
}

TEST(Evidence, OneBatchAlone_NothingToTestAgainst) {
  SyntheticStudy study = MakeSynthetic({.seed = 8, .batches_per_site = {1}, .subjects_per_batch = 60});
  for (const Release release : kReleases) {
    study.facts.release = release;
    ASSERT_OK_AND_ASSIGN(const FoldResult result, RunRows(CombatMethod(), study.facts, study.rows));
    ASSERT_OK_AND_ASSIGN(const EvidenceSummary summary, Summarize(result.correction.evidence, study.facts));
    EXPECT_EQ(summary.before.tested, 12);
    EXPECT_EQ(summary.before.with_batch_effect, 0);
    EXPECT_EQ(summary.after.with_batch_effect, 0);
  }
}

TEST(Evidence, Summary_SiteEffectGoesAndCovariateStays) {
  SyntheticStudy study = MakeSynthetic({.seed = 9, .subjects_per_batch = 60, .location_sd = 2});
  for (const Release release : kReleases) {
    study.facts.release = release;
    ASSERT_OK_AND_ASSIGN(const FoldResult result, RunRows(CombatMethod(), study.facts, study.rows));
    ASSERT_OK_AND_ASSIGN(const EvidenceSummary summary, Summarize(result.correction.evidence, study.facts));
    EXPECT_EQ(summary.subjects, static_cast<std::int64_t>(study.rows.size()));
    EXPECT_EQ(summary.before.with_batch_effect, 12);
    EXPECT_EQ(summary.after.with_batch_effect, 0);
    EXPECT_GT(summary.before.median_partial_eta_squared, 0.3);
    EXPECT_LT(summary.after.median_partial_eta_squared, 0.02);
    ASSERT_EQ(summary.before.covariate_features.size(), 3);
    EXPECT_EQ(summary.after.covariate_features[0], 12) << "age";
    EXPECT_EQ(summary.after.median_scale_ratio.has_value(), release == Release::kPerBatch);
    if (summary.after.median_scale_ratio) {
      EXPECT_LT(*summary.after.median_scale_ratio, *summary.before.median_scale_ratio);
      EXPECT_GE(*summary.after.median_scale_ratio, 1);
    }
  }
}

}  // namespace
}  // namespace attune::testing
