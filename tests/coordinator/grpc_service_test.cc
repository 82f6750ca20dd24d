// SPDX-License-Identifier: Apache-2.0
//
// The service over real TLS on the loopback interface.
#include "coordinator/grpc_service.h"

#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <string>
#include <thread>

#include "absl/time/clock.h"
#include "attune/v1/coordinator.grpc.pb.h"
#include "common/transport/grpc_courier.h"
#include "tests/coordinator/grpc_fixture.h"

namespace attune::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

TEST_F(GrpcServiceTest, NoCertificate) {
  const grpc::Status status = GetStudy(*Dial("", authority_));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_THAT(status.error_message(), HasSubstr("enroll"));
}

TEST_F(GrpcServiceTest, Health_IsServingAndNeedsNoCertificate) {
#ifdef __SANITIZE_THREAD__
  // gRPC serves health in threads of its own that hand calls on under locks of Debian's Abseil, and partly in templates of
  // which this program has an instrumented copy: every call would be reported. The optimized and the ASan builds run this case.
  GTEST_SKIP() << "ThreadSanitizer cannot see the locks of gRPC's health service";
#endif
  // grpc.health.v1 by hand: an empty HealthCheckRequest asks for the server as a whole; field 1 of the reply is SERVING = 1.
  grpc::GenericStub stub(Channel("", authority_));
  grpc::CompletionQueue queue;
  const std::unique_ptr<grpc::ClientContext> context = Context();
  grpc::Slice nothing;
  const grpc::ByteBuffer request(&nothing, 1);
  const auto call = stub.PrepareUnaryCall(context.get(), "/grpc.health.v1.Health/Check", request, &queue);
  call->StartCall();
  grpc::ByteBuffer reply;
  grpc::Status status;
  call->Finish(&reply, &status, &queue);
  void* tag = nullptr;
  bool ok = false;
  ASSERT_TRUE(queue.Next(&tag, &ok));
  ASSERT_TRUE(status.ok()) << status.error_message();
  std::vector<grpc::Slice> slices;
  ASSERT_TRUE(reply.Dump(&slices).ok());
  std::string bytes;
  for (const grpc::Slice& slice : slices) bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  EXPECT_EQ(bytes, std::string("\x08\x01"));
}

TEST_F(GrpcServiceTest, AnotherAuthority) {
  ASSERT_OK_AND_ASSIGN(const KeyAndCertificate other, MakeAuthority("net"));
  EXPECT_EQ(GetStudy(*Dial(SiteUri("net", "north"), other)).error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(GrpcServiceTest, AnotherConsortium) {
  const grpc::Status status = GetStudy(*Dial(SiteUri("others", "north"), authority_));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_THAT(status.error_message(), AllOf(HasSubstr("'others'"), HasSubstr("'net'")));
}

TEST_F(GrpcServiceTest, WrongProtocolVersion) {
  const auto stub = DialAs("north");
  for (const char* protocol : {"", "2"}) {
    const grpc::Status status = GetStudy(*stub, protocol);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
    EXPECT_THAT(status.error_message(), AllOf(HasSubstr(*protocol == 0 ? "none" : "'2'"), HasSubstr("version 1")));
  }
}

TEST_F(GrpcServiceTest, MinorVersion_OlderAndNewerAreServedAndNonsenseIsNot) {
  ASSERT_OK(desk_->CreateStudy(Config(), false));
  const auto stub = DialAs("north");
  EXPECT_TRUE(GetStudy(*stub).ok()) << "a site of before there were minor versions";
  for (const auto& [minor, code] : std::map<std::string, grpc::StatusCode>{
           {"0", grpc::StatusCode::OK}, {"9", grpc::StatusCode::OK}, {"x", grpc::StatusCode::INVALID_ARGUMENT}}) {
    const auto context = Context();
    context->AddMetadata("attune-protocol-minor", minor);
    v1::GetStudyRequest request;
    request.set_study("demo");
    v1::GetStudyReply reply;
    EXPECT_EQ(stub->GetStudy(context.get(), request, &reply).error_code(), code) << minor;
  }
}

TEST_F(GrpcServiceTest, MinorVersion_SitesWithoutItFinishPerBatchStudies) {
  StartDemo();
  v1::NextReply next;
  ASSERT_TRUE(DialAs("north")->Next(Context().get(), NextOf(), &next).ok());
  EXPECT_EQ(next.task(), v1::NextReply::TASK_ANSWER);
}

TEST_F(GrpcServiceTest, Echo_FiveMegabytesAndTheTime) {
  ASSERT_OK_AND_ASSIGN(const EchoTrip trip, Echo(North(), 5'000'000));
  EXPECT_GT(trip.time, absl::ZeroDuration());
  EXPECT_LE(absl::AbsDuration(trip.clock_ahead), trip.clock_doubt + absl::Milliseconds(2));
}

TEST_F(GrpcServiceTest, Echo_Limits) {
  EXPECT_OK(Echo(North(), 8 << 20));
  EXPECT_THAT(Echo(North(), (8 << 20) + 1), StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("at most 8388608")));
  const auto north = DialAs("north");
  const auto context = Context();
  const auto stream = north->Echo(context.get());
  v1::Chunk chunk;
  chunk.set_data(std::string((512 << 10) + 1, 'x'));
  stream->Write(chunk);
  EXPECT_FALSE(stream->Read(&chunk));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(GrpcServiceTest, Echo_NeedsACertificate) {
  const auto nobody = Dial("", authority_);
  const auto context = Context();
  const auto stream = nobody->Echo(context.get());
  v1::Chunk chunk;
  EXPECT_FALSE(stream->Read(&chunk));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::UNAUTHENTICATED);
}

TEST(Keepalive, BothEndsFit) {
  EXPECT_TRUE(Fits(Keepalive{}));
  EXPECT_FALSE(Fits({.site_interval = absl::Seconds(19)}));
  // A firewall that forgets after a minute sees something before, from each end.
  EXPECT_LT(Keepalive{}.site_interval, absl::Minutes(1));
  EXPECT_LT(Keepalive{}.coordinator_interval, absl::Minutes(1));
}

TEST_F(GrpcServiceTest, Keepalive_ASilentCallLivesThroughManyPings) {
  const Keepalive fast = {.site_interval = absl::Milliseconds(60),
                          .shortest_tolerated = absl::Milliseconds(30),
                          .coordinator_interval = absl::Milliseconds(100),
                          .timeout = absl::Seconds(5)};
  ASSERT_TRUE(Fits(fast));
  Serve(fast);
  StartDemo();
  ASSERT_OK(Submit("north", AnswerOf("north")));
  ASSERT_OK_AND_ASSIGN(const auto north, MakeGrpcCourier(North(fast)));
  v1::NextRequest request = NextOf();
  request.set_wait_ms(1500);
  ASSERT_OK_AND_ASSIGN(const v1::NextReply next, north->Next(request));
  EXPECT_EQ(next.task(), v1::NextReply::TASK_WAIT);
  EXPECT_OK(north->GetStudy("demo"));
}

TEST_F(GrpcServiceTest, Keepalive_WhoPingsTooOftenIsCutOff) {
  StartDemo();
  ASSERT_OK(Submit("north", AnswerOf("north")));
  ASSERT_OK_AND_ASSIGN(const auto north, MakeGrpcCourier(North({.site_interval = absl::Milliseconds(60)})));
  v1::NextRequest request = NextOf();
  request.set_wait_ms(5000);
  EXPECT_THAT(north->Next(request), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("ping")));
}

TEST_F(GrpcServiceTest, UnknownStudy) {
  const grpc::Status status = GetStudy(*DialAs("north"));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_THAT(status.error_message(), HasSubstr("'demo'"));
}

TEST_F(GrpcServiceTest, Enroll_ThenActs) {
  ASSERT_OK(desk_->CreateStudy(Config(), false));
  ASSERT_OK_AND_ASSIGN(const v1::Invitation invitation, invitations_->Invite("north", "127.0.0.1:1", 1));
  ASSERT_OK_AND_ASSIGN(const KeyAndRequest pair, MakeKeyAndRequest("north"));
  v1::EnrollRequest request;
  request.set_site("north");
  request.set_token(invitation.token());
  request.set_certificate_request_pem(pair.request_pem);
  v1::EnrollReply reply;
  ASSERT_TRUE(Dial("", authority_)->Enroll(Context().get(), request, &reply).ok());
  grpc::SslCredentialsOptions tls{authority_.certificate_pem, pair.key_pem, reply.certificate_pem()};
  const auto stub =
      v1::Coordinator::NewStub(grpc::CreateChannel(absl::StrCat("127.0.0.1:", server_->port()), grpc::SslCredentials(tls)));
  v1::RegisterReply none;
  ASSERT_TRUE(stub->Register(Context().get(), Registration({"n1"}), &none).ok());
  EXPECT_EQ(Status().sites.count("north"), 1u);
}

TEST_F(GrpcServiceTest, Enroll_BadToken) {
  v1::EnrollRequest request;
  request.set_site("north");
  v1::EnrollReply reply;
  const grpc::Status status = Dial("", authority_)->Enroll(Context().get(), request, &reply);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAUTHENTICATED);
}

TEST_F(GrpcServiceTest, SubmitAndFetch) {
  StartDemo();
  const auto north = DialAs("north");
  v1::NextReply next;
  ASSERT_TRUE(north->Next(Context().get(), NextOf(), &next).ok());
  ASSERT_EQ(next.task(), v1::NextReply::TASK_ANSWER);

  std::string fetched;
  v1::FetchRequest fetch = FetchOf(next.bundles(0).sha256());
  fetch.set_offset(0);
  v1::FetchReply part;
  auto fetch_context = Context();
  const auto reader = north->Fetch(fetch_context.get(), fetch);
  while (reader->Read(&part)) fetched += part.chunk().data();
  ASSERT_TRUE(reader->Finish().ok());
  EXPECT_EQ(Sha256Hex(fetched), next.bundles(0).sha256());

  const Upload upload = AnswerOf("north");
  v1::UploadState state;
  auto submit_context = Context();
  const auto writer = north->Submit(submit_context.get(), &state);
  v1::SubmitRequest message;
  *message.mutable_header() = upload.header;
  ASSERT_TRUE(writer->Write(message));
  for (std::size_t at = 0; at < upload.bytes.size(); at += 100) {
    message.mutable_chunk()->set_offset(at);
    message.mutable_chunk()->set_data(upload.bytes.substr(at, 100));
    ASSERT_TRUE(writer->Write(message));
  }
  writer->WritesDone();
  ASSERT_TRUE(writer->Finish().ok());
  EXPECT_TRUE(state.recorded());
}

TEST_F(GrpcServiceTest, Submit_WithoutHeader) {
  StartDemo();
  v1::UploadState state;
  auto context = Context();
  const auto north = DialAs("north");
  const auto writer = north->Submit(context.get(), &state);
  v1::SubmitRequest message;
  message.mutable_chunk()->set_data("x");
  writer->Write(message);
  writer->WritesDone();
  EXPECT_EQ(writer->Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(GrpcServiceTest, Submit_StreamThatEndsEarlyIsKept) {
  StartDemo();
  const auto north = DialAs("north");
  const Upload upload = AnswerOf("north");
  v1::UploadState state;
  auto context = Context();
  const auto writer = north->Submit(context.get(), &state);
  v1::SubmitRequest message;
  *message.mutable_header() = upload.header;
  writer->Write(message);
  message.mutable_chunk()->set_data(upload.bytes.substr(0, 64));
  writer->Write(message);
  writer->WritesDone();
  ASSERT_TRUE(writer->Finish().ok());
  EXPECT_EQ(state.received(), 64u);
  EXPECT_FALSE(state.recorded());
}

TEST_F(GrpcServiceTest, Next_WaitsUntilSomethingHappens) {
  StartDemo();
  ASSERT_OK(Submit("north", AnswerOf("north")));
  const Upload last = AnswerOf("south");
  const auto north = DialAs("north");
  v1::NextRequest request = NextOf();
  request.set_wait_ms(10'000);
  std::thread south([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    EXPECT_OK(Submit("south", last));
  });
  v1::NextReply next;
  const grpc::Status status = north->Next(Context().get(), request, &next);
  south.join();
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(next.task(), v1::NextReply::TASK_ANSWER);
  EXPECT_EQ(next.round(), 2u);
}

TEST_F(GrpcServiceTest, Next_EndsWhenTheServerStops) {
  StartDemo();
  ASSERT_OK(Submit("north", AnswerOf("north")));
  const auto north = DialAs("north");
  v1::NextRequest request = NextOf();
  request.set_wait_ms(10'000);
  ASSERT_TRUE(GetStudy(*north).ok());  // connected: what follows is about the call alone
  std::thread stop([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    server_->Shutdown();
  });
  const auto begin = std::chrono::steady_clock::now();
  v1::NextReply next;
  EXPECT_TRUE(north->Next(Context().get(), request, &next).ok());
  stop.join();
  EXPECT_EQ(next.task(), v1::NextReply::TASK_WAIT);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
}

TEST_F(GrpcServiceTest, LocalErrors_AreNotTold) {
  StartDemo();
  std::filesystem::remove(blobs_->PathOf(manifest_sha256_));
  const grpc::Status status = GetStudy(*DialAs("north"));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INTERNAL);
  EXPECT_THAT(status.error_message(), AllOf(Not(HasSubstr(folder_.path())), Not(HasSubstr(manifest_sha256_))));
}

TEST_F(GrpcServiceTest, TakenPort) {
  const absl::StatusOr<std::unique_ptr<GrpcServer>> second =
      GrpcServer::Start({.listen = absl::StrCat("127.0.0.1:", server_->port()),
                         .authority_pem = authority_.certificate_pem,
                         .certificate = *MakeServerCertificate(authority_, "net", {"127.0.0.1"}, 1)},
                        desk_.get(), invitations_.get());
  EXPECT_THAT(second, StatusIs(absl::StatusCode::kUnavailable, HasSubstr("--listen")));
}

}  // namespace
}  // namespace attune::testing
