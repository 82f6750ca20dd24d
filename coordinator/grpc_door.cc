// SPDX-License-Identifier: Apache-2.0
#include "coordinator/grpc_door.h"

#include <grpc/grpc_security_constants.h>
#include <spdlog/spdlog.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/security/signature.h"
#include "common/wire/manifest.h"
#include "coordinator/errors.h"
#include "coordinator/peer_version.h"

namespace attune {
namespace {

static_assert(static_cast<int>(absl::StatusCode::kUnauthenticated) == static_cast<int>(grpc::StatusCode::UNAUTHENTICATED));

absl::string_view MetadataOf(const grpc::ServerContext& context, const char* key) {
  const auto found = context.client_metadata().find(key);
  return found == context.client_metadata().end() ? "" : absl::string_view(found->second.data(), found->second.size());
}

absl::StatusOr<Peer> PeerOf(const grpc::ServerContext& context) {
  const auto auth = context.auth_context();
  std::vector<grpc::string_ref> uris;
  std::vector<grpc::string_ref> certificates;
  if (auth != nullptr && auth->IsPeerAuthenticated()) {
    uris = auth->FindPropertyValues(GRPC_PEER_URI_PROPERTY_NAME);
    certificates = auth->FindPropertyValues(GRPC_X509_PEM_CERT_PROPERTY_NAME);
  }
  if (uris.size() != 1 || certificates.size() != 1) {
    return absl::UnauthenticatedError("this call needs the certificate of an enrolled site; run 'attune-site enroll' first");
  }
  Peer peer;
  ATTUNE_ASSIGN_OR_RETURN(peer.identity, ParsePeerUri(absl::string_view(uris[0].data(), uris[0].size())));
  const absl::string_view pem(certificates[0].data(), certificates[0].size());
  ATTUNE_ASSIGN_OR_RETURN(peer.key_fingerprint, KeyFingerprintOf(pem));
  ATTUNE_ASSIGN_OR_RETURN(peer.expires, ExpiryOf(pem));
  return peer;
}

absl::Status CheckRole(const Peer& peer, Role role) {
  if (peer.identity.role == role) return absl::OkStatus();
  if (role == Role::kAdmin) {
    return absl::PermissionDeniedError("this call is for administrators, and the certificate is a site's");
  }
  return absl::PermissionDeniedError("this call is for sites, and the certificate is an administrator's");
}

std::string NameOf(const Peer& peer) {
  return absl::StrCat(peer.identity.role == Role::kSite ? "site '" : "administrator '", peer.identity.name, "'");
}

}  // namespace

absl::StatusOr<int> MinorOfPeer(const grpc::ServerContext& context) {
  return MinorVersionOf(MetadataOf(context, kProtocolMetadataKey), MetadataOf(context, kProtocolMinorMetadataKey));
}

grpc::Status GrpcDoor::Finish(const absl::Status& status, const char* call, const std::string& caller) {
  // A limit's own words are for the caller; a full disk's, which has the same code, are not.
  const absl::Status shown = CallLimiter::IsRefusal(status) ? status : ForPeer(status);
  if (metrics_ != nullptr) metrics_->CountCall(call, absl::StatusCodeToString(shown.code()));
  if (status.ok()) return grpc::Status::OK;
  const std::string text = status.ToString(absl::StatusToStringMode::kWithNoExtraData);
  if (shown == status) {
    spdlog::info("{} of {}: {}", call, caller, text);
  } else {
    spdlog::error("{} of {}: {}", call, caller, text);
  }
  return {static_cast<grpc::StatusCode>(shown.code()), std::string(shown.message())};
}

grpc::Status GrpcDoor::Refuse(const absl::Status& status, const char* call, const std::string& caller, const char* reason) {
  if (metrics_ != nullptr) metrics_->CountRefused(reason);
  return Finish(status, call, caller);
}

grpc::Status GrpcDoor::Admit(const grpc::ServerContext& context, Role role, const char* name,
                             absl::FunctionRef<absl::Status(const Peer&)> call) {
  if (const absl::Status protocol = MinorOfPeer(context).status(); !protocol.ok())
    return Finish(protocol, name, "a caller not asked");
  const absl::StatusOr<Peer> peer = PeerOf(context);
  if (!peer.ok()) return Refuse(peer.status(), name, "nobody", "identity");
  const std::string caller = NameOf(*peer);
  absl::Status welcome = invitations_->Check(*peer);
  if (welcome.ok()) welcome = CheckRole(*peer, role);
  const bool heard = peer->identity.role == Role::kSite && peer->identity.consortium == invitations_->consortium();
  if (!welcome.ok()) {
    if (heard) on_call_(peer->identity.name, name, welcome);
    return Refuse(welcome, name, caller, "identity");
  }
  const absl::StatusOr<CallLimiter::Slot> slot = limiter_.Enter(caller);
  if (!slot.ok()) return Refuse(slot.status(), name, caller, "limit");
  const absl::Status status = call(*peer);
  if (heard && !CallLimiter::IsRefusal(status)) on_call_(peer->identity.name, name, status);
  return CallLimiter::IsRefusal(status) ? Refuse(status, name, caller, "limit") : Finish(status, name, caller);
}

grpc::Status GrpcDoor::Unnamed(const grpc::ServerContext& context, const char* name, absl::FunctionRef<absl::Status()> call) {
  const char kCaller[] = "a site without certificate";
  if (const absl::Status protocol = MinorOfPeer(context).status(); !protocol.ok()) return Finish(protocol, name, kCaller);
  if (const absl::Status limit = limiter_.Enroll(); !limit.ok()) return Refuse(limit, name, kCaller, "limit");
  return Finish(call(), name, kCaller);
}

}  // namespace attune
