// SPDX-License-Identifier: Apache-2.0
#include "coordinator/call_limits.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/base/status.h"

namespace attune {
namespace {

// How long the calls that run take is not known: agents retry with growing waits anyway.
constexpr int kSecondsUntilSomeEnd = 5;

constexpr char kRefusalPayload[] = "attune/limit";

absl::Status ComeBack(absl::string_view what, double seconds) {
  absl::Status status =
      absl::ResourceExhaustedError(absl::StrCat(what, "; come back in ", std::max(1.0, std::ceil(seconds)), " seconds"));
  status.SetPayload(kRefusalPayload, absl::Cord());
  return status;
}

}  // namespace

CallLimiter::CallLimiter(const CallLimits& limits, std::function<absl::Time()> now) : limits_(limits), now_(std::move(now)) {}

absl::Status CallLimiter::Take(Bucket& bucket, double per_second, double burst) {
  const absl::Time now = now_();
  // A clock that was set back fills nothing.
  const double passed = std::max(0.0, absl::ToDoubleSeconds(now - bucket.filled));
  bucket.tokens = std::min(burst, bucket.tokens + passed * per_second);
  bucket.filled = now;
  if (bucket.tokens < 1) return ComeBack("too many calls", (1 - bucket.tokens) / per_second);
  bucket.tokens -= 1;
  return absl::OkStatus();
}

bool CallLimiter::IsRefusal(const absl::Status& status) { return status.GetPayload(kRefusalPayload).has_value(); }

absl::Status CallLimiter::Enroll() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return Take(enrolments_, limits_.enrolments_per_second, limits_.enrolments_burst);
}

absl::StatusOr<CallLimiter::Slot> CallLimiter::Enter(const std::string& caller) {
  const std::lock_guard<std::mutex> lock(mutex_);
  Caller& mine = callers_[caller];
  ATTUNE_RETURN_IF_ERROR(Take(mine.bucket, limits_.calls_per_second, limits_.calls_burst));
  if (mine.calls >= limits_.calls_at_once) {
    return ComeBack(absl::StrCat("too many calls at once, at most ", limits_.calls_at_once), kSecondsUntilSomeEnd);
  }
  ++mine.calls;
  return Slot([this, caller] { Leave(caller, false); });
}

absl::StatusOr<CallLimiter::Slot> CallLimiter::EnterUpload(const std::string& caller) {
  const std::lock_guard<std::mutex> lock(mutex_);
  Caller& mine = callers_[caller];
  if (mine.uploads >= limits_.uploads_at_once) {
    return ComeBack(absl::StrCat("too many uploads of this site at once, at most ", limits_.uploads_at_once),
                    kSecondsUntilSomeEnd);
  }
  if (uploads_ >= limits_.uploads_at_once_of_all) {
    return ComeBack("the coordinator receives as many uploads as it can", kSecondsUntilSomeEnd);
  }
  ++mine.uploads;
  ++uploads_;
  return Slot([this, caller] { Leave(caller, true); });
}

void CallLimiter::Leave(const std::string& caller, bool upload) {
  const std::lock_guard<std::mutex> lock(mutex_);
  Caller& mine = callers_[caller];
  if (upload) {
    --mine.uploads;
    --uploads_;
  } else {
    --mine.calls;
  }
}

}  // namespace attune
