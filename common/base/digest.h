// SPDX-License-Identifier: Apache-2.0
//
// SHA-256, the only digest in Attune: it names manifests, blobs, models and certificates; and with a key, people in a site's
// own release ledger.
#ifndef ATTUNE_COMMON_BASE_DIGEST_H_
#define ATTUNE_COMMON_BASE_DIGEST_H_

#include <cstddef>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace attune {

// Computes a digest piece by piece. Not thread-safe; used once: nothing may follow Finish.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void Update(const void* data, std::size_t size);
  void Update(absl::string_view bytes) { Update(bytes.data(), bytes.size()); }
  // 64 lower-case hexadecimal digits.
  std::string Finish() &&;

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

// The digest of `bytes` as 64 lower-case hexadecimal digits.
std::string Sha256Hex(absl::string_view bytes);

// The digest of a file, read in pieces. Fails with NotFound or Internal, as reading does.
absl::StatusOr<std::string> Sha256OfFile(const std::string& path);

// Whether `text` could be a digest: exactly 64 lower-case hexadecimal digits.
// Check this before a digest received from a peer becomes part of a file name.
bool IsSha256Hex(absl::string_view text);

// HMAC-SHA256 (RFC 2104) of `bytes` under `key`: 32 raw bytes.
std::string HmacSha256(absl::string_view key, absl::string_view bytes);

// `size` bytes that nobody can guess. Fails with Internal when the system has none.
absl::StatusOr<std::string> RandomBytes(std::size_t size);

}  // namespace attune

#endif  // ATTUNE_COMMON_BASE_DIGEST_H_
