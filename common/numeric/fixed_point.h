// SPDX-License-Identifier: Apache-2.0
//
// Real numbers as elements of Z_2^128, in two's complement, so that their sums do not depend on the order and can be masked.
#ifndef ATTUNE_COMMON_NUMERIC_FIXED_POINT_H_
#define ATTUNE_COMMON_NUMERIC_FIXED_POINT_H_

#include "absl/status/statusor.h"
#include "common/base/word128.h"

namespace attune {

using FixedWord = Word128;

// How far a number may be from its fixed-point value, as a part of the number.
inline constexpr double kMostRelativeRounding = 1e-10;

// x / 2^resolution_log2, rounded half to even; never clipped. So that a sum of `summands` such numbers stays in range, |x| must
// be below 2^(127 + resolution_log2) / summands. OutOfRange when it is not, or x is not finite; FailedPrecondition when x is so
// small that rounding moves it by more than kMostRelativeRounding (0 is exact); InvalidArgument when summands < 1. The message
// has the limit, not x: the caller names block and remedy.
absl::StatusOr<FixedWord> ToFixed(double x, int resolution_log2, int summands);

// The nearest double (half to even) to the two's complement value of `word` times 2^resolution_log2; infinite beyond the
// largest.
double FromFixed(FixedWord word, int resolution_log2);

}  // namespace attune

#endif  // ATTUNE_COMMON_NUMERIC_FIXED_POINT_H_
