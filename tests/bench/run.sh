#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs the benchmark programs in the folder given and prints each case as a ratio to the reference measured in the same run. The
# coordinator's study of images takes 24 GB in TMPDIR and some minutes; BENCH_SITES and BENCH_FEATURES make it smaller.
set -euo pipefail
if [[ $# -ne 1 || ! -x $1/attune_bench || ! -x $1/attune_coordinator_bench ]]; then
  echo "usage: $0 <folder of attune_bench and attune_coordinator_bench>" >&2
  exit 2
fi
"$1/attune_bench" --benchmark_format=csv 2>/dev/null | awk -F, '
  /^"?BM_/ {
    gsub(/"/, "", $1)
    sub(/\/min_time:[0-9.]+/, "", $1)
    sub(/\/real_time/, "", $1)
    if ($4 == "") next  # the case failed
    split($1, part, "/")
    time[$1] = $3; rate[$1] = $7; order[++cases] = $1
    # The reference: naive on as many features; of several threads, one thread.
    reference[$1] = part[3] == "" ? "BM_Naive/" part[2] : part[1] "/" part[2] "/1"
  }
  END {
    if (cases == 0) { print "no benchmark has run" > "/dev/stderr"; exit 1 }
    printf "%-24s %12s %16s %18s\n", "case/features/threads", "ms", "values per s", "times as fast as"
    for (i = 1; i <= cases; ++i) {
      name = order[i]; base = reference[name]
      shown = base == name || !(base in time) ? "" : sprintf("%.1f x %s", time[base] / time[name], substr(base, 4))
      if (name ~ /^BM_Aggregation/) {  # against what no masking can do without
        copy = name; sub(/[A-Za-z]+\//, "AggregationMemcpy/", copy)
        cipher = name; sub(/[A-Za-z]+\//, "AggregationAesCtr/", cipher)
        shown = sprintf("%.1f x the time of memcpy, %.1f x of AES-CTR", time[name] / time[copy], time[name] / time[cipher])
      }
      printf "%-24s %12.2f %16.3g   %s\n", substr(name, 4), time[name], rate[name], shown
    }
  }'
"$1/attune_coordinator_bench" "${BENCH_SITES:-200}" "${BENCH_FEATURES:-1000000}"
