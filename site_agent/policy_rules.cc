// SPDX-License-Identifier: Apache-2.0
#include "site_agent/policy_rules.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/base/text.h"
#include "common/wire/manifest.h"
#include "site_agent/policy.h"

namespace attune {
namespace {

using Patterns = google::protobuf::RepeatedPtrField<std::string>;

bool Allows(const Patterns& patterns, absl::string_view name) {
  return std::any_of(patterns.begin(), patterns.end(), [&](const std::string& pattern) { return MatchesGlob(pattern, name); });
}

// PermissionDenied naming those of `names` that `patterns`, the policy's list `key`, does not allow.
absl::Status CheckAllowed(const Patterns& patterns, absl::string_view key, absl::string_view what,
                          const std::vector<std::string>& names) {
  std::vector<std::string> refused;
  for (const std::string& name : names) {
    if (!Allows(patterns, name)) refused.push_back(name);
  }
  if (refused.empty()) return absl::OkStatus();
  return absl::PermissionDeniedError(absl::StrCat("policy.yaml does not allow the ", what, " ", JoinSome(refused),
                                                  ": if that may leave this site, add it to '", key, "' there"));
}

bool Rare(std::int64_t people, std::int64_t min_cell) { return people > 0 && people < min_cell; }
bool Rare(const LevelCount& count, std::int64_t min_cell) {
  return Rare(count.have.people, min_cell) || Rare(count.lack.people, min_cell);
}

// "in batch 'a/one', only 1 of 12 people have sex: M"
std::string DescribeRare(const std::vector<Covariate>& covariates, const SurveyedLevel& level, const LevelCount& count,
                         std::int64_t people, std::int64_t min_cell, absl::string_view batch, absl::string_view which) {
  const bool have = Rare(count.have.people, min_cell);
  return absl::StrCat("in batch '", batch, "', only ", have ? count.have.people : count.lack.people, " of ", people, " people",
                      which, have ? " have " : " have not ", covariates[level.covariate].name, ": ",
                      covariates[level.covariate].levels[level.level]);
}

}  // namespace

RuleResult StudyRule(const v1::SitePolicy& policy, const v1::StudyConfig& study) {
  return {"the study may run here (studies)", CheckAllowed(policy.studies(), "studies", "study", {study.study()})};
}

RuleResult MethodRule(const v1::SitePolicy& policy, absl::string_view method) {
  return {"the method may run here (methods)", CheckAllowed(policy.methods(), "methods", "method", {std::string(method)})};
}

RuleResult CovariatesRule(const v1::SitePolicy& policy, const v1::StudyConfig& study) {
  std::vector<std::string> names;
  for (const v1::CovariateConfig& covariate : study.covariates()) names.push_back(covariate.name());
  for (const auto& [column, value] : study.method().combat().fit_on()) names.push_back(column);
  std::sort(names.begin(), names.end());
  return {"the covariates, and the columns that choose whom is estimated on, may be used (covariates)",
          CheckAllowed(policy.covariates(), "covariates", "covariate", names)};
}

RuleResult FeaturesRule(const v1::SitePolicy& policy, const FeatureNames& features) {
  // Voxels are allowed together, by one name.
  const std::vector<std::string> names = features.voxels() ? std::vector<std::string>{kVoxelsName} : features.names();
  return {"the features may be summed (features)", CheckAllowed(policy.features(), "features", "feature", names)};
}

RuleResult ReleaseRule(const v1::SitePolicy& policy, const v1::StudyConfig& study) {
  RuleResult rule{policy.release() == v1::RELEASE_PER_BATCH ? "sums may be released by batch, or pooled (release)"
                                                            : "only the sum over all sites may be released (release)",
                  absl::OkStatus()};
  if (ReleaseOf(study) == Release::kPerBatch && policy.release() != v1::RELEASE_PER_BATCH) {
    rule.result = absl::PermissionDeniedError(
        absl::StrCat("study '", study.study(),
                     "' has release: per_batch, under which the coordinator sees the sums of each batch of this site; "
                     "policy.yaml allows at most 'release: pooled'. Ask the consortium for release: pooled, or say 'release: "
                     "per_batch' in policy.yaml if the coordinator may see these sums"));
  }
  return rule;
}

RuleResult SitesRule(const v1::SitePolicy& policy, const v1::Manifest& manifest) {
  const v1::Release release = ReleaseOf(manifest.config()) == Release::kPooled ? v1::RELEASE_POOLED : v1::RELEASE_PER_BATCH;
  const std::uint32_t least = MinSitesOf(policy, release);
  RuleResult rule{absl::StrCat("at least ", least, " sites take part (min_sites)"), absl::OkStatus()};
  if (static_cast<std::uint32_t>(manifest.roster_size()) < least) {
    rule.result = absl::PermissionDeniedError(
        absl::StrCat("study '", manifest.config().study(), "' has ", manifest.roster_size(), " sites, fewer than the ", least,
                     " that this site asks for (min_sites): what two sites sum up together, each can take its own part off"));
  }
  return rule;
}

bool RevealsReferenceBatch(const v1::Manifest& manifest, absl::string_view site) {
  if (ReleaseOf(manifest.config()) != Release::kPooled) return false;
  const std::string& name = manifest.config().method().combat().reference_batch();
  if (name.empty()) return false;
  const auto batch = ResolveBatch(name, FactsOf(manifest).batches);
  return batch.ok() && SiteOf(*batch) == site;
}

RuleResult ReferenceBatchRule(const v1::Manifest& manifest, absl::string_view site,
                              const std::optional<v1::Approval>& approval) {
  RuleResult rule{"a reference batch of this site is approved by name", absl::OkStatus()};
  if (!approval.has_value() || approval->allow_reference_batch() || !RevealsReferenceBatch(manifest, site)) return rule;
  rule.result = absl::PermissionDeniedError(absl::StrCat(
      "study '", manifest.config().study(), "' moves all others to this site's batch '",
      manifest.config().method().combat().reference_batch(),
      "', so that every site learns that batch's means and variances, although the study's release is pooled: this site has to "
      "agree to that by name, with 'attune-site approve ",
      manifest.config().study(), " --allow-reference-batch'"));
  return rule;
}

RuleResult SubjectsRule(const v1::SitePolicy& policy, const FeatureNames& features, const std::vector<BatchSurvey>& people) {
  const std::int64_t least = policy.min_subjects();
  RuleResult rule{absl::StrCat("at least ", least, " people behind every sum, by batch and feature (min_subjects)"),
                  absl::OkStatus()};
  for (const BatchSurvey& batch : people) {
    if (batch.people < least) {
      rule.result = absl::PermissionDeniedError(absl::StrCat(
          "batch '", batch.batch, "' has ", batch.people, " people to estimate on; this site sums over no fewer than ", least,
          " (min_subjects), for sums over few tell of single persons: leave its subjects out of participants.tsv, or join it "
          "with "
          "a batch of the same scanner"));
      return rule;
    }
    for (std::size_t f = 0; f < batch.present.size(); ++f) {
      if (!Rare(batch.present[f].people, least)) continue;
      rule.result = absl::PermissionDeniedError(
          absl::StrCat("in batch '", batch.batch, "', only ", batch.present[f].people, " of the people estimated on have '",
                       features[f], "' (1 to ", least - 1,
                       " may not, min_subjects: sums over so few tell of single persons): complete or remove these values, or "
                       "leave the feature out"));
      return rule;
    }
  }
  return rule;
}

std::vector<std::string> DescribeRareLevels(const std::vector<Covariate>& covariates, const std::vector<BatchSurvey>& people,
                                            std::int64_t min_cell) {
  const std::vector<SurveyedLevel> levels = SurveyedLevels(covariates);
  std::vector<std::string> notes;
  for (const BatchSurvey& batch : people) {
    for (std::size_t l = 0; l < levels.size(); ++l) {
      if (!Rare(batch.levels[l], min_cell)) continue;
      notes.push_back(
          absl::StrCat(DescribeRare(covariates, levels[l], batch.levels[l], batch.people, min_cell, batch.batch, ""),
                       "; what the batch's sums tell of so few tells of single persons"));
    }
  }
  return notes;
}

RuleResult CellsRule(const v1::SitePolicy& policy, const std::vector<Covariate>& covariates, const FeatureNames& features,
                     const std::vector<BatchSurvey>& people) {
  const std::int64_t least = policy.min_cell();
  RuleResult rule{absl::StrCat("no level of a covariate that 1 to ", least - 1, " people of a batch have, or lack (min_cell)"),
                  absl::OkStatus()};
  constexpr char kRemedy[] = " (min_cell): leave these people or the covariate out, or join levels or batches";
  if (const std::vector<std::string> rare = DescribeRareLevels(covariates, people, least); !rare.empty()) {
    rule.result = absl::PermissionDeniedError(absl::StrCat(JoinSome(rare, 3), kRemedy));
    return rule;
  }
  const std::vector<SurveyedLevel> levels = SurveyedLevels(covariates);
  for (const BatchSurvey& batch : people) {
    for (std::size_t k = 0; k < batch.present_levels.size(); ++k) {
      if (!Rare(batch.present_levels[k], least)) continue;
      const std::size_t f = k / levels.size();
      rule.result = absl::PermissionDeniedError(
          absl::StrCat(DescribeRare(covariates, levels[k % levels.size()], batch.present_levels[k], batch.present[f].people,
                                    least, batch.batch, absl::StrCat(" with '", features[f], "'")),
                       kRemedy));
      return rule;
    }
  }
  return rule;
}

RuleResult ParametersRule(const v1::SitePolicy& policy, const std::vector<Covariate>& covariates,
                          const std::vector<BatchSurvey>& people) {
  const auto parameters = static_cast<std::int64_t>(DesignColumns(covariates).size()) + 1;
  RuleResult rule{absl::StrCat("at most ", policy.max_param_ratio(),
                               " parameters per person of a batch, and more people than parameters (max_param_ratio)"),
                  absl::OkStatus()};
  for (const BatchSurvey& batch : people) {
    const std::int64_t fewest = batch.FewestPeople();
    if (fewest > parameters && static_cast<double>(parameters) <= policy.max_param_ratio() * static_cast<double>(fewest))
      continue;
    rule.result = absl::PermissionDeniedError(absl::StrCat(
        "batch '", batch.batch, "' has ", fewest, " people", fewest < batch.people ? " with the feature that fewest have" : "",
        ", too few for the ", parameters, " parameters of the model (max_param_ratio ", policy.max_param_ratio(),
        ", and always more people than parameters): so many sums over so few tell of single persons. Ask the consortium for "
        "fewer "
        "covariates, or leave the batch out"));
    return rule;
  }
  return rule;
}

RuleResult DominanceRule(const v1::SitePolicy& policy, const FeatureNames& features, const std::vector<BatchSurvey>& people) {
  RuleResult rule{absl::StrCat("in batches of fewer than ", kManyRows, ", no value makes up a feature's sum"),
                  absl::OkStatus()};
  if (policy.permissive_test()) return rule;
  for (const BatchSurvey& batch : people) {
    if (!batch.dominated.has_value()) continue;
    rule.result = absl::PermissionDeniedError(
        absl::StrCat("in batch '", batch.batch, "', one of ", batch.rows,
                     " values makes up more than nine tenths of the sum of '", features[*batch.dominated],
                     "', so that the sum tells that value: correct it if it is an error, or leave the feature out"));
    return rule;
  }
  return rule;
}

std::vector<RuleResult> JudgePolicy(const v1::SitePolicy& policy, const v1::StudyConfig& study, const FeatureNames& features,
                                    const std::vector<BatchSurvey>& people) {
  const std::vector<Covariate> covariates = CovariatesOf(study);
  return {StudyRule(policy, study),
          MethodRule(policy, MethodIdOf(study)),
          CovariatesRule(policy, study),
          FeaturesRule(policy, features),
          ReleaseRule(policy, study),
          SubjectsRule(policy, features, people),
          CellsRule(policy, covariates, features, people),
          ParametersRule(policy, covariates, people),
          DominanceRule(policy, features, people)};
}

absl::Status FirstBroken(const std::vector<RuleResult>& rules) {
  for (const RuleResult& rule : rules) ATTUNE_RETURN_IF_ERROR(rule.result);
  return absl::OkStatus();
}

}  // namespace attune
