#!/bin/bash
# strips.sh - crops of files of equal size, side by side: the picture, AVIF, this suite; a row for each
# picture. AVIF's file is the largest of at most BPP bits a pixel, and the suite's has no more bytes.
#
#   bench/strips.sh IMAGE.png[@LEFT,TOP]... > strips.jpg
#
# LEFT,TOP is the corner of the crop, which else lies where there is most to see. From the environment:
#   MODEL=NAME|FILE (photo)
#   BPP=B (0.2)           size of the files, in bits a pixel
#   CROP=N (224)          pixels a side
# Above each crop stand the bytes of the whole file, and PSNR and the score by SSIMULACRA 2 of the
# whole picture.
set -euo pipefail
export LC_ALL=C
bench=$(cd "$(dirname "$0")" && pwd)
PATH=$(cd "$bench/.." && cd "${B:-build}" && pwd):$PATH
model=${MODEL:-photo}
crop=${CROP:-224}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# shellcheck source=bench/equal.sh
. "$bench/equal.sh"
fail() {
	echo "strips.sh: $*" >&2
	exit 1
}
[ $# -gt 0 ] || { echo "usage: strips.sh IMAGE.png[@LEFT,TOP]... > strips.jpg" >&2 && exit 2; }
can avif || fail "no avifenc or avifdec"

# column NAME KIND WORDS: the crop below its name and words
column() {
	pbmtext -builtin fixed -width "$side" -nomargins "$2" >"$work/name.pbm" 2>/dev/null
	pbmtext -builtin fixed -width "$side" -nomargins "$3" >"$work/words.pbm" 2>/dev/null
	cut "$1" | pnmcat -white -topbottom -jleft "$work/name.pbm" "$work/words.pbm" "$work/gap.pbm" - \
		2>/dev/null |
		pnmpad -white -right 8 -bottom 8 >"$work/column-$1.ppm"
	columns+=("$work/column-$1.ppm")
}
# words KIND EXTENSION: what stands above a crop
words() {
	measure "$1" |
		awk -v b="$(bytes "$work/x.$2")" '{ printf "%d bytes, %.1f dB, score %.0f", b, $1, $3 }'
}

rows=()
for file in "$@"; do
	at=${file##*.png}
	file=${file%"$at"}
	open_picture "$file"
	budget=$(awk -v b="${BPP:-0.2}" -v w="$width" -v h="$height" 'BEGIN { printf "%d", b * w * h / 8 }')
	fit avif
	(($(bytes "$work/x.avif") <= budget)) || fail "AVIF does not reach $budget bytes with $file"
	budget=$(bytes "$work/x.avif")
	encode_ours || fail "the model does not reach $budget bytes with $file"
	choose_crop
	[ ! "$at" ] || IFS=, read -r left top <<<"${at#@}"
	columns=()
	pbmmake -white 1 4 >"$work/gap.pbm"
	column x "$(basename "$file" .png)" 'original'
	column avif 'AVIF' "$(words avif avif)"
	column vae 'vae-tools' "$(words vae lat)"
	pnmcat -white -leftright -jbottom "${columns[@]}" >"$work/row${#rows[@]}.ppm"
	rows+=("$work/row${#rows[@]}.ppm")
done
pnmcat -white -topbottom -jleft "${rows[@]}" | pnmpad -white -left 8 -top 8 |
	cjpeg -quality 82 -sample 1x1 -optimize
