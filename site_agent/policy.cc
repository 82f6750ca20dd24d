// SPDX-License-Identifier: Apache-2.0
#include "site_agent/policy.h"

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "common/base/digest.h"
#include "common/base/files.h"
#include "common/base/status.h"
#include "common/base/text.h"
#include "common/wire/manifest.h"
#include "common/wire/simulated_consortium.h"
#include "common/wire/yaml.h"
#include "site_agent/policy_rules.h"

namespace attune {
namespace {

constexpr std::uint32_t kMinSubjects = 10;
constexpr std::uint32_t kMinCell = 5;
constexpr double kMaxParamRatio = 0.33;
constexpr std::uint32_t kMinSitesPooled = 4;
constexpr std::uint32_t kMinSitesPerBatch = 3;
constexpr std::uint32_t kMinReleaseDifference = 10;
constexpr std::uint32_t kMaxReleases = 1;

void FillDefaults(v1::SitePolicy* policy) {
  if (!policy->has_min_subjects()) policy->set_min_subjects(kMinSubjects);
  if (!policy->has_min_cell()) policy->set_min_cell(kMinCell);
  if (!policy->has_max_param_ratio()) policy->set_max_param_ratio(kMaxParamRatio);
  if (policy->release() == v1::RELEASE_UNSPECIFIED) policy->set_release(v1::RELEASE_POOLED);
  if (!policy->has_min_release_difference()) policy->set_min_release_difference(kMinReleaseDifference);
  if (!policy->has_max_releases_per_subject_set()) policy->set_max_releases_per_subject_set(kMaxReleases);
  if (policy->missing() == v1::MISSING_PERMISSION_UNSPECIFIED) policy->set_missing(v1::MISSING_PERMISSION_REFUSE);
}

absl::Status CheckFloor(absl::string_view key, std::uint32_t value, std::uint32_t floor, bool permissive) {
  if (value >= floor || (permissive && value >= 1)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("'", key, "' is ", value, ", below its floor of ", permissive ? 1 : floor, ": no site may go lower"));
}

absl::Status CheckPolicy(const v1::SitePolicy& policy) {
  const bool permissive = policy.permissive_test();
  ATTUNE_RETURN_IF_ERROR(CheckFloor("min_subjects", policy.min_subjects(), kFloorSubjects, permissive));
  ATTUNE_RETURN_IF_ERROR(CheckFloor("min_cell", policy.min_cell(), kFloorCell, permissive));
  if (policy.has_min_sites()) ATTUNE_RETURN_IF_ERROR(CheckFloor("min_sites", policy.min_sites(), kFloorSites, permissive));
  ATTUNE_RETURN_IF_ERROR(
      CheckFloor("min_release_difference", policy.min_release_difference(), kFloorReleaseDifference, permissive));
  ATTUNE_RETURN_IF_ERROR(CheckFloor("max_releases_per_subject_set", policy.max_releases_per_subject_set(), 1, permissive));
  if (!(policy.max_param_ratio() > 0 && policy.max_param_ratio() <= 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("'max_param_ratio' is ", policy.max_param_ratio(), ", expected more than 0 and at most 1"));
  }
  for (const std::string& hash : policy.approved_manifests()) {
    if (IsSha256Hex(absl::AsciiStrToLower(hash))) continue;
    return absl::InvalidArgumentError(absl::StrCat("'approved_manifests' holds '", hash.substr(0, 70),
                                                   "', expected the 64 hexadecimal digits of a manifest's SHA-256"));
  }
  return absl::OkStatus();
}

std::string YamlString(absl::string_view text) {
  return absl::StrCat("\"", absl::StrReplaceAll(text, {{"\\", "\\\\"}, {"\"", "\\\""}}), "\"");
}

std::string YamlList(const std::vector<std::string>& items) {
  std::vector<std::string> quoted;
  for (const std::string& item : items) quoted.push_back(YamlString(item));
  return absl::StrCat("[", absl::StrJoin(quoted, ", "), "]");
}

struct Choices {
  std::vector<std::string> studies, methods, covariates, features;
  std::string release = "pooled";
  std::string missing = "refuse";
};

// The covariates and the columns of fit_on.
std::vector<std::string> ColumnsAsked(const v1::StudyConfig& study) {
  std::vector<std::string> names;
  for (const v1::CovariateConfig& covariate : study.covariates()) names.push_back(covariate.name());
  for (const auto& [column, value] : study.method().combat().fit_on()) names.push_back(column);
  std::sort(names.begin(), names.end());
  return names;
}

std::string Template(const Choices& choices) {
  return absl::StrCat(
      "# What this site lets leave, whatever a study asks. docs/policy.md says why each rule is there.\n"
      "# An empty list allows nothing; \"*\" allows everything. '*' and '?' match as in file names.\n\n"
      "# Studies that may run here, by name.\nstudies: ",
      YamlList(choices.studies), "\n\n# Methods that may run here: \"combat/1\".\nmethods: ", YamlList(choices.methods),
      "\n\n# Covariates that may be in a model, and columns by which a study may choose whom it estimates on.\ncovariates: ",
      YamlList(choices.covariates), "\n\n# Measurements that may be summed.\nfeatures: ", YamlList(choices.features),
      "\n\n# Manifests that count as approved here (SHA-256), beside those that somebody approved with 'attune-site approve'.\n"
      "approved_manifests: []\n\n"
      "# The most that may be released. pooled: only the sum over all sites leaves unmasked. per_batch: the coordinator sees "
      "the\n"
      "# sums of each batch of this site.\nrelease: ",
      choices.release,
      "\n\n# Missing values. refuse: no study may sum each feature over those who have it. allow: after an approval by name, "
      "as\n"
      "# long as no two features differ in few people. any_difference: also then.\nmissing: ",
      choices.missing, "\n\n# The fewest people behind any sum, of each batch and of each feature. Floor ", kFloorSubjects,
      ".\nmin_subjects: ", kMinSubjects,
      "\n\n# A level of a categorical covariate that fewer people of a batch have, or lack, refuses; none at all is fine. "
      "Floor ",
      kFloorCell, ".\nmin_cell: ", kMinCell,
      "\n\n# Parameters of the model, the intercept among them, per person of a batch.\nmax_param_ratio: ", kMaxParamRatio,
      "\n\n# The fewest sites on a study's roster. Without this line: ", kMinSitesPooled, " where sums are pooled, else ",
      kMinSitesPerBatch, ". Floor ", kFloorSites, ".\n# min_sites: ", kMinSitesPooled,
      "\n\n# Two releases on overlapping people must differ by at least so many of them, or be on the same people: what they\n"
      "# differ by can be subtracted out. Floor ",
      kFloorReleaseDifference, ".\nmin_release_difference: ", kMinReleaseDifference,
      "\n\n# The most studies in which one person's values may be released.\nmax_releases_per_subject_set: ", kMaxReleases,
      "\n");
}

std::string ListInWords(const google::protobuf::RepeatedPtrField<std::string>& list) {
  if (list.empty()) return "none is allowed";
  const std::vector<std::string> items(list.begin(), list.end());
  return std::find(items.begin(), items.end(), "*") != items.end() ? "all are allowed" : JoinSome(items, 20);
}

}  // namespace

v1::SitePolicy DefaultPolicy() {
  v1::SitePolicy policy;
  FillDefaults(&policy);
  return policy;
}

absl::StatusOr<v1::SitePolicy> ParsePolicy(absl::string_view text, absl::string_view name) {
  v1::SitePolicy policy;
  ATTUNE_RETURN_IF_ERROR(ParseYaml(text, name, &policy));
  FillDefaults(&policy);
  ATTUNE_RETURN_IF_ERROR(WithContext(CheckPolicy(policy), name));
  return policy;
}

absl::StatusOr<v1::SitePolicy> ReadPolicy(const std::string& path) {
  if (!FileExists(path)) {
    return absl::FailedPreconditionError(
        absl::StrCat("this site has no policy ('", path,
                     "' is missing), so nothing may leave it: write one with 'attune-site policy init', read it, and say in it "
                     "what may (docs/policy.md)"));
  }
  ATTUNE_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, 1 << 20));
  return ParsePolicy(text, path);
}

std::uint32_t MinSitesOf(const v1::SitePolicy& policy, v1::Release release) {
  if (policy.has_min_sites()) return policy.min_sites();
  return release == v1::RELEASE_POOLED ? kMinSitesPooled : kMinSitesPerBatch;
}

absl::Status CheckPermissive(const v1::SitePolicy& policy, absl::string_view consortium) {
  if (!policy.permissive_test() || consortium == kSimulatedConsortium) return absl::OkStatus();
  return absl::PermissionDeniedError(
      "policy.yaml says 'permissive_test: true', which lifts the floors and counts only in attune-simulate: write a real "
      "policy "
      "with 'attune-site policy init --force'");
}

bool ApprovesManifest(const v1::SitePolicy& policy, absl::string_view manifest_sha256) {
  return std::any_of(policy.approved_manifests().begin(), policy.approved_manifests().end(),
                     [&](const std::string& hash) { return absl::AsciiStrToLower(hash) == manifest_sha256; });
}

v1::Approval ApprovalByPolicy(absl::string_view manifest_sha256) {
  v1::Approval approval;
  approval.set_manifest_sha256(std::string(manifest_sha256));
  approval.set_time(absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::Now(), absl::UTCTimeZone()));
  approval.set_by_policy(true);
  return approval;
}

std::string PolicyTemplate(const v1::StudyConfig* study) {
  Choices choices;
  if (study == nullptr) return Template(choices);
  choices.studies = {study->study()};
  choices.methods = {MethodIdOf(*study)};
  choices.covariates = ColumnsAsked(*study);
  if (study->features().has_images()) {
    choices.features = {kVoxelsName};
  } else {
    choices.features.assign(study->features().table().columns().begin(), study->features().table().columns().end());
  }
  if (ReleaseOf(*study) == Release::kPerBatch) choices.release = "per_batch";
  if (study->method().combat().missing() == v1::MISSING_VALUES_ALLOW) choices.missing = "allow";
  return Template(choices);
}

std::string DescribePolicy(const v1::SitePolicy& policy) {
  std::string text = absl::StrCat("studies             ", ListInWords(policy.studies()), "\nmethods             ",
                                  ListInWords(policy.methods()), "\ncovariates          ", ListInWords(policy.covariates()),
                                  "\nfeatures            ", ListInWords(policy.features()), "\n");
  absl::StrAppend(&text, "approved manifests  ",
                  policy.approved_manifests().empty() ? "none but those that 'attune-site approve' keeps"
                                                      : absl::StrJoin(policy.approved_manifests(), ", "),
                  "\n");
  absl::StrAppend(&text, "release             ",
                  policy.release() == v1::RELEASE_PER_BATCH
                      ? "sums of each batch may be seen by the coordinator (per_batch), or only the sum over all sites (pooled)"
                      : "only the sum over all sites may be seen by the coordinator (pooled)",
                  "\n");
  absl::StrAppend(
      &text, "missing values      ",
      policy.missing() == v1::MISSING_PERMISSION_ANY_DIFFERENCE
          ? "a study may sum each feature over those who have it, after an approval by name"
      : policy.missing() == v1::MISSING_PERMISSION_ALLOW
          ? absl::StrCat("a study may sum each feature over those who have it, after an approval by name, where no two "
                         "features differ in 1 to ",
                         policy.min_cell() - 1, " people")
          : "no study may sum each feature over those who have it",
      "\n");
  absl::StrAppend(&text, "min_subjects        at least ", policy.min_subjects(), " people behind every sum\n");
  absl::StrAppend(&text, "min_cell            at least ", policy.min_cell(),
                  " people of a batch have, and lack, each level of a categorical covariate, or nobody does\n");
  absl::StrAppend(&text, "max_param_ratio     at most ", policy.max_param_ratio(),
                  " parameters per person of a batch, and always more people than parameters\n");
  absl::StrAppend(&text, "min_sites           at least ", MinSitesOf(policy, v1::RELEASE_POOLED),
                  " sites where sums are pooled, else ", MinSitesOf(policy, v1::RELEASE_PER_BATCH), "\n");
  absl::StrAppend(&text, "ledger              people of two releases that overlap are the same, or differ by at least ",
                  policy.min_release_difference(), "; nobody is in more releases than ", policy.max_releases_per_subject_set(),
                  "\n");
  if (policy.permissive_test()) absl::StrAppend(&text, "permissive_test     for attune-simulate only\n");
  return text;
}

}  // namespace attune
