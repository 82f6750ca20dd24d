// SPDX-License-Identifier: Apache-2.0
//
// Which version of the protocol a site's program speaks, and what can be asked of it.
#ifndef ATTUNE_COORDINATOR_PEER_VERSION_H_
#define ATTUNE_COORDINATOR_PEER_VERSION_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "attune/v1/coordinator.pb.h"

namespace attune {

// The minor version of a peer, from what its call's metadata say (both empty where they are absent; no minor version means 0;
// a newer one than ours is fine). FailedPrecondition, naming both, for another major version; InvalidArgument for a minor
// version that is no number.
absl::StatusOr<int> MinorVersionOf(absl::string_view major, absl::string_view minor);

// Whether a peer of that minor version knows the task it would be given. FailedPrecondition tells what to install.
absl::Status CheckKnowsTask(int minor, v1::NextReply::Task task);

}  // namespace attune

#endif  // ATTUNE_COORDINATOR_PEER_VERSION_H_
