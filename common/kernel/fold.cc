// SPDX-License-Identifier: Apache-2.0
#include "common/kernel/fold.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace attune {

absl::StatusOr<std::map<BatchId, Summary>> AnswerQuestion(const Method& method, const StudyFacts& facts,
                                                          const Question& question, const std::vector<BatchId>& batches,
                                                          const Cohort& cohort, const std::map<BatchId, SiteState>& states,
                                                          int threads) {
  std::map<BatchId, std::unique_ptr<Accumulator>> accumulators;
  bool any_needs_subjects = false;
  for (const BatchId& batch : batches) {
    const auto state = states.find(batch);
    ATTUNE_ASSIGN_OR_RETURN(std::unique_ptr<Accumulator> accumulator,
                            method.Answer(facts, question, batch, state == states.end() ? SiteState() : state->second,
                                          {.first_subject = 0, .threads = threads}));
    any_needs_subjects |= accumulator->NeedsSubjects();
    accumulators[batch] = std::move(accumulator);
  }
  if (any_needs_subjects) {
    ATTUNE_RETURN_IF_ERROR(cohort.ForEach([&](const Subject& subject) {
      if (!subject.fit) return absl::OkStatus();
      const auto found = accumulators.find(subject.batch);
      if (found == accumulators.end()) {
        return absl::InvalidArgumentError(absl::StrCat("batch '", subject.batch, "' is not in the study's manifest"));
      }
      return WithContext(found->second->Add(subject), absl::StrCat("batch '", subject.batch, "'"));
    }));
  }
  std::map<BatchId, Summary> filled;
  for (auto& [batch, accumulator] : accumulators) {
    absl::StatusOr<Summary> summary = std::move(*accumulator).Finish();
    if (!summary.ok()) return WithContext(summary.status(), absl::StrCat("batch '", batch, "'"));
    filled[batch] = *std::move(summary);
  }
  return filled;
}

absl::StatusOr<Summary> SumOf(const Form& form, const std::map<BatchId, Summary>& by_batch) {
  Summary sum = Summary::Zero(form);
  for (const auto& [batch, summary] : by_batch) {
    if (absl::Status added = sum.Add(summary); !added.ok()) return WithContext(added, absl::StrCat("batch '", batch, "'"));
  }
  return sum;
}

absl::StatusOr<Answers> AddUp(const Form& form, Release release, const std::map<BatchId, Summary>& by_batch) {
  std::map<std::string, Summary> by_site;
  for (const auto& [batch, summary] : by_batch) {
    const auto [site, is_new] = by_site.try_emplace(SiteOf(batch), Summary::Zero(form));
    if (absl::Status added = site->second.Add(summary); !added.ok()) {
      return WithContext(added, absl::StrCat("batch '", batch, "'"));
    }
  }
  Answers answers;
  ATTUNE_ASSIGN_OR_RETURN(answers.pooled, SumOf(form, by_site));
  if (release == Release::kPerBatch) answers.by_batch = by_batch;
  return answers;
}

absl::StatusOr<FoldResult> RunInProcess(const Method& method, const StudyFacts& facts,
                                        const std::map<std::string, const Cohort*>& cohort_by_site, int threads) {
  std::map<BatchId, SiteState> states;
  ATTUNE_ASSIGN_OR_RETURN(Question question, method.Begin(facts));
  for (;;) {
    std::map<BatchId, Summary> by_batch;
    for (const auto& [site, cohort] : cohort_by_site) {
      std::vector<BatchId> batches;
      std::copy_if(facts.batches.begin(), facts.batches.end(), std::back_inserter(batches),
                   [&, &name = site](const BatchId& batch) { return SiteOf(batch) == name; });
      ATTUNE_ASSIGN_OR_RETURN(auto filled, AnswerQuestion(method, facts, question, batches, *cohort, states, threads));
      by_batch.merge(filled);
    }
    ATTUNE_ASSIGN_OR_RETURN(const Answers answers, AddUp(question.form, facts.release, by_batch));
    for (auto& [batch, summary] : by_batch) states[batch].earlier.push_back(std::move(summary));
    ATTUNE_ASSIGN_OR_RETURN(auto outcome, method.Next(facts, question, answers, threads));
    if (std::holds_alternative<Correction>(outcome)) {
      FoldResult result{std::get<Correction>(std::move(outcome)), {}};
      for (const BatchId& batch : facts.batches) {
        ATTUNE_ASSIGN_OR_RETURN(result.models[batch],
                                method.Fit(facts, result.correction, batch, states[batch].earlier.front(), threads));
      }
      return result;
    }
    question = std::get<Question>(std::move(outcome));
  }
}

}  // namespace attune
