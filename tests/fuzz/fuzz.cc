// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/fuzz.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace attune::fuzz {

void Require(bool holds, absl::string_view property) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", std::string(property).c_str());
  std::abort();
}

void RequirePrintable(const absl::Status& status) {
  const absl::string_view message = status.message();
  const bool printable =
      std::none_of(message.begin(), message.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
  Require(printable, absl::StrCat("an error without control characters: ", absl::CHexEscape(message)));
}

void RequireForPeer(const absl::Status& status, absl::string_view folder) {
  RequirePrintable(status);
  Require(!absl::StrContains(status.message(), folder), absl::StrCat("no path in what a peer reads: ", status.message()));
}

std::uint8_t Input::Byte() {
  if (rest_.empty()) return 0;
  const auto byte = static_cast<std::uint8_t>(rest_.front());
  rest_.remove_prefix(1);
  return byte;
}

std::string Input::Bytes() {
  const std::size_t low = Byte();
  const std::size_t wanted = low | static_cast<std::size_t>(Byte()) << 8;
  const std::size_t size = std::min(wanted, rest_.size());
  std::string bytes(rest_.substr(0, size));
  rest_.remove_prefix(size);
  return bytes;
}

}  // namespace attune::fuzz
