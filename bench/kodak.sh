#!/bin/bash
# kodak.sh - a photo model against other codecs over a folder of PNG images: its table, from files that the programs write, then BD-rates.
#
#   bench/kodak.sh MODEL FOLDER [ANCHORS.csv]
#
# ANCHORS.csv is a table as rd.sh writes, of the same images. QUALITIES, ENC, QUANT and JOBS as rd.sh takes them.
set -euo pipefail
bench=$(cd "$(dirname "$0")" && pwd)
model=${1:?usage: kodak.sh MODEL FOLDER [ANCHORS.csv]}
folder=${2:?usage: kodak.sh MODEL FOLDER [ANCHORS.csv]}
anchors=${3:-}
table=$(mktemp)
trap 'rm -f "$table"' EXIT

CODECS=ours MODEL=$model "$bench/rd.sh" "$folder" | tee "$table"
[ -n "$anchors" ] || exit 0
echo
echo "BD-rate of ours against: PSNR, MS-SSIM (per cent)"
awk -F, 'NR > 1 && !seen[$1]++ { print $1 }' "$anchors" | while read -r codec; do
	echo "$codec" "$(awk -f "$bench/bdrate.awk" -v test=ours -v anchor="$codec" "$anchors" "$table")" \
		"$(awk -f "$bench/bdrate.awk" -v test=ours -v anchor="$codec" -v metric=msssim "$anchors" "$table")"
done
