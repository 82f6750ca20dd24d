// SPDX-License-Identifier: Apache-2.0
#include "common/base/printable.h"

#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"

namespace attune {

absl::Status Printable(const absl::Status& status) {
  std::string message;
  for (const char c : status.message()) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      absl::StrAppend(&message, "\\x", absl::Hex(byte, absl::kZeroPad2));
    } else {
      message.push_back(c);
    }
  }
  if (message == status.message()) return status;
  absl::Status result(status.code(), message);
  status.ForEachPayload([&](absl::string_view url, const absl::Cord& payload) { result.SetPayload(url, payload); });
  return result;
}

}  // namespace attune
