// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_COMMON_METHODS_COMBAT_COMBAT_H_
#define ATTUNE_COMMON_METHODS_COMBAT_COMBAT_H_

#include "common/kernel/method.h"

namespace attune {

// "combat/1": location/scale harmonization with empirical Bayes, exact in one round (README.md in this folder has the
// formulas, the rounds and what each form reveals). Johnson, Li & Rabinovic, Biostatistics 2007; Fortin et al., NeuroImage
// 2018.
const Method& CombatMethod();

}  // namespace attune

#endif  // ATTUNE_COMMON_METHODS_COMBAT_COMBAT_H_
