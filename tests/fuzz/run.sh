#!/usr/bin/env bash
# Runs each fuzz target, or those named, FUZZ_SECONDS (default 60) from the seeds in tests/fuzz/corpus and what earlier runs found
# (BUILD/corpus). Usage: tests/fuzz/run.sh BUILD [JOBS [TARGET...]]
# An input that fails is kept as BUILD/crash-*; add it to the corpus once the reason is mended.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "$1" && pwd)
jobs=${2:-1}
shift $(($# < 2 ? $# : 2))
targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(ls "$here/corpus")
scratch=$(mktemp -d)  # the targets' own files, where a crash leaves them
trap 'rm -rf "$scratch"' EXIT

# An input of 64 KiB that takes 512 MiB at once, or 20 s, is a finding too.
run_one() {
  mkdir -p "$build/corpus/$1"
  TMPDIR=$scratch ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1 \
    LSAN_OPTIONS="suppressions=$here/../../deploy/lsan.supp:print_suppressions=0" \
    "$build/bin/fuzz_$1" -max_total_time="${FUZZ_SECONDS:-60}" -max_len=65536 -timeout=20 -rss_limit_mb=2048 -malloc_limit_mb=512 \
    -print_final_stats=1 -artifact_prefix="$build/crash-$1-" "$build/corpus/$1" "$here/corpus/$1" >"$build/fuzz_$1.log" 2>&1 || {
    tail -n 60 "$build/fuzz_$1.log"
    echo "fuzz: $1 has a finding"
    return 1
  }
  echo "fuzz: $1: $(sed -n 's/^stat::number_of_executed_units: *//p' "$build/fuzz_$1.log") inputs, nothing found"
}
export -f run_one
export here build scratch
printf '%s\n' "${targets[@]}" | xargs -P "$jobs" -I {} bash -c 'run_one {}'
