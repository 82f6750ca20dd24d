// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_TESTS_COORDINATOR_GRPC_FIXTURE_H_
#define ATTUNE_TESTS_COORDINATOR_GRPC_FIXTURE_H_

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "attune/v1/coordinator.grpc.pb.h"
#include "common/transport/grpc_courier.h"
#include "coordinator/grpc_service.h"
#include "tests/coordinator/fixture.h"

namespace attune::testing {

// The desk behind a real server with real TLS on the loopback interface.
class GrpcServiceTest : public DeskTest {
 public:
  void SetUp() override {
    DeskTest::SetUp();
    ASSERT_OK_AND_ASSIGN(authority_, MakeAuthority("net"));
    ASSERT_OK_AND_ASSIGN(certificate_, MakeServerCertificate(authority_, "net", {"127.0.0.1"}, 1));
    invitations_ = std::make_unique<Invitations>("net", authority_, journal_.get(),
                                                 [this] { return absl::Now() + absl::Hours(24) * days_ahead_.load(); });
    operator_ = std::make_unique<LocalOperator>(desk_.get(), invitations_.get(), *blobs_);
    Serve({});
  }

  void Serve(const Keepalive& keepalive) {
    server_.reset();
    ASSERT_OK_AND_ASSIGN(server_,
                         GrpcServer::Start({.listen = "127.0.0.1:0",
                                            .authority_pem = authority_.certificate_pem,
                                            .certificate = certificate_,
                                            .keepalive = keepalive,
                                            .limits = limits_,
                                            .operator_desk = operator_.get(),
                                            .metrics = &metrics_,
                                            .on_call = [this](absl::string_view site, absl::string_view call,
                                                              const absl::Status& outcome) { Hear(site, call, outcome); },
                                            .on_command = [this](absl::string_view command,
                                                                 const absl::Status& outcome) { Hear("", command, outcome); }},
                                           desk_.get(), invitations_.get()));
    ASSERT_GT(server_->port(), 0);
  }

  // What the audit log would get: "<site> <call> <code>".
  std::vector<std::string> Heard() {
    const std::lock_guard<std::mutex> lock(heard_mutex_);
    return heard_;
  }

  // How the site 'north' dials, without patience.
  GrpcCourierOptions North(const Keepalive& keepalive = {}) const {
    const absl::StatusOr<KeyAndRequest> request = MakeKeyAndRequest("north");
    return {.endpoint = Endpoint(),
            .ca_pem = authority_.certificate_pem,
            .key_pem = request->key_pem,
            .certificate_pem = *SignSiteRequest(authority_, request->request_pem, SiteUri("net", "north"), 1),
            .keepalive = keepalive,
            .patience = absl::ZeroDuration()};
  }

  void TearDown() override { server_.reset(); }

  // Enrolls a site as its agent would.
  struct Enrolled {
    std::string key_pem;
    std::string certificate_pem;
  };
  Enrolled Enroll(const std::string& site) {
    Enrolled enrolled;
    [&] {
      ASSERT_OK_AND_ASSIGN(const v1::Invitation invitation, invitations_->Invite(site, "127.0.0.1:1", 1));
      ASSERT_OK_AND_ASSIGN(const KeyAndRequest pair, MakeKeyAndRequest(site));
      v1::EnrollRequest request;
      request.set_site(site);
      request.set_token(invitation.token());
      request.set_certificate_request_pem(pair.request_pem);
      ASSERT_OK_AND_ASSIGN(const v1::EnrollReply reply, invitations_->Enroll(request));
      enrolled = {pair.key_pem, reply.certificate_pem()};
    }();
    return enrolled;
  }
  // What another process of the operator does, over a journal of its own.
  void RevokeElsewhere(const std::string& site) {
    ASSERT_OK_AND_ASSIGN(const auto journal, Journal::Open(folder_ / "journal.sqlite", false));
    ASSERT_OK(Invitations("net", authority_, journal.get()).RevokeSite(site));
  }

  // A client with a certificate of `uri` signed by `authority`; none where `uri` is empty.
  std::unique_ptr<v1::Coordinator::Stub> Dial(const std::string& uri, const KeyAndCertificate& authority) {
    return v1::Coordinator::NewStub(Channel(uri, authority));
  }
  std::shared_ptr<grpc::Channel> Channel(const std::string& uri, const KeyAndCertificate& authority) {
    grpc::SslCredentialsOptions tls;
    tls.pem_root_certs = authority_.certificate_pem;
    if (!uri.empty()) {
      const absl::StatusOr<KeyAndRequest> request = MakeKeyAndRequest("any");
      const absl::StatusOr<std::string> certificate = SignSiteRequest(authority, request->request_pem, uri, 1);
      EXPECT_OK(certificate);
      tls.pem_private_key = request->key_pem;
      tls.pem_cert_chain = *certificate;
    }
    return grpc::CreateChannel(Endpoint(), grpc::SslCredentials(tls));
  }
  std::shared_ptr<grpc::Channel> Channel(const std::string& key_pem, const std::string& certificate_pem) {
    return grpc::CreateChannel(Endpoint(), grpc::SslCredentials({authority_.certificate_pem, key_pem, certificate_pem}));
  }
  std::unique_ptr<v1::Coordinator::Stub> DialWith(const Enrolled& enrolled) {
    return v1::Coordinator::NewStub(Channel(enrolled.key_pem, enrolled.certificate_pem));
  }
  std::string Endpoint() const { return absl::StrCat("127.0.0.1:", server_->port()); }
  std::unique_ptr<v1::Coordinator::Stub> DialAs(const std::string& site) { return Dial(SiteUri("net", site), authority_); }

  static std::unique_ptr<grpc::ClientContext> Context(const std::string& protocol = "1") {
    auto context = std::make_unique<grpc::ClientContext>();
    if (!protocol.empty()) context->AddMetadata("attune-protocol", protocol);
    context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    return context;
  }

  grpc::Status GetStudy(v1::Coordinator::Stub& stub, const std::string& protocol = "1") {
    v1::GetStudyRequest request;
    request.set_study("demo");
    v1::GetStudyReply reply;
    return stub.GetStudy(Context(protocol).get(), request, &reply);
  }

  KeyAndCertificate authority_;
  KeyAndCertificate certificate_;  // the server's
  CallLimits limits_;              // to be set before SetUp
  Metrics metrics_;
  std::atomic<int> days_ahead_{0};  // of the coordinator's clock
  std::unique_ptr<Invitations> invitations_;
  std::unique_ptr<LocalOperator> operator_;
  std::unique_ptr<GrpcServer> server_;

 private:
  void Hear(absl::string_view site, absl::string_view call, const absl::Status& outcome) {
    const std::lock_guard<std::mutex> lock(heard_mutex_);
    heard_.push_back(absl::StrCat(site, " ", call, " ", absl::StatusCodeToString(outcome.code())));
  }

  std::mutex heard_mutex_;
  std::vector<std::string> heard_;  // guarded by heard_mutex_
};

}  // namespace attune::testing

#endif  // ATTUNE_TESTS_COORDINATOR_GRPC_FIXTURE_H_
