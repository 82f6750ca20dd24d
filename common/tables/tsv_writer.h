// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_COMMON_TABLES_TSV_WRITER_H_
#define ATTUNE_COMMON_TABLES_TSV_WRITER_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/files.h"

namespace attune {

// Writes a table of tab-separated values that is there as a whole, or not at all. Not thread-safe.
class TsvWriter {
 public:
  // Fails as AtomicFile::Create does.
  static absl::StatusOr<TsvWriter> Create(const std::string& path, FileAccess access);

  // Writes one line. A cell that could be misread (it holds a tab, a line end or a double quote, or begins or ends with a
  // blank) is put into double quotes. Errors are kept and returned by Commit.
  void WriteRow(const std::vector<std::string>& cells);

  // As AtomicFile's.
  absl::Status Sync() { return file_.Sync(); }
  absl::Status Commit() && { return std::move(file_).Commit(); }

 private:
  explicit TsvWriter(AtomicFile file) : file_(std::move(file)) {}

  AtomicFile file_;
  std::string line_;
};

}  // namespace attune

#endif  // ATTUNE_COMMON_TABLES_TSV_WRITER_H_
