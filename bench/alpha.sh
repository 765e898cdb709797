#!/bin/bash
# alpha.sh - the bytes of masks in .lat files, beside cwebp's lossless alpha and PNG.
#
#   bench/alpha.sh          with the programs on PATH, netpbm and cwebp
#
# A soft mask (an elliptic ramp), a disc, and the disc with a blurred edge, 768 x 512 each, over a
# plain grey picture. Bytes: packed alpha according to vae-stat; cwebp's lossless alpha as it
# reports it, by default and with its slowest filter; pnmtopng of the mask alone. The two columns of
# ratios are ours over cwebp's.
#
# Then tests/data/photo.png under the disc, at quality 20, 50 and 80: bytes of the file and PSNR of
# the visible pixels, with invisible colours unchanged (--keep-invisible), black, and filled.
set -euo pipefail
export LC_ALL=C
photo=$(cd "$(dirname "$0")/.." && pwd)/tests/data/photo.png
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

pgmramp -ellipse 768 512 >soft.pgm
ppmmake black 768 512 | ppmdraw -script 'setcolor white; filledcircle 384 256 200' | ppmtopgm >disc.pgm
pnmsmooth -width 21 -height 21 disc.pgm >blurred.pgm 2>/dev/null

# webp_alpha [OPTION]...: bytes of x.png's alpha
webp_alpha() { cwebp -exact "$@" x.png -o x.webp 2>&1 |
	sed -n 's/^Lossless-alpha compressed size: \([0-9]*\) bytes/\1/p'; }

printf '%s\t' mask raw vae webp webp-best png; printf 'vae/webp\tvae/webp-best\n'
for mask in soft disc blurred; do
	ppmmake gray 768 512 | pamstack -quiet -tupletype RGB_ALPHA - "$mask.pgm" >x.pam
	pamtopng x.pam >x.png
	vae-enc --exact none x.pam | vae-quant | vae-stat --tsv | awk -F'\t' '
		$1 == "kind" { for (i = 1; i <= NF; i++) at[$i] = i; next } {
		print $at["alpha_bytes"], $at["alpha_packed_bytes"] }' >bytes
	read -r raw ours <bytes
	webp=$(webp_alpha) best=$(webp_alpha -m 6 -alpha_filter best) png=$(pnmtopng -quiet "$mask.pgm" | wc -c)
	awk -v OFS='\t' -v m="$mask" -v r="$raw" -v o="$ours" -v w="$webp" -v b="$best" -v p="$png" \
		'BEGIN { print m, r, o, w, b, p, sprintf("%.2f", o / w), sprintf("%.2f", o / b) }'
done

pngtopnm "$photo" | pamstack -quiet -tupletype RGB_ALPHA - disc.pgm >x.pam
pamdepth 1 disc.pgm | pamarith -multiply - <(pamchannel -infile x.pam -tupletype RGB 0 1 2) |
	pamstack -quiet -tupletype RGB_ALPHA - disc.pgm >black.pam

# size_and_psnr QUALITY FILE [OPTION]
size_and_psnr() {
	vae-enc ${3+"$3"} -q "$1" "$2" | vae-quant >x.lat
	printf '%s\t%s' "$(wc -c <x.lat)" "$(vae-dec x.lat | vae-stat --tsv -r x.pam | awk -F'\t' '
		$1 == "kind" { for (i = 1; i <= NF; i++) at[$i] = i; next } { printf "%.2f", $at["psnr_db"] }')"
}
printf '\nquality\tkept\tdB\tblack\tdB\tfilled\tdB\n'
for quality in 20 50 80; do
	printf '%s\t%s\t%s\t%s\n' "$quality" "$(size_and_psnr "$quality" x.pam --keep-invisible)" \
		"$(size_and_psnr "$quality" black.pam --keep-invisible)" "$(size_and_psnr "$quality" x.pam)"
done
