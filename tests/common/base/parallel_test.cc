// SPDX-License-Identifier: Apache-2.0
#include "common/base/parallel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <vector>

namespace attune {
namespace {

TEST(ParallelFor, CallsEachOnce) {
  for (const int threads : {-1, 0, 1, 2, 8, 100}) {
    for (const std::size_t count : {0, 1, 7, 1000}) {
      std::vector<int> calls(count, 0);  // each i writes only its own
      ParallelFor(count, threads, [&](std::size_t i) { ++calls[i]; });
      EXPECT_EQ(calls, std::vector<int>(count, 1)) << threads << " threads";
    }
  }
}

TEST(ParallelFor, AllDoneWhenItReturns) {
  std::atomic<int> done{0};
  ParallelFor(64, 8, [&](std::size_t) { ++done; });
  EXPECT_EQ(done, 64);
}

}  // namespace
}  // namespace attune
