// SPDX-License-Identifier: Apache-2.0
//
// What the coordinator tells a Prometheus server that its operator runs (docs/operations.md lists the names). Nothing is sent
// anywhere: whoever wants it asks.
#ifndef ATTUNE_COORDINATOR_METRICS_H_
#define ATTUNE_COORDINATOR_METRICS_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "coordinator/desk.h"
#include "coordinator/invitations.h"

namespace attune {

// Thread-safe.
class Metrics {
 public:
  Metrics();
  ~Metrics();

  // `code`: absl::StatusCodeToString.
  void CountCall(const std::string& call, const std::string& code);
  // Of calls that are counted too: by "limit" or "identity".
  void CountRefused(const std::string& reason);
  void CountReceived(std::uint64_t bytes);

  // Everything as Prometheus text, together with what the desk and the invitations say now.
  absl::StatusOr<std::string> Text(const Desk& desk, const Invitations& invitations,
                                   const std::string& server_certificate_pem) const;

 private:
  struct Counters;
  const std::unique_ptr<Counters> counters_;
};

}  // namespace attune

#endif  // ATTUNE_COORDINATOR_METRICS_H_
