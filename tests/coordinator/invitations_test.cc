// SPDX-License-Identifier: Apache-2.0
#include "coordinator/invitations.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/clock.h"
#include "common/base/digest.h"
#include "common/security/signature.h"
#include "common/security/token_proof.h"
#include "coordinator/study_book.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace attune::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Code = absl::StatusCode;

class InvitationsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(journal_, Journal::Open(folder_ / "journal.sqlite", true));
    ASSERT_OK_AND_ASSIGN(authority_, MakeAuthority("net"));
    invitations_ = std::make_unique<Invitations>("net", authority_, journal_.get(), [this] { return now_; });
    ASSERT_OK_AND_ASSIGN(const KeyAndRequest request, MakeKeyAndRequest("north"));
    request_pem_ = request.request_pem;
  }

  v1::EnrollRequest RequestOf(const std::string& site, const std::string& token) const {
    v1::EnrollRequest request;
    request.set_site(site);
    request.set_token(token);
    request.set_certificate_request_pem(request_pem_);
    return request;
  }

  TempFolder folder_;
  std::unique_ptr<Journal> journal_;
  KeyAndCertificate authority_;
  absl::Time now_ = absl::FromUnixSeconds(1'800'000'000);
  std::unique_ptr<Invitations> invitations_;
  std::string request_pem_;
};

TEST_F(InvitationsTest, Invite_HoldsWhatTheSiteNeeds) {
  ASSERT_OK_AND_ASSIGN(const v1::Invitation invitation, invitations_->Invite("north", "coordinator.example:7443", 7));
  EXPECT_EQ(invitation.consortium(), "net");
  EXPECT_EQ(invitation.site(), "north");
  EXPECT_EQ(invitation.coordinator(), "coordinator.example:7443");
  EXPECT_EQ(invitation.expires(), "2027-01-22T08:00:00Z");
  EXPECT_EQ(invitation.ca_pem(), authority_.certificate_pem);
  EXPECT_EQ(invitation.token().size(), 64u);
  // The token itself is nowhere.
  ASSERT_OK_AND_ASSIGN(const std::vector<JournalEntry> entries, journal_->Read(""));
  ASSERT_EQ(entries.size(), 1u);
  EXPECT_THAT(entries[0].body, Not(HasSubstr(invitation.token())));
}

TEST_F(InvitationsTest, Invite_ForAFolderNamesNoCoordinator) {
  ASSERT_OK_AND_ASSIGN(const v1::Invitation invitation, invitations_->Invite("north", "", 7));
  EXPECT_EQ(invitation.coordinator(), "");
}

TEST_F(InvitationsTest, EnrollByProof_SameAsWithTheToken) {
  ASSERT_OK_AND_ASSIGN(const v1::Invitation invitation, invitations_->Invite("north", "host:1", 7));
  v1::FolderEnrollRequest request;
  request.set_site("north");
  request.set_certificate_request_pem(request_pem_);
  request.set_token_proof(TokenProof(Sha256Hex(invitation.token()), "north", request_pem_));
  ASSERT_OK_AND_ASSIGN(const v1::EnrollReply by_folder, invitations_->EnrollByProof(request));
  ASSERT_OK_AND_ASSIGN(const v1::EnrollReply by_network, invitations_->Enroll(RequestOf("north", invitation.token())));
  EXPECT_EQ(by_folder.certificate_pem(), by_network.certificate_pem());
  request.set_site("south");
  EXPECT_THAT(invitations_->EnrollByProof(request), StatusIs(Code::kUnauthenticated, HasSubstr("token")));
}

TEST_F(InvitationsTest, Invite_BadInput) {
  EXPECT_THAT(invitations_->Invite("no/slash", "host:1", 7), StatusIs(Code::kInvalidArgument, HasSubstr("'no/slash'")));
  EXPECT_THAT(invitations_->Invite("north", "host", 7), StatusIs(Code::kInvalidArgument, HasSubstr("host:port")));
  EXPECT_THAT(invitations_->Invite("north", ":1", 7), StatusIs(Code::kInvalidArgument, HasSubstr("host:port")));
  EXPECT_THAT(invitations_->Invite("north", "host:1", 0), StatusIs(Code::kInvalidArgument, HasSubstr("90 days")));
}

TEST_F(InvitationsTest, Enroll_GivesACertificate) {
  ASSERT_OK_AND_ASSIGN(const v1::Invitation invitation, invitations_->Invite("north", "host:1", 7));
  ASSERT_OK_AND_ASSIGN(const v1::EnrollReply reply, invitations_->Enroll(RequestOf("north", invitation.token())));
  EXPECT_EQ(reply.consortium(), "net");
  ASSERT_OK_AND_ASSIGN(const int days, DaysLeft(reply.certificate_pem()));
  EXPECT_GT(days, 300);
  ASSERT_OK_AND_ASSIGN(const std::vector<MemberRecord> sites, invitations_->Sites());
  ASSERT_EQ(sites.size(), 1u);
  EXPECT_EQ(sites[0].name, "north");
  EXPECT_FALSE(sites[0].enrolled.empty());
}

TEST_F(InvitationsTest, Enroll_SameRequestAgain) {
  ASSERT_OK_AND_ASSIGN(const v1::Invitation invitation, invitations_->Invite("north", "host:1", 7));
  ASSERT_OK_AND_ASSIGN(const v1::EnrollReply first, invitations_->Enroll(RequestOf("north", invitation.token())));
  ASSERT_OK_AND_ASSIGN(const v1::EnrollReply second, invitations_->Enroll(RequestOf("north", invitation.token())));
  EXPECT_EQ(first.certificate_pem(), second.certificate_pem());
}

TEST_F(InvitationsTest, Enroll_TokenServesOneRequest) {
  ASSERT_OK_AND_ASSIGN(const v1::Invitation invitation, invitations_->Invite("north", "host:1", 7));
  ASSERT_OK(invitations_->Enroll(RequestOf("north", invitation.token())));
  ASSERT_OK_AND_ASSIGN(const KeyAndRequest other, MakeKeyAndRequest("north"));
  request_pem_ = other.request_pem;
  EXPECT_THAT(invitations_->Enroll(RequestOf("north", invitation.token())),
              StatusIs(Code::kUnauthenticated, HasSubstr("token")));
}

TEST_F(InvitationsTest, Enroll_TokenThatDoesNotCount) {
  ASSERT_OK_AND_ASSIGN(const v1::Invitation invitation, invitations_->Invite("north", "host:1", 7));
  EXPECT_THAT(invitations_->Enroll(RequestOf("north", "")), StatusIs(Code::kUnauthenticated, HasSubstr("token")));
  EXPECT_THAT(invitations_->Enroll(RequestOf("north", std::string(64, '0'))),
              StatusIs(Code::kUnauthenticated, HasSubstr("token")));
  EXPECT_THAT(invitations_->Enroll(RequestOf("south", invitation.token())),
              StatusIs(Code::kUnauthenticated, HasSubstr("token")));
}

TEST_F(InvitationsTest, Enroll_Expired) {
  ASSERT_OK_AND_ASSIGN(const v1::Invitation invitation, invitations_->Invite("north", "host:1", 1));
  now_ += absl::Hours(25);
  EXPECT_THAT(invitations_->Enroll(RequestOf("north", invitation.token())),
              StatusIs(Code::kUnauthenticated, HasSubstr("expired")));
}

TEST_F(InvitationsTest, Enroll_MalformedRequestKeepsTheToken) {
  ASSERT_OK_AND_ASSIGN(const v1::Invitation invitation, invitations_->Invite("north", "host:1", 7));
  v1::EnrollRequest request = RequestOf("north", invitation.token());
  request.set_certificate_request_pem("garbage");
  EXPECT_THAT(invitations_->Enroll(request), StatusIs(Code::kInvalidArgument, HasSubstr("")));
  EXPECT_OK(invitations_->Enroll(RequestOf("north", invitation.token())));
}

// ---- What follows enrolment: a site that is revoked, and one that renews. ----

class MembersTest : public InvitationsTest {
 protected:
  // Enrolls the site with a new key and returns it as a peer.
  Peer Enrolled(const std::string& site) {
    Peer peer;
    [&] {
      ASSERT_OK_AND_ASSIGN(const v1::Invitation invitation, invitations_->Invite(site, "host:1", 7));
      ASSERT_OK_AND_ASSIGN(const KeyAndRequest pair, MakeKeyAndRequest(site));
      request_pem_ = pair.request_pem;
      ASSERT_OK_AND_ASSIGN(const v1::EnrollReply reply, invitations_->Enroll(RequestOf(site, invitation.token())));
      certificate_pem_ = reply.certificate_pem();
      peer = PeerOf(certificate_pem_);
    }();
    return peer;
  }

  static Peer PeerOf(const std::string& certificate_pem) {
    Peer peer;
    [&] {
      ASSERT_OK_AND_ASSIGN(const std::string uri, UriOf(certificate_pem));
      ASSERT_OK_AND_ASSIGN(peer.identity, ParsePeerUri(uri));
      ASSERT_OK_AND_ASSIGN(peer.key_fingerprint, KeyFingerprintOf(certificate_pem));
      ASSERT_OK_AND_ASSIGN(peer.expires, ExpiryOf(certificate_pem));
    }();
    return peer;
  }

  std::string StateOf(const std::string& site) const {
    const absl::StatusOr<std::vector<MemberRecord>> sites = invitations_->Sites();
    for (const MemberRecord& record : *sites) {
      if (record.name == site) return record.state;
    }
    return "";
  }

  void SetUp() override {
    InvitationsTest::SetUp();
    now_ = absl::Now();  // certificates are made by the clock of the machine
  }

  v1::RenewRequest RenewalOf(const std::string& request_pem) const {
    v1::RenewRequest request;
    request.set_certificate_request_pem(request_pem);
    return request;
  }

  std::string certificate_pem_;
};

TEST_F(MembersTest, Revoke_TakesEffectAtOnce) {
  const Peer north = Enrolled("north");
  const Peer south = Enrolled("south");
  ASSERT_OK(invitations_->Check(north));
  ASSERT_OK(invitations_->RevokeSite("north"));
  EXPECT_THAT(invitations_->Check(north), StatusIs(Code::kUnauthenticated, HasSubstr("revoked")));
  EXPECT_OK(invitations_->Check(south));
  EXPECT_EQ(StateOf("north"), "revoked");
}

TEST_F(MembersTest, Revoke_ByAnotherProcessIsSeen) {
  const Peer north = Enrolled("north");
  ASSERT_OK(invitations_->Check(north));
  ASSERT_OK_AND_ASSIGN(const auto journal, Journal::Open(folder_ / "journal.sqlite", false));
  ASSERT_OK(Invitations("net", authority_, journal.get()).RevokeSite("north"));
  EXPECT_THAT(invitations_->Check(north), StatusIs(Code::kUnauthenticated, HasSubstr("revoked")));
}

TEST_F(MembersTest, Revoke_SurvivesARestart) {
  const Peer north = Enrolled("north");
  ASSERT_OK(invitations_->RevokeSite("north"));
  invitations_.reset();
  journal_.reset();
  ASSERT_OK_AND_ASSIGN(journal_, Journal::Open(folder_ / "journal.sqlite", false));
  EXPECT_THAT(Invitations("net", authority_, journal_.get()).Check(north),
              StatusIs(Code::kUnauthenticated, HasSubstr("revoked")));
}

TEST_F(MembersTest, Revoke_OpenInvitationsAndUsedTokensCountNoMore) {
  ASSERT_OK_AND_ASSIGN(const v1::Invitation used, invitations_->Invite("north", "host:1", 7));
  ASSERT_OK(invitations_->Enroll(RequestOf("north", used.token())));
  ASSERT_OK_AND_ASSIGN(const v1::Invitation open, invitations_->Invite("north", "host:1", 7));
  ASSERT_OK(invitations_->RevokeSite("north"));
  EXPECT_THAT(invitations_->Enroll(RequestOf("north", used.token())), StatusIs(Code::kUnauthenticated, HasSubstr("token")));
  EXPECT_THAT(invitations_->Enroll(RequestOf("north", open.token())), StatusIs(Code::kUnauthenticated, HasSubstr("token")));
}

TEST_F(MembersTest, Revoke_NorDoTheirProofsInAFolder) {
  ASSERT_OK_AND_ASSIGN(const v1::Invitation invitation, invitations_->Invite("north", "", 7));
  v1::FolderEnrollRequest request;
  request.set_site("north");
  request.set_certificate_request_pem(request_pem_);
  request.set_token_proof(TokenProof(Sha256Hex(invitation.token()), "north", request_pem_));
  ASSERT_OK(invitations_->EnrollByProof(request));
  ASSERT_OK(invitations_->RevokeSite("north"));
  EXPECT_THAT(invitations_->EnrollByProof(request), StatusIs(Code::kUnauthenticated, HasSubstr("token")));
}

TEST_F(MembersTest, CheckKey_CountsForWhatWasSignedBeforeACertificateExpired) {
  Peer north = Enrolled("north");
  now_ += absl::Hours(24) * 400;
  EXPECT_THAT(invitations_->Check(north), StatusIs(Code::kUnauthenticated, HasSubstr("expired")));
  EXPECT_OK(invitations_->CheckKey(north.identity, north.key_fingerprint));
  ASSERT_OK(invitations_->RevokeSite("north"));
  EXPECT_THAT(invitations_->CheckKey(north.identity, north.key_fingerprint),
              StatusIs(Code::kUnauthenticated, HasSubstr("revoked")));
}

TEST_F(MembersTest, Revoke_ANewInvitationWithANewKeyLetsItIn) {
  const Peer before = Enrolled("north");
  const std::string old_request = request_pem_;
  ASSERT_OK(invitations_->RevokeSite("north"));
  ASSERT_OK_AND_ASSIGN(const v1::Invitation invitation, invitations_->Invite("north", "host:1", 7));
  EXPECT_EQ(StateOf("north"), "invited");
  request_pem_ = old_request;
  EXPECT_THAT(invitations_->Enroll(RequestOf("north", invitation.token())),
              StatusIs(Code::kPermissionDenied, HasSubstr("make a new one")));
  const Peer after = Enrolled("north");
  EXPECT_OK(invitations_->Check(after));
  EXPECT_THAT(invitations_->Check(before), StatusIs(Code::kUnauthenticated, HasSubstr("revoked")));
  EXPECT_EQ(StateOf("north"), "enrolled");
}

TEST_F(MembersTest, Revoke_ACertificateThatTheJournalNeverSawIsOutToo) {
  Enrolled("north");
  ASSERT_OK_AND_ASSIGN(const KeyAndRequest pair, MakeKeyAndRequest("north"));
  ASSERT_OK_AND_ASSIGN(const std::string unseen, SignSiteRequest(authority_, pair.request_pem, SiteUri("net", "north"), 10));
  EXPECT_OK(invitations_->Check(PeerOf(unseen)));
  ASSERT_OK(invitations_->RevokeSite("north"));
  EXPECT_THAT(invitations_->Check(PeerOf(unseen)), StatusIs(Code::kUnauthenticated, HasSubstr("revoked")));
}

TEST_F(MembersTest, Revoke_AgainAndUnknown) {
  Enrolled("north");
  ASSERT_OK(invitations_->RevokeSite("north"));
  ASSERT_OK_AND_ASSIGN(const std::vector<JournalEntry> once, journal_->Read(""));
  EXPECT_OK(invitations_->RevokeSite("north"));
  ASSERT_OK_AND_ASSIGN(const std::vector<JournalEntry> twice, journal_->Read(""));
  EXPECT_EQ(once.size(), twice.size());
  EXPECT_THAT(invitations_->RevokeSite("west"), StatusIs(Code::kNotFound, HasSubstr("'west'")));
}

TEST_F(MembersTest, Check_ExpiredAndOtherConsortium) {
  Peer north = Enrolled("north");
  now_ += absl::Hours(24) * 366;
  EXPECT_THAT(invitations_->Check(north), StatusIs(Code::kUnauthenticated, HasSubstr("expired")));
  EXPECT_EQ(StateOf("north"), "expired");
  now_ = absl::Now();
  north.identity.consortium = "others";
  EXPECT_THAT(invitations_->Check(north), StatusIs(Code::kUnauthenticated, HasSubstr("'others'")));
}

TEST_F(MembersTest, Check_AJournalThatCannotBeReadLetsNobodyIn) {
  const Peer north = Enrolled("north");
  JournalEntry damaged;
  damaged.kind = entry::kRenewed;
  damaged.site = "north";
  damaged.body = "no certificate";
  ASSERT_OK(journal_->Transact("", [&](const std::vector<JournalEntry>&) -> absl::StatusOr<std::vector<JournalEntry>> {
    return std::vector<JournalEntry>{damaged};
  }));
  EXPECT_THAT(invitations_->Check(north), StatusIs(Code::kDataLoss, HasSubstr("'renewed'")));
}

TEST_F(MembersTest, Renew_SameKeyNewCertificate) {
  const Peer north = Enrolled("north");
  const std::string before = certificate_pem_;
  now_ += absl::Hours(24) * 340;
  ASSERT_OK_AND_ASSIGN(const v1::EnrollReply reply, invitations_->Renew(north, RenewalOf(request_pem_)));
  EXPECT_NE(reply.certificate_pem(), before);
  const Peer renewed = PeerOf(reply.certificate_pem());
  EXPECT_EQ(renewed.key_fingerprint, north.key_fingerprint);
  EXPECT_EQ(renewed.identity.name, "north");
  EXPECT_OK(invitations_->Check(north));  // the old one counts until it expires: the reply may be lost
  EXPECT_OK(invitations_->Check(renewed));
}

TEST_F(MembersTest, Renew_AgainOnTheSameDayIsTheSameCertificate) {
  const Peer north = Enrolled("north");
  now_ += absl::Seconds(5);
  ASSERT_OK_AND_ASSIGN(const v1::EnrollReply reply, invitations_->Renew(north, RenewalOf(request_pem_)));
  EXPECT_EQ(reply.certificate_pem(), certificate_pem_);
}

TEST_F(MembersTest, Renew_AnotherKey) {
  const Peer north = Enrolled("north");
  ASSERT_OK_AND_ASSIGN(const KeyAndRequest other, MakeKeyAndRequest("north"));
  EXPECT_THAT(invitations_->Renew(north, RenewalOf(other.request_pem)),
              StatusIs(Code::kPermissionDenied, HasSubstr("invitation")));
}

TEST_F(MembersTest, Renew_RevokedAndMalformed) {
  const Peer north = Enrolled("north");
  EXPECT_THAT(invitations_->Renew(north, RenewalOf("garbage")), StatusIs(Code::kInvalidArgument, HasSubstr("PEM")));
  ASSERT_OK(invitations_->RevokeSite("north"));
  EXPECT_THAT(invitations_->Renew(north, RenewalOf(request_pem_)), StatusIs(Code::kUnauthenticated, HasSubstr("revoked")));
  EXPECT_EQ(StateOf("north"), "revoked");
}

TEST_F(MembersTest, Revoke_TakesRenewedKeysToo) {
  const Peer north = Enrolled("north");
  now_ += absl::Hours(24) * 340;
  ASSERT_OK_AND_ASSIGN(const v1::EnrollReply reply, invitations_->Renew(north, RenewalOf(request_pem_)));
  ASSERT_OK(invitations_->RevokeSite("north"));
  EXPECT_THAT(invitations_->Check(PeerOf(reply.certificate_pem())), StatusIs(Code::kUnauthenticated, HasSubstr("revoked")));
}

TEST_F(MembersTest, Admin_IssuedRevokedIssuedAgain) {
  ASSERT_OK_AND_ASSIGN(const KeyAndCertificate first, invitations_->IssueAdmin("ada"));
  EXPECT_OK(invitations_->Check(PeerOf(first.certificate_pem)));
  ASSERT_OK(invitations_->RevokeAdmin("ada"));
  EXPECT_THAT(invitations_->Check(PeerOf(first.certificate_pem)), StatusIs(Code::kUnauthenticated, HasSubstr("'ada'")));
  ASSERT_OK_AND_ASSIGN(const KeyAndCertificate second, invitations_->IssueAdmin("ada"));
  EXPECT_OK(invitations_->Check(PeerOf(second.certificate_pem)));
  EXPECT_THAT(invitations_->Check(PeerOf(first.certificate_pem)), StatusIs(Code::kUnauthenticated, HasSubstr("'ada'")));
  EXPECT_THAT(invitations_->RevokeAdmin("eve"), StatusIs(Code::kNotFound, HasSubstr("'eve'")));
  EXPECT_THAT(invitations_->IssueAdmin("no/slash"), StatusIs(Code::kInvalidArgument, HasSubstr("'no/slash'")));
}

TEST_F(MembersTest, Admin_OneThatTheJournalDoesNotKnow) {
  ASSERT_OK_AND_ASSIGN(const KeyAndRequest pair, MakeKeyAndRequest("eve"));
  ASSERT_OK_AND_ASSIGN(const std::string pem, SignAdminRequest(authority_, pair.request_pem, AdminUri("net", "eve"), 10));
  EXPECT_THAT(invitations_->Check(PeerOf(pem)), StatusIs(Code::kUnauthenticated, HasSubstr("'eve'")));
}

TEST_F(MembersTest, Admin_AndSiteOfOneNameAreTwo) {
  const Peer site = Enrolled("ada");
  ASSERT_OK_AND_ASSIGN(const KeyAndCertificate admin, invitations_->IssueAdmin("ada"));
  ASSERT_OK(invitations_->RevokeSite("ada"));
  EXPECT_FALSE(invitations_->Check(site).ok());
  EXPECT_OK(invitations_->Check(PeerOf(admin.certificate_pem)));
}

}  // namespace
}  // namespace attune::testing
