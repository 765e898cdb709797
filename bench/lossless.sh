#!/bin/bash
# lossless.sh - the bytes of exact pictures in .lat files, beside lossless JPEG XL and WebP.
#
#   bench/lossless.sh FOLDER          with the programs on PATH, netpbm, cjxl and cwebp
#
# For each picture in FOLDER that tools/topnm reads, prints the bytes of: vae-enc --lossless |
# vae-quant; cjxl -d 0 -e 7; cwebp -lossless -exact -z 6; and the CPU seconds of the first two on
# one thread (coding and decoding for ours). Then prints a line of sums, in which a picture counts
# once for each coder, and the ratios of the first to the others. Each of our files is decoded and
# compared with the picture. WebP has 8 bits a sample and three colours: for deeper and grey
# pictures the comparison is unfair.
set -euo pipefail
export LC_ALL=C
[ $# -eq 1 ] || { echo "usage: lossless.sh FOLDER" >&2; exit 2; }
topnm=$(cd "$(dirname "$0")/.." && pwd)/tools/topnm
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

size() { stat -c %s "$1"; }
# seconds COMMAND...: seconds of CPU that it takes
seconds() {
	local TIMEFORMAT='%U %S'
	{ time "$@" >/dev/null 2>&1; } 2>&1 | awk '{ print $1 + $2 }'
}
encode() { vae-enc -T 1 --lossless "$work/x.pam" | vae-quant -T 1 >"$work/x.lat"; }
decode() { vae-dec -T 1 "$work/x.lat" >"$work/y.pam"; }
jxl() { cjxl --num_threads=0 -d 0 -e 7 "$work/x.png" "$work/x.jxl"; }

printf 'picture\tpixels\tvae\tjxl\twebp\tvae_enc_s\tvae_dec_s\tjxl_enc_s\n'
for file in "$1"/*; do
	"$topnm" "$file" >"$work/x.pam" 2>/dev/null || continue
	pamtopng "$work/x.pam" >"$work/x.png" 2>/dev/null
	encoding=$(seconds encode)
	decoding=$(seconds decode)
	cmp "$work/x.pam" "$work/y.pam"
	jxl=$(seconds jxl)
	cwebp -quiet -lossless -exact -z 6 "$work/x.png" -o "$work/x.webp"
	printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$(basename "$file")" \
		"$(pamfile -machine "$work/x.pam" | awk '{ print $4 * $5 }')" \
		"$(size "$work/x.lat")" "$(size "$work/x.jxl")" "$(size "$work/x.webp")" "$encoding" "$decoding" \
		"$jxl"
done | awk -F'\t' -v OFS='\t' '
	{ print; for (i = 2; i <= 8; i++) sum[i] += $i }
	END {
		if (!NR) exit 1
		print "total", sum[2], sum[3], sum[4], sum[5], sum[6], sum[7], sum[8]
		printf "vae/jxl %.4f, vae/webp %.4f, bits a pixel %.4f\n",
			sum[3] / sum[4], sum[3] / sum[5], 8 * sum[3] / sum[2]
	}'
