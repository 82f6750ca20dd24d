// SPDX-License-Identifier: Apache-2.0
#include "site_agent/survey.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/base/status.h"

namespace attune {
namespace {

class Surveyor {
 public:
  Surveyor(const std::vector<Covariate>& covariates, std::size_t features, const SurveyOptions& options)
      : columns_(DesignColumns(covariates)), levels_(SurveyedLevels(covariates)), features_(features), options_(options) {}

  absl::Status Add(const Subject& subject) {
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
    const std::vector<bool> has = LevelsOf(subject);
    for (std::size_t l = 0; l < levels_.size(); ++l) Count(has[l], survey.people, &survey.levels[l]);
    if (options_.missing) {
      for (std::size_t f = 0; f < features_; ++f) {
        if (std::isnan(subject.values[f])) continue;
        survey.present[f].Add(survey.people);
        for (std::size_t l = 0; l < levels_.size(); ++l) {
          Count(has[l], survey.people, &survey.present_levels[f * levels_.size() + l]);
        }
      }
    }
    AddAbsolute(subject, &survey);
    return absl::OkStatus();
  }

  std::vector<BatchSurvey> Finish() && {
    std::vector<BatchSurvey> surveys;
    for (auto& [id, batch] : batches_) {
      std::sort(batch.survey.digests.begin(), batch.survey.digests.end());
      surveys.push_back(std::move(batch.survey));
    }
    return surveys;
  }

 private:
  struct Batch {
    BatchSurvey survey;
    std::set<std::string> names;
    std::string person;  // of the row before
  };

  Batch& BatchOf(const BatchId& id) {
    const auto [found, is_new] = batches_.try_emplace(id);
    BatchSurvey& survey = found->second.survey;
    if (is_new) {
      survey.batch = id;
      survey.levels.resize(levels_.size());
      if (options_.missing) {
        survey.present.resize(features_);
        survey.present_levels.resize(features_ * levels_.size());
      }
      survey.absolute_sum.resize(features_);
      survey.absolute_max.resize(features_);
    }
    return found->second;
  }

  std::vector<bool> LevelsOf(const Subject& subject) const {
    std::vector<std::size_t> level_of;  // by covariate; the reference where no column says otherwise
    for (std::size_t d = 0; d < columns_.size(); ++d) {
      level_of.resize(std::max(level_of.size(), columns_[d].covariate + 1));
      if (columns_[d].level > 0 && subject.covariates[d] == 1) level_of[columns_[d].covariate] = columns_[d].level;
    }
    std::vector<bool> has;
    for (const SurveyedLevel& level : levels_) has.push_back(level_of[level.covariate] == level.level);
    return has;
  }

  static void Count(bool has, std::int64_t person, LevelCount* count) { (has ? count->have : count->lack).Add(person); }

  void AddAbsolute(const Subject& subject, BatchSurvey* survey) const {
    if (survey->rows >= kManyRows) {
      std::vector<double>().swap(survey->absolute_sum);
      std::vector<double>().swap(survey->absolute_max);
      return;
    }
    for (std::size_t f = 0; f < features_; ++f) {
      const double size = std::abs(subject.values[f]);
      if (std::isnan(size)) continue;
      survey->absolute_sum[f] += size;
      survey->absolute_max[f] = std::max(survey->absolute_max[f], size);
    }
  }

  const std::vector<DesignColumn> columns_;
  const std::vector<SurveyedLevel> levels_;
  const std::size_t features_;
  const SurveyOptions& options_;
  std::map<BatchId, Batch> batches_;
};

}  // namespace

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
  Surveyor surveyor(covariates, features, options);
  ATTUNE_RETURN_IF_ERROR(cohort.ForEach([&](const Subject& subject) { return surveyor.Add(subject); }));
  return std::move(surveyor).Finish();
}

}  // namespace attune
