#!/bin/bash
# shellcheck disable=SC2154,SC2034 # variables of the caller, and for it
# equal.sh - one picture in files of equal size by several codecs, for report.sh and strips.sh. It is
# sourced, and runs nothing.
#
# The caller sets work (a folder), model (of this suite) and crop (pixels a side), then calls, for
# each picture:
#
#   open_picture FILE.png   sets width and height; $work/x.ppm and x.png hold the picture
#   fit_ours BPP            sets budget; makes $work/x.lat, decoded in vae.ppm; fails if the model cannot make
#                           so small a file
#   encode_ours             makes x.lat of at most budget bytes, and vae.ppm
#   fit KIND                jpeg, webp or avif: $work/x.KIND, of at most budget bytes, decoded in KIND.ppm
#   choose_crop             sets left, top and side: where there is most to see
#   cut KIND                that square of KIND.ppm (x: the picture itself), as a PPM on stdout
#   measure KIND            "PSNR MS-SSIM SCORE" of the whole KIND.ppm; SCORE by SSIMULACRA 2
#   heat                    the bits of x.lat, a sample for each cell of 16 x 16 pixels, as a PPM on stdout

has() { command -v "$1" >/dev/null; }
can() {
	case $1 in
	jpeg) has cjpeg && has djpeg ;;
	webp) has cwebp && has dwebp ;;
	avif) has avifenc && has avifdec ;;
	esac
}
bytes() { wc -c <"$1" | tr -d ' '; }
# field NAME: of the first row of a table of vae-stat --tsv
field() { awk -F'\t' -v name="$1" \
	'$1 == "kind" { for (i = 1; i <= NF; i++) at[$i] = i; next } { print $at[name]; exit }'; }

open_picture() {
	pngtopnm "$1" | ppmtoppm >"$work/x.ppm"
	pamtopng "$work/x.ppm" >"$work/x.png"
	read -r width height < <(pamfile "$work/x.ppm" | sed 's/.*, \([0-9]*\) by \([0-9]*\).*/\1 \2/')
}

encode_ours() {
	vae-enc -m "$model" --max-size "$budget" "$work/x.ppm" | vae-quant -m "$model" >"$work/x.lat" &&
		vae-dec -m "$model" "$work/x.lat" >"$work/vae.ppm"
}
fit_ours() {
	budget=$(awk -v b="$1" -v w="$width" -v h="$height" 'BEGIN { printf "%d", b * w * h / 8 }')
	encode_ours && budget=$(bytes "$work/x.lat") # what it took: at most what was asked
}

# Each encodes $work/x.ppm or x.png at Q to $work/x.KIND, and decodes that to $work/KIND.ppm. A
# larger Q makes a larger file.
encode_jpeg() { cjpeg -optimize -progressive -quality "$1" -outfile "$work/x.jpeg" "$work/x.ppm"; }
decode_jpeg() { djpeg -pnm -outfile "$work/jpeg.ppm" "$work/x.jpeg"; }
encode_webp() { cwebp -quiet -m 6 -q "$(($1 / 4)).$((25 * ($1 % 4)))" "$work/x.ppm" -o "$work/x.webp"; }
decode_webp() { dwebp -quiet -ppm "$work/x.webp" -o "$work/webp.ppm"; }
encode_avif() {
	avifenc -j 1 -s 6 -y 444 --min 0 --max 63 -a end-usage=q -a cq-level=$((63 - $1)) "$work/x.png" \
		"$work/x.avif" >/dev/null 2>&1
}
decode_avif() { avifdec -j 1 "$work/x.avif" "$work/avif.png" >/dev/null 2>&1 &&
	pngtopnm "$work/avif.png" >"$work/avif.ppm"; }
declare -A lowest=([jpeg]=1 [webp]=0 [avif]=0) highest=([jpeg]=100 [webp]=400 [avif]=63)

# Finds the largest Q whose file is within the budget, or the smallest Q.
fit() {
	local low=${lowest[$1]} high=${highest[$1]} middle
	while ((high - low > 1)); do
		middle=$(((low + high) / 2))
		"encode_$1" $middle
		if (($(bytes "$work/x.$1") <= budget)); then low=$middle; else high=$middle; fi
	done
	"encode_$1" "$low" && "decode_$1"
}

# Chooses the square with the strongest edges, on a grid of half its side.
choose_crop() {
	local step=$((crop / 2))
	side=$crop left=0 top=0
	((side <= width)) || side=$width
	((side <= height)) || side=$height
	((width >= 2 * crop && height >= crop)) || return 0
	read -r left top < <(ppmtopgm "$work/x.ppm" | pamedge 2>/dev/null |
		pamcut -width $((width / step * step)) -height $((height / step * step)) |
		pamscale -filter box -xsize $((width / step)) -ysize $((height / step)) 2>/dev/null |
		pamtopnm -plain | awk -v step=$step '
		/^#/ { next }
		{ for (i = 1; i <= NF; i++) v[n++] = $i }
		END {
			w = v[1]; h = v[2]; best = -1
			for (y = 0; y < h - 1; y++)
				for (x = 0; x < w - 1; x++) {
					at = 4 + y * w + x; sum = v[at] + v[at + 1] + v[at + w] + v[at + w + 1]
					if (sum > best) { best = sum; left = x * step; top = y * step }
				}
			print left, top
		}')
}

cut() { pamcut -left "$left" -top "$top" -width "$side" -height "$side" "$work/$1.ppm"; }

measure() {
	ppmtoppm <"$work/$1.ppm" | vae-stat --tsv -r "$work/x.ppm" - >"$work/stat.tsv"
	echo "$(field psnr_db <"$work/stat.tsv") $(field ms_ssim <"$work/stat.tsv") $(field ssimulacra2 \
		<"$work/stat.tsv")"
}

heat() {
	vae-stat --heatmap "$work/x.lat" | pnmnorm -bpercent=0 -wpercent=0.5 2>/dev/null |
		pamdepth 255 2>/dev/null | pgmtoppm '#10102a-#ffd27a'
}
