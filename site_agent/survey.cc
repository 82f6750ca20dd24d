// SPDX-License-Identifier: Apache-2.0
#include "site_agent/survey.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/base/scratch_array.h"
#include "common/base/status.h"

namespace attune {
struct PeopleSurvey::Batch {
  BatchSurvey survey;
  std::set<std::string> names;
  std::string person;  // of the row before
  // By feature, the sum of absolute values and the largest of them; none from kManyRows on.
  ScratchArray absolute_sum;
  ScratchArray absolute_max;
};

PeopleSurvey::PeopleSurvey(const std::vector<Covariate>& covariates, std::size_t features, SurveyOptions options)
    : columns_(DesignColumns(covariates)),
      levels_(SurveyedLevels(covariates)),
      features_(features),
      options_(std::move(options)) {}

PeopleSurvey::~PeopleSurvey() = default;

absl::Status PeopleSurvey::Add(const Subject& subject) {
  if (!subject.fit) return absl::OkStatus();
  Batch& batch = BatchOf(subject.batch);
  BatchSurvey& survey = batch.survey;
  if (batch.names.empty() || batch.person != subject.person) {
    // Counting needs a person's rows together; ids that begin with the person's (sub-01_ses-1) are.
    if (!batch.names.insert(subject.person).second) {
      return absl::FailedPreconditionError(absl::StrCat(
          "batch '", subject.batch,
          "': the rows of one person do not follow on each other in the order of ids, so that people cannot be counted: let "
          "the ids of a person's rows begin with the same text"));
    }
    batch.person = subject.person;
    ++survey.people;
    if (options_.ledger_key.has_value()) {
      survey.digests.push_back(HmacSha256(*options_.ledger_key, subject.person).substr(0, kPersonDigestBytes));
    }
  }
  ++survey.rows;
  const auto count = [&](bool has, LevelCount* levels) { (has ? levels->have : levels->lack).Add(survey.people); };
  const std::vector<bool> has = LevelsOf(subject);
  for (std::size_t l = 0; l < levels_.size(); ++l) count(has[l], &survey.levels[l]);
  if (options_.missing) {
    for (std::size_t f = 0; f < features_; ++f) {
      if (std::isnan(subject.values[f])) continue;
      survey.present[f].Add(survey.people);
      for (std::size_t l = 0; l < levels_.size(); ++l) count(has[l], &survey.present_levels[f * levels_.size() + l]);
    }
  }
  AddAbsolute(subject, &batch);
  return absl::OkStatus();
}

std::vector<BatchSurvey> PeopleSurvey::Finish() && {
  std::vector<BatchSurvey> surveys;
  for (auto& [id, batch] : batches_) {
    std::sort(batch.survey.digests.begin(), batch.survey.digests.end());
    for (std::size_t f = 0; f < batch.absolute_sum.size(); ++f) {
      if (batch.absolute_max[f] <= kDominant * batch.absolute_sum[f]) continue;
      batch.survey.dominated = f;
      break;
    }
    surveys.push_back(std::move(batch.survey));
  }
  batches_.clear();
  return surveys;
}

PeopleSurvey::Batch& PeopleSurvey::BatchOf(const BatchId& id) {
  const auto [found, is_new] = batches_.try_emplace(id);
  Batch& batch = found->second;
  if (is_new) {
    batch.survey.batch = id;
    batch.survey.levels.resize(levels_.size());
    if (options_.missing) {
      batch.survey.present.resize(features_);
      batch.survey.present_levels.resize(features_ * levels_.size());
    }
    batch.absolute_sum = ScratchArray(features_);
    batch.absolute_max = ScratchArray(features_);
  }
  return batch;
}

std::vector<bool> PeopleSurvey::LevelsOf(const Subject& subject) const {
  std::vector<std::size_t> level_of;  // by covariate; the reference where no column says otherwise
  for (std::size_t d = 0; d < columns_.size(); ++d) {
    level_of.resize(std::max(level_of.size(), columns_[d].covariate + 1));
    if (columns_[d].level > 0 && subject.covariates[d] == 1) level_of[columns_[d].covariate] = columns_[d].level;
  }
  std::vector<bool> has;
  for (const SurveyedLevel& level : levels_) has.push_back(level_of[level.covariate] == level.level);
  return has;
}

void PeopleSurvey::AddAbsolute(const Subject& subject, Batch* batch) const {
  if (batch->survey.rows >= kManyRows) {
    batch->absolute_sum = ScratchArray();
    batch->absolute_max = ScratchArray();
    return;
  }
  const double* values = subject.values.data();
  double* sum = batch->absolute_sum.data();
  double* max = batch->absolute_max.data();
  for (std::size_t f = 0; f < features_; ++f) {
    // NaN, a missing value, counts as nothing.
    const double size = values[f] == values[f] ? std::abs(values[f]) : 0;
    sum[f] += size;
    max[f] = std::max(max[f], size);
  }
  batch->absolute_sum.Evict();
  batch->absolute_max.Evict();
}

std::int64_t BatchSurvey::FewestPeople() const {
  std::int64_t fewest = people;
  for (const PeopleCount& count : present) {
    if (count.people > 0) fewest = std::min(fewest, count.people);
  }
  return fewest;
}

std::vector<SurveyedLevel> SurveyedLevels(const std::vector<Covariate>& covariates) {
  std::vector<SurveyedLevel> levels;
  for (std::size_t c = 0; c < covariates.size(); ++c) {
    for (std::size_t l = 0; l < covariates[c].levels.size(); ++l) levels.push_back({c, l});
  }
  return levels;
}

absl::StatusOr<std::vector<BatchSurvey>> SurveyPeople(const std::vector<Covariate>& covariates, std::size_t features,
                                                      const Cohort& cohort, const SurveyOptions& options) {
  PeopleSurvey survey(covariates, features, options);
  ATTUNE_RETURN_IF_ERROR(cohort.ForEach([&](const Subject& subject) { return survey.Add(subject); }));
  return std::move(survey).Finish();
}

}  // namespace attune
