// SPDX-License-Identifier: Apache-2.0
#include "common/numeric/location_scale.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/synthetic.h"
#include "tests/support/whole_moments.h"

namespace attune {
namespace {

using Eigen::Index;

// The moments predicted for the corrected rows are the moments of the rows corrected one by one.
void ExpectPredicted(bool per_feature) {
  constexpr Index kP = 2;
  constexpr Index kF = 4;
  testing::Dice dice(5);
  LocationScale c{Eigen::ArrayXd(kF), Eigen::ArrayXXd(kP, kF), Eigen::ArrayXd(kF),
                  Eigen::ArrayXd(kF), Eigen::ArrayXd(kF),      Eigen::ArrayXd::Ones(kF)};
  for (Index f = 0; f < kF; ++f) {
    c.alpha[f] = 10 + dice.Normal();
    c.sigma[f] = 0.5 + dice.Uniform();
    c.gamma[f] = dice.Normal();
    c.delta2[f] = 0.3 + dice.Uniform();
    for (Index i = 0; i < kP; ++i) c.beta(i, f) = dice.Normal();
  }
  c.adjusted[2] = 0;
  MomentTree before(kP, kF, per_feature, 0, 1);
  MomentTree after(kP, kF, per_feature, 0, 1);
  for (int s = 0; s < 37; ++s) {
    const std::vector<double> x = {dice.Normal(), dice.Normal()};
    std::vector<double> y(kF);
    std::vector<double> corrected(kF);
    for (std::size_t f = 0; f < kF; ++f) {
      const auto column = static_cast<Index>(f);
      y[f] = per_feature && dice.Below(5) == 0 ? std::nan("") : 10 + dice.Normal();
      const double fitted = c.alpha[column] + x[0] * c.beta(0, column) + x[1] * c.beta(1, column);
      corrected[f] =
          c.adjusted[column] == 0
              ? y[f]
              : c.sigma[column] * ((y[f] - fitted) / c.sigma[column] - c.gamma[column]) / std::sqrt(c.delta2[column]) + fitted;
    }
    before.Add(x, y);
    after.Add(x, corrected);
  }
  const Moments predicted = AfterCorrection(testing::WholeMoments(std::move(before)), c);
  const Moments actual = testing::WholeMoments(std::move(after));
  for (Index f = 0; f < kF; ++f) {
    EXPECT_NEAR(predicted.y_mean[f], actual.y_mean[f], 1e-12);
    EXPECT_NEAR(predicted.yy[f], actual.yy[f], 1e-11);
    for (Index i = 0; i < kP; ++i) EXPECT_NEAR(predicted.xy(i, f), actual.xy(i, f), 1e-11);
  }
  EXPECT_TRUE((predicted.xx == actual.xx).all()) << "covariates are not corrected";
  EXPECT_TRUE((predicted.count == actual.count).all());
}

TEST(AfterCorrection, EqualsTheMomentsOfCorrectedRows) { ExpectPredicted(false); }

TEST(AfterCorrection, EqualsTheMomentsOfCorrectedRows_MissingValues) { ExpectPredicted(true); }

}  // namespace
}  // namespace attune
