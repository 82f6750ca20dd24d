// SPDX-License-Identifier: Apache-2.0
#include "common/security/shamir.h"

#include "common/base/status.h"

namespace attune {
namespace {

// a^254, which is 1 / a.
std::uint8_t FieldInverse(std::uint8_t a) {
  std::uint8_t power = a;  // a^2, a^4, ... a^128
  std::uint8_t inverse = 1;
  for (int i = 0; i < 7; ++i) {
    power = FieldProduct(power, power);
    inverse = FieldProduct(inverse, power);
  }
  return inverse;
}

}  // namespace

std::uint8_t FieldProduct(std::uint8_t a, std::uint8_t b) {
  unsigned factor = a;
  unsigned product = 0;
  for (unsigned bit = 0; bit < 8; ++bit) {
    product ^= factor & (0u - ((b >> bit) & 1u));
    factor = (factor << 1) ^ (0x11bu & (0u - (factor >> 7)));
  }
  return static_cast<std::uint8_t>(product);
}

absl::StatusOr<std::vector<SecretBytes>> SplitSecret(const SecretBytes& secret, unsigned threshold, unsigned holders) {
  if (threshold < 1 || threshold > holders || holders > 255) {
    return absl::InternalError(absl::StrCat("a secret cannot be split for ", holders, " holders with threshold ", threshold));
  }
  std::vector<SecretBytes> coefficients(threshold);  // of x^0, x^1, ...
  coefficients[0] = secret;
  for (unsigned power = 1; power < threshold; ++power) {
    ATTUNE_ASSIGN_OR_RETURN(coefficients[power], SecretBytes::Random());
  }
  std::vector<SecretBytes> shares(holders);
  for (unsigned holder = 0; holder < holders; ++holder) {
    const auto point = static_cast<std::uint8_t>(holder + 1);
    for (unsigned power = threshold; power-- > 0;) {
      for (std::size_t i = 0; i < SecretBytes::kSize; ++i) {
        shares[holder][i] = FieldProduct(shares[holder][i], point) ^ coefficients[power][i];
      }
    }
  }
  return shares;
}

SecretBytes CombineShares(std::span<const Share> shares) {
  SecretBytes secret;
  for (const Share& share : shares) {
    // Lagrange's weight of this point at 0: the product of q / (q - p) over the other points q.
    std::uint8_t numerator = 1;
    std::uint8_t denominator = 1;
    for (const Share& other : shares) {
      if (other.point == share.point) continue;
      numerator = FieldProduct(numerator, other.point);
      denominator = FieldProduct(denominator, other.point ^ share.point);
    }
    const std::uint8_t weight = FieldProduct(numerator, FieldInverse(denominator));
    for (std::size_t i = 0; i < SecretBytes::kSize; ++i) secret[i] ^= FieldProduct(share.value[i], weight);
  }
  return secret;
}

}  // namespace attune
