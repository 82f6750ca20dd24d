#!/usr/bin/env bash
# Makes reports of real studies and runs the page's tests on them (vitest, and Chromium by playwright-core). Usage: run.sh BIN_FOLDER
# Exit code 77: skipped, for what the last line says.
set -euo pipefail
bin=$1
tests=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$tests/../.." && pwd)
work=$root/build/web/work
chromium=${CHROMIUM:-/usr/bin/chromium}

skip() {
  echo "skipped: $1"
  exit 77
}
command -v node >/dev/null || skip "no Node.js here"
[ -d "$work/node_modules" ] || skip "the page was not built (deploy/build-web.sh)"
[ -x "$chromium" ] || skip "no Chromium at $chromium"

reports=$(mktemp -d)
trap 'rm -rf "$reports"' EXIT

# report NAME STUDY ARGUMENT...: simulates a study and writes $reports/NAME.html.
report() {
  local name=$1 study=$2
  shift 2
  "$bin/attune-simulate" "$@" --quiet --out "$reports/$name.study" >"$reports/$name.log" 2>&1 || { cat "$reports/$name.log"; exit 1; }
  "$bin/attune-coordinator" --dir "$reports/$name.study/coordinator" --quiet report "$study" --out "$reports/$name.html"
  [ -f "$reports/$name.html" ] || skip "the programs were built before the page, and are without it"
  # Made again it is the same bytes.
  "$bin/attune-coordinator" --dir "$reports/$name.study/coordinator" --quiet report "$study" --out "$reports/again.html"
  cmp "$reports/$name.html" "$reports/again.html"
  rm -f "$reports"/again.*
}
report demo demo --demo
report pooled demo --demo --release pooled
abide=$root/../shared/data/abide
if [ -d "$abide" ]; then
  report abide abide-thickness --study "$tests/abide.yaml" --participants "$abide/participants.tsv" \
    --features "$abide/thickness.tsv" --policy permissive-test
fi

rm -rf "$work/tests"
cp -r "$tests" "$work/tests"
cd "$work"
ATTUNE_REPORTS=$reports ATTUNE_CHROMIUM=$chromium ATTUNE_PAGE=$root/build/web/report.html npx --no-install vitest run
