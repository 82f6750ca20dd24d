// SPDX-License-Identifier: Apache-2.0
#include "common/methods/registry.h"

#include "common/methods/combat/combat.h"

namespace attune {

// One explicit table: static registrars would vanish from static libraries.
const std::vector<const Method*>& AllMethods() {
  static const auto& methods = *new std::vector<const Method*>{
      &CombatMethod(),
  };
  return methods;
}

const Method* FindMethod(absl::string_view id) {
  for (const Method* method : AllMethods()) {
    if (method->info().id == id) return method;
  }
  return nullptr;
}

}  // namespace attune
