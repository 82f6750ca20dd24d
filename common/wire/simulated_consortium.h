// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_COMMON_WIRE_SIMULATED_CONSORTIUM_H_
#define ATTUNE_COMMON_WIRE_SIMULATED_CONSORTIUM_H_

namespace attune {

// The consortium of attune-simulate, where there is nobody to protect: site agents answer a pooled study with plain sums only
// here.
inline constexpr char kSimulatedConsortium[] = "simulated";

}  // namespace attune

#endif  // ATTUNE_COMMON_WIRE_SIMULATED_CONSORTIUM_H_
