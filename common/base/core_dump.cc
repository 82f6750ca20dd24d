// SPDX-License-Identifier: Apache-2.0
#include "common/base/core_dump.h"

#include <sys/prctl.h>
#include <sys/resource.h>

namespace attune {

void ForbidCoreDumps() {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  const rlimit none = {};
  ::setrlimit(RLIMIT_CORE, &none);
  // The limit alone does not count where cores are piped to a program (systemd-coredump).
  ::prctl(PR_SET_DUMPABLE, 0);
#endif
}

}  // namespace attune
