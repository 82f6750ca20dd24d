// SPDX-License-Identifier: Apache-2.0
#include "common/evidence/summary.h"

#include <gtest/gtest.h>

#include <cmath>

#include "common/evidence/site_effect.h"
#include "tests/support/status_matchers.h"

namespace attune {
namespace {

using ::attune::testing::StatusIs;
using ::testing::HasSubstr;

// 3 batches, one covariate (1 column), so that F of batch has 2 numerator degrees of freedom, whose tail has a closed form:
// P(F > f) = (1 + 2 f / d)^(-d/2) with d denominator degrees of freedom.
class EvidenceSummaryTest : public ::testing::Test {
 protected:
  EvidenceSummaryTest() {
    facts_.covariates = {{"age", "years", {}}};
    facts_.batches = {"A/all", "B/all", "C/all"};
  }

  // Evidence of features whose batch p-values (before) are these; count 24, so d = 20.
  Blocks WithPValues(const std::vector<double>& p_values, bool scale_ratios = true) {
    facts_.features = std::vector<std::string>(p_values.size(), "f");
    Blocks evidence = Blocks::Zero(EvidenceForm(facts_, scale_ratios));
    evidence.Mutable("tested").setOnes();
    evidence.Mutable("count").setConstant(24);
    evidence.Mutable("batches").setConstant(3);
    evidence.Mutable("subjects").setConstant(24);
    for (std::size_t f = 0; f < p_values.size(); ++f) {
      evidence.Mutable("before.f")(0, static_cast<Eigen::Index>(f)) = 10 * (std::pow(p_values[f], -0.1) - 1);
    }
    return evidence;
  }

  std::int64_t RejectedBefore(const std::vector<double>& p_values) {
    const auto summary = Summarize(WithPValues(p_values), facts_);
    EXPECT_OK(summary);
    return summary.ok() ? summary->before.with_batch_effect : -1;
  }

  StudyFacts facts_;
};

TEST_F(EvidenceSummaryTest, BenjaminiHochberg_ByHand) {
  // Thresholds for 5 hypotheses: 0.01, 0.02, 0.03, 0.04, 0.05.
  EXPECT_EQ(RejectedBefore({0.9, 0.8, 0.7, 0.6, 0.5}), 0);
  EXPECT_EQ(RejectedBefore({0.009, 0.8, 0.7, 0.6, 0.5}), 1);
  EXPECT_EQ(RejectedBefore({0.011, 0.8, 0.7, 0.6, 0.5}), 0);
  // Step up: the 4th is below its threshold, and takes the 2nd and 3rd with it.
  EXPECT_EQ(RejectedBefore({0.005, 0.025, 0.035, 0.039, 0.5}), 4);
  EXPECT_EQ(RejectedBefore({0.5, 0.039, 0.035, 0.025, 0.005}), 4) << "order does not count";
  EXPECT_EQ(RejectedBefore({0.049, 0.049, 0.049, 0.049, 0.049}), 5);
  EXPECT_EQ(RejectedBefore({0.051, 0.051, 0.051, 0.051, 0.051}), 0);
  EXPECT_EQ(RejectedBefore({0.04}), 1);
}

TEST_F(EvidenceSummaryTest, CovariatesAndPhases_AreCountedApart) {
  Blocks evidence = WithPValues({0.001, 0.001, 0.9, 0.9});
  // F(1, 20): 4.351 is the 5 % point, 8.096 the 1 % point.
  evidence.Mutable("before.covariate_f") << 9, 0, 0, 0;
  evidence.Mutable("after.covariate_f") << 30, 30, 30, 4;
  ASSERT_OK_AND_ASSIGN(const EvidenceSummary summary, Summarize(evidence, facts_));
  EXPECT_EQ(summary.before.with_batch_effect, 2);
  EXPECT_EQ(summary.after.with_batch_effect, 0);
  EXPECT_EQ(summary.before.covariate_features, std::vector<std::int64_t>{1});
  EXPECT_EQ(summary.after.covariate_features, std::vector<std::int64_t>{3});
  EXPECT_EQ(summary.subjects, 24);
}

TEST_F(EvidenceSummaryTest, Medians_OddAndEven) {
  Blocks evidence = WithPValues({0.5, 0.5, 0.5});
  evidence.Mutable("before.partial_eta_squared") << 0.3, 0.1, 0.2;
  evidence.Mutable("before.log_scale_ratio") << std::log(1.5), std::log(3.0), std::log(2.0);
  ASSERT_OK_AND_ASSIGN(const EvidenceSummary odd, Summarize(evidence, facts_));
  EXPECT_EQ(odd.before.median_partial_eta_squared, 0.2);
  ASSERT_TRUE(odd.before.median_scale_ratio.has_value());
  EXPECT_NEAR(*odd.before.median_scale_ratio, 2, 1e-15);
  evidence = WithPValues({0.5, 0.5});
  evidence.Mutable("before.partial_eta_squared") << 0.3, 0.1;
  ASSERT_OK_AND_ASSIGN(const EvidenceSummary even, Summarize(evidence, facts_));
  EXPECT_DOUBLE_EQ(even.before.median_partial_eta_squared, 0.2);
}

TEST_F(EvidenceSummaryTest, FeaturesNotTested_DoNotCount) {
  Blocks evidence = WithPValues({1e-9, 1e-9, 0.03});
  evidence.Mutable("tested")(0, 0) = 0;
  evidence.Mutable("count")(0, 1) = 4;  // no degrees of freedom
  ASSERT_OK_AND_ASSIGN(const EvidenceSummary summary, Summarize(evidence, facts_));
  EXPECT_EQ(summary.before.tested, 1);
  EXPECT_EQ(summary.before.with_batch_effect, 1);
}

TEST_F(EvidenceSummaryTest, NothingTested_NoFigures) {
  Blocks evidence = WithPValues({0.5, 0.5});
  evidence.Mutable("tested").setZero();
  ASSERT_OK_AND_ASSIGN(const EvidenceSummary summary, Summarize(evidence, facts_));
  EXPECT_EQ(summary.before.tested, 0);
  EXPECT_EQ(summary.before.with_batch_effect, 0);
  EXPECT_EQ(summary.before.median_partial_eta_squared, 0);
}

TEST_F(EvidenceSummaryTest, Pooled_HasNoScaleRatio) {
  ASSERT_OK_AND_ASSIGN(const EvidenceSummary summary, Summarize(WithPValues({0.5}, /*scale_ratios=*/false), facts_));
  EXPECT_FALSE(summary.before.median_scale_ratio.has_value());
  EXPECT_FALSE(summary.after.median_scale_ratio.has_value());
}

TEST_F(EvidenceSummaryTest, OtherForm_InvalidArgument) {
  const Blocks evidence = WithPValues({0.5, 0.5});
  facts_.features = std::vector<std::string>(facts_.features.size() + 1, "f");
  EXPECT_THAT(Summarize(evidence, facts_),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("not that of this study: block 'tested' is 1 x 3")));
  EXPECT_THAT(Summarize(Blocks(), facts_), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("not that of this study")));
}

}  // namespace
}  // namespace attune
