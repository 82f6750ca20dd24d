// SPDX-License-Identifier: Apache-2.0
//
// X25519 (RFC 7748) and HKDF-SHA256 (RFC 5869), and what keys of a session are derived from. For this folder only.
#ifndef ATTUNE_COMMON_SECURITY_KEY_AGREEMENT_H_
#define ATTUNE_COMMON_SECURITY_KEY_AGREEMENT_H_

#include <cstdint>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/security/secret_bytes.h"

namespace attune {

absl::StatusOr<std::string> PublicKeyOf(const SecretBytes& private_key);

// The secret that both have. InvalidArgument when the public key has not 32 bytes, or is of low order (what comes out is then
// all zero, whatever the private key).
absl::StatusOr<SecretBytes> Agree(const SecretBytes& private_key, absl::string_view public_key);

// Fills `out`.
absl::Status HkdfSha256(absl::string_view secret, absl::string_view salt, absl::string_view info, std::span<unsigned char> out);

// What a derived key is for; every `info` of a session is made here. Each part is preceded by its length, so that no two uses
// have the same bytes: ("share", from, to, 0), ("mask", lower site, higher site, chunk), ("seed", site, "", chunk).
std::string UseOfKey(absl::string_view use, absl::string_view first, absl::string_view second, std::uint64_t chunk);

// The key for one use in one session.
absl::StatusOr<SecretBytes> DeriveKey(const SecretBytes& secret, absl::string_view session_id, absl::string_view use);

}  // namespace attune

#endif  // ATTUNE_COMMON_SECURITY_KEY_AGREEMENT_H_
