// SPDX-License-Identifier: Apache-2.0
#include "common/numeric/moments.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/support/synthetic.h"

namespace attune {
namespace {

using Eigen::Index;
using testing::Dice;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// The definition, in two passes, in long double.
struct Naive {
  double count = 0, x_mean[2] = {}, xx[4] = {}, y_mean = 0, xy[2] = {}, yy = 0;
  double least = std::numeric_limits<double>::infinity(), most = -std::numeric_limits<double>::infinity();
};

Naive NaiveMoments(const std::vector<std::vector<double>>& x, const std::vector<std::vector<double>>& y, std::size_t f) {
  Naive out;
  long double n = 0, xm[2] = {}, ym = 0, xx[4] = {}, xy[2] = {}, yy = 0;
  for (std::size_t s = 0; s < y.size(); ++s) {
    if (std::isnan(y[s][f])) continue;
    ++n;
    ym += y[s][f];
    for (int i = 0; i < 2; ++i) xm[i] += x[s][static_cast<std::size_t>(i)];
    out.least = std::min(out.least, y[s][f]);
    out.most = std::max(out.most, y[s][f]);
  }
  if (n == 0) return out;
  ym /= n;
  for (long double& m : xm) m /= n;
  for (std::size_t s = 0; s < y.size(); ++s) {
    if (std::isnan(y[s][f])) continue;
    yy += (y[s][f] - ym) * (y[s][f] - ym);
    for (std::size_t i = 0; i < 2; ++i) {
      xy[i] += (x[s][i] - xm[i]) * (y[s][f] - ym);
      for (std::size_t j = 0; j < 2; ++j) xx[i + 2 * j] += (x[s][i] - xm[i]) * (x[s][j] - xm[j]);
    }
  }
  out.count = static_cast<double>(n);
  out.y_mean = static_cast<double>(ym);
  out.yy = static_cast<double>(yy);
  for (int i = 0; i < 2; ++i) {
    out.x_mean[i] = static_cast<double>(xm[i]);
    out.xy[i] = static_cast<double>(xy[i]);
  }
  for (int i = 0; i < 4; ++i) out.xx[i] = static_cast<double>(xx[i]);
  return out;
}

void ExpectNear(double value, double expected) { EXPECT_NEAR(value, expected, 1e-12 * std::max(1.0, std::abs(expected))); }

void ExpectEqualsNaive(const Moments& moments, const std::vector<std::vector<double>>& x,
                       const std::vector<std::vector<double>>& y) {
  EXPECT_EQ(moments.subjects, static_cast<double>(y.size()));
  for (Index f = 0; f < moments.features(); ++f) {
    const Naive naive = NaiveMoments(x, y, static_cast<std::size_t>(f));
    const Index d = moments.DesignColumn(f);
    EXPECT_EQ(moments.count[d], naive.count);
    EXPECT_EQ(moments.y_min[f], naive.least);
    EXPECT_EQ(moments.y_max[f], naive.most);
    ExpectNear(moments.y_mean[f], naive.y_mean);
    ExpectNear(moments.yy[f], naive.yy);
    for (Index i = 0; i < 2; ++i) {
      ExpectNear(moments.x_mean(i, d), naive.x_mean[i]);
      ExpectNear(moments.xy(i, f), naive.xy[i]);
    }
    for (Index i = 0; i < 4; ++i) ExpectNear(moments.xx(i, d), naive.xx[i]);
  }
}

struct Data {
  std::vector<std::vector<double>> x, y;
};

Data RandomData(std::uint64_t seed, std::size_t subjects, double missing_rate) {
  Dice dice(seed);
  Data data;
  for (std::size_t s = 0; s < subjects; ++s) {
    data.x.push_back({50 + 10 * dice.Normal(), dice.Below(2) == 0 ? 0.0 : 1.0});
    std::vector<double> y;
    for (int f = 0; f < 5; ++f)
      y.push_back(dice.Uniform() < missing_rate ? kNaN : 3 + f + dice.Normal() + 0.1 * data.x.back()[0]);
    data.y.push_back(y);
  }
  return data;
}

Moments MomentsOf(const Data& data, bool per_feature, std::size_t from, std::size_t to) {
  MomentTree tree(2, 5, per_feature, static_cast<Index>(from), 1);
  for (std::size_t s = from; s < to; ++s) tree.Add(data.x[s], data.y[s]);
  return std::move(tree).Finish();
}

TEST(MomentTree, EqualsTheDefinition) {
  for (const std::size_t subjects : {1, 2, 7, 8, 9, 16, 63, 64, 65, 100}) {
    SCOPED_TRACE(subjects);
    for (const bool per_feature : {false, true}) {
      const Data data = RandomData(subjects, subjects, 0);
      ExpectEqualsNaive(MomentsOf(data, per_feature, 0, subjects), data.x, data.y);
    }
  }
}

TEST(MomentTree, MissingValues_OverThosePresent) {
  for (const double rate : {0.1, 0.5, 0.95, 1.0}) {
    SCOPED_TRACE(rate);
    const Data data = RandomData(7, 70, rate);
    ExpectEqualsNaive(MomentsOf(data, true, 0, 70), data.x, data.y);
  }
}

TEST(MomentTree, Nobody_IsZero) {
  const Moments moments = MomentTree(2, 3, false, 0, 1).Finish();
  EXPECT_EQ(moments.subjects, 0);
  EXPECT_EQ(moments.count[0], 0);
  EXPECT_TRUE((moments.yy == 0).all());
  EXPECT_TRUE((moments.y_min > moments.y_max).all());
}

TEST(MomentTree, NoCovariates_AndNoFeatures) {
  MomentTree tree(0, 0, false, 0, 4);
  tree.Add({}, {});
  EXPECT_EQ(std::move(tree).Finish().count[0], 1);
}

TEST(MomentTree, ConstantFeature_IsSeenByItsExtremesThoughNotByItsSquares) {
  MomentTree tree(1, 1, false, 0, 1);
  for (int s = 0; s < 100; ++s) tree.Add(std::vector<double>{static_cast<double>(s)}, std::vector<double>{0.1});
  const Moments moments = std::move(tree).Finish();
  EXPECT_EQ(moments.y_min[0], moments.y_max[0]);
}

TEST(Merge, OfTwoGroups_IsTheWhole) {
  for (const double rate : {0.0, 0.4}) {
    const Data data = RandomData(8, 60, rate);
    for (const std::size_t cut : {0, 1, 8, 29, 60}) {
      Moments left = MomentsOf(data, true, 0, cut);
      left.Merge(MomentsOf(data, true, cut, 60), 1);
      ExpectEqualsNaive(left, data.x, data.y);
    }
  }
}

TEST(Merge, MeansOf1e7_KeepTheScatter) {
  Data data = RandomData(9, 64, 0);
  for (auto& y : data.y) {
    for (double& v : y) v = std::round(v * 0x1p26) * 0x1p-26;
  }
  Data far = data;
  for (auto& y : far.y) {
    for (double& v : y) v += 1e7;
  }
  const Moments here = MomentsOf(data, false, 0, 64);
  const Moments there = MomentsOf(far, false, 0, 64);
  for (Index f = 0; f < 5; ++f) EXPECT_NEAR(there.yy[f] / here.yy[f], 1, 1e-9);
}

}  // namespace
}  // namespace attune
