// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_SITE_AGENT_ABSENCE_PATTERNS_H_
#define ATTUNE_SITE_AGENT_ABSENCE_PATTERNS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/status.h"

namespace attune {

// Which subjects of a batch lack which features, as the few distinct sets of absent subjects that real tables have: features
// with the same set share one. Thread-compatible.
class AbsencePatterns {
 public:
  static constexpr std::size_t kMaxPatterns = 4096;

  explicit AbsencePatterns(std::size_t features) : pattern_of_(features, 0), first_feature_(1, 0), absent_(1) {}

  // The next subject's values; NaN: absent. PermissionDenied when there are more than kMaxPatterns distinct sets: then nobody
  // can tell what their differences reveal.
  absl::Status Add(std::span<const double> values);

  struct Finding {
    std::size_t feature;
    std::size_t other;
    std::int64_t people;
  };
  // Two features whose sets of present subjects differ by 1 to min_cell - 1 subjects.
  std::optional<Finding> FindClose(int min_cell) const;

 private:
  using Bits = std::vector<std::uint64_t>;  // a bit per subject; words at the end that are all zero may be left out

  std::int64_t subjects_ = 0;
  std::vector<std::uint32_t> pattern_of_;   // by feature
  std::vector<std::size_t> first_feature_;  // by pattern
  std::vector<Bits> absent_;                // by pattern
};

}  // namespace attune

#endif  // ATTUNE_SITE_AGENT_ABSENCE_PATTERNS_H_
