// SPDX-License-Identifier: Apache-2.0
#include "coordinator/grpc_service.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <fstream>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "attune/v1/coordinator.grpc.pb.h"
#include "common/base/status.h"
#include "common/wire/manifest.h"
#include "coordinator/errors.h"
#include "coordinator/grpc_admin.h"
#include "coordinator/grpc_door.h"
#include "coordinator/peer_version.h"

namespace attune {
namespace {

constexpr int kMaxMessageBytes = 1 << 20;
constexpr std::size_t kFetchChunkBytes = std::size_t{256} << 10;
constexpr std::size_t kMaxMessageChunkBytes = std::size_t{512} << 10;
constexpr std::size_t kMaxEchoBytes = std::size_t{8} << 20;
constexpr std::chrono::milliseconds kMaxWait(10'000);
constexpr std::chrono::milliseconds kPollInterval(100);
constexpr std::chrono::seconds kShutdownGrace(5);
// A call holds a thread, a waiting one for up to kMaxWait. Beyond this, calls are refused with ResourceExhausted, and sites ask
// again.
constexpr int kMaxThreads = 1024;
// Calls at once on one connection: an agent makes one after the other.
constexpr int kMaxStreams = 16;

int Milliseconds(absl::Duration duration) { return static_cast<int>(absl::ToInt64Milliseconds(duration)); }

class Service final : public v1::Coordinator::Service {
 public:
  Service(GrpcDoor* door, Desk* desk, Invitations* invitations) : door_(door), desk_(desk), invitations_(invitations) {}

  // Ends the calls that wait.
  void Stop() { stopping_.store(true); }

  grpc::Status Enroll(grpc::ServerContext* context, const v1::EnrollRequest* request, v1::EnrollReply* reply) override {
    return door_->Unnamed(*context, "Enroll", [&]() -> absl::Status {
      ATTUNE_ASSIGN_OR_RETURN(*reply, invitations_->Enroll(*request));
      return absl::OkStatus();
    });
  }

  grpc::Status Renew(grpc::ServerContext* context, const v1::RenewRequest* request, v1::EnrollReply* reply) override {
    return door_->Admit(*context, Role::kSite, "Renew", [&](const Peer& peer) -> absl::Status {
      ATTUNE_ASSIGN_OR_RETURN(*reply, invitations_->Renew(peer, *request));
      return absl::OkStatus();
    });
  }

  grpc::Status Register(grpc::ServerContext* context, const v1::RegisterRequest* request, v1::RegisterReply*) override {
    return AsSite(*context, "Register", [&](const std::string& site) { return desk_->Register(site, *request); });
  }

  grpc::Status GetStudy(grpc::ServerContext* context, const v1::GetStudyRequest* request, v1::GetStudyReply* reply) override {
    return AsSite(*context, "GetStudy", [&](const std::string& site) -> absl::Status {
      ATTUNE_ASSIGN_OR_RETURN(*reply, desk_->GetStudy(site, request->study()));
      return absl::OkStatus();
    });
  }

  grpc::Status Next(grpc::ServerContext* context, const v1::NextRequest* request, v1::NextReply* reply) override {
    return door_->Admit(*context, Role::kSite, "Next",
                        [&](const Peer& peer) { return WaitForNext(*context, peer, *request, *reply); });
  }

  grpc::Status GetUpload(grpc::ServerContext* context, const v1::UploadHeader* header, v1::UploadState* state) override {
    return AsSite(*context, "GetUpload", [&](const std::string& site) -> absl::Status {
      ATTUNE_ASSIGN_OR_RETURN(*state, desk_->GetUpload(site, *header));
      return absl::OkStatus();
    });
  }

  grpc::Status Submit(grpc::ServerContext* context, grpc::ServerReader<v1::SubmitRequest>* reader,
                      v1::UploadState* state) override {
    return door_->Admit(*context, Role::kSite, "Submit", [&](const Peer& peer) { return Receive(peer, *reader, *state); });
  }

  grpc::Status Fetch(grpc::ServerContext* context, const v1::FetchRequest* request,
                     grpc::ServerWriter<v1::FetchReply>* writer) override {
    return door_->Admit(*context, Role::kSite, "Fetch", [&](const Peer& peer) { return Send(peer, *request, *writer); });
  }

  grpc::Status Report(grpc::ServerContext* context, const v1::ReportRequest* request, v1::ReportReply*) override {
    return AsSite(*context, "Report", [&](const std::string& site) { return desk_->Report(site, *request); });
  }

  grpc::Status Echo(grpc::ServerContext* context, grpc::ServerReaderWriter<v1::Chunk, v1::Chunk>* stream) override {
    bool within_limit = true;
    grpc::Status status =
        AsSite(*context, "Echo", [&](const std::string&) { return SendBack(*context, *stream, within_limit); });
    if (within_limit) return status;
    // Not by way of the door, where this code means that the coordinator's own disk is full.
    return {grpc::StatusCode::RESOURCE_EXHAUSTED, absl::StrCat("one call sends back at most ", kMaxEchoBytes, " bytes")};
  }

 private:
  template <typename Call>
  grpc::Status AsSite(const grpc::ServerContext& context, const char* name, const Call& call) {
    return door_->Admit(context, Role::kSite, name, [&](const Peer& peer) { return call(peer.identity.name); });
  }

  absl::Status WaitForNext(const grpc::ServerContext& context, const Peer& peer, const v1::NextRequest& request,
                           v1::NextReply& reply) {
    ATTUNE_ASSIGN_OR_RETURN(const int minor, MinorOfPeer(context));
    const auto deadline = std::chrono::steady_clock::now() + std::min(std::chrono::milliseconds(request.wait_ms()), kMaxWait);
    for (;;) {
      // Asked before the desk: what is recorded in between ends the wait.
      const std::int64_t version = desk_->Version();
      ATTUNE_RETURN_IF_ERROR(invitations_->Check(peer));
      ATTUNE_ASSIGN_OR_RETURN(reply, desk_->Next(peer.identity.name, request));
      ATTUNE_RETURN_IF_ERROR(CheckKnowsTask(minor, reply.task()));
      if (reply.task() != v1::NextReply::TASK_WAIT) return absl::OkStatus();
      do {
        if (std::chrono::steady_clock::now() >= deadline || stopping_.load() || context.IsCancelled()) return absl::OkStatus();
        std::this_thread::sleep_for(kPollInterval);
      } while (desk_->Version() == version);
    }
  }

  absl::Status Receive(const Peer& peer, grpc::ServerReader<v1::SubmitRequest>& reader, v1::UploadState& state) {
    const std::string& site = peer.identity.name;
    ATTUNE_ASSIGN_OR_RETURN(const CallLimiter::Slot slot, door_->EnterUpload(peer));
    v1::SubmitRequest message;
    if (!reader.Read(&message) || !message.has_header()) {
      return absl::InvalidArgumentError("an upload begins with its header");
    }
    const v1::UploadHeader header = message.header();
    ATTUNE_ASSIGN_OR_RETURN(state, desk_->GetUpload(site, header));
    if (state.recorded()) return absl::OkStatus();
    while (reader.Read(&message)) {
      if (!message.has_chunk()) return absl::InvalidArgumentError("after an upload's header come chunks");
      ATTUNE_RETURN_IF_ERROR(invitations_->Check(peer));
      ATTUNE_RETURN_IF_ERROR(desk_->Append(site, header, message.chunk()));
      door_->CountReceived(message.chunk().data().size());
    }
    // A stream that broke off: what arrived is kept, and the site goes on there.
    ATTUNE_ASSIGN_OR_RETURN(state, desk_->GetUpload(site, header));
    if (state.recorded() || state.received() < header.bundle().size()) return absl::OkStatus();
    ATTUNE_RETURN_IF_ERROR(invitations_->Check(peer));
    ATTUNE_ASSIGN_OR_RETURN(state, desk_->FinishUpload(site, header));
    return absl::OkStatus();
  }

  absl::Status Send(const Peer& peer, const v1::FetchRequest& request, grpc::ServerWriter<v1::FetchReply>& writer) {
    ATTUNE_ASSIGN_OR_RETURN(const BundleFile bundle, desk_->BundlePath(peer.identity.name, request));
    if (request.offset() > bundle.size) {
      return absl::OutOfRangeError(absl::StrCat("the bundle has ", bundle.size, " bytes; none at ", request.offset()));
    }
    std::ifstream file(bundle.path, std::ios::binary);
    file.seekg(static_cast<std::streamoff>(request.offset()));
    std::uint64_t offset = request.offset();
    while (offset < bundle.size) {
      ATTUNE_RETURN_IF_ERROR(invitations_->Check(peer));
      v1::FetchReply reply;
      std::string& data = *reply.mutable_chunk()->mutable_data();
      data.resize(std::min<std::uint64_t>(kFetchChunkBytes, bundle.size - offset));
      if (!file.read(data.data(), static_cast<std::streamsize>(data.size()))) {
        return LocalError(absl::DataLossError(absl::StrCat("cannot read '", bundle.path, "' at ", offset)));
      }
      reply.mutable_chunk()->set_offset(offset);
      offset += data.size();
      if (!writer.Write(reply)) return absl::CancelledError("the site ended the call");
    }
    return absl::OkStatus();
  }

  static absl::Status SendBack(grpc::ServerContext& context, grpc::ServerReaderWriter<v1::Chunk, v1::Chunk>& stream,
                               bool& within_limit) {
    context.AddInitialMetadata(kTimeMetadataKey,
                               absl::StrFormat("%.3f", absl::ToDoubleSeconds(absl::Now() - absl::UnixEpoch())));
    stream.SendInitialMetadata();
    std::size_t total = 0;
    v1::Chunk chunk;
    while (stream.Read(&chunk)) {
      if (chunk.data().size() > kMaxMessageChunkBytes) {
        return absl::InvalidArgumentError(absl::StrCat("a chunk has at most ", kMaxMessageChunkBytes, " bytes"));
      }
      total += chunk.data().size();
      within_limit = total <= kMaxEchoBytes;
      if (!within_limit) return absl::OkStatus();
      if (!stream.Write(chunk)) return absl::CancelledError("the site ended the call");
    }
    return absl::OkStatus();
  }

  GrpcDoor* const door_;            // not owned
  Desk* const desk_;                // not owned
  Invitations* const invitations_;  // not owned
  std::atomic<bool> stopping_{false};
};

}  // namespace

class GrpcServer::Impl {
 public:
  Impl(const GrpcServerOptions& options, Desk* desk, Invitations* invitations)
      : door_(options.limits, invitations, options.metrics, options.on_call), service_(&door_, desk, invitations) {
    grpc::EnableDefaultHealthCheckService(true);
    // A certificate is asked for and verified but not required: Enroll and the health service have none to show.
    grpc::SslServerCredentialsOptions tls(GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY);
    tls.pem_root_certs = options.authority_pem;
    tls.pem_key_cert_pairs.push_back({options.certificate.key_pem, options.certificate.certificate_pem});
    grpc::ServerBuilder builder;
    builder.AddListeningPort(options.listen, grpc::SslServerCredentials(tls), &port_);
    builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                               Milliseconds(options.keepalive.shortest_tolerated));
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, Milliseconds(options.keepalive.coordinator_interval));
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, Milliseconds(options.keepalive.timeout));
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
    builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxStreams);
    grpc::ResourceQuota quota("coordinator");
    quota.SetMaxThreads(kMaxThreads);
    builder.SetResourceQuota(quota);
    // Two coordinators on one port would each get half of the sites.
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    builder.RegisterService(&service_);
    if (options.operator_desk != nullptr) {
      admin_ = MakeAdminService(&door_, options.operator_desk, options.on_command);
      builder.RegisterService(admin_.get());
    }
    server_ = builder.BuildAndStart();
  }

  ~Impl() { Shutdown(); }

  bool started() const { return server_ != nullptr && port_ != 0; }
  int port() const { return port_; }

  void Shutdown() {
    service_.Stop();
    if (server_ != nullptr) server_->Shutdown(std::chrono::system_clock::now() + kShutdownGrace);
  }

 private:
  int port_ = 0;
  GrpcDoor door_;
  Service service_;
  std::unique_ptr<grpc::Service> admin_;
  std::unique_ptr<grpc::Server> server_;  // after the services: destroyed, and so ended, before them
};

GrpcServer::GrpcServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
GrpcServer::~GrpcServer() = default;

absl::StatusOr<std::unique_ptr<GrpcServer>> GrpcServer::Start(const GrpcServerOptions& options, Desk* desk,
                                                              Invitations* invitations) {
  auto impl = std::make_unique<Impl>(options, desk, invitations);
  if (!impl->started()) {
    return absl::UnavailableError(absl::StrCat("cannot listen on '", options.listen,
                                               "': the address is not this machine's, or the port is taken; choose another "
                                               "with --listen"));
  }
  return std::unique_ptr<GrpcServer>(new GrpcServer(std::move(impl)));
}

int GrpcServer::port() const { return impl_->port(); }

void GrpcServer::Shutdown() { impl_->Shutdown(); }

}  // namespace attune
