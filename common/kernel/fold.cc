// SPDX-License-Identifier: Apache-2.0
#include "common/kernel/fold.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/parallel.h"
#include "common/base/status.h"

namespace attune {
namespace {

// Entries that are added at a time: a core's cache holds two such runs.
constexpr std::size_t kTileEntries = std::size_t{1} << 16;

// Entries of one block, and where they stand in the sum.
struct Tile {
  std::size_t block;
  std::size_t first;
  std::span<double> sum;
};

std::vector<Tile> TilesOf(Summary& sum) {
  std::vector<Tile> tiles;
  std::span<double> rest = sum.MutableValues();
  for (std::size_t k = 0; k < sum.form().size(); ++k) {
    const auto size = static_cast<std::size_t>(sum.form()[k].rows * sum.form()[k].cols);
    for (std::size_t first = 0; first < size; first += kTileEntries) {
      const std::size_t count = std::min(kTileEntries, size - first);
      tiles.push_back({k, first, rest.first(count)});
      rest = rest.subspan(count);
    }
  }
  return tiles;
}

// The sum over groups of the sums of their members, tile by tile.
using Group = std::vector<const Summary*>;
absl::StatusOr<Summary> SumOfGroups(const Form& form, const std::map<BatchId, Summary>& parts, const std::vector<Group>& groups,
                                    int threads) {
  for (const auto& [name, summary] : parts) {
    if (summary.form() == form) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("batch '", name, "': forms differ: ", DescribeDifference(form, summary.form())));
  }
  Summary sum = Summary::Zero(form);
  const std::vector<Tile> tiles = TilesOf(sum);
  std::atomic<bool> finite{true};
  ParallelFor(tiles.size(), threads, [&](std::size_t t) {
    const auto& [block, first, total] = tiles[t];
    const auto add = [&, block = block, first = first](const Summary& part, std::span<double> to) {
      part.AddEntriesTo(block, first, to);
      part.Evict();  // all of it: the kernel maps more than was touched
    };
    std::vector<double> of_group;
    for (const Group& group : groups) {
      if (group.size() == 1) {  // adding it to zero first would give the same
        add(*group.front(), total);
        continue;
      }
      of_group.assign(total.size(), 0);
      for (const Summary* part : group) add(*part, of_group);
      for (std::size_t i = 0; i < total.size(); ++i) total[i] += of_group[i];
    }
    if (!std::all_of(total.begin(), total.end(), [](double v) { return std::isfinite(v); })) finite = false;
  });
  // What is not finite stays so in every sum: only then are the parts looked at. When each is finite, their sum is too large,
  // which the method tells.
  for (const auto& [name, summary] : parts) {
    if (finite) break;
    ATTUNE_RETURN_IF_ERROR(WithContext(summary.CheckFinite(), absl::StrCat("batch '", name, "'")));
    summary.Evict();
  }
  return sum;
}

}  // namespace

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

absl::StatusOr<Summary> SumOf(const Form& form, const std::map<BatchId, Summary>& parts, int threads) {
  std::vector<Group> groups;
  for (const auto& [name, summary] : parts) groups.push_back({&summary});
  return SumOfGroups(form, parts, groups, threads);
}

absl::StatusOr<Answers> AddUp(const Form& form, Release release, std::map<BatchId, Summary> by_batch, int threads) {
  std::map<std::string, Group> by_site;
  for (const auto& [batch, summary] : by_batch) by_site[SiteOf(batch)].push_back(&summary);
  std::vector<Group> groups;
  for (const auto& [site, group] : by_site) groups.push_back(group);
  Answers answers;
  ATTUNE_ASSIGN_OR_RETURN(answers.pooled, SumOfGroups(form, by_batch, groups, threads));
  if (release == Release::kPerBatch) answers.by_batch = std::move(by_batch);
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
    ATTUNE_ASSIGN_OR_RETURN(const Answers answers, AddUp(question.form, facts.release, by_batch, threads));
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
