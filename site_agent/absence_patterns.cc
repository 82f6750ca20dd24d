// SPDX-License-Identifier: Apache-2.0
#include "site_agent/absence_patterns.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"

namespace attune {
namespace {

constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();

std::int64_t CountDifferent(const std::vector<std::uint64_t>& a, const std::vector<std::uint64_t>& b, std::int64_t enough) {
  const std::size_t words = std::max(a.size(), b.size());
  std::int64_t count = 0;
  for (std::size_t i = 0; i < words && count < enough; ++i) {
    count += std::popcount((i < a.size() ? a[i] : 0) ^ (i < b.size() ? b[i] : 0));
  }
  return count;
}

}  // namespace

absl::Status AbsencePatterns::Add(std::span<const double> values) {
  const std::size_t word = static_cast<std::size_t>(subjects_ / 64);
  const std::uint64_t bit = std::uint64_t{1} << (subjects_ % 64);
  const std::size_t known = absent_.size();
  // A pattern whose features are all here or all absent goes on as it is; of one that is divided, the absent ones become a new
  // one.
  std::vector<char> some_present(known, 0);
  for (std::size_t f = 0; f < values.size(); ++f) {
    if (!std::isnan(values[f])) some_present[pattern_of_[f]] = 1;
  }
  std::vector<std::uint32_t> moved_to(known, kNone);
  for (std::size_t f = 0; f < values.size(); ++f) {
    if (!std::isnan(values[f])) continue;
    const std::uint32_t pattern = pattern_of_[f];
    if (moved_to[pattern] == kNone) {
      if (some_present[pattern] == 0) {
        moved_to[pattern] = pattern;
      } else {
        if (absent_.size() == kMaxPatterns) {
          return absl::PermissionDeniedError(
              absl::StrCat("missing values are spread over the features in more than ", kMaxPatterns,
                           " different ways, too many to tell what their differences reveal: complete or remove some"));
        }
        moved_to[pattern] = static_cast<std::uint32_t>(absent_.size());
        absent_.push_back(absent_[pattern]);
        first_feature_.push_back(f);
      }
      Bits& bits = absent_[moved_to[pattern]];
      bits.resize(std::max(bits.size(), word + 1), 0);
      bits[word] |= bit;
    }
    pattern_of_[f] = moved_to[pattern];
  }
  // Where the first feature of a divided pattern moved away, another one stands for the pattern.
  for (std::size_t p = 0; p < known; ++p) {
    if (moved_to[p] == kNone || moved_to[p] == p) continue;
    first_feature_[p] = static_cast<std::size_t>(
        std::find(pattern_of_.begin() + static_cast<std::ptrdiff_t>(first_feature_[p]), pattern_of_.end(), p) -
        pattern_of_.begin());
  }
  ++subjects_;
  return absl::OkStatus();
}

std::optional<AbsencePatterns::Finding> AbsencePatterns::FindClose(int min_cell) const {
  for (std::size_t p = 0; p < absent_.size(); ++p) {
    for (std::size_t q = 0; q < p; ++q) {
      const std::int64_t people = CountDifferent(absent_[p], absent_[q], min_cell);
      if (people > 0 && people < min_cell) return Finding{first_feature_[q], first_feature_[p], people};
    }
  }
  return std::nullopt;
}

}  // namespace attune
