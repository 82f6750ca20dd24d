// SPDX-License-Identifier: Apache-2.0
#include "coordinator/simulate/process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/base/files.h"

namespace attune {
namespace {

constexpr double kPatienceSeconds = 2;

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (std::string& string : strings) pointers.push_back(string.data());
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

absl::StatusOr<Process> Process::Start(const std::vector<std::string>& arguments, const std::vector<std::string>& environment,
                                       const std::string& log) {
  // Everything that allocates happens before the fork: other threads may hold the allocator's lock.
  std::vector<std::string> argument_strings = arguments;
  std::vector<std::string> environment_strings;
  for (char** variable = environ; *variable != nullptr; ++variable) environment_strings.emplace_back(*variable);
  environment_strings.insert(environment_strings.end(), environment.begin(), environment.end());
  std::vector<char*> argv = Pointers(argument_strings);
  std::vector<char*> envp = Pointers(environment_strings);
  const int output = ::open(log.c_str(), O_CREAT | O_APPEND | O_WRONLY | O_CLOEXEC, 0600);
  if (output < 0) return absl::InternalError(absl::StrCat("cannot open the log '", log, "': ", std::strerror(errno)));
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) {
    ::close(output);
    return absl::ResourceExhaustedError(absl::StrCat("cannot start a process: ", std::strerror(errno)));
  }
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(1);  // the parent died before the line above
    // A terminal's Ctrl-C goes to the simulator alone, which then ends its children in order.
    ::setpgid(0, 0);
    const int nothing = ::open("/dev/null", O_RDONLY);
    ::dup2(nothing, STDIN_FILENO);
    ::dup2(output, STDOUT_FILENO);
    ::dup2(output, STDERR_FILENO);
    ::execve(argv[0], argv.data(), envp.data());
    ::dprintf(STDERR_FILENO, "cannot run '%s': %s\n", argv[0], std::strerror(errno));
    ::_exit(127);
  }
  ::close(output);
  return Process(pid, log);
}

Process::Process(Process&& other) noexcept
    : pid_(std::exchange(other.pid_, 0)), log_(std::move(other.log_)), end_(other.end_) {}

Process& Process::operator=(Process&& other) noexcept {
  if (this != &other) {
    Stop();
    pid_ = std::exchange(other.pid_, 0);
    log_ = std::move(other.log_);
    end_ = other.end_;
  }
  return *this;
}

Process::~Process() { Stop(); }

std::optional<ProcessEnd> Process::Poll() {
  if (end_ || pid_ == 0) return end_;
  int status = 0;
  const pid_t ended = ::waitpid(pid_, &status, WNOHANG);
  if (ended == 0 || (ended < 0 && errno == EINTR)) return std::nullopt;
  if (ended != pid_) {
    // Somebody else has waited for it (a parent that ignores SIGCHLD handed that on): how it ended is lost, and its id is not
    // ours.
    end_ = ProcessEnd{128, true};
    return end_;
  }
  end_ = WIFSIGNALED(status) ? ProcessEnd{128 + WTERMSIG(status), true} : ProcessEnd{WEXITSTATUS(status), false};
  return end_;
}

std::optional<ProcessEnd> Process::WaitFor(double seconds) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  for (;;) {
    if (std::optional<ProcessEnd> end = Poll(); end || pid_ == 0) return end;
    if (std::chrono::steady_clock::now() >= deadline) return std::nullopt;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

void Process::Stop() {
  if (pid_ == 0 || end_) return;
  ::kill(pid_, SIGTERM);
  if (WaitFor(kPatienceSeconds)) return;
  ::kill(pid_, SIGKILL);
  int status = 0;
  ::waitpid(pid_, &status, 0);
  end_ = ProcessEnd{128 + SIGKILL, true};
}

std::string LastLines(const std::string& log, int lines) {
  const absl::StatusOr<std::string> text = ReadFile(log);
  if (!text.ok()) return "";
  std::vector<std::string> all = absl::StrSplit(*text, '\n', absl::SkipWhitespace());
  if (static_cast<int>(all.size()) > lines) all.erase(all.begin(), all.end() - lines);
  return absl::StrJoin(all, "\n");
}

}  // namespace attune
