// SPDX-License-Identifier: Apache-2.0
#include "common/base/text.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace attune {

std::string FormatDouble(double value) {
  if (std::isnan(value)) return "n/a";
  char buffer[32];
  const int size = std::snprintf(buffer, sizeof(buffer), "%.17g", value);
  return std::string(buffer, static_cast<std::size_t>(size));
}

bool IsMissing(absl::string_view cell) {
  cell = absl::StripAsciiWhitespace(cell);
  return cell.empty() || cell == "n/a" || cell == "NA" || cell == "NaN";
}

absl::StatusOr<double> ParseDouble(absl::string_view cell) {
  absl::string_view text = absl::StripAsciiWhitespace(cell);
  if (text.size() > 1 && text.front() == '+' && text[1] != '-') text.remove_prefix(1);
  double value = 0;
  // std::from_chars reads the same digits whatever the locale says.
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) {
    return absl::InvalidArgumentError(absl::StrCat("'", cell, "' is not a finite number"));
  }
  return value;
}

bool MatchesGlob(absl::string_view pattern, absl::string_view name) {
  std::size_t p = 0;
  std::size_t n = 0;
  std::size_t star = absl::string_view::npos;  // where to resume when a '*' must swallow one more character
  std::size_t resume = 0;
  while (n < name.size()) {
    if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == name[n]) && pattern[p] != '*') {
      ++p;
      ++n;
    } else if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = n;
    } else if (star != absl::string_view::npos) {
      p = star + 1;
      n = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

std::string JoinSome(const std::vector<std::string>& items, std::size_t most) {
  if (items.size() <= most) return absl::StrJoin(items, ", ");
  return absl::StrCat(absl::StrJoin(items.begin(), items.begin() + static_cast<std::ptrdiff_t>(most), ", "), " and ",
                      items.size() - most, " more");
}

bool IsPlainName(absl::string_view name) {
  return !name.empty() && name.size() <= 63 && absl::ascii_isalnum(static_cast<unsigned char>(name[0])) &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' || c == '-';
         });
}

}  // namespace attune
