// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_COMMON_TRANSPORT_PART_FILE_H_
#define ATTUNE_COMMON_TRANSPORT_PART_FILE_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace attune {

// A file that arrives in pieces, kept as "<path>.part" (readable by its owner only) until it is whole, so that a download goes
// on where an earlier one, or an earlier process, stopped. Not thread-safe.
class PartFile {
 public:
  // `size`: of the whole file. A part that is longer than that belongs to something else and is started anew.
  static absl::StatusOr<PartFile> Open(const std::string& path, std::uint64_t size);
  PartFile(PartFile&& other) noexcept;
  PartFile& operator=(PartFile&&) = delete;
  ~PartFile();

  std::uint64_t received() const { return received_; }
  std::uint64_t size() const { return size_; }
  bool whole() const { return received_ == size_; }

  // Fails with DataLoss when the piece does not follow on what was received or goes beyond the size, with
  // Internal when it cannot be written (disk full).
  absl::Status Append(std::uint64_t offset, absl::string_view data);

  // Moves the whole file to its place, durably. DataLoss, removing the part, when its digest is not `sha256`.
  absl::Status Finish(const std::string& sha256) &&;

 private:
  PartFile(std::string path, std::uint64_t size, std::uint64_t received, int descriptor);

  std::string path_;
  std::uint64_t size_;
  std::uint64_t received_;
  int descriptor_;
};

}  // namespace attune

#endif  // ATTUNE_COMMON_TRANSPORT_PART_FILE_H_
