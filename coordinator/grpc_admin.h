// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_COORDINATOR_GRPC_ADMIN_H_
#define ATTUNE_COORDINATOR_GRPC_ADMIN_H_

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "coordinator/grpc_door.h"
#include "coordinator/operator.h"

namespace attune {

// Called by several threads at once.
using CommandListener = std::function<void(absl::string_view command, const absl::Status& outcome)>;

// The Admin service: what an operator asks for from another machine. The pointers are not owned and outlive it. `on_command`
// hears of each command that changes something, with the administrator's name.
std::unique_ptr<grpc::Service> MakeAdminService(GrpcDoor* door, Operator* operator_desk, CommandListener on_command);

}  // namespace attune

#endif  // ATTUNE_COORDINATOR_GRPC_ADMIN_H_
