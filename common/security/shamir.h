// SPDX-License-Identifier: Apache-2.0
//
// Shamir's secret sharing over GF(2^8) (polynomial x^8 + x^4 + x^3 + x + 1), each byte of a secret for itself: any `threshold`
// shares make the secret, fewer tell nothing of it. No tables and no branches on secrets. For this folder only.
#ifndef ATTUNE_COMMON_SECURITY_SHAMIR_H_
#define ATTUNE_COMMON_SECURITY_SHAMIR_H_

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "common/security/secret_bytes.h"

namespace attune {

// The product in GF(2^8), in constant time.
std::uint8_t FieldProduct(std::uint8_t a, std::uint8_t b);

// Shares for the points 1 to `holders`, in order. 1 <= threshold <= holders <= 255.
absl::StatusOr<std::vector<SecretBytes>> SplitSecret(const SecretBytes& secret, unsigned threshold, unsigned holders);

struct Share {
  std::uint8_t point = 0;  // not 0: that is where the secret is
  SecretBytes value;
};

// The value at 0 of the polynomial through `shares`, whose points must differ. With fewer than the threshold it has nothing to
// do with the secret; only a commitment tells.
SecretBytes CombineShares(std::span<const Share> shares);

}  // namespace attune

#endif  // ATTUNE_COMMON_SECURITY_SHAMIR_H_
