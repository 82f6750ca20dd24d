// SPDX-License-Identifier: Apache-2.0
#include "common/tables/split_line.h"

#include <csv.h>

namespace attune {
namespace {

struct Collected {
  char delimiter;
  std::size_t max_cells;
  std::vector<std::string>* cells;
  std::size_t cell_count = 0;
  std::size_t line_count = 0;
};

void OnCell(void* text, std::size_t size, void* data) {
  Collected& collected = *static_cast<Collected*>(data);
  // No text at all stands for a cell that is empty and not quoted: between two blanks of a run there is no cell.
  if (text == nullptr && collected.delimiter == kBlanks) return;
  if (collected.cell_count++ < collected.max_cells) {
    collected.cells->emplace_back(text == nullptr ? "" : static_cast<const char*>(text), size);
  }
}

void OnLineEnd(int, void* data) { ++static_cast<Collected*>(data)->line_count; }

class Parser {
 public:
  Parser(char delimiter, std::size_t line_bytes) {
    csv_init(&parser_, CSV_STRICT | CSV_STRICT_FINI | CSV_EMPTY_IS_NULL);
    csv_set_delim(&parser_, static_cast<unsigned char>(delimiter));
    // Room for the longest cell at once: libcsv grows its buffer by this much at a time, by default 128 bytes.
    csv_set_blk_size(&parser_, line_bytes + 1);
  }
  Parser(const Parser&) = delete;
  Parser& operator=(const Parser&) = delete;
  ~Parser() { csv_free(&parser_); }
  csv_parser* get() { return &parser_; }

 private:
  csv_parser parser_;
};

}  // namespace

absl::StatusOr<std::size_t> SplitLine(absl::string_view line, char delimiter, std::size_t max_cells,
                                      std::vector<std::string>* cells) {
  cells->clear();
  Parser parser(delimiter, line.size());
  Collected collected = {.delimiter = delimiter, .max_cells = max_cells, .cells = cells};
  if (csv_parse(parser.get(), line.data(), line.size(), OnCell, OnLineEnd, &collected) != line.size()) {
    if (csv_error(parser.get()) != CSV_EPARSE) return absl::ResourceExhaustedError("a cell does not fit into memory");
    return absl::InvalidArgumentError(
        "a double quote stands inside a cell; put the whole cell into double quotes and double the quotes in it");
  }
  if (csv_fini(parser.get(), OnCell, OnLineEnd, &collected) != 0) {
    return absl::InvalidArgumentError(
        "a cell in double quotes does not end on its line; cells over several lines are not supported: close the quote or take "
        "the line break out of the cell");
  }
  if (collected.line_count > 1) {
    return absl::InvalidArgumentError("a carriage return stands between cells; save the file with line ends LF or CRLF");
  }
  return collected.cell_count;
}

}  // namespace attune
