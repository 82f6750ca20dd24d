// SPDX-License-Identifier: Apache-2.0
#include "common/numeric/empirical_bayes.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/status_matchers.h"
#include "tests/support/synthetic.h"

namespace attune {
namespace {

using Eigen::ArrayXd;
using Eigen::Index;

BatchEstimates RandomEstimates(Index features, double n) {
  testing::Dice dice(1);
  BatchEstimates e{ArrayXd(features), ArrayXd(features), ArrayXd(features), ArrayXd::Constant(features, n)};
  for (Index f = 0; f < features; ++f) {
    e.gamma[f] = 0.5 + 0.3 * dice.Normal();
    e.delta2[f] = std::exp(0.4 * dice.Normal());
    e.rss[f] = e.delta2[f] * (n - 1);
  }
  return e;
}

TEST(EstimatePrior, ByHand) {
  const BatchEstimates e{Eigen::Array3d(1, 2, 6), Eigen::Array3d(0.5, 1, 1.5), ArrayXd::Zero(3), ArrayXd::Ones(3)};
  const BatchPrior prior = EstimatePrior(e);
  EXPECT_DOUBLE_EQ(prior.gamma_bar, 3);
  EXPECT_DOUBLE_EQ(prior.tau2, 7);  // (4 + 1 + 9) / 2
  EXPECT_DOUBLE_EQ(prior.delta2_mean, 1);
  // s2 = 0.25: a = (2 * 0.25 + 1) / 0.25, b = (0.25 + 1) / 0.25
  EXPECT_DOUBLE_EQ(prior.a, 6);
  EXPECT_DOUBLE_EQ(prior.b, 5);
}

TEST(ShrinkParametric, StopsAtAFixedPointOfThePosteriorMeans) {
  const BatchEstimates e = RandomEstimates(50, 20);
  const BatchPrior prior = EstimatePrior(e);
  ASSERT_OK_AND_ASSIGN(const ShrunkEstimates s, ShrinkParametric(e, prior));
  for (Index f = 0; f < 50; ++f) {
    const double g = (20 * prior.tau2 * e.gamma[f] + s.delta2[f] * prior.gamma_bar) / (20 * prior.tau2 + s.delta2[f]);
    const double off = e.gamma[f] - s.gamma[f];
    const double d = (0.5 * (e.rss[f] + 20 * off * off) + prior.b) / (10 + prior.a - 1);
    EXPECT_NEAR(s.gamma[f], g, 1e-3 * std::abs(g));
    EXPECT_NEAR(s.delta2[f], d, 1e-3 * d);
    // Between the estimate and the prior's mean.
    EXPECT_LT(std::abs(s.gamma[f] - prior.gamma_bar), std::abs(e.gamma[f] - prior.gamma_bar));
  }
}

TEST(ShrinkParametric, ManySubjects_LeaveTheEstimatesAlone) {
  const BatchEstimates e = RandomEstimates(50, 1e9);
  ASSERT_OK_AND_ASSIGN(const ShrunkEstimates s, ShrinkParametric(e, EstimatePrior(e)));
  EXPECT_LT((s.gamma - e.gamma).abs().maxCoeff(), 1e-6);
  EXPECT_LT((s.delta2 - e.delta2).abs().maxCoeff(), 1e-6);
}

TEST(ShrinkParametric, EqualScales_PointMassAtTheirMean) {
  // s2 = 0: the moments of an inverse gamma do not exist, and every scale is the common one.
  BatchEstimates e = RandomEstimates(12, 20);
  e.delta2.setConstant(1.5);
  e.rss.setConstant(1.5 * 19);
  const BatchPrior prior = EstimatePrior(e);
  EXPECT_EQ(prior.a, 0);
  EXPECT_EQ(prior.delta2_mean, 1.5);
  ASSERT_OK_AND_ASSIGN(const ShrunkEstimates s, ShrinkParametric(e, prior));
  EXPECT_TRUE((s.delta2 == 1.5).all());
  EXPECT_TRUE(s.gamma.isFinite().all());
}

TEST(ShrinkParametric, EqualLocations_StayWhereTheyAre) {
  BatchEstimates e = RandomEstimates(12, 20);
  e.gamma.setConstant(0.25);  // tau2 = 0
  ASSERT_OK_AND_ASSIGN(const ShrunkEstimates s, ShrinkParametric(e, EstimatePrior(e)));
  EXPECT_LT((s.gamma - 0.25).abs().maxCoeff(), 1e-15);
  e.gamma.setZero();  // a change relative to 0 is none
  ASSERT_OK_AND_ASSIGN(const ShrunkEstimates zero, ShrinkParametric(e, EstimatePrior(e)));
  EXPECT_TRUE((zero.gamma == 0).all());
}

TEST(ShrinkParametric, CreepingForMoreThan1000Iterations_FailedPrecondition) {
  // 100 features close together, and one whose location and scale pull each other along in small steps.
  BatchEstimates e{ArrayXd(101), ArrayXd(101), ArrayXd(101), ArrayXd::Constant(101, 10)};
  for (Index f = 0; f < 100; ++f) {
    e.gamma[f] = 1 + 0.01 * static_cast<double>(f % 5 - 2);
    e.delta2[f] = 0.02 * (1 + 0.5 * static_cast<double>(f % 7 - 3) / 3);
  }
  e.gamma[100] = -0.45299122814250764;
  e.delta2[100] = 0.3481633476847861 / 9;
  e.rss = 9 * e.delta2;
  EXPECT_THAT(
      ShrinkParametric(e, EstimatePrior(e)),
      testing::StatusIs(absl::StatusCode::kFailedPrecondition, ::testing::HasSubstr("not converged after 1000 iterations")));
  e.gamma[100] = -0.4;
  EXPECT_OK(ShrinkParametric(e, EstimatePrior(e)));
}

TEST(ShrinkLocation, ByHand) {
  const BatchEstimates e{Eigen::Array3d(1, 2, 6), Eigen::Array3d(0.5, 1, 1.5), ArrayXd::Zero(3), ArrayXd::Ones(3)};
  const ShrunkEstimates s = ShrinkLocation(e, EstimatePrior(e));
  EXPECT_DOUBLE_EQ(s.gamma[0], (7 * 1 + 3) / 8.0);
  EXPECT_DOUBLE_EQ(s.gamma[2], (7 * 6 + 3) / 8.0);
  EXPECT_TRUE((s.delta2 == 1).all());
}

TEST(ShrinkNonparametric, ByHand) {
  BatchEstimates e{Eigen::Array3d(0.1, 0.4, -0.2), Eigen::Array3d(0.8, 1.1, 1.3), Eigen::Array3d(4, 5, 6),
                   ArrayXd::Constant(3, 6)};
  const auto likelihood = [&](Index v, Index k, double d) {
    const double off = e.gamma[v] - e.gamma[k];
    return std::pow(2 * M_PI * d, -3) * std::exp(-(e.rss[v] + 6 * off * off) / (2 * d));
  };
  const ShrunkEstimates s = ShrinkNonparametric(e, false, 1);
  for (Index v = 0; v < 3; ++v) {
    const Index k = (v + 1) % 3;
    const Index l = (v + 2) % 3;
    const double wk = likelihood(v, k, e.delta2[k]);
    const double wl = likelihood(v, l, e.delta2[l]);
    EXPECT_NEAR(s.gamma[v], (wk * e.gamma[k] + wl * e.gamma[l]) / (wk + wl), 1e-14);
    EXPECT_NEAR(s.delta2[v], (wk * e.delta2[k] + wl * e.delta2[l]) / (wk + wl), 1e-14);
  }
  const ShrunkEstimates location = ShrinkNonparametric(e, true, 1);
  const double w1 = likelihood(0, 1, 1);
  const double w2 = likelihood(0, 2, 1);
  EXPECT_NEAR(location.gamma[0], (w1 * e.gamma[1] + w2 * e.gamma[2]) / (w1 + w2), 1e-14);
  EXPECT_TRUE((location.delta2 == 1).all());
}

TEST(ShrinkNonparametric, ManySubjects_DoNotUnderflow) {
  const BatchEstimates e = RandomEstimates(30, 1e6);
  const ShrunkEstimates s = ShrinkNonparametric(e, false, 1);
  EXPECT_TRUE(s.gamma.isFinite().all());
  EXPECT_TRUE((s.delta2 > 0).all());
}

TEST(ShrinkNonparametric, ThreadsChangeNothing) {
  const BatchEstimates e = RandomEstimates(100, 20);
  const ShrunkEstimates one = ShrinkNonparametric(e, false, 1);
  const ShrunkEstimates eight = ShrinkNonparametric(e, false, 8);
  EXPECT_TRUE((one.gamma == eight.gamma).all());
  EXPECT_TRUE((one.delta2 == eight.delta2).all());
}

}  // namespace
}  // namespace attune
