// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_COMMON_WIRE_NAMES_H_
#define ATTUNE_COMMON_WIRE_NAMES_H_

#include <algorithm>

#include "absl/strings/string_view.h"

namespace attune {

// Whether `text` can name a column, a level, a batch or a feature: not empty and without control characters, so that it fits
// into one line of a table or a message.
inline bool IsOneLine(absl::string_view text) {
  return !text.empty() &&
         std::none_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

}  // namespace attune

#endif  // ATTUNE_COMMON_WIRE_NAMES_H_
