// SPDX-License-Identifier: Apache-2.0
//
// Shrinking one batch's location and scale estimates towards their distribution over features.
// Johnson, Li & Rabinovic (Biostatistics 2007), as the published implementations compute it (sva 3.46, neuroCombat).
#ifndef ATTUNE_COMMON_NUMERIC_EMPIRICAL_BAYES_H_
#define ATTUNE_COMMON_NUMERIC_EMPIRICAL_BAYES_H_

#include <cstddef>
#include <span>

#include "absl/status/status.h"

namespace attune {

// One batch's estimates of F features, of which G count: those that are not left out. Views: the caller keeps the values.
struct BatchEstimates {
  std::span<const double> gamma;     // F: location, in pooled standard deviations
  std::span<const double> delta2;    // F: scale squared, relative to the pooled variance
  std::span<const double> rss;       // F: residual sum of squares over the pooled variance
  std::span<const double> n;         // subjects with a value: F, or one entry for all features
  std::span<const double> left_out;  // F: 0 where the feature counts

  std::size_t features() const { return gamma.size(); }
  bool Counts(std::size_t f) const { return left_out[f] == 0; }
};

// Where the shrunk estimates go: F entries each. Those of features that are left out are without meaning afterwards.
struct ShrunkEstimates {
  std::span<double> gamma;
  std::span<double> delta2;
};

// The hyperparameters: gamma ~ N(gamma_bar, tau2), delta2 ~ InverseGamma(a, b), by the method of moments with divisor G - 1.
struct BatchPrior {
  double gamma_bar = 0;
  double tau2 = 0;
  double a = 0;
  double b = 0;
  double delta2_mean = 0;
};
BatchPrior EstimatePrior(const BatchEstimates& estimates);

inline constexpr int kMaxIterations = 1000;
inline constexpr double kConvergence = 1e-4;

// The parametric posterior means, iterated together over all features until none moves by more than kConvergence relative to
// its (signed) last value: the published stopping rule. Fails with FailedPrecondition after kMaxIterations.
// `threads` never changes a byte.
absl::Status ShrinkParametric(const BatchEstimates& estimates, const BatchPrior& prior, int threads, ShrunkEstimates out);

// Location only: g = (tau2 gamma + gamma_bar) / (tau2 + 1), delta2 = 1.
void ShrinkLocation(const BatchEstimates& estimates, const BatchPrior& prior, ShrunkEstimates out);

// The non-parametric posterior means: each feature is a mean of the others' estimates, weighted by their likelihood for it. In
// logarithms, so that large n cannot underflow. O(G^2). With `mean_only` all scales are 1.
void ShrinkNonparametric(const BatchEstimates& estimates, bool mean_only, int threads, ShrunkEstimates out);

}  // namespace attune

#endif  // ATTUNE_COMMON_NUMERIC_EMPIRICAL_BAYES_H_
