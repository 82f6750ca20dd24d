// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_COMMON_BASE_PRINTABLE_H_
#define ATTUNE_COMMON_BASE_PRINTABLE_H_

#include "absl/status/status.h"

namespace attune {

// `status` with each control character of its message written as an escape, "\x1b": for messages that quote what a stranger
// wrote, which must neither reach a terminal nor begin a line of a log. Code and payloads stay.
absl::Status Printable(const absl::Status& status);

}  // namespace attune

#endif  // ATTUNE_COMMON_BASE_PRINTABLE_H_
