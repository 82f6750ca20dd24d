// SPDX-License-Identifier: Apache-2.0
//
// The study file: what can be wrong with it, and its defaults.
#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/printable.h"
#include "common/base/status.h"
#include "common/base/text.h"
#include "common/wire/manifest.h"
#include "common/wire/names.h"
#include "common/wire/yaml.h"

namespace attune {
namespace {

constexpr int kDefaultMinBatchSize = 10;
constexpr std::uint32_t kLeastMinBatchSize = 2;  // a scale needs two subjects
constexpr std::uint32_t kMostMinBatchSize = 1'000'000;
constexpr double kDefaultDeadlineHours = 72;
constexpr double kMostDeadlineHours = 24 * 365;

absl::Status Error(absl::string_view key, absl::string_view what) {
  return Printable(absl::InvalidArgumentError(absl::StrCat("'", key, "' ", what)));
}

template <typename Names>
absl::Status CheckNames(absl::string_view key, const Names& names) {
  std::set<std::string> seen;
  for (const std::string& name : names) {
    if (!IsOneLine(name)) return Error(key, "holds an empty name or one with control characters");
    if (!seen.insert(name).second) return Error(key, absl::StrCat("holds '", name, "' twice"));
  }
  return absl::OkStatus();
}

absl::Status CheckCovariate(const v1::CovariateConfig& covariate, absl::string_view key) {
  switch (covariate.type()) {
    case v1::COVARIATE_TYPE_CONTINUOUS:
      if (covariate.levels_size() == 0) return absl::OkStatus();
      return Error(key, "is continuous and has levels; remove them, or say type: categorical");
    case v1::COVARIATE_TYPE_CATEGORICAL:
      if (!covariate.unit().empty()) return Error(key, "is categorical and has a unit; remove it, or say type: continuous");
      if (covariate.levels_size() < 2) {
        return Error(key, absl::StrCat("has ", covariate.levels_size(),
                                       " levels, expected all levels that occur, at least two, "
                                       "the first one the reference"));
      }
      for (const std::string& level : covariate.levels()) {
        if (IsMissing(level))
          return Error(key, absl::StrCat("has the level '", level, "', which means a missing value; rename it"));
      }
      return CheckNames(absl::StrCat(key, ".levels"), covariate.levels());
    default:
      return Error(key, "needs type: continuous or type: categorical");
  }
}

absl::Status CheckCovariates(const v1::StudyConfig& config) {
  std::set<std::string> seen;
  for (const v1::CovariateConfig& covariate : config.covariates()) {
    if (!IsOneLine(covariate.name())) return Error("covariates", "holds one without a name, or with control characters in it");
    const std::string key = absl::StrCat("covariates.", covariate.name());
    if (!seen.insert(covariate.name()).second) return Error(key, "is there twice");
    ATTUNE_RETURN_IF_ERROR(CheckCovariate(covariate, key));
  }
  return absl::OkStatus();
}

absl::Status CheckCombat(const v1::StudyConfig& config) {
  const v1::CombatOptions& combat = config.method().combat();
  if (!v1::Prior_IsValid(combat.prior())) return Error("method.combat.prior", "has an unknown value");
  if (!v1::MissingValues_IsValid(combat.missing())) return Error("method.combat.missing", "has an unknown value");
  if (!v1::SmallBatches_IsValid(combat.small_batches())) return Error("method.combat.small_batches", "has an unknown value");
  if (!combat.reference_batch().empty() && !IsOneLine(combat.reference_batch())) {
    return Error("method.combat.reference_batch", "has control characters");
  }
  for (const auto& [column, value] : combat.fit_on()) {
    if (!IsOneLine(column))
      return Error("method.combat.fit_on", "holds an empty name of a column or one with control characters");
    if (!IsOneLine(value) || IsMissing(value)) {
      return Error(absl::StrCat("method.combat.fit_on.", column), "needs the value of the subjects to estimate on");
    }
    const auto& covariates = config.covariates();
    if (std::any_of(covariates.begin(), covariates.end(), [&column = column](const auto& c) { return c.name() == column; })) {
      return Error(absl::StrCat("method.combat.fit_on.", column),
                   absl::StrCat("gives every subject that the model is estimated on the same '", column,
                                "', so that its effect cannot be estimated; leave '", column, "' out of 'covariates'"));
    }
  }
  return absl::OkStatus();
}

// What the file leaves unsaid, said: so that the manifest, which a site approves, tells everything.
void FillDefaults(v1::StudyConfig* config) {
  if (!config->features().has_images() && config->features().table().columns().empty())
    config->mutable_features()->mutable_table()->add_columns()->push_back('*');
  if (config->release() == v1::RELEASE_UNSPECIFIED) config->set_release(v1::RELEASE_PER_BATCH);
  if (!config->has_min_batch_size()) config->set_min_batch_size(kDefaultMinBatchSize);
  if (!config->has_deadline_hours()) config->set_deadline_hours(kDefaultDeadlineHours);
  if (config->missing_covariates() == v1::MISSING_COVARIATES_UNSPECIFIED) {
    config->set_missing_covariates(v1::MISSING_COVARIATES_ERROR);
  }
  v1::CombatOptions* combat = config->mutable_method()->mutable_combat();
  if (combat->prior() == v1::PRIOR_UNSPECIFIED) combat->set_prior(v1::PRIOR_PARAMETRIC);
  if (combat->missing() == v1::MISSING_VALUES_UNSPECIFIED) combat->set_missing(v1::MISSING_VALUES_REFUSE);
  if (combat->small_batches() == v1::SMALL_BATCHES_UNSPECIFIED) combat->set_small_batches(v1::SMALL_BATCHES_REFUSE);
}

}  // namespace

absl::StatusOr<v1::StudyConfig> ReadStudyFile(const std::string& path) {
  v1::StudyConfig config;
  ATTUNE_RETURN_IF_ERROR(ReadYamlFile(path, &config));
  if (const absl::Status status = CheckStudyConfig(config); !status.ok()) return WithContext(status, path);
  FillDefaults(&config);
  return config;
}

absl::Status CheckStudyConfig(const v1::StudyConfig& config) {
  if (!IsPlainName(config.study())) {
    return Error("study", absl::StrCat("is '", config.study(),
                                       "', expected a name of 1 to 63 of [A-Za-z0-9._-], first a letter or digit"));
  }
  ATTUNE_RETURN_IF_ERROR(CheckNames("features.table.columns", config.features().table().columns()));
  if (config.features().has_images()) {
    if (config.features().has_table()) return Error("features", "has both table and images; expected one of the two");
    if (!IsOneLine(config.features().images().mask())) {
      return Error("features.images.mask", "is missing; expected the file of the mask (NIfTI), whose voxels are the features");
    }
  }
  ATTUNE_RETURN_IF_ERROR(CheckNames("batch", config.batch()));
  ATTUNE_RETURN_IF_ERROR(CheckCovariates(config));
  if (!config.method().has_combat()) return Error("method", "is missing; expected method: {combat: {...}}");
  ATTUNE_RETURN_IF_ERROR(CheckCombat(config));
  if (!v1::Release_IsValid(config.release())) return Error("release", "has an unknown value");
  if (!v1::MissingCovariates_IsValid(config.missing_covariates())) return Error("missing_covariates", "has an unknown value");
  if (config.has_min_batch_size() &&
      (config.min_batch_size() < kLeastMinBatchSize || config.min_batch_size() > kMostMinBatchSize)) {
    return Error("min_batch_size",
                 absl::StrCat("is ", config.min_batch_size(), ", expected ", kLeastMinBatchSize, " to ", kMostMinBatchSize));
  }
  if (config.has_deadline_hours() && !(config.deadline_hours() > 0 && config.deadline_hours() <= kMostDeadlineHours)) {
    return Error("deadline_hours",
                 absl::StrCat("is ", config.deadline_hours(), ", expected a number above 0 and up to ", kMostDeadlineHours));
  }
  return absl::OkStatus();
}

std::string MethodIdOf(const v1::StudyConfig& config) { return config.method().has_combat() ? "combat/1" : ""; }

std::vector<Covariate> CovariatesOf(const v1::StudyConfig& config) {
  std::vector<Covariate> covariates;
  for (const v1::CovariateConfig& covariate : config.covariates()) {
    covariates.push_back(
        {.name = covariate.name(), .unit = covariate.unit(), .levels = {covariate.levels().begin(), covariate.levels().end()}});
  }
  return covariates;
}

Release ReleaseOf(const v1::StudyConfig& config) {
  return config.release() == v1::RELEASE_POOLED ? Release::kPooled : Release::kPerBatch;
}

int MinBatchSizeOf(const v1::StudyConfig& config) {
  return config.has_min_batch_size() ? static_cast<int>(config.min_batch_size()) : kDefaultMinBatchSize;
}

absl::Duration DeadlineOf(const v1::StudyConfig& config) {
  return absl::Hours(config.has_deadline_hours() ? config.deadline_hours() : kDefaultDeadlineHours);
}

}  // namespace attune
