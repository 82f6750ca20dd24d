// SPDX-License-Identifier: Apache-2.0
#include "site_agent/describe.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "common/base/text.h"
#include "common/wire/manifest.h"
#include "site_agent/policy_rules.h"

namespace attune {
namespace {

std::string DescribeCovariates(const v1::StudyConfig& config) {
  std::vector<std::string> words;
  for (const Covariate& covariate : CovariatesOf(config)) {
    std::string detail;
    if (covariate.categorical()) {
      detail = absl::StrCat(" (", absl::StrJoin(covariate.levels, ", "), ")");
    } else if (!covariate.unit.empty()) {
      detail = absl::StrCat(" (", covariate.unit, ")");
    }
    words.push_back(absl::StrCat(covariate.name, detail));
  }
  return words.empty() ? "none" : absl::StrJoin(words, "; ");
}

std::string DescribeOptions(const v1::CombatOptions& options) {
  std::vector<std::string> words;
  switch (options.prior()) {
    case v1::PRIOR_NONPARAMETRIC:
      words.push_back("non-parametric empirical Bayes");
      break;
    case v1::PRIOR_NONE:
      words.push_back("no empirical Bayes");
      break;
    default:
      words.push_back("parametric empirical Bayes");
  }
  if (options.mean_only()) words.push_back("location only");
  if (!options.reference_batch().empty()) words.push_back(absl::StrCat("reference batch ", options.reference_batch()));
  if (options.missing() == v1::MISSING_VALUES_ALLOW) words.push_back("missing values allowed");
  if (options.small_batches() == v1::SMALL_BATCHES_MEAN_ONLY) words.push_back("small batches in location only");
  std::vector<std::string> fit_on;
  for (const auto& [column, value] : options.fit_on()) fit_on.push_back(absl::StrCat(column, " = ", value));
  std::sort(fit_on.begin(), fit_on.end());
  if (!fit_on.empty()) words.push_back(absl::StrCat("estimated on ", absl::StrJoin(fit_on, " and ")));
  return absl::StrJoin(words, ", ");
}

}  // namespace

std::string DescribeManifest(const HeldManifest& held, absl::string_view site) {
  const v1::Manifest& manifest = held.manifest;
  const v1::StudyConfig& config = manifest.config();
  int batches = 0;
  for (const v1::RosterSite& member : manifest.roster()) batches += member.batches_size();
  std::string text =
      absl::StrCat("study        ", config.study(), " of consortium ", manifest.consortium(), "\n", "manifest     ",
                   held.sha256, "\n", "method       ", manifest.method(), ": ", DescribeOptions(config.method().combat()), "\n",
                   "sites        ", manifest.roster_size(), ", with ", batches, " batches\n");
  for (const v1::RosterSite& member : manifest.roster()) {
    const std::vector<std::string> labels(member.batches().begin(), member.batches().end());
    absl::StrAppend(&text, "  ", member.site(), member.site() == site ? " (this site)" : "", ": ", JoinSome(labels), "\n");
  }
  absl::StrAppend(&text, "features     ", DescribeFeatures(FeaturesOf(manifest)), "\n");
  for (const v1::Attachment& attachment : manifest.attachments()) {
    absl::StrAppend(&text, "  ", attachment.name(), ": ", attachment.sha256(), " (", attachment.size(), " bytes)\n");
  }
  absl::StrAppend(&text, "covariates   ", DescribeCovariates(config), "\n");
  absl::StrAppend(&text, "release      ",
                  ReleaseOf(config) == Release::kPooled
                      ? "pooled: the coordinator sees only the sum over all batches of all sites"
                      : "per_batch: the coordinator sees the sums of each batch",
                  "\n");
  if (const std::string& reference = config.method().combat().reference_batch(); !reference.empty()) {
    absl::StrAppend(&text, "reference    ", reference, ": all others are moved to this batch, and its data come back untouched",
                    ReleaseOf(config) == Release::kPooled
                        ? "; the parameters that every site gets are those of this batch alone, although the release is pooled"
                        : "",
                    RevealsReferenceBatch(manifest, site)
                        ? ". It is this site's: that takes 'attune-site approve --allow-reference-batch'"
                        : "",
                    "\n");
  }
  absl::StrAppend(&text, "batch size   at least ", MinBatchSizeOf(config), " subjects to estimate on",
                  config.method().combat().small_batches() == v1::SMALL_BATCHES_MEAN_ONLY
                      ? "; smaller batches are corrected in location only"
                      : "",
                  "\n");
  return text;
}

std::string DescribeFeatures(const FeatureNames& features) {
  if (features.voxels()) return absl::StrCat(features.size(), " voxels");
  return absl::StrCat(features.size(), ": ", JoinSome(features.names()));
}

std::string DescribeBatches(const std::vector<BatchCount>& batches) {
  std::size_t width = 5;
  for (const BatchCount& batch : batches) width = std::max(width, batch.batch.size());
  const int columns = static_cast<int>(width);
  std::string text = absl::StrFormat("%-*s  %9s  %9s  %9s\n", columns, "batch", "subjects", "estimate", "excluded");
  for (const BatchCount& batch : batches) {
    absl::StrAppendFormat(&text, "%-*s  %9d  %9d  %9d\n", columns, batch.batch, batch.subjects, batch.fit, batch.excluded);
  }
  return text;
}

}  // namespace attune
