// SPDX-License-Identifier: Apache-2.0
#include "common/transport/part_file.h"

#include "common/base/digest.h"
#include "common/base/files.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace attune {
namespace {

using ::testing::_;
using testing::StatusIs;
using testing::TempFolder;

TEST(PartFileTest, Open_GoesOnWhereItStopped) {
  const TempFolder folder;
  const std::string path = folder.Child("b.bundle");
  {
    ASSERT_OK_AND_ASSIGN(PartFile part, PartFile::Open(path, 6));
    ASSERT_OK(part.Append(0, "abc"));
  }
  ASSERT_OK_AND_ASSIGN(PartFile part, PartFile::Open(path, 6));
  EXPECT_EQ(part.received(), 3u);
  EXPECT_FALSE(part.whole());
  ASSERT_OK(part.Append(3, "def"));
  EXPECT_TRUE(part.whole());
  ASSERT_OK(std::move(part).Finish(Sha256Hex("abcdef")));
  ASSERT_OK_AND_ASSIGN(const std::string bytes, ReadFile(path));
  EXPECT_EQ(bytes, "abcdef");
  EXPECT_FALSE(FileExists(path + ".part"));
}

TEST(PartFileTest, Open_StartsAnewWhenThePartIsTooLong) {
  const TempFolder folder;
  const std::string path = folder.Child("b.bundle");
  ASSERT_OK(WriteFileAtomically(path + ".part", "too long for it", FileAccess::kOwnerOnly));
  ASSERT_OK_AND_ASSIGN(const PartFile part, PartFile::Open(path, 6));
  EXPECT_EQ(part.received(), 0u);
}

TEST(PartFileTest, Append_GapOverlapAndExcess) {
  const TempFolder folder;
  ASSERT_OK_AND_ASSIGN(PartFile part, PartFile::Open(folder.Child("b"), 6));
  ASSERT_OK(part.Append(0, "abc"));
  EXPECT_THAT(part.Append(4, "e"), StatusIs(absl::StatusCode::kDataLoss, _));
  EXPECT_THAT(part.Append(2, "cd"), StatusIs(absl::StatusCode::kDataLoss, _));
  EXPECT_THAT(part.Append(3, "defg"), StatusIs(absl::StatusCode::kDataLoss, _));
}

TEST(PartFileTest, Finish_OtherDigestLeavesNothing) {
  const TempFolder folder;
  const std::string path = folder.Child("b");
  ASSERT_OK_AND_ASSIGN(PartFile part, PartFile::Open(path, 3));
  ASSERT_OK(part.Append(0, "abc"));
  EXPECT_THAT(std::move(part).Finish(Sha256Hex("xyz")), StatusIs(absl::StatusCode::kDataLoss, _));
  EXPECT_FALSE(FileExists(path));
  EXPECT_FALSE(FileExists(path + ".part"));
}

}  // namespace
}  // namespace attune
