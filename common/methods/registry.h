// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_COMMON_METHODS_REGISTRY_H_
#define ATTUNE_COMMON_METHODS_REGISTRY_H_

#include <vector>

#include "absl/strings/string_view.h"
#include "common/kernel/method.h"

namespace attune {

// Every method that this program knows. Being listed here enrols a method in tests/laws.
const std::vector<const Method*>& AllMethods();

// The method with this id ("combat/1"), or null.
const Method* FindMethod(absl::string_view id);

}  // namespace attune

#endif  // ATTUNE_COMMON_METHODS_REGISTRY_H_
