// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_COORDINATOR_TEXT_TABLE_H_
#define ATTUNE_COORDINATOR_TEXT_TABLE_H_

#include <string>
#include <vector>

namespace attune {

// Rows of cells as text with aligned columns, two blanks between them; the first column to the left, the others to the right
// where `numbers`, else to the left too. Each row ends with a newline; rows may be short.
std::string FormatTable(const std::vector<std::vector<std::string>>& rows, bool numbers);

}  // namespace attune

#endif  // ATTUNE_COORDINATOR_TEXT_TABLE_H_
