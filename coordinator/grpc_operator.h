// SPDX-License-Identifier: Apache-2.0
//
// The operator on another machine than the coordinator's. No gRPC type leaves this header.
#ifndef ATTUNE_COORDINATOR_GRPC_OPERATOR_H_
#define ATTUNE_COORDINATOR_GRPC_OPERATOR_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "coordinator/operator.h"

namespace attune {

// Files of an administrator's identity folder, as `pki admin` writes them.
inline constexpr char kAdminKeyFile[] = "key.pem";
inline constexpr char kAdminCertificateFile[] = "certificate.pem";
inline constexpr char kAdminAuthorityFile[] = "ca.pem";

// Dials `endpoint` ("host:port") as the administrator of this folder. Does not connect yet. InvalidArgument: not host:port.
// NotFound: a file of the folder is missing. Thread-safe.
absl::StatusOr<std::unique_ptr<Operator>> DialOperator(const std::string& endpoint, const std::string& identity_folder);

}  // namespace attune

#endif  // ATTUNE_COORDINATOR_GRPC_OPERATOR_H_
