// SPDX-License-Identifier: Apache-2.0
//
// What every gRPC call passes before it is served: version, identity, limits; and what its caller gets to read of an error.
#ifndef ATTUNE_COORDINATOR_GRPC_DOOR_H_
#define ATTUNE_COORDINATOR_GRPC_DOOR_H_

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <functional>
#include <string>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "coordinator/call_limits.h"
#include "coordinator/invitations.h"
#include "coordinator/metrics.h"

namespace attune {

// Hears of the calls of sites. Called by several threads at once.
using CallListener = std::function<void(absl::string_view site, absl::string_view call, const absl::Status& outcome)>;

// The minor version of the protocol that the caller speaks; fails as MinorVersionOf does.
absl::StatusOr<int> MinorOfPeer(const grpc::ServerContext& context);

// Thread-safe.
class GrpcDoor {
 public:
  // The pointers are not owned. `metrics` may be null. `on_call` hears of every call of a site whose certificate is the
  // consortium's, once it is over, also where the certificate does not count; not of what a limit refused.
  GrpcDoor(const CallLimits& limits, Invitations* invitations, Metrics* metrics, CallListener on_call)
      : invitations_(invitations), metrics_(metrics), on_call_(std::move(on_call)), limiter_(limits) {}

  // Serves a call of a peer of this role. Refuses it, before `call` runs, with FailedPrecondition (another version of the
  // protocol), InvalidArgument (a minor version that is no number), Unauthenticated (no certificate, or one that does not
  // count), PermissionDenied (the other role) and ResourceExhausted (CallLimits).
  grpc::Status Admit(const grpc::ServerContext& context, Role role, const char* name,
                     absl::FunctionRef<absl::Status(const Peer&)> call);

  // Serves Enroll, whose callers have no certificate.
  grpc::Status Unnamed(const grpc::ServerContext& context, const char* name, absl::FunctionRef<absl::Status()> call);

  // For the time of an upload within an admitted call.
  absl::StatusOr<CallLimiter::Slot> EnterUpload(const Peer& peer) { return limiter_.EnterUpload(peer.identity.name); }

  void CountReceived(std::uint64_t bytes) {
    if (metrics_ != nullptr) metrics_->CountReceived(bytes);
  }

 private:
  grpc::Status Finish(const absl::Status& status, const char* call, const std::string& caller);
  grpc::Status Refuse(const absl::Status& status, const char* call, const std::string& caller, const char* reason);

  Invitations* const invitations_;  // not owned
  Metrics* const metrics_;          // not owned; may be null
  const CallListener on_call_;
  CallLimiter limiter_;
};

}  // namespace attune

#endif  // ATTUNE_COORDINATOR_GRPC_DOOR_H_
