// SPDX-License-Identifier: Apache-2.0
#include "coordinator/member_book.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/status.h"
#include "common/security/signature.h"
#include "coordinator/errors.h"
#include "coordinator/study_book.h"

namespace attune {
namespace {

absl::Status Unreadable(const JournalEntry& e) {
  return LocalError(absl::DataLossError(absl::StrCat("journal entry ", e.sequence, " ('", e.kind, "') cannot be read")));
}

// "<name>\n<rest>"
absl::StatusOr<std::pair<std::string, std::string>> NameAndRest(const JournalEntry& e) {
  std::pair<std::string, std::string> parts = absl::StrSplit(e.body, absl::MaxSplits('\n', 1));
  if (parts.first.empty()) return Unreadable(e);
  return parts;
}

absl::Status TakeCertificate(const JournalEntry& e, std::string certificate_pem, Member& member) {
  const absl::StatusOr<std::string> key = KeyFingerprintOf(certificate_pem);
  if (!key.ok()) return Unreadable(e);
  member.state = Member::State::kEnrolled;
  member.keys.insert(*key);
  member.certificate_pem = std::move(certificate_pem);
  return absl::OkStatus();
}

void TakeRevocation(const JournalEntry& e, absl::string_view fingerprints, Member& member,
                    std::set<std::string>& revoked_keys) {
  for (const absl::string_view key : absl::StrSplit(fingerprints, ' ', absl::SkipEmpty())) revoked_keys.emplace(key);
  member.state = Member::State::kRevoked;
  member.revoked = e.time;
  member.invitation_ends = 0;
  member.keys.clear();
}

}  // namespace

absl::StatusOr<InvitedBody> ParseInvited(const JournalEntry& e) {
  const std::vector<std::string> words = absl::StrSplit(e.body, ' ');
  InvitedBody invited;
  if (words.size() != 2 || !absl::SimpleAtoi(words[1], &invited.expires)) return Unreadable(e);
  invited.token_sha256 = words[0];
  return invited;
}

absl::StatusOr<EnrolledBody> ParseEnrolled(const JournalEntry& e) {
  const std::pair<std::string, std::string> lines = absl::StrSplit(e.body, absl::MaxSplits('\n', 1));
  const std::vector<std::string> words = absl::StrSplit(lines.first, ' ');
  if (words.size() != 2) return Unreadable(e);
  return EnrolledBody{words[0], words[1], lines.second};
}

absl::Status MemberBook::Update(const std::vector<JournalEntry>& entries) {
  for (const JournalEntry& e : entries) {
    if (e.sequence <= last_) continue;
    ATTUNE_RETURN_IF_ERROR(Take(e));
    last_ = e.sequence;
  }
  return absl::OkStatus();
}

absl::Status MemberBook::Take(const JournalEntry& e) {
  if (e.kind == entry::kInvited) {
    ATTUNE_ASSIGN_OR_RETURN(const InvitedBody invited, ParseInvited(e));
    Member& site = sites_[e.site];
    if (site.state != Member::State::kEnrolled) site.state = Member::State::kInvited;
    site.invited = e.time;
    site.invitation_ends = invited.expires;
  } else if (e.kind == entry::kEnrolled) {
    ATTUNE_ASSIGN_OR_RETURN(EnrolledBody enrolled, ParseEnrolled(e));
    Member& site = sites_[e.site];
    site.enrolled = e.time;
    return TakeCertificate(e, std::move(enrolled.certificate_pem), site);
  } else if (e.kind == entry::kRenewed) {
    return TakeCertificate(e, e.body, sites_[e.site]);
  } else if (e.kind == entry::kRevoked) {
    TakeRevocation(e, e.body, sites_[e.site], revoked_keys_);
  } else if (e.kind == entry::kAdminIssued) {
    ATTUNE_ASSIGN_OR_RETURN(auto parts, NameAndRest(e));
    Member& admin = admins_[parts.first];
    admin.enrolled = e.time;
    return TakeCertificate(e, std::move(parts.second), admin);
  } else if (e.kind == entry::kAdminRevoked) {
    ATTUNE_ASSIGN_OR_RETURN(const auto parts, NameAndRest(e));
    TakeRevocation(e, parts.second, admins_[parts.first], revoked_keys_);
  }
  return absl::OkStatus();
}

absl::Status MemberBook::Check(const PeerIdentity& peer, const std::string& key_fingerprint) const {
  const bool is_site = peer.role == Role::kSite;
  const std::map<std::string, Member>& members = is_site ? sites_ : admins_;
  const auto found = members.find(peer.name);
  const bool known = found != members.end() && found->second.keys.count(key_fingerprint) > 0;
  if (known && !IsRevokedKey(key_fingerprint)) return absl::OkStatus();
  // Of a name that was revoked once, only the keys since then count: also one that the journal has never seen is out.
  const bool revoked = IsRevokedKey(key_fingerprint) || (found != members.end() && !found->second.revoked.empty());
  if (revoked && is_site) {
    return absl::UnauthenticatedError(
        absl::StrCat("the certificate of the site '", peer.name,
                     "' was revoked; ask the coordinator's operator for a new invitation, then 'attune-site enroll --force'"));
  }
  if (is_site) return absl::OkStatus();
  return absl::UnauthenticatedError(absl::StrCat("the certificate of the administrator '", peer.name,
                                                 "' does not count (any more); on the coordinator's machine, 'pki admin ",
                                                 peer.name, "' makes a new one"));
}

}  // namespace attune
