#!/bin/sh
# kodak.sh - the rate-distortion table of a photo model over a folder of PNG images, from files that the programs write.
#
#   tests/bench/kodak.sh MODEL KODAK-FOLDER [ANCHORS.csv]
#
# Whole .lat files are counted; PSNR and MS-SSIM are means of the images' own, as in the anchors' table
# (codec,q,bpp,psnr,msssim). With anchors, BD-rates against each of their codecs follow. QUALITIES (default 0 to 100 in steps
# of 10) chooses the qualities, KEEP=FOLDER keeps the .lat files and pictures.
set -eu
bench=$(cd "$(dirname "$0")" && pwd)
PATH=$bench/../../build:$PATH
model=${1:?usage: kodak.sh MODEL FOLDER [ANCHORS.csv]}
folder=${2:?usage: kodak.sh MODEL FOLDER [ANCHORS.csv]}
anchors=${3:-}
work=${KEEP:-$(mktemp -d)}
[ -n "${KEEP:-}" ] || trap 'rm -rf "$work"' EXIT
mkdir -p "$work"

for quality in ${QUALITIES:-0 10 20 30 40 50 60 70 80 90 100}; do
	for image in "$folder"/*.png; do
		name=$(basename "$image" .png)
		pngtopnm "$image" > "$work/$name.ppm"
		vae-enc -m "$model" -q "$quality" "$work/$name.ppm" | vae-quant > "$work/$name-$quality.lat"
		vae-dec -m "$model" "$work/$name-$quality.lat" > "$work/out.ppm"
		bytes=$(wc -c < "$work/$name-$quality.lat")
		vae-stat --tsv -r "$work/$name.ppm" "$work/out.ppm" |
			awk -F'\t' -v bytes="$bytes" 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
				{ print 8 * bytes / $at["width"] / $at["height"], $at["psnr_db"], $at["ms_ssim"]; exit }'
	done | awk -v q="$quality" '{ b += $1; p += $2; s += $3 } END { printf "ours,%s,%.4f,%.3f,%.5f\n", q, b / NR, p / NR, s / NR }'
done > "$work/ours.csv"

echo codec,q,bpp,psnr,msssim
cat "$work/ours.csv"
[ -n "$anchors" ] || exit 0
echo
echo "BD-rate of ours against: PSNR, MS-SSIM (per cent)"
# shellcheck disable=SC2013 # names without blanks
awk -F, 'NR > 1 && !seen[$1]++ { print $1 }' "$anchors" | while read -r codec; do
	echo "$codec" "$(awk -f "$bench/bdrate.awk" -v test=ours -v anchor="$codec" "$anchors" "$work/ours.csv")" \
		"$(awk -f "$bench/bdrate.awk" -v test=ours -v anchor="$codec" -v metric=msssim "$anchors" "$work/ours.csv")"
done
