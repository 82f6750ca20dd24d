#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# ComBat of images: as arithmetic in memory, and as a whole consortium of processes over mTLS that reads and writes the images.
# The peers of the same run are R's sva on the same matrix in memory, and bare libdeflate on the same files.
# Usage: voxels.sh BIN [IMAGES]. IMAGES: a folder with mask.nii.gz, participants.tsv (site, image), and sub-*.nii.gz in order of
# site, as many of each of four sites. Without it a made-up matrix is used, and nothing is compared.
set -euo pipefail
if [[ $# -lt 1 || $# -gt 2 || ! -x $1/attune_voxel_bench ]]; then
  echo "usage: $0 <folder of attune_voxel_bench> [folder of images]" >&2
  exit 2
fi
bin=$1
images=${2:-}
sites=4
if [[ -z $images || ! -f $images/mask.nii.gz || ! -f $images/participants.tsv ]]; then
  echo "no folder of images was given: a made-up matrix, and no comparison"
  "$bin/attune_voxel_bench" study
  "$bin/attune_voxel_bench" memory
  exit 0
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
files=("$images"/sub-*.nii.gz)
"$bin/attune_voxel_bench" raw "$images/mask.nii.gz" "$folder/matrix.raw" "${files[@]}"
"$bin/attune_voxel_bench" study "$folder/matrix.raw" "${#files[@]}" | tee "$folder/study.txt" | grep -v '^seconds_of_file'
"$bin/attune_voxel_bench" memory
in_memory=$(awk '/^seconds_of_file/ { print $2 }' "$folder/study.txt")

printf 'study: voxels\nfeatures: {images: {mask: %s}}\nmethod: {combat: {}}\n' "$(realpath "$images")/mask.nii.gz" > "$folder/study.yaml"
# A thread a site: the sites share the machine's processors, as libdeflate has all of them. The best of three runs of each.
whole=1e9
run=1e9
peer=1e9
for _ in 1 2 3; do
  rm -rf "$folder/out"
  start=$(date +%s.%N)
  "$bin/attune-simulate" --study "$folder/study.yaml" --participants "$images/participants.tsv" --images "$images" \
    --policy permissive-test --out "$folder/out" > "$folder/simulate.txt" 2>&1 || { cat "$folder/simulate.txt" >&2; exit 1; }
  whole=$(echo "$start $(date +%s.%N) $whole" | awk '{ t = $2 - $1; print t < $3 ? t : $3 }')
  run=$(awk -v least="$run" '/the study ran for/ { sub(/.*ran for /, ""); least = $1 < least ? $1 : least } END { print least }' "$folder/simulate.txt")
  seconds=$("$bin/attune_libdeflate_peer" "$images" "$folder/out/images" "$(nproc)")
  peer=$(echo "$seconds $peer" | awk '{ print $1 < $2 ? $1 : $2 }')
done
echo "the whole consortium, $sites sites, ${#files[@]} images: $whole s; of it the study itself, without enrolment, registration and gathering: $run s"
echo "bare libdeflate on $(nproc) threads (inputs decompressed twice, outputs compressed once): $peer s"
echo "$whole $run $peer" | awk '{ printf "whole consortium %.1f times libdeflate, the study itself %.1f times\n", $1 / $3, $2 / $3 }'

if ! Rscript -e 'library(sva)' > /dev/null 2>&1; then
  echo "R with sva is not installed: no comparison with it (Debian: r-bioc-sva)"
  exit 0
fi
sva=$(Rscript "$(dirname "$0")/vbm_sva.R" "$folder/matrix.raw" "${#files[@]}" "$sites" | awk '/^sva_seconds/ { print $2 }')
echo "$sva $in_memory $whole $run" | awk '{
  printf "sva ComBat() alone %.2f s: the study in memory on 2 threads is %.0f times as fast (%.3f s), the whole consortium %.1f times, the study itself %.1f times\n",
    $1, $1 / $2, $2, $1 / $3, $1 / $4 }'
