// SPDX-License-Identifier: Apache-2.0
//
// The desk over gRPC with mutual TLS. No gRPC type leaves this header.
#ifndef ATTUNE_COORDINATOR_GRPC_SERVICE_H_
#define ATTUNE_COORDINATOR_GRPC_SERVICE_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/security/certificates.h"
#include "common/transport/keepalive.h"
#include "coordinator/call_limits.h"
#include "coordinator/desk.h"
#include "coordinator/invitations.h"
#include "coordinator/metrics.h"
#include "coordinator/operator.h"

namespace attune {

struct GrpcServerOptions {
  std::string listen;         // "<address>:<port>", IPv6 in brackets; port 0: any
  std::string authority_pem;  // whose client certificates count
  KeyAndCertificate certificate;
  Keepalive keepalive;
  CallLimits limits;
  Operator* operator_desk = nullptr;  // what the Admin service does; null: it is not served. Not owned
  Metrics* metrics = nullptr;         // null: nothing is counted. Not owned
  // Hears of every call of an authenticated site once it is over, and of those that its certificate does not admit. Called by
  // several threads at once.
  std::function<void(absl::string_view site, absl::string_view call, const absl::Status& outcome)> on_call =
      [](absl::string_view, absl::string_view, const absl::Status&) {};
  // Hears of what an administrator changed or tried to change, as "study start demo, by the administrator 'ops'". Likewise.
  std::function<void(absl::string_view command, const absl::Status& outcome)> on_command = [](absl::string_view,
                                                                                              const absl::Status&) {};
};

// Serves until it is shut down. Every call but Enroll and the health service needs a client certificate of the consortium that
// has not been revoked; a site acts only as the one that its certificate names. There is no reflection. Thread-safe.
class GrpcServer {
 public:
  // `desk` and `invitations` are not owned and outlive the server. Fails with Unavailable when it cannot listen.
  static absl::StatusOr<std::unique_ptr<GrpcServer>> Start(const GrpcServerOptions& options, Desk* desk,
                                                           Invitations* invitations);
  ~GrpcServer();
  GrpcServer(const GrpcServer&) = delete;
  GrpcServer& operator=(const GrpcServer&) = delete;

  // The port that is bound.
  int port() const;

  // Takes no more calls, ends those that wait, and gives the others five seconds.
  void Shutdown();

 private:
  class Impl;
  explicit GrpcServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace attune

#endif  // ATTUNE_COORDINATOR_GRPC_SERVICE_H_
