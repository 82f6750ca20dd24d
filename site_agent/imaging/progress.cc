// SPDX-License-Identifier: Apache-2.0
#include "site_agent/imaging/progress.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace attune {
namespace {

constexpr absl::Duration kBetweenLines = absl::Seconds(10);
constexpr absl::Duration kBetweenRedraws = absl::Milliseconds(200);

// Who asked for quiet, or wants a log, gets no line that is written over.
bool IsTerminal() { return ::isatty(STDERR_FILENO) == 1 && spdlog::should_log(spdlog::level::info); }

}  // namespace

Progress::Progress(std::string done, std::string things, std::size_t total)
    : done_(std::move(done)),
      things_(std::move(things)),
      total_(total),
      terminal_(IsTerminal()),
      start_(absl::Now()),
      told_(start_) {}

Progress::~Progress() {
  if (shown_) std::fputs("\r\033[K", stderr);
}

std::string Progress::Line(std::size_t count, absl::Duration elapsed) const {
  std::string line = absl::StrCat(done_, " ", count, " of ", total_, " ", things_);
  if (count == 0 || count >= total_) return line;
  const absl::Duration left = elapsed / static_cast<double>(count) * static_cast<double>(total_ - count);
  return absl::StrCat(line, ", about ", absl::FormatDuration(absl::Ceil(left, absl::Seconds(1))), " left");
}

void Progress::Step() {
  const std::lock_guard<std::mutex> lock(mutex_);
  ++count_;
  const absl::Time now = absl::Now();
  if (now - told_ < (terminal_ ? kBetweenRedraws : kBetweenLines)) return;
  told_ = now;
  const std::string line = Line(count_, now - start_);
  if (terminal_) {
    std::fprintf(stderr, "\r\033[K%s", line.c_str());
    shown_ = true;
  } else {
    spdlog::info("{}", line);
  }
}

}  // namespace attune
