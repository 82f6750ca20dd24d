// SPDX-License-Identifier: Apache-2.0
#include "common/numeric/fixed_point.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "tests/support/status_matchers.h"

namespace attune {
namespace {

using ::attune::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kSubnormal = std::numeric_limits<double>::denorm_min();

__extension__ typedef __int128 SignedWord;

FixedWord Word(std::int64_t value) { return static_cast<FixedWord>(static_cast<SignedWord>(value)); }
FixedWord Fixed(double x, int resolution, int summands = 1) {
  const absl::StatusOr<FixedWord> word = ToFixed(x, resolution, summands);
  EXPECT_OK(word) << x;
  return word.value_or(0);
}
FixedWord Bit(int bit) { return FixedWord{1} << bit; }

TEST(FixedPoint, ToFixed_KnownAnswers) {
  EXPECT_TRUE(Fixed(0, 0) == 0);
  EXPECT_TRUE(Fixed(-0.0, -60) == 0);
  EXPECT_TRUE(Fixed(1, 0) == 1);
  EXPECT_TRUE(Fixed(-1, 0) == Word(-1));
  EXPECT_TRUE(Fixed(1, -60) == Bit(60));
  EXPECT_TRUE(Fixed(-0.75, -2) == Word(-3));
  EXPECT_TRUE(Fixed(1024, 10) == 1);
  EXPECT_TRUE(Fixed(0x1.8p126, 0) == 3 * Bit(125));
  EXPECT_TRUE(Fixed(std::ldexp(-1, 126), 0) == -Bit(126));
  EXPECT_TRUE(Fixed(0.1, -60) == Word(0x1999999999999a0));  // 0.1 has its last bit at 2^-56
}

TEST(FixedPoint, ToFixed_TiesGoToEven) {
  constexpr double kLarge = 8'589'934'592;  // 2^33: half a unit is below 1e-10 of it
  EXPECT_TRUE(Fixed(kLarge + 0.5, 0) == Word(8'589'934'592));
  EXPECT_TRUE(Fixed(kLarge + 1.5, 0) == Word(8'589'934'594));
  EXPECT_TRUE(Fixed(kLarge + 2.5, 0) == Word(8'589'934'594));
  EXPECT_TRUE(Fixed(-kLarge - 0.5, 0) == Word(-8'589'934'592));
  EXPECT_TRUE(Fixed(-kLarge - 1.5, 0) == Word(-8'589'934'594));
  EXPECT_TRUE(Fixed(std::nextafter(kLarge + 0.5, kInfinity), 0) == Word(8'589'934'593));
  EXPECT_TRUE(Fixed(std::nextafter(kLarge + 1.5, 0), 0) == Word(8'589'934'593));
  EXPECT_TRUE(Fixed(0x1p53 - 0.5, 0) == Bit(53));  // a carry through every bit
}

TEST(FixedPoint, ToFixed_LimitIsExact) {
  const double limit = 0x1p127;
  EXPECT_TRUE(Fixed(std::nextafter(limit, 0), 0) == Bit(127) - Bit(74));
  for (const double x : {limit, -limit, 0x1p128, std::numeric_limits<double>::max()}) {
    EXPECT_THAT(ToFixed(x, 0, 1), StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("1.70141e+38")));
  }
  // A third of it for three summands, so that no sum of three wraps.
  const double third = limit / 3;  // rounded down
  const FixedWord most = Fixed(third, 0, 3);
  EXPECT_TRUE((3 * most) >> 127 == 0);
  EXPECT_THAT(ToFixed(std::nextafter(third, limit), 0, 3), StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("5.67137e+37")));
  EXPECT_THAT(ToFixed(std::nextafter(0x1p67 / 200, limit), -60, 200), Not(::attune::testing::IsOk()));
  EXPECT_OK(ToFixed(std::nextafter(0x1p67 / 200, 0), -60, 200));
}

TEST(FixedPoint, ToFixed_NotFiniteIsRefused) {
  for (const double x : {kInfinity, -kInfinity, std::nan("")}) {
    EXPECT_THAT(ToFixed(x, -60, 4), StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("not finite")));
  }
}

TEST(FixedPoint, ToFixed_ErrorDoesNotTellTheNumber) {
  EXPECT_THAT(ToFixed(1.2345e77, 0, 1), StatusIs(absl::StatusCode::kOutOfRange, Not(HasSubstr("1.2345"))));
  EXPECT_THAT(ToFixed(1.2345e-9, 0, 1), StatusIs(absl::StatusCode::kFailedPrecondition, Not(HasSubstr("1.2345"))));
}

// What rounding would move by more than 1e-10 of itself is refused, and never becomes zero.
TEST(FixedPoint, ToFixed_TooSmallForTheResolution) {
  const auto refused = StatusIs(absl::StatusCode::kFailedPrecondition, AllOf(HasSubstr("2^-60"), HasSubstr("1e-10")));
  for (const double x : {1e-30, -1e-30, 0x1p-61, 0x1p-62, 0x1.8p-60, 1.1e-11, kSubnormal, -kSubnormal}) {
    EXPECT_THAT(ToFixed(x, -60, 1), refused) << x;
  }
  EXPECT_TRUE(Fixed(0x1p-60, -60) == 1);  // exact, however small
  EXPECT_TRUE(Fixed(0x1.8p-59, -60) == 3);
  // Around the rule: half a unit in 5e9 units is 1e-10.
  EXPECT_OK(ToFixed(5e9 + 0.5, 0, 1));
  EXPECT_FALSE(ToFixed(5e9 - 1.5, 0, 1).ok());
}

TEST(FixedPoint, ToFixed_EveryResolution) {
  for (const int resolution : {-1000, -500, -127, -60, 0, 60, 127, 500, 850}) {
    const double x = std::ldexp(1.0 + 0x1p-52, resolution + 70);
    EXPECT_TRUE(Fixed(x, resolution) == Bit(70) + Bit(18)) << resolution;
    EXPECT_EQ(FromFixed(Bit(70) + Bit(18), resolution), x) << resolution;
    EXPECT_FALSE(ToFixed(std::ldexp(1.0, resolution + 127), resolution, 1).ok());
  }
  EXPECT_FALSE(ToFixed(1, std::numeric_limits<int>::min(), 1).ok());
  EXPECT_FALSE(ToFixed(1, std::numeric_limits<int>::max(), 1).ok());
  EXPECT_TRUE(Fixed(kSubnormal, -1074) == 1);
  EXPECT_TRUE(Fixed(3 * kSubnormal, -1080) == 192);
}

TEST(FixedPoint, ToFixed_NeedsASummand) {
  EXPECT_THAT(ToFixed(1, 0, 0), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("at least one")));
}

TEST(FixedPoint, FromFixed_KnownAnswers) {
  EXPECT_EQ(FromFixed(0, 0), 0);
  EXPECT_EQ(FromFixed(Word(-1), 0), -1);
  EXPECT_EQ(FromFixed(Word(-3), -1), -1.5);
  EXPECT_EQ(FromFixed(Bit(127), 0), -0x1p127);  // the least
  EXPECT_EQ(FromFixed(Bit(127) - 1, 0), 0x1p127);
  EXPECT_EQ(FromFixed(Bit(127) + 1, 0), -0x1p127);
}

// Ties to even at bit 53, and a last bit far below that decides.
TEST(FixedPoint, FromFixed_RoundsOnce) {
  for (const int up : {0, 10, 60}) {
    const FixedWord base = Bit(53) << up;  // 54 bits: the last one is half a unit
    const FixedWord half = Bit(up);
    EXPECT_EQ(FromFixed(base + half, -up), 0x1p53);
    EXPECT_EQ(FromFixed(base + 3 * half, -up), 0x1p53 + 4);
    EXPECT_EQ(FromFixed(-(base + half), -up), -0x1p53);
    EXPECT_EQ(FromFixed(-(base + 3 * half), -up), -0x1p53 - 4);
    if (up == 0) continue;
    EXPECT_EQ(FromFixed(base + half + 1, -up), 0x1p53 + 2);
    EXPECT_EQ(FromFixed(base + 3 * half - 1, -up), 0x1p53 + 2);
    EXPECT_EQ(FromFixed(-(base + half + 1), -up), -0x1p53 - 2);
  }
}

// A rounding to 53 bits and then another to a subnormal would give twice this.
TEST(FixedPoint, FromFixed_Subnormal) {
  EXPECT_EQ(FromFixed(Bit(59) + 1, -1074 - 60), kSubnormal * 1);
  EXPECT_EQ(FromFixed(Bit(59), -1074 - 60), 0);
  EXPECT_EQ(FromFixed(3 * Bit(59), -1074 - 60), 2 * kSubnormal);
  EXPECT_EQ(FromFixed((Bit(60) - 1) << 59, -1074 - 119), kSubnormal);
  EXPECT_EQ(FromFixed((Bit(61) + Bit(60)) - 1, -1074 - 61), kSubnormal);  // 53 bits first would make it 1.5, a tie, then 2
  EXPECT_EQ(FromFixed(Bit(126), -3000), 0);
  EXPECT_EQ(FromFixed(Bit(126), 3000), kInfinity);
  EXPECT_EQ(FromFixed(Word(-1), std::numeric_limits<int>::max()), -kInfinity);
}

TEST(FixedPoint, RoundTrip_OfWhatFits) {
  std::mt19937_64 random(1);
  std::uniform_int_distribution<std::int64_t> mantissa(-(std::int64_t{1} << 53), std::int64_t{1} << 53);
  std::uniform_int_distribution<int> exponent(-60, 12);
  for (int i = 0; i < 10'000; ++i) {
    const double x = std::ldexp(static_cast<double>(mantissa(random)), exponent(random));
    EXPECT_EQ(FromFixed(Fixed(x, -60), -60), x);
  }
}

TEST(FixedPoint, ToFixed_NearestOfManyNumbers) {
  std::mt19937_64 random(2);
  std::uniform_real_distribution<double> size(34, 62);
  for (int i = 0; i < 10'000; ++i) {
    const double x = (i % 2 == 0 ? 1 : -1) * std::exp2(size(random));
    EXPECT_EQ(static_cast<double>(static_cast<SignedWord>(Fixed(x, 0))), std::nearbyint(x));
  }
}

TEST(FixedPoint, Sums_DoNotDependOnTheOrder) {
  std::mt19937_64 random(3);
  std::normal_distribution<double> number(0, 1e6);
  std::vector<FixedWord> words;
  for (int i = 0; i < 200; ++i) words.push_back(Fixed(number(random), -60, 200));
  FixedWord first = 0;
  for (const FixedWord word : words) first += word;
  for (int order = 0; order < 20; ++order) {
    std::shuffle(words.begin(), words.end(), random);
    FixedWord sum = 0;
    for (const FixedWord word : words) sum += word;
    EXPECT_TRUE(sum == first);
  }
}

}  // namespace
}  // namespace attune
