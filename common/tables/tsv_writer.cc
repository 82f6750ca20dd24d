// SPDX-License-Identifier: Apache-2.0
#include "common/tables/tsv_writer.h"

#include <csv.h>

#include "absl/strings/string_view.h"
#include "common/base/status.h"

namespace attune {

absl::StatusOr<TsvWriter> TsvWriter::Create(const std::string& path, FileAccess access) {
  ATTUNE_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path, access));
  return TsvWriter(std::move(file));
}

void TsvWriter::WriteRow(const std::vector<std::string>& cells) {
  line_.clear();
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const absl::string_view cell = cells[i];
    if (i > 0) line_ += '\t';
    const bool quoted = !cell.empty() && (cell.find_first_of("\t\r\n\"") != absl::string_view::npos || cell.front() == ' ' ||
                                          cell.back() == ' ');
    if (quoted) {
      const std::size_t start = line_.size();
      line_.resize(start + 2 * cell.size() + 2);
      line_.resize(start + csv_write(line_.data() + start, line_.size() - start, cell.data(), cell.size()));
    } else {
      line_.append(cell.data(), cell.size());
    }
  }
  line_ += '\n';
  file_.Write(line_);
}

}  // namespace attune
