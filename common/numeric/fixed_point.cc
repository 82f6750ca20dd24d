// SPDX-License-Identifier: Apache-2.0
#include "common/numeric/fixed_point.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace attune {
namespace {

constexpr int kDoubleBits = 53;
constexpr int kLeastExponent = -1074;  // of the smallest subnormal double
constexpr int kWordBits = 128;
constexpr FixedWord kOne = 1;

int BitsOf(FixedWord word) {
  const auto high = static_cast<std::uint64_t>(word >> 64);
  return high != 0 ? 64 + std::bit_width(high) : std::bit_width(static_cast<std::uint64_t>(word));
}

// word / 2^bits, half to even; 0 < bits < 128.
FixedWord RoundedShift(FixedWord word, int bits) {
  const FixedWord quotient = word >> bits;
  const FixedWord rest = word - (quotient << bits);
  const FixedWord half = kOne << (bits - 1);
  return quotient + (rest > half || (rest == half && (quotient & 1) != 0) ? 1 : 0);
}

}  // namespace

absl::StatusOr<FixedWord> ToFixed(double x, int resolution_log2, int summands) {
  if (summands < 1) return absl::InvalidArgumentError(absl::StrCat("a sum of ", summands, " numbers, expected at least one"));
  const auto out_of_range = [&](absl::string_view what) {
    return absl::OutOfRangeError(absl::StrCat("a number ", what, ", expected a size below ",
                                              std::ldexp(1.0 / summands, 127 + resolution_log2), ", the limit of a sum of ",
                                              summands, " at resolution 2^", resolution_log2));
  };
  if (!std::isfinite(x)) return out_of_range("is not finite");
  if (x == 0) return FixedWord{0};

  // |x| = mantissa * 2^exponent, exactly.
  const auto bits = std::bit_cast<std::uint64_t>(x);
  const int biased = static_cast<int>(bits >> (kDoubleBits - 1) & 0x7ff);
  const std::uint64_t fraction = bits & ((std::uint64_t{1} << (kDoubleBits - 1)) - 1);
  const std::uint64_t mantissa = biased == 0 ? fraction : fraction | std::uint64_t{1} << (kDoubleBits - 1);
  const int exponent = std::max(biased, 1) - 1 + kLeastExponent;
  const std::int64_t limit_bits = std::int64_t{127} + resolution_log2 - exponent;  // mantissa * summands < 2^limit_bits
  const FixedWord product = FixedWord{mantissa} * static_cast<unsigned>(summands);
  if (limit_bits <= 0 || (limit_bits < 127 && product >= kOne << limit_bits)) return out_of_range("is too large");

  const std::int64_t shift = std::int64_t{exponent} - resolution_log2;
  FixedWord rounded = mantissa;
  if (shift >= 0) {
    rounded <<= shift;
  } else {
    const FixedWord exact = mantissa;
    const bool vanishes = -shift > kDoubleBits + 1;  // below a quarter of the resolution
    rounded = vanishes ? 0 : RoundedShift(exact, static_cast<int>(-shift));
    const FixedWord back = vanishes ? 0 : rounded << -shift;
    const auto error = static_cast<std::uint64_t>(back > exact ? back - exact : exact - back);
    if (static_cast<double>(error) > kMostRelativeRounding * static_cast<double>(mantissa)) {
      return absl::FailedPreconditionError(absl::StrCat("a number is so small beside the resolution 2^", resolution_log2,
                                                        " that rounding moves it by more than ", kMostRelativeRounding,
                                                        " of itself"));
    }
  }
  return x < 0 ? -rounded : rounded;
}

double FromFixed(FixedWord word, int resolution_log2) {
  const bool negative = (word >> (kWordBits - 1)) != 0;
  const FixedWord magnitude = negative ? -word : word;
  // Round once, to as many bits as the result will have: fewer where it is subnormal.
  const std::int64_t drop =
      std::max(std::int64_t{BitsOf(magnitude)} - kDoubleBits, std::int64_t{kLeastExponent} - resolution_log2);
  if (drop >= kWordBits) return negative ? -0.0 : 0.0;
  const FixedWord rounded = drop <= 0 ? magnitude : RoundedShift(magnitude, static_cast<int>(drop));
  const std::int64_t exponent = resolution_log2 + std::max(drop, std::int64_t{0});
  constexpr std::int64_t kOverflows = 2000;
  const double size =
      std::ldexp(static_cast<double>(static_cast<std::uint64_t>(rounded)), static_cast<int>(std::min(exponent, kOverflows)));
  return negative ? -size : size;
}

}  // namespace attune
