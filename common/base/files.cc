// SPDX-License-Identifier: Apache-2.0
#include "common/base/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <random>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/errno_status.h"
#include "common/base/mapped_file.h"
#include "common/base/status.h"

namespace attune {
namespace {

constexpr std::size_t kBufferBytes = 1 << 16;

mode_t FileMode(FileAccess access) { return access == FileAccess::kOwnerOnly ? 0600 : 0666; }

std::string FolderOf(const std::string& path) {
  std::string folder = std::filesystem::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

// What a rename changed must survive a power cut: the folder holds the names.
void SyncFolderOf(const std::string& path) {
  const int folder = ::open(FolderOf(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return;
  ::fsync(folder);
  ::close(folder);
}

// A name beside `path` that nobody else has: process ids repeat, in containers above all, and leftovers must not be in the way.
std::string PartialName(const std::string& path) {
  std::random_device random;
  const std::uint64_t number = (std::uint64_t{random()} << 32) | random();
  return absl::StrCat(path, ".", absl::Hex(number, absl::kZeroPad16), ".partial");
}

// Returns 0, or errno.
int WriteOut(int descriptor, absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno;
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return 0;
}

}  // namespace

AtomicFile::AtomicFile(std::string path, std::string partial, int descriptor)
    : path_(std::move(path)), partial_(std::move(partial)), descriptor_(descriptor) {}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : path_(std::move(other.path_)),
      partial_(std::move(other.partial_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      error_(other.error_),
      buffer_(std::move(other.buffer_)) {}

AtomicFile::~AtomicFile() { Close(); }

void AtomicFile::Close() {
  if (descriptor_ < 0) return;
  if (!partial_.empty()) ::unlink(partial_.c_str());
  ::close(std::exchange(descriptor_, -1));
}

absl::StatusOr<AtomicFile> AtomicFile::Create(const std::string& path, FileAccess access) {
  const int descriptor = ::open(FolderOf(path).c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, FileMode(access));
  if (descriptor >= 0) return AtomicFile(path, "", descriptor);
  // What the file system, or an old kernel, says when it has none.
  if (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL) return CreateNamed(path, access);
  return ErrnoStatus(errno, "create", path);
}

absl::StatusOr<AtomicFile> AtomicFile::CreateNamed(const std::string& path, FileAccess access) {
  std::string partial = PartialName(path);
  const int descriptor = ::open(partial.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, FileMode(access));
  if (descriptor < 0) return ErrnoStatus(errno, "create", path);
  return AtomicFile(path, std::move(partial), descriptor);
}

void AtomicFile::Flush() {
  if (error_ == 0) error_ = WriteOut(descriptor_, buffer_);
  buffer_.clear();
}

void AtomicFile::Write(absl::string_view bytes) {
  if (buffer_.size() + bytes.size() < kBufferBytes) {
    buffer_.append(bytes.data(), bytes.size());
    return;
  }
  // What is large is not copied first.
  Flush();
  if (error_ == 0) error_ = WriteOut(descriptor_, bytes);
}

absl::Status AtomicFile::Sync() {
  Flush();
  if (error_ == 0 && ::fsync(descriptor_) != 0) error_ = errno;
  return error_ == 0 ? absl::OkStatus() : ErrnoStatus(error_, "write", path_);
}

absl::Status AtomicFile::Commit() && {
  ATTUNE_RETURN_IF_ERROR(Sync());
  ATTUNE_RETURN_IF_ERROR(std::move(*this).Place());
  SyncFolderOf(path_);
  return absl::OkStatus();
}

absl::Status AtomicFile::Place() && {
  Flush();
  if (error_ != 0) return ErrnoStatus(error_, "write", path_);
  if (partial_.empty()) {
    // A name can be given but not taken over from another file; rename can.
    std::string partial = PartialName(path_);
    const std::string self = absl::StrCat("/proc/self/fd/", descriptor_);
    if (::linkat(AT_FDCWD, self.c_str(), AT_FDCWD, partial.c_str(), AT_SYMLINK_FOLLOW) != 0) {
      return ErrnoStatus(errno, "write", path_);
    }
    partial_ = std::move(partial);
  }
  if (::rename(partial_.c_str(), path_.c_str()) != 0) return ErrnoStatus(errno, "write", path_);
  partial_.clear();
  Close();
  return absl::OkStatus();
}

absl::Status SyncFileSystem(const std::string& folder) {
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return ErrnoStatus(errno, "open", folder);
  const int error = ::syncfs(descriptor) == 0 ? 0 : errno;
  ::close(descriptor);
  return error == 0 ? absl::OkStatus() : ErrnoStatus(error, "write", folder);
}

absl::Status LinkOrCopyFile(const std::string& from, const std::string& to, FileAccess access) {
  const std::string partial = PartialName(to);
  if (::link(from.c_str(), partial.c_str()) == 0) {
    // Of two names of one file rename makes one only where they differ: where `to` is `from` already, the new name stays.
    const bool placed = ::rename(partial.c_str(), to.c_str()) == 0;
    const int error = errno;
    ::unlink(partial.c_str());
    return placed ? absl::OkStatus() : ErrnoStatus(error, "write", to);
  }
  if (errno == ENOENT || errno == ENOTDIR) return ErrnoStatus(errno, "open", from);
  ATTUNE_ASSIGN_OR_RETURN(const std::shared_ptr<const MappedFile> source, MappedFile::Open(from));
  ATTUNE_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(to, access));
  file.Write(source->bytes());
  return std::move(file).Place();
}

absl::Status WriteFileAtomically(const std::string& path, absl::string_view bytes, FileAccess access) {
  auto file = AtomicFile::Create(path, access);
  if (!file.ok()) return file.status();
  file->Write(bytes);
  return std::move(*file).Commit();
}

absl::StatusOr<std::string> ReadFile(const std::string& path, std::uint64_t max_bytes) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return ErrnoStatus(errno, "open", path);
  struct stat info = {};
  ::fstat(descriptor, &info);
  if (S_ISDIR(info.st_mode) || static_cast<std::uint64_t>(info.st_size) > max_bytes) {
    ::close(descriptor);
    return absl::InvalidArgumentError(
        S_ISDIR(info.st_mode) ? absl::StrCat("'", path, "' is a folder, expected a file")
                              : absl::StrCat("'", path, "' has ", info.st_size, " bytes, more than the limit of ", max_bytes));
  }
  std::string bytes;
  char buffer[kBufferBytes];
  for (;;) {
    const ssize_t got = ::read(descriptor, buffer, sizeof(buffer));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      const int error = errno;
      ::close(descriptor);
      return ErrnoStatus(error, "read", path);
    }
    if (got == 0) break;
    bytes.append(buffer, static_cast<std::size_t>(got));
    if (bytes.size() > max_bytes) {
      ::close(descriptor);
      return absl::InvalidArgumentError(absl::StrCat("'", path, "' has more than the limit of ", max_bytes, " bytes"));
    }
  }
  ::close(descriptor);
  return bytes;
}

absl::Status EraseFile(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
  if (descriptor < 0) return errno == ENOENT ? absl::OkStatus() : ErrnoStatus(errno, "erase", path);
  struct stat info = {};
  bool erased = ::fstat(descriptor, &info) == 0;
  const std::string zeros(static_cast<std::size_t>(std::max<off_t>(info.st_size, 0)), '\0');
  erased = erased && ::pwrite(descriptor, zeros.data(), zeros.size(), 0) == static_cast<ssize_t>(zeros.size()) &&
           ::fsync(descriptor) == 0 && ::unlink(path.c_str()) == 0;
  const int error = errno;
  ::close(descriptor);
  return erased ? absl::OkStatus() : ErrnoStatus(error, "erase", path);
}

absl::Status MakeFolder(const std::string& path, FileAccess access) {
  std::error_code ignored;
  if (path.empty() || std::filesystem::is_directory(path, ignored)) return absl::OkStatus();
  const std::string parent = std::filesystem::path(path).parent_path().string();
  if (parent != path) ATTUNE_RETURN_IF_ERROR(MakeFolder(parent, access));
  if (::mkdir(path.c_str(), access == FileAccess::kOwnerOnly ? 0700 : 0777) != 0 && errno != EEXIST) {
    return ErrnoStatus(errno, "create the folder", path);
  }
  if (!std::filesystem::is_directory(path, ignored)) {
    return absl::InvalidArgumentError(absl::StrCat("'", path, "' exists and is not a folder"));
  }
  return absl::OkStatus();
}

bool FileExists(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

}  // namespace attune
