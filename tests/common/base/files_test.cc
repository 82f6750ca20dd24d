// SPDX-License-Identifier: Apache-2.0
#include "common/base/files.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "common/base/mapped_file.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace attune {
namespace {

using ::attune::testing::StatusIs;
using ::attune::testing::TempFolder;
using ::testing::_;
using ::testing::HasSubstr;

std::ptrdiff_t EntriesOf(const std::string& folder) {
  return std::distance(std::filesystem::directory_iterator(folder), std::filesystem::directory_iterator());
}

mode_t ModeOf(const std::string& path) {
  struct stat info = {};
  EXPECT_EQ(::stat(path.c_str(), &info), 0) << path;
  return info.st_mode & 0777;
}

// The mask of the tests, whatever the machine's.
class Files : public ::testing::Test {
 protected:
  Files() : before_(::umask(022)) {}
  ~Files() override { ::umask(before_); }
  const TempFolder folder_;

 private:
  mode_t before_;
};

TEST_F(Files, AtomicFile_AppearsOnlyWithCommit) {
  ASSERT_OK_AND_ASSIGN(AtomicFile file, AtomicFile::Create(folder_ / "out", FileAccess::kShared));
  file.Write("one ");
  EXPECT_FALSE(FileExists(folder_ / "out"));
  file.Write("two");
  ASSERT_OK(std::move(file).Commit());
  EXPECT_EQ(folder_.Read("out"), "one two");
  EXPECT_EQ(EntriesOf(folder_.path()), 1);
}

TEST_F(Files, AtomicFile_Abandoned_LeavesNothing) {
  {
    ASSERT_OK_AND_ASSIGN(AtomicFile file, AtomicFile::Create(folder_ / "out", FileAccess::kShared));
    file.Write(std::string(200000, 'x'));
    ASSERT_OK(file.Sync());
    EXPECT_EQ(EntriesOf(folder_.path()), 0) << "what is killed now leaves nothing";
  }
  EXPECT_EQ(EntriesOf(folder_.path()), 0);
}

TEST_F(Files, AtomicFile_WhereFilesNeedAName) {
  {
    ASSERT_OK_AND_ASSIGN(AtomicFile file, AtomicFile::CreateNamed(folder_ / "out", FileAccess::kShared));
    file.Write("abandoned");
    EXPECT_EQ(EntriesOf(folder_.path()), 1) << "under construction";
    EXPECT_FALSE(FileExists(folder_ / "out"));
  }
  EXPECT_EQ(EntriesOf(folder_.path()), 0);
  ASSERT_OK_AND_ASSIGN(AtomicFile one, AtomicFile::CreateNamed(folder_ / "out", FileAccess::kOwnerOnly));
  ASSERT_OK_AND_ASSIGN(AtomicFile other, AtomicFile::CreateNamed(folder_ / "out", FileAccess::kOwnerOnly));
  one.Write("one");
  other.Write("other");
  ASSERT_OK(std::move(one).Commit());
  EXPECT_EQ(folder_.Read("out"), "one");
  ASSERT_OK(std::move(other).Commit());
  EXPECT_EQ(folder_.Read("out"), "other");
  EXPECT_EQ(EntriesOf(folder_.path()), 1);
  EXPECT_EQ(ModeOf(folder_ / "out"), 0600);
}

TEST_F(Files, AtomicFile_TwoWritersOfOnePath_TheLastWins) {
  ASSERT_OK_AND_ASSIGN(AtomicFile one, AtomicFile::Create(folder_ / "out", FileAccess::kShared));
  ASSERT_OK_AND_ASSIGN(AtomicFile other, AtomicFile::Create(folder_ / "out", FileAccess::kShared));
  one.Write("one");
  other.Write("other");
  ASSERT_OK(std::move(other).Commit());
  ASSERT_OK(std::move(one).Commit());
  EXPECT_EQ(folder_.Read("out"), "one");
  EXPECT_EQ(EntriesOf(folder_.path()), 1);
}

TEST_F(Files, AtomicFile_Abandoned_LeavesTheOldFile) {
  folder_.Write("out", "old");
  {
    ASSERT_OK_AND_ASSIGN(AtomicFile file, AtomicFile::Create(folder_ / "out", FileAccess::kShared));
    file.Write("new");
  }
  EXPECT_EQ(folder_.Read("out"), "old");
}

TEST_F(Files, AtomicFile_Moved_CommitsOnce) {
  ASSERT_OK_AND_ASSIGN(AtomicFile file, AtomicFile::Create(folder_ / "out", FileAccess::kShared));
  file.Write("content");
  AtomicFile moved = std::move(file);
  ASSERT_OK(std::move(moved).Commit());
  EXPECT_EQ(folder_.Read("out"), "content");
}

TEST_F(Files, AtomicFile_Place_IsThereAtOnceAndAlone) {
  folder_.Write("out", "old");
  ASSERT_OK_AND_ASSIGN(AtomicFile file, AtomicFile::Create(folder_ / "out", FileAccess::kShared));
  file.Write("new");
  EXPECT_EQ(folder_.Read("out"), "old");
  ASSERT_OK(std::move(file).Place());
  EXPECT_EQ(folder_.Read("out"), "new");
  EXPECT_EQ(EntriesOf(folder_.path()), 1);
  EXPECT_OK(SyncFileSystem(folder_.path()));
  EXPECT_THAT(SyncFileSystem(folder_ / "none"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("none")));
}

TEST_F(Files, LinkOrCopyFile_TwoNamesOfOneContent) {
  folder_.Write("from", "content");
  folder_.Write("to", "old");
  ASSERT_OK(LinkOrCopyFile(folder_ / "from", folder_ / "to", FileAccess::kOwnerOnly));
  EXPECT_EQ(folder_.Read("to"), "content");
  ASSERT_OK(LinkOrCopyFile(folder_ / "from", folder_ / "to", FileAccess::kOwnerOnly)) << "again";
  EXPECT_EQ(EntriesOf(folder_.path()), 2);
  // Replaced as all files are, one is not the other's any more.
  ASSERT_OK(WriteFileAtomically(folder_ / "from", "new", FileAccess::kOwnerOnly));
  EXPECT_EQ(folder_.Read("to"), "content");
  EXPECT_THAT(LinkOrCopyFile(folder_ / "none", folder_ / "to", FileAccess::kOwnerOnly),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("none")));
  EXPECT_THAT(LinkOrCopyFile(folder_ / "from", folder_ / "none/to", FileAccess::kOwnerOnly),
              StatusIs(absl::StatusCode::kNotFound, _));
  EXPECT_EQ(folder_.Read("to"), "content");
}

TEST_F(Files, LinkOrCopyFile_AcrossFileSystems) {
  // Where memory is another file system than the folder of temporary files, nothing can be linked.
  folder_.Write("from", "content");
  const std::string to = absl::StrCat("/dev/shm/attune-files-test-", ::getpid());
  const absl::Status copied = LinkOrCopyFile(folder_ / "from", to, FileAccess::kOwnerOnly);
  const std::string content = ReadFile(to).value_or("");
  ::unlink(to.c_str());
  ASSERT_OK(copied);
  EXPECT_EQ(content, "content");
}

TEST_F(Files, AtomicFile_Modes) {
  ASSERT_OK(WriteFileAtomically(folder_ / "key", "k", FileAccess::kOwnerOnly));
  ASSERT_OK(WriteFileAtomically(folder_ / "result", "r", FileAccess::kShared));
  EXPECT_EQ(ModeOf(folder_ / "key"), 0600);
  EXPECT_EQ(ModeOf(folder_ / "result"), 0644);
}

TEST_F(Files, AtomicFile_OwnerOnly_OverAFileThatAllMayRead) {
  folder_.Write("key", "old");
  ASSERT_EQ(ModeOf(folder_ / "key"), 0644);
  ASSERT_OK(WriteFileAtomically(folder_ / "key", "new", FileAccess::kOwnerOnly));
  EXPECT_EQ(ModeOf(folder_ / "key"), 0600);
}

TEST_F(Files, AtomicFile_NoFolder_NotFound) {
  EXPECT_THAT(AtomicFile::Create(folder_ / "none/out", FileAccess::kShared),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("none/out")));
}

TEST_F(Files, AtomicFile_OntoAFolder_FailsAndLeavesNothing) {
  ASSERT_OK(MakeFolder(folder_ / "taken", FileAccess::kShared));
  EXPECT_FALSE(WriteFileAtomically(folder_ / "taken", "x", FileAccess::kShared).ok());
  EXPECT_EQ(EntriesOf(folder_.path()), 1);
}

TEST_F(Files, ReadFile_BytesAsTheyAre) {
  const std::string bytes("a\0b\r\n\xff", 6);
  EXPECT_THAT(ReadFile(folder_.Write("f", bytes)), testing::IsOk());
  EXPECT_EQ(*ReadFile(folder_ / "f"), bytes);
  EXPECT_EQ(*ReadFile(folder_.Write("empty", "")), "");
}

TEST_F(Files, ReadFile_BadInput) {
  EXPECT_THAT(ReadFile(folder_ / "none"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("none")));
  EXPECT_THAT(ReadFile(folder_.path()), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("folder")));
  const std::string path = folder_.Write("f", "12345");
  EXPECT_OK(ReadFile(path, 5));
  EXPECT_THAT(ReadFile(path, 4), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("limit of 4")));
  // No size to check beforehand: an endless file is stopped while it is read.
  EXPECT_THAT(ReadFile("/dev/zero", 1000), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("limit of 1000")));
}

TEST_F(Files, MakeFolder_ParentsAndModes) {
  ASSERT_OK(MakeFolder(folder_ / "a/b/c", FileAccess::kOwnerOnly));
  EXPECT_EQ(ModeOf(folder_ / "a"), 0700);
  EXPECT_EQ(ModeOf(folder_ / "a/b/c"), 0700);
  EXPECT_OK(MakeFolder(folder_ / "a/b/c", FileAccess::kShared)) << "one that exists is fine";
  EXPECT_EQ(ModeOf(folder_ / "a/b/c"), 0700);
  ASSERT_OK(MakeFolder(folder_ / "shared", FileAccess::kShared));
  EXPECT_EQ(ModeOf(folder_ / "shared"), 0755);
}

TEST_F(Files, MakeFolder_WhereAFileIs_Fails) {
  folder_.Write("file", "");
  EXPECT_FALSE(MakeFolder(folder_ / "file", FileAccess::kShared).ok());
  EXPECT_FALSE(MakeFolder(folder_ / "file/below", FileAccess::kShared).ok());
  EXPECT_FALSE(MakeFolder(folder_ / std::string(5000, 'n'), FileAccess::kShared).ok()) << "a name that is too long";
}

TEST_F(Files, MappedFile_BytesAndLifetime) {
  std::shared_ptr<const MappedFile> copy;
  {
    ASSERT_OK_AND_ASSIGN(const auto mapped, MappedFile::Open(folder_.Write("f", "content")));
    copy = mapped;
  }
  std::filesystem::remove(folder_ / "f");
  EXPECT_EQ(copy->bytes(), "content");
  ASSERT_OK_AND_ASSIGN(const auto empty, MappedFile::Open(folder_.Write("empty", "")));
  EXPECT_EQ(empty->bytes(), "");
}

TEST_F(Files, MappedFile_EvictKeepsBytes) {
  const std::string content(100000, 'x');
  ASSERT_OK_AND_ASSIGN(const auto mapped, MappedFile::Open(folder_.Write("f", content)));
  EXPECT_EQ(mapped->bytes(), content);
  for (const std::size_t first : {std::size_t{0}, std::size_t{5000}, std::size_t{99999}, std::size_t{100000}}) {
    mapped->Evict(mapped->bytes().substr(first));
    EXPECT_EQ(mapped->bytes(), content);
  }
}

TEST_F(Files, MappedFile_BadInput) {
  EXPECT_THAT(MappedFile::Open(folder_ / "none"), StatusIs(absl::StatusCode::kNotFound, _));
  EXPECT_THAT(MappedFile::Open(folder_.path()), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("not a regular file")));
}

TEST(EraseFile, OverwritesWhatALinkStillHolds) {
  const TempFolder temp;
  temp.Write("secret", "0123456789");
  std::filesystem::create_hard_link(temp / "secret", temp / "other");
  EXPECT_OK(EraseFile(temp / "secret"));
  EXPECT_FALSE(FileExists(temp / "secret"));
  EXPECT_EQ(temp.Read("other"), std::string(10, '\0'));
  EXPECT_OK(EraseFile(temp / "secret")) << "nothing is left to erase";
}

TEST(EraseFile, FollowsNoLink) {
  const TempFolder temp;
  temp.Write("kept", "value");
  std::filesystem::create_symlink(temp / "kept", temp / "link");
  EXPECT_FALSE(EraseFile(temp / "link").ok());
  EXPECT_EQ(temp.Read("kept"), "value");
}

}  // namespace
}  // namespace attune
