// SPDX-License-Identifier: Apache-2.0
//
// How much of the coordinator one caller may take, decided before anything of a call is kept in memory. The limits are far
// above what agents of this project do; whoever meets one is told when to come back, and agents do.
#ifndef ATTUNE_COORDINATOR_CALL_LIMITS_H_
#define ATTUNE_COORDINATOR_CALL_LIMITS_H_

#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace attune {

// docs/operations.md lists them.
struct CallLimits {
  double calls_per_second = 50;       // of one site or administrator, in the long run
  double calls_burst = 200;           // and at once, after a rest
  double enrolments_per_second = 10;  // of everybody together: who enrols has no certificate yet
  double enrolments_burst = 100;
  int calls_at_once = 32;           // of one site or administrator; a waiting Next counts
  int uploads_at_once = 4;          // of one site
  int uploads_at_once_of_all = 64;  // each holds one message of at most 1 MiB
};

// Thread-safe.
class CallLimiter {
 public:
  explicit CallLimiter(const CallLimits& limits, std::function<absl::Time()> now = absl::Now);

  // A call that runs; ends with this object, which must not outlive the limiter.
  class Slot {
   public:
    Slot() = default;
    Slot(Slot&& other) noexcept : end_(std::move(other.end_)) { other.end_ = nullptr; }
    Slot& operator=(Slot&&) = delete;
    ~Slot() {
      if (end_) end_();
    }

   private:
    friend class CallLimiter;
    explicit Slot(std::function<void()> end) : end_(std::move(end)) {}
    std::function<void()> end_;
  };

  // `caller`: a name that was authenticated. ResourceExhausted, saying when to come back, when it has had its share.
  absl::StatusOr<Slot> Enter(const std::string& caller);
  absl::StatusOr<Slot> EnterUpload(const std::string& caller);
  // Of callers without a name.
  absl::Status Enroll();

  // Whether an error is one of these refusals.
  static bool IsRefusal(const absl::Status& status);

 private:
  struct Bucket {
    double tokens = 0;
    absl::Time filled = absl::InfinitePast();  // never: full
  };
  struct Caller {
    Bucket bucket;
    int calls = 0;
    int uploads = 0;
  };
  // REQUIRES: mutex_ is held.
  absl::Status Take(Bucket& bucket, double per_second, double burst);
  void Leave(const std::string& caller, bool upload);

  const CallLimits limits_;
  const std::function<absl::Time()> now_;
  std::mutex mutex_;
  std::map<std::string, Caller> callers_;  // guarded by mutex_; only names with a certificate get in
  int uploads_ = 0;                        // guarded by mutex_
  Bucket enrolments_;                      // guarded by mutex_
};

}  // namespace attune

#endif  // ATTUNE_COORDINATOR_CALL_LIMITS_H_
