// SPDX-License-Identifier: Apache-2.0
#include "common/numeric/empirical_bayes.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/parallel.h"

namespace attune {
namespace {

using Eigen::ArrayXd;
using Eigen::Index;

struct Two {
  double gamma = 0;
  double delta2 = 0;
};

// Means and variances of locations and scales side by side: each addition waits for the one before, but not for the other sum.
Two MeansOf(const BatchEstimates& estimates) {
  Two sum;
  for (Index i = 0; i < estimates.gamma.size(); ++i) {
    sum.gamma += estimates.gamma[i];
    sum.delta2 += estimates.delta2[i];
  }
  const auto features = static_cast<double>(estimates.gamma.size());
  return {sum.gamma / features, sum.delta2 / features};
}

Two VariancesOf(const BatchEstimates& estimates, const Two& mean) {
  Two sum;
  for (Index i = 0; i < estimates.gamma.size(); ++i) {
    sum.gamma += (estimates.gamma[i] - mean.gamma) * (estimates.gamma[i] - mean.gamma);
    sum.delta2 += (estimates.delta2[i] - mean.delta2) * (estimates.delta2[i] - mean.delta2);
  }
  const auto freedom = static_cast<double>(estimates.gamma.size() - 1);
  return {sum.gamma / freedom, sum.delta2 / freedom};
}

// Features that one thread takes at a time: what is known of them fits a core's cache.
constexpr Index kTileFeatures = 2048;

// 1 when |next - last| / last, with the sign of `last` as published, is above kConvergence, else 0; a value that stays where it
// is has not moved, even at 0. A number and not a truth, so that the compiler makes vector instructions of it.
inline double Moved(double next, double last) {
  const double most = last < 0 ? std::numeric_limits<double>::infinity() : kConvergence * last;
  return std::abs(next - last) > most ? 1.0 : 0.0;
}

}  // namespace

BatchPrior EstimatePrior(const BatchEstimates& estimates) {
  BatchPrior prior;
  const Two mean = MeansOf(estimates);
  const Two variance = VariancesOf(estimates, mean);
  prior.gamma_bar = mean.gamma;
  prior.tau2 = variance.gamma;
  const double m = mean.delta2;
  const double s2 = variance.delta2;
  prior.delta2_mean = m;
  // With s2 = 0 the prior is a point mass at m; a and b stay 0 and say so.
  if (s2 > 0) {
    prior.a = (2 * s2 + m * m) / s2;
    prior.b = (m * s2 + m * m * m) / s2;
    // So narrow that its parameters overflow: a point mass too.
    if (!std::isfinite(prior.a) || !std::isfinite(prior.b)) prior.a = prior.b = 0;
  }
  return prior;
}

namespace {

// One more iteration of the features [first, last); whether one of them moved.
bool Iterate(const BatchEstimates& estimates, const BatchPrior& prior, Index first, Index last, ShrunkEstimates* shrunk) {
  const double* gamma = estimates.gamma.data();
  const double* rss = estimates.rss.data();
  const double* count = estimates.n.data();
  double* __restrict g_data = shrunk->gamma.data();
  double* __restrict d_data = shrunk->delta2.data();
  const bool point_mass = prior.a == 0;
  const BatchPrior p = prior;
  double moved[kTileFeatures];
  for (Index f = first; f < last; ++f) {
    const double n = count[f];
    const double g_last = g_data[f];
    const double d_last = d_data[f];
    const double g_next = (n * p.tau2 * gamma[f] + d_last * p.gamma_bar) / (n * p.tau2 + d_last);
    const double off = gamma[f] - g_next;
    const double d_posterior = (0.5 * (rss[f] + n * off * off) + p.b) / (n / 2 + p.a - 1);
    const double d_next = point_mass ? p.delta2_mean : d_posterior;
    moved[f - first] = Moved(g_next, g_last) + Moved(d_next, d_last);
    g_data[f] = g_next;
    d_data[f] = d_next;
  }
  std::uint64_t any = 0;
  for (Index k = 0; k < last - first; ++k) any |= std::bit_cast<std::uint64_t>(moved[k]);
  return any != 0;
}

}  // namespace

// Features do not depend on each other but for when they stop: at the first iteration in which none of them moves. So each tile
// runs ahead alone, while it is in the cache, to the first iteration at which it could stop; the last of these is the first at
// which all could. Then every tile goes on to that one, and if one of them moves in it, all look for a later one.
absl::StatusOr<ShrunkEstimates> ShrinkParametric(const BatchEstimates& estimates, const BatchPrior& prior, int threads) {
  const Index features = estimates.gamma.size();
  ShrunkEstimates shrunk{estimates.gamma, estimates.delta2};
  struct Tile {
    int iterations = 0;
    bool moved = true;  // in the last of them
  };
  std::vector<Tile> tiles(static_cast<std::size_t>((features + kTileFeatures - 1) / kTileFeatures));
  // Lets every tile iterate until done(tile).
  const auto run = [&](const auto& done) {
    ParallelFor(tiles.size(), threads, [&](std::size_t t) {
      const Index first = static_cast<Index>(t) * kTileFeatures;
      const Index last = std::min(first + kTileFeatures, features);
      for (Tile& tile = tiles[t]; !done(tile); ++tile.iterations) tile.moved = Iterate(estimates, prior, first, last, &shrunk);
    });
  };
  for (;;) {
    run([](const Tile& tile) { return !tile.moved || tile.iterations == kMaxIterations; });
    int target = 1;
    for (const Tile& tile : tiles) target = std::max(target, tile.iterations);
    run([&](const Tile& tile) { return tile.iterations == target; });
    if (std::none_of(tiles.begin(), tiles.end(), [](const Tile& tile) { return tile.moved; })) return shrunk;
    if (target == kMaxIterations) break;
  }
  return absl::FailedPreconditionError(
      absl::StrCat("the empirical Bayes estimates have not converged after ", kMaxIterations,
                   " iterations; look at this batch's data for extreme values, or use prior: none"));
}

ShrunkEstimates ShrinkLocation(const BatchEstimates& estimates, const BatchPrior& prior) {
  return {(prior.tau2 * estimates.gamma + prior.gamma_bar) / (prior.tau2 + 1), ArrayXd::Ones(estimates.gamma.size())};
}

ShrunkEstimates ShrinkNonparametric(const BatchEstimates& estimates, bool mean_only, int threads) {
  const Index features = estimates.gamma.size();
  ShrunkEstimates shrunk{ArrayXd(features), ArrayXd::Ones(features)};
  const ArrayXd delta2 = mean_only ? ArrayXd::Ones(features) : estimates.delta2;
  ArrayXd log_scale(features);
  for (Index k = 0; k < features; ++k) log_scale[k] = std::log(2 * 3.14159265358979323846 * delta2[k]);
  ParallelFor(static_cast<std::size_t>(features), threads, [&](std::size_t index) {
    const auto v = static_cast<Index>(index);
    const double n = estimates.n[v];
    // log L_k = -n/2 log(2 pi d_k) - (SS + n (gamma - g_k)^2) / (2 d_k)
    const auto log_likelihood = [&](Index k) {
      const double off = estimates.gamma[v] - estimates.gamma[k];
      return -0.5 * n * log_scale[k] - (estimates.rss[v] + n * off * off) / (2 * delta2[k]);
    };
    double largest = -std::numeric_limits<double>::infinity();
    for (Index k = 0; k < features; ++k) {
      if (k != v) largest = std::max(largest, log_likelihood(k));
    }
    double weights = 0;
    double gamma = 0;
    double scale = 0;
    for (Index k = 0; k < features; ++k) {
      if (k == v) continue;
      const double weight = std::exp(log_likelihood(k) - largest);
      weights += weight;
      gamma += weight * estimates.gamma[k];
      scale += weight * delta2[k];
    }
    shrunk.gamma[v] = gamma / weights;
    if (!mean_only) shrunk.delta2[v] = scale / weights;
  });
  return shrunk;
}

}  // namespace attune
