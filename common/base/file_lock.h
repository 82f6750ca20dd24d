// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_COMMON_BASE_FILE_LOCK_H_
#define ATTUNE_COMMON_BASE_FILE_LOCK_H_

#include <string>

#include "absl/status/statusor.h"

namespace attune {

// Keeps others, of this process or another, from what a lock file stands for, for as long as it lives. A killed process leaves
// no lock behind.
class FileLock {
 public:
  // Waits for the lock. Creates the file `path` (0600), which stays. Internal: the folder is missing or not writable.
  static absl::StatusOr<FileLock> Acquire(const std::string& path);
  FileLock(FileLock&& other) noexcept;
  FileLock& operator=(FileLock&&) = delete;
  ~FileLock();

 private:
  explicit FileLock(int descriptor) : descriptor_(descriptor) {}
  int descriptor_;
};

}  // namespace attune

#endif  // ATTUNE_COMMON_BASE_FILE_LOCK_H_
