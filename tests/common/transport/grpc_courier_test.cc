// SPDX-License-Identifier: Apache-2.0
//
// Against a small coordinator in this process, over real TLS.
#include "common/transport/grpc_courier.h"

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <functional>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "attune/v1/coordinator.grpc.pb.h"
#include "common/base/digest.h"
#include "common/base/files.h"
#include "common/security/certificates.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace attune {
namespace {

using ::testing::_;
using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::StatusIs;
using testing::TempFolder;

// Keeps what is sent, and breaks where it is told to.
class FakeCoordinator : public v1::Coordinator::Service {
 public:
  grpc::Status GetStudy(grpc::ServerContext* context, const v1::GetStudyRequest* request, v1::GetStudyReply* reply) override {
    const auto version = context->client_metadata().find("attune-protocol");
    if (version == context->client_metadata().end() || version->second != "1") {
      return {grpc::StatusCode::FAILED_PRECONDITION, "no protocol version"};
    }
    if (failures_left-- > 0) return {grpc::StatusCode::UNAVAILABLE, "not now"};
    if (request->study() == "unknown") return {grpc::StatusCode::NOT_FOUND, "there is no study 'unknown'"};
    reply->mutable_config()->set_study(request->study());
    return grpc::Status::OK;
  }

  grpc::Status Next(grpc::ServerContext*, const v1::NextRequest* request, v1::NextReply* reply) override {
    absl::SleepFor(absl::Milliseconds(next_takes_ms.load()));
    reply->set_task(request->wait_ms() > 0 ? v1::NextReply::TASK_WAIT : v1::NextReply::TASK_DONE);
    return grpc::Status::OK;
  }

  grpc::Status GetUpload(grpc::ServerContext*, const v1::UploadHeader* header, v1::UploadState* state) override {
    const std::lock_guard<std::mutex> lock(mutex);
    Tell(*header, state);
    return grpc::Status::OK;
  }

  grpc::Status Submit(grpc::ServerContext*, grpc::ServerReader<v1::SubmitRequest>* reader, v1::UploadState* state) override {
    const std::lock_guard<std::mutex> lock(mutex);
    ++submits;
    v1::SubmitRequest request;
    reader->Read(&request);
    const v1::UploadHeader header = request.header();
    while (reader->Read(&request)) {
      if (request.chunk().offset() != received.size()) return {grpc::StatusCode::OUT_OF_RANGE, "a gap"};
      received += request.chunk().data();
      if (break_after > 0 && --break_after == 0) return {grpc::StatusCode::UNAVAILABLE, "cable pulled"};
    }
    if (std::exchange(damage_first, false)) received.back() ^= 1;
    recorded = Sha256Hex(received) == header.bundle().sha256();
    if (!recorded) {
      received.clear();
      return {grpc::StatusCode::DATA_LOSS, "other bytes than the digest's"};
    }
    Tell(header, state);
    return grpc::Status::OK;
  }

  grpc::Status Fetch(grpc::ServerContext*, const v1::FetchRequest* request,
                     grpc::ServerWriter<v1::FetchReply>* writer) override {
    const std::lock_guard<std::mutex> lock(mutex);
    offsets.push_back(request->offset());
    for (std::size_t offset = request->offset(); offset < bundle.size(); offset += kChunk) {
      if (break_after > 0 && --break_after == 0) return {grpc::StatusCode::UNAVAILABLE, "cable pulled"};
      v1::FetchReply reply;
      reply.mutable_chunk()->set_offset(offset);
      reply.mutable_chunk()->set_data(bundle.substr(offset, kChunk));
      writer->Write(reply);
    }
    return grpc::Status::OK;
  }

  grpc::Status Enroll(grpc::ServerContext* context, const v1::EnrollRequest* request, v1::EnrollReply* reply) override {
    if (context->auth_context()->IsPeerAuthenticated()) return {grpc::StatusCode::INVALID_ARGUMENT, "has a certificate"};
    if (request->token() != "token") return {grpc::StatusCode::PERMISSION_DENIED, "this token does not count"};
    reply->set_consortium("c");
    return grpc::Status::OK;
  }

  template <typename Change>
  void Set(const Change& change) {
    const std::lock_guard<std::mutex> lock(mutex);
    change(*this);
  }

  static constexpr std::size_t kChunk = 100'000;
  std::atomic<int> failures_left{0};
  std::atomic<int> next_takes_ms{0};
  std::mutex mutex;  // of all below: the handlers run in threads that the tests do not see
  int submits = 0;
  bool damage_first = false;  // the first upload arrives damaged
  int break_after = 0;
  bool recorded = false;
  std::string received;
  std::string bundle;
  std::vector<std::uint64_t> offsets;

 private:
  void Tell(const v1::UploadHeader&, v1::UploadState* state) const {
    state->set_received(received.size());
    state->set_recorded(recorded);
  }
};

class GrpcCourierTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    authority_ = new KeyAndCertificate(*MakeAuthority("c"));
    server_ = new KeyAndCertificate(*MakeServerCertificate(*authority_, "c", {"127.0.0.1"}, 10));
    other_host_ = new KeyAndCertificate(*MakeServerCertificate(*authority_, "c", {"coordinator.example"}, 10));
    const KeyAndRequest request = *MakeKeyAndRequest("a");
    site_ = new KeyAndCertificate{request.key_pem, *SignSiteRequest(*authority_, request.request_pem, SiteUri("c", "a"), 10)};
  }

  void SetUp() override { Start(*server_); }
  void TearDown() override { Stop(); }

  void Start(const KeyAndCertificate& certificate) {
    grpc::SslServerCredentialsOptions tls(GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY);
    tls.pem_root_certs = authority_->certificate_pem;
    tls.pem_key_cert_pairs.push_back({certificate.key_pem, certificate.certificate_pem});
    grpc::ServerBuilder builder;
    builder.AddListeningPort(absl::StrCat("127.0.0.1:", port_), grpc::SslServerCredentials(tls), &port_);
    builder.RegisterService(&coordinator_);
    running_ = builder.BuildAndStart();
    ASSERT_NE(running_, nullptr);
  }

  void Stop() {
    if (running_ != nullptr) running_->Shutdown(absl::ToChronoTime(absl::Now()));
    running_.reset();
  }

  GrpcCourierOptions Options(absl::Duration patience = absl::Seconds(20)) const {
    return {.endpoint = absl::StrCat("127.0.0.1:", port_),
            .ca_pem = authority_->certificate_pem,
            .key_pem = site_->key_pem,
            .certificate_pem = site_->certificate_pem,
            .patience = patience};
  }

  v1::UploadHeader WriteAnswer(std::size_t size) {
    std::string bytes(size, 'x');
    for (std::size_t i = 0; i < size; i += 1000) bytes[i] = static_cast<char>(i / 1000);
    EXPECT_OK(WriteFileAtomically(Answer(), bytes, FileAccess::kOwnerOnly));
    v1::UploadHeader header;
    header.set_study("s");
    header.mutable_bundle()->set_sha256(Sha256Hex(bytes));
    header.mutable_bundle()->set_size(size);
    return header;
  }
  std::string Answer() const { return folder_.Child("answer"); }

  static const KeyAndCertificate* authority_;
  static const KeyAndCertificate* server_;
  static const KeyAndCertificate* other_host_;
  static const KeyAndCertificate* site_;
  TempFolder folder_;
  FakeCoordinator coordinator_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> running_;
};

const KeyAndCertificate* GrpcCourierTest::authority_ = nullptr;
const KeyAndCertificate* GrpcCourierTest::server_ = nullptr;
const KeyAndCertificate* GrpcCourierTest::other_host_ = nullptr;
const KeyAndCertificate* GrpcCourierTest::site_ = nullptr;

TEST_F(GrpcCourierTest, Call_RetriesUntilTheCoordinatorIsBack) {
  coordinator_.failures_left = 3;
  ASSERT_OK_AND_ASSIGN(const auto courier, MakeGrpcCourier(Options()));
  ASSERT_OK_AND_ASSIGN(const v1::GetStudyReply reply, courier->GetStudy("s"));
  EXPECT_EQ(reply.config().study(), "s");
}

TEST_F(GrpcCourierTest, Call_RefusalsAreFinalAndKeepTheirCode) {
  ASSERT_OK_AND_ASSIGN(const auto courier, MakeGrpcCourier(Options()));
  EXPECT_THAT(courier->GetStudy("unknown"), StatusIs(absl::StatusCode::kNotFound, "there is no study 'unknown'"));
}

TEST_F(GrpcCourierTest, Call_GivesUpAfterItsPatience) {
  Stop();
  ASSERT_OK_AND_ASSIGN(const auto courier, MakeGrpcCourier(Options(absl::Milliseconds(300))));
  EXPECT_THAT(courier->GetStudy("s"), StatusIs(absl::StatusCode::kUnavailable, AllOf(HasSubstr("could not ask for the study"),
                                                                                     HasSubstr("goes on where it stopped"))));
}

TEST_F(GrpcCourierTest, Call_DoesNotKnowTheCall) {
  ASSERT_OK_AND_ASSIGN(const auto courier, MakeGrpcCourier(Options()));
  EXPECT_THAT(courier->Report({}), StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("another version")));
}

TEST_F(GrpcCourierTest, Next_Deadline) {
  coordinator_.next_takes_ms = 1000;
  GrpcCourierOptions options = Options(absl::ZeroDuration());
  options.deadline = absl::Milliseconds(400);
  ASSERT_OK_AND_ASSIGN(const auto courier, MakeGrpcCourier(options));
  v1::NextRequest request;
  EXPECT_THAT(courier->Next(request), StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("ask what is next")));
  // The time that the coordinator may hold the call comes on top.
  request.set_wait_ms(5000);
  ASSERT_OK_AND_ASSIGN(const v1::NextReply reply, courier->Next(request));
  EXPECT_EQ(reply.task(), v1::NextReply::TASK_WAIT);
}

TEST_F(GrpcCourierTest, Submit_GoesOnWhereItStopped) {
  const v1::UploadHeader header = WriteAnswer(1'000'000);
  coordinator_.Set([](FakeCoordinator& c) { c.break_after = 2; });
  ASSERT_OK_AND_ASSIGN(const auto courier, MakeGrpcCourier(Options()));
  ASSERT_OK(courier->Submit(header, Answer()));
  const std::lock_guard<std::mutex> lock(coordinator_.mutex);
  EXPECT_TRUE(coordinator_.recorded);
  EXPECT_EQ(coordinator_.submits, 2);
  EXPECT_EQ(coordinator_.received.size(), 1'000'000u);
}

TEST_F(GrpcCourierTest, Submit_TwiceIsOnce) {
  const v1::UploadHeader header = WriteAnswer(300'000);
  ASSERT_OK_AND_ASSIGN(const auto courier, MakeGrpcCourier(Options()));
  ASSERT_OK(courier->Submit(header, Answer()));
  ASSERT_OK(courier->Submit(header, Answer()));
  const std::lock_guard<std::mutex> lock(coordinator_.mutex);
  EXPECT_EQ(coordinator_.submits, 1);
}

TEST_F(GrpcCourierTest, Submit_OtherBytesThanTheDigest) {
  v1::UploadHeader header = WriteAnswer(1000);
  header.mutable_bundle()->set_sha256(Sha256Hex("something else"));
  ASSERT_OK_AND_ASSIGN(const auto courier, MakeGrpcCourier(Options()));
  EXPECT_THAT(courier->Submit(header, Answer()), StatusIs(absl::StatusCode::kDataLoss, _));
}

TEST_F(GrpcCourierTest, Submit_WhatWasDamagedOnceIsSentAgain) {
  const v1::UploadHeader header = WriteAnswer(300'000);
  coordinator_.Set([](FakeCoordinator& c) { c.damage_first = true; });
  ASSERT_OK_AND_ASSIGN(const auto courier, MakeGrpcCourier(Options()));
  ASSERT_OK(courier->Submit(header, Answer()));
  const std::lock_guard<std::mutex> lock(coordinator_.mutex);
  EXPECT_TRUE(coordinator_.recorded);
  EXPECT_EQ(coordinator_.submits, 2);
}

TEST_F(GrpcCourierTest, Submit_FileIsShorterThanItSays) {
  v1::UploadHeader header = WriteAnswer(1000);
  header.mutable_bundle()->set_size(2000);
  ASSERT_OK_AND_ASSIGN(const auto courier, MakeGrpcCourier(Options()));
  EXPECT_THAT(courier->Submit(header, Answer()), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("ends before")));
}

TEST_F(GrpcCourierTest, Fetch_GoesOnWhereItStopped) {
  const std::string bundle(350'000, 'q');
  coordinator_.Set([&](FakeCoordinator& c) {
    c.bundle = bundle;
    c.break_after = 3;
  });
  v1::FetchRequest request;
  request.set_sha256(Sha256Hex(bundle));
  ASSERT_OK_AND_ASSIGN(const auto courier, MakeGrpcCourier(Options()));
  ASSERT_OK(courier->Fetch(request, bundle.size(), folder_.Child("q")));
  const std::lock_guard<std::mutex> lock(coordinator_.mutex);
  EXPECT_THAT(coordinator_.offsets, ::testing::ElementsAre(0u, 200'000u));
  ASSERT_OK_AND_ASSIGN(const std::string bytes, ReadFile(folder_.Child("q")));
  EXPECT_EQ(bytes, bundle);
}

TEST_F(GrpcCourierTest, Fetch_PartOfAnotherBundleIsStartedAnew) {
  const std::string bundle(150'000, 'q');
  coordinator_.Set([&](FakeCoordinator& c) { c.bundle = bundle; });
  ASSERT_OK(WriteFileAtomically(folder_.Child("q.part"), std::string(5000, 'z'), FileAccess::kOwnerOnly));
  v1::FetchRequest request;
  request.set_sha256(Sha256Hex(bundle));
  ASSERT_OK_AND_ASSIGN(const auto courier, MakeGrpcCourier(Options()));
  ASSERT_OK(courier->Fetch(request, bundle.size(), folder_.Child("q")));
  const std::lock_guard<std::mutex> lock(coordinator_.mutex);
  EXPECT_THAT(coordinator_.offsets, ::testing::ElementsAre(5000u, 0u));
}

TEST_F(GrpcCourierTest, Fetch_OtherDigest) {
  coordinator_.Set([](FakeCoordinator& c) { c.bundle = "forged"; });
  v1::FetchRequest request;
  request.set_sha256(Sha256Hex("honest"));
  ASSERT_OK_AND_ASSIGN(const auto courier, MakeGrpcCourier(Options()));
  EXPECT_THAT(courier->Fetch(request, 6, folder_.Child("q")), StatusIs(absl::StatusCode::kDataLoss, _));
  EXPECT_FALSE(FileExists(folder_.Child("q")));
}

TEST_F(GrpcCourierTest, Tls_AuthorityOfAnotherConsortium) {
  GrpcCourierOptions options = Options();
  options.ca_pem = MakeAuthority("c")->certificate_pem;
  ASSERT_OK_AND_ASSIGN(const auto courier, MakeGrpcCourier(options));
  EXPECT_THAT(courier->GetStudy("s"),
              StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("not from this consortium's authority")));
}

TEST_F(GrpcCourierTest, Tls_CertificateOfAnotherHost) {
  Stop();
  Start(*other_host_);
  ASSERT_OK_AND_ASSIGN(auto courier, MakeGrpcCourier(Options()));
  EXPECT_THAT(courier->GetStudy("s"), StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("is for another host")));
  GrpcCourierOptions options = Options();
  options.server_name = "coordinator.example";
  ASSERT_OK_AND_ASSIGN(courier, MakeGrpcCourier(options));
  EXPECT_OK(courier->GetStudy("s"));
}

TEST_F(GrpcCourierTest, Tls_WhatAnswersDoesNotSpeakIt) {
  Stop();
  grpc::ServerBuilder builder;
  builder.AddListeningPort(absl::StrCat("127.0.0.1:", port_), grpc::InsecureServerCredentials(), &port_);
  builder.RegisterService(&coordinator_);
  running_ = builder.BuildAndStart();
  ASSERT_NE(running_, nullptr);
  ASSERT_OK_AND_ASSIGN(const auto courier, MakeGrpcCourier(Options(absl::Seconds(2))));
  EXPECT_THAT(courier->GetStudy("s"), StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("does not speak TLS")));
}

TEST_F(GrpcCourierTest, Enroll_NeedsNoCertificate) {
  GrpcCourierOptions options = Options();
  options.key_pem.clear();
  options.certificate_pem.clear();
  v1::EnrollRequest request;
  EXPECT_THAT(Enroll(options, request), StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("does not count")));
  request.set_token("token");
  ASSERT_OK_AND_ASSIGN(const v1::EnrollReply reply, Enroll(options, request));
  EXPECT_EQ(reply.consortium(), "c");
}

TEST_F(GrpcCourierTest, Make_IncompleteOptions) {
  EXPECT_THAT(MakeGrpcCourier({.endpoint = "host"}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("expected host:port")));
  EXPECT_THAT(MakeGrpcCourier({.endpoint = "host:1"}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("authority is missing")));
  EXPECT_THAT(MakeGrpcCourier({.endpoint = "host:1", .ca_pem = "x"}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("enroll first")));
  EXPECT_THAT(Renew({.endpoint = "host:1", .ca_pem = "x"}, v1::RenewRequest()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("enroll first")));
}

}  // namespace
}  // namespace attune
