// SPDX-License-Identifier: Apache-2.0
//
// The pooled parameters of every feature, from the added-up forms of round 1. Formulas: README.md.
#ifndef ATTUNE_COMMON_METHODS_COMBAT_POOLED_MODEL_H_
#define ATTUNE_COMMON_METHODS_COMBAT_POOLED_MODEL_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/kernel/blocks.h"
#include "common/methods/combat/form.h"

namespace attune::combat {

// A residual sum of squares at or below this part of the sum of squares is rounding.
inline constexpr double kNoResidual = 1e-12;

// Why a feature is left as it is at every site. The values are part of the format of corrections and models.
enum class FeatureStatus : int {
  kAdjusted = 0,
  kConstant = 1,            // does not vary within some batch
  kEmpty = 2,               // missing in everybody of some batch
  kSingular = 3,            // the covariates of those who have it are collinear
  kNoResidualVariance = 4,  // the covariates explain it exactly
};

// Blocks of the common part of a correction: n (1x1), alpha, sigma, status (1 x F), beta (p x F). Features that are not
// adjusted have alpha = beta = 0, sigma = 1.
Form PooledModelForm(const Setup& setup);

// Fails with FailedPrecondition when the design has not full rank, naming the columns, and the batches where `by_batch` is
// known; and when the reference batch is smaller than min_batch_size: too few to move all others to. The message is for every
// site, and so has no batch's values.
absl::StatusOr<Blocks> FitPooledModel(const StudyFacts& facts, const Setup& setup, const Summary& pooled,
                                      const std::map<BatchId, Summary>& by_batch, int threads = 1);

// Whether the values of a pooled model that was received can be computed with: finite, sigma > 0, each status a known one.
// `blocks` has the blocks of PooledModelForm, and may have more. Fails with InvalidArgument.
absl::Status CheckPooledModel(const Blocks& blocks);

// An entry of the block "status".
inline bool IsAdjusted(double status) { return status == static_cast<double>(FeatureStatus::kAdjusted); }

// Sentences naming the features that are left as they are, by reason. They do not say in which batches: every site reads them.
std::vector<std::string> NotesOnFeatures(const StudyFacts& facts, const Blocks& common);

}  // namespace attune::combat

#endif  // ATTUNE_COMMON_METHODS_COMBAT_POOLED_MODEL_H_
