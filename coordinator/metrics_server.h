// SPDX-License-Identifier: Apache-2.0
//
// /healthz and /metrics over plain HTTP, for the operator's own monitoring.
#ifndef ATTUNE_COORDINATOR_METRICS_SERVER_H_
#define ATTUNE_COORDINATOR_METRICS_SERVER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "coordinator/desk.h"
#include "coordinator/invitations.h"
#include "coordinator/metrics.h"

namespace attune {

// Serves in a thread of its own until it is destroyed. GET /healthz: 200 when the journal can be read, else 503. GET /metrics:
// Prometheus text. Anybody who reaches the address may ask: give a loopback address, or keep others out by a firewall.
class MetricsServer {
 public:
  // `listen`: "<address>:<port>", IPv6 in brackets; port 0: any. The pointers are not owned and outlive the server. Fails with
  // InvalidArgument when `listen` is not of that form, and with Unavailable when it cannot listen.
  static absl::StatusOr<std::unique_ptr<MetricsServer>> Start(const std::string& listen, const Metrics* metrics,
                                                              const Desk* desk, const Invitations* invitations,
                                                              std::string server_certificate_pem);
  ~MetricsServer();
  MetricsServer(const MetricsServer&) = delete;
  MetricsServer& operator=(const MetricsServer&) = delete;

  // The port that is bound.
  int port() const;

 private:
  class Impl;
  explicit MetricsServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace attune

#endif  // ATTUNE_COORDINATOR_METRICS_SERVER_H_
