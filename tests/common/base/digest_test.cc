// SPDX-License-Identifier: Apache-2.0
#include "common/base/digest.h"

#include <gtest/gtest.h>

#include "absl/strings/escaping.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace attune {
namespace {

using ::attune::testing::StatusIs;
using ::testing::HasSubstr;

// FIPS 180-4's examples, and the empty message.
constexpr char kEmpty[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
constexpr char kAbc[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
constexpr char kMillionA[] = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";

TEST(Sha256Hex, KnownAnswers) {
  EXPECT_EQ(Sha256Hex(""), kEmpty);
  EXPECT_EQ(Sha256Hex("abc"), kAbc);
  EXPECT_EQ(Sha256Hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(Sha256Hex(std::string(1000000, 'a')), kMillionA);
}

TEST(Sha256, PieceByPiece_SameAsWhole) {
  Sha256 sha;
  for (int piece = 0; piece < 1000; ++piece) sha.Update(std::string(1000, 'a'));
  sha.Update("");
  EXPECT_EQ(std::move(sha).Finish(), kMillionA);
}

TEST(Sha256OfFile, KnownAnswers) {
  const testing::TempFolder folder;
  EXPECT_THAT(Sha256OfFile(folder.Write("empty", "")), testing::IsOk());
  EXPECT_EQ(*Sha256OfFile(folder.Write("empty", "")), kEmpty);
  // Longer than the pieces in which it is read.
  EXPECT_EQ(*Sha256OfFile(folder.Write("long", std::string(1000000, 'a'))), kMillionA);
}

TEST(Sha256OfFile, NoFile_NotFound) {
  const testing::TempFolder folder;
  EXPECT_THAT(Sha256OfFile(folder / "none"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("none")));
}

TEST(HmacSha256, Rfc4231) {
  EXPECT_EQ(absl::BytesToHexString(HmacSha256("Jefe", "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_NE(HmacSha256("key", "a"), HmacSha256("kez", "a"));
}

TEST(RandomBytes, AsManyAsAskedAndNeverTheSame) {
  EXPECT_EQ(RandomBytes(32)->size(), 32u);
  EXPECT_NE(*RandomBytes(32), *RandomBytes(32));
}

TEST(IsSha256Hex, Table) {
  EXPECT_TRUE(IsSha256Hex(kAbc));
  EXPECT_FALSE(IsSha256Hex(""));
  EXPECT_FALSE(IsSha256Hex(std::string(kAbc).substr(1)));
  EXPECT_FALSE(IsSha256Hex(std::string(kAbc) + "0"));
  EXPECT_FALSE(IsSha256Hex(std::string(64, 'A')));
  EXPECT_FALSE(IsSha256Hex(std::string(64, 'g')));
  EXPECT_FALSE(IsSha256Hex("../" + std::string(61, 'a')));
}

}  // namespace
}  // namespace attune
