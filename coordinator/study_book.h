// SPDX-License-Identifier: Apache-2.0
//
// What the journal says of a study. The journal is the only memory: a study's state is its entries, read in order.
#ifndef ATTUNE_COORDINATOR_STUDY_BOOK_H_
#define ATTUNE_COORDINATOR_STUDY_BOOK_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "attune/v1/config.pb.h"
#include "attune/v1/coordinator.pb.h"
#include "common/kernel/batch_id.h"
#include "common/storage/journal.h"

namespace attune {

// Kinds of journal entries. They are part of the stored format: never change one.
namespace entry {
// Of the consortium (entries without a study):
inline constexpr char kInvited[] = "invited";    // site; body: "<SHA-256 of the token> <expiry, Unix seconds>"
inline constexpr char kEnrolled[] = "enrolled";  // site; body: "<SHA-256 of the token> <of the request>\n<certificate, PEM>"
inline constexpr char kRenewed[] = "renewed";    // site; body: the new certificate, PEM
inline constexpr char kRevoked[] = "revoked";    // site; body: fingerprints of all its keys so far, a blank between them
inline constexpr char kAdminIssued[] = "admin-issued";    // body: "<administrator>\n<certificate, PEM>"
inline constexpr char kAdminRevoked[] = "admin-revoked";  // body: "<administrator>\n<fingerprints as in revoked>"
// Of a study:
inline constexpr char kCreated[] = "created";        // body: StudyConfig
inline constexpr char kAttached[] = "attached";      // blob: a file of the study; body: what it is for ("mask")
inline constexpr char kPlainSums[] = "plain-sums";   // a simulation: a pooled study whose sums are not masked
inline constexpr char kRegistered[] = "registered";  // site; blob: RegisterRequest; body: the same without the features
inline constexpr char kStarted[] = "started";        // blob: the manifest; body: "masked" under secure aggregation
inline constexpr char kAsked[] = "asked";        // round; blob: the question; body: number of values that a part has to fill
inline constexpr char kAnswered[] = "answered";  // site, round; blob: the answer
inline constexpr char kMasked[] = "masked";      // the body of "started"
// Of a round under secure aggregation (docs/protocol.md). An attempt begins with "asked" or "restarted".
inline constexpr char kStepDone[] = "step-done";  // site, round; blob: the site's message; body: "<attempt> <step>"
inline constexpr char kStepClosed[] =
    "step-closed";                           // round; blob: what follows from it for all; body: "<attempt> <step> <site> ..."
inline constexpr char kShares[] = "shares";  // site, round; blob: what reached this site alone; after SHARES was closed
inline constexpr char kRestarted[] = "restarted";           // round; body: "<attempt> <why>": the next attempt, with new keys
inline constexpr char kCorrected[] = "corrected";           // round; blob: the correction that every site gets
inline constexpr char kCorrectedSite[] = "corrected-site";  // site, round; blob: what this site alone gets
inline constexpr char kEvidence[] = "evidence";             // round; blob: the evidence
inline constexpr char kFailed[] = "failed";                 // round; body: why the data cannot be harmonized
inline constexpr char kReported[] = "reported";             // site; body: number of the v1::SiteState
inline constexpr char kClosed[] = "closed";
}  // namespace entry

// The files that belong to a study, by what they are for ("mask"): their bytes.
using StudyFiles = std::map<std::string, std::string>;

struct Registration {
  std::string request_sha256;  // blob: the whole RegisterRequest
  std::vector<std::string> labels;
};

// The present attempt at a round under secure aggregation.
struct AggregationRecord {
  std::uint32_t attempt = 1;
  v1::AggregationStep step = v1::AGGREGATION_STEP_KEYS;  // the one that waits for sites
  std::string step_since;                                // UTC
  std::vector<std::string> expected;                     // whom it waits for, sorted
  // What sites delivered, by step: site -> SHA-256.
  std::map<v1::AggregationStep, std::map<std::string, std::string>> messages;
  // What closed steps left. All lists are sorted.
  std::vector<std::string> sharers;
  std::vector<std::string> survivors;
  std::string key_roster_sha256;
  std::map<std::string, std::string> shares_for;  // site -> SHA-256
  std::string survivors_sha256;
  std::string signatures_sha256;
  std::string sum_sha256;  // set: the round is over

  bool IsOver() const { return !sum_sha256.empty(); }
  // Who has delivered in the present step.
  std::vector<std::string> Delivered() const;
};

struct RoundRecord {
  std::string question_sha256;
  std::string asked;                           // when, UTC
  std::uint64_t values_per_part = 0;           // doubles that one part of an answer holds
  std::map<std::string, std::string> answers;  // site -> SHA-256; none under secure aggregation
  AggregationRecord aggregation;               // under secure aggregation
};

struct CorrectionRecord {
  std::uint32_t round = 0;  // the round that it followed from
  std::string common_sha256;
  std::map<std::string, std::string> by_site;  // empty when the release is pooled
  std::string evidence_sha256;                 // empty when the method gives none
};

struct StudyStatus {
  std::string name;
  std::size_t entries = 0;  // how many were taken in
  v1::StudyState state = v1::STUDY_STATE_UNSPECIFIED;
  v1::StudyConfig config;                          // as it was created; the manifest holds the resolved one
  std::map<std::string, Registration> sites;       // while recruiting those registered, after that the roster
  std::string manifest_sha256;                     // empty while recruiting
  std::map<std::string, std::string> attachments;  // what for -> SHA-256
  bool plain_sums = false;                         // pooled without masks: a simulation
  bool masked = false;                             // rounds run under secure aggregation
  std::vector<RoundRecord> rounds;                 // rounds[r - 1] is round r
  std::optional<CorrectionRecord> correction;
  std::map<std::string, v1::SiteState> reports;  // the last of each site; HARMONIZED stays
  std::string failure;

  bool started() const { return !manifest_sha256.empty(); }
  std::uint32_t round() const { return static_cast<std::uint32_t>(rounds.size()); }
  // Whether all that the current round, or its current step, waits for has come and nothing followed yet.
  bool OutcomeDue() const;
  // Sites of the roster that are part of the study: all, but those that were left out of the sum of round 1.
  std::vector<std::string> Members() const;
  // Sites whose answer or, once the correction is known, whose report is missing.
  std::vector<std::string> WaitingFor() const;
  // Until when the current round, or its current step, waits for sites, UTC; empty when nothing is waited for.
  std::string Deadline() const;
  // Names of the parts of this site's answers: its batches, sorted, or the one sum under pooled. Empty for an unknown site.
  std::vector<std::string> PartsOf(absl::string_view site) const;
};

// Fails with NotFound when there are no entries, and with DataLoss at an entry that cannot follow those before.
absl::StatusOr<StudyStatus> ReplayStudy(absl::string_view study, const std::vector<JournalEntry>& entries);

// Takes in one more entry. False, leaving `status` in no defined state, when it cannot follow what came before.
bool TakeEntry(const JournalEntry& entry, StudyStatus& status);

// "recruiting", "running", ... : the last word of the value, in lower case.
std::string StateName(v1::StudyState state);
std::string StateName(v1::SiteState state);

}  // namespace attune

#endif  // ATTUNE_COORDINATOR_STUDY_BOOK_H_
