// SPDX-License-Identifier: Apache-2.0
#include "coordinator/invitations.h"

#include <cstdint>
#include <map>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "common/base/digest.h"
#include "common/base/status.h"
#include "common/base/text.h"
#include "common/security/signature.h"
#include "common/security/token_proof.h"
#include "coordinator/errors.h"
#include "coordinator/study_book.h"

namespace attune {
namespace {

constexpr char kConsortium[] = "";  // the journal's name for what belongs to no study

std::string Utc(absl::Time time) { return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", time, absl::UTCTimeZone()); }

absl::Status Denied() {
  return absl::UnauthenticatedError(
      "the token does not count: it is another site's, has expired, or was used; ask the coordinator's operator for a new "
      "invitation");
}

bool IsHostAndPort(absl::string_view endpoint) {
  const std::size_t colon = endpoint.rfind(':');
  int port = 0;
  return colon != absl::string_view::npos && colon > 0 && absl::SimpleAtoi(endpoint.substr(colon + 1), &port) && port > 0 &&
         port < 65536;
}

}  // namespace

Invitations::Invitations(std::string consortium, KeyAndCertificate authority, Journal* journal, std::function<absl::Time()> now)
    : consortium_(std::move(consortium)), authority_(std::move(authority)), journal_(journal), now_(std::move(now)) {}

absl::StatusOr<v1::Invitation> Invitations::Invite(const std::string& site, const std::string& coordinator, int days) {
  if (!IsPlainName(site)) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", site, "' is not a site's name: 1 to 63 of [A-Za-z0-9._-], first a letter or digit"));
  }
  if (!coordinator.empty() && !IsHostAndPort(coordinator)) {
    return absl::InvalidArgumentError(absl::StrCat("'", coordinator, "' is not host:port, where sites dial"));
  }
  if (days < 1 || days > 90) return absl::InvalidArgumentError(absl::StrCat("an invitation lasts 1 to 90 days, not ", days));
  ATTUNE_ASSIGN_OR_RETURN(std::string token, MakeToken());
  const absl::Time expires = now_() + absl::Hours(24) * days;
  JournalEntry e;
  e.kind = entry::kInvited;
  e.site = site;
  e.body = absl::StrCat(Sha256Hex(token), " ", absl::ToUnixSeconds(expires));
  ATTUNE_RETURN_IF_ERROR(
      journal_->Transact(kConsortium, [&](const std::vector<JournalEntry>&) -> absl::StatusOr<std::vector<JournalEntry>> {
        return std::vector<JournalEntry>{e};
      }));
  v1::Invitation invitation;
  invitation.set_consortium(consortium_);
  invitation.set_site(site);
  invitation.set_coordinator(coordinator);
  invitation.set_token(std::move(token));
  invitation.set_expires(Utc(expires));
  invitation.set_ca_pem(authority_.certificate_pem);
  return invitation;
}

absl::StatusOr<v1::EnrollReply> Invitations::Enroll(const v1::EnrollRequest& request) {
  return EnrollWith(Sha256Hex(request.token()), request.site(), request.certificate_request_pem());
}

absl::StatusOr<v1::EnrollReply> Invitations::EnrollByProof(const v1::FolderEnrollRequest& request) {
  const absl::StatusOr<std::vector<JournalEntry>> known = journal_->Read(kConsortium);
  if (!known.ok()) return LocalError(known.status());
  for (const JournalEntry& e : *known) {
    if (e.kind != entry::kInvited || e.site != request.site()) continue;
    ATTUNE_ASSIGN_OR_RETURN(const InvitedBody invitation, ParseInvited(e));
    if (SecretsEqual(TokenProof(invitation.token_sha256, request.site(), request.certificate_request_pem()),
                     request.token_proof())) {
      return EnrollWith(invitation.token_sha256, request.site(), request.certificate_request_pem());
    }
  }
  return Denied();
}

absl::StatusOr<v1::EnrollReply> Invitations::EnrollWith(const std::string& token_sha256, const std::string& site,
                                                        const std::string& request_pem) {
  const std::string request_sha256 = Sha256Hex(request_pem);
  const absl::Status denied = Denied();
  std::string certificate_pem;
  absl::Status refusal;  // as against an error of the journal itself
  const auto decide = [&](const std::vector<JournalEntry>& entries) -> absl::StatusOr<std::vector<JournalEntry>> {
    bool invited = false;
    std::optional<EnrolledBody> earlier;
    for (const JournalEntry& e : entries) {
      if (e.site != site) continue;
      if (e.kind == entry::kInvited) {
        ATTUNE_ASSIGN_OR_RETURN(const InvitedBody invitation, ParseInvited(e));
        invited |= SecretsEqual(invitation.token_sha256, token_sha256) && absl::FromUnixSeconds(invitation.expires) > now_();
      } else if (e.kind == entry::kEnrolled) {
        ATTUNE_ASSIGN_OR_RETURN(EnrolledBody enrolled, ParseEnrolled(e));
        if (enrolled.token_sha256 == token_sha256) earlier = std::move(enrolled);
      } else if (e.kind == entry::kRevoked) {
        invited = false;
        earlier.reset();
      }
    }
    if (earlier.has_value()) {
      if (earlier->request_sha256 != request_sha256) return refusal = denied;
      certificate_pem = std::move(earlier->certificate_pem);
      return std::vector<JournalEntry>();
    }
    if (!invited) return refusal = denied;
    absl::StatusOr<std::string> signed_pem =
        SignSiteRequest(authority_, request_pem, SiteUri(consortium_, site), kSiteCertificateDays);
    if (!signed_pem.ok()) return refusal = signed_pem.status();
    certificate_pem = *std::move(signed_pem);
    ATTUNE_ASSIGN_OR_RETURN(const std::string key, KeyFingerprintOf(certificate_pem));
    MemberBook book;
    ATTUNE_RETURN_IF_ERROR(book.Update(entries));
    if (book.IsRevokedKey(key)) {
      return refusal = absl::PermissionDeniedError("the key of this request was revoked; make a new one");
    }
    JournalEntry e;
    e.kind = entry::kEnrolled;
    e.site = site;
    e.body = absl::StrCat(token_sha256, " ", request_sha256, "\n", certificate_pem);
    return std::vector<JournalEntry>{std::move(e)};
  };
  // Anybody may call: whoever has no token must not get at the journal's write lock.
  const absl::StatusOr<std::vector<JournalEntry>> known = journal_->Read(kConsortium);
  if (!known.ok()) return LocalError(known.status());
  bool is_token = false;
  for (const JournalEntry& e : *known) {
    if (e.kind != entry::kInvited) continue;
    ATTUNE_ASSIGN_OR_RETURN(const InvitedBody invitation, ParseInvited(e));
    is_token |= SecretsEqual(invitation.token_sha256, token_sha256);
  }
  if (!is_token) return denied;
  const absl::Status recorded = journal_->Transact(kConsortium, decide);
  if (!refusal.ok()) return refusal;
  if (!recorded.ok()) return LocalError(recorded);
  v1::EnrollReply reply;
  reply.set_certificate_pem(std::move(certificate_pem));
  reply.set_consortium(consortium_);
  return reply;
}

absl::StatusOr<v1::EnrollReply> Invitations::Renew(const Peer& site, const v1::RenewRequest& request) {
  ATTUNE_ASSIGN_OR_RETURN(std::string certificate_pem,
                          SignSiteRequest(authority_, request.certificate_request_pem(),
                                          SiteUri(consortium_, site.identity.name), kSiteCertificateDays));
  ATTUNE_ASSIGN_OR_RETURN(const std::string key, KeyFingerprintOf(certificate_pem));
  if (key != site.key_fingerprint) {
    return absl::PermissionDeniedError(
        "a certificate is renewed for the key that it has, for studies are bound to it; for a new key ask the coordinator's "
        "operator for a new invitation");
  }
  absl::Status refusal;
  const absl::Status recorded = journal_->Transact(
      kConsortium, [&](const std::vector<JournalEntry>& entries) -> absl::StatusOr<std::vector<JournalEntry>> {
        MemberBook book;
        ATTUNE_RETURN_IF_ERROR(book.Update(entries));
        // Whoever was revoked meanwhile must not be let in again by its own renewal.
        refusal = book.Check(site.identity, key);
        if (!refusal.ok()) return refusal;
        const auto member = book.sites().find(site.identity.name);
        if (member != book.sites().end() && !member->second.certificate_pem.empty()) {
          const std::string& newest = member->second.certificate_pem;
          ATTUNE_ASSIGN_OR_RETURN(const std::string newest_key, KeyFingerprintOf(newest));
          ATTUNE_ASSIGN_OR_RETURN(const absl::Time ends, ExpiryOf(newest));
          if (newest_key == key && ends - now_() > absl::Hours(24) * (kSiteCertificateDays - 1)) {
            certificate_pem = newest;
            return std::vector<JournalEntry>();
          }
        }
        JournalEntry e;
        e.kind = entry::kRenewed;
        e.site = site.identity.name;
        e.body = certificate_pem;
        return std::vector<JournalEntry>{std::move(e)};
      });
  if (!refusal.ok()) return refusal;
  if (!recorded.ok()) return LocalError(recorded);
  v1::EnrollReply reply;
  reply.set_certificate_pem(std::move(certificate_pem));
  reply.set_consortium(consortium_);
  return reply;
}

absl::Status Invitations::RevokeSite(const std::string& site) { return Revoke(Role::kSite, site); }
absl::Status Invitations::RevokeAdmin(const std::string& admin) { return Revoke(Role::kAdmin, admin); }

absl::Status Invitations::Revoke(Role role, const std::string& name) {
  const bool is_site = role == Role::kSite;
  return journal_->Transact(
      kConsortium, [&](const std::vector<JournalEntry>& entries) -> absl::StatusOr<std::vector<JournalEntry>> {
        MemberBook book;
        ATTUNE_RETURN_IF_ERROR(book.Update(entries));
        const std::map<std::string, Member>& members = is_site ? book.sites() : book.admins();
        const auto found = members.find(name);
        if (found == members.end()) {
          return absl::NotFoundError(absl::StrCat("'", name, "' is no ", is_site ? "site" : "administrator",
                                                  " of this consortium: 'site list' and 'pki list' name them"));
        }
        if (found->second.state == Member::State::kRevoked) return std::vector<JournalEntry>();
        JournalEntry e;
        e.kind = is_site ? entry::kRevoked : entry::kAdminRevoked;
        const std::string keys = absl::StrJoin(found->second.keys, " ");
        e.site = is_site ? name : "";
        e.body = is_site ? keys : absl::StrCat(name, "\n", keys);
        return std::vector<JournalEntry>{std::move(e)};
      });
}

absl::StatusOr<KeyAndCertificate> Invitations::IssueAdmin(const std::string& admin) {
  ATTUNE_ASSIGN_OR_RETURN(KeyAndRequest request, MakeKeyAndRequest(admin));
  KeyAndCertificate made{std::move(request.key_pem), ""};
  ATTUNE_ASSIGN_OR_RETURN(made.certificate_pem, SignAdminRequest(authority_, request.request_pem, AdminUri(consortium_, admin),
                                                                 kAdminCertificateDays));
  JournalEntry e;
  e.kind = entry::kAdminIssued;
  e.body = absl::StrCat(admin, "\n", made.certificate_pem);
  ATTUNE_RETURN_IF_ERROR(
      journal_->Transact(kConsortium, [&](const std::vector<JournalEntry>&) -> absl::StatusOr<std::vector<JournalEntry>> {
        return std::vector<JournalEntry>{e};
      }));
  return made;
}

absl::Status Invitations::UpdateBook() const {
  // Asked before the entries are read: what is recorded in between is read again.
  const std::int64_t version = journal_->Version();
  if (version == version_) return absl::OkStatus();
  const absl::StatusOr<std::vector<JournalEntry>> entries = journal_->Read(kConsortium);
  if (!entries.ok()) return LocalError(entries.status());
  ATTUNE_RETURN_IF_ERROR(book_.Update(*entries));
  version_ = version;
  return absl::OkStatus();
}

absl::Status Invitations::Check(const Peer& peer) const {
  if (peer.identity.consortium != consortium_) {
    return absl::UnauthenticatedError(absl::StrCat("the certificate is of the consortium '", peer.identity.consortium,
                                                   "', this coordinator is that of '", consortium_, "'"));
  }
  if (peer.expires <= now_()) {
    return absl::UnauthenticatedError(absl::StrCat("the certificate of '", peer.identity.name, "' expired at ",
                                                   Utc(peer.expires), "; ask the coordinator's operator for a new one"));
  }
  return CheckKey(peer.identity, peer.key_fingerprint);
}

absl::Status Invitations::CheckKey(const PeerIdentity& peer, const std::string& key_fingerprint) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  ATTUNE_RETURN_IF_ERROR(UpdateBook());
  return book_.Check(peer, key_fingerprint);
}

absl::StatusOr<std::vector<MemberRecord>> Invitations::Sites() const { return Records(Role::kSite); }
absl::StatusOr<std::vector<MemberRecord>> Invitations::Admins() const { return Records(Role::kAdmin); }

absl::StatusOr<std::vector<MemberRecord>> Invitations::Records(Role role) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  ATTUNE_RETURN_IF_ERROR(UpdateBook());
  std::vector<MemberRecord> records;
  for (const auto& [name, member] : role == Role::kSite ? book_.sites() : book_.admins()) {
    MemberRecord record{name, "invited", member.invited, "", member.enrolled, member.revoked};
    record.certificate_pem = member.certificate_pem;
    if (member.invitation_ends > 0) record.expires = Utc(absl::FromUnixSeconds(member.invitation_ends));
    if (member.state == Member::State::kRevoked) record.state = "revoked";
    if (member.state == Member::State::kEnrolled) {
      ATTUNE_ASSIGN_OR_RETURN(const absl::Time ends, ExpiryOf(member.certificate_pem));
      record.certificate_days_left = static_cast<int>(absl::Floor(ends - now_(), absl::Hours(24)) / absl::Hours(24));
      record.state = record.certificate_days_left < 0 ? "expired" : "enrolled";
    }
    records.push_back(std::move(record));
  }
  return records;
}

}  // namespace attune
