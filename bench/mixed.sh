#!/bin/bash
# mixed.sh - pictures that are no photographs, with exact cells, beside AVIF at equal PSNR.
#
#   bench/mixed.sh FOLDER [QUALITY]...     with the programs on PATH, netpbm and avifenc (libavif)
#
# For each picture in FOLDER that tools/topnm reads, and each quality (30, 60 and 90), prints: bytes
# and PSNR of vae-enc --exact auto and none; bytes of AVIF (avifenc -s 6 -y 444) at the PSNR of auto,
# by linear interpolation of log bytes over dB between two of its quantizers; if the picture is exact,
# or better than AVIF with loss, bytes of avifenc --lossless; and auto's bytes over AVIF's. Then
# prints the sums for each quality. Alpha is dropped first.
set -euo pipefail
export LC_ALL=C
[ $# -ge 1 ] || { echo "usage: mixed.sh FOLDER [QUALITY]..." >&2; exit 2; }
folder=$1
shift
[ $# -gt 0 ] || set -- 30 60 90
topnm=$(cd "$(dirname "$0")/.." && pwd)/tools/topnm
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

size() { stat -c %s "$1"; }
psnr() { vae-stat --tsv -r "$work/x.pnm" "$1" |
	awk -F'\t' '$1 == "kind" { for (i = 1; i <= NF; i++) at[$i] = i; next } { print $at["psnr_db"] }'; }
ours() { # MODE QUALITY: bytes and dB
	vae-enc --exact "$1" -q "$2" "$work/x.pnm" | vae-quant >"$work/x.lat"
	vae-dec "$work/x.lat" >"$work/y.pnm"
	echo "$(size "$work/x.lat") $(psnr "$work/y.pnm")"
}
# avif QUANTIZER: bytes and dB, once for each picture
avif() {
	local known=$work/avif.$1
	if [ ! -s "$known" ]; then
		avifenc -s 6 -y 444 --min "$1" --max "$1" "$work/x.png" "$work/x.avif" >/dev/null 2>&1
		avifdec "$work/x.avif" "$work/y.png" >/dev/null 2>&1
		pngtopnm "$work/y.png" >"$work/y.pnm" 2>/dev/null
		[ "$colours" = 3 ] || { ppmtopgm "$work/y.pnm" >"$work/z.pnm" && mv "$work/z.pnm" "$work/y.pnm"; }
		echo "$(size "$work/x.avif") $(psnr "$work/y.pnm")" >"$known"
	fi
	cat "$known"
}
lossless() {
	[ -s "$work/avif.all" ] || { avifenc -s 6 --lossless "$work/x.png" "$work/x.avif" >/dev/null 2>&1 &&
		size "$work/x.avif" >"$work/avif.all"; }
	cat "$work/avif.all"
}
less() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a + 0 < b + 0 || b == "inf" && a != "inf") }'; }
# avif_at DB: bytes of AVIF at so many dB
avif_at() {
	local low=0 high=63 middle bytes_low db_low bytes_high db_high
	read -r bytes_low db_low < <(avif 0)
	if less "$db_low" "$1"; then
		lossless
		return
	fi
	read -r bytes_high db_high < <(avif 63)
	# low is at least as good as wanted, high is not
	while [ $((high - low)) -gt 1 ] && less "$db_high" "$1"; do
		middle=$(((low + high) / 2))
		read -r bytes db < <(avif $middle)
		if less "$db" "$1"; then
			high=$middle bytes_high=$bytes db_high=$db
		else
			low=$middle bytes_low=$bytes db_low=$db
		fi
	done
	awk -v b0="$bytes_low" -v d0="$db_low" -v b1="$bytes_high" -v d1="$db_high" -v d="$1" 'BEGIN {
		if (d0 == "inf" || d0 == d1) d0 = d1 + 1e9 # as cheap as the lower one
		t = (d - d1) / (d0 - d1)
		printf "%.0f\n", exp(log(b1) + (t < 0 ? 0 : t) * (log(b0) - log(b1))) }'
}

printf 'picture\tquality\tauto\tdB\tnone\tdB\tavif\tauto/avif\n'
for file in "$folder"/*; do
	"$topnm" "$file" >"$work/x.pam" 2>/dev/null || continue
	colours=$(pamfile -machine "$work/x.pam" | awk '{ print ($6 >= 3 ? 3 : 1) }')
	if [ "$colours" = 3 ]; then
		pamchannel -infile "$work/x.pam" -tupletype RGB 0 1 2
	else
		pamchannel -infile "$work/x.pam" -tupletype GRAYSCALE 0
	fi |
		pamtopnm >"$work/x.pnm"
	pnmtopng -quiet "$work/x.pnm" >"$work/x.png" 2>/dev/null
	rm -f "$work"/avif.*
	for quality in "$@"; do
		read -r auto auto_db < <(ours auto "$quality")
		read -r none none_db < <(ours none "$quality")
		other=$(avif_at "$auto_db")
		printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$(basename "$file")" "$quality" "$auto" "$auto_db" \
			"$none" "$none_db" "$other" \
			"$(awk -v a="$auto" -v o="$other" 'BEGIN { printf "%.3f", a / o }')"
	done
done | awk -F'\t' -v OFS='\t' '
	{ print; auto[$2] += $3; none[$2] += $5; avif[$2] += $7; if ($8 > most) most = $8 }
	END {
		if (!NR) exit 1
		for (q in auto) {
		print "total", q, auto[q], "", none[q], "", avif[q], sprintf("%.3f", auto[q] / avif[q]);
		a += auto[q]; b += avif[q] }
		printf "total auto/avif %.3f, the most %.3f\n", a / b, most
	}'
