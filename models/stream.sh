#!/bin/sh
# stream.sh - a folder of photographs as one PNM stream on stdout, for vae-train.
#
#   models/stream.sh FOLDER [HELDOUT.txt] | vae-train --arch photo ...
#
# JPEG files (quality under about 92 leaves traces) are reduced by area averaging to REDUCE of their size (default 0.6), as far as
# 256 pixels of the shorter side allow; names that contain FULL (default "wikipedia_photos") and WebP and PNG files stay as they are.
# Files whose names stand in HELDOUT.txt are left out. The order is that of the names, so the stream is always the same.
set -eu

folder=${1:?usage: stream.sh FOLDER [HELDOUT.txt]}
heldout=${2:-/dev/null}
reduce=${REDUCE:-0.6}
full=${FULL:-wikipedia_photos}

# scale FILE: stdin PNM to stdout, reduced to $reduce but not under 256 pixels
shrink() {
	read -r width height <<-SIZE
		$(djpeg "$1" | pamfile -machine | cut -d' ' -f2,3)
	SIZE
	factor=$(awk -v w="$width" -v h="$height" -v r="$reduce" 'BEGIN { s = w < h ? w : h; f = 256.5 / s; if (f < r) f = r; if (f > 1) f = 1; print f }')
	djpeg "$1" | pamscale "$factor"
}

find -L "$folder" -type f \( -iname '*.jpg' -o -iname '*.jpeg' -o -iname '*.png' -o -iname '*.webp' \) | LC_ALL=C sort |
while IFS= read -r file; do
	name=${file##*/}
	grep -qxF -e "$name" "$heldout" && continue
	case $name in
	*"$full"*.jp*g) djpeg "$file" ;;
	*.[jJ][pP]*[gG]) shrink "$file" ;;
	*.[pP][nN][gG]) pngtopnm "$file" ;;
	*) dwebp -quiet -ppm "$file" -o - ;;
	esac
done
