#!/bin/bash
# report.sh - one HTML page about a model: rate-distortion plots against the peers found on this machine, crops at equal bytes, where the
# bits go, and what the programs cost. All is inside the page: it needs no network and no script to be read.
#
#   tests/bench/report.sh FOLDER > report.html
#
# FOLDER holds PNG images, all of which go into the curves and the first IMAGES (3) of which are shown. From the environment:
#   MODEL=NAME|FILE (photo)
#   BPP=B (0.25)          size of the files whose crops are compared
#   CROP=N (256)          pixels a side
#   OURS, PEERS, SPEED    files that hold what kodak.sh, rd.sh and speed.sh have written, so that they need not run again; SPEED=no: no table
#   QUALITIES, CODECS, N  as rd.sh and speed.sh take them
set -euo pipefail
export LC_ALL=C
bench=$(cd "$(dirname "$0")" && pwd)
PATH=$(cd "$bench/../.." && cd "${B:-build}" && pwd):$PATH
folder=${1:?usage: report.sh FOLDER}
model=${MODEL:-photo}
bpp=${BPP:-0.25}
crop=${CROP:-256}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

has() { command -v "$1" >/dev/null; }
fail() {
	echo "report.sh: $*" >&2
	exit 1
}
for tool in gnuplot pngtopnm pamtopng cjpeg djpeg base64; do
	has $tool || fail "no $tool"
done
compgen -G "$folder/*.png" >/dev/null || fail "no *.png in $folder"

# ---- what is measured ------------------------------------------------------------------------------------------------------

if [ -n "${OURS:-}" ]; then cp "$OURS" "$work/ours.csv"; else CODECS=ours MODEL=$model "$bench/rd.sh" "$folder" >"$work/ours.csv"; fi
if [ -n "${PEERS:-}" ]; then cp "$PEERS" "$work/peers.csv"; else "$bench/rd.sh" "$folder" >"$work/peers.csv"; fi
case ${SPEED:-} in
no) ;;
'') MODEL=$model "$bench/speed.sh" >"$work/speed.txt" ;;
*) cp "$SPEED" "$work/speed.txt" ;;
esac
sed -i '/^$/,$d' "$work/ours.csv" # BD-rates may follow
gnuplot -e "ours='$work/ours.csv'; peers='$work/peers.csv'; out='$work/rd'" "$bench/rd.gp"

bytes() { wc -c <"$1" | tr -d ' '; }
field() { awk -F'\t' -v name="$1" '$1 == "kind" { for (i = 1; i <= NF; i++) at[$i] = i; next } { print $at[name]; exit }'; }

# ---- the page's parts ------------------------------------------------------------------------------------------------------

escape() { sed 's/&/\&amp;/g; s/</\&lt;/g; s/>/\&gt;/g; s/"/\&quot;/g'; }
# embed TYPE FILE: a data: URI
embed() { printf 'data:%s;base64,%s' "$1" "$(base64 -w 0 "$2")"; }
# picture TYPE FILE ALT
picture() { printf '<img src="%s" alt="%s">' "$(embed "$1" "$2")" "$(printf '%s' "$3" | escape)"; }

title_of() {
	case $1 in
	jpeg*) echo JPEG ;;
	webp) echo WebP ;;
	jxl) echo 'JPEG XL' ;;
	heic*) echo HEIC ;;
	avif*) echo AVIF ;;
	*) echo "$1" ;;
	esac
}

bd_rates() {
	local codec psnr similarity
	# shellcheck disable=SC2013 # names without blanks
	for codec in $(awk -F, 'NR > 1 && !seen[$1]++ { print $1 }' "$work/peers.csv"); do
		psnr=$(awk -f "$bench/bdrate.awk" -v test=ours -v anchor="$codec" "$work/peers.csv" "$work/ours.csv" 2>/dev/null) || psnr=-
		similarity=$(awk -f "$bench/bdrate.awk" -v test=ours -v anchor="$codec" -v metric=msssim "$work/peers.csv" "$work/ours.csv" 2>/dev/null) ||
			similarity=-
		echo "<tr><th scope=row>$(title_of "$codec")</th><td>$psnr %</td><td>$similarity %</td></tr>"
	done
}

# gnuplot's drawing, to stand in a page: as wide as there is room.
drawing() { sed -n '/<svg/,$p' "$1" | sed '1,/>/s/ width="[0-9]*" height="[0-9]*"//' | grep -v '^<title>'; }

# Tables and words of speed.sh up to what only its makers read, which follows folded up. A row: 44 characters, then numbers.
speed() {
	awk 'function close_table() { if (open) print "</tbody></table></div>"; open = 0 }
		function escaped(s) { gsub(/&/, "\\&amp;", s); gsub(/</, "\\&lt;", s); gsub(/>/, "\\&gt;", s); return s }
		/^Share of the/ { close_table(); print "<details><summary>Networks, kernels and coder</summary><pre>"; folded = 1 }
		folded { print escaped($0); next }
		/^ +CPU s/ {
			print "<div class=wide><table><thead><tr><th></th>"
			gsub(/CPU s/, "CPU_s"); gsub(/wall s/, "wall_s"); gsub(/peak MB/, "peak_MB"); gsub(/of ours/, "of_ours")
			for (i = 1; i <= NF; i++) { h = $i; gsub(/_/, " ", h); print "<th scope=col>" h "</th>" }
			print "</tr></thead><tbody>"; open = 1; next
		}
		open && length($0) > 60 {
			label = substr($0, 1, 48); sub(/^ +/, "", label); sub(/ +$/, "", label); rest = substr($0, 49); n = split(rest, v, " ")
			printf "<tr><th scope=row>%s</th>", escaped(label)
			for (i = 1; i <= n; i++) printf "<td>%s</td>", v[i]
			print "</tr>"; next
		}
		{ close_table() }
		/^$/ { next }
		/^[A-Z]/ { print "<h3>" escaped($0) "</h3>"; next }
		{ sub(/^ +/, ""); print "<p class=line>" escaped($0) "</p>" }
		END { close_table(); if (folded) print "</pre></details>" }' "$work/speed.txt"
}

# ---- crops at equal bytes ----------------------------------------------------------------------------------------------------

# Each: encode Q from $work/x.ppm or x.png to $work/x.KIND, and decode that to $work/KIND.ppm. A larger Q makes a larger file.
encode_jpeg() { cjpeg -optimize -progressive -quality "$1" -outfile "$work/x.jpeg" "$work/x.ppm"; }
decode_jpeg() { djpeg -pnm -outfile "$work/jpeg.ppm" "$work/x.jpeg"; }
encode_webp() { cwebp -quiet -m 6 -q "$(($1 / 4)).$((25 * ($1 % 4)))" "$work/x.ppm" -o "$work/x.webp"; }
decode_webp() { dwebp -quiet -ppm "$work/x.webp" -o "$work/webp.ppm"; }
encode_avif() {
	avifenc -j 1 -s 6 -y 444 --min 0 --max 63 -a end-usage=q -a cq-level=$((63 - $1)) "$work/x.png" "$work/x.avif" >/dev/null 2>&1
}
decode_avif() { avifdec -j 1 "$work/x.avif" "$work/avif.png" >/dev/null 2>&1 && pngtopnm "$work/avif.png" >"$work/avif.ppm"; }

# fit KIND LOW HIGH: the file of at most $budget bytes with the largest Q, or of the smallest Q there is
fit() {
	local low=$2 high=$3 middle
	while ((high - low > 1)); do
		middle=$(((low + high) / 2))
		"encode_$1" $middle
		if (($(bytes "$work/x.$1") <= budget)); then low=$middle; else high=$middle; fi
	done
	"encode_$1" "$low" && "decode_$1"
}

# Where there is most to see: the square of $crop pixels with the strongest edges, on a grid of half its side. "LEFT TOP"
busiest() {
	local step=$((crop / 2))
	ppmtopgm "$work/x.ppm" | pamedge 2>/dev/null | pamcut -width $((width / step * step)) -height $((height / step * step)) |
		pamscale -filter box -xsize $((width / step)) -ysize $((height / step)) 2>/dev/null | pamtopnm -plain | awk -v step=$step '
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
		}'
}

# crop KIND NAME WHAT: a figure, and the figures of the whole picture
show_crop() {
	local measures
	pamcut -left "$left" -top "$top" -width "$side" -height "$side" "$work/$1.ppm" | pamtopng >"$work/crop.png"
	measures=$3
	[ "$1" = x ] || measures=$(ppmtoppm <"$work/$1.ppm" | vae-stat --tsv -r "$work/x.ppm" - >"$work/stat.tsv" &&
		awk -v b="$3" -v p="$(field psnr_db <"$work/stat.tsv")" -v s="$(field ms_ssim <"$work/stat.tsv")" \
			'BEGIN { printf "%d bytes<br>%.2f dB, MS-SSIM %.4f", b, p, s }')
	printf '<figure>%s<figcaption><b>%s</b><br>%s</figcaption></figure>\n' "$(picture image/png "$work/crop.png" "$2")" "$2" "$measures"
}

crops() {
	local left top side=$crop
	((side <= width)) || side=$width
	((side <= height)) || side=$height
	if ((width >= 2 * crop && height >= crop)); then read -r left top < <(busiest); else left=0 top=0; fi
	printf '<div class=crops>\n'
	show_crop x 'Original' "$((8 * $(bytes "$1") / width / height)) bits a pixel as PNG"
	fit jpeg 1 100
	show_crop jpeg JPEG "$(bytes "$work/x.jpeg")"
	if has cwebp && has dwebp; then
		fit webp 0 400
		show_crop webp WebP "$(bytes "$work/x.webp")"
	fi
	if has avifenc && has avifdec; then
		fit avif 0 63
		show_crop avif AVIF "$(bytes "$work/x.avif")"
	fi
	show_crop vae vae-tools "$(bytes "$work/x.lat")"
	printf '</div>\n'
}

# Bits spent on each cell of 16 x 16 pixels, where this build of vae-stat tells.
heat_map() {
	vae-stat --heatmap "$work/x.lat" >"$work/heat.pgm"
	pnmnorm -bpercent=0 -wpercent=0.5 "$work/heat.pgm" 2>/dev/null | pamdepth 255 2>/dev/null | pgmtoppm '#10102a-#ffd27a' | pamtopng >"$work/heat.png"
	cjpeg -quality 88 -outfile "$work/whole.jpg" "$work/x.ppm"
	printf '<div class=pair><figure>%s<figcaption>The picture</figcaption></figure>' "$(picture image/jpeg "$work/whole.jpg" 'the picture')"
	printf '<figure class=map>%s<figcaption>Where its bits go: a cell for each 16 x 16 pixels, brighter for more</figcaption></figure></div>\n' \
		"$(picture image/png "$work/heat.png" 'map of bits')"
}

pictures() {
	local file name width height budget shown=0
	for file in "$folder"/*.png; do
		[ $((shown++)) -lt "${IMAGES:-3}" ] || break
		name=$(basename "$file" .png)
		pngtopnm "$file" | ppmtoppm >"$work/x.ppm"
		pamtopng "$work/x.ppm" >"$work/x.png"
		read -r width height < <(pamfile "$work/x.ppm" | sed 's/.*, \([0-9]*\) by \([0-9]*\).*/\1 \2/')
		budget=$(awk -v b="$bpp" -v w="$width" -v h="$height" 'BEGIN { printf "%d", b * w * h / 8 }')
		printf '<section>\n<h3>%s</h3>\n' "$(printf '%s' "$name, $width x $height" | escape)"
		if vae-enc -m "$model" --target-size "$budget" "$work/x.ppm" | vae-quant -m "$model" >"$work/x.lat" &&
			vae-dec -m "$model" "$work/x.lat" >"$work/vae.ppm"; then
			budget=$(bytes "$work/x.lat") # ours meets a size within 2 %, the others get what it took
			crops "$file"
			heat_map
		else
			printf '<p>The model does not reach %s bytes with this picture.</p>\n' "$budget"
		fi
		printf '</section>\n'
	done
}

# ---- the page --------------------------------------------------------------------------------------------------------------

style() {
	cat <<'CSS'
:root { color-scheme: light dark; --ink: #1c1c1e; --paper: #fdfdfc; --soft: #6a6a70; --line: #dcdcd8; --wash: #f3f3f0; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e6e3; --paper: #17181a; --soft: #9a9aa2; --line: #36383c; --wash: #202225; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.5rem 4rem; max-width: 84rem; background: var(--paper); color: var(--ink);
	font: 1rem/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif; }
h1 { font-size: 1.7rem; margin: 0 0 .3rem; } h2 { font-size: 1.3rem; margin: 2.6rem 0 .6rem; border-bottom: 1px solid var(--line); padding-bottom: .2rem; }
h3 { font-size: 1rem; margin: 1.6rem 0 .5rem; } p { max-width: 46rem; margin: .5rem 0; } .soft, figcaption, .line { color: var(--soft); } .line { margin: .1rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; } .wide { overflow-x: auto; }
th, td { padding: .25rem .9rem .25rem 0; border-bottom: 1px solid var(--line); text-align: right; font-weight: normal; white-space: nowrap; }
thead th { color: var(--soft); } th[scope=row], thead th:first-child { text-align: left; }
.plot { background: #fff; border: 1px solid var(--line); border-radius: 6px; padding: .5rem; } .plot svg { display: block; width: 100%; height: auto; }
figure { margin: 0; } figure img { display: block; width: 100%; height: auto; border-radius: 3px; } figcaption { font-size: .85rem; padding: .3rem 0; }
figcaption b { color: var(--ink); }
.crops { display: grid; grid-template-columns: repeat(auto-fill, minmax(12.5rem, 1fr)); gap: 1rem; }
.crops img { image-rendering: pixelated; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(20rem, 1fr)); gap: 1rem; margin-top: 1rem; max-width: 62rem; }
.map img { image-rendering: pixelated; }
pre { background: var(--wash); padding: 1rem; overflow-x: auto; border-radius: 6px; font-size: .8rem; line-height: 1.35; } summary { cursor: pointer; margin-top: 1.2rem; }
CSS
}

model_file() {
	case $model in
	*/*) echo "$model" ;;
	*) find "$bench/../../models" -name "$model.safetensors" -o -name "$model-*.safetensors" | sort -V | tail -n 1 ;;
	esac
}

about() {
	local file
	file=$(model_file)
	vae-stat --tsv "$file" >"$work/model.tsv"
	printf '<p class=soft>Model %s, %s parameters, decoder %.2f thousand multiply-accumulates a pixel; %s images; %s.</p>\n' \
		"$(basename "$file" .safetensors)" "$(field parameters <"$work/model.tsv")" "$(field decoder_kmac_pixel <"$work/model.tsv")" \
		"$(find "$folder" -maxdepth 1 -name '*.png' | wc -l)" \
		"$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo 2>/dev/null | head -n 1 | escape)"
}

page() {
	printf '<!DOCTYPE html>\n<html lang=en>\n<head>\n<meta charset=utf-8>\n<meta name=viewport content="width=device-width, initial-scale=1">\n'
	printf '<title>vae-tools: %s</title>\n<style>\n' "$(basename "$model" .safetensors | escape)"
	style
	printf '</style>\n</head>\n<body>\n<h1>Images compressed with a variational autoencoder</h1>\n'
	about
	printf '<h2>Rate and distortion</h2>\n<div class=plot>\n'
	drawing "$work/rd.svg"
	printf '</div>\n<p>Whole files are counted; each point is the mean over all images. Left: peak signal-to-noise ratio. Right: multi-scale structural '
	printf 'similarity, as &minus;10 log<sub>10</sub>(1 &minus; MS-SSIM).</p>\n'
	printf '<h3>Difference in size at equal quality (BD-rate; negative: vae-tools needs fewer bytes)</h3>\n'
	printf '<table><thead><tr><th>against</th><th scope=col>by PSNR</th><th scope=col>by MS-SSIM</th></tr></thead><tbody>\n'
	bd_rates
	printf '</tbody></table>\n<h2>Crops of files of equal size</h2>\n<p>About %s bits a pixel. A codec that cannot make so small a file shows its smallest; ' "$bpp"
	printf 'bytes, PSNR and MS-SSIM are of the whole picture.</p>\n'
	pictures
	if [ -e "$work/speed.txt" ]; then
		printf '<h2>Speed</h2>\n'
		speed
	fi
	printf '</body>\n</html>\n'
}

page >"$work/page.html"
cat "$work/page.html"
