// SPDX-License-Identifier: Apache-2.0
#include "common/transport/grpc_courier.h"

#include <grpc/support/log.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <random>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "attune/v1/coordinator.grpc.pb.h"
#include "common/base/crash_point.h"
#include "common/base/digest.h"
#include "common/base/printable.h"
#include "common/base/status.h"
#include "common/transport/part_file.h"
#include "common/transport/retry.h"
#include "common/wire/manifest.h"

namespace attune {
namespace {

constexpr std::size_t kChunkBytes = 256 << 10;
constexpr std::size_t kMaxMessageBytes = 1 << 20;
constexpr double kSlowestBytesPerSecond = 1 << 20;

// Of gRPC's own handshaker for CONNECT, which GRPC_ARG_HTTP_PROXY sets too. Set here because that argument also heeds no_proxy
// of the environment and cuts a password at its "@".
constexpr char kConnectServerArgument[] = "grpc.http_connect_server";
constexpr char kConnectHeadersArgument[] = "grpc.http_connect_headers";

int Milliseconds(absl::Duration duration) { return static_cast<int>(absl::ToInt64Milliseconds(duration)); }

// gRPC writes its own lines to stderr; what they say is in the status too, where it is put in words for people.
void QuietGrpcLog() {
  static const bool quiet = [] {
    if (std::getenv("GRPC_VERBOSITY") == nullptr) gpr_set_log_function([](gpr_log_func_args*) {});
    return true;
  }();
  static_cast<void>(quiet);
}

std::shared_ptr<grpc::Channel> MakeChannel(const GrpcCourierOptions& options) {
  QuietGrpcLog();
  grpc::SslCredentialsOptions tls;
  tls.pem_root_certs = options.ca_pem;
  tls.pem_private_key = options.key_pem;
  tls.pem_cert_chain = options.certificate_pem;
  grpc::ChannelArguments arguments;
  // Waiting between attempts is Retry's; gRPC's own back-off only has to stay out of its way.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, Milliseconds(options.keepalive.site_interval));
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, Milliseconds(options.keepalive.timeout));
  arguments.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 0);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // The environment's proxy is none of ours.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  if (options.proxy.address.empty()) {
    if (!options.server_name.empty()) arguments.SetSslTargetNameOverride(options.server_name);
    return grpc::CreateCustomChannel(options.endpoint, grpc::SslCredentials(tls), arguments);
  }
  // Dialled is the proxy, which connects to the endpoint; the certificate has to be the endpoint's.
  const absl::StatusOr<HostPort> endpoint = ParseHostPort(options.endpoint);
  arguments.SetSslTargetNameOverride(options.server_name.empty() && endpoint.ok() ? endpoint->host : options.server_name);
  arguments.SetString(kConnectServerArgument, options.endpoint);
  if (!options.proxy.credentials.empty()) {
    arguments.SetString(kConnectHeadersArgument,
                        absl::StrCat("Proxy-Authorization:", ProxyAuthorization(options.proxy.credentials)));
  }
  return grpc::CreateCustomChannel(options.proxy.address, grpc::SslCredentials(tls), arguments);
}

// What went wrong on the way to and through the proxy; OK where it was something else.
absl::Status ProxyError(const std::string& reason, const GrpcCourierOptions& options) {
  static const std::string& response = *new std::string("proxy returned response code ");
  if (options.proxy.address.empty()) return absl::OkStatus();
  if (const std::size_t at = reason.find(response); at != std::string::npos) {
    return ProxyRefusal(std::atoi(reason.c_str() + at + response.size()), options.proxy, options.endpoint);
  }
  for (const char* of_tcp :
       {"connection refused", "no route to host", "network is unreachable", "connection timed out", "dns resolution failed"}) {
    if (absl::StrContains(reason, of_tcp)) return ProxyUnreachable(of_tcp, options.proxy);
  }
  return absl::OkStatus();
}

// The two libraries number their codes alike.
absl::Status FromGrpc(const grpc::Status& status, const GrpcCourierOptions& options) {
  if (status.ok()) return absl::OkStatus();
  const std::string& endpoint = options.endpoint;
  const std::string& text = status.error_message();
  // What TLS found wrong is in the text alone, in the words of the OpenSSL or BoringSSL that gRPC was built with.
  const std::string reason = status.error_code() == grpc::StatusCode::UNAVAILABLE
                                 ? absl::StrReplaceAll(absl::AsciiStrToLower(text), {{"_", " "}})
                                 : "";
  ATTUNE_RETURN_IF_ERROR(ProxyError(reason, options));
  if (absl::StrContains(reason, "certificate verify failed")) {
    return absl::UnauthenticatedError(absl::StrCat(
        "the certificate of the coordinator at ", endpoint,
        " is not from this consortium's authority (or has expired, a clock is wrong, or this network intercepts TLS): "
        "'attune-site doctor' shows whose it is. Check the endpoint, and ask the coordinator for a new invitation if it "
        "changed its authority"));
  }
  if (absl::StrContains(reason, "peer name")) {
    return absl::UnauthenticatedError(
        absl::StrCat("the certificate of the coordinator at ", endpoint,
                     " is for another host: dial a name that the coordinator gave to 'pki init --host' (", text, ")"));
  }
  if (absl::StrContains(reason, "wrong version number")) {
    return absl::UnauthenticatedError(
        absl::StrCat("what answers at ", endpoint, " does not speak TLS: it is not a coordinator"));
  }
  if (options.proxy.address.empty() && absl::StrContains(reason, "failed to connect to all addresses")) {
    return absl::UnavailableError(absl::StrCat(text,
                                               ". Where only a proxy leads out of this network, name it with --proxy, at "
                                               "'attune-site enroll' or later at 'attune-site network'"));
  }
  if (status.error_code() == grpc::StatusCode::UNIMPLEMENTED) {
    return absl::UnimplementedError(absl::StrCat("what answers at ", endpoint, " does not know this call of Attune's protocol ",
                                                 kProtocolVersion, ": it is no coordinator or another version (", text, ")"));
  }
  return Printable(absl::Status(static_cast<absl::StatusCode>(status.error_code()), text));
}

// One call: its metadata and its deadline.
struct CallContext : grpc::ClientContext {
  explicit CallContext(absl::Duration time) {
    AddMetadata(kProtocolMetadataKey, absl::StrCat(kProtocolVersion));
    AddMetadata(kProtocolMinorMetadataKey, absl::StrCat(kProtocolMinor));
    set_deadline(absl::ToChronoTime(absl::Now() + time));
  }
};

class GrpcCourier : public Courier {
 public:
  explicit GrpcCourier(const GrpcCourierOptions& options)
      : options_(options), retry_{.patience = options.patience}, stub_(v1::Coordinator::NewStub(MakeChannel(options))) {}

  absl::Status Register(const v1::RegisterRequest& request) override {
    if (request.ByteSizeLong() > kMaxMessageBytes) {
      return absl::InvalidArgumentError(absl::StrCat("the names of ", request.features_size(), " features take ",
                                                     request.ByteSizeLong(), " bytes, more than the ", kMaxMessageBytes,
                                                     " of one message: choose fewer in the study's features"));
    }
    v1::RegisterReply reply;
    return Call("register", options_.deadline, &v1::Coordinator::Stub::Register, request, &reply);
  }

  absl::StatusOr<v1::GetStudyReply> GetStudy(const std::string& study) override {
    v1::GetStudyRequest request;
    request.set_study(study);
    v1::GetStudyReply reply;
    ATTUNE_RETURN_IF_ERROR(Call("ask for the study", options_.deadline, &v1::Coordinator::Stub::GetStudy, request, &reply));
    return reply;
  }

  absl::StatusOr<v1::NextReply> Next(const v1::NextRequest& request) override {
    v1::NextReply reply;
    const absl::Duration deadline = options_.deadline / 2 + absl::Milliseconds(request.wait_ms());
    ATTUNE_RETURN_IF_ERROR(Call("ask what is next", deadline, &v1::Coordinator::Stub::Next, request, &reply));
    return reply;
  }

  absl::Status Report(const v1::ReportRequest& request) override {
    v1::ReportReply reply;
    return Call("report", options_.deadline, &v1::Coordinator::Stub::Report, request, &reply);
  }

  absl::StatusOr<v1::EnrollReply> Enroll(const v1::EnrollRequest& request) {
    v1::EnrollReply reply;
    ATTUNE_RETURN_IF_ERROR(Call("enroll", options_.deadline, &v1::Coordinator::Stub::Enroll, request, &reply));
    return reply;
  }

  absl::StatusOr<EchoTrip> EchoOnce(std::uint64_t bytes) {
    CallContext context(StreamDeadline(2 * bytes));
    const absl::Time start = absl::Now();
    const auto stream = stub_->Echo(&context);
    stream->WaitForInitialMetadata();
    const absl::Time answered = absl::Now();
    v1::Chunk sent;
    v1::Chunk received;
    bool same = true;
    std::minstd_rand noise(1);
    // One chunk at a time: two streams that wait for each other's window would never end.
    std::uint64_t offset = 0;
    for (; offset < bytes && same; offset += sent.data().size()) {
      sent.set_offset(offset);
      std::string& data = *sent.mutable_data();
      data.resize(std::min<std::uint64_t>(kChunkBytes, bytes - offset));
      // Noise, so that nothing on the way can make it smaller.
      std::generate(data.begin(), data.end(), [&] { return static_cast<char>(noise() >> 8); });
      if (!stream->Write(sent) || !stream->Read(&received)) break;
      same = received.offset() == offset && received.data() == data;
    }
    stream->WritesDone();
    if (!same) context.TryCancel();
    const grpc::Status finished = stream->Finish();
    if (!same) return absl::DataLossError("other bytes came back from the coordinator than were sent");
    ATTUNE_RETURN_IF_ERROR(FromGrpc(finished, options_));
    if (offset < bytes) return absl::UnavailableError("the coordinator ended the round trip early");
    EchoTrip trip;
    trip.time = absl::Now() - start;
    const auto& metadata = context.GetServerInitialMetadata();
    const auto found = metadata.find(kTimeMetadataKey);
    double seconds = 0;
    if (found == metadata.end() || !absl::SimpleAtod(absl::string_view(found->second.data(), found->second.size()), &seconds)) {
      return absl::UnimplementedError("the coordinator does not tell its time: it is of another version");
    }
    trip.clock_doubt = (answered - start) / 2;
    trip.clock_ahead = absl::UnixEpoch() + absl::Seconds(seconds) - (start + trip.clock_doubt);
    return trip;
  }

  absl::StatusOr<v1::EnrollReply> Renew(const v1::RenewRequest& request) {
    v1::EnrollReply reply;
    ATTUNE_RETURN_IF_ERROR(Call("renew the certificate", options_.deadline, &v1::Coordinator::Stub::Renew, request, &reply));
    return reply;
  }

  absl::Status Submit(const v1::UploadHeader& header, const std::string& path) override {
    std::uint64_t received = 0;
    bool sent_again = false;
    const auto submit = [&] {
      const absl::Status status = SubmitOnce(header, path, &received);
      // What the coordinator had kept was damaged (a power cut): it then starts again from 0, and so does this, once.
      if (!absl::IsDataLoss(status) || sent_again) return status;
      sent_again = true;
      return absl::UnavailableError(status.message());
    };
    return Retry(retry_, What("send the answer"), submit, &received);
  }

  absl::Status Fetch(const v1::FetchRequest& request, std::uint64_t size, const std::string& path) override {
    if (!IsSha256Hex(request.sha256()))
      return absl::InvalidArgumentError("the coordinator named a bundle by what is no digest");
    ATTUNE_ASSIGN_OR_RETURN(PartFile part, PartFile::Open(path, size));
    std::uint64_t received = part.received();
    const bool resumed = received > 0;
    ATTUNE_RETURN_IF_ERROR(Retry(
        retry_, What("receive a bundle"), [&] { return FetchOnce(request, &part, &received); }, &received));
    const absl::Status finished = std::move(part).Finish(request.sha256());
    // A part that an earlier process left may belong to another bundle: once more, from the start.
    if (absl::IsDataLoss(finished) && resumed) return Fetch(request, size, path);
    return finished;
  }

 private:
  template <typename Request, typename Reply>
  absl::Status Call(absl::string_view what, absl::Duration deadline,
                    grpc::Status (v1::Coordinator::Stub::*call)(grpc::ClientContext*, const Request&, Reply*),
                    const Request& request, Reply* reply) {
    return Retry(retry_, What(what), [&] {
      CallContext context(deadline);
      reply->Clear();
      return FromGrpc((stub_.get()->*call)(&context, request, reply), options_);
    });
  }

  std::string What(absl::string_view what) const { return absl::StrCat(what, " (coordinator ", options_.endpoint, ")"); }

  absl::Duration StreamDeadline(std::uint64_t bytes) const {
    return options_.deadline + absl::Seconds(static_cast<double>(bytes) / kSlowestBytesPerSecond);
  }

  absl::Status SubmitOnce(const v1::UploadHeader& header, const std::string& path, std::uint64_t* received) {
    const std::uint64_t size = header.bundle().size();
    v1::UploadState state;
    {
      CallContext context(options_.deadline);
      ATTUNE_RETURN_IF_ERROR(FromGrpc(stub_->GetUpload(&context, header, &state), options_));
    }
    if (state.recorded()) return absl::OkStatus();
    std::uint64_t offset = std::min(state.received(), size);
    *received = std::max(*received, offset);
    std::ifstream file(path, std::ios::binary);
    file.seekg(static_cast<std::streamoff>(offset));
    if (!file) return absl::NotFoundError(absl::StrCat("cannot read the answer '", path, "'"));

    CallContext context(StreamDeadline(size - offset));
    state.Clear();
    const auto stream = stub_->Submit(&context, &state);
    v1::SubmitRequest request;
    *request.mutable_header() = header;
    // A failed write means that the stream is over; Finish tells why.
    bool open = stream->Write(request);
    std::string data;
    while (open && offset < size) {
      data.resize(static_cast<std::size_t>(std::min<std::uint64_t>(kChunkBytes, size - offset)));
      if (!file.read(data.data(), static_cast<std::streamsize>(data.size()))) {
        context.TryCancel();
        stream->Finish();
        return absl::DataLossError(absl::StrCat("the answer '", path, "' ends before its ", size, " bytes"));
      }
      request.mutable_chunk()->set_offset(offset);
      request.mutable_chunk()->set_data(data);
      open = stream->Write(request);
      offset += data.size();
      CrashPoint("site.submit_chunk");
    }
    stream->WritesDone();
    const absl::Status status = FromGrpc(stream->Finish(), options_);
    // OutOfRange: the coordinator lost what it had of an upload in between; GetUpload tells where to go on.
    if (absl::IsOutOfRange(status)) return absl::UnavailableError(status.message());
    if (status.ok() && !state.recorded()) return absl::UnavailableError("the coordinator did not record the answer");
    return status;
  }

  absl::Status FetchOnce(const v1::FetchRequest& request, PartFile* part, std::uint64_t* received) {
    v1::FetchRequest rest = request;
    rest.set_offset(part->received());
    const std::uint64_t size = part->size();
    CallContext context(StreamDeadline(size - part->received()));
    const auto stream = stub_->Fetch(&context, rest);
    v1::FetchReply reply;
    absl::Status kept;
    while (kept.ok() && stream->Read(&reply)) {
      kept = part->Append(reply.chunk().offset(), reply.chunk().data());
      *received = part->received();
      CrashPoint("site.fetch_chunk");
    }
    if (!kept.ok()) context.TryCancel();
    const absl::Status status = FromGrpc(stream->Finish(), options_);
    ATTUNE_RETURN_IF_ERROR(kept);
    ATTUNE_RETURN_IF_ERROR(status);
    return part->whole() ? absl::OkStatus() : absl::UnavailableError("the coordinator stopped in the middle of a bundle");
  }

  const GrpcCourierOptions options_;
  const RetryPolicy retry_;
  const std::unique_ptr<v1::Coordinator::Stub> stub_;
};

absl::Status CheckOptions(const GrpcCourierOptions& options, bool with_identity) {
  ATTUNE_RETURN_IF_ERROR(WithContext(ParseHostPort(options.endpoint).status(), "the coordinator's endpoint"));
  if (!options.proxy.address.empty()) {
    ATTUNE_RETURN_IF_ERROR(WithContext(ParseHostPort(options.proxy.address).status(), "the proxy"));
  }
  if (options.ca_pem.empty()) return absl::InvalidArgumentError("the certificate of the consortium's authority is missing");
  if (with_identity && (options.key_pem.empty() || options.certificate_pem.empty())) {
    return absl::InvalidArgumentError("the site's key and certificate are missing: enroll first");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Courier>> MakeGrpcCourier(const GrpcCourierOptions& options) {
  ATTUNE_RETURN_IF_ERROR(CheckOptions(options, true));
  return std::make_unique<GrpcCourier>(options);
}

absl::StatusOr<v1::EnrollReply> Enroll(const GrpcCourierOptions& options, const v1::EnrollRequest& request) {
  ATTUNE_RETURN_IF_ERROR(CheckOptions(options, false));
  return GrpcCourier(options).Enroll(request);
}

absl::StatusOr<v1::EnrollReply> Renew(const GrpcCourierOptions& options, const v1::RenewRequest& request) {
  ATTUNE_RETURN_IF_ERROR(CheckOptions(options, true));
  return GrpcCourier(options).Renew(request);
}

absl::StatusOr<EchoTrip> Echo(const GrpcCourierOptions& options, std::uint64_t bytes) {
  ATTUNE_RETURN_IF_ERROR(CheckOptions(options, true));
  return GrpcCourier(options).EchoOnce(bytes);
}

}  // namespace attune
