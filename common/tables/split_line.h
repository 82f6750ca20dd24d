// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_COMMON_TABLES_SPLIT_LINE_H_
#define ATTUNE_COMMON_TABLES_SPLIT_LINE_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace attune {

// The delimiter that stands for any run of blanks.
inline constexpr char kBlanks = ' ';

// Splits one line (without its line end) as RFC 4180 does: a cell in double quotes may hold delimiters, and quotes doubled.
// Blanks around a cell do not count, unless they are within quotes. Replaces `cells` by the first `max_cells` cells and returns
// how many there are. Fails with InvalidArgument (no file or line: the caller knows them) for a quote where none may stand, a
// quoted cell that does not end, and a carriage return between cells.
absl::StatusOr<std::size_t> SplitLine(absl::string_view line, char delimiter, std::size_t max_cells,
                                      std::vector<std::string>* cells);

}  // namespace attune

#endif  // ATTUNE_COMMON_TABLES_SPLIT_LINE_H_
