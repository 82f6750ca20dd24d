// SPDX-License-Identifier: Apache-2.0
#include "common/base/core_dump.h"

#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/resource.h>

namespace attune {
namespace {

TEST(CoreDump, Forbidden_NeitherFileNorPipe) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers have to look into the process";
#endif
  EXPECT_EXIT(
      {
        ForbidCoreDumps();
        rlimit limit = {};
        ::getrlimit(RLIMIT_CORE, &limit);
        ::exit(limit.rlim_cur == 0 && limit.rlim_max == 0 && ::prctl(PR_GET_DUMPABLE) == 0 ? 0 : 1);
      },
      ::testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace attune
