// SPDX-License-Identifier: Apache-2.0
#include "common/numeric/moments.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <fstream>
#include <limits>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/synthetic.h"
#include "tests/support/whole_moments.h"

namespace attune {
namespace {

using Eigen::Index;
using testing::Dice;
using testing::WholeMoments;

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

Data RandomData(std::uint64_t seed, std::size_t subjects, double missing_rate, int features = 5) {
  Dice dice(seed);
  Data data;
  for (std::size_t s = 0; s < subjects; ++s) {
    data.x.push_back({50 + 10 * dice.Normal(), dice.Below(2) == 0 ? 0.0 : 1.0});
    std::vector<double> y;
    for (int f = 0; f < features; ++f)
      y.push_back(dice.Uniform() < missing_rate ? kNaN : 3 + f + dice.Normal() + 0.1 * data.x.back()[0]);
    data.y.push_back(y);
  }
  return data;
}

MomentTree TreeOf(const Data& data, bool per_feature, std::size_t from, std::size_t to, int threads = 1) {
  MomentTree tree(2, static_cast<Index>(data.y[0].size()), per_feature, static_cast<Index>(from), threads);
  for (std::size_t s = from; s < to; ++s) tree.Add(data.x[s], data.y[s]);
  return tree;
}

Moments MomentsOf(const Data& data, bool per_feature, std::size_t from, std::size_t to) {
  return WholeMoments(TreeOf(data, per_feature, from, to));
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
  const Moments moments = WholeMoments(MomentTree(2, 3, false, 0, 1));
  EXPECT_EQ(moments.subjects, 0);
  EXPECT_EQ(moments.count[0], 0);
  EXPECT_TRUE((moments.yy == 0).all());
  EXPECT_TRUE((moments.y_min > moments.y_max).all());
}

TEST(MomentTree, NoCovariates_AndNoFeatures) {
  MomentTree tree(0, 0, false, 0, 4);
  for (int s = 0; s < 9; ++s) tree.Add({}, {});
  EXPECT_EQ(WholeMoments(std::move(tree)).features(), 0);
}

// The tree as it is defined, feature by feature: blocks about their own means, merged by Chan's formula in order of the tree.
struct OneFeature {
  double n = 0, x_mean[2] = {}, xx[4] = {}, y_mean = 0, xy[2] = {}, yy = 0;
};

OneFeature BlockByHand(const Data& data, std::size_t f, std::size_t from, std::size_t to) {
  std::vector<std::size_t> present;
  for (std::size_t s = from; s < to; ++s) {
    if (!std::isnan(data.y[s][f])) present.push_back(s);
  }
  OneFeature out;
  out.n = static_cast<double>(present.size());
  if (present.empty()) return out;
  const auto mean_of = [&](const auto& value_of) {
    double sum = 0;
    for (std::size_t k = 1; k < present.size(); ++k) sum += value_of(present[k]) - value_of(present[0]);
    return value_of(present[0]) + sum / out.n;
  };
  for (std::size_t i = 0; i < 2; ++i) out.x_mean[i] = mean_of([&](std::size_t s) { return data.x[s][i]; });
  out.y_mean = mean_of([&](std::size_t s) { return data.y[s][f]; });
  for (const std::size_t s : present) {
    const double y = data.y[s][f] - out.y_mean;
    out.yy += y * y;
    for (std::size_t i = 0; i < 2; ++i) {
      out.xy[i] += (data.x[s][i] - out.x_mean[i]) * y;
      for (std::size_t j = 0; j < 2; ++j) out.xx[i + 2 * j] += (data.x[s][i] - out.x_mean[i]) * (data.x[s][j] - out.x_mean[j]);
    }
  }
  return out;
}

OneFeature MergeByHand(const OneFeature& a, const OneFeature& b) {
  if (b.n == 0) return a;
  OneFeature out = a;
  const double weight = a.n * b.n / (a.n + b.n);
  const double delta = b.y_mean - a.y_mean;
  for (int i = 0; i < 2; ++i) {
    out.xy[i] += b.xy[i] + weight * (b.x_mean[i] - a.x_mean[i]) * delta;
    for (int j = 0; j < 2; ++j) {
      out.xx[i + 2 * j] += b.xx[i + 2 * j] + weight * (b.x_mean[i] - a.x_mean[i]) * (b.x_mean[j] - a.x_mean[j]);
    }
    out.x_mean[i] += (b.x_mean[i] - a.x_mean[i]) * (b.n / (a.n + b.n));
  }
  out.yy += b.yy + weight * delta * delta;
  out.y_mean += delta * (b.n / (a.n + b.n));
  out.n += b.n;
  return out;
}

// Of the subjects [from, from + 8 * blocks) and fewer at the end; blocks is a power of two.
OneFeature TreeByHand(const Data& data, std::size_t f, std::size_t from, std::size_t blocks) {
  const std::size_t end = std::min(from + 8 * blocks, data.y.size());
  if (blocks == 1) return BlockByHand(data, f, from, end);
  const OneFeature left = TreeByHand(data, f, from, blocks / 2);
  return MergeByHand(left, TreeByHand(data, f, from + 4 * blocks, blocks / 2));
}

TEST(MomentTree, SameBytesAsByHand) {
  // Complete trees of 1, 2, 4 and 8 blocks, the last with a tail; tiles and runs of features with a tail of their own.
  for (const auto& [subjects, blocks] :
       std::vector<std::pair<std::size_t, std::size_t>>{{5, 1}, {8, 1}, {16, 2}, {31, 4}, {61, 8}}) {
    for (const bool per_feature : {false, true}) {
      const Data data = RandomData(subjects, subjects, per_feature ? 0.3 : 0, 1100);
      for (const int threads : {1, 2}) {
        const Moments moments = WholeMoments(TreeOf(data, per_feature, 0, subjects, threads));
        for (Index f = 0; f < moments.features(); ++f) {
          // Nobody comes first, as in Finish.
          const OneFeature hand = MergeByHand({}, TreeByHand(data, static_cast<std::size_t>(f), 0, blocks));
          const Index d = moments.DesignColumn(f);
          ASSERT_EQ(moments.count[d], hand.n);
          ASSERT_EQ(moments.y_mean[f], hand.y_mean) << f;
          ASSERT_EQ(moments.yy[f], hand.yy) << f;
          for (Index i = 0; i < 2; ++i) {
            ASSERT_EQ(moments.x_mean(i, d), hand.x_mean[i]);
            ASSERT_EQ(moments.xy(i, f), hand.xy[i]) << f;
          }
          for (Index i = 0; i < 4; ++i) ASSERT_EQ(moments.xx(i, d), hand.xx[i]);
        }
      }
    }
  }
}

TEST(MomentTree, ShardsOnBlockBorders_SameBytesAsOnePass) {
  // 40000 features: more than one run, and enough that the moments lie in files.
  const Data data = RandomData(3, 40, 0, 40000);
  const Moments whole = MomentsOf(data, false, 0, 40);
  for (const int threads : {1, 2}) {
    MomentTree tree = TreeOf(data, false, 0, 8, threads);
    tree.Merge(TreeOf(data, false, 8, 32, threads));
    tree.Merge(TreeOf(data, false, 32, 40, threads));
    const Moments merged = WholeMoments(std::move(tree));
    EXPECT_EQ(merged.subjects, 40);
    EXPECT_TRUE((merged.y_mean == whole.y_mean).all());
    EXPECT_TRUE((merged.yy == whole.yy).all());
    EXPECT_TRUE((merged.xy == whole.xy).all());
    EXPECT_TRUE((merged.xx == whole.xx).all());
    EXPECT_TRUE((merged.y_min == whole.y_min).all());
    EXPECT_TRUE((merged.y_max == whole.y_max).all());
  }
}

// The most memory that this process has had since the last call, in KiB.
std::int64_t PeakSinceLastCall() {
  std::ifstream status("/proc/self/status");
  std::int64_t peak = 0;
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("VmHWM:", 0) == 0) peak = std::stoll(line.substr(6));
  }
  std::ofstream("/proc/self/clear_refs") << "5";
  return peak;
}

TEST(MomentTree, PeakMemory_SameForAnyNumberOfSubjects) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers have memory of their own";
#endif
  constexpr Index kFeatures = 400000;
  constexpr std::int64_t kOneImage = kFeatures * 8 / 1024;
  std::vector<double> y(kFeatures);
  std::int64_t peaks[2];
  for (int k = 0; k < 2; ++k) {
    PeakSinceLastCall();
    MomentTree tree(0, kFeatures, false, 0, 2);
    for (int s = 0; s < (k == 0 ? 8 : 64); ++s) {
      for (Index f = 0; f < kFeatures; ++f) y[static_cast<std::size_t>(f)] = static_cast<double>((f * 7 + s * 13) % 101);
      tree.Add({}, y);
    }
    double sum = 0;
    std::mutex mutex;
    std::move(tree).Finish([&](Index, const Moments& tile) {
      const std::lock_guard<std::mutex> lock(mutex);
      sum += tile.yy.sum();
    });
    EXPECT_GT(sum, 0);
    peaks[k] = PeakSinceLastCall();
  }
  EXPECT_LT(peaks[1], peaks[0] + 3 * kOneImage)
      << "a level of the tree that stays in memory has 4 images, and there are 3 more";
}

TEST(MomentTree, ConstantFeature_IsSeenByItsExtremesThoughNotByItsSquares) {
  MomentTree tree(1, 1, false, 0, 1);
  for (int s = 0; s < 100; ++s) tree.Add(std::vector<double>{static_cast<double>(s)}, std::vector<double>{0.1});
  const Moments moments = WholeMoments(std::move(tree));
  EXPECT_EQ(moments.y_min[0], moments.y_max[0]);
}

TEST(Merge, OfTwoGroups_IsTheWhole) {
  for (const double rate : {0.0, 0.4}) {
    const Data data = RandomData(8, 60, rate);
    for (const std::size_t cut : {0, 1, 8, 29, 60}) {
      MomentTree left = TreeOf(data, true, 0, cut);
      left.Merge(TreeOf(data, true, cut, 60));
      ExpectEqualsNaive(WholeMoments(std::move(left)), data.x, data.y);
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
