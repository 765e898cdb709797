#!/bin/bash
# rd.sh - the rate-distortion table of codecs over a folder of PNG images:
# codec,q,bpp,psnr,msssim,ssimulacra2.
#
#   bench/rd.sh FOLDER > peers.csv
#   CODECS=ours MODEL=photo bench/rd.sh FOLDER > ours.csv
#   EACH=yes bench/rd.sh FOLDER > each.csv      # a line for each image, named after q
#
# Counts whole files, written by each codec's own programs. PSNR, MS-SSIM and SSIMULACRA 2 are means
# of the images' own, by vae-stat; - stands for a measure that an image is too small for, inf for
# PSNR where an image is equal. BUTTERAUGLI=yes adds a column of its 3-norm, by bench/butteraugli,
# which takes longer than everything else. CODECS (default: those of jpeg420 webp jxl heic_444
# avif_s6_444 that are installed) chooses; ours is this suite with MODEL, at QUALITIES (default 0 to
# 100 in steps of 10), with the options ENC of vae-enc and QUANT of vae-quant. JOBS images at a time
# (default: the number of cores).
set -euo pipefail
export LC_ALL=C
bench=$(cd "$(dirname "$0")" && pwd)
export PATH=$bench/../build:$PATH
folder=${1:?usage: rd.sh FOLDER}
jobs=${JOBS:-$(nproc)}
export bench BUTTERAUGLI=${BUTTERAUGLI:-} OMP_NUM_THREADS=1 MODEL=${MODEL:-photo} ENC=${ENC:-} \
	QUANT=${QUANT:-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

declare -A qualities=([ours]="${QUALITIES:-0 10 20 30 40 50 60 70 80 90 100}"
	[jpeg420]='5 10 20 30 40 50 60 70 80 90 95' [webp]='0 5 10 20 30 40 50 60 70 80 90 95'
	[jxl]='8 6 4 3 2.5 2 1.5 1 0.7 0.5' [heic_444]='5 15 25 35 45 55 65 75 85 92' \
		[avif_s6_444]='58 52 46 40 34 28 22 16 11 7')
declare -A needs=([ours]=vae-enc [jpeg420]=cjpeg [webp]=cwebp [jxl]=cjxl [heic_444]=heif-enc \
	[avif_s6_444]=avifenc)

# encode CODEC Q IN.png IN.ppm OUT, decode CODEC IN OUT.ppm
# shellcheck disable=SC2086 # options are words
encode() {
	case $1 in
	ours) vae-enc -m "$MODEL" -q "$2" $ENC "$4" | vae-quant -m "$MODEL" $QUANT >"$5" ;;
	jpeg420) cjpeg -optimize -progressive -quality "$2" -outfile "$5" "$4" ;;
	webp) cwebp -quiet -m 6 -q "$2" "$3" -o "$5" ;;
	jxl) cjxl --quiet -d "$2" -e 7 "$3" "$5" ;;
	heic_444) heif-enc -q "$2" -p chroma=444 -p preset=slow -o "$5" "$3" ;;
	avif_s6_444) avifenc -j 1 -s 6 -y 444 --min "$2" --max "$2" -a end-usage=q -a cq-level="$2" "$3" "$5" ;;
	esac >/dev/null
}
decode() {
	case $1 in
	ours) vae-dec -m "$MODEL" "$2" >"$3" ;;
	jpeg420) djpeg -pnm -outfile "$3" "$2" ;;
	webp) dwebp -quiet -ppm "$2" -o "$3" ;;
	jxl) djxl --quiet "$2" "$3" ;;
	heic_444) heif-convert "$2" "$3.png" && pngtopnm "$3.png" >"$3" ;;
	avif_s6_444) avifdec -j 1 "$2" "$3.png" && pngtopnm "$3.png" >"$3" ;;
	esac >/dev/null
}

# one CODEC Q IMAGE.png: bpp, psnr, msssim, ssimulacra2, IMAGE.png and the 3-norm, with tabs between
one() {
	local name distance=
	set -o pipefail
	name=$work/$1-$2-$(basename "$3" .png)
	if ! { pngtopnm "$3" | ppmtoppm >"$name.in.ppm" &&
		encode "$1" "$2" "$3" "$name.in.ppm" "$name.${1%%_*}" &&
		decode "$1" "$name.${1%%_*}" "$name.out.ppm"; } 2>"$name.words"; then
		echo "rd.sh: $1 at $2 fails on $3: $(head -n 1 "$name.words")" >&2
		return 1
	fi
	if [ "$BUTTERAUGLI" ]; then
		ppmtoppm <"$name.out.ppm" >"$name.plain.ppm"
		distance=$("$bench/butteraugli" "$name.in.ppm" "$name.plain.ppm") || return 1
	fi
	ppmtoppm <"$name.out.ppm" | vae-stat -T 1 --tsv -r "$name.in.ppm" - |
		awk -F'\t' -v bytes="$(stat -c %s "$name.${1%%_*}")" -v image="$(basename "$3")" \
		-v distance="$distance" '
		NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
		{ print 8 * bytes / $at["width"] / $at["height"] "\t" $at["psnr_db"] "\t" \
			$at["ms_ssim"] "\t" $at["ssimulacra2"] "\t" image "\t" distance; exit }'
	rm -f "$name".*
}
export -f one encode decode
export work

# table CODEC Q: lines of the table from those of one
table() {
	awk -F'\t' -v codec="$1" -v q="$2" -v each="${EACH:-}" '
		function rounded(sum, n, digits) { return n ? sprintf("%." digits "f", sum / n) : "-" }
		function measures(n, ssim, score) {
			return (infinite ? "inf" : rounded(p, n, 3)) "," rounded(s, ssim, 5) "," rounded(e, score, 3) \
				($6 == "" ? "" : "," rounded(d, n, 4)) }
		{ images++; b += $1; d += $6 }
		$2 == "inf" { infinite++ }
		{ p += $2 == "inf" ? 0 : $2 }
		$3 ~ /^-?[0-9]/ { similar++; s += $3 }
		$4 ~ /^-?[0-9]/ { scored++; e += $4 }
		each { gsub(/,/, "_", $5);
		print codec "," q "," $5 "," rounded(b, 1, 5) "," measures(1, similar, scored);
		images = b = p = s = e = d = infinite = similar = scored = 0 }
		END { if (images) print codec "," q "," rounded(b, images, 4) "," measures(images, similar, scored) }'
}

for codec in ${CODECS:-}; do
	[ "${needs[$codec]:-}" ] || { echo "rd.sh: CODECS: $codec is none of ${!needs[*]}" >&2 && exit 1; }
	command -v "${needs[$codec]}" >/dev/null ||
		{ echo "rd.sh: CODECS: $codec needs ${needs[$codec]}, which is not installed" >&2 && exit 1; }
done
[ -n "$(find -L "$folder" -maxdepth 1 -name '*.png' -print -quit 2>/dev/null)" ] ||
	{ echo "rd.sh: $folder: no PNG images" >&2 && exit 1; }

echo "codec,q,${EACH:+image,}bpp,psnr,msssim,ssimulacra2${BUTTERAUGLI:+,butteraugli}"
for codec in ${CODECS:-jpeg420 webp jxl heic_444 avif_s6_444}; do
	command -v "${needs[$codec]}" >/dev/null || continue
	for q in ${qualities[$codec]}; do
		# shellcheck disable=SC2016 # the inner shell expands them
		printf '%s\0' "$folder"/*.png | xargs -0 -P "$jobs" -I{} bash -c 'one "$0" "$1" "$2"' "$codec" \
			"$q" {} | table "$codec" "$q"
	done
done
