// SPDX-License-Identifier: Apache-2.0
//
// 256 secret bits: a private key, a seed, a share, a key of a cipher. For this folder only.
#ifndef ATTUNE_COMMON_SECURITY_SECRET_BYTES_H_
#define ATTUNE_COMMON_SECURITY_SECRET_BYTES_H_

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/security/openssl_handles.h"
#include "common/security/wipe.h"

namespace attune {

// Wiped when it goes, each copy for itself. All zero until it is set.
class SecretBytes {
 public:
  static constexpr std::size_t kSize = 32;

  SecretBytes() = default;
  SecretBytes(const SecretBytes&) = default;
  SecretBytes& operator=(const SecretBytes&) = default;
  ~SecretBytes() { OPENSSL_cleanse(bytes_.data(), kSize); }

  // InvalidArgument when there are not 32.
  static absl::StatusOr<SecretBytes> From(absl::string_view bytes) {
    if (bytes.size() != kSize) {
      return absl::InvalidArgumentError(absl::StrCat("a secret has ", bytes.size(), " bytes, expected ", kSize));
    }
    SecretBytes secret;
    std::copy(bytes.begin(), bytes.end(), secret.bytes_.begin());
    return secret;
  }
  static absl::StatusOr<SecretBytes> Random() {
    SecretBytes secret;
    if (RAND_priv_bytes(secret.data(), kSize) != 1) return openssl::Error("make random bytes");
    return secret;
  }

  unsigned char* data() { return bytes_.data(); }
  const unsigned char* data() const { return bytes_.data(); }
  unsigned char& operator[](std::size_t i) { return bytes_[i]; }
  unsigned char operator[](std::size_t i) const { return bytes_[i]; }
  absl::string_view view() const { return {reinterpret_cast<const char*>(bytes_.data()), kSize}; }
  // In a time that does not tell where they differ.
  bool SameAs(const SecretBytes& other) const { return CRYPTO_memcmp(data(), other.data(), kSize) == 0; }

 private:
  std::array<unsigned char, kSize> bytes_ = {};
};

}  // namespace attune

#endif  // ATTUNE_COMMON_SECURITY_SECRET_BYTES_H_
