// SPDX-License-Identifier: Apache-2.0
//
// What harmonization is for: a known site effect goes, a known age effect stays, and nothing else is touched.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/laws/variants.h"
#include "tests/support/in_memory_study.h"
#include "tests/support/naive_combat.h"
#include "tests/support/status_matchers.h"
#include "tests/support/synthetic.h"

namespace attune::testing {
namespace {

const Method& Combat() { return *FindMethod("combat/1"); }

std::string Options(void (*set)(v1::CombatOptions&)) {
  v1::CombatOptions options;
  set(options);
  return options.SerializeAsString();
}

// Mean and standard deviation of feature f in one batch, less an age effect with this slope.
std::pair<double, double> AgeFree(const SyntheticStudy& study, const Values& values, const BatchId& batch, std::size_t f,
                                  double slope) {
  std::vector<double> left;
  for (std::size_t r = 0; r < values.size(); ++r) {
    if (study.rows[r].batch != batch) continue;
    left.push_back(values[r][f] - slope * (study.rows[r].covariates[0] - 50));
  }
  double mean = 0;
  for (const double v : left) mean += v / static_cast<double>(left.size());
  double squares = 0;
  for (const double v : left) squares += (v - mean) * (v - mean);
  return {mean, std::sqrt(squares / static_cast<double>(left.size() - 1))};
}

// How far the batches' means and standard deviations, about the fitted age effect, may stay apart.
struct Apart {
  double location;
  double scale;
};

void ExpectRecovery(v1::Prior prior, Release release, Apart tolerance) {
  SyntheticStudy study = MakeSynthetic({.seed = 30,
                                        .batches_per_site = {1, 2, 1},
                                        .subjects_per_batch = 300,
                                        .features = 20,
                                        .covariates = 1,
                                        .location_sd = 5,
                                        .log_scale_sd = 0.25});
  v1::CombatOptions options;
  options.set_prior(prior);
  study.facts.options = options.SerializeAsString();
  study.facts.release = release;
  ASSERT_OK_AND_ASSIGN(const FoldResult result, RunRows(Combat(), study.facts, study.rows));
  ASSERT_OK_AND_ASSIGN(const Values values, ApplyRows(Combat(), result, study.rows));
  Values before;
  for (const Row& row : study.rows) before.push_back(row.values);
  double widest_location = 0;
  double widest_scale = 1;
  for (std::size_t f = 0; f < 20; ++f) {
    const double slope = result.correction.common["beta"](0, static_cast<Eigen::Index>(f));
    // The slope that was put in is the slope that comes out: standard error about 0.004.
    EXPECT_NEAR(slope, study.age_slope[static_cast<Eigen::Index>(f)], 0.02);
    const auto [mean0, sd0] = AgeFree(study, values, study.facts.batches[0], f, slope);
    const auto [raw_mean0, raw_sd0] = AgeFree(study, before, study.facts.batches[0], f, slope);
    for (const BatchId& batch : study.facts.batches) {
      const auto [mean, sd] = AgeFree(study, values, batch, f, slope);
      EXPECT_NEAR(mean, mean0, tolerance.location) << batch << " feature " << f;
      EXPECT_NEAR(sd / sd0, 1, tolerance.scale) << batch << " feature " << f;
      const auto [raw_mean, raw_sd] = AgeFree(study, before, batch, f, slope);
      widest_location = std::max(widest_location, std::abs(raw_mean - raw_mean0));
      widest_scale = std::max(widest_scale, raw_sd / raw_sd0);
    }
    const NaiveFigures figures = FiguresOfFeature(study.rows, values, f, study.facts.covariates);
    EXPECT_LT(figures.partial_eta_squared, 0.01);
    EXPECT_GT(figures.covariate_f[0], 20) << "the age effect is gone";
  }
  EXPECT_GT(widest_location, 5) << "there was nothing to remove";
  EXPECT_GT(widest_scale, 1.5) << "there was nothing to remove";
}

// Nothing is left but rounding.
TEST(Recovery, WithoutPrior_KnownSiteEffectGoesAndKnownAgeEffectStays) {
  for (const Release release : kReleases) ExpectRecovery(v1::PRIOR_NONE, release, {.location = 1e-10, .scale = 1e-10});
}

// A prior draws each batch's extremes towards the others: with a of about 10 and 300 subjects, delta2 by up to a tenth.
TEST(Recovery, ParametricPrior_KnownSiteEffectGoesAndKnownAgeEffectStays) {
  for (const Release release : kReleases) ExpectRecovery(v1::PRIOR_PARAMETRIC, release, {.location = 0.15, .scale = 0.08});
}

TEST(Identity, OneBatchAlone_ComesBackNearlyUnchanged) {
  SyntheticStudy study = MakeSynthetic({.seed = 31, .batches_per_site = {1}, .subjects_per_batch = 200, .features = 20});
  ASSERT_OK_AND_ASSIGN(const Values parametric, Harmonize(Combat(), study.facts, study.rows));
  Values original;
  for (const Row& row : study.rows) original.push_back(row.values);
  // sigma divides by N and delta2 by N - 1: a scale of 1/(2N) away from 1, nothing more.
  EXPECT_LE(LargestRelativeDifference(parametric, original), 2e-4);
  study.facts.options = Options([](v1::CombatOptions& o) { o.set_mean_only(true); });
  ASSERT_OK_AND_ASSIGN(const Values mean_only, Harmonize(Combat(), study.facts, study.rows));
  EXPECT_LE(LargestRelativeDifference(mean_only, original), 1e-13);
}

TEST(Identity, ReferenceBatch_ComesBackBitForBit) {
  for (const Release release : kReleases) {
    SyntheticStudy study = MakeSynthetic({.seed = 32, .missing_rate = 0.05});
    study.facts.release = release;
    study.facts.options = Options([](v1::CombatOptions& o) {
      o.set_reference_batch("site11/scanner1");
      o.set_missing(v1::MISSING_VALUES_ALLOW);
    });
    ASSERT_OK_AND_ASSIGN(const Values values, Harmonize(Combat(), study.facts, study.rows));
    std::size_t same = 0;
    for (std::size_t r = 0; r < values.size(); ++r) {
      const bool is_reference = study.rows[r].batch == "site11/scanner1";
      EXPECT_EQ(SameBytes(values[r], study.rows[r].values), is_reference) << study.rows[r].batch;
      same += is_reference ? 1 : 0;
    }
    EXPECT_GE(same, 20);
  }
}

// The values without feature `f`.
Values WithoutColumn(Values values, std::size_t f) {
  for (auto& row : values) row.erase(row.begin() + static_cast<std::ptrdiff_t>(f));
  return values;
}

// Harmonizes the study, and the study without feature 3; the other features must be the same bytes.
void ExpectOthersUntouched(SyntheticStudy study) {
  constexpr std::size_t kBad = 3;
  for (const Release release : kReleases) {
    study.facts.release = release;
    ASSERT_OK_AND_ASSIGN(const Values with, Harmonize(Combat(), study.facts, study.rows));
    SyntheticStudy without = study;
    without.facts.features = Without(without.facts.features, kBad);
    for (Row& row : without.rows) row.values.erase(row.values.begin() + kBad);
    ASSERT_OK_AND_ASSIGN(const Values expected, Harmonize(Combat(), without.facts, without.rows));
    EXPECT_TRUE(SameBytes(WithoutColumn(with, kBad), expected));
  }
}

TEST(Isolation, ConstantFeature_TouchesNoOther_WithAndWithoutPrior) {
  for (const v1::Prior prior : {v1::PRIOR_NONE, v1::PRIOR_PARAMETRIC, v1::PRIOR_NONPARAMETRIC}) {
    SyntheticStudy study = MakeSynthetic({.seed = 33});
    for (Row& row : study.rows) {
      if (row.batch == study.facts.batches[1]) row.values[3] = 12345.678;
    }
    v1::CombatOptions options;
    options.set_prior(prior);
    study.facts.options = options.SerializeAsString();
    ExpectOthersUntouched(study);
  }
}

TEST(Isolation, FeatureMissingInABatch_TouchesNoOther_WithAndWithoutPrior) {
  for (const v1::Prior prior : {v1::PRIOR_NONE, v1::PRIOR_PARAMETRIC}) {
    SyntheticStudy study = MakeSynthetic({.seed = 34, .missing_rate = 0.02});
    for (Row& row : study.rows) {
      if (row.batch == study.facts.batches[2]) row.values[3] = std::nan("");
    }
    v1::CombatOptions options;
    options.set_prior(prior);
    options.set_missing(v1::MISSING_VALUES_ALLOW);
    study.facts.options = options.SerializeAsString();
    ExpectOthersUntouched(study);
  }
}

TEST(Isolation, SomeMissingValues_TouchNoOtherFeature) {
  SyntheticStudy study = MakeSynthetic({.seed = 35});
  Dice dice(1);
  for (Row& row : study.rows) {
    if (dice.Below(4) == 0) row.values[3] = std::nan("");
  }
  v1::CombatOptions options;
  options.set_prior(v1::PRIOR_NONE);
  options.set_missing(v1::MISSING_VALUES_ALLOW);
  study.facts.options = options.SerializeAsString();
  ExpectOthersUntouched(study);
}

TEST(Isolation, TinyBatch_ConstantThere_FlagsNothingAndTouchesNoOther) {
  SyntheticStudy study = MakeSynthetic({.seed = 36});
  const BatchId tiny = study.facts.batches[0];
  int kept = 0;
  std::erase_if(study.rows, [&](const Row& row) { return row.batch == tiny && ++kept > 3; });
  for (Row& row : study.rows) {
    if (row.batch == tiny) row.values[3] = 50;
  }
  v1::CombatOptions options;
  options.set_prior(v1::PRIOR_NONE);
  options.set_small_batches(v1::SMALL_BATCHES_MEAN_ONLY);
  study.facts.options = options.SerializeAsString();
  ExpectOthersUntouched(study);
  ASSERT_OK_AND_ASSIGN(const FoldResult result, RunRows(Combat(), study.facts, study.rows));
  EXPECT_EQ(result.correction.common["status"].sum(), 0) << "every feature is adjusted";
}

}  // namespace
}  // namespace attune::testing
