// SPDX-License-Identifier: Apache-2.0
//
// "Did it help?" for ComBat. Under per_batch the coordinator has every batch's form and fit, and the state after the correction
// follows from them. Under pooled, a second round adds up what each site computes of its own form and fit; no pass over the
// data.
#ifndef ATTUNE_COMMON_METHODS_COMBAT_EVIDENCE_ROUND_H_
#define ATTUNE_COMMON_METHODS_COMBAT_EVIDENCE_ROUND_H_

#include <map>

#include "absl/status/statusor.h"
#include "common/kernel/method.h"
#include "common/methods/combat/form.h"

namespace attune::combat {

// per_batch: the figures, from all forms and corrections, in tiles of features. What of these lies in files is let go of at
// once.
Blocks EvidencePerBatch(const StudyFacts& facts, const Setup& setup, const Blocks& common, const Summary& pooled,
                        const std::map<BatchId, Summary>& by_batch, const std::map<BatchId, Blocks>& corrections,
                        int threads = 1);

// pooled: the question of round 2. Its body is the pooled model with the pooled means as centre.
Question EvidenceQuestion(const Setup& setup, const Blocks& common, const Summary& pooled);

// Whether `question` has the form and body that EvidenceQuestion gives.
absl::Status CheckEvidenceQuestion(const Setup& setup, const Question& question);

// The pooled model that the question holds.
Blocks CommonOf(const Setup& setup, const Question& question);

// A batch's answer to it, from its own form of round 1 and its own fit. Fails as FitBatch does, and with InvalidArgument when
// the question's values are so large that the answer is not finite.
absl::StatusOr<Summary> AnswerEvidence(const StudyFacts& facts, const Setup& setup, const Question& question,
                                       const BatchId& batch, const Summary& own, int threads);

// The figures, from the added-up answers. Fails with InvalidArgument when these are not of all batches of the study.
absl::StatusOr<Blocks> EvidencePooled(const StudyFacts& facts, const Setup& setup, const Question& question,
                                      const Summary& pooled);

}  // namespace attune::combat

#endif  // ATTUNE_COMMON_METHODS_COMBAT_EVIDENCE_ROUND_H_
