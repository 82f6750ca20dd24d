#!/usr/bin/env bash
# Studies again and again on one coordinator that keeps running, both releases in turn: its memory, its open files and what lies under
# construction in its folder must not grow. Usage: tests/soak/run.sh PROGRAMS [STUDIES]
set -euo pipefail
programs=$(realpath "$1")
studies=${2:-60}
warm_up=$(( studies / 3 ))
work=$(mktemp -d)
coordinator_pid=
cleanup() {
  [ -z "$coordinator_pid" ] || kill "$coordinator_pid" 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT

# A consortium that has met once: certificates, policies and data are there.
"$programs/attune-simulate" --demo --quiet --keep --out "$work/out" >/dev/null
state=$work/out/work/coordinator
sites=$work/out/work/sites
endpoint=$(sed -n 's/.*"coordinator": "\(.*\)".*/\1/p' "$sites"/*/identity/identity.json | head -1)
for site in "$sites"/*/; do echo "max_releases_per_subject_set: 1000000" >>"$site/policy.yaml"; done
"$programs/attune-coordinator" --quiet --dir "$state" serve --listen "$endpoint" 2>"$work/serve.log" &
coordinator_pid=$!
for _ in $(seq 100); do [ -e "$state/endpoint" ] && break; sleep 0.1; done

memory() { awk '/^VmRSS/ {print $2}' "/proc/$coordinator_pid/status"; }
descriptors() { find "/proc/$coordinator_pid/fd" -mindepth 1 | wc -l; }
threads() { awk '/^Threads/ {print $2}' "/proc/$coordinator_pid/status"; }
# What is begun and not finished; the coordinator's own log and journal grow by what they record, and are not counted.
unfinished() { find "$state" "$sites" \( -name '*.part' -o -name '*.partial' -o -name 'aggregation-*' -o -path '*scratch*' -type f \) | wc -l; }

run_study() {
  local name=soak-$1 release=$2 site
  sed "s/^study:.*/study: $name/" "$work/out/data/study.yaml" >"$work/$name.yaml"
  "$programs/attune-coordinator" --quiet --dir "$state" study create "$work/$name.yaml" --release "$release" >/dev/null
  for site in "$sites"/*/; do "$programs/attune-site" --quiet --dir "$site" register "$name"; done
  "$programs/attune-coordinator" --quiet --dir "$state" study start "$name" >/dev/null
  for site in "$sites"/*/; do "$programs/attune-site" --quiet --dir "$site" approve "$name" --yes >/dev/null; done
  local pids=()
  for site in "$sites"/*/; do
    "$programs/attune-site" --quiet --dir "$site" run "$name" --out "$site/derivatives/$name" &
    pids+=($!)
  done
  for pid in "${pids[@]}"; do wait "$pid"; done
  for site in "$sites"/*/; do rm -r "${site:?}/derivatives/$name"; done
}

for k in $(seq "$studies"); do
  run_study "$k" "$([ $(( k % 2 )) = 0 ] && echo pooled || echo per_batch)"
  if [ "$k" = "$warm_up" ]; then
    memory_before=$(memory) descriptors_before=$(descriptors) threads_before=$(threads) unfinished_before=$(unfinished)
  fi
done
memory_after=$(memory) descriptors_after=$(descriptors) threads_after=$(threads) unfinished_after=$(unfinished)
printf '%-28s %12s %12s\n' "coordinator, $studies studies" "after $warm_up" "at the end"
printf '%-28s %12s %12s\n' "resident memory, KiB" "$memory_before" "$memory_after" "open descriptors" "$descriptors_before" "$descriptors_after" \
  threads "$threads_before" "$threads_after" "unfinished files" "$unfinished_before" "$unfinished_after"
# Memory: what the allocator keeps of more threads is no growth; a leak per study is.
[ "$memory_after" -le $(( memory_before + memory_before / 5 + 2048 )) ] || { echo "memory grew" >&2; exit 1; }
[ "$descriptors_after" -le $(( descriptors_before + 4 )) ] || { echo "descriptors grew" >&2; exit 1; }
[ "$unfinished_after" -le "$unfinished_before" ] || { echo "unfinished files stayed" >&2; exit 1; }
