// SPDX-License-Identifier: Apache-2.0
#include "coordinator/invitations.h"

#include <cstdint>
#include <map>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/base/digest.h"
#include "common/base/status.h"
#include "common/base/text.h"
#include "common/security/token_proof.h"
#include "coordinator/errors.h"
#include "coordinator/study_book.h"

namespace attune {
namespace {

constexpr char kConsortium[] = "";  // the journal's name for what belongs to no study

struct Invited {
  std::string token_sha256;
  std::int64_t expires = 0;  // Unix seconds
};

absl::StatusOr<Invited> ParseInvited(const JournalEntry& e) {
  const std::vector<std::string> words = absl::StrSplit(e.body, ' ');
  Invited invited;
  if (words.size() != 2 || !absl::SimpleAtoi(words[1], &invited.expires)) {
    return LocalError(absl::DataLossError(absl::StrCat("journal entry ", e.sequence, " ('invited') cannot be read")));
  }
  invited.token_sha256 = words[0];
  return invited;
}

struct Enrolled {
  std::string token_sha256;
  std::string request_sha256;
  std::string certificate_pem;
};

absl::StatusOr<Enrolled> ParseEnrolled(const JournalEntry& e) {
  const std::pair<std::string, std::string> lines = absl::StrSplit(e.body, absl::MaxSplits('\n', 1));
  const std::vector<std::string> words = absl::StrSplit(lines.first, ' ');
  if (words.size() != 2) {
    return LocalError(absl::DataLossError(absl::StrCat("journal entry ", e.sequence, " ('enrolled') cannot be read")));
  }
  return Enrolled{words[0], words[1], lines.second};
}

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
    ATTUNE_ASSIGN_OR_RETURN(const Invited invitation, ParseInvited(e));
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
    for (const JournalEntry& e : entries) {
      if (e.site != site) continue;
      if (e.kind == entry::kInvited) {
        ATTUNE_ASSIGN_OR_RETURN(const Invited invitation, ParseInvited(e));
        invited |= SecretsEqual(invitation.token_sha256, token_sha256) && absl::FromUnixSeconds(invitation.expires) > now_();
      } else if (e.kind == entry::kEnrolled) {
        ATTUNE_ASSIGN_OR_RETURN(Enrolled enrolled, ParseEnrolled(e));
        if (enrolled.token_sha256 != token_sha256) continue;
        if (enrolled.request_sha256 != request_sha256) return refusal = denied;
        certificate_pem = std::move(enrolled.certificate_pem);
        return std::vector<JournalEntry>();
      }
    }
    if (!invited) return refusal = denied;
    absl::StatusOr<std::string> signed_pem =
        SignSiteRequest(authority_, request_pem, SiteUri(consortium_, site), kSiteCertificateDays);
    if (!signed_pem.ok()) return refusal = signed_pem.status();
    certificate_pem = *std::move(signed_pem);
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
    ATTUNE_ASSIGN_OR_RETURN(const Invited invitation, ParseInvited(e));
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

absl::StatusOr<std::vector<SiteRecord>> Invitations::Sites() const {
  ATTUNE_ASSIGN_OR_RETURN(const std::vector<JournalEntry> entries, journal_->Read(kConsortium));
  std::map<std::string, SiteRecord> sites;
  for (const JournalEntry& e : entries) {
    SiteRecord& record = sites[e.site];
    record.site = e.site;
    if (e.kind == entry::kInvited) {
      ATTUNE_ASSIGN_OR_RETURN(const Invited invitation, ParseInvited(e));
      record.invited = e.time;
      record.expires = Utc(absl::FromUnixSeconds(invitation.expires));
    } else if (e.kind == entry::kEnrolled) {
      ATTUNE_ASSIGN_OR_RETURN(Enrolled enrolled, ParseEnrolled(e));
      ATTUNE_ASSIGN_OR_RETURN(record.certificate_days_left, DaysLeft(enrolled.certificate_pem));
      record.enrolled = e.time;
      record.certificate_pem = std::move(enrolled.certificate_pem);
    }
  }
  std::vector<SiteRecord> result;
  for (auto& [site, record] : sites) result.push_back(std::move(record));
  return result;
}

}  // namespace attune
