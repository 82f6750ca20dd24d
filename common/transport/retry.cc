// SPDX-License-Identifier: Apache-2.0
#include "common/transport/retry.h"

#include <algorithm>
#include <random>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace attune {

bool IsWorthRetrying(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      return true;
    case absl::StatusCode::kResourceExhausted:
      // gRPC's own limit on the size of a message: sending it again cannot help.
      return !absl::StrContains(status.message(), "larger than max");
    default:
      return false;
  }
}

absl::Status Retry(const RetryPolicy& policy, absl::string_view what, absl::FunctionRef<absl::Status()> attempt,
                   const std::uint64_t* progress) {
  std::minstd_rand random(std::random_device{}());
  std::uniform_real_distribution<double> jitter(0.5, 1.0);
  absl::Time started = absl::Now();
  absl::Duration wait = policy.first_wait;
  std::uint64_t reached = progress != nullptr ? *progress : 0;
  for (;;) {
    const absl::Status status = attempt();
    if (status.ok() || !IsWorthRetrying(status)) return status;
    if (progress != nullptr && *progress > reached) {
      reached = *progress;
      started = absl::Now();
      wait = policy.first_wait;
    }
    const absl::Duration elapsed = absl::Now() - started;
    if (elapsed + wait > policy.patience) {
      return absl::Status(
          status.code(),
          absl::StrCat("could not ", what, " in ", absl::FormatDuration(absl::Trunc(elapsed, absl::Milliseconds(1))),
                       " of trying: ", status.message(),
                       ". Check that the coordinator runs and that this network reaches it, then give the "
                       "command again: it goes on where it stopped"));
    }
    absl::SleepFor(wait * jitter(random));
    wait = std::min(wait * 2, policy.longest_wait);
  }
}

}  // namespace attune
