#!/bin/bash
# strips.sh - crops of files of equal size, side by side: the picture, JPEG, AVIF (if installed),
# this suite, and a heat map of its bits; a row for each picture.
#
#   bench/strips.sh IMAGE.png... > strips.png
#
# From the environment:
#   MODEL=NAME|FILE (photo)
#   BPP=B (0.2)           size of the files, in bits a pixel
#   CROP=N (256)          pixels a side
# Above each crop stand the bytes of the whole file, and PSNR and the score by SSIMULACRA 2 of the
# whole picture.
set -euo pipefail
export LC_ALL=C
bench=$(cd "$(dirname "$0")" && pwd)
PATH=$(cd "$bench/.." && cd "${B:-build}" && pwd):$PATH
model=${MODEL:-photo}
crop=${CROP:-256}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# shellcheck source=bench/equal.sh
. "$bench/equal.sh"
[ $# -gt 0 ] || { echo "usage: strips.sh IMAGE.png... > strips.png" >&2 && exit 2; }

# column NAME KIND WORDS: the crop below its name and words
column() {
	pbmtext -builtin fixed -width "$side" -nomargins "$2" >"$work/name.pbm" 2>/dev/null
	pbmtext -builtin fixed -width "$side" -nomargins "$3" >"$work/words.pbm" 2>/dev/null
	cut "$1" | pnmcat -white -topbottom -jleft "$work/name.pbm" "$work/words.pbm" "$work/gap.pbm" - \
		2>/dev/null |
		pnmpad -white -right 8 -bottom 8 >"$work/column-$1.ppm"
	columns+=("$work/column-$1.ppm")
}

rows=()
for file in "$@"; do
	open_picture "$file"
	if ! fit_ours "${BPP:-0.2}"; then
		echo "strips.sh: the model does not reach ${BPP:-0.2} bits a pixel with $file" >&2
		exit 1
	fi
	choose_crop
	columns=()
	pbmmake -white 1 4 >"$work/gap.pbm"
	column x "$(basename "$file" .png)" 'original'
	for kind in jpeg avif; do
		can $kind || continue
		fit $kind
		column $kind "${kind^^}" \
			"$(measure $kind | awk -v b="$(bytes "$work/x.$kind")" \
			'{ printf "%d bytes, %.2f dB, score %.1f", b, $1, $3 }')"
	done
	column vae 'vae-tools' \
		"$(measure vae | awk -v b="$budget" '{ printf "%d bytes, %.2f dB, score %.1f", b, $1, $3 }')"
	heat | pamenlarge 16 >"$work/heat.ppm"
	column heat 'where its bits go' 'in cells of 16 x 16 pixels'
	pnmcat -white -leftright "${columns[@]}" >"$work/row${#rows[@]}.ppm"
	rows+=("$work/row${#rows[@]}.ppm")
done
pnmcat -white -topbottom -jleft "${rows[@]}" | pnmpad -white -left 8 -top 8 | pamtopng
