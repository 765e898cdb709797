#!/bin/sh
# stream.sh - a folder of photographs as one PNM stream on stdout, for vae-train.
#
#   ONLY=lossless models/stream.sh FOLDER [HELDOUT.txt] > clean.ppm
#   ONLY=lossy models/stream.sh FOLDER [HELDOUT.txt] | vae-train --reduce 0.5:0.77 --lossless clean.ppm ...
#
# Pictures keep their size: vae-train reduces them, which removes what lossy compression (JPEG of
# quality under about 92) left in them. ONLY=lossy gives the JPEG files; ONLY=lossless gives PNG and
# WebP files, and JPEG files whose names contain CLEAN (default "wikipedia_photos"); without ONLY
# all are given. Files whose names stand in HELDOUT.txt are left out, and so are, with a line on
# stderr, files that cannot be decoded whole. The order is that of the names, so the stream is
# always the same.
set -eu

folder=${1:?usage: stream.sh FOLDER [HELDOUT.txt]}
heldout=${2:-/dev/null}
only=${ONLY:-all}
clean=${CLEAN:-wikipedia_photos}
fail() { echo "stream.sh: $*" >&2 && exit 1; }
case $only in all | lossy | lossless) ;; *) fail "ONLY=$only is neither lossy nor lossless" ;; esac
[ -d "$folder" ] || fail "$folder: not a folder"
[ -r "$heldout" ] || fail "$heldout: cannot be read"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT QUIT USR1 USR2 PIPE ALRM TERM

# given KIND PROGRAM [OPTION]...: $file decoded, if this kind is asked for
given() {
	kind=$1
	shift
	case $only in all | "$kind") ;; *) return 0 ;; esac
	command -v "$1" >/dev/null || fail "$file needs $1, which is not installed"
	if "$@" "$file" >"$work/picture" 2>"$work/words"; then
		cat "$work/picture"
	else
		echo "stream.sh: $file: left out: $(head -n 1 "$work/words")" >&2
	fi
}

find -L "$folder" -type f \( -iname '*.jpg' -o -iname '*.jpeg' -o -iname '*.png' -o -iname '*.webp' \) |
	LC_ALL=C sort |
while IFS= read -r file; do
	name=${file##*/}
	grep -qxF -e "$name" "$heldout" && continue
	case $name in
	*"$clean"*.jp*g) given lossless djpeg ;;
	*.[jJ][pP]*[gG]) given lossy djpeg ;;
	*.[pP][nN][gG]) given lossless pngtopnm ;;
	*) given lossless dwebp -quiet -ppm -o - ;;
	esac
done
