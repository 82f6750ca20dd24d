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

struct Two {
  double gamma = 0;
  double delta2 = 0;
};

// Means and variances of locations and scales side by side: each addition waits for the one before, but not for the other sum.
Two MeansOf(const BatchEstimates& estimates, double* counted) {
  Two sum;
  *counted = 0;
  for (std::size_t f = 0; f < estimates.features(); ++f) {
    if (!estimates.Counts(f)) continue;
    sum.gamma += estimates.gamma[f];
    sum.delta2 += estimates.delta2[f];
    ++*counted;
  }
  return {sum.gamma / *counted, sum.delta2 / *counted};
}

Two VariancesOf(const BatchEstimates& estimates, const Two& mean, double counted) {
  Two sum;
  for (std::size_t f = 0; f < estimates.features(); ++f) {
    if (!estimates.Counts(f)) continue;
    sum.gamma += (estimates.gamma[f] - mean.gamma) * (estimates.gamma[f] - mean.gamma);
    sum.delta2 += (estimates.delta2[f] - mean.delta2) * (estimates.delta2[f] - mean.delta2);
  }
  return {sum.gamma / (counted - 1), sum.delta2 / (counted - 1)};
}

// Features that one thread takes at a time: what is known of them fits a core's cache.
constexpr std::size_t kShrinkFeatures = 2048;

// 1 when |next - last| / last, with the sign of `last` as published, is above kConvergence, else 0; a value that stays where it
// is has not moved, even at 0. A number and not a truth, so that the compiler makes vector instructions of it.
inline double Moved(double next, double last) {
  const double most = last < 0 ? std::numeric_limits<double>::infinity() : kConvergence * last;
  return std::abs(next - last) > most ? 1.0 : 0.0;
}

}  // namespace

BatchPrior EstimatePrior(const BatchEstimates& estimates) {
  BatchPrior prior;
  double counted = 0;
  const Two mean = MeansOf(estimates, &counted);
  const Two variance = VariancesOf(estimates, mean, counted);
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

// One more iteration of `size` features; whether one that counts has moved. `n_of` tells a feature's n.
template <typename NOf>
bool IterateTile(const double* gamma, const double* rss, const double* left_out, const NOf& n_of, const BatchPrior& prior,
                 std::size_t size, double* __restrict g_data, double* __restrict d_data) {
  const bool point_mass = prior.a == 0;
  const BatchPrior p = prior;
  double moved[kShrinkFeatures];
  for (std::size_t f = 0; f < size; ++f) {
    const double n = n_of(f);
    const double g_last = g_data[f];
    const double d_last = d_data[f];
    const double g_next = (n * p.tau2 * gamma[f] + d_last * p.gamma_bar) / (n * p.tau2 + d_last);
    const double off = gamma[f] - g_next;
    const double d_posterior = (0.5 * (rss[f] + n * off * off) + p.b) / (n / 2 + p.a - 1);
    const double d_next = point_mass ? p.delta2_mean : d_posterior;
    moved[f] = left_out[f] == 0 ? Moved(g_next, g_last) + Moved(d_next, d_last) : 0.0;
    g_data[f] = g_next;
    d_data[f] = d_next;
  }
  std::uint64_t any = 0;
  for (std::size_t f = 0; f < size; ++f) any |= std::bit_cast<std::uint64_t>(moved[f]);
  return any != 0;
}

bool Iterate(const BatchEstimates& e, const BatchPrior& prior, std::size_t first, std::size_t size, ShrunkEstimates out) {
  const auto iterate = [&](const auto& n_of) {
    return IterateTile(e.gamma.data() + first, e.rss.data() + first, e.left_out.data() + first, n_of, prior, size,
                       out.gamma.data() + first, out.delta2.data() + first);
  };
  if (e.n.size() == 1) return iterate([n = e.n[0]](std::size_t) { return n; });
  return iterate([n = e.n.data() + first](std::size_t f) { return n[f]; });
}

}  // namespace

// Features do not depend on each other but for when they stop: at the first iteration in which none of them moves. So each tile
// runs ahead alone, while it is in the cache, to the first iteration at which it could stop; the last of these is the first at
// which all could. Then every tile goes on to that one, and if one of them moves in it, all look for a later one.
absl::Status ShrinkParametric(const BatchEstimates& estimates, const BatchPrior& prior, int threads, ShrunkEstimates out) {
  const std::size_t features = estimates.features();
  struct Tile {
    int iterations = 0;
    bool moved = true;  // in the last of them
  };
  std::vector<Tile> tiles((features + kShrinkFeatures - 1) / kShrinkFeatures);
  // Lets every tile iterate until done(tile).
  const auto run = [&](const auto& done) {
    ParallelFor(tiles.size(), threads, [&](std::size_t t) {
      const std::size_t first = t * kShrinkFeatures;
      const std::size_t size = std::min(kShrinkFeatures, features - first);
      Tile& tile = tiles[t];
      if (tile.iterations == 0) {
        std::copy_n(estimates.gamma.begin() + static_cast<std::ptrdiff_t>(first), size, out.gamma.data() + first);
        std::copy_n(estimates.delta2.begin() + static_cast<std::ptrdiff_t>(first), size, out.delta2.data() + first);
      }
      for (; !done(tile); ++tile.iterations) tile.moved = Iterate(estimates, prior, first, size, out);
    });
  };
  for (;;) {
    run([](const Tile& tile) { return !tile.moved || tile.iterations == kMaxIterations; });
    int target = 1;
    for (const Tile& tile : tiles) target = std::max(target, tile.iterations);
    run([&](const Tile& tile) { return tile.iterations == target; });
    if (std::none_of(tiles.begin(), tiles.end(), [](const Tile& tile) { return tile.moved; })) return absl::OkStatus();
    if (target == kMaxIterations) break;
  }
  return absl::FailedPreconditionError(
      absl::StrCat("the empirical Bayes estimates have not converged after ", kMaxIterations,
                   " iterations; look at this batch's data for extreme values, or use prior: none"));
}

void ShrinkLocation(const BatchEstimates& estimates, const BatchPrior& prior, ShrunkEstimates out) {
  for (std::size_t f = 0; f < estimates.features(); ++f) {
    out.gamma[f] = (prior.tau2 * estimates.gamma[f] + prior.gamma_bar) / (prior.tau2 + 1);
    out.delta2[f] = 1;
  }
}

void ShrinkNonparametric(const BatchEstimates& estimates, bool mean_only, int threads, ShrunkEstimates out) {
  std::vector<std::size_t> counted;
  for (std::size_t f = 0; f < estimates.features(); ++f) {
    if (estimates.Counts(f)) counted.push_back(f);
  }
  // Those that count, one after the other: each is compared with every other.
  std::vector<double> gamma(counted.size());
  std::vector<double> delta2(counted.size());
  std::vector<double> log_scale(counted.size());
  for (std::size_t k = 0; k < counted.size(); ++k) {
    gamma[k] = estimates.gamma[counted[k]];
    delta2[k] = mean_only ? 1 : estimates.delta2[counted[k]];
    log_scale[k] = std::log(2 * 3.14159265358979323846 * delta2[k]);
  }
  ParallelFor(counted.size(), threads, [&](std::size_t v) {
    const std::size_t f = counted[v];
    const double n = estimates.n[estimates.n.size() == 1 ? 0 : f];
    // log L_k = -n/2 log(2 pi d_k) - (SS + n (gamma - g_k)^2) / (2 d_k)
    const auto log_likelihood = [&](std::size_t k) {
      const double off = gamma[v] - gamma[k];
      return -0.5 * n * log_scale[k] - (estimates.rss[f] + n * off * off) / (2 * delta2[k]);
    };
    double largest = -std::numeric_limits<double>::infinity();
    for (std::size_t k = 0; k < counted.size(); ++k) {
      if (k != v) largest = std::max(largest, log_likelihood(k));
    }
    double weights = 0;
    double location = 0;
    double scale = 0;
    for (std::size_t k = 0; k < counted.size(); ++k) {
      if (k == v) continue;
      const double weight = std::exp(log_likelihood(k) - largest);
      weights += weight;
      location += weight * gamma[k];
      scale += weight * delta2[k];
    }
    out.gamma[f] = location / weights;
    out.delta2[f] = mean_only ? 1 : scale / weights;
  });
}

}  // namespace attune
