// SPDX-License-Identifier: Apache-2.0
#include "common/storage/blob_store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/base/files.h"
#include "common/base/status.h"

namespace attune {
namespace {

constexpr char kScratchFolder[] = "scratch";
constexpr std::size_t kLongestName = 200;  // file systems allow 255 bytes

absl::Status ErrnoStatus(absl::string_view what, const std::string& path) {
  const int error = errno;
  const std::string message = absl::StrCat("cannot ", what, " '", path, "': ", std::strerror(error));
  if (error == ENOENT || error == ENOTDIR) return absl::NotFoundError(message);
  if (error == ENOSPC || error == EDQUOT) return absl::ResourceExhaustedError(message);
  return absl::InternalError(message);
}

// A file's name for any text: names may come from a peer and hold '/' or "..".
std::string SafeName(absl::string_view name) {
  std::string safe;
  for (const char c : name) {
    if (absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-' || (c == '.' && !safe.empty())) {
      safe.push_back(c);
    } else {
      absl::StrAppend(&safe, "%", absl::Hex(static_cast<unsigned char>(c), absl::kZeroPad2));
    }
  }
  return safe.empty() || safe.size() > kLongestName ? Sha256Hex(name) : safe;
}

// An open file with an exclusive lock (flock), which ends with it.
class LockedFile {
 public:
  // Opens what is at `path` now and locks it: appending to an upload and adopting it exclude each other, so that nobody writes
  // to a file that has become a blob.
  static absl::StatusOr<LockedFile> Open(const std::string& path, int flags) {
    for (;;) {
      LockedFile file(::open(path.c_str(), flags | O_CLOEXEC | O_NOFOLLOW, 0600));
      if (file.descriptor_ < 0) return ErrnoStatus("open", path);
      while (::flock(file.descriptor_, LOCK_EX) != 0) {
        if (errno != EINTR) return ErrnoStatus("lock", path);
      }
      struct stat opened = {};
      struct stat named = {};
      if (::fstat(file.descriptor_, &opened) != 0) return ErrnoStatus("inspect", path);
      if (!S_ISREG(opened.st_mode)) return absl::InvalidArgumentError(absl::StrCat("'", path, "' is not a regular file"));
      // While we waited for the lock, its holder may have renamed or removed the file: then look again.
      if (::stat(path.c_str(), &named) == 0 && named.st_ino == opened.st_ino && named.st_dev == opened.st_dev) return file;
    }
  }
  LockedFile(LockedFile&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  LockedFile& operator=(LockedFile&&) = delete;
  ~LockedFile() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  int descriptor() const { return descriptor_; }

 private:
  explicit LockedFile(int descriptor) : descriptor_(descriptor) {}
  int descriptor_;
};

absl::Status SyncFolder(const std::string& folder) {
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return ErrnoStatus("open the folder", folder);
  const bool synced = ::fsync(descriptor) == 0;
  const absl::Status status = synced ? absl::OkStatus() : ErrnoStatus("sync the folder", folder);
  ::close(descriptor);
  return status;
}

}  // namespace

absl::StatusOr<BlobStore> BlobStore::Open(const std::string& folder) {
  ATTUNE_RETURN_IF_ERROR(MakeFolder(absl::StrCat(folder, "/", kScratchFolder), FileAccess::kOwnerOnly));
  return BlobStore(folder);
}

std::string BlobStore::PathOf(absl::string_view sha256) const {
  // What is no digest never becomes part of a path.
  return absl::StrCat(folder_, "/", IsSha256Hex(sha256) ? sha256 : "not-a-digest");
}

bool BlobStore::Has(absl::string_view sha256) const { return IsSha256Hex(sha256) && FileExists(PathOf(sha256)); }

absl::StatusOr<std::uint64_t> BlobStore::SizeOf(absl::string_view sha256) const {
  struct stat info = {};
  if (!IsSha256Hex(sha256) || ::stat(PathOf(sha256).c_str(), &info) != 0) {
    return absl::NotFoundError(absl::StrCat("no blob '", sha256, "' in '", folder_, "'"));
  }
  return static_cast<std::uint64_t>(info.st_size);
}

absl::StatusOr<std::string> BlobStore::Verified(absl::string_view sha256) const {
  if (!Has(sha256)) return absl::NotFoundError(absl::StrCat("no blob '", sha256, "' in '", folder_, "'"));
  std::string path = PathOf(sha256);
  ATTUNE_ASSIGN_OR_RETURN(const std::string actual, Sha256OfFile(path));
  if (actual != sha256) {
    return absl::DataLossError(
        absl::StrCat("blob '", path, "' is damaged: its content has SHA-256 ", actual, "; restore it from a copy"));
  }
  return path;
}

std::string BlobStore::ScratchPath(absl::string_view name) const {
  return absl::StrCat(folder_, "/", kScratchFolder, "/", SafeName(name));
}

absl::Status BlobStore::Adopt(const std::string& path, absl::string_view sha256) const {
  if (!IsSha256Hex(sha256)) return absl::InvalidArgumentError(absl::StrCat("'", sha256, "' is not a SHA-256"));
  auto file = LockedFile::Open(path, O_RDWR);
  // Two uploads of the same bytes may end at the same time: the first has moved the file.
  if (absl::IsNotFound(file.status()) && Has(sha256)) return absl::OkStatus();
  if (!file.ok()) return file.status();

  ATTUNE_ASSIGN_OR_RETURN(const std::string actual, Sha256OfFile(path));
  if (actual != sha256) {
    ::unlink(path.c_str());
    return absl::DataLossError(
        absl::StrCat("the bytes received have SHA-256 ", actual, ", expected ", sha256, "; send them again"));
  }
  if (Has(sha256)) {
    ::unlink(path.c_str());
    return absl::OkStatus();
  }
  if (::fchmod(file->descriptor(), 0600) != 0) return ErrnoStatus("set the mode of", path);
  if (::fsync(file->descriptor()) != 0) return ErrnoStatus("sync", path);
  if (::rename(path.c_str(), PathOf(sha256).c_str()) != 0) return ErrnoStatus("rename", path);
  return SyncFolder(folder_);
}

absl::StatusOr<std::uint64_t> BlobStore::Received(absl::string_view name) const {
  const std::string path = ScratchPath(name);
  struct stat info = {};
  if (::stat(path.c_str(), &info) == 0) return static_cast<std::uint64_t>(info.st_size);
  if (errno == ENOENT) return 0;
  return ErrnoStatus("inspect", path);
}

absl::Status BlobStore::RemoveScratch(absl::string_view prefix, absl::string_view except) const {
  const std::string first = SafeName(prefix);
  const std::string kept = SafeName(except);
  std::error_code error;
  for (std::filesystem::directory_iterator it(absl::StrCat(folder_, "/", kScratchFolder), error), end; !error && it != end;
       it.increment(error)) {
    const std::string name = it->path().filename().string();
    // One that goes by itself meanwhile is fine.
    std::error_code ignored;
    if (absl::StartsWith(name, first) && name != kept) std::filesystem::remove(it->path(), ignored);
  }
  if (error) return absl::InternalError(absl::StrCat("cannot read '", folder_, "/", kScratchFolder, "': ", error.message()));
  return absl::OkStatus();
}

absl::Status BlobStore::Append(absl::string_view name, std::uint64_t offset, absl::string_view data) const {
  const std::string path = ScratchPath(name);
  const auto beyond = [offset](std::uint64_t received) {
    return absl::OutOfRangeError(absl::StrCat("a piece at byte ", offset, ", but ", received, " were received; go on there"));
  };
  // Only a first piece starts a file: a late one must not leave an empty file where an adopted upload was.
  auto file = LockedFile::Open(path, offset == 0 ? O_CREAT | O_WRONLY : O_WRONLY);
  if (offset > 0 && absl::IsNotFound(file.status())) return beyond(0);
  if (!file.ok()) return file.status();
  struct stat info = {};
  if (::fstat(file->descriptor(), &info) != 0) return ErrnoStatus("inspect", path);
  const auto received = static_cast<std::uint64_t>(info.st_size);
  if (offset > received) return beyond(received);
  if (received - offset >= data.size()) return absl::OkStatus();
  data.remove_prefix(received - offset);
  std::uint64_t at = received;
  while (!data.empty()) {
    const ssize_t written = ::pwrite(file->descriptor(), data.data(), data.size(), static_cast<off_t>(at));
    if (written < 0) {
      if (errno == EINTR) continue;
      return ErrnoStatus("write", path);
    }
    at += static_cast<std::uint64_t>(written);
    data.remove_prefix(static_cast<std::size_t>(written));
  }
  return absl::OkStatus();
}

}  // namespace attune
