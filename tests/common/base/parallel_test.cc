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

TEST(ParallelTiles, CoverEachOnce) {
  for (const int threads : {1, 3}) {
    for (const std::ptrdiff_t size : {0, 1, 4, 7, 8, 100}) {
      std::vector<int> covered(static_cast<std::size_t>(size), 0);
      ParallelTiles(size, 4, threads, [&](std::ptrdiff_t first, std::ptrdiff_t last) {
        EXPECT_EQ(first % 4, 0);
        EXPECT_LE(last, first + 4);
        for (std::ptrdiff_t i = first; i < last; ++i) ++covered[static_cast<std::size_t>(i)];
      });
      EXPECT_EQ(covered, std::vector<int>(covered.size(), 1)) << size << " in " << threads << " threads";
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
