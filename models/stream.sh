#!/bin/sh
# stream.sh - a folder of photographs as one PNM stream on stdout, for vae-train.
#
#   ONLY=lossless models/stream.sh FOLDER [HELDOUT.txt] > clean.ppm
#   ONLY=lossy models/stream.sh FOLDER [HELDOUT.txt] | vae-train --reduce 0.5:0.77 --lossless clean.ppm ...
#
# Pictures keep their size: vae-train reduces them, which removes what lossy compression (JPEG of
# quality under about 92) left in them. ONLY=lossy gives the JPEG files; ONLY=lossless gives PNG and
# WebP files, and JPEG files whose names contain CLEAN (default "wikipedia_photos"); without ONLY
# all are given. Files whose names stand in HELDOUT.txt are left out. The order is that of the
# names, so the stream is always the same.
set -eu

folder=${1:?usage: stream.sh FOLDER [HELDOUT.txt]}
heldout=${2:-/dev/null}
only=${ONLY:-all}
clean=${CLEAN:-wikipedia_photos}

# given KIND COMMAND...: the command's output, if this kind is asked for
given() {
	kind=$1
	shift
	case $only in all | "$kind") "$@" ;; esac
}

find -L "$folder" -type f \( -iname '*.jpg' -o -iname '*.jpeg' -o -iname '*.png' -o -iname '*.webp' \) |
	LC_ALL=C sort |
while IFS= read -r file; do
	name=${file##*/}
	grep -qxF -e "$name" "$heldout" && continue
	case $name in
	*"$clean"*.jp*g) given lossless djpeg "$file" ;;
	*.[jJ][pP]*[gG]) given lossy djpeg "$file" ;;
	*.[pP][nN][gG]) given lossless pngtopnm "$file" ;;
	*) given lossless dwebp -quiet -ppm "$file" -o - ;;
	esac
done
