// SPDX-License-Identifier: Apache-2.0
//
// Whole-file reading and writing that never leaves a half-written file behind.
#ifndef ATTUNE_COMMON_BASE_FILES_H_
#define ATTUNE_COMMON_BASE_FILES_H_

#include <cstdint>
#include <fstream>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace attune {

// Who may read a file that Attune writes.
enum class FileAccess {
  kOwnerOnly,  // 0600: keys, tokens and whatever was computed from people
  kShared,     // 0666 less the user's umask: results that the user means to hand on
};

// A file under construction, which has no name before Commit() puts it into its place: an error, an exception, a signal or a
// power cut leaves nothing (but a whole file "<path>.<random>.partial" in the instant between two steps of Commit). Of two that
// write one path the last to commit wins, and each is whole. Not thread-safe.
class AtomicFile {
 public:
  // Fails with NotFound when the folder does not exist and with Internal as the system says.
  static absl::StatusOr<AtomicFile> Create(const std::string& path, FileAccess access);
  // The same where the file system knows no files without a name (NFS): it is under construction beside its place, with a name
  // that ends in ".partial" and that the destructor removes; what is killed in between leaves it. Create comes here by itself.
  static absl::StatusOr<AtomicFile> CreateNamed(const std::string& path, FileAccess access);
  AtomicFile(AtomicFile&&) noexcept;
  AtomicFile& operator=(AtomicFile&&) = delete;
  ~AtomicFile();

  // Errors are kept and returned by Sync and Commit.
  void Write(absl::string_view bytes);
  // Makes what was written durable, so that Commit has no reason left to fail but the folder. Fails with ResourceExhausted when
  // the disk is full, else with Internal.
  absl::Status Sync();
  // Sync, and then the place. Consumes the file.
  absl::Status Commit() &&;
  // The place without the Sync: after a power cut the file may be there and empty, or not there. For one of many files, each of
  // which is checked before it is believed, and which one SyncFileSystem makes durable together.
  absl::Status Place() &&;

 private:
  AtomicFile(std::string path, std::string partial, int descriptor);
  void Flush();
  void Close();

  std::string path_;
  std::string partial_;  // empty: no name yet
  int descriptor_;
  int error_ = 0;
  std::string buffer_;
};

// Makes durable whatever was written to the file system of this folder. Fails with Internal.
absl::Status SyncFileSystem(const std::string& folder);

// Gives the file `from` a second name `to`, replacing what is there; a copy where the file system links no files. For files
// that are never written in place: both names may be of the same bytes on disk. As with Place, the name may be lost in a power
// cut. Fails as AtomicFile does, and with NotFound when there is no `from`.
absl::Status LinkOrCopyFile(const std::string& from, const std::string& to, FileAccess access);

absl::Status WriteFileAtomically(const std::string& path, absl::string_view bytes, FileAccess access);

// The bytes of a file. Fails with NotFound when it cannot be opened, with InvalidArgument when it is a folder or larger than
// `max_bytes` (checked before memory is taken).
absl::StatusOr<std::string> ReadFile(const std::string& path, std::uint64_t max_bytes = std::uint64_t{1} << 30);

// Overwrites the file's bytes with zeros, makes that durable and removes it; OK when there is none. A copy-on-write file system
// or a flash disk may keep the old bytes: what must never be read again belongs on an encrypted disk. Fails with Internal.
absl::Status EraseFile(const std::string& path);

// Creates a folder and its parents; one that exists is fine. `access` holds for the folders that are made.
absl::Status MakeFolder(const std::string& path, FileAccess access);

bool FileExists(const std::string& path);

}  // namespace attune

#endif  // ATTUNE_COMMON_BASE_FILES_H_
