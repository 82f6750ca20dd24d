// SPDX-License-Identifier: Apache-2.0
//
// A whole study on rows in memory: fold, then apply.
#ifndef ATTUNE_TESTS_SUPPORT_IN_MEMORY_STUDY_H_
#define ATTUNE_TESTS_SUPPORT_IN_MEMORY_STUDY_H_

#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/kernel/fold.h"
#include "tests/support/memory_cohort.h"

namespace attune::testing {

// The names but one.
inline FeatureNames Without(const FeatureNames& features, std::size_t left_out) {
  std::vector<std::string> names = features.names();
  names.erase(names.begin() + static_cast<std::ptrdiff_t>(left_out));
  return names;
}

using Values = std::vector<std::vector<double>>;  // one vector of F values per row

inline Subject AsSubject(const Row& row) { return {row.id, row.id, row.batch, row.fit, row.covariates, row.values}; }

inline absl::StatusOr<FoldResult> RunRows(const Method& method, const StudyFacts& facts, const std::vector<Row>& rows,
                                          int threads = 1) {
  const std::map<std::string, MemoryCohort> cohorts = SplitBySite(rows);
  std::map<std::string, const Cohort*> by_site;
  for (const auto& [site, cohort] : cohorts) by_site[site] = &cohort;
  return RunInProcess(method, facts, by_site, threads);
}

// The answer of every batch to the first question.
inline absl::StatusOr<std::map<BatchId, Summary>> AnswerFirst(const Method& method, const StudyFacts& facts,
                                                              const std::vector<Row>& rows, int threads = 1) {
  const absl::StatusOr<Question> question = method.Begin(facts);
  if (!question.ok()) return question.status();
  return AnswerQuestion(method, facts, *question, facts.batches, MemoryCohort(rows), {}, threads);
}

// The rows harmonized, in their order. The models must hold each row's batch.
inline absl::StatusOr<Values> ApplyRows(const Method& method, const FoldResult& result, const std::vector<Row>& rows) {
  Values harmonized;
  for (const Row& row : rows) {
    std::vector<double> out(row.values.size());
    if (absl::Status status = method.Apply(result.models.at(row.batch), AsSubject(row), out); !status.ok()) return status;
    harmonized.push_back(std::move(out));
  }
  return harmonized;
}

inline absl::StatusOr<Values> Harmonize(const Method& method, const StudyFacts& facts, const std::vector<Row>& rows,
                                        int threads = 1) {
  const absl::StatusOr<FoldResult> result = RunRows(method, facts, rows, threads);
  if (!result.ok()) return result.status();
  return ApplyRows(method, *result, rows);
}

// The largest |a - b| / max(1, |b|); missing values must be so in both, and sizes the same: else infinity.
inline double LargestRelativeDifference(std::span<const double> a, std::span<const double> b) {
  if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (std::isnan(a[i]) && std::isnan(b[i])) continue;
    const double difference = std::abs(a[i] - b[i]) / std::max(1.0, std::abs(b[i]));
    if (!(difference <= largest)) largest = std::isnan(difference) ? std::numeric_limits<double>::infinity() : difference;
  }
  return largest;
}

inline double LargestRelativeDifference(const Values& a, const Values& b) {
  if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    largest = std::max(largest, LargestRelativeDifference(std::span(a[i]), std::span(b[i])));
  return largest;
}

inline bool SameBytes(std::span<const double> a, std::span<const double> b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size_bytes()) == 0);
}

inline bool SameBytes(const Blocks& a, const Blocks& b) { return a.form() == b.form() && SameBytes(a.values(), b.values()); }

inline bool SameBytes(const std::map<BatchId, Summary>& a, const std::map<BatchId, Summary>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const auto& x, const auto& y) { return x.first == y.first && SameBytes(x.second, y.second); });
}

inline bool SameBytes(const Values& a, const Values& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const auto& x, const auto& y) { return SameBytes(std::span(x), std::span(y)); });
}

}  // namespace attune::testing

#endif  // ATTUNE_TESTS_SUPPORT_IN_MEMORY_STUDY_H_
