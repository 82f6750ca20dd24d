// SPDX-License-Identifier: Apache-2.0
//
// Text that people and files exchange: numbers that survive the trip, names by pattern, lists in messages.
#ifndef ATTUNE_COMMON_BASE_TEXT_H_
#define ATTUNE_COMMON_BASE_TEXT_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace attune {

// Up to 17 significant digits: reading the text gives back the same double. NaN becomes "n/a", as BIDS writes missing values.
std::string FormatDouble(double value);

// Whether a cell means "missing": empty, "n/a", "NA" or "NaN" (surrounding blanks do not count).
bool IsMissing(absl::string_view cell);

// The finite number that the whole cell spells (decimal point, optional exponent; surrounding blanks do not count).
// Fails with InvalidArgument for anything else; "inf", hexadecimal and missing cells are not numbers here.
absl::StatusOr<double> ParseDouble(absl::string_view cell);

// Whether `name` matches `pattern`, in which '*' stands for any run of characters and '?' for any one. Case counts.
bool MatchesGlob(absl::string_view pattern, absl::string_view name);

// "a, b, c and 4 more": at most `most` items of a list, for messages.
std::string JoinSome(const std::vector<std::string>& items, std::size_t most = 8);

// Whether `name` can be a study, site or consortium name: 1 to 63 of [a-z A-Z 0-9 . _ -], first a letter or digit.
// Such a name is safe as a file name, in a certificate and in a URI.
bool IsPlainName(absl::string_view name);

}  // namespace attune

#endif  // ATTUNE_COMMON_BASE_TEXT_H_
