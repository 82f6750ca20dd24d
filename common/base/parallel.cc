// SPDX-License-Identifier: Apache-2.0
#include "common/base/parallel.h"

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

namespace attune {

void ParallelFor(std::size_t count, int threads, absl::FunctionRef<void(std::size_t)> body) {
  std::atomic<std::size_t> next{0};
  const auto work = [&] {
    for (std::size_t i = next++; i < count; i = next++) body(i);
  };
  const std::size_t helpers = std::min<std::size_t>(count, static_cast<std::size_t>(std::max(threads, 1)));
  std::vector<std::thread> others;
  for (std::size_t t = 1; t < helpers; ++t) others.emplace_back(work);
  work();
  for (std::thread& other : others) other.join();
}

void ParallelTiles(std::ptrdiff_t size, std::ptrdiff_t tile, int threads,
                   absl::FunctionRef<void(std::ptrdiff_t first, std::ptrdiff_t last)> body) {
  ParallelFor(static_cast<std::size_t>((size + tile - 1) / tile), threads, [&](std::size_t i) {
    const std::ptrdiff_t first = static_cast<std::ptrdiff_t>(i) * tile;
    body(first, std::min(first + tile, size));
  });
}

}  // namespace attune
