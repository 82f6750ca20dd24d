// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_COMMON_TRANSPORT_RETRY_H_
#define ATTUNE_COMMON_TRANSPORT_RETRY_H_

#include <cstdint>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace attune {

struct RetryPolicy {
  absl::Duration first_wait = absl::Milliseconds(100);
  absl::Duration longest_wait = absl::Seconds(5);
  // How long to go on without any progress before giving up.
  absl::Duration patience = absl::Minutes(10);
};

// Whether the same call may succeed later: the network or the peer was not there.
bool IsWorthRetrying(const absl::Status& status);

// Calls `attempt` until it succeeds or fails for good, waiting between attempts twice as long each time, with jitter so that
// sites that lost the coordinator together do not return together. `progress`, when given, counts bytes: whenever it grew
// during an attempt, patience and waits start afresh. Gives up with the last error, its message saying what was tried (`what`:
// "send the answer to host:port"), for how long, and what to do. Blocks.
absl::Status Retry(const RetryPolicy& policy, absl::string_view what, absl::FunctionRef<absl::Status()> attempt,
                   const std::uint64_t* progress = nullptr);

}  // namespace attune

#endif  // ATTUNE_COMMON_TRANSPORT_RETRY_H_
