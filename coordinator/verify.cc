// SPDX-License-Identifier: Apache-2.0
#include "coordinator/verify.h"

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/digest.h"
#include "common/base/status.h"
#include "common/wire/manifest.h"
#include "coordinator/aggregation_outcome.h"
#include "coordinator/round_outcome.h"
#include "coordinator/study_book.h"
#include "coordinator/study_freeze.h"

namespace attune {
namespace {

std::string Describe(const JournalEntry& e) {
  return absl::StrCat("'", e.kind, "'", e.site.empty() ? "" : absl::StrCat(" for site '", e.site, "'"), " of round ", e.round,
                      e.blob.empty() ? absl::StrCat(": ", e.body) : absl::StrCat(" with SHA-256 ", e.blob));
}

// Compares what was computed again with the recorded entries from `*next` on.
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

// What follows from the entries before `e`, where `e` begins an outcome; nothing where it records what sites, operators or
// clocks did.
class Recomputation {
 public:
  Recomputation(const v1::Manifest& manifest, std::string manifest_sha256, const Method& method, const BlobStore& blobs,
                const BlobStore& scratch)
      : manifest_(manifest), manifest_sha256_(std::move(manifest_sha256)), method_(method), blobs_(blobs), scratch_(scratch) {}

  absl::StatusOr<std::vector<JournalEntry>> Of(const JournalEntry& e, const StudyStatus& before) const {
    if (e.kind == entry::kStepClosed) {
      const std::vector<std::string> words = absl::StrSplit(e.body, ' ');
      const std::vector<std::string> sites(words.begin() + std::min<std::ptrdiff_t>(2, std::ssize(words)), words.end());
      if (sites.size() < manifest_.aggregation().threshold()) {
        return absl::DataLossError(absl::StrCat("journal entry ", e.sequence, " closes a step with ", sites.size(),
                                                " sites, fewer than the threshold"));
      }
      return OutcomeOfStep(before, manifest_, method_, sites, blobs_, scratch_);
    }
    if (e.kind == entry::kAsked && e.round == 1) {
      return FirstQuestion(before.name, manifest_sha256_, manifest_, method_, scratch_);
    }
    const bool ends_round = e.kind == entry::kAsked || e.kind == entry::kCorrected || e.kind == entry::kFailed;
    if (e.kind == entry::kCorrectedSite || e.kind == entry::kEvidence || e.kind == entry::kShares) {
      return absl::DataLossError(
          absl::StrCat("journal entry ", e.sequence, " records ", Describe(e), ", which follows from nothing"));
    }
    // Under secure aggregation these follow on a closed step; a failure by itself counts attempts.
    if (!ends_round || (before.masked && e.kind == entry::kFailed)) return std::vector<JournalEntry>();
    if (before.masked || !before.OutcomeDue()) {
      return absl::DataLossError(absl::StrCat("journal entry ", e.sequence, " records ", Describe(e),
                                              ", but not every answer that it would follow from"));
    }
    return OutcomeOfRound(before, manifest_, method_, before.round(), blobs_, scratch_);
  }

 private:
  const v1::Manifest& manifest_;
  const std::string manifest_sha256_;
  const Method& method_;
  const BlobStore& blobs_;
  const BlobStore& scratch_;
};

}  // namespace

absl::Status VerifyStudy(const std::string& consortium, const std::string& study, const Journal& journal,
                         const BlobStore& blobs, const Desk::MethodFinder& find_method, const BlobStore& scratch,
                         absl::FunctionRef<void(absl::string_view)> step) {
  ATTUNE_RETURN_IF_ERROR(journal.VerifyChain());
  step("the journal's chain of digests holds");
  ATTUNE_ASSIGN_OR_RETURN(const std::vector<JournalEntry> entries, journal.Read(study));
  ATTUNE_ASSIGN_OR_RETURN(const StudyStatus status, ReplayStudy(study, entries));
  std::size_t files = 0;
  for (const JournalEntry& e : entries) {
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
  const Recomputation recomputation(manifest, status.manifest_sha256, *method, blobs, scratch);
  StudyStatus before;
  before.name = study;
  for (std::size_t next = 0; next < entries.size();) {
    std::size_t end = next;
    ATTUNE_ASSIGN_OR_RETURN(const std::vector<JournalEntry> computed, recomputation.Of(entries[next], before));
    ATTUNE_RETURN_IF_ERROR(Compare(computed, entries, &end, step));
    // The entries replayed before: each can follow.
    for (end = std::max(end, next + 1); next < end; ++next) TakeEntry(entries[next], before);
  }
  return absl::OkStatus();
}

}  // namespace attune
