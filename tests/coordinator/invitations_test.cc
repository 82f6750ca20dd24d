// SPDX-License-Identifier: Apache-2.0
#include "coordinator/invitations.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/digest.h"
#include "common/security/token_proof.h"
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
  ASSERT_OK_AND_ASSIGN(const std::vector<SiteRecord> sites, invitations_->Sites());
  ASSERT_EQ(sites.size(), 1u);
  EXPECT_EQ(sites[0].site, "north");
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

}  // namespace
}  // namespace attune::testing
