// SPDX-License-Identifier: Apache-2.0
//
// What the journal says of who may call: sites and administrators, their keys, and who was revoked.
#ifndef ATTUNE_COORDINATOR_MEMBER_BOOK_H_
#define ATTUNE_COORDINATOR_MEMBER_BOOK_H_

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/security/certificates.h"
#include "common/storage/journal.h"

namespace attune {

struct Member {
  enum class State { kInvited, kEnrolled, kRevoked };
  State state = State::kInvited;     // an enrolled site stays enrolled when it is invited again
  std::string invited;               // when last, UTC
  std::int64_t invitation_ends = 0;  // of that invitation, Unix seconds
  std::string enrolled;              // when last, UTC; empty: never
  std::string revoked;               // when last, UTC; empty: never
  std::string certificate_pem;       // the newest; empty: none yet
  std::set<std::string> keys;        // fingerprints of the keys that count: those since the last revocation
};

// Thread-compatible.
class MemberBook {
 public:
  // Takes in those of the consortium's entries that came after the ones that it knows. `entries`: all, in order. DataLoss,
  // naming the entry, when one cannot be read.
  absl::Status Update(const std::vector<JournalEntry>& entries);

  // Whether a peer with this key may act. Unauthenticated when it was revoked, and for an administrator that the journal does
  // not know.
  absl::Status Check(const PeerIdentity& peer, const std::string& key_fingerprint) const;

  bool IsRevokedKey(const std::string& key_fingerprint) const { return revoked_keys_.count(key_fingerprint) > 0; }
  const std::map<std::string, Member>& sites() const { return sites_; }
  const std::map<std::string, Member>& admins() const { return admins_; }

 private:
  absl::Status Take(const JournalEntry& entry);

  std::int64_t last_ = 0;  // sequence
  std::map<std::string, Member> sites_;
  std::map<std::string, Member> admins_;
  std::set<std::string> revoked_keys_;
};

// An invitation's entry: "<SHA-256 of the token> <expiry, Unix seconds>".
struct InvitedBody {
  std::string token_sha256;
  std::int64_t expires = 0;
};
absl::StatusOr<InvitedBody> ParseInvited(const JournalEntry& entry);

// An enrolment's: "<SHA-256 of the token> <of the request>\n<certificate, PEM>".
struct EnrolledBody {
  std::string token_sha256;
  std::string request_sha256;
  std::string certificate_pem;
};
absl::StatusOr<EnrolledBody> ParseEnrolled(const JournalEntry& entry);

}  // namespace attune

#endif  // ATTUNE_COORDINATOR_MEMBER_BOOK_H_
