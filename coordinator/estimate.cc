// SPDX-License-Identifier: Apache-2.0
#include "coordinator/estimate.h"

#include <filesystem>
#include <system_error>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/base/status.h"
#include "common/base/text.h"
#include "common/kernel/fold.h"
#include "common/wire/bundle.h"
#include "common/wire/manifest.h"
#include "common/wire/model_file.h"
#include "coordinator/round_outcome.h"
#include "coordinator/summary.h"

namespace attune {
namespace {

// The digest that names the first question: answers are bound to it.
absl::StatusOr<std::string> DigestOf(const Question& question, const std::string& manifest_sha256, const std::string& scratch) {
  absl::StatusOr<std::string> sha256 = WriteQuestion(scratch, {manifest_sha256, question.round, ""}, question);
  std::error_code ignored;
  std::filesystem::remove(scratch, ignored);
  return sha256;
}

absl::StatusOr<std::map<BatchId, Summary>> ReadAnswers(const v1::Manifest& manifest, const std::string& manifest_sha256,
                                                       const Question& question, const std::string& question_sha256,
                                                       const std::vector<std::string>& paths) {
  std::map<std::string, std::string> file_by_site;
  std::map<BatchId, Summary> by_batch;
  for (const std::string& path : paths) {
    // First whose answer it is, then whether it is a whole one.
    absl::StatusOr<Bundle> bundle =
        OpenPackedAnswer(path, {manifest_sha256, question.round, question_sha256}, BundleValues::kKnown);
    if (!bundle.ok()) return WithContext(bundle.status(), path);
    const std::string site = bundle->parts.empty() ? "" : SiteOf(bundle->parts.begin()->first);
    const std::vector<BatchId> batches = BatchesOfSite(manifest, site);
    if (batches.empty()) {
      return absl::InvalidArgumentError(absl::StrCat("'", path, "' is not an answer of a site on the study's roster"));
    }
    if (const auto [known, is_new] = file_by_site.emplace(site, path); !is_new) {
      return absl::InvalidArgumentError(
          absl::StrCat("'", known->second, "' and '", path, "' are both answers of site '", site, "'; give one"));
    }
    absl::StatusOr<std::map<std::string, Summary>> parts =
        OpenAnswer(path, manifest_sha256, question_sha256, question, batches, BundleValues::kChecked);
    if (!parts.ok()) return WithContext(parts.status(), path);
    by_batch.merge(*parts);
  }
  std::vector<std::string> missing;
  for (const v1::RosterSite& site : manifest.roster()) {
    if (file_by_site.count(site.site()) == 0) missing.push_back(site.site());
  }
  if (!missing.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("no answer of ", JoinSome(missing), "; every site of the roster must answer"));
  }
  return by_batch;
}

}  // namespace

absl::StatusOr<Estimate> EstimateFromFiles(absl::string_view manifest_bytes, const std::vector<std::string>& answers,
                                           const Desk::MethodFinder& find_method, const std::string& scratch) {
  ATTUNE_ASSIGN_OR_RETURN(const v1::Manifest manifest, ParseManifest(manifest_bytes));
  const std::string manifest_sha256 = Sha256Hex(manifest_bytes);
  const StudyFacts facts = FactsOf(manifest);
  if (facts.release == Release::kPooled) {
    return absl::FailedPreconditionError(
        "release: pooled lets each site fit its own batches; the coordinator cannot from sums. Use release: per_batch, or "
        "'attune-coordinator serve' and 'attune-site run'");
  }
  const Method* const method = find_method(manifest.method());
  if (method == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat("this version of the program does not have the method '", manifest.method(), "'"));
  }
  ATTUNE_ASSIGN_OR_RETURN(const Question question, method->Begin(facts));
  ATTUNE_ASSIGN_OR_RETURN(const std::string question_sha256, DigestOf(question, manifest_sha256, scratch));
  ATTUNE_ASSIGN_OR_RETURN(const auto by_batch, ReadAnswers(manifest, manifest_sha256, question, question_sha256, answers));
  ATTUNE_ASSIGN_OR_RETURN(const Answers sums, AddUp(question.form, facts.release, by_batch));
  ATTUNE_ASSIGN_OR_RETURN(const auto outcome, method->Next(facts, question, sums));
  if (!std::holds_alternative<Correction>(outcome)) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the method '", manifest.method(), "' asks more than one round of this study; use 'attune-coordinator serve'"));
  }
  const Correction& correction = std::get<Correction>(outcome);

  Estimate estimate;
  for (const v1::RosterSite& site : manifest.roster()) {
    std::map<BatchId, BatchModel> models;
    for (const BatchId& batch : BatchesOfSite(manifest, site.site())) {
      ATTUNE_ASSIGN_OR_RETURN(models[batch], method->Fit(facts, correction, batch, by_batch.at(batch)));
    }
    estimate.models[site.site()] = MakeModelFile(manifest, manifest_sha256, models, correction.notes);
  }
  if (!correction.evidence.form().empty()) {
    std::vector<std::string> notes = correction.notes;
    notes.insert(notes.end(), correction.batch_notes.begin(), correction.batch_notes.end());
    ATTUNE_ASSIGN_OR_RETURN(estimate.summary, MakeSummary(manifest, manifest_sha256, correction.evidence, notes));
  }
  return estimate;
}

}  // namespace attune
