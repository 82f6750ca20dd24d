// SPDX-License-Identifier: Apache-2.0
//
// Names of columns, as people type them.
#ifndef ATTUNE_COMMON_TABLES_NAMES_H_
#define ATTUNE_COMMON_TABLES_NAMES_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace attune {

// The end of a message about a name that does not exist: "did you mean 'age'?" with up to three of `known` that resemble it,
// else "there are: age, sex and 3 more".
std::string SuggestNames(absl::string_view name, const std::vector<std::string>& known);

// Whether `text` is valid UTF-8. Names and labels must be: they travel in messages, where nothing else may stand.
bool IsUtf8(absl::string_view text);

}  // namespace attune

#endif  // ATTUNE_COMMON_TABLES_NAMES_H_
