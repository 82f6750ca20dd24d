// SPDX-License-Identifier: Apache-2.0
#include "common/base/crash_point.h"

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"

namespace attune {
namespace {

std::pair<std::string, int> ReadVariable() {
  const char* text = std::getenv("ATTUNE_CRASH_AT");
  if (text == nullptr) return {"", 0};
  const std::pair<std::string, std::string> parts = absl::StrSplit(text, absl::MaxSplits(':', 1));
  int count = 1;
  if (!parts.second.empty() && !absl::SimpleAtoi(parts.second, &count)) count = 1;
  return {parts.first, count};
}

}  // namespace

void CrashPoint(absl::string_view name) {
  static const std::pair<std::string, int>& wanted = *new std::pair<std::string, int>(ReadVariable());
  static std::atomic<int> passed{0};
  if (wanted.first.empty() || name != wanted.first) return;
  if (++passed == wanted.second) std::raise(SIGKILL);
}

}  // namespace attune
