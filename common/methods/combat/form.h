// SPDX-License-Identifier: Apache-2.0
//
// The form of round 1: what each batch fills in, and how to read it back. README.md says what each block reveals.
#ifndef ATTUNE_COMMON_METHODS_COMBAT_FORM_H_
#define ATTUNE_COMMON_METHODS_COMBAT_FORM_H_

#include <cmath>
#include <string>

#include "absl/status/statusor.h"
#include "attune/v1/config.pb.h"
#include "common/kernel/blocks.h"
#include "common/kernel/study_facts.h"
#include "common/numeric/moments.h"

namespace attune::combat {

// The study as combat/1 sees it.
struct Setup {
  v1::CombatOptions options;
  Eigen::Index p = 0;         // design columns
  Eigen::Index features = 0;  // F
  bool missing = false;       // every sum is per feature, over the subjects present
  BatchId reference;          // empty: none
  // Whether a batch of n subjects is corrected in location only because it is small.
  bool IsSmall(double n) const { return n < min_batch_size; }
  double min_batch_size = 10;
};

// Fixed point under secure aggregation. Sums and products keep 2^-80, which holds up to 2^47 = 1.4e14 over all sites; sums of
// squares, which grow largest, 2^-60 and up to 1.5e20.
inline constexpr int kFineResolutionLog2 = -80;
inline constexpr int kSquaresResolutionLog2 = -60;

// 0 instead of what is only the rounding of a value of this scale: a sum of z-scores is 1e-14 and not 0, and fixed point could
// not keep such digits (nor should it: they mean nothing). Moves no result by more than 1e-12 of the scale.
inline double WithoutNoise(double value, double scale) { return std::abs(value) <= 0x1p-40 * scale ? 0 : value; }

// Fails with InvalidArgument when the options cannot be read or do not fit the study.
absl::StatusOr<Setup> SetupOf(const StudyFacts& facts);

// Blocks n, x_sum, xx, y_sum, xy, yy, constant (and count, empty with missing values). Under `pooled` with a reference batch,
// these again with the prefix "reference.", which that batch alone fills.
Form RoundOneForm(const StudyFacts& facts, const Setup& setup);
inline constexpr char kReferencePrefix[] = "reference.";

// FailedPrecondition when a batch of n subjects is small and the study does not correct small ones in location only. Like that
// of CheckFilledRoundOne, its message may reach every site, and so tells no number of the batch.
absl::Status CheckBatchSize(const Setup& setup, double n);

// Whether one batch can have filled the form of round 1 like this: finite, its size as CheckBatchSize says, counts whole and
// not above it, flags 0 or 1, no negative sum of squares. Fails with InvalidArgument and as CheckBatchSize does.
absl::Status CheckFilledRoundOne(const Setup& setup, const Summary& summary);

// Fills the form of one batch, of which there is at least one subject. Features that do not vary in it are flagged, and zero
// elsewhere, except in a small batch.
Summary FillRoundOne(const Form& form, const Setup& setup, MomentTree&& moments, bool is_reference);

// The moments of one filled form for the features [first, first + count). Flagged features have zeros.
Moments MomentsOf(const Summary& summary, const Setup& setup, Eigen::Index first, Eigen::Index count,
                  const std::string& prefix = "");

}  // namespace attune::combat

#endif  // ATTUNE_COMMON_METHODS_COMBAT_FORM_H_
