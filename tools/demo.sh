#!/bin/bash
# The main task on a real photograph: PNG -> latents -> codes -> PNG, then JPEG and WebP with the
# same number of bytes.
# usage: tools/demo.sh [PHOTO.png [QUALITY]], with vae-enc and the others on PATH
set -euo pipefail
photo=${1:+$(realpath "$1")}
cd "$(dirname "$0")/.."

photo=${photo:-tests/data/photo.png}
quality=${2:-30}
out=build/demo
mkdir -p "$out"
export LC_ALL=C

# Shows a command, then runs it.
run() {
	printf '\n$ %s\n' "$1"
	bash -o pipefail -c "$1"
}

echo "The photograph is $photo."
run "pngtopnm $(printf %q "$photo") | vae-enc -m photo -q $quality | vae-quant > $out/photo.lat"
run "vae-dec < $out/photo.lat | pnmtopng > $out/photo.vae.png"

# Finds the lowest quality at which `encode QUALITY > FILE` is no smaller than the codes, so that
# the other codecs do not get fewer bytes.
jpeg() { cjpeg -optimize -progressive -quality "$1" "$out/photo.ppm" >"$out/photo.jpg"; }
webp() { cwebp -quiet -m 6 -q "$1" "$out/photo.png" -o "$out/photo.webp"; }
size() { stat -c %s "$1"; }
match() { # encoder, its file
	local low=0 high=100 middle
	while [ "$low" -lt "$high" ]; do
		middle=$(((low + high) / 2))
		"$1" "$middle"
		if [ "$(size "$2")" -lt "$bytes" ]; then low=$((middle + 1)); else high=$middle; fi
	done
	"$1" "$low"
	found=$low
}

bytes=$(size "$out/photo.lat")
cp "$photo" "$out/photo.png"
pngtopnm "$photo" >"$out/photo.ppm"
pixels=$(pnmfile "$out/photo.ppm" |
	awk '{ for (i = 1; i < NF; i++) if ($i == "by") print $(i - 1) * $(i + 1) }')
printf '\nThe others at the nearest size that is not smaller:\n'
match jpeg "$out/photo.jpg"
jpeg_quality=$found
printf '\n$ cjpeg -optimize -progressive -quality %s %s > %s\n' "$jpeg_quality" "$out/photo.ppm" \
	"$out/photo.jpg"
match webp "$out/photo.webp"
webp_quality=$found
printf '$ cwebp -m 6 -q %s %s -o %s\n' "$webp_quality" "$out/photo.png" "$out/photo.webp"

pngtopnm "$out/photo.vae.png" >"$out/vae.ppm"
djpeg "$out/photo.jpg" >"$out/jpeg.ppm"
dwebp -quiet -ppm "$out/photo.webp" -o "$out/webp.ppm"
for codec in jpeg webp; do pnmtopng "$out/$codec.ppm" >"$out/photo.$codec.png" 2>/dev/null; done

# The table, measured by vae-stat; columns are found by name.
vae-stat --tsv -r "$out/photo.ppm" "$out/vae.ppm" "$out/jpeg.ppm" "$out/webp.ppm" >"$out/measures.tsv"
measure() { # file, column
	awk -F'\t' -v file="$1" -v column="$2" '
		!n { for (i = 1; i <= NF; i++) if ($i == column) n = i; else if ($i == "file") f = i; next }
		$f == file { print $n; exit }' "$out/measures.tsv"
}
row() { # name, coded file, decoded file
	printf '%-24s %9d %8.4f %13.1f %9.2f %9.4f\n' "$1" "$(size "$2")" \
		"$(awk -v b="$(size "$2")" -v p="$pixels" 'BEGIN { print 8 * b / p }')" \
		"$(measure "$3" ssimulacra2)" "$(measure "$3" psnr_db)" "$(measure "$3" ms_ssim)"
}
printf '\n%-24s %9s %8s %13s %9s %9s\n' '' bytes bpp 'SSIMULACRA 2' 'PSNR/dB' MS-SSIM
row "vae-tools -q $quality" "$out/photo.lat" "$out/vae.ppm"
row "cwebp -q $webp_quality" "$out/photo.webp" "$out/webp.ppm"
row "cjpeg -quality $jpeg_quality" "$out/photo.jpg" "$out/jpeg.ppm"

# A part of each, twice as large: the photograph and vae-tools above, WebP and JPEG below.
for codec in photo vae webp jpeg; do
	pamcut -left 160 -top 80 -width 256 -height 192 -pad "$out/$codec.ppm" 2>/dev/null |
		pamenlarge 2 >"$out/part.$codec.ppm"
done
pnmcat -lr "$out/part.photo.ppm" "$out/part.vae.ppm" >"$out/above.ppm"
pnmcat -lr "$out/part.webp.ppm" "$out/part.jpeg.ppm" >"$out/below.ppm"
pnmcat -tb "$out/above.ppm" "$out/below.ppm" | pnmtopng >"$out/compare.png" 2>/dev/null
rm -f "$out"/*.ppm

cat <<END

Look at
  $out/photo.png        the photograph
  $out/photo.vae.png    vae-tools
  $out/photo.webp.png   WebP
  $out/photo.jpeg.png   JPEG
  $out/compare.png      a part of each, enlarged: photograph and vae-tools above, WebP and JPEG below
END
