#!/bin/bash
# refine.sh - the gain of vae-enc --refine N over a folder of PNG images: BD-rate against N = 0 by
# PSNR, MS-SSIM and SSIMULACRA 2, and the seconds of one thread for the first image at the middle
# quality; - stands for a measure that there is no curve of.
#
#   bench/refine.sh MODEL FOLDER [N...]        N: default 30 100 300
#
# QUALITIES (default 10 30 50 70) and JOBS as rd.sh takes them.
set -euo pipefail
export LC_ALL=C
bench=$(cd "$(dirname "$0")" && pwd)
export PATH=$bench/../build:$PATH OMP_NUM_THREADS=1
model=${1:?usage: refine.sh MODEL FOLDER [N...]}
folder=${2:?usage: refine.sh MODEL FOLDER [N...]}
shift 2
[ $# -gt 0 ] || set -- 30 100 300
export QUALITIES=${QUALITIES:-10 30 50 70}
read -ra quality <<<"$QUALITIES"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
first=("$folder"/*.png)
pngtopnm "${first[0]}" >"$work/first.ppm"
TIMEFORMAT=%U

# table N
table() { CODECS=ours MODEL=$model ENC=${1:+--refine $1} "$bench/rd.sh" "$folder" |
	sed "s/^ours,/refine${1:-0},/"; }
# rate N METRIC
rate() { awk -f "$bench/bdrate.awk" -v test="refine$1" -v anchor=refine0 -v metric="$2" "$work/both.csv" \
	2>/dev/null || echo -; }
# seconds N
seconds() { { time vae-enc -m "$model" -q "${quality[${#quality[@]} / 2]}" --refine "$1" "$work/first.ppm" \
	>"$work/latents"; } 2>&1; }

table '' | tee "$work/0.csv"
for n in "$@"; do
	table "$n" | tail -n +2 | tee "$work/$n.csv"
done
echo
echo "N, BD-rate of PSNR, MS-SSIM and SSIMULACRA 2 against 0 (per cent), seconds an image"
echo "0 0 0 0 $(seconds 0)"
for n in "$@"; do
	cat "$work/0.csv" "$work/$n.csv" >"$work/both.csv"
	echo "$n $(rate "$n" psnr) $(rate "$n" msssim) $(rate "$n" ssimulacra2) $(seconds "$n")"
done
