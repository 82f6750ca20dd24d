// SPDX-License-Identifier: Apache-2.0
#include "common/numeric/empirical_bayes.h"

#include <gtest/gtest.h>

#include <Eigen/Core>
#include <cmath>
#include <span>

#include "tests/support/status_matchers.h"
#include "tests/support/synthetic.h"

namespace attune {
namespace {

using Eigen::ArrayXd;
using Eigen::Index;

// Estimates of which all features count, with their values.
struct Estimates {
  ArrayXd gamma, delta2, rss, n;
  ArrayXd left_out = ArrayXd::Zero(gamma.size());

  operator BatchEstimates() const {
    const auto span = [](const ArrayXd& values) {
      return std::span<const double>(values.data(), static_cast<std::size_t>(values.size()));
    };
    return {span(gamma), span(delta2), span(rss), span(n), span(left_out)};
  }
};

struct Shrunk {
  explicit Shrunk(const Estimates& e) : gamma(e.gamma.size()), delta2(e.gamma.size()) {}
  operator ShrunkEstimates() {
    const auto span = [](ArrayXd& values) { return std::span<double>(values.data(), static_cast<std::size_t>(values.size())); };
    return {span(gamma), span(delta2)};
  }
  ArrayXd gamma, delta2;
};

absl::StatusOr<Shrunk> Parametric(const Estimates& e, const BatchPrior& prior, int threads = 1) {
  Shrunk shrunk(e);
  if (absl::Status status = ShrinkParametric(e, prior, threads, shrunk); !status.ok()) return status;
  return shrunk;
}

Shrunk Nonparametric(const Estimates& e, bool mean_only, int threads) {
  Shrunk shrunk(e);
  ShrinkNonparametric(e, mean_only, threads, shrunk);
  return shrunk;
}

Estimates RandomEstimates(Index features, double n) {
  testing::Dice dice(1);
  Estimates e{ArrayXd(features), ArrayXd(features), ArrayXd(features), ArrayXd::Constant(features, n)};
  for (Index f = 0; f < features; ++f) {
    e.gamma[f] = 0.5 + 0.3 * dice.Normal();
    e.delta2[f] = std::exp(0.4 * dice.Normal());
    e.rss[f] = e.delta2[f] * (n - 1);
  }
  return e;
}

TEST(EstimatePrior, ByHand) {
  const Estimates e{Eigen::Array3d(1, 2, 6), Eigen::Array3d(0.5, 1, 1.5), ArrayXd::Zero(3), ArrayXd::Ones(3)};
  const BatchPrior prior = EstimatePrior(e);
  EXPECT_DOUBLE_EQ(prior.gamma_bar, 3);
  EXPECT_DOUBLE_EQ(prior.tau2, 7);  // (4 + 1 + 9) / 2
  EXPECT_DOUBLE_EQ(prior.delta2_mean, 1);
  // s2 = 0.25: a = (2 * 0.25 + 1) / 0.25, b = (0.25 + 1) / 0.25
  EXPECT_DOUBLE_EQ(prior.a, 6);
  EXPECT_DOUBLE_EQ(prior.b, 5);
}

TEST(ShrinkParametric, StopsAtAFixedPointOfThePosteriorMeans) {
  const Estimates e = RandomEstimates(50, 20);
  const BatchPrior prior = EstimatePrior(e);
  ASSERT_OK_AND_ASSIGN(const Shrunk s, Parametric(e, prior));
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
  const Estimates e = RandomEstimates(50, 1e9);
  ASSERT_OK_AND_ASSIGN(const Shrunk s, Parametric(e, EstimatePrior(e)));
  EXPECT_LT((s.gamma - e.gamma).abs().maxCoeff(), 1e-6);
  EXPECT_LT((s.delta2 - e.delta2).abs().maxCoeff(), 1e-6);
}

TEST(ShrinkParametric, EqualScales_PointMassAtTheirMean) {
  // s2 = 0: the moments of an inverse gamma do not exist, and every scale is the common one.
  Estimates e = RandomEstimates(12, 20);
  e.delta2.setConstant(1.5);
  e.rss.setConstant(1.5 * 19);
  const BatchPrior prior = EstimatePrior(e);
  EXPECT_EQ(prior.a, 0);
  EXPECT_EQ(prior.delta2_mean, 1.5);
  ASSERT_OK_AND_ASSIGN(const Shrunk s, Parametric(e, prior));
  EXPECT_TRUE((s.delta2 == 1.5).all());
  EXPECT_TRUE(s.gamma.isFinite().all());
}

TEST(ShrinkParametric, EqualLocations_StayWhereTheyAre) {
  Estimates e = RandomEstimates(12, 20);
  e.gamma.setConstant(0.25);  // tau2 = 0
  ASSERT_OK_AND_ASSIGN(const Shrunk s, Parametric(e, EstimatePrior(e)));
  EXPECT_LT((s.gamma - 0.25).abs().maxCoeff(), 1e-15);
  e.gamma.setZero();  // a change relative to 0 is none
  ASSERT_OK_AND_ASSIGN(const Shrunk zero, Parametric(e, EstimatePrior(e)));
  EXPECT_TRUE((zero.gamma == 0).all());
}

TEST(ShrinkParametric, CreepingForMoreThan1000Iterations_FailedPrecondition) {
  // 100 features close together, and one whose location and scale pull each other along in small steps.
  Estimates e{ArrayXd(101), ArrayXd(101), ArrayXd(101), ArrayXd::Constant(101, 10)};
  for (Index f = 0; f < 100; ++f) {
    e.gamma[f] = 1 + 0.01 * static_cast<double>(f % 5 - 2);
    e.delta2[f] = 0.02 * (1 + 0.5 * static_cast<double>(f % 7 - 3) / 3);
  }
  e.gamma[100] = -0.45299122814250764;
  e.delta2[100] = 0.3481633476847861 / 9;
  e.rss = 9 * e.delta2;
  EXPECT_THAT(Parametric(e, EstimatePrior(e)), testing::StatusIs(absl::StatusCode::kFailedPrecondition,
                                                                 ::testing::HasSubstr("not converged after 1000 iterations")));
  e.gamma[100] = -0.4;
  EXPECT_OK(Parametric(e, EstimatePrior(e)));
}

// All features together, one iteration after the other, as the rule is stated.
Shrunk Together(const Estimates& e, const BatchPrior& prior) {
  Shrunk s(e);
  s.gamma = e.gamma;
  s.delta2 = e.delta2;
  for (bool moved = true; moved;) {
    moved = false;
    for (Index f = 0; f < e.gamma.size(); ++f) {
      if (e.left_out[f] != 0) continue;
      const double n = e.n[e.n.size() == 1 ? 0 : f];
      const double g = (n * prior.tau2 * e.gamma[f] + s.delta2[f] * prior.gamma_bar) / (n * prior.tau2 + s.delta2[f]);
      const double off = e.gamma[f] - g;
      const double d = (0.5 * (e.rss[f] + n * off * off) + prior.b) / (n / 2 + prior.a - 1);
      moved |= std::abs(g - s.gamma[f]) / s.gamma[f] > kConvergence || std::abs(d - s.delta2[f]) / s.delta2[f] > kConvergence;
      s.gamma[f] = g;
      s.delta2[f] = d;
    }
  }
  return s;
}

TEST(ShrinkParametric, ManyTilesAndThreads_SameBytesAsAllFeaturesTogether) {
  for (const bool one_n : {true, false}) {
    Estimates e = RandomEstimates(10000, 20);
    // One that needs many iterations, in the last tile; signs that let features start to move again; some that are left out.
    e.gamma[9999] = -3;
    for (Index f = 0; f < 10000; f += 3) e.gamma[f] -= 0.6;
    for (Index f = 5; f < 10000; f += 1001) {
      e.left_out[f] = 1;
      e.gamma[f] = 1e9;
    }
    if (one_n) e.n = ArrayXd::Constant(1, 20);
    if (!one_n) e.n[17] = 4;
    const BatchPrior prior = EstimatePrior(e);
    const Shrunk together = Together(e, prior);
    for (const int threads : {1, 2}) {
      ASSERT_OK_AND_ASSIGN(const Shrunk s, Parametric(e, prior, threads));
      for (Index f = 0; f < 10000; ++f) {
        if (e.left_out[f] != 0) continue;
        ASSERT_EQ(s.gamma[f], together.gamma[f]) << f;
        ASSERT_EQ(s.delta2[f], together.delta2[f]) << f;
      }
    }
  }
}

TEST(EstimatePrior, FeaturesThatAreLeftOut_DoNotCount) {
  const Estimates e = RandomEstimates(50, 20);
  const BatchPrior prior = EstimatePrior(e);
  Estimates more = RandomEstimates(52, 20);
  for (Index f = 0; f < 52; ++f) {
    const bool left_out = f == 0 || f == 20;
    const Index from = f - (f > 0 ? 1 : 0) - (f > 20 ? 1 : 0);
    more.left_out[f] = left_out ? 3 : 0;
    more.gamma[f] = left_out ? 1e6 : e.gamma[from];
    more.delta2[f] = left_out ? 1e6 : e.delta2[from];
  }
  const BatchPrior same = EstimatePrior(more);
  EXPECT_EQ(same.gamma_bar, prior.gamma_bar);
  EXPECT_EQ(same.tau2, prior.tau2);
  EXPECT_EQ(same.a, prior.a);
  EXPECT_EQ(same.b, prior.b);
}

TEST(ShrinkLocation, ByHand) {
  const Estimates e{Eigen::Array3d(1, 2, 6), Eigen::Array3d(0.5, 1, 1.5), ArrayXd::Zero(3), ArrayXd::Ones(3)};
  Shrunk s(e);
  ShrinkLocation(e, EstimatePrior(e), s);
  EXPECT_DOUBLE_EQ(s.gamma[0], (7 * 1 + 3) / 8.0);
  EXPECT_DOUBLE_EQ(s.gamma[2], (7 * 6 + 3) / 8.0);
  EXPECT_TRUE((s.delta2 == 1).all());
}

TEST(ShrinkNonparametric, ByHand) {
  Estimates e{Eigen::Array3d(0.1, 0.4, -0.2), Eigen::Array3d(0.8, 1.1, 1.3), Eigen::Array3d(4, 5, 6), ArrayXd::Constant(3, 6)};
  const auto likelihood = [&](Index v, Index k, double d) {
    const double off = e.gamma[v] - e.gamma[k];
    return std::pow(2 * M_PI * d, -3) * std::exp(-(e.rss[v] + 6 * off * off) / (2 * d));
  };
  const Shrunk s = Nonparametric(e, false, 1);
  for (Index v = 0; v < 3; ++v) {
    const Index k = (v + 1) % 3;
    const Index l = (v + 2) % 3;
    const double wk = likelihood(v, k, e.delta2[k]);
    const double wl = likelihood(v, l, e.delta2[l]);
    EXPECT_NEAR(s.gamma[v], (wk * e.gamma[k] + wl * e.gamma[l]) / (wk + wl), 1e-14);
    EXPECT_NEAR(s.delta2[v], (wk * e.delta2[k] + wl * e.delta2[l]) / (wk + wl), 1e-14);
  }
  const Shrunk location = Nonparametric(e, true, 1);
  const double w1 = likelihood(0, 1, 1);
  const double w2 = likelihood(0, 2, 1);
  EXPECT_NEAR(location.gamma[0], (w1 * e.gamma[1] + w2 * e.gamma[2]) / (w1 + w2), 1e-14);
  EXPECT_TRUE((location.delta2 == 1).all());
}

TEST(ShrinkNonparametric, ManySubjects_DoNotUnderflow) {
  const Estimates e = RandomEstimates(30, 1e6);
  const Shrunk s = Nonparametric(e, false, 1);
  EXPECT_TRUE(s.gamma.isFinite().all());
  EXPECT_TRUE((s.delta2 > 0).all());
}

TEST(ShrinkNonparametric, ThreadsChangeNothing) {
  const Estimates e = RandomEstimates(100, 20);
  const Shrunk one = Nonparametric(e, false, 1);
  const Shrunk eight = Nonparametric(e, false, 8);
  EXPECT_TRUE((one.gamma == eight.gamma).all());
  EXPECT_TRUE((one.delta2 == eight.delta2).all());
}

}  // namespace
}  // namespace attune
