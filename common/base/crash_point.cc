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

// "<name>" or "<name>:<k>".
std::pair<std::string, int> Parse(const char* text) {
  const std::pair<std::string, std::string> parts = absl::StrSplit(text, absl::MaxSplits(':', 1));
  int count = 1;
  if (!parts.second.empty() && !absl::SimpleAtoi(parts.second, &count)) count = 1;
  return {parts.first, count};
}

}  // namespace

void CrashPoint(absl::string_view name) {
  static std::atomic<int> passed{0};
  const char* text = std::getenv("ATTUNE_CRASH_AT");
  if (text == nullptr) return;
  const auto [wanted, count] = Parse(text);
  if (name == wanted && ++passed == count) std::raise(SIGKILL);
}

}  // namespace attune
