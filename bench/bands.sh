#!/bin/bash
# bands.sh - BD-rates of one codec against others by SSIMULACRA 2, over the common range of the
# curves and in bands of score, and by PSNR.
#
#   bench/bands.sh PEERS.csv OURS.csv
#
# The tables are of the same images and have a line for each: codec,q,image,bpp and measures, as
# EACH=yes bench/rd.sh writes. Prints for the codec TEST (ours) against each codec of PEERS.csv: the
# mean of the images' own BD-rates in per cent, the number of images if not all, and the BD-rate of
# the mean curves. An image counts in a band if half of it, or more, is common to both curves; - is
# none.
# BANDS (20-40 40-55 55-65 65-75 75-82 82-90) are of scores.
set -euo pipefail
export LC_ALL=C
bench=$(cd "$(dirname "$0")" && pwd)
peers=${1:?usage: bands.sh PEERS.csv OURS.csv}
ours=${2:?usage: bands.sh PEERS.csv OURS.csv}
test=${TEST:-ours}
bands=${BANDS:-20-40 40-55 55-65 65-75 75-82 82-90}
for table in "$peers" "$ours"; do
	head -n 1 "$table" | grep -q '^codec,q,image,bpp' ||
		{ echo "bands.sh: $table: not a table with a line for each image" >&2 && exit 1; }
done

# column CODEC PICTURES METRIC [BAND]: "MEAN (HOW MANY)", of the images' own, then that of the mean curves
column() {
	local own overall range=()
	[ $# = 3 ] || range=(-v low="${4%-*}" -v high="${4#*-}")
	local words=(-v test="$test" -v anchor="$1" -v metric="$3" "${range[@]}" "$peers" "$ours")
	own=$(awk -f "$bench/bdrate.awk" -v by=picture "${words[@]}" 2>/dev/null) || own=-
	overall=$(awk -f "$bench/bdrate.awk" "${words[@]}" 2>/dev/null) || overall=-
	awk -v own="$own" -v overall="$overall" -v all="$2" -v what="$3 ${4:-all}" 'BEGIN {
		split(own, o, " ")
		printf "%-18s %10s %10s%s\n", what, o[1], overall, o[2] != "" &&
		o[2] < all ? sprintf("  (of %d)", o[2]) : ""
	}'
}

awk -F, 'FNR > 1 && !seen[$1]++ { print $1 }' "$peers" | while read -r codec; do
	pictures=$(awk -F, -v a="$codec" -v b="$test" \
		'FNR == 1 { next } $1 == a || $1 == b { has[$1, $3] = 1; all[$3] = 1 }
		END { for (i in all) n += (a, i) in has && (b, i) in has; print n + 0 }' "$peers" "$ours")
	printf 'BD-rate of %s against %s, %s images, per cent\n%-18s %10s %10s\n' "$test" "$codec" "$pictures" \
		'by' 'each image' 'mean curve'
	column "$codec" "$pictures" ssimulacra2
	for band in $bands; do column "$codec" "$pictures" ssimulacra2 "$band"; done
	column "$codec" "$pictures" psnr
	echo
done
