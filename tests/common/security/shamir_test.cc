// SPDX-License-Identifier: Apache-2.0
#include "common/security/shamir.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "tests/support/status_matchers.h"

namespace attune {
namespace {

using ::attune::testing::StatusIs;
using ::testing::HasSubstr;

// The shares whose points are the bits of `chosen`.
std::vector<Share> Choose(const std::vector<SecretBytes>& shares, unsigned chosen) {
  std::vector<Share> some;
  for (unsigned i = 0; i < shares.size(); ++i) {
    if ((chosen >> i & 1) != 0) some.push_back({.point = static_cast<std::uint8_t>(i + 1), .value = shares[i]});
  }
  return some;
}

TEST(Shamir, FieldProduct_KnownAnswers) {
  EXPECT_EQ(FieldProduct(0x57, 0x83), 0xc1);  // FIPS 197, section 4.2
  EXPECT_EQ(FieldProduct(0x57, 0x13), 0xfe);
  EXPECT_EQ(FieldProduct(0x02, 0x80), 0x1b);
  EXPECT_EQ(FieldProduct(0x53, 0xca), 0x01);
}

TEST(Shamir, FieldProduct_IsAField) {
  for (unsigned a = 0; a < 256; ++a) {
    EXPECT_EQ(FieldProduct(static_cast<std::uint8_t>(a), 1), a);
    EXPECT_EQ(FieldProduct(static_cast<std::uint8_t>(a), 0), 0);
    int inverses = 0;
    for (unsigned b = 0; b < 256; ++b) {
      const auto x = static_cast<std::uint8_t>(a), y = static_cast<std::uint8_t>(b);
      EXPECT_EQ(FieldProduct(x, y), FieldProduct(y, x));
      EXPECT_EQ(FieldProduct(x, y ^ 0x5a), FieldProduct(x, y) ^ FieldProduct(x, 0x5a));
      inverses += FieldProduct(x, y) == 1 ? 1 : 0;
    }
    EXPECT_EQ(inverses, a == 0 ? 0 : 1);
  }
}

// The line 0x42 + 0x03 x, by hand: at 1 it is 0x41, at 2 it is 0x44.
TEST(Shamir, Combine_KnownAnswer) {
  Share one{.point = 1}, two{.point = 2};
  one.value[0] = 0x41;
  two.value[0] = 0x44;
  EXPECT_EQ(CombineShares(std::vector<Share>{one, two})[0], 0x42);
  EXPECT_EQ(CombineShares(std::vector<Share>{two, one})[0], 0x42);
  EXPECT_EQ(CombineShares(std::vector<Share>{two, one})[31], 0);
}

TEST(Shamir, Split_AnyThresholdOfThemMakesTheSecret) {
  const SecretBytes secret = *SecretBytes::Random();
  for (const unsigned threshold : {1u, 2u, 3u, 5u, 6u}) {
    ASSERT_OK_AND_ASSIGN(const std::vector<SecretBytes> shares, SplitSecret(secret, threshold, 6));
    for (unsigned chosen = 1; chosen < 64; ++chosen) {
      EXPECT_EQ(CombineShares(Choose(shares, chosen)).SameAs(secret), std::popcount(chosen) >= static_cast<int>(threshold))
          << threshold << " " << chosen;
    }
  }
}

// Whatever the secret, some last share would make it of the others: these tell nothing.
TEST(Shamir, Split_OneTooFewFitsEverySecret) {
  ASSERT_OK_AND_ASSIGN(const std::vector<SecretBytes> shares, SplitSecret(*SecretBytes::Random(), 3, 3));
  std::vector<bool> made(256);
  for (unsigned guess = 0; guess < 256; ++guess) {
    std::vector<Share> all = Choose(shares, 7);
    all[2].value[0] = static_cast<std::uint8_t>(guess);
    made[CombineShares(all)[0]] = true;
  }
  EXPECT_EQ(std::count(made.begin(), made.end(), true), 256);
}

TEST(Shamir, Split_IsFreshEachTime) {
  const SecretBytes secret = *SecretBytes::Random();
  const auto one = *SplitSecret(secret, 2, 3);
  const auto other = *SplitSecret(secret, 2, 3);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_FALSE(one[i].SameAs(other[i]) || one[i].SameAs(secret));
}

TEST(Shamir, Split_MostHolders) {
  const SecretBytes secret = *SecretBytes::Random();
  ASSERT_OK_AND_ASSIGN(const std::vector<SecretBytes> shares, SplitSecret(secret, 171, 255));
  std::vector<Share> last;
  for (unsigned i = 255 - 171; i < 255; ++i) last.push_back({.point = static_cast<std::uint8_t>(i + 1), .value = shares[i]});
  EXPECT_TRUE(CombineShares(last).SameAs(secret));
  last.pop_back();
  EXPECT_FALSE(CombineShares(last).SameAs(secret));
}

TEST(Shamir, Split_BadNumbers) {
  for (const auto& [threshold, holders] : {std::pair{0u, 3u}, {4u, 3u}, {2u, 256u}}) {
    EXPECT_THAT(SplitSecret(SecretBytes(), threshold, holders), StatusIs(absl::StatusCode::kInternal, HasSubstr("split")));
  }
}

}  // namespace
}  // namespace attune
