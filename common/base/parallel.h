// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_COMMON_BASE_PARALLEL_H_
#define ATTUNE_COMMON_BASE_PARALLEL_H_

#include <cstddef>

#include "absl/functional/function_ref.h"

namespace attune {

// Calls `body(i)` once for each i in [0, count), on up to `threads` threads, and returns when all are done. Which thread takes
// which i is not fixed: for results that do not depend on `threads`, each i must write only what is its own.
void ParallelFor(std::size_t count, int threads, absl::FunctionRef<void(std::size_t)> body);

// The same for [0, size) in tiles of `tile`, the last one shorter: calls `body(first, last)`.
void ParallelTiles(std::ptrdiff_t size, std::ptrdiff_t tile, int threads,
                   absl::FunctionRef<void(std::ptrdiff_t first, std::ptrdiff_t last)> body);

}  // namespace attune

#endif  // ATTUNE_COMMON_BASE_PARALLEL_H_
