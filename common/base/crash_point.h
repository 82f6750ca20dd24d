// SPDX-License-Identifier: Apache-2.0
//
// Fault injection for the tests of crash recovery. A program started with ATTUNE_CRASH_AT=<name> kills itself with SIGKILL at
// the first CrashPoint of that name ("<name>:<k>": at the k-th). Without the variable a CrashPoint does nothing.
#ifndef ATTUNE_COMMON_BASE_CRASH_POINT_H_
#define ATTUNE_COMMON_BASE_CRASH_POINT_H_

#include "absl/strings/string_view.h"

namespace attune {

// Thread-safe, as long as nobody changes the environment meanwhile.
void CrashPoint(absl::string_view name);

}  // namespace attune

#endif  // ATTUNE_COMMON_BASE_CRASH_POINT_H_
