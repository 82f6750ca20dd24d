// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_COMMON_STORAGE_BLOB_STORE_H_
#define ATTUNE_COMMON_STORAGE_BLOB_STORE_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace attune {

// Files named by the SHA-256 of their content, in one folder, each readable by its owner only. Thread-safe and safe for
// several processes: a blob appears whole, by rename, or not at all.
class BlobStore {
 public:
  // Creates the folder when it is missing.
  static absl::StatusOr<BlobStore> Open(const std::string& folder);

  // Where the blob is, whether or not it exists.
  std::string PathOf(absl::string_view sha256) const;

  // Whether the blob is here; its size in bytes.
  bool Has(absl::string_view sha256) const;
  absl::StatusOr<std::uint64_t> SizeOf(absl::string_view sha256) const;

  // The path of a blob whose content was checked against its name just now. NotFound, or DataLoss when it is not what its name
  // says: report it, never use it.
  absl::StatusOr<std::string> Verified(absl::string_view sha256) const;

  // A path for a file under construction, in the same file system.
  std::string ScratchPath(absl::string_view name) const;

  // Takes over the file at `path` (of ScratchPath) as the blob `sha256`, durably. DataLoss, removing the file, when its content
  // is another. A blob that is here already is kept.
  absl::Status Adopt(const std::string& path, absl::string_view sha256) const;

  // An upload in pieces. Received(name): bytes kept so far (0: none). Append fails with OutOfRange when `offset` is beyond what
  // was received (bytes before it are taken as sent again and skipped).
  // RemoveScratch removes what is under construction with names that begin with `prefix`, but for the one named `except`.
  absl::StatusOr<std::uint64_t> Received(absl::string_view name) const;
  absl::Status Append(absl::string_view name, std::uint64_t offset, absl::string_view data) const;
  absl::Status RemoveScratch(absl::string_view prefix, absl::string_view except) const;

 private:
  explicit BlobStore(std::string folder) : folder_(std::move(folder)) {}
  std::string folder_;
};

}  // namespace attune

#endif  // ATTUNE_COMMON_STORAGE_BLOB_STORE_H_
