// SPDX-License-Identifier: Apache-2.0
//
// This site's audit log (<dir>/audit/, docs/audit.md): what a person here agreed to, what was asked, what left the house and
// why something did not. No identifiers of people and no values; counts of a refusal stay here, for the log is never sent.
#ifndef ATTUNE_SITE_AGENT_AUDIT_H_
#define ATTUNE_SITE_AGENT_AUDIT_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "attune/v1/study.pb.h"
#include "common/storage/audit_log.h"
#include "site_agent/home.h"

namespace attune {

// Each method appends one line before it returns. Whoever acts records first where the act cannot be taken back (a release),
// and does not act when that fails. Fails as AuditLog::Append.
class SiteAudit {
 public:
  // Opens <dir>/audit, with the key audit/audit.key (0600), which is made when it is missing.
  static absl::StatusOr<SiteAudit> Open(const Home& home);

  absl::Status Enrolled(const v1::AgentIdentity& identity, absl::string_view certificate_fingerprint);
  absl::Status Renewed(absl::string_view certificate_fingerprint, int days_left);
  absl::Status Registered(absl::string_view study, int batches, int features);
  // `consents`: what was agreed to beside the manifest, in words; may be empty.
  absl::Status Approved(const HeldManifest& held, absl::string_view consents);
  absl::Status ApprovalRevoked(absl::string_view study, absl::string_view manifest_sha256);
  absl::Status Previewed(absl::string_view study, absl::string_view manifest_sha256);

  // A question of the coordinator that reached this site.
  absl::Status Asked(const HeldManifest& held, std::uint32_t round, absl::string_view question_sha256);

  struct Release {
    std::uint32_t round = 0;
    std::uint32_t attempt = 0;  // secure aggregation, else 0
    std::uint32_t step = 0;
    std::string bundle_sha256;
    std::uint64_t bytes = 0;
    std::string shape;  // names and shapes of the blocks
    std::string rules;  // each rule of the policy with its result
  };
  // Before the first byte leaves.
  absl::Status Released(const HeldManifest& held, const Release& release);

  // `detail` may name the batch and its counts.
  absl::Status Refused(absl::string_view study, absl::string_view rule, absl::string_view detail);
  // Somebody here let pass what the policy would refuse.
  absl::Status Overridden(absl::string_view study, absl::string_view rule, absl::string_view reason);
  absl::Status Failed(absl::string_view study, const absl::Status& status);
  absl::Status Harmonized(const HeldManifest& held, absl::string_view correction_sha256);

  const AuditLog& log() const { return log_; }

 private:
  explicit SiteAudit(AuditLog log) : log_(std::move(log)) {}
  AuditLog log_;
};

}  // namespace attune

#endif  // ATTUNE_SITE_AGENT_AUDIT_H_
