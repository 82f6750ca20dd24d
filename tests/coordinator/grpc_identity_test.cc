// SPDX-License-Identifier: Apache-2.0
//
// Who gets in, over real TLS: each way not to, revocation on open connections, administrators, and limits.
#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "attune/v1/admin.grpc.pb.h"
#include "common/security/signature.h"
#include "coordinator/grpc_operator.h"
#include "tests/coordinator/grpc_fixture.h"

namespace attune::testing {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Code = absl::StatusCode;

class GrpcIdentityTest : public GrpcServiceTest {
 public:
  static void ExpectCode(const grpc::Status& status, grpc::StatusCode code, const std::string& text) {
    EXPECT_EQ(status.error_code(), code) << status.error_message();
    EXPECT_THAT(status.error_message(), HasSubstr(text));
  }

  // The same certificate, expired an hour ago.
  std::string Expired(const std::string& certificate_pem) {
    BIO* const in = BIO_new_mem_buf(certificate_pem.data(), static_cast<int>(certificate_pem.size()));
    X509* const certificate = PEM_read_bio_X509(in, nullptr, nullptr, nullptr);
    BIO* const key_in = BIO_new_mem_buf(authority_.key_pem.data(), static_cast<int>(authority_.key_pem.size()));
    EVP_PKEY* const key = PEM_read_bio_PrivateKey(key_in, nullptr, nullptr, nullptr);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -7200);
    X509_gmtime_adj(X509_getm_notAfter(certificate), -3600);
    EXPECT_GT(X509_sign(certificate, key, EVP_sha256()), 0);
    BIO* const out = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(out, certificate);
    char* data = nullptr;
    const long size = BIO_get_mem_data(out, &data);
    std::string pem(data, static_cast<std::size_t>(size));
    BIO_free(in);
    BIO_free(key_in);
    BIO_free(out);
    X509_free(certificate);
    EVP_PKEY_free(key);
    return pem;
  }

  // A TLS handshake by OpenSSL itself, with these versions and suites. Empty when it succeeds, else the reason of the failure.
  std::string Handshake(int min_version, int max_version, const char* suites, std::string* agreed = nullptr) {
    const int file = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(server_->port()));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(file, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    SSL_CTX* const context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_security_level(context, 0);  // this client refuses nothing: what is refused, the server refused
    SSL_CTX_set_min_proto_version(context, min_version);
    SSL_CTX_set_max_proto_version(context, max_version);
    if (suites != nullptr) {
      EXPECT_EQ(SSL_CTX_set_cipher_list(context, suites), 1);
    }
    SSL* const ssl = SSL_new(context);
    SSL_set_fd(ssl, file);
    static constexpr unsigned char kAlpn[] = {2, 'h', '2'};
    SSL_set_alpn_protos(ssl, kAlpn, sizeof(kAlpn));
    ERR_clear_error();
    std::string reason;
    if (SSL_connect(ssl) != 1) {
      const char* text = ERR_reason_error_string(ERR_get_error());
      reason = text != nullptr ? text : "the connection was closed";
    } else if (agreed != nullptr) {
      *agreed = SSL_get_cipher_name(ssl);
    }
    SSL_free(ssl);
    SSL_CTX_free(context);
    ::close(file);
    return reason;
  }

  // An administrator's folder as `pki admin` makes it.
  std::unique_ptr<Operator> DialAdmin(const std::string& name) {
    std::unique_ptr<Operator> dialled;
    [&] {
      ASSERT_OK_AND_ASSIGN(const KeyAndCertificate made, invitations_->IssueAdmin(name));
      folder_.Write(kAdminKeyFile, made.key_pem);
      folder_.Write(kAdminCertificateFile, made.certificate_pem);
      folder_.Write(kAdminAuthorityFile, authority_.certificate_pem);
      ASSERT_OK_AND_ASSIGN(dialled, DialOperator(Endpoint(), folder_.path()));
    }();
    return dialled;
  }
};

// ---- TLS ----

// gRPC ends the connection, as a rule before its alert is on the way.
::testing::Matcher<std::string> RefusedByTheServer() {
  return ::testing::AnyOf(HasSubstr("unexpected eof"), HasSubstr("the connection was closed"), HasSubstr("alert"));
}

TEST_F(GrpcIdentityTest, Tls_BelowVersion12) {
  EXPECT_THAT(Handshake(TLS1_VERSION, TLS1_1_VERSION, nullptr), RefusedByTheServer());
  EXPECT_THAT(Handshake(TLS1_VERSION, TLS1_VERSION, nullptr), RefusedByTheServer());
}

TEST_F(GrpcIdentityTest, Tls_WithoutForwardSecrecy) {
  for (const char* suites : {"AES128-GCM-SHA256", "AES256-GCM-SHA384:AES128-SHA"}) {
    EXPECT_THAT(Handshake(TLS1_2_VERSION, TLS1_2_VERSION, suites), RefusedByTheServer()) << suites;
  }
}

TEST_F(GrpcIdentityTest, Tls_Version12WithForwardSecrecyAnd13) {
  std::string agreed;
  EXPECT_EQ(Handshake(TLS1_2_VERSION, TLS1_2_VERSION, "AES128-GCM-SHA256:ECDHE-ECDSA-AES128-GCM-SHA256", &agreed), "");
  EXPECT_EQ(agreed, "ECDHE-ECDSA-AES128-GCM-SHA256");
  EXPECT_EQ(Handshake(TLS1_3_VERSION, TLS1_3_VERSION, nullptr), "");
}

TEST_F(GrpcIdentityTest, Tls_ExpiredCertificate) {
  Enrolled north = Enroll("north");
  north.certificate_pem = Expired(north.certificate_pem);
  EXPECT_EQ(GetStudy(*DialWith(north)).error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(GrpcIdentityTest, CertificateThatExpiresWhileConnected) {
  const auto stub = DialWith(Enroll("north"));
  EXPECT_EQ(GetStudy(*stub).error_code(), grpc::StatusCode::NOT_FOUND);
  days_ahead_ = 366;
  ExpectCode(GetStudy(*stub), grpc::StatusCode::UNAUTHENTICATED, "expired");
}

// ---- A site acts only as itself ----

TEST_F(GrpcIdentityTest, Register_CountsForTheSiteOfTheCertificate) {
  ASSERT_OK(desk_->CreateStudy(Config(), false));
  v1::RegisterReply none;
  ASSERT_TRUE(DialAs("south")->Register(Context().get(), Registration({"n1"}), &none).ok());
  EXPECT_EQ(Status().sites.count("south"), 1u);
  EXPECT_EQ(Status().sites.size(), 1u);
}

TEST_F(GrpcIdentityTest, AnotherSitesCertificate) {
  StartDemo();
  const auto west = DialAs("west");  // enrolled, but not of this study
  v1::NextReply next;
  ExpectCode(west->Next(Context().get(), NextOf(), &next), grpc::StatusCode::PERMISSION_DENIED, "'west'");
  v1::UploadState state;
  ExpectCode(west->GetUpload(Context().get(), AnswerOf("north").header, &state), grpc::StatusCode::PERMISSION_DENIED, "'west'");
}

TEST_F(GrpcIdentityTest, Enroll_TokenOfAnotherSite) {
  ASSERT_OK_AND_ASSIGN(const v1::Invitation invitation, invitations_->Invite("north", "127.0.0.1:1", 1));
  ASSERT_OK_AND_ASSIGN(const KeyAndRequest pair, MakeKeyAndRequest("north"));
  v1::EnrollRequest request;
  request.set_site("south");
  request.set_token(invitation.token());
  request.set_certificate_request_pem(pair.request_pem);
  v1::EnrollReply reply;
  ExpectCode(Dial("", authority_)->Enroll(Context().get(), request, &reply), grpc::StatusCode::UNAUTHENTICATED, "token");
}

// ---- Revocation ----

TEST_F(GrpcIdentityTest, Revoked_OnAnOpenConnection) {
  const auto north = DialWith(Enroll("north"));
  EXPECT_EQ(GetStudy(*north).error_code(), grpc::StatusCode::NOT_FOUND);
  RevokeElsewhere("north");
  ExpectCode(GetStudy(*north), grpc::StatusCode::UNAUTHENTICATED, "revoked");
  EXPECT_EQ(GetStudy(*DialWith(Enroll("north"))).error_code(), grpc::StatusCode::NOT_FOUND);  // a new key is let in
  ExpectCode(GetStudy(*north), grpc::StatusCode::UNAUTHENTICATED, "revoked");
}

TEST_F(GrpcIdentityTest, Revoked_EndsACallThatWaits) {
  StartDemo();
  const auto north = DialWith(Enroll("north"));
  ASSERT_OK(Submit("north", AnswerOf("north")));
  v1::NextRequest request = NextOf();
  request.set_wait_ms(10'000);
  std::thread revoke([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    RevokeElsewhere("north");
  });
  const auto begin = std::chrono::steady_clock::now();
  v1::NextReply next;
  const grpc::Status status = north->Next(Context().get(), request, &next);
  revoke.join();
  ExpectCode(status, grpc::StatusCode::UNAUTHENTICATED, "revoked");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
}

TEST_F(GrpcIdentityTest, Revoked_StopsAnUploadThatRuns) {
  StartDemo();
  const auto north = DialWith(Enroll("north"));
  const Upload upload = AnswerOf("north");
  v1::UploadState state;
  const auto context = Context();
  const auto writer = north->Submit(context.get(), &state);
  v1::SubmitRequest message;
  *message.mutable_header() = upload.header;
  ASSERT_TRUE(writer->Write(message));
  message.mutable_chunk()->set_data(upload.bytes.substr(0, 64));
  ASSERT_TRUE(writer->Write(message));
  const auto received = [&] { return desk_->GetUpload("north", upload.header)->received(); };
  for (int i = 0; i < 500 && received() < 64; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  ASSERT_EQ(received(), 64u);
  RevokeElsewhere("north");
  message.mutable_chunk()->set_offset(64);
  message.mutable_chunk()->set_data(upload.bytes.substr(64));
  writer->Write(message);
  writer->WritesDone();
  ExpectCode(writer->Finish(), grpc::StatusCode::UNAUTHENTICATED, "revoked");
  EXPECT_EQ(received(), 64u);
  EXPECT_TRUE(Status().rounds.back().answers.empty());
}

TEST_F(GrpcIdentityTest, Renew_OverTheWire) {
  const Enrolled north = Enroll("north");
  const auto stub = DialWith(north);
  v1::RenewRequest request;
  ASSERT_OK_AND_ASSIGN(*request.mutable_certificate_request_pem(), MakeRequest(north.key_pem, "north"));
  v1::EnrollReply reply;
  ASSERT_TRUE(stub->Renew(Context().get(), request, &reply).ok());
  EXPECT_EQ(*KeyFingerprintOf(reply.certificate_pem()), *KeyFingerprintOf(north.certificate_pem));
  EXPECT_EQ(GetStudy(*DialWith({north.key_pem, reply.certificate_pem()})).error_code(), grpc::StatusCode::NOT_FOUND);

  ExpectCode(DialWith(Enroll("south"))->Renew(Context().get(), request, &reply), grpc::StatusCode::PERMISSION_DENIED, "key");
  ExpectCode(Dial("", authority_)->Renew(Context().get(), request, &reply), grpc::StatusCode::UNAUTHENTICATED, "certificate");
}

// ---- Administrators ----

TEST_F(GrpcIdentityTest, Admin_DoesWhatCommandsDo) {
  const auto admin = DialAdmin("ada");
  ASSERT_OK(admin->CreateStudy(Config(), false));
  EXPECT_THAT(admin->CreateStudy(Config(), true), StatusIs(Code::kInvalidArgument, HasSubstr("--plain-sums")));
  ASSERT_OK(desk_->Register("north", Registration({"n1"})));
  ASSERT_OK(desk_->Register("south", Registration({"s1"})));
  Enroll("north");
  RevokeElsewhere("north");
  Enroll("south");
  ASSERT_OK_AND_ASSIGN(const v1::StudyList list, admin->ListStudies());
  ASSERT_EQ(list.studies_size(), 1);
  EXPECT_EQ(list.studies(0).state(), "recruiting");
  EXPECT_EQ(list.studies(0).sites(), 2u);
  ASSERT_OK_AND_ASSIGN(const std::string manifest_sha256, admin->StartStudy("demo"));
  ASSERT_OK_AND_ASSIGN(const v1::StudyView view, admin->ShowStudy("demo"));
  EXPECT_EQ(view.manifest_sha256(), manifest_sha256);
  EXPECT_TRUE(view.sites(0).revoked());
  EXPECT_EQ(view.sites(1).certificate_days_left(), 364);
  ASSERT_OK(admin->CloseStudy("demo"));
  EXPECT_EQ(Status().state, v1::STUDY_STATE_CLOSED);
  EXPECT_THAT(admin->ShowStudy("other"), StatusIs(Code::kNotFound, HasSubstr("'other'")));

  ASSERT_OK_AND_ASSIGN(const v1::Invitation invitation, admin->InviteSite("west", "host:1", 7));
  EXPECT_EQ(invitation.token().size(), 64u);
  EXPECT_THAT(admin->InviteSite("west", "host:1", 91), StatusIs(Code::kInvalidArgument, HasSubstr("90 days")));
  ASSERT_OK(admin->RevokeSite("south"));
  ASSERT_OK_AND_ASSIGN(const v1::MemberList sites, admin->ListSites());
  ASSERT_EQ(sites.members_size(), 3);
  EXPECT_EQ(sites.members(0).state(), "revoked");
  EXPECT_EQ(sites.members(1).state(), "revoked");
  EXPECT_EQ(sites.members(2).state(), "invited");
}

TEST_F(GrpcIdentityTest, Admin_CallsBySitesAndByNobody) {
  v1::MemberList list;
  const auto north = Enroll("north");
  ExpectCode(v1::Admin::NewStub(Channel(north.key_pem, north.certificate_pem))
                 ->ListSites(Context().get(), v1::ListSitesRequest(), &list),
             grpc::StatusCode::PERMISSION_DENIED, "administrators");
  ExpectCode(v1::Admin::NewStub(Channel("", authority_))->ListSites(Context().get(), v1::ListSitesRequest(), &list),
             grpc::StatusCode::UNAUTHENTICATED, "certificate");
}

TEST_F(GrpcIdentityTest, Admin_OnCallsOfSites) {
  ASSERT_OK_AND_ASSIGN(const KeyAndCertificate admin, invitations_->IssueAdmin("ada"));
  ExpectCode(GetStudy(*v1::Coordinator::NewStub(Channel(admin.key_pem, admin.certificate_pem))),
             grpc::StatusCode::PERMISSION_DENIED, "sites");
}

TEST_F(GrpcIdentityTest, Admin_ReadsWhatTheCoordinatorSaw) {
  StartDemo();
  const auto admin = DialAdmin("ops");
  ASSERT_OK_AND_ASSIGN(const std::string seen, admin->DescribeSeen("demo"));
  EXPECT_EQ(seen, *operator_->DescribeSeen("demo"));
  EXPECT_THAT(admin->DescribeSeen("none"), StatusIs(Code::kNotFound, HasSubstr("'none'")));
}

// ---- What the audit log gets ----

TEST_F(GrpcIdentityTest, Calls_AreHeardOnce) {
  const Enrolled enrolled = Enroll("north");
  const auto north = DialWith(enrolled);
  GetStudy(*north);
  RevokeElsewhere("north");
  GetStudy(*north);
  GetStudy(*Dial("", authority_));
  EXPECT_THAT(Heard(), ElementsAre("north GetStudy NOT_FOUND", "north GetStudy UNAUTHENTICATED"));
}

TEST_F(GrpcIdentityTest, Admin_WhatChangesIsHeard) {
  const auto admin = DialAdmin("ops");
  ASSERT_OK(admin->ListSites());
  ASSERT_OK(admin->InviteSite("north", "host:1", 1));
  EXPECT_FALSE(admin->StartStudy("demo").ok());
  EXPECT_THAT(Heard(), ElementsAre(" site invite north, by the administrator 'ops' OK",
                                   " study start demo, by the administrator 'ops' NOT_FOUND"));
}

TEST_F(GrpcIdentityTest, Admin_Revoked) {
  const auto admin = DialAdmin("ada");
  ASSERT_OK(admin->ListSites());
  ASSERT_OK(invitations_->RevokeAdmin("ada"));
  EXPECT_THAT(admin->ListSites(), StatusIs(Code::kUnauthenticated, HasSubstr("'ada'")));
}

TEST_F(GrpcIdentityTest, Admin_NotServedUnlessGiven) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "ThreadSanitizer cannot see the locks of gRPC's own handler of calls that it does not know";
#endif
  ASSERT_OK_AND_ASSIGN(const auto bare,
                       GrpcServer::Start({.listen = "127.0.0.1:0",
                                          .authority_pem = authority_.certificate_pem,
                                          .certificate = *MakeServerCertificate(authority_, "net", {"127.0.0.1"}, 1)},
                                         desk_.get(), invitations_.get()));
  DialAdmin("ada");
  ASSERT_OK_AND_ASSIGN(const auto admin, DialOperator(absl::StrCat("127.0.0.1:", bare->port()), folder_.path()));
  EXPECT_THAT(admin->ListSites(), StatusIs(Code::kUnimplemented, HasSubstr("")));
}

// ---- Hardening ----

TEST_F(GrpcIdentityTest, Reflection_IsOff) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "ThreadSanitizer cannot see the locks of gRPC's own handler of calls that it does not know";
#endif
  grpc::GenericStub stub(Channel("", authority_));
  grpc::CompletionQueue queue;
  const std::unique_ptr<grpc::ClientContext> context = Context();
  grpc::Slice nothing;
  const grpc::ByteBuffer request(&nothing, 1);
  const auto call =
      stub.PrepareUnaryCall(context.get(), "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", request, &queue);
  call->StartCall();
  grpc::ByteBuffer reply;
  grpc::Status status;
  call->Finish(&reply, &status, &queue);
  void* tag = nullptr;
  bool ok = false;
  ASSERT_TRUE(queue.Next(&tag, &ok));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNIMPLEMENTED);
}

TEST_F(GrpcIdentityTest, Calls_AreCounted) {
  GetStudy(*DialAs("north"));
  GetStudy(*Dial("", authority_));
  ASSERT_OK_AND_ASSIGN(const std::string text, metrics_.Text(*desk_, *invitations_, authority_.certificate_pem));
  EXPECT_THAT(text, AllOf(HasSubstr("code=\"NOT_FOUND\""), HasSubstr("code=\"UNAUTHENTICATED\""),
                          HasSubstr("attune_refused_calls_total{reason=\"identity\"} 1\n")));
}

class GrpcLimitsTest : public GrpcIdentityTest {
 public:
  void SetUp() override {
    limits_ = {.calls_per_second = 0.1, .calls_burst = 2, .enrolments_per_second = 0.1, .enrolments_burst = 1};
    GrpcIdentityTest::SetUp();
  }
};

TEST_F(GrpcLimitsTest, TooManyCallsOfOneSite) {
  const auto north = DialAs("north");
  for (int i = 0; i < 2; ++i) EXPECT_EQ(GetStudy(*north).error_code(), grpc::StatusCode::NOT_FOUND);
  ExpectCode(GetStudy(*north), grpc::StatusCode::RESOURCE_EXHAUSTED, "come back in 10 seconds");
  EXPECT_EQ(GetStudy(*DialAs("south")).error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(GrpcLimitsTest, TooManyEnrolments) {
  v1::EnrollReply reply;
  const auto stub = Dial("", authority_);
  ExpectCode(stub->Enroll(Context().get(), v1::EnrollRequest(), &reply), grpc::StatusCode::UNAUTHENTICATED, "token");
  ExpectCode(stub->Enroll(Context().get(), v1::EnrollRequest(), &reply), grpc::StatusCode::RESOURCE_EXHAUSTED, "come back");
}

}  // namespace
}  // namespace attune::testing
