// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_COORDINATOR_SIMULATE_PROCESS_H_
#define ATTUNE_COORDINATOR_SIMULATE_PROCESS_H_

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace attune {

// How a process ended.
struct ProcessEnd {
  int exit_code = 0;  // 128 + the signal's number when a signal ended it
  bool signalled = false;
};

// A child process of ours. Ended with SIGTERM, then SIGKILL, when the object goes, and by the kernel when this program dies, so
// that nothing is left running whatever happens. It is always ended by its own process id. Not thread-safe.
class Process {
 public:
  // Starts arguments[0] with standard output and error appended to the file `log` (0600). `environment`: "NAME=value", added to
  // ours.
  static absl::StatusOr<Process> Start(const std::vector<std::string>& arguments, const std::vector<std::string>& environment,
                                       const std::string& log);
  Process(Process&& other) noexcept;
  Process& operator=(Process&& other) noexcept;
  ~Process();

  // How it ended, or nothing while it runs.
  std::optional<ProcessEnd> Poll();
  // Waits at most `seconds`.
  std::optional<ProcessEnd> WaitFor(double seconds);
  // Asks it to end, waits two seconds, then kills it.
  void Stop();

  pid_t pid() const { return pid_; }
  const std::string& log() const { return log_; }

 private:
  Process(pid_t pid, std::string log) : pid_(pid), log_(std::move(log)) {}
  pid_t pid_;  // 0: moved from
  std::string log_;
  std::optional<ProcessEnd> end_;
};

// The last lines of a log, for an error message.
std::string LastLines(const std::string& log, int lines);

}  // namespace attune

#endif  // ATTUNE_COORDINATOR_SIMULATE_PROCESS_H_
