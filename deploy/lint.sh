#!/usr/bin/env bash
# Format and clang-tidy, on all files of the project. Usage: deploy/lint.sh [JOBS]
set -euo pipefail
cd "$(dirname "$0")/.."
jobs=${1:-$(nproc)}
mapfile -t files < <(git ls-files '*.cc' '*.h')
[ ${#files[@]} -gt 0 ] || { echo "deploy/lint.sh: git lists no source files here" >&2; exit 1; }
clang-format --dry-run --Werror "${files[@]}"
git ls-files '*.cc' | xargs -P "$jobs" -n 4 clang-tidy --quiet -p build/dev
