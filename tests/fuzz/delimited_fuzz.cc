// SPDX-License-Identifier: Apache-2.0
//
// Tables of every delimiter, plain and gzipped. The first byte chooses the name of the file.
#include <algorithm>
#include <set>

#include "common/base/digest.h"
#include "common/tables/delimited.h"
#include "common/tables/names.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/temp_folder.h"

namespace attune::fuzz {

ATTUNE_FUZZ_TARGET(delimited)(absl::string_view bytes) {
  static const testing::TempFolder folder;
  static constexpr const char* kNames[] = {"t.tsv", "t.csv", "t.txt", "t.tsv.gz"};
  Input input(bytes);
  const char* const name = kNames[input.Byte() % 4];
  const std::string path = folder.Write(name, std::string(input.Rest()));
  const absl::StatusOr<DelimitedFile> table = DelimitedFile::Open(path);
  RequirePrintable(table.status());
  if (!table.ok()) return;
  Require(table->sha256() == Sha256Hex(input.Rest()), "the digest is that of the file");
  const std::vector<std::string>& header = table->header();
  Require(!header.empty() && std::set<std::string>(header.begin(), header.end()).size() == header.size(), "unique names");
  Require(
      std::all_of(header.begin(), header.end(), [](const std::string& column) { return !column.empty() && IsUtf8(column); }),
      "names in UTF-8");
  for (std::size_t row = 0; row < table->row_count(); ++row) {
    const absl::StatusOr<std::vector<std::string>> cells = table->ReadRow(row);
    Require(cells.ok() && cells->size() == header.size(), "a row that was counted can be read, one cell per name");
  }
  SuggestNames(header.front(), header);
}

}  // namespace attune::fuzz
