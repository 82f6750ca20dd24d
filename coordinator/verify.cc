// SPDX-License-Identifier: Apache-2.0
#include "coordinator/verify.h"

#include <cstdint>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/base/status.h"
#include "common/wire/manifest.h"
#include "coordinator/round_outcome.h"
#include "coordinator/study_book.h"
#include "coordinator/study_freeze.h"

namespace attune {
namespace {

bool IsOutcome(const JournalEntry& e) {
  return e.kind == entry::kAsked || e.kind == entry::kCorrected || e.kind == entry::kCorrectedSite ||
         e.kind == entry::kEvidence || e.kind == entry::kFailed;
}

std::string Describe(const JournalEntry& e) {
  return absl::StrCat("'", e.kind, "'", e.site.empty() ? "" : absl::StrCat(" for site '", e.site, "'"), " of round ", e.round,
                      e.blob.empty() ? absl::StrCat(": ", e.body) : absl::StrCat(" with SHA-256 ", e.blob));
}

// Compares what was computed again with the recorded outcomes from `*next` on.
absl::Status Compare(const std::vector<JournalEntry>& computed, const std::vector<JournalEntry>& recorded, std::size_t* next,
                     absl::FunctionRef<void(absl::string_view)> step) {
  for (const JournalEntry& e : computed) {
    const JournalEntry* const r = *next < recorded.size() ? &recorded[*next] : nullptr;
    if (r == nullptr || r->kind != e.kind || r->site != e.site || r->round != e.round || r->blob != e.blob ||
        r->body != e.body) {
      return absl::DataLossError(absl::StrCat("computed again, the outcome is ", Describe(e), "; recorded is ",
                                              r == nullptr ? "nothing" : Describe(*r)));
    }
    ++*next;
    step(absl::StrCat("computed again, the same: ", Describe(e)));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status VerifyStudy(const std::string& consortium, const std::string& study, const Journal& journal,
                         const BlobStore& blobs, const Desk::MethodFinder& find_method, const BlobStore& scratch,
                         absl::FunctionRef<void(absl::string_view)> step) {
  ATTUNE_RETURN_IF_ERROR(journal.VerifyChain());
  step("the journal's chain of digests holds");
  ATTUNE_ASSIGN_OR_RETURN(const std::vector<JournalEntry> entries, journal.Read(study));
  ATTUNE_ASSIGN_OR_RETURN(const StudyStatus status, ReplayStudy(study, entries));
  std::size_t files = 0;
  std::vector<JournalEntry> recorded;
  for (const JournalEntry& e : entries) {
    if (IsOutcome(e)) recorded.push_back(e);
    if (e.blob.empty()) continue;
    const absl::StatusOr<std::string> path = blobs.Verified(e.blob);
    if (!path.ok()) {
      return absl::DataLossError(absl::StrCat("journal entry ", e.sequence, " ", Describe(e), ": ", path.status().message()));
    }
    ++files;
  }
  step(absl::StrCat(entries.size(), " entries replay, and the files of ", files, " of them have their digests"));
  if (!status.started()) return absl::OkStatus();

  ATTUNE_ASSIGN_OR_RETURN(const v1::Manifest manifest, LoadManifest(blobs, status.manifest_sha256));
  ATTUNE_ASSIGN_OR_RETURN(const v1::Manifest frozen, FreezeManifest(consortium, status, blobs));
  if (Sha256Hex(CanonicalBytes(frozen)) != status.manifest_sha256) {
    return absl::DataLossError("the manifest is not the one that follows from the registrations");
  }
  step(absl::StrCat("the manifest follows from the registrations: ", status.manifest_sha256));

  const Method* const method = find_method(manifest.method());
  if (method == nullptr) {
    return absl::FailedPreconditionError(absl::StrCat("this version of the program does not have the method '",
                                                      manifest.method(), "'; verify with the version that ran the study"));
  }
  std::size_t next = 0;
  ATTUNE_ASSIGN_OR_RETURN(const std::vector<JournalEntry> first,
                          FirstQuestion(study, status.manifest_sha256, manifest, *method, scratch));
  ATTUNE_RETURN_IF_ERROR(Compare(first, recorded, &next, step));
  for (std::uint32_t round = 1; next < recorded.size(); ++round) {
    if (round > status.round()) return absl::DataLossError("the journal records outcomes that follow from no round");
    if (status.rounds[round - 1].answers.size() != status.sites.size()) {
      return absl::DataLossError(absl::StrCat("an outcome of round ", round, " is recorded, but not every site's answer"));
    }
    ATTUNE_ASSIGN_OR_RETURN(const std::vector<JournalEntry> outcome,
                            OutcomeOfRound(status, manifest, *method, round, blobs, scratch));
    ATTUNE_RETURN_IF_ERROR(Compare(outcome, recorded, &next, step));
  }
  return absl::OkStatus();
}

}  // namespace attune
