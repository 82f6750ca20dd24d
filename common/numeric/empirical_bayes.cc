// SPDX-License-Identifier: Apache-2.0
#include "common/numeric/empirical_bayes.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/parallel.h"

namespace attune {
namespace {

using Eigen::ArrayXd;
using Eigen::Index;

double MeanOf(const ArrayXd& values) {
  double sum = 0;
  for (Index i = 0; i < values.size(); ++i) sum += values[i];
  return sum / static_cast<double>(values.size());
}

double VarianceOf(const ArrayXd& values, double mean) {
  double sum = 0;
  for (Index i = 0; i < values.size(); ++i) sum += (values[i] - mean) * (values[i] - mean);
  return sum / static_cast<double>(values.size() - 1);
}

// Features that one thread takes at a time.
constexpr Index kPriorTileFeatures = 8192;

// Whether |next - last| / last, with the sign of `last` as published, is above kConvergence; a value that stays where it is has
// not moved, even at 0.
inline bool Moved(double next, double last) {
  const double step = std::abs(next - last);
  return (step > kConvergence * last) & !(last < 0) & (step > 0);
}

}  // namespace

BatchPrior EstimatePrior(const BatchEstimates& estimates) {
  BatchPrior prior;
  prior.gamma_bar = MeanOf(estimates.gamma);
  prior.tau2 = VarianceOf(estimates.gamma, prior.gamma_bar);
  const double m = MeanOf(estimates.delta2);
  const double s2 = VarianceOf(estimates.delta2, m);
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

absl::StatusOr<ShrunkEstimates> ShrinkParametric(const BatchEstimates& estimates, const BatchPrior& prior, int threads) {
  const Index features = estimates.gamma.size();
  ArrayXd g = estimates.gamma;
  ArrayXd d = estimates.delta2;
  const Index tiles = (features + kPriorTileFeatures - 1) / kPriorTileFeatures;
  std::vector<char> moved(static_cast<std::size_t>(tiles));
  const auto update = [&](Index first, Index last) {
    const double* gamma = estimates.gamma.data();
    const double* rss = estimates.rss.data();
    const double* count = estimates.n.data();
    double* g_data = g.data();
    double* d_data = d.data();
    const bool point_mass = prior.a == 0;
    int any = 0;
    for (Index f = first; f < last; ++f) {
      const double n = count[f];
      const double g_last = g_data[f];
      const double d_last = d_data[f];
      const double g_next = (n * prior.tau2 * gamma[f] + d_last * prior.gamma_bar) / (n * prior.tau2 + d_last);
      const double off = gamma[f] - g_next;
      const double d_posterior = (0.5 * (rss[f] + n * off * off) + prior.b) / (n / 2 + prior.a - 1);
      const double d_next = point_mass ? prior.delta2_mean : d_posterior;
      any |= static_cast<int>(Moved(g_next, g_last)) | static_cast<int>(Moved(d_next, d_last));
      g_data[f] = g_next;
      d_data[f] = d_next;
    }
    return any != 0;
  };
  for (int iteration = 0; iteration < kMaxIterations; ++iteration) {
    ParallelFor(static_cast<std::size_t>(tiles), threads, [&](std::size_t tile) {
      const Index first = static_cast<Index>(tile) * kPriorTileFeatures;
      moved[tile] = update(first, std::min(first + kPriorTileFeatures, features)) ? 1 : 0;
    });
    if (std::none_of(moved.begin(), moved.end(), [](char m) { return m != 0; })) {
      return ShrunkEstimates{std::move(g), std::move(d)};
    }
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
