#!/bin/bash
# monotone.sh - tests whether bytes and PSNR rise with quality on every PNG image of a folder:
# prints each fall, then the number of steps.
#
#   bench/monotone.sh MODEL FOLDER [STEP]        STEP of quality, default 5; JOBS images at a time
set -euo pipefail
export LC_ALL=C
bench=$(cd "$(dirname "$0")" && pwd)
export PATH=$bench/../build:$PATH OMP_NUM_THREADS=1
export MODEL=${1:?usage: monotone.sh MODEL FOLDER [STEP]} STEP=${3:-5}
folder=${2:?usage: monotone.sh MODEL FOLDER [STEP]}
work=$(mktemp -d)
export work
trap 'rm -rf "$work"' EXIT

# one IMAGE: quality, bytes, PSNR for each quality
one() {
	local name q
	set -o pipefail
	name=$(basename "$1" .png)
	pngtopnm "$1" >"$work/$name.ppm" || return
	for q in $(seq 0 "$STEP" 100); do
		vae-enc -m "$MODEL" -q "$q" "$work/$name.ppm" | vae-quant -m "$MODEL" >"$work/$name.lat" || return
		vae-dec -m "$MODEL" "$work/$name.lat" | vae-stat --tsv -r "$work/$name.ppm" - |
			awk -F'\t' -v q="$q" -v bytes="$(stat -c %s "$work/$name.lat")" \
			'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next } { printf "%s\t%s\t%s\n", q, bytes, $at["psnr_db"] }' || return
	done
}
export -f one

# shellcheck disable=SC2016 # the inner shell expands them
printf '%s\0' "$folder"/*.png | xargs -0 -P "${JOBS:-$(nproc)}" -I{} bash \
	-c 'one "$0" >"$work/$(basename "$0").rows"' {}
awk -F'\t' '
	FNR > 1 { steps++; if ($2 <= bytes || $3 <= psnr) { falls++;
	print FILENAME ": quality " q " to " $1 ": " bytes " to " $2 " bytes, " psnr " to " $3 " dB" } }
	{ q = $1; bytes = $2; psnr = $3 }
	END { print falls + 0 " falls in " steps + 0 " steps"; exit falls > 0 }' "$work"/*.rows
