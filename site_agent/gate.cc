// SPDX-License-Identifier: Apache-2.0
#include "site_agent/gate.h"

#include <cmath>
#include <cstdint>
#include <cstring>
#include <map>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/wire/manifest.h"
#include "common/security/aggregation_terms.h"
#include "common/security/signature.h"
#include "common/wire/simulated_consortium.h"
#include "site_agent/absence_patterns.h"

namespace attune {
namespace {

bool SameBlocks(const Blocks& a, const Blocks& b) {
  return a.form() == b.form() && a.values().size() == b.values().size() &&
         (a.values().empty() || std::memcmp(a.values().data(), b.values().data(), a.values().size_bytes()) == 0);
}

}  // namespace

absl::Status CheckApproved(absl::string_view study, absl::string_view manifest_sha256,
                           const std::optional<v1::Approval>& approval) {
  const std::string remedy =
      absl::StrCat("look at it with 'attune-site preview ", study, "' and agree with 'attune-site approve ", study, "'");
  if (!approval.has_value()) {
    return absl::PermissionDeniedError(absl::StrCat("nobody at this site has approved study '", study, "': ", remedy));
  }
  if (approval->manifest_sha256() != manifest_sha256) {
    return absl::PermissionDeniedError(absl::StrCat("study '", study, "' has the manifest ", manifest_sha256,
                                                    ", but this site approved ", approval->manifest_sha256(), ": ", remedy));
  }
  return absl::OkStatus();
}

absl::Status CheckQuestion(const Method& method, const StudyFacts& facts, const Question& question) {
  if (question.round == 1) {
    ATTUNE_ASSIGN_OR_RETURN(const Question expected, method.Begin(facts));
    if (question.form != expected.form) {
      return absl::PermissionDeniedError(absl::StrCat(
          "the coordinator asks for something else than ", method.info().id,
          " does in the approved study: ", DescribeDifference(expected.form, question.form), " ('here' is what was approved)"));
    }
    if (!SameBlocks(question.body, expected.body)) {
      return absl::PermissionDeniedError(absl::StrCat("the coordinator's first question carries other parameters than ",
                                                      method.info().id, " does in the approved study"));
    }
    return absl::OkStatus();
  }
  for (const BlockSpec& block : question.form) {
    if (block.kind != BlockKind::kSum && block.kind != BlockKind::kCount) {
      return absl::PermissionDeniedError(absl::StrCat("round ", question.round, " asks for '", block.name,
                                                      "', which is neither a sum nor a count: this site answers no others"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckRelease(const v1::Manifest& manifest, bool plain_sums) {
  if (manifest.config().release() != v1::RELEASE_POOLED) return absl::OkStatus();
  if (manifest.has_aggregation()) {
    const absl::Status terms = aggregation::CheckTerms(manifest);
    if (terms.ok()) return terms;
    return absl::PermissionDeniedError(
        absl::StrCat("study '", manifest.config().study(), "' does not protect this site's sums: ", terms.message()));
  }
  if (plain_sums && manifest.consortium() == kSimulatedConsortium) return absl::OkStatus();
  return absl::PermissionDeniedError(
      absl::StrCat("study '", manifest.config().study(),
                   "' has release: pooled, under which the coordinator may not see this site's own sums, and yet its manifest does "
                   "not ask for secure aggregation. Nothing was sent"));
}

absl::Status CheckSigner(const SiteStudy& study, const aggregation::Signer& signer) {
  if (!study.held.manifest.has_aggregation()) return absl::OkStatus();
  const absl::StatusOr<std::string> key = KeyFingerprintOf(signer.certificate_pem);
  for (const v1::RosterSite& site : study.held.manifest.roster()) {
    if (site.site() == study.site && key.ok() && *key == site.key_sha256()) return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      absl::StrCat("the manifest of study '", study.name(), "' names another key of site '", study.site,
                   "' than that of this site's certificate: it enrolled anew since it registered. The study has to be started again"));
}

absl::Status CheckBatchSizes(const v1::StudyConfig& study, const std::vector<BatchCount>& batches) {
  if (study.method().combat().small_batches() == v1::SMALL_BATCHES_MEAN_ONLY) return absl::OkStatus();
  const int threshold = MinBatchSizeOf(study);
  for (const BatchCount& batch : batches) {
    if (batch.fit >= threshold) continue;
    return absl::FailedPreconditionError(absl::StrCat(
        "batch '", batch.batch, "' has ", batch.fit, " subjects to estimate on, fewer than the ", threshold, " that study '",
        study.study(),
        "' asks for (min_batch_size): leave its subjects out of participants.tsv, join it with a batch of the same scanner, or "
        "ask the consortium for 'small_batches: mean_only' or a smaller min_batch_size"));
  }
  return absl::OkStatus();
}

absl::Status CheckFewestPeople(const std::vector<BatchCount>& batches) {
  for (const BatchCount& batch : batches) {
    if (batch.fit >= kMinCell) continue;
    return absl::PermissionDeniedError(absl::StrCat(
        "batch '", batch.batch, "' has ", batch.fit, " subjects to estimate on; sums over fewer than ", kMinCell,
        " people would tell of single persons, and do not leave a site whatever the study says: leave its subjects out of "
        "participants.tsv, or join it with a batch of the same scanner"));
  }
  return absl::OkStatus();
}

v1::Approval ApprovalOfMissingValues() {
  v1::Approval approval;
  approval.set_allow_missing(v1::ALLOW_MISSING_YES);
  return approval;
}

absl::Status CheckMissing(const v1::StudyConfig& study, const v1::Approval& approval, const std::vector<std::string>& features,
                          const Cohort& cohort) {
  if (study.method().combat().missing() != v1::MISSING_VALUES_ALLOW) return absl::OkStatus();
  const bool any_difference = approval.allow_missing() == v1::ALLOW_MISSING_ANY_DIFFERENCE;
  if (!any_difference && approval.allow_missing() != v1::ALLOW_MISSING_YES) {
    return absl::PermissionDeniedError(absl::StrCat(
        "study '", study.study(),
        "' sums each feature over the people who have it (missing: allow), and differences between "
        "features can tell of those who have not: this site has to agree to that by name, with 'attune-site approve ",
        study.study(), " --allow-missing'"));
  }
  struct Batch {
    std::vector<std::int64_t> present;  // by feature
    AbsencePatterns patterns;
  };
  std::map<BatchId, Batch> by_batch;
  ATTUNE_RETURN_IF_ERROR(cohort.ForEach([&](const Subject& subject) {
    if (!subject.fit) return absl::OkStatus();
    Batch& batch =
        by_batch
            .try_emplace(subject.batch, Batch{std::vector<std::int64_t>(features.size(), 0), AbsencePatterns(features.size())})
            .first->second;
    for (std::size_t f = 0; f < features.size(); ++f) batch.present[f] += std::isnan(subject.values[f]) ? 0 : 1;
    if (any_difference) return absl::OkStatus();
    return WithContext(batch.patterns.Add(subject.values), absl::StrCat("batch '", subject.batch, "'"));
  }));
  for (const auto& [id, batch] : by_batch) {
    for (std::size_t f = 0; f < features.size(); ++f) {
      if (batch.present[f] == 0 || batch.present[f] >= kMinCell) continue;
      return absl::PermissionDeniedError(absl::StrCat("in batch '", id, "', only ", batch.present[f],
                                                      " of the people estimated on have '", features[f], "' (1 to ",
                                                      kMinCell - 1,
                                                      " may not: sums over so few tell of single persons): complete or remove "
                                                      "these values, or leave the feature out"));
    }
    if (const auto close = batch.patterns.FindClose(kMinCell)) {
      return absl::PermissionDeniedError(absl::StrCat(
          "in batch '", id, "', the people who have '", features[close->feature], "' and those who have '",
          features[close->other], "' differ in ", close->people, " (1 to ", kMinCell - 1,
          " may not): the people concerned could be told apart by subtraction. Complete or remove these values, or agree with "
          "'attune-site approve ",
          study.study(), " --allow-missing-any-difference'"));
    }
  }
  return absl::OkStatus();
}

}  // namespace attune
