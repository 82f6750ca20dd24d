// SPDX-License-Identifier: Apache-2.0
//
// Federated equals pooled: both releases give the same numbers, and these are what a naive ComBat computes from all rows at
// once.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <tuple>

#include "tests/laws/variants.h"
#include "tests/support/in_memory_study.h"
#include "tests/support/naive_combat.h"
#include "tests/support/status_matchers.h"
#include "tests/support/synthetic.h"

namespace attune::testing {
namespace {

TEST(Release, PooledGivesTheSameCommonBytesAndValuesAsPerBatch) {
  for (const Variant& variant : AllVariants()) {
    SCOPED_TRACE(variant.name);
    SyntheticStudy study = MakeSynthetic({.seed = 4, .features = 15, .missing_rate = variant.missing ? 0.03 : 0});
    study.facts.options = variant.options;
    study.facts.release = Release::kPerBatch;
    ASSERT_OK_AND_ASSIGN(const FoldResult per_batch, RunRows(*variant.method, study.facts, study.rows));
    ASSERT_OK_AND_ASSIGN(const Values values_per_batch, ApplyRows(*variant.method, per_batch, study.rows));
    study.facts.release = Release::kPooled;
    ASSERT_OK_AND_ASSIGN(const FoldResult pooled, RunRows(*variant.method, study.facts, study.rows));
    ASSERT_OK_AND_ASSIGN(const Values values_pooled, ApplyRows(*variant.method, pooled, study.rows));
    EXPECT_TRUE(SameBytes(per_batch.correction.common, pooled.correction.common));
    EXPECT_EQ(per_batch.correction.by_batch.size(), study.facts.batches.size());
    EXPECT_TRUE(pooled.correction.by_batch.empty());
    EXPECT_LE(LargestRelativeDifference(values_pooled, values_per_batch), 1e-12);
  }
}

// Every combination of ComBat's options.
using Combination = std::tuple<v1::Prior, bool /*mean_only*/, bool /*reference*/, bool /*missing*/, bool /*small batches*/>;
class CombatFederated : public ::testing::TestWithParam<Combination> {};

TEST_P(CombatFederated, EqualsNaivePooledReference) {
  const auto& [prior, mean_only, reference, missing, small] = GetParam();
  const Method& method = *FindMethod("combat/1");
  const std::vector<std::vector<int>> shapes = {{1, 1, 1}, {1, 2, 5}, {5}};
  for (std::size_t shape = 0; shape < shapes.size(); ++shape) {
    SCOPED_TRACE(shape);
    SyntheticStudy study = MakeSynthetic({.seed = 100 + shape,
                                          .batches_per_site = shapes[shape],
                                          .subjects_per_batch = 16,
                                          .features = 14,
                                          .covariates = static_cast<int>(3 - shape),
                                          .missing_rate = missing ? 0.04 : 0});
    v1::CombatOptions options;
    options.set_prior(prior);
    options.set_mean_only(mean_only);
    options.set_missing(missing ? v1::MISSING_VALUES_ALLOW : v1::MISSING_VALUES_REFUSE);
    NaiveOptions naive{.prior = prior == v1::PRIOR_NONE            ? NaivePrior::kNone
                                : prior == v1::PRIOR_NONPARAMETRIC ? NaivePrior::kNonparametric
                                                                   : NaivePrior::kParametric,
                       .mean_only = mean_only};
    if (reference) {
      naive.reference = study.facts.batches[1];
      options.set_reference_batch(naive.reference);
    }
    if (small) {
      options.set_small_batches(v1::SMALL_BATCHES_MEAN_ONLY);
      std::size_t kept = 0;
      std::erase_if(study.rows, [&](const Row& row) { return row.batch == study.facts.batches[0] && ++kept > 4; });
    }
    study.rows[25].fit = false;  // a person who is harmonized, but not estimated on
    study.facts.options = options.SerializeAsString();
    const NaiveResult expected = NaiveCombat(study.rows, naive);
    EXPECT_EQ(std::count(expected.adjusted.begin(), expected.adjusted.end(), true), 14);
    for (const Release release : kReleases) {
      study.facts.release = release;
      ASSERT_OK_AND_ASSIGN(const Values values, Harmonize(method, study.facts, study.rows));
      EXPECT_LE(LargestRelativeDifference(values, expected.values), 1e-10)
          << (release == Release::kPooled ? "pooled" : "per_batch");
    }
  }
}

std::string NameOf(const ::testing::TestParamInfo<Combination>& info) {
  const auto& [prior, mean_only, reference, missing, small] = info.param;
  std::string name = prior == v1::PRIOR_NONE ? "none" : prior == v1::PRIOR_PARAMETRIC ? "parametric" : "nonparametric";
  if (mean_only) name += "_mean_only";
  if (reference) name += "_reference";
  if (missing) name += "_missing";
  if (small) name += "_small_batch";
  return name;
}

INSTANTIATE_TEST_SUITE_P(AllOptions, CombatFederated,
                         ::testing::Combine(::testing::Values(v1::PRIOR_PARAMETRIC, v1::PRIOR_NONPARAMETRIC, v1::PRIOR_NONE),
                                            ::testing::Bool(), ::testing::Bool(), ::testing::Bool(), ::testing::Bool()),
                         NameOf);

TEST(CombatFederatedFeatures, ConstantOrEmptyInABatch_EqualNaivePooledReference) {
  SyntheticStudy study = MakeSynthetic({.seed = 9, .features = 16, .missing_rate = 0.05});
  for (Row& row : study.rows) {
    if (row.batch == study.facts.batches[2]) row.values[4] = 7.25;
    if (row.batch == study.facts.batches[3]) row.values[6] = std::nan("");
  }
  v1::CombatOptions options;
  options.set_missing(v1::MISSING_VALUES_ALLOW);
  study.facts.options = options.SerializeAsString();
  const NaiveResult expected = NaiveCombat(study.rows, {});
  EXPECT_EQ(std::count(expected.adjusted.begin(), expected.adjusted.end(), true), 14);
  for (const Release release : kReleases) {
    study.facts.release = release;
    ASSERT_OK_AND_ASSIGN(const Values values, Harmonize(*FindMethod("combat/1"), study.facts, study.rows));
    EXPECT_LE(LargestRelativeDifference(values, expected.values), 1e-10);
  }
}

}  // namespace
}  // namespace attune::testing
