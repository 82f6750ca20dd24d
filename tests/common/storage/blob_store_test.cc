// SPDX-License-Identifier: Apache-2.0
#include "common/storage/blob_store.h"

#include <sys/stat.h>

#include <filesystem>
#include <memory>
#include <thread>
#include <vector>

#include "common/base/digest.h"
#include "common/base/files.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace attune {
namespace {

using ::attune::testing::StatusIs;
using ::attune::testing::TempFolder;
using ::testing::HasSubstr;

class BlobStoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto store = BlobStore::Open(folder_ / "blobs");
    ASSERT_OK(store);
    store_ = std::make_unique<BlobStore>(*std::move(store));
  }

  TempFolder folder_;
  std::unique_ptr<BlobStore> store_;
  const std::string content_ = std::string("content\0more", 12);
  const std::string digest_ = Sha256Hex(content_);
};

TEST_F(BlobStoreTest, Adopt_MakesAVerifiedBlob) {
  EXPECT_FALSE(store_->Has(digest_));
  const std::string scratch = store_->ScratchPath("answer");
  ASSERT_OK(WriteFileAtomically(scratch, content_, FileAccess::kShared));
  ASSERT_OK(store_->Adopt(scratch, digest_));
  EXPECT_FALSE(FileExists(scratch));
  EXPECT_TRUE(store_->Has(digest_));
  ASSERT_OK_AND_ASSIGN(const std::string path, store_->Verified(digest_));
  EXPECT_EQ(path, store_->PathOf(digest_));
  ASSERT_OK_AND_ASSIGN(const std::string read, ReadFile(path));
  EXPECT_EQ(read, content_);
  ASSERT_OK_AND_ASSIGN(const std::uint64_t size, store_->SizeOf(digest_));
  EXPECT_EQ(size, content_.size());
  struct stat info = {};
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(BlobStoreTest, Adopt_AgainKeepsTheFirst) {
  for (int i = 0; i < 2; ++i) {
    ASSERT_OK(WriteFileAtomically(store_->ScratchPath("x"), content_, FileAccess::kOwnerOnly));
    EXPECT_OK(store_->Adopt(store_->ScratchPath("x"), digest_));
    EXPECT_FALSE(FileExists(store_->ScratchPath("x")));
  }
  EXPECT_OK(store_->Adopt(store_->ScratchPath("x"), digest_));  // another upload of the same bytes came first
}

TEST_F(BlobStoreTest, Adopt_OtherContent) {
  ASSERT_OK(WriteFileAtomically(store_->ScratchPath("x"), "something else", FileAccess::kOwnerOnly));
  EXPECT_THAT(store_->Adopt(store_->ScratchPath("x"), digest_),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("send them again")));
  EXPECT_FALSE(FileExists(store_->ScratchPath("x")));
  EXPECT_FALSE(store_->Has(digest_));
}

TEST_F(BlobStoreTest, Adopt_NoFileOrNoDigest) {
  EXPECT_THAT(store_->Adopt(store_->ScratchPath("x"), digest_), StatusIs(absl::StatusCode::kNotFound, HasSubstr("scratch/x")));
  EXPECT_THAT(store_->Adopt(store_->ScratchPath("x"), "../x"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("SHA-256")));
}

TEST_F(BlobStoreTest, Verified_MissingAndDamaged) {
  EXPECT_THAT(store_->Verified(digest_), StatusIs(absl::StatusCode::kNotFound, HasSubstr(digest_)));
  EXPECT_THAT(store_->SizeOf(digest_), StatusIs(absl::StatusCode::kNotFound, HasSubstr(digest_)));
  ASSERT_OK(WriteFileAtomically(store_->PathOf(digest_), "damaged", FileAccess::kOwnerOnly));
  EXPECT_THAT(store_->Verified(digest_), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("damaged")));
}

TEST_F(BlobStoreTest, Names_NeverLeaveTheFolder) {
  const std::filesystem::path scratch = std::filesystem::path(store_->ScratchPath("x")).parent_path();
  for (const std::string& name : {std::string("../../etc/passwd"), std::string(".."), std::string("."), std::string(""),
                                  std::string("a/b"), std::string(5000, 'n'), std::string("a\0b", 3)}) {
    const std::filesystem::path path = store_->ScratchPath(name);
    EXPECT_EQ(path.parent_path(), scratch) << name;
    EXPECT_OK(store_->Append(name, 0, "x")) << name;
    EXPECT_FALSE(store_->Has(name));
    EXPECT_EQ(std::filesystem::path(store_->PathOf(name)).parent_path(), scratch.parent_path());
  }
  EXPECT_NE(store_->ScratchPath("a/b"), store_->ScratchPath("a%2fb"));
}

TEST_F(BlobStoreTest, Append_ResumesAndSkipsWhatIsHere) {
  ASSERT_OK_AND_ASSIGN(std::uint64_t received, store_->Received("up"));
  EXPECT_EQ(received, 0u);
  ASSERT_OK(store_->Append("up", 0, "abcd"));
  ASSERT_OK(store_->Append("up", 0, "ab"));    // sent again
  ASSERT_OK(store_->Append("up", 2, "cdef"));  // half of it again
  ASSERT_OK(store_->Append("up", 6, ""));
  ASSERT_OK_AND_ASSIGN(received, store_->Received("up"));
  EXPECT_EQ(received, 6u);
  EXPECT_THAT(store_->Append("new", 1, "x"), StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("0 were received")));
  EXPECT_FALSE(FileExists(store_->ScratchPath("new")));
  EXPECT_THAT(store_->Append("up", 7, "x"), StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("6 were received")));
  EXPECT_OK(store_->Adopt(store_->ScratchPath("up"), Sha256Hex("abcdef")));
  ASSERT_OK_AND_ASSIGN(received, store_->Received("up"));
  EXPECT_EQ(received, 0u);
}

TEST_F(BlobStoreTest, Append_ThreadsOfOneUploadAgree) {
  std::string bytes;
  for (int i = 0; i < 50'000; ++i) bytes.push_back(static_cast<char>(i * 31 % 251));
  const std::string digest = Sha256Hex(bytes);
  const auto upload = [&] {
    for (;;) {
      const auto received = store_->Received("up");
      ASSERT_OK(received);
      if (*received == bytes.size()) break;
      if (store_->Has(digest)) return;
      const absl::Status status = store_->Append("up", *received, absl::string_view(bytes).substr(*received, 1000));
      // The other thread may have adopted the upload in between: then it starts again at 0.
      ASSERT_TRUE(status.ok() || absl::IsOutOfRange(status)) << status;
    }
    EXPECT_OK(store_->Adopt(store_->ScratchPath("up"), digest));
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) threads.emplace_back(upload);
  for (std::thread& thread : threads) thread.join();
  EXPECT_OK(store_->Verified(digest));
}

}  // namespace
}  // namespace attune
