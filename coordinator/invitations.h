// SPDX-License-Identifier: Apache-2.0
//
// How a hospital becomes a site of the consortium, stays one and ceases to be one. The operator invites it with a one-time
// token; the site's agent trades the token and its own certificate request for a certificate, and renews that before it
// expires; the operator revokes it. Administrators' certificates likewise, but for the token: they are made on the
// coordinator's machine.
#ifndef ATTUNE_COORDINATOR_INVITATIONS_H_
#define ATTUNE_COORDINATOR_INVITATIONS_H_

#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "attune/v1/coordinator.pb.h"
#include "attune/v1/folder.pb.h"
#include "common/security/certificates.h"
#include "common/storage/journal.h"
#include "coordinator/member_book.h"

namespace attune {

inline constexpr int kInvitationDays = 7;
inline constexpr int kSiteCertificateDays = 365;
inline constexpr int kAdminCertificateDays = 365;

// What a client shows.
struct Peer {
  PeerIdentity identity;
  std::string key_fingerprint;  // KeyFingerprintOf its certificate
  absl::Time expires;           // of its certificate
};

struct MemberRecord {
  std::string name;
  std::string state;              // "invited", "enrolled", "revoked" or "expired"
  std::string invited;            // when last, UTC
  std::string expires;            // of that invitation, UTC; empty: none is open
  std::string enrolled;           // when last, UTC; empty: never
  std::string revoked;            // when last, UTC; empty: never
  int certificate_days_left = 0;  // of the newest certificate, where enrolled; negative: expired
  std::string certificate_pem;    // the newest; empty: none yet
};

// Thread-safe. State is in the journal (entries without a study); of a token only its SHA-256 is kept.
class Invitations {
 public:
  // `journal` is not owned. `now` is the clock.
  Invitations(std::string consortium, KeyAndCertificate authority, Journal* journal,
              std::function<absl::Time()> now = absl::Now);

  // The invitation to hand to the site, valid for `days`. A site may be invited again, for a lost token or a new certificate.
  // `coordinator` is empty for a site that exchanges a folder only.
  // Fails with InvalidArgument when `site` is not a plain name, `coordinator` not host:port or `days` not 1 to 90.
  absl::StatusOr<v1::Invitation> Invite(const std::string& site, const std::string& coordinator, int days);

  // A certificate for the invited site. The same request with the same token gives the same certificate again, for the reply
  // may have been lost. Fails with Unauthenticated when the token is not this site's, has expired, served another request, or
  // was given before the site was revoked; with PermissionDenied when the request's key was revoked; with InvalidArgument as
  // SignSiteRequest does. Errors of the journal are local ones (errors.h).
  absl::StatusOr<v1::EnrollReply> Enroll(const v1::EnrollRequest& request);

  // The same by folder, where the token itself is not told.
  absl::StatusOr<v1::EnrollReply> EnrollByProof(const v1::FolderEnrollRequest& request);

  // A new certificate for the key that the site has. Asked again on the same day, the same certificate again. Fails with
  // PermissionDenied when the request is for another key, and with Unauthenticated when the peer may not act (Check).
  absl::StatusOr<v1::EnrollReply> Renew(const Peer& site, const v1::RenewRequest& request);

  // From now on no certificate and no open invitation of the site counts, in no process. Again: OK. NotFound: unknown site.
  absl::Status RevokeSite(const std::string& site);

  // A new key and certificate for an administrator. Those that he has go on to count until they are revoked.
  absl::StatusOr<KeyAndCertificate> IssueAdmin(const std::string& admin);
  absl::Status RevokeAdmin(const std::string& admin);

  // Whether this peer may act now: not revoked by any process, not expired. Unauthenticated when not. Cheap while nothing is
  // recorded.
  absl::Status Check(const Peer& peer) const;
  // The same for what such a key signed earlier, whenever its certificate expires.
  absl::Status CheckKey(const PeerIdentity& peer, const std::string& key_fingerprint) const;

  // Sorted by name.
  absl::StatusOr<std::vector<MemberRecord>> Sites() const;
  absl::StatusOr<std::vector<MemberRecord>> Admins() const;

  const std::string& consortium() const { return consortium_; }
  const std::string& authority_pem() const { return authority_.certificate_pem; }

 private:
  absl::StatusOr<v1::EnrollReply> EnrollWith(const std::string& token_sha256, const std::string& site,
                                             const std::string& request_pem);

  absl::StatusOr<std::vector<MemberRecord>> Records(Role role) const;
  absl::Status Revoke(Role role, const std::string& name);
  // Reads what the journal says now into book_, unless it is known. REQUIRES: mutex_ is held.
  absl::Status UpdateBook() const;

  const std::string consortium_;
  const KeyAndCertificate authority_;
  Journal* const journal_;  // not owned
  const std::function<absl::Time()> now_;
  mutable std::mutex mutex_;
  mutable std::optional<std::int64_t> version_;  // of the journal that book_ was read at; guarded by mutex_
  mutable MemberBook book_;                      // guarded by mutex_
};

}  // namespace attune

#endif  // ATTUNE_COORDINATOR_INVITATIONS_H_
