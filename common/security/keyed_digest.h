// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_COMMON_SECURITY_KEYED_DIGEST_H_
#define ATTUNE_COMMON_SECURITY_KEYED_DIGEST_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace attune {

// HMAC-SHA256 of `bytes` under `key`, as 64 lower-case hexadecimal digits.
std::string KeyedDigest(absl::string_view key, absl::string_view bytes);

// The key in the file `path`: 64 hexadecimal digits from the system's generator. Made, readable by its owner only, when it is
// missing. DataLoss: the file holds something else. Else as files.h says.
absl::StatusOr<std::string> ReadOrMakeKey(const std::string& path);

}  // namespace attune

#endif  // ATTUNE_COMMON_SECURITY_KEYED_DIGEST_H_
