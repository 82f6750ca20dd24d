// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_COMMON_BASE_ERRNO_STATUS_H_
#define ATTUNE_COMMON_BASE_ERRNO_STATUS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace attune {

// What the system says of a file: "cannot open 'a': No such file or directory". `error` is an errno. NotFound where there is
// no such file or folder, ResourceExhausted where the disk is full, InvalidArgument where it is a folder, else Internal.
absl::Status ErrnoStatus(int error, absl::string_view what, const std::string& path);

}  // namespace attune

#endif  // ATTUNE_COMMON_BASE_ERRNO_STATUS_H_
