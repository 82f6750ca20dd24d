// SPDX-License-Identifier: Apache-2.0
//
// The rules of policy.yaml, one function each: what the rule asks, in words, and what it says of a study or of this site's
// people. A rule that is broken is PermissionDenied, naming batch, feature, counts and remedy: for this site's own eyes. The
// coordinator learns only that the policy refused (docs/policy.md).
#ifndef ATTUNE_SITE_AGENT_POLICY_RULES_H_
#define ATTUNE_SITE_AGENT_POLICY_RULES_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "attune/v1/policy.pb.h"
#include "attune/v1/site_state.pb.h"
#include "attune/v1/study.pb.h"
#include "site_agent/survey.h"

namespace attune {

// What the policy's list of features calls the voxels of images.
inline constexpr char kVoxelsName[] = "voxels";

struct RuleResult {
  std::string rule;
  absl::Status result;
};

// ---- What the study asks ----

RuleResult StudyRule(const v1::SitePolicy& policy, const v1::StudyConfig& study);
RuleResult MethodRule(const v1::SitePolicy& policy, absl::string_view method);
// Covariates, and the columns of fit_on.
RuleResult CovariatesRule(const v1::SitePolicy& policy, const v1::StudyConfig& study);
RuleResult FeaturesRule(const v1::SitePolicy& policy, const FeatureNames& features);
RuleResult ReleaseRule(const v1::SitePolicy& policy, const v1::StudyConfig& study);
RuleResult SitesRule(const v1::SitePolicy& policy, const v1::Manifest& manifest);

// Under pooled, the pooled parameters that every site gets are those of the reference batch. Where that is a batch of `site`,
// the approval must agree to it by name. No approval yet: as if it did.
RuleResult ReferenceBatchRule(const v1::Manifest& manifest, absl::string_view site,
                              const std::optional<v1::Approval>& approval);

// Whether that rule has something to ask of this site.
bool RevealsReferenceBatch(const v1::Manifest& manifest, absl::string_view site);

// ---- Whom the sums would be over ----

// min_subjects people in each batch, and with each feature that anybody of the batch has.
RuleResult SubjectsRule(const v1::SitePolicy& policy, const FeatureNames& features, const std::vector<BatchSurvey>& people);

// No level of a categorical covariate that 1 to min_cell - 1 people of a batch have, or lack; nor of those who have a feature.
RuleResult CellsRule(const v1::SitePolicy& policy, const std::vector<Covariate>& covariates, const FeatureNames& features,
                     const std::vector<BatchSurvey>& people);

// At most max_param_ratio parameters (design columns and intercept) per person, and more people than parameters.
RuleResult ParametersRule(const v1::SitePolicy& policy, const std::vector<Covariate>& covariates,
                          const std::vector<BatchSurvey>& people);

// In a batch of fewer than kManyRows rows no value is more than nine tenths of the sum of its feature's absolute values.
RuleResult DominanceRule(const v1::SitePolicy& policy, const FeatureNames& features, const std::vector<BatchSurvey>& people);

// ---- Together ----

// All that can be said before the manifest is frozen, from the study's file and this site's people.
std::vector<RuleResult> JudgePolicy(const v1::SitePolicy& policy, const v1::StudyConfig& study, const FeatureNames& features,
                                    const std::vector<BatchSurvey>& people);

// The first that is broken; OK when none is.
absl::Status FirstBroken(const std::vector<RuleResult>& rules);

// A sentence for each level that CellsRule would refuse in a whole batch.
std::vector<std::string> DescribeRareLevels(const std::vector<Covariate>& covariates, const std::vector<BatchSurvey>& people,
                                            std::int64_t min_cell);

}  // namespace attune

#endif  // ATTUNE_SITE_AGENT_POLICY_RULES_H_
