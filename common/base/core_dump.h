// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_COMMON_BASE_CORE_DUMP_H_
#define ATTUNE_COMMON_BASE_CORE_DUMP_H_

namespace attune {

// From now on this process leaves no core file when it crashes, and another process of the same user cannot read its memory:
// keys and people's data are in it. Call it first in main. Does nothing in builds with sanitizers, which have to look into the
// process.
void ForbidCoreDumps();

}  // namespace attune

#endif  // ATTUNE_COMMON_BASE_CORE_DUMP_H_
