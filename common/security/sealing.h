// SPDX-License-Identifier: Apache-2.0
//
// AES-256-GCM: what only the holder of a key can read, and nobody can change or present as something else. For this folder
// only.
#ifndef ATTUNE_COMMON_SECURITY_SEALING_H_
#define ATTUNE_COMMON_SECURITY_SEALING_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/security/secret_bytes.h"

namespace attune {

inline constexpr std::size_t kSealNonceBytes = 12;
inline constexpr std::size_t kSealTagBytes = 16;

// A random nonce, the ciphertext, the tag. `context` is authenticated with it, and must be the same when it is opened.
absl::StatusOr<std::string> Seal(const SecretBytes& key, absl::string_view plain, absl::string_view context);

// InvalidArgument when it was not sealed with this key and this context, or was changed. The caller wipes the result.
absl::StatusOr<std::string> OpenSealed(const SecretBytes& key, absl::string_view sealed, absl::string_view context);

}  // namespace attune

#endif  // ATTUNE_COMMON_SECURITY_SEALING_H_
