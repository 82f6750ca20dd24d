#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# ComBat of images as arithmetic: a study's phases in memory, a site's private memory, and against sva's ComBat() on the same
# matrix in this run, where R with sva and a folder of images (mask.nii.gz, sub-*.nii.gz in order of site, four equal sites) are.
set -euo pipefail
if [[ $# -lt 1 || $# -gt 2 || ! -x $1 ]]; then
  echo "usage: $0 <path of attune_voxel_bench> [folder of images]" >&2
  exit 2
fi
bench=$1
images=${2:-}
sites=4
if [[ -z $images || ! -f $images/mask.nii.gz ]]; then
  echo "no folder of images was given: a made-up matrix, and no comparison with sva"
  "$bench" study
  "$bench" memory
  exit 0
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
files=("$images"/sub-*.nii.gz)
"$bench" raw "$images/mask.nii.gz" "$folder/matrix.raw" "${files[@]}"
"$bench" study "$folder/matrix.raw" "${#files[@]}" | tee "$folder/study.txt" | grep -v '^seconds_of_file'
"$bench" memory
if ! Rscript -e 'library(sva)' > /dev/null 2>&1; then
  echo "R with sva is not installed: no comparison (Debian: r-bioc-sva)"
  exit 0
fi
Rscript "$(dirname "$0")/vbm_sva.R" "$folder/matrix.raw" "${#files[@]}" "$sites" > "$folder/sva.txt"
awk '/^sva_seconds/ { sva = $2 } /^seconds_of_file/ { own = $2 }
  END { printf "sva ComBat() %.2f s, the study in memory on 2 threads %.3f s: %.0f times as fast\n", sva, own, sva / own }' \
  "$folder/sva.txt" "$folder/study.txt"
