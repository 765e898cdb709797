#!/bin/bash
# exact.sh - exact samples beside lossless codecs: bytes of all pictures of a folder (PNG, WebP,
# PNM).
#
#   bench/exact.sh FOLDER      all of: exact (this tree's coder), cjxl -d 0 -e 7, cwebp -lossless -z 6
#
# Exact's speed counts samples and processor time, on one thread. Peers that are not installed are
# left out.
set -euo pipefail
B=${B:-build}
folder=${1:?usage: exact.sh FOLDER}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

for picture in "$folder"/*; do
	name=$scratch/$(basename "${picture%.*}")
	case $picture in
	*.png) pngtopnm "$picture" >"$name.pnm" ;;
	*.webp) dwebp -quiet -ppm "$picture" -o "$name.pnm" ;;
	*.p[bgpn]m) cp "$picture" "$name.pnm" ;;
	esac
done

total() { # COMMAND...: bytes of what it makes of all pictures: `COMMAND... PNG OUTPUT`
	local sum=0 picture
	for picture in "$scratch"/*.pnm; do
		pnmtopng "$picture" >"$scratch/in.png" 2>"$scratch/log"
		"$@" "$scratch/in.png" "$scratch/out" >"$scratch/log" 2>&1
		sum=$((sum + $(stat -c %s "$scratch/out")))
	done
	echo "$sum bytes"
}
webp() { cwebp -quiet -lossless -z 6 "$1" -o "$2"; }
jxl() { cjxl -d 0 -e 7 --num_threads=0 "$1" "$2.jxl" && mv "$2.jxl" "$2"; }

"$B/bench/exact" "$scratch"/*.pnm | tail -n 1 | sed 's/^all */exact /'
command -v cjxl >/dev/null && echo "cjxl -d 0 -e 7 $(total jxl)"
command -v cwebp >/dev/null && echo "cwebp -lossless -z 6 $(total webp)"
exit 0
