// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_SITE_AGENT_DOCTOR_NETWORK_H_
#define ATTUNE_SITE_AGENT_DOCTOR_NETWORK_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "attune/v1/doctor.pb.h"
#include "common/security/tls_probe.h"
#include "common/transport/grpc_courier.h"

namespace attune {

// What a 'run' sends at once at most is of this order.
inline constexpr std::uint64_t kDoctorEchoBytes = 5'000'000;

// The way to the coordinator, step by step: names, proxy, TCP, TLS, clock, a round trip. Ends at the first problem, since
// what lies behind it cannot be tried. `timeout`: of each step.
std::vector<v1::DoctorCheck> CheckNetwork(const GrpcCourierOptions& options, absl::Duration timeout);

// What is to be said of the certificate and the protocol that the other end of the way showed at `now`.
v1::DoctorCheck JudgeTls(const TlsPeer& peer, const std::string& endpoint, absl::Time now);

// What is to be said of the two clocks.
v1::DoctorCheck JudgeClock(const EchoTrip& trip);

}  // namespace attune

#endif  // ATTUNE_SITE_AGENT_DOCTOR_NETWORK_H_
