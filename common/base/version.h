// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_COMMON_BASE_VERSION_H_
#define ATTUNE_COMMON_BASE_VERSION_H_

namespace attune {

// The software's version, as in CMakeLists.txt and CHANGELOG.md (tests/architecture compares them).
inline constexpr char kVersion[] = "0.1.0";

}  // namespace attune

#endif  // ATTUNE_COMMON_BASE_VERSION_H_
