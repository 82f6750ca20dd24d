// SPDX-License-Identifier: Apache-2.0
#include "common/report/tail.h"

#include <gtest/gtest.h>

#include <boost/math/distributions/fisher_f.hpp>
#include <cmath>
#include <limits>

namespace attune::testing {
namespace {

TEST(NegLog10UpperTail, EqualsTheDistribution) {
  for (const double numerator : {1.0, 2.0, 19.0}) {
    for (const double denominator : {3.0, 30.0, 1012.0}) {
      for (const double f : {0.01, 0.5, 1.0, 4.0, 20.0}) {
        const double p = boost::math::cdf(boost::math::complement(boost::math::fisher_f(numerator, denominator), f));
        EXPECT_NEAR(NegLog10UpperTail(f, numerator, denominator), -std::log10(p), 1e-12) << f;
      }
    }
  }
}

TEST(NegLog10UpperTail, OfTwoAndNIsElementary) {
  // With 2 degrees of freedom in the numerator p = (1 + 2 f / d)^(-d / 2), however small.
  for (const double denominator : {10.0, 1000.0, 100000.0}) {
    for (const double f : {1.0, 50.0, 1e4, 1e8}) {
      const double expected = denominator / 2 * std::log1p(2 * f / denominator) / std::log(10.0);
      EXPECT_NEAR(NegLog10UpperTail(f, 2, denominator) / expected, 1, 1e-10) << f << " " << denominator;
    }
  }
}

TEST(NegLog10UpperTail, RisesThroughWhatADoubleHolds) {
  // p passes 1e-290, 1e-308 and 0 on the way.
  double last = 0;
  for (double f = 1; f < 400; f *= 1.02) {
    const double now = NegLog10UpperTail(f, 19, 1012);
    EXPECT_GT(now, last) << f;
    last = now;
  }
  EXPECT_GT(last, 320);
}

TEST(NegLog10UpperTail, Ends) {
  EXPECT_EQ(NegLog10UpperTail(0, 3, 10), 0);
  EXPECT_EQ(NegLog10UpperTail(-1, 3, 10), 0);
  EXPECT_EQ(NegLog10UpperTail(std::numeric_limits<double>::infinity(), 3, 10), std::numeric_limits<double>::infinity());
}

}  // namespace
}  // namespace attune::testing
