// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_COMMON_WIRE_HARMONIZED_INPUT_H_
#define ATTUNE_COMMON_WIRE_HARMONIZED_INPUT_H_

#include <optional>
#include <string>

namespace attune {

// The sidecar of a table: its path with .json for its last ending (.gz does not count).
std::string SidecarPathOf(const std::string& table_path);

// The study in whose sidecar the table, or what a link of that name leads to, is said to be harmonized already ("" when it
// names none, or when the sidecar is broken and yet has what only ours say); nullopt when there is no sidecar or it says
// nothing of the kind: sidecars of other programs are none of our business.
std::optional<std::string> HarmonizedInStudy(const std::string& table_path);

// "was harmonized already, in the study 's', says its sidecar": for messages.
std::string DescribeHarmonized(const std::string& study);

}  // namespace attune

#endif  // ATTUNE_COMMON_WIRE_HARMONIZED_INPUT_H_
