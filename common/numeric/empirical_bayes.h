// SPDX-License-Identifier: Apache-2.0
//
// Shrinking one batch's location and scale estimates towards their distribution over features.
// Johnson, Li & Rabinovic (Biostatistics 2007), as the published implementations compute it (sva 3.46, neuroCombat).
#ifndef ATTUNE_COMMON_NUMERIC_EMPIRICAL_BAYES_H_
#define ATTUNE_COMMON_NUMERIC_EMPIRICAL_BAYES_H_

#include <Eigen/Core>

#include "absl/status/statusor.h"

namespace attune {

// One batch's estimates over its G usable features; each array has G entries.
struct BatchEstimates {
  Eigen::ArrayXd gamma;   // location, in pooled standard deviations
  Eigen::ArrayXd delta2;  // scale squared, relative to the pooled variance
  Eigen::ArrayXd rss;     // residual sum of squares over the pooled variance
  Eigen::ArrayXd n;       // subjects with a value
};

struct ShrunkEstimates {
  Eigen::ArrayXd gamma;
  Eigen::ArrayXd delta2;
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
absl::StatusOr<ShrunkEstimates> ShrinkParametric(const BatchEstimates& estimates, const BatchPrior& prior, int threads = 1);

// Location only: g = (tau2 gamma + gamma_bar) / (tau2 + 1), delta2 = 1.
ShrunkEstimates ShrinkLocation(const BatchEstimates& estimates, const BatchPrior& prior);

// The non-parametric posterior means: each feature is a mean of the others' estimates, weighted by their likelihood for it. In
// logarithms, so that large n cannot underflow. O(G^2). With `mean_only` all scales are 1.
ShrunkEstimates ShrinkNonparametric(const BatchEstimates& estimates, bool mean_only, int threads);

}  // namespace attune

#endif  // ATTUNE_COMMON_NUMERIC_EMPIRICAL_BAYES_H_
