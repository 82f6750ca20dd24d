// SPDX-License-Identifier: Apache-2.0
#include <spdlog/spdlog.h>

#include <filesystem>
#include <memory>
#include <optional>

#include "absl/strings/str_cat.h"
#include "common/base/crash_point.h"
#include "common/base/files.h"
#include "common/base/status.h"
#include "common/base/text.h"
#include "common/security/certificates.h"
#include "common/transport/folder_courier.h"
#include "common/transport/grpc_courier.h"
#include "common/wire/json.h"
#include "site_agent/audit.h"
#include "site_agent/commands/command.h"

namespace attune {
namespace {

constexpr char kPendingKey[] = "pending-key.pem";
constexpr char kPendingRequest[] = "pending-request.pem";
constexpr std::uint64_t kMaxInvitationBytes = 1 << 20;

struct EnrollArguments {
  std::string invitation;
  std::string fingerprint;
  std::string folder;
  NetworkArguments network;
  double patience = -1;
};

absl::Status CheckNotEnrolled(const Home& home, bool force) {
  if (force || !FileExists(home.IdentityFile("identity.json"))) return absl::OkStatus();
  return absl::AlreadyExistsError(
      absl::StrCat("this site has enrolled already ('", home.IdentityFile("identity.json"), "'); give --force to enroll anew"));
}

// The token may be used once. A request that was sent and whose reply was lost has to be sent again as it was, so it is kept.
// The key is written first: a request never stands without its key.
absl::StatusOr<KeyAndRequest> PendingRequest(const Home& home, const std::string& site) {
  const auto key = ReadFile(home.IdentityFile(kPendingKey));
  const auto request = ReadFile(home.IdentityFile(kPendingRequest));
  if (key.ok() && request.ok()) return KeyAndRequest{*key, *request};
  ATTUNE_ASSIGN_OR_RETURN(KeyAndRequest made, MakeKeyAndRequest(site));
  ATTUNE_RETURN_IF_ERROR(WriteFileAtomically(home.IdentityFile(kPendingKey), made.key_pem, FileAccess::kOwnerOnly));
  ATTUNE_RETURN_IF_ERROR(WriteFileAtomically(home.IdentityFile(kPendingRequest), made.request_pem, FileAccess::kOwnerOnly));
  return made;
}

absl::StatusOr<v1::Invitation> ReadInvitation(const EnrollArguments& arguments) {
  ATTUNE_ASSIGN_OR_RETURN(const std::string text, ReadFile(arguments.invitation, kMaxInvitationBytes));
  v1::Invitation invitation;
  ATTUNE_RETURN_IF_ERROR(FromJson(text, arguments.invitation, &invitation));
  if (!IsPlainName(invitation.site())) {
    return absl::InvalidArgumentError(absl::StrCat("'", arguments.invitation, "' names no site: ask for another invitation"));
  }
  ATTUNE_ASSIGN_OR_RETURN(const std::string found, FingerprintOf(invitation.ca_pem()));
  if (SameFingerprint(found, arguments.fingerprint)) return invitation;
  return absl::UnauthenticatedError(absl::StrCat("the authority in '", arguments.invitation, "' has the fingerprint ", found,
                                                 ", not the one that you gave: ask the coordinator, by another way than the "
                                                 "invitation came, which is right"));
}

absl::StatusOr<v1::EnrollReply> EnrollOverNetwork(const v1::Invitation& invitation, const v1::AgentIdentity& identity,
                                                  const std::string& server_ca, const std::string& request_pem,
                                                  std::optional<absl::Duration> patience) {
  if (invitation.coordinator().empty()) {
    return absl::InvalidArgumentError(
        "the invitation names no coordinator to connect to: give --folder with the folder that is exchanged, or ask for "
        "another");
  }
  GrpcCourierOptions options{.endpoint = invitation.coordinator(),
                             .ca_pem = server_ca.empty() ? invitation.ca_pem() : server_ca};
  ATTUNE_ASSIGN_OR_RETURN(options.proxy, ProxyOf(identity));
  options.patience = patience.value_or(options.patience);
  v1::EnrollRequest request;
  request.set_site(invitation.site());
  request.set_token(invitation.token());
  request.set_certificate_request_pem(request_pem);
  return Enroll(options, request);
}

absl::Status EnrollThisSite(const Globals& globals, const EnrollArguments& arguments) {
  const Home home(globals.dir);
  ATTUNE_RETURN_IF_ERROR(CheckNotEnrolled(home, globals.force));
  ATTUNE_ASSIGN_OR_RETURN(const v1::Invitation invitation, ReadInvitation(arguments));
  ATTUNE_RETURN_IF_ERROR(home.MakeIdentityFolder());
  ATTUNE_ASSIGN_OR_RETURN(const KeyAndRequest own, PendingRequest(home, invitation.site()));
  CrashPoint("site.request_kept");
  v1::AgentIdentity identity;
  identity.set_site(invitation.site());
  std::string server_ca;
  if (!arguments.network.server_ca.empty()) {
    ATTUNE_ASSIGN_OR_RETURN(server_ca, ReadServerCa(arguments.network));
  }
  v1::EnrollReply reply;
  if (arguments.folder.empty()) {
    identity.set_coordinator(invitation.coordinator());
    ATTUNE_RETURN_IF_ERROR(SetProxy(arguments.network, &identity));
    ATTUNE_ASSIGN_OR_RETURN(
        reply, EnrollOverNetwork(invitation, identity, server_ca, own.request_pem, PatienceOf(arguments.patience)));
  } else {
    identity.set_folder(std::filesystem::absolute(arguments.folder).lexically_normal().string());
    ATTUNE_ASSIGN_OR_RETURN(reply, EnrollByFolder({.folder = identity.folder(),
                                                   .state_path = home.FolderStatePath(),
                                                   .site = invitation.site(),
                                                   .token = invitation.token(),
                                                   .certificate_request_pem = own.request_pem,
                                                   .ca_pem = invitation.ca_pem(),
                                                   .patience = PatienceOf(arguments.patience).value_or(absl::ZeroDuration())}));
  }
  CrashPoint("site.certificate_received");
  ATTUNE_RETURN_IF_ERROR(WriteFileAtomically(home.IdentityFile("key.pem"), own.key_pem, FileAccess::kOwnerOnly));
  ATTUNE_RETURN_IF_ERROR(
      WriteFileAtomically(home.IdentityFile("certificate.pem"), reply.certificate_pem(), FileAccess::kOwnerOnly));
  ATTUNE_RETURN_IF_ERROR(WriteFileAtomically(home.IdentityFile("ca.pem"), invitation.ca_pem(), FileAccess::kOwnerOnly));
  std::error_code ignored;
  if (server_ca.empty()) {
    std::filesystem::remove(home.IdentityFile("server-ca.pem"), ignored);
  } else {
    ATTUNE_RETURN_IF_ERROR(WriteFileAtomically(home.IdentityFile("server-ca.pem"), server_ca, FileAccess::kOwnerOnly));
  }
  identity.set_consortium(reply.consortium());
  ATTUNE_ASSIGN_OR_RETURN(const std::string fingerprint, FingerprintOf(reply.certificate_pem()));
  ATTUNE_ASSIGN_OR_RETURN(SiteAudit audit, SiteAudit::Open(home));
  ATTUNE_RETURN_IF_ERROR(audit.Enrolled(identity, fingerprint));
  ATTUNE_RETURN_IF_ERROR(home.WriteIdentity(identity));
  for (const char* pending : {kPendingKey, kPendingRequest}) std::filesystem::remove(home.IdentityFile(pending), ignored);
  if (!identity.folder().empty()) RemoveFolderEnrollment(identity.folder());
  spdlog::info("enrolled as site '{}' of consortium '{}'{}", identity.site(), identity.consortium(),
               identity.folder().empty() ? "" : ", by the folder " + identity.folder());
  return absl::OkStatus();
}

}  // namespace

void AddEnroll(CLI::App* app, const Globals* globals, Action* action) {
  auto arguments = std::make_shared<EnrollArguments>();
  CLI::App* command = app->add_subcommand("enroll", "Join a consortium: get this site's certificate");
  command->add_option("--invitation", arguments->invitation, "file from the coordinator's 'site invite'")->required();
  command
      ->add_option("--fingerprint", arguments->fingerprint,
                   "the authority's SHA-256 fingerprint, told by another way than the invitation")
      ->required();
  auto* folder = command->add_option("--folder", arguments->folder,
                                     "the folder that is exchanged with the coordinator, where this site does not connect");
  AddNetworkOptions(command, &arguments->network);
  for (const char* of_network : {"--proxy", "--server-ca"}) command->get_option(of_network)->excludes(folder);
  command->add_option("--patience", arguments->patience, "seconds to go on trying when the coordinator does not answer");
  command->callback([=] { *action = [=] { return EnrollThisSite(*globals, *arguments); }; });
}

}  // namespace attune
