#!/bin/sh
# heldout.sh - the photographs held out of training as PNG files, for bench/rd.sh and bench/qualities.sh.
#
#   models/heldout.sh PHOTOS HELDOUT.txt OUT
#
# JPEG files are taken at half their size (djpeg -scale 1/2), which removes what lossy compression
# left in them; others as they are.
# HELDOUT.txt names one file of the folder PHOTOS a line. OUT is a folder, made if it is not there.
set -eu

photos=${1:?usage: heldout.sh PHOTOS HELDOUT.txt OUT}
heldout=${2:?usage: heldout.sh PHOTOS HELDOUT.txt OUT}
out=${3:?usage: heldout.sh PHOTOS HELDOUT.txt OUT}

for read in "$photos" "$heldout"; do
	[ -r "$read" ] || { echo "heldout.sh: $read: cannot be read" >&2 && exit 1; }
done
mkdir -p "$out"
trap 'rm -f "$out/.ppm"' EXIT
find -L "$photos" -type f | LC_ALL=C sort | while IFS= read -r file; do
	name=${file##*/}
	grep -qxF -e "$name" "$heldout" || continue
	case $name in
	*.[jJ][pP]*[gG]) djpeg -scale 1/2 -outfile "$out/.ppm" "$file"
		pnmtopng "$out/.ppm" >"$out/${name%.*}.png" ;;
	*.[pP][nN][gG]) cp "$file" "$out/$name" ;;
	*) dwebp -quiet "$file" -o "$out/${name%.*}.png" ;;
	esac
done
