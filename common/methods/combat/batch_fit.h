// SPDX-License-Identifier: Apache-2.0
//
// One batch's location and scale, from the pooled parameters and the batch's own filled form. The same function at the site and
// at the coordinator. Formulas: README.md.
#ifndef ATTUNE_COMMON_METHODS_COMBAT_BATCH_FIT_H_
#define ATTUNE_COMMON_METHODS_COMBAT_BATCH_FIT_H_

#include <span>

#include "absl/status/statusor.h"
#include "common/kernel/method.h"
#include "common/methods/combat/form.h"
#include "common/numeric/location_scale.h"

namespace attune::combat {

// No empirical Bayes below this number of usable features: their spread says too little.
inline constexpr Eigen::Index kFewestFeaturesForPrior = 10;

// The model of `batch`: blocks alpha, sigma, gamma, delta2, gamma_hat, delta2_hat, adjusted (1 x F), beta (p x F), n (1 x 1),
// prior (5 x 1: gamma_bar, tau2, a, b, mean of delta2; zeros without empirical Bayes). `common` is a pooled model of the same
// setup, `own` a filled form of round 1. Fails, naming the batch, with FailedPrecondition when the estimates do not converge or
// a feature has no variance left in this batch, and with InvalidArgument when `common` adjusts a feature that `own` flags.
absl::StatusOr<BatchModel> FitBatch(const StudyFacts& facts, const Setup& setup, const Blocks& common, const BatchId& batch,
                                    const Summary& own, int threads);

// What the coordinator sends of it, and computes of it: the model's blocks gamma, delta2, gamma_hat, delta2_hat, and its notes.
// Fails as FitBatch.
Form CorrectionForm(const Setup& setup);
absl::StatusOr<BatchModel> FitCorrection(const StudyFacts& facts, const Setup& setup, const Blocks& common,
                                         const BatchId& batch, const Summary& own, int threads);

// The part of a model for the features [first, first + count).
LocationScale LocationScaleOf(const Blocks& parameters, Eigen::Index first, Eigen::Index count);

// One subject's harmonized values. Fails with InvalidArgument when the model's blocks are not those of a model of so many
// features and covariates, or a scale that is needed is not positive: models are read from files.
absl::Status ApplyModel(const Blocks& parameters, const Subject& subject, std::span<double> out);

}  // namespace attune::combat

#endif  // ATTUNE_COMMON_METHODS_COMBAT_BATCH_FIT_H_
