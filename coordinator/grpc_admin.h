// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_COORDINATOR_GRPC_ADMIN_H_
#define ATTUNE_COORDINATOR_GRPC_ADMIN_H_

#include <grpcpp/grpcpp.h>

#include <memory>

#include "coordinator/grpc_door.h"
#include "coordinator/operator.h"

namespace attune {

// The Admin service: what an operator asks for from another machine. The pointers are not owned and outlive it.
std::unique_ptr<grpc::Service> MakeAdminService(GrpcDoor* door, Operator* operator_desk);

}  // namespace attune

#endif  // ATTUNE_COORDINATOR_GRPC_ADMIN_H_
