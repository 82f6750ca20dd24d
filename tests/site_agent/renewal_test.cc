// SPDX-License-Identifier: Apache-2.0
//
// A site's certificate is renewed in time, against a real coordinator.
#include "site_agent/renewal.h"

#include <gmock/gmock.h>

#include "common/security/signature.h"
#include "site_agent/connect.h"
#include "tests/coordinator/grpc_fixture.h"

namespace attune::testing {
namespace {

using ::testing::HasSubstr;
using Code = absl::StatusCode;

class RenewalTest : public GrpcServiceTest {
 public:
  void SetUp() override {
    GrpcServiceTest::SetUp();
    ASSERT_OK(home().MakeIdentityFolder());
    identity_.set_consortium("net");
    identity_.set_site("north");
    identity_.set_coordinator(Endpoint());
    ASSERT_OK_AND_ASSIGN(pair_, MakeKeyAndRequest("north"));
    Write("key.pem", pair_.key_pem);
    Write("ca.pem", authority_.certificate_pem);
  }

  Home home() { return Home(folder_ / "site"); }

  void Write(const std::string& name, const std::string& text) {
    ASSERT_OK(WriteFileAtomically(home().IdentityFile(name), text, FileAccess::kOwnerOnly));
  }
  std::string Certificate() { return *ReadFile(home().IdentityFile("certificate.pem")); }

  // Gives the site a certificate that is good for so many days.
  void CertificateFor(int days) {
    ASSERT_OK_AND_ASSIGN(const std::string pem, SignSiteRequest(authority_, pair_.request_pem, SiteUri("net", "north"), days));
    Write("certificate.pem", pem);
  }

  v1::AgentIdentity identity_;
  KeyAndRequest pair_;
};

TEST_F(RenewalTest, Connect_RenewsWhenFewDaysAreLeft) {
  CertificateFor(29);
  const std::string before = Certificate();
  ASSERT_OK_AND_ASSIGN(const auto courier, Connect(home(), identity_, absl::Seconds(5)));
  EXPECT_NE(Certificate(), before);
  EXPECT_GE(*DaysLeft(Certificate()), 364);
  EXPECT_EQ(*KeyFingerprintOf(Certificate()), *KeyFingerprintOf(before));
  EXPECT_THAT(courier->GetStudy("demo"), StatusIs(Code::kNotFound, HasSubstr("'demo'")));
  EXPECT_OK(DialOptions(home(), identity_, absl::Seconds(5)));
}

TEST_F(RenewalTest, Connect_LeavesACertificateThatIsGoodForLong) {
  CertificateFor(40);
  const std::string before = Certificate();
  ASSERT_OK(Connect(home(), identity_, absl::Seconds(5)));
  EXPECT_EQ(Certificate(), before);
}

TEST_F(RenewalTest, Connect_GoesOnWhereRenewalFails) {
  CertificateFor(20);
  const std::string before = Certificate();
  server_.reset();
  ASSERT_OK_AND_ASSIGN(const auto courier, Connect(home(), identity_, absl::Milliseconds(100)));
  EXPECT_EQ(Certificate(), before);
  EXPECT_THAT(courier->GetStudy("demo"), StatusIs(Code::kUnavailable, HasSubstr("coordinator")));
}

TEST_F(RenewalTest, RenewCertificate_AfterAReplyThatWasLost) {
  CertificateFor(20);
  ASSERT_OK_AND_ASSIGN(const GrpcCourierOptions options, DialOptions(home(), identity_, absl::Seconds(5)));
  v1::RenewRequest request;
  request.set_certificate_request_pem(pair_.request_pem);
  ASSERT_OK_AND_ASSIGN(const v1::EnrollReply lost, Renew(options, request));
  ASSERT_OK_AND_ASSIGN(const std::string renewed, RenewCertificate(home(), "north", options));
  EXPECT_EQ(renewed, lost.certificate_pem());
  EXPECT_EQ(Certificate(), renewed);
}

TEST_F(RenewalTest, RenewCertificate_Revoked) {
  CertificateFor(20);
  const std::string before = Certificate();
  ASSERT_OK(invitations_->Invite("north", "host:1", 1));
  RevokeElsewhere("north");
  ASSERT_OK_AND_ASSIGN(const GrpcCourierOptions options, DialOptions(home(), identity_, absl::Seconds(5)));
  EXPECT_THAT(RenewCertificate(home(), "north", options), StatusIs(Code::kUnauthenticated, HasSubstr("revoked")));
  EXPECT_EQ(Certificate(), before);
}

TEST_F(RenewalTest, DialOptions_ByFolder) {
  identity_.set_folder("/somewhere");
  EXPECT_THAT(DialOptions(home(), identity_, std::nullopt), StatusIs(Code::kFailedPrecondition, HasSubstr("folder")));
}

// A coordinator that answers Renew with whatever it likes.
class Liar final : public v1::Coordinator::Service {
 public:
  explicit Liar(std::string certificate_pem) : certificate_pem_(std::move(certificate_pem)) {}
  grpc::Status Renew(grpc::ServerContext*, const v1::RenewRequest*, v1::EnrollReply* reply) override {
    reply->set_certificate_pem(certificate_pem_);
    return grpc::Status::OK;
  }

 private:
  const std::string certificate_pem_;
};

TEST_F(RenewalTest, RenewCertificate_WhatIsNotOursIsNotKept) {
  CertificateFor(20);
  const std::string before = Certificate();
  ASSERT_OK_AND_ASSIGN(const KeyAndCertificate tls, MakeServerCertificate(authority_, "net", {"127.0.0.1"}, 1));
  ASSERT_OK_AND_ASSIGN(const KeyAndCertificate other, MakeAuthority("net"));
  ASSERT_OK_AND_ASSIGN(const KeyAndRequest stranger, MakeKeyAndRequest("north"));
  const std::string uri = SiteUri("net", "north");
  for (const std::string& answer : {*SignSiteRequest(other, pair_.request_pem, uri, 300),                           // authority
                                    *SignSiteRequest(authority_, stranger.request_pem, uri, 300),                   // key
                                    *SignSiteRequest(authority_, pair_.request_pem, SiteUri("net", "south"), 300),  // name
                                    std::string("garbage")}) {
    Liar liar(answer);
    int port = 0;
    grpc::SslServerCredentialsOptions credentials;
    credentials.pem_key_cert_pairs.push_back({tls.key_pem, tls.certificate_pem});
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::SslServerCredentials(credentials), &port);
    builder.RegisterService(&liar);
    const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
    identity_.set_coordinator(absl::StrCat("127.0.0.1:", port));
    ASSERT_OK_AND_ASSIGN(const GrpcCourierOptions options, DialOptions(home(), identity_, absl::Seconds(5)));
    EXPECT_FALSE(RenewCertificate(home(), "north", options).ok());
    EXPECT_EQ(Certificate(), before);
  }
}

}  // namespace
}  // namespace attune::testing
