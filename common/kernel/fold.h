// SPDX-License-Identifier: Apache-2.0
//
// The fold that every study is, without transport: what a site does in a round, how answers add up, and both together in one
// process (attune-site local, the laws).
#ifndef ATTUNE_COMMON_KERNEL_FOLD_H_
#define ATTUNE_COMMON_KERNEL_FOLD_H_

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/kernel/method.h"

namespace attune {

// One site's answer to a question: the filled form of each of `batches`, in one pass over the cohort (none when the answers
// follow from `states`). Subjects with fit = false are not counted in. Fails as Accumulator does, the message naming the
// batch; a subject of a batch that is not listed is InvalidArgument.
absl::StatusOr<std::map<BatchId, Summary>> AnswerQuestion(const Method& method, const StudyFacts& facts,
                                                          const Question& question, const std::vector<BatchId>& batches,
                                                          const Cohort& cohort, const std::map<BatchId, SiteState>& states,
                                                          int threads);

// The sum of filled forms, in their order. Fails with InvalidArgument, naming the part, when a form is not `form` or holds a
// value that is not finite.
absl::StatusOr<Summary> SumOf(const Form& form, const std::map<BatchId, Summary>& parts, int threads = 1);

// Adds up filled forms: batches within their site, then sites, each in order of name, so that both releases sum alike. One
// pass, in tiles: of forms that lie in files, only what is being added is in memory. `threads` never changes a byte. Fails as
// SumOf.
absl::StatusOr<Answers> AddUp(const Form& form, Release release, std::map<BatchId, Summary> by_batch, int threads = 1);

// A whole study in this process. Returns the correction and each batch's model.
struct FoldResult {
  Correction correction;
  std::map<BatchId, BatchModel> models;
};
absl::StatusOr<FoldResult> RunInProcess(const Method& method, const StudyFacts& facts,
                                        const std::map<std::string, const Cohort*>& cohort_by_site, int threads);

}  // namespace attune

#endif  // ATTUNE_COMMON_KERNEL_FOLD_H_
