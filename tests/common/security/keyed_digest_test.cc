// SPDX-License-Identifier: Apache-2.0
#include "common/security/keyed_digest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "common/base/digest.h"
#include "common/security/token_proof.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace attune {
namespace {

using ::testing::HasSubstr;
using testing::StatusIs;
using testing::TempFolder;

TEST(KeyedDigest, KnownAnswer) {  // RFC 4231, case 2
  EXPECT_EQ(KeyedDigest("Jefe", "what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

TEST(KeyedDigest, ReadOrMakeKey_MadeOnceForItsOwner) {
  const TempFolder folder;
  ASSERT_OK_AND_ASSIGN(const std::string key, ReadOrMakeKey(folder / "key"));
  EXPECT_TRUE(IsSha256Hex(key));
  EXPECT_EQ(*ReadOrMakeKey(folder / "key"), key);
  EXPECT_NE(*ReadOrMakeKey(folder / "other"), key);
  using std::filesystem::perms;
  EXPECT_EQ(std::filesystem::status(folder / "key").permissions(), perms::owner_read | perms::owner_write);
  folder.Write("key", "short");
  EXPECT_THAT(ReadOrMakeKey(folder / "key"), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("is damaged")));
}

TEST(TokenProof, BindsTokenSiteAndRequest) {
  const std::string proof = TokenProof(Sha256Hex("token"), "north", "request");
  EXPECT_EQ(TokenProof(Sha256Hex("token"), "north", "request"), proof);
  EXPECT_NE(TokenProof(Sha256Hex("another"), "north", "request"), proof);
  EXPECT_NE(TokenProof(Sha256Hex("token"), "south", "request"), proof);
  EXPECT_NE(TokenProof(Sha256Hex("token"), "north", "another"), proof);
  EXPECT_NE(TokenProof(Sha256Hex("token"), "northr", "equest"), proof);
}

}  // namespace
}  // namespace attune
