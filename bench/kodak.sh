#!/bin/bash
# kodak.sh - a photo model against other codecs over a folder of PNG images: its table, from files
# that the programs write, then BD-rates.
#
#   bench/kodak.sh MODEL FOLDER [ANCHORS.csv]
#
# ANCHORS.csv is a table as rd.sh writes, of the same images. If it has a line for each image, so
# does the table, and BD-rates are bands.sh's: images that ANCHORS.csv lacks do not count.
# QUALITIES, ENC, QUANT and JOBS as rd.sh takes them, BANDS as bands.sh.
set -euo pipefail
bench=$(cd "$(dirname "$0")" && pwd)
model=${1:?usage: kodak.sh MODEL FOLDER [ANCHORS.csv]}
folder=${2:?usage: kodak.sh MODEL FOLDER [ANCHORS.csv]}
anchors=${3:-}
table=$(mktemp)
trap 'rm -f "$table"' EXIT
each=
[ -z "$anchors" ] || [ -r "$anchors" ] || { echo "kodak.sh: $anchors: cannot be read" >&2 && exit 1; }
[ -z "$anchors" ] || ! head -n 1 "$anchors" | grep -q '^codec,q,image,' || each=yes

CODECS=ours MODEL=$model EACH=$each "$bench/rd.sh" "$folder" | tee "$table"
[ -n "$anchors" ] || exit 0
echo
if [ "$each" ]; then
	"$bench/bands.sh" "$anchors" "$table"
	exit
fi
# rate CODEC METRIC: - where the anchors lack it
rate() { awk -f "$bench/bdrate.awk" -v test=ours -v anchor="$1" -v metric="$2" "$anchors" "$table" \
	2>/dev/null || echo -; }
echo "BD-rate of ours against: SSIMULACRA 2, PSNR, MS-SSIM (per cent)"
awk -F, 'NR > 1 && !seen[$1]++ { print $1 }' "$anchors" | while read -r codec; do
	echo "$codec" "$(rate "$codec" ssimulacra2)" "$(rate "$codec" psnr)" "$(rate "$codec" msssim)"
done
