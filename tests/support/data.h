// SPDX-License-Identifier: Apache-2.0
//
// The real data and golden results that tests compare with: ../shared from the project's root, or the folder that
// ATTUNE_TEST_DATA names (then its neighbour ../golden). Absent: tests skip, saying so.
#ifndef ATTUNE_TESTS_SUPPORT_DATA_H_
#define ATTUNE_TESTS_SUPPORT_DATA_H_

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace attune::testing {

// The folder `name` ("data/abide", "golden") or nothing.
std::optional<std::string> SharedFolder(const std::string& name);

// A delimited file, plain or .gz, read naively.
struct NaiveTable {
  std::vector<std::string> header;
  std::vector<std::vector<std::string>> rows;
  // Column by name; the header must have it.
  std::size_t Column(const std::string& name) const;
};
NaiveTable ReadNaive(const std::string& path);

// "n/a", "NA" and empty are NaN.
double Number(const std::string& cell);

// The largest absolute difference between two tables of numbers with the same header, joined by their first column. Cells that
// are missing must be so in both; else infinity.
double LargestDifference(const NaiveTable& a, const NaiveTable& b);

}  // namespace attune::testing

#endif  // ATTUNE_TESTS_SUPPORT_DATA_H_
