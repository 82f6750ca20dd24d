// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_SITE_AGENT_SURVEY_H_
#define ATTUNE_SITE_AGENT_SURVEY_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/kernel/cohort.h"
#include "common/kernel/study_facts.h"

namespace attune {

// Counts people whose rows come one after another.
struct PeopleCount {
  std::int64_t people = 0;
  std::int64_t last = 0;  // the number of the person who was counted last

  void Add(std::int64_t person) {
    if (person != last) ++people;
    last = person;
  }
};

// The people who have, and who lack, one level of a categorical covariate.
struct LevelCount {
  PeopleCount have;
  PeopleCount lack;
};

// One batch as the site's rules look at it: whom its sums would be over. Only people who are estimated on.
struct BatchSurvey {
  BatchId batch;
  std::int64_t people = 0;
  std::int64_t rows = 0;
  std::vector<LevelCount> levels;  // as SurveyedLevels lists them

  // Where values may be missing: by feature, who has it, and of these who has and lacks each level (feature by feature).
  std::vector<PeopleCount> present;
  std::vector<LevelCount> present_levels;

  // Batches of fewer than kManyRows rows: the first feature of which one absolute value is more than kDominant of their sum.
  std::optional<std::size_t> dominated;

  std::vector<std::string> digests;  // of the people, sorted; empty when no key was given

  // The fewest people behind a sum: those of the batch, or those who have the feature that fewest have (none does not count).
  std::int64_t FewestPeople() const;
};

// From so many rows on, no single value makes up a sum.
inline constexpr std::int64_t kManyRows = 30;
// A value that is more of a sum than this can be told from it.
inline constexpr double kDominant = 0.9;
// The length of a person's digest: HMAC-SHA256 of the person, cut off.
inline constexpr std::size_t kPersonDigestBytes = 16;

struct SurveyedLevel {
  std::size_t covariate;
  std::size_t level;
};
// All levels of all categorical covariates.
std::vector<SurveyedLevel> SurveyedLevels(const std::vector<Covariate>& covariates);

struct SurveyOptions {
  bool missing = false;                        // count by feature
  std::optional<std::string> ledger_key = {};  // make digests of the people
};

// Looks at everybody, one after the other in the order of ids. Memory: per batch two numbers per feature while it is small
// (they lie in files where they are many), one per feature and level where values may be missing, and 16 bytes per person. Not
// thread-safe.
class PeopleSurvey {
 public:
  PeopleSurvey(const std::vector<Covariate>& covariates, std::size_t features, SurveyOptions options);
  ~PeopleSurvey();

  // FailedPrecondition when the rows of one person do not follow on each other.
  absl::Status Add(const Subject& subject);

  // Batches sorted.
  std::vector<BatchSurvey> Finish() &&;

 private:
  struct Batch;
  Batch& BatchOf(const BatchId& id);
  std::vector<bool> LevelsOf(const Subject& subject) const;
  void AddAbsolute(const Subject& subject, Batch* batch) const;

  const std::vector<DesignColumn> columns_;
  const std::vector<SurveyedLevel> levels_;
  const std::size_t features_;
  const SurveyOptions options_;
  std::map<BatchId, Batch> batches_;
};

// Of a whole cohort. Fails as it and PeopleSurvey do.
absl::StatusOr<std::vector<BatchSurvey>> SurveyPeople(const std::vector<Covariate>& covariates, std::size_t features,
                                                      const Cohort& cohort, const SurveyOptions& options);

}  // namespace attune

#endif  // ATTUNE_SITE_AGENT_SURVEY_H_
