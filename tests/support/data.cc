// SPDX-License-Identifier: Apache-2.0
#include "tests/support/data.h"

#include <zlib.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <limits>

#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace attune::testing {

std::optional<std::string> SharedFolder(const std::string& name) {
  const char* data = std::getenv("ATTUNE_TEST_DATA");
  const std::filesystem::path shared =
      data != nullptr ? std::filesystem::path(data).parent_path() : std::filesystem::path(ATTUNE_SOURCE_DIR) / ".." / "shared";
  const std::filesystem::path folder = shared / name;
  if (!std::filesystem::is_directory(folder)) return std::nullopt;
  return std::filesystem::canonical(folder).string();
}

std::size_t NaiveTable::Column(const std::string& name) const {
  return static_cast<std::size_t>(std::find(header.begin(), header.end(), name) - header.begin());
}

NaiveTable ReadNaive(const std::string& path) {
  std::string text;
  gzFile file = gzopen(path.c_str(), "rb");  // reads plain files too
  char buffer[1 << 16];
  for (int got = gzread(file, buffer, sizeof(buffer)); got > 0; got = gzread(file, buffer, sizeof(buffer))) {
    text.append(buffer, static_cast<std::size_t>(got));
  }
  gzclose(file);
  NaiveTable table;
  const char delimiter = text.substr(0, text.find('\n')).find('\t') != std::string::npos ? '\t' : ',';
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    line = absl::StripSuffix(line, "\r");
    std::vector<std::string> cells = absl::StrSplit(line, delimiter);
    for (std::string& cell : cells) {
      if (cell.size() > 1 && cell.front() == '"' && cell.back() == '"') cell = cell.substr(1, cell.size() - 2);
    }
    if (table.header.empty()) {
      table.header = cells;
    } else {
      table.rows.push_back(cells);
    }
  }
  return table;
}

double Number(const std::string& cell) {
  if (cell.empty() || cell == "n/a" || cell == "NA" || cell == "NaN") return std::nan("");
  return std::strtod(cell.c_str(), nullptr);
}

double LargestDifference(const NaiveTable& a, const NaiveTable& b) {
  constexpr double kDifferent = std::numeric_limits<double>::infinity();
  if (a.header != b.header || a.rows.size() != b.rows.size()) return kDifferent;
  std::map<std::string, const std::vector<std::string>*> by_id;
  for (const auto& row : b.rows) by_id[row[0]] = &row;
  double largest = 0;
  for (const auto& row : a.rows) {
    const auto other = by_id.find(row[0]);
    if (other == by_id.end()) return kDifferent;
    for (std::size_t c = 1; c < row.size(); ++c) {
      const double here = Number(row[c]);
      const double there = Number((*other->second)[c]);
      if (std::isnan(here) != std::isnan(there)) return kDifferent;
      if (!std::isnan(here)) largest = std::max(largest, std::abs(here - there));
    }
  }
  return largest;
}

}  // namespace attune::testing
