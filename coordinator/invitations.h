// SPDX-License-Identifier: Apache-2.0
//
// How a hospital becomes a site of the consortium: the operator invites it with a one-time token, and the site's agent trades
// the token and its own certificate request for a certificate.
#ifndef ATTUNE_COORDINATOR_INVITATIONS_H_
#define ATTUNE_COORDINATOR_INVITATIONS_H_

#include <functional>
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

namespace attune {

inline constexpr int kInvitationDays = 7;
inline constexpr int kSiteCertificateDays = 365;

struct SiteRecord {
  std::string site;
  std::string invited;            // when last, UTC
  std::string expires;            // of that invitation, UTC
  std::string enrolled;           // when last, UTC; empty: never
  int certificate_days_left = 0;  // of the newest certificate, where enrolled
  std::string certificate_pem;    // the newest, where enrolled
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
  // may have been lost. Fails with Unauthenticated when the token is not this site's, has expired, or served another request;
  // with InvalidArgument as SignSiteRequest does. Errors of the journal are local ones (errors.h).
  absl::StatusOr<v1::EnrollReply> Enroll(const v1::EnrollRequest& request);

  // The same by folder, where the token itself is not told.
  absl::StatusOr<v1::EnrollReply> EnrollByProof(const v1::FolderEnrollRequest& request);

  // Sorted by name.
  absl::StatusOr<std::vector<SiteRecord>> Sites() const;

 private:
  absl::StatusOr<v1::EnrollReply> EnrollWith(const std::string& token_sha256, const std::string& site,
                                             const std::string& request_pem);

  const std::string consortium_;
  const KeyAndCertificate authority_;
  Journal* const journal_;  // not owned
  const std::function<absl::Time()> now_;
};

}  // namespace attune

#endif  // ATTUNE_COORDINATOR_INVITATIONS_H_
