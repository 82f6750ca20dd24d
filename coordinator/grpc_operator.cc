// SPDX-License-Identifier: Apache-2.0
#include "coordinator/grpc_operator.h"

#include <grpc/support/log.h>
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "attune/v1/admin.grpc.pb.h"
#include "common/base/files.h"
#include "common/base/status.h"
#include "common/wire/manifest.h"

namespace attune {
namespace {

constexpr std::chrono::seconds kDeadline(60);
// What a message holds beside the study file.
constexpr std::size_t kMostRemoteFileBytes = std::size_t{900} << 10;
constexpr std::uint64_t kMaxAdminPemBytes = std::uint64_t{1} << 16;

class GrpcOperator final : public Operator {
 public:
  GrpcOperator(std::string endpoint, const std::shared_ptr<grpc::Channel>& channel)
      : endpoint_(std::move(endpoint)), stub_(v1::Admin::NewStub(channel)) {}

  absl::Status CreateStudy(const v1::StudyConfig& config, bool plain_sums, const StudyFiles& files) override {
    if (plain_sums) return absl::InvalidArgumentError("--plain-sums is for the coordinator's own machine, without --connect");
    v1::CreateStudyRequest request;
    *request.mutable_config() = config;
    std::size_t bytes = 0;
    for (const auto& [name, file] : files) {
      bytes += file.size();
      (*request.mutable_attachments())[name] = file;
    }
    if (bytes > kMostRemoteFileBytes) {
      return absl::InvalidArgumentError(absl::StrCat("the study's files have ", bytes, " bytes, and --connect carries ",
                                                     kMostRemoteFileBytes,
                                                     ": create this study on the coordinator's own machine"));
    }
    return Call(&v1::Admin::Stub::CreateStudy, request).status();
  }
  absl::StatusOr<std::string> StartStudy(const std::string& study) override {
    ATTUNE_ASSIGN_OR_RETURN(const v1::StudyReply reply, Call(&v1::Admin::Stub::StartStudy, Study(study)));
    return reply.manifest_sha256();
  }
  absl::StatusOr<v1::StudyView> ShowStudy(const std::string& study) override {
    return Call(&v1::Admin::Stub::ShowStudy, Study(study));
  }
  absl::StatusOr<std::string> DescribeSeen(const std::string& study) override {
    ATTUNE_ASSIGN_OR_RETURN(const v1::SeenReply reply, Call(&v1::Admin::Stub::DescribeSeen, Study(study)));
    return reply.text();
  }
  absl::StatusOr<v1::StudyList> ListStudies() override { return Call(&v1::Admin::Stub::ListStudies, v1::ListStudiesRequest()); }
  absl::Status CloseStudy(const std::string& study) override {
    return Call(&v1::Admin::Stub::CloseStudy, Study(study)).status();
  }
  absl::StatusOr<v1::Invitation> InviteSite(const std::string& site, const std::string& coordinator, int days) override {
    if (days < 1) return absl::InvalidArgumentError(absl::StrCat("an invitation lasts 1 to 90 days, not ", days));
    v1::InviteSiteRequest request;
    request.set_site(site);
    request.set_coordinator(coordinator);
    request.set_days(static_cast<std::uint32_t>(days));
    return Call(&v1::Admin::Stub::InviteSite, request);
  }
  absl::StatusOr<v1::MemberList> ListSites() override { return Call(&v1::Admin::Stub::ListSites, v1::ListSitesRequest()); }
  absl::Status RevokeSite(const std::string& site) override {
    v1::SiteRequest request;
    request.set_site(site);
    return Call(&v1::Admin::Stub::RevokeSite, request).status();
  }

 private:
  static v1::StudyRequest Study(const std::string& study) {
    v1::StudyRequest request;
    request.set_study(study);
    return request;
  }

  // Once: what was not done the operator asks for again.
  template <typename Request, typename Reply>
  absl::StatusOr<Reply> Call(grpc::Status (v1::Admin::Stub::*call)(grpc::ClientContext*, const Request&, Reply*),
                             const Request& request) {
    grpc::ClientContext context;
    context.AddMetadata(kProtocolMetadataKey, absl::StrCat(kProtocolVersion));
    context.AddMetadata(kProtocolMinorMetadataKey, absl::StrCat(kProtocolMinor));
    context.set_deadline(std::chrono::system_clock::now() + kDeadline);
    Reply reply;
    const grpc::Status status = (stub_.get()->*call)(&context, request, &reply);
    if (status.ok()) return reply;
    const absl::Status ours(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
    if (!absl::IsUnavailable(ours)) return ours;
    return WithContext(ours, absl::StrCat("the coordinator at ", endpoint_,
                                          " cannot be reached, or one end does not accept the other's certificate"));
  }

  const std::string endpoint_;
  const std::unique_ptr<v1::Admin::Stub> stub_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Operator>> DialOperator(const std::string& endpoint, const std::string& identity_folder) {
  if (endpoint.find(':') == std::string::npos) {
    return absl::InvalidArgumentError(absl::StrCat("--connect '", endpoint, "' is not host:port"));
  }
  grpc::SslCredentialsOptions tls;
  ATTUNE_ASSIGN_OR_RETURN(tls.pem_root_certs,
                          ReadFile(absl::StrCat(identity_folder, "/", kAdminAuthorityFile), kMaxAdminPemBytes));
  ATTUNE_ASSIGN_OR_RETURN(tls.pem_private_key, ReadFile(absl::StrCat(identity_folder, "/", kAdminKeyFile), kMaxAdminPemBytes));
  ATTUNE_ASSIGN_OR_RETURN(tls.pem_cert_chain,
                          ReadFile(absl::StrCat(identity_folder, "/", kAdminCertificateFile), kMaxAdminPemBytes));
  // What gRPC logs on its own is in the status too.
  if (std::getenv("GRPC_VERBOSITY") == nullptr) gpr_set_log_function([](gpr_log_func_args*) {});
  return std::make_unique<GrpcOperator>(endpoint, grpc::CreateChannel(endpoint, grpc::SslCredentials(tls)));
}

}  // namespace attune
