// SPDX-License-Identifier: Apache-2.0
//
// The courier over gRPC with mutual TLS: this site dials the coordinator, never the other way round.
#ifndef ATTUNE_COMMON_TRANSPORT_GRPC_COURIER_H_
#define ATTUNE_COMMON_TRANSPORT_GRPC_COURIER_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "attune/v1/coordinator.pb.h"
#include "common/transport/courier.h"
#include "common/transport/keepalive.h"
#include "common/transport/proxy.h"

namespace attune {

struct GrpcCourierOptions {
  std::string endpoint;  // "host:port"
  std::string ca_pem;    // the only authority of the coordinator's certificate that is trusted: as a rule the consortium's
  // This site's own, both or (to enroll) neither.
  std::string key_pem;
  std::string certificate_pem;
  // The name that the coordinator's certificate must carry, when it is not the host that is dialled (port forwarding).
  std::string server_name;
  // Through it everything goes. The environment (https_proxy, no_proxy and the like) never counts.
  ProxySettings proxy;
  Keepalive keepalive;
  // How long to go on trying without progress when the coordinator cannot be reached.
  absl::Duration patience = absl::Minutes(10);
  // Of one call; Next takes its own waiting time more, streams of chunks a second per MiB more.
  absl::Duration deadline = absl::Seconds(30);
};

// Does not connect yet. Fails with InvalidArgument when endpoint or authority is missing. Besides the codes of courier.h, calls
// fail at once with Unauthenticated when the coordinator's certificate is not from the authority or for another host, and as
// ProxyRefusal says when the proxy turns the site away.
absl::StatusOr<std::unique_ptr<Courier>> MakeGrpcCourier(const GrpcCourierOptions& options);

// Asks for a certificate. The one call that needs none; retries like the others.
absl::StatusOr<v1::EnrollReply> Enroll(const GrpcCourierOptions& options, const v1::EnrollRequest& request);

// Asks for a new certificate for the key in `options`; retries like the others.
absl::StatusOr<v1::EnrollReply> Renew(const GrpcCourierOptions& options, const v1::RenewRequest& request);

struct EchoTrip {
  absl::Duration time;  // of all bytes, there and back
  // How far the coordinator's clock is ahead of this machine's, give or take `clock_doubt`.
  absl::Duration clock_ahead;
  absl::Duration clock_doubt;
};

// Sends `bytes` bytes (at most 8 MiB) to the coordinator and back, once: it tries the whole way, TLS and certificates included.
// DataLoss when other bytes came back.
absl::StatusOr<EchoTrip> Echo(const GrpcCourierOptions& options, std::uint64_t bytes);

}  // namespace attune

#endif  // ATTUNE_COMMON_TRANSPORT_GRPC_COURIER_H_
