// SPDX-License-Identifier: Apache-2.0
#include "common/transport/part_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/base/status.h"

namespace attune {
namespace {

std::string PartPath(const std::string& path) { return absl::StrCat(path, ".part"); }

absl::Status WriteError(int error, const std::string& path) {
  const std::string message = absl::StrCat("cannot write '", path, "': ", std::strerror(error));
  return absl::InternalError(message);
}

}  // namespace

PartFile::PartFile(std::string path, std::uint64_t size, std::uint64_t received, int descriptor)
    : path_(std::move(path)), size_(size), received_(received), descriptor_(descriptor) {}

PartFile::PartFile(PartFile&& other) noexcept
    : path_(std::move(other.path_)),
      size_(other.size_),
      received_(other.received_),
      descriptor_(std::exchange(other.descriptor_, -1)) {}

PartFile::~PartFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

absl::StatusOr<PartFile> PartFile::Open(const std::string& path, std::uint64_t size) {
  const std::string part = PartPath(path);
  const int descriptor = ::open(part.c_str(), O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
  if (descriptor < 0) return WriteError(errno, part);
  PartFile file(path, size, 0, descriptor);
  struct stat info = {};
  if (::fstat(descriptor, &info) != 0) return WriteError(errno, part);
  file.received_ = static_cast<std::uint64_t>(info.st_size);
  if (file.received_ > size) {
    if (::ftruncate(descriptor, 0) != 0) return WriteError(errno, part);
    file.received_ = 0;
  }
  return file;
}

absl::Status PartFile::Append(std::uint64_t offset, absl::string_view data) {
  if (offset != received_ || data.size() > size_ - received_) {
    return absl::DataLossError(absl::StrCat("the coordinator sent bytes ", offset, " to ", offset + data.size(), " where byte ",
                                            received_, " of ", size_, " comes next"));
  }
  while (!data.empty()) {
    const ssize_t written = ::write(descriptor_, data.data(), data.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return WriteError(errno, PartPath(path_));
    }
    received_ += static_cast<std::uint64_t>(written);
    data.remove_prefix(static_cast<std::size_t>(written));
  }
  return absl::OkStatus();
}

absl::Status PartFile::Finish(const std::string& sha256) && {
  const std::string part = PartPath(path_);
  if (::fsync(descriptor_) != 0) return WriteError(errno, part);
  ATTUNE_ASSIGN_OR_RETURN(const std::string found, Sha256OfFile(part));
  if (found != sha256) {
    ::unlink(part.c_str());
    return absl::DataLossError(absl::StrCat("a bundle arrived with the digest ", found, ", expected ", sha256));
  }
  if (::rename(part.c_str(), path_.c_str()) != 0) return WriteError(errno, path_);
  return absl::OkStatus();
}

}  // namespace attune
