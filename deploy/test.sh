#!/usr/bin/env bash
# Builds and runs all tests: optimized, with AddressSanitizer and UndefinedBehaviorSanitizer, and those of threads and services with
# ThreadSanitizer. Usage: deploy/test.sh [JOBS]
set -euo pipefail
cd "$(dirname "$0")/.."
jobs=${1:-$(nproc)}

# run PRESET TARGET [CMAKE ARGUMENT...]
run() {
  local preset=$1 target=$2
  shift 2
  echo "== $preset"
  mkdir -p build
  cmake --preset "$preset" "$@" >"build/$preset.log" 2>&1 || { cat "build/$preset.log"; exit 1; }
  cmake --build --preset "$preset" --parallel "$jobs" --target "$target" -- --quiet
  ctest --preset "$preset" --parallel "$jobs"
}

export ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1 UBSAN_OPTIONS=print_stacktrace=1
# Debian's gRPC, protobuf and abseil are not instrumented: what only they do is not ours to judge.
export TSAN_OPTIONS="suppressions=$PWD/deploy/tsan.supp ignore_noninstrumented_modules=1 history_size=4"
# The page of reports, which the programs have in them; without Node.js they do without.
deploy/build-web.sh
run release all -DATTUNE_BUILD_TESTS=ON -DATTUNE_BUILD_BENCHMARKS=ON
run asan-ubsan all
run tsan attune_threads_tests
