// SPDX-License-Identifier: Apache-2.0
#include "common/base/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace attune {

absl::StatusOr<FileLock> FileLock::Acquire(const std::string& path) {
  FileLock lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  int done = lock.descriptor_ < 0 ? -1 : 0;
  while (lock.descriptor_ >= 0 && (done = ::flock(lock.descriptor_, LOCK_EX)) != 0 && errno == EINTR) {
  }
  if (done != 0) return absl::InternalError(absl::StrCat("cannot lock '", path, "': ", std::strerror(errno)));
  return lock;
}

FileLock::FileLock(FileLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}

FileLock::~FileLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

}  // namespace attune
