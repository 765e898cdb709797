#!/bin/bash
# monotone.sh - whether bytes and PSNR rise with quality on every PNG image of a folder: each fall, then how many steps there were.
#
#   tests/bench/monotone.sh MODEL FOLDER [STEP]        STEP of quality, default 5; JOBS images at a time
set -euo pipefail
export LC_ALL=C
bench=$(cd "$(dirname "$0")" && pwd)
export PATH=$bench/../../build:$PATH OMP_NUM_THREADS=1
export MODEL=${1:?usage: monotone.sh MODEL FOLDER [STEP]} STEP=${3:-5}
folder=${2:?usage: monotone.sh MODEL FOLDER [STEP]}
work=$(mktemp -d)
export work
trap 'rm -rf "$work"' EXIT

# one IMAGE: "image quality bytes psnr" for each quality
one() {
	local name q
	name=$(basename "$1" .png)
	pngtopnm "$1" >"$work/$name.ppm"
	for q in $(seq 0 "$STEP" 100); do
		vae-enc -m "$MODEL" -q "$q" "$work/$name.ppm" | vae-quant -m "$MODEL" >"$work/$name.lat"
		vae-dec -m "$MODEL" "$work/$name.lat" | vae-stat --tsv -r "$work/$name.ppm" - | awk -F'\t' -v what="$name $q $(stat -c %s "$work/$name.lat")" \
			'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next } { print what, $at["psnr_db"]; exit }'
	done
}
export -f one

# shellcheck disable=SC2016 # the inner shell expands them
printf '%s\0' "$folder"/*.png | xargs -0 -P "${JOBS:-$(nproc)}" -I{} bash -c 'one "$0" >"$work/$(basename "$0").rows"' {}
cat "$work"/*.rows | awk '
	$1 == image { steps++; if ($3 <= bytes || $4 <= psnr) { falls++; print $1 ": quality " q " to " $2 ": " bytes " to " $3 " bytes, " psnr " to " $4 " dB" } }
	{ image = $1; q = $2; bytes = $3; psnr = $4 }
	END { print falls + 0 " falls in " steps + 0 " steps"; exit falls > 0 }'
