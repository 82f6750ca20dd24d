// SPDX-License-Identifier: Apache-2.0
//
// Tables in delimited text: .tsv, .csv, and whatever aparcstats2table writes, plain or gzipped.
#ifndef ATTUNE_COMMON_TABLES_DELIMITED_H_
#define ATTUNE_COMMON_TABLES_DELIMITED_H_

#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/tables/descriptor.h"

namespace attune {

// One table: a line of names, and rows with one cell per name, one row a line. Memory: the names and 8 bytes per row; a gzipped
// file is expanded once, into a temporary file without a name. Reading is thread-safe.
class DelimitedFile {
 public:
  // Opens the file and reads it once, from end to end. What separates cells follows from the name (after a final .gz): a tab in
  // .tsv, a comma in .csv (a semicolon where the header has semicolons and no comma); for any other name from the header: a
  // tab, a comma, a semicolon or runs of blanks, the first of these that it holds. A byte order mark, CRLF and blank lines at
  // the end do not count, and neither do blanks around a cell.
  //
  // Fails with NotFound when there is no such file and with InvalidArgument (file and line) when it is empty or broken gzip,
  // has an empty or repeated name in its header, a row with another number of cells, a blank line between rows, a quoted cell
  // over several lines, a NUL byte, or a line of more than 64 MiB.
  static absl::StatusOr<DelimitedFile> Open(const std::string& path);

  const std::string& path() const { return path_; }
  // The names, without blanks around them: unique, not empty, valid UTF-8.
  const std::vector<std::string>& header() const { return header_; }
  std::optional<std::size_t> ColumnOf(absl::string_view name) const;
  std::size_t row_count() const { return offsets_.size() - 1; }

  // The cells of row `row` < row_count(), as many as names. Fails with DataLoss when the file was changed after Open.
  absl::StatusOr<std::vector<std::string>> ReadRow(std::size_t row) const;

  // Where a row stands in the file, counted from 1 (the header's line).
  std::size_t LineOf(std::size_t row) const { return row + 2; }
  // "<path>:<line>", and the same with ": column '<name>'": how messages begin.
  std::string Where(std::size_t row) const;
  std::string Where(std::size_t row, std::size_t column) const;

  // Of the file's bytes as they were read, gzipped as they may be.
  const std::string& sha256() const { return sha256_; }

 private:
  DelimitedFile() = default;
  absl::Status OpenFile();
  absl::Status Index();
  absl::Status ReadHeader(absl::string_view line);
  absl::Status CheckUnchanged() const;

  std::string path_;
  Descriptor file_;           // the table's text
  struct stat as_read_ = {};  // how file_ was when it was read
  char delimiter_ = '\t';
  std::vector<std::string> header_;
  std::vector<std::uint64_t> offsets_;  // where each row starts, and where the last one ends
  std::string sha256_;
};

}  // namespace attune

#endif  // ATTUNE_COMMON_TABLES_DELIMITED_H_
