#!/bin/bash
# report.sh - one HTML page about a model: rate-distortion plots against the codecs found on this
# machine, crops at equal bytes, heat maps of the bits, and the cost of the programs. The page
# contains everything: it needs no network and no script.
#
#   bench/report.sh FOLDER > report.html
#
# FOLDER holds PNG images, all of which go into the curves and the first IMAGES (3) of which are
# shown. From the environment:
#   MODEL=NAME|FILE (photo)
#   BPP=B (0.25)          size of the files whose crops are compared
#   CROP=N (256)          pixels a side
#   OURS, PEERS, SPEED    output of kodak.sh, rd.sh and speed.sh, which then do not run again;
#                         SPEED=no: no table of speed
#   QUALITIES, CODECS, N  as rd.sh and speed.sh take them
set -euo pipefail
export LC_ALL=C
bench=$(cd "$(dirname "$0")" && pwd)
PATH=$(cd "$bench/.." && cd "${B:-build}" && pwd):$PATH
folder=${1:?usage: report.sh FOLDER}
model=${MODEL:-photo}
bpp=${BPP:-0.25}
crop=${CROP:-256}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# shellcheck source=bench/equal.sh
. "$bench/equal.sh"
fail() {
	echo "report.sh: $*" >&2
	exit 1
}
for tool in gnuplot pngtopnm pamtopng cjpeg djpeg base64; do
	has $tool || fail "no $tool"
done
compgen -G "$folder/*.png" >/dev/null || fail "no *.png in $folder"

# ---- what is measured ----------------------------------------------------------------------------

if [ -n "${OURS:-}" ]; then
	cp "$OURS" "$work/ours.csv"
else
	CODECS=ours MODEL=$model "$bench/rd.sh" "$folder" >"$work/ours.csv"
fi
if [ -n "${PEERS:-}" ]; then
	cp "$PEERS" "$work/peers.csv"
else
	"$bench/rd.sh" "$folder" >"$work/peers.csv"
fi
case ${SPEED:-} in
no) ;;
'') MODEL=$model "$bench/speed.sh" >"$work/speed.txt" ;;
*) cp "$SPEED" "$work/speed.txt" ;;
esac
sed -i '/^$/,$d' "$work/ours.csv" # BD-rates may follow
gnuplot -e "ours='$work/ours.csv'; peers='$work/peers.csv'; out='$work/rd'" "$bench/rd.gp"

# ---- the page's parts ----------------------------------------------------------------------------

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

# bd_rate CODEC METRIC: a cell of the table
bd_rate() {
	local rate
	rate=$(awk -f "$bench/bdrate.awk" -v test=ours -v anchor="$1" -v metric="$2" "$work/peers.csv" \
		"$work/ours.csv" 2>/dev/null) || rate=-
	printf '<td>%s %%</td>' "$rate"
}
bd_rates() {
	local codec
	# shellcheck disable=SC2013 # names without blanks
	for codec in $(awk -F, 'NR > 1 && !seen[$1]++ { print $1 }' "$work/peers.csv"); do
		printf '<tr><th scope=row>%s</th>%s%s%s</tr>\n' "$(title_of "$codec")" \
			"$(bd_rate "$codec" ssimulacra2)" "$(bd_rate "$codec" psnr)" "$(bd_rate "$codec" msssim)"
	done
}

# Makes gnuplot's drawing as wide as the page.
drawing() { sed -n '/<svg/,$p' "$1" | sed '1,/>/s/ width="[0-9]*" height="[0-9]*"//' | grep -v '^<title>'; }

# The tables and text of speed.sh, then its technical part, folded up. A row: 44 characters, then
# numbers.
speed() {
	awk 'function close_table() { if (open) print "</tbody></table></div>"; open = 0 }
		function escaped(s) { gsub(/&/, "\\&amp;", s); gsub(/</, "\\&lt;", s); gsub(/>/, "\\&gt;", s);
		return s }
		/^Share of the/ { close_table();
		print "<details><summary>Networks, kernels and coder</summary><pre>"; folded = 1 }
		folded { print escaped($0); next }
		/^ +CPU s/ {
			print "<div class=wide><table><thead><tr><th></th>"
			gsub(/CPU s/, "CPU_s"); gsub(/wall s/, "wall_s"); gsub(/peak MB/, "peak_MB");
			gsub(/of ours/, "of_ours")
			for (i = 1; i <= NF; i++) { h = $i; gsub(/_/, " ", h); print "<th scope=col>" h "</th>" }
			print "</tr></thead><tbody>"; open = 1; next
		}
		open && length($0) > 60 {
			label = substr($0, 1, 48); sub(/^ +/, "", label); sub(/ +$/, "", label); rest = substr($0, 49);
			n = split(rest, v, " ")
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

# ---- crops at equal bytes ------------------------------------------------------------------------

# show_crop KIND NAME FILE: a figure; the bytes of FILE, PSNR, MS-SSIM and score of the whole picture
show_crop() {
	local caption
	cut "$1" | pamtopng >"$work/crop.png"
	if [ "$1" = x ]; then
		caption="$((8 * $(bytes "$3") / width / height)) bits a pixel as PNG"
	else
		caption=$(measure "$1" | awk -v b="$(bytes "$3")" \
			'{ printf "%d bytes<br>score %.1f, %.2f dB, MS-SSIM %.4f", b, $3, $1, $2 }')
	fi
	printf '<figure>%s<figcaption><b>%s</b><br>%s</figcaption></figure>\n' \
		"$(picture image/png "$work/crop.png" "$2")" "$2" "$caption"
}

crops() {
	local kind
	choose_crop
	printf '<div class=crops>\n'
	show_crop x 'Original' "$1"
	for kind in jpeg webp avif; do
		can $kind || continue
		fit $kind
		show_crop $kind "$(title_of $kind)" "$work/x.$kind"
	done
	show_crop vae vae-tools "$work/x.lat"
	printf '</div>\n'
}

heat_map() {
	heat | pamtopng >"$work/heat.png"
	cjpeg -quality 88 -outfile "$work/whole.jpg" "$work/x.ppm"
	printf '<div class=pair><figure>%s<figcaption>The picture</figcaption></figure>' \
		"$(picture image/jpeg "$work/whole.jpg" 'the picture')"
	printf \
		'<figure class=map>%s<figcaption>Where its bits go: a cell for each 16 x 16 pixels, brighter for more</figcaption></figure></div>\n' \
		"$(picture image/png "$work/heat.png" 'map of bits')"
}

pictures() {
	local file shown=0
	for file in "$folder"/*.png; do
		[ $((shown++)) -lt "${IMAGES:-3}" ] || break
		open_picture "$file"
		printf '<section>\n<h3>%s</h3>\n' \
			"$(printf '%s' "$(basename "$file" .png), $width x $height" | escape)"
		if fit_ours "$bpp"; then
			crops "$file"
			heat_map
		else
			printf '<p>The model does not reach %s bits a pixel with this picture.</p>\n' "$bpp"
		fi
		printf '</section>\n'
	done
}

# ---- the page ------------------------------------------------------------------------------------

style() {
	cat <<'CSS'
:root { color-scheme: light dark; --ink: #1c1c1e; --paper: #fdfdfc; --soft: #6a6a70; --line: #dcdcd8;
	--wash: #f3f3f0; }
@media (prefers-color-scheme: dark) {
	:root { --ink: #e6e6e3; --paper: #17181a; --soft: #9a9aa2;
		--line: #36383c; --wash: #202225; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.5rem 4rem; max-width: 84rem; background: var(--paper);
	color: var(--ink);
	font: 1rem/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif; }
h1 { font-size: 1.7rem; margin: 0 0 .3rem; }
h2 { font-size: 1.3rem; margin: 2.6rem 0 .6rem; border-bottom: 1px solid var(--line);
	padding-bottom: .2rem; }
h3 { font-size: 1rem; margin: 1.6rem 0 .5rem; }
p { max-width: 46rem; margin: .5rem 0; }
.soft, figcaption, .line { color: var(--soft); }
.line { margin: .1rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; } .wide { overflow-x: auto; }
th, td { padding: .25rem .9rem .25rem 0; border-bottom: 1px solid var(--line); text-align: right;
	font-weight: normal; white-space: nowrap; }
thead th { color: var(--soft); } th[scope=row], thead th:first-child { text-align: left; }
.plot { background: #fff; border: 1px solid var(--line); border-radius: 6px; padding: .5rem; }
.plot svg { display: block; width: 100%; height: auto; }
figure { margin: 0; }
figure img { display: block; width: 100%; height: auto; border-radius: 3px; }
figcaption { font-size: .85rem; padding: .3rem 0; }
figcaption b { color: var(--ink); }
.crops { display: grid; grid-template-columns: repeat(auto-fill, minmax(12.5rem, 1fr)); gap: 1rem; }
.crops img { image-rendering: pixelated; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(20rem, 1fr)); gap: 1rem;
	margin-top: 1rem; max-width: 62rem; }
.map img { image-rendering: pixelated; }
pre { background: var(--wash); padding: 1rem; overflow-x: auto; border-radius: 6px; font-size: .8rem;
	line-height: 1.35; }
summary { cursor: pointer; margin-top: 1.2rem; }
CSS
}

model_file() {
	case $model in
	*/*) echo "$model" ;;
	*) find "$bench/../models" -name "$model.safetensors" -o -name "$model-[0-9]*.safetensors" | sort -V |
		tail -n 1 ;;
	esac
}

about() {
	local file
	file=$(model_file)
	vae-stat --tsv "$file" >"$work/model.tsv"
	printf \
		'<p class=soft>Model %s, %s parameters, decoder %.2f thousand multiply-accumulates a pixel; %s images; %s.</p>\n' \
		"$(basename "$file" .safetensors)" "$(field parameters <"$work/model.tsv")" \
		"$(field decoder_kmac_pixel <"$work/model.tsv")" \
		"$(find "$folder" -maxdepth 1 -name '*.png' | wc -l)" \
		"$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo 2>/dev/null | head -n 1 | escape)"
}

page() {
	printf \
		'<!DOCTYPE html>\n<html lang=en>\n<head>\n<meta charset=utf-8>\n<meta name=viewport content="width=device-width, initial-scale=1">\n'
	printf '<title>vae-tools: %s</title>\n<style>\n' "$(basename "$model" .safetensors | escape)"
	style
	printf '</style>\n</head>\n<body>\n<h1>Images compressed with a variational autoencoder</h1>\n'
	about
	printf '<h2>Rate and distortion</h2>\n<div class=plot>\n'
	drawing "$work/rd.svg"
	printf \
		'</div>\n<p>Whole files are counted; each point is the mean over all images. Left: SSIMULACRA 2, which agrees best '
	printf \
		'with the eye (30 low, 50 medium, 70 high, 90 visually lossless). Middle: peak signal-to-noise ratio. Right: multi-scale structural '
	printf 'similarity, as &minus;10 log<sub>10</sub>(1 &minus; MS-SSIM).</p>\n'
	printf '<h3>Difference in size at equal quality (BD-rate; negative: vae-tools needs fewer bytes)</h3>\n'
	printf \
		'<table><thead><tr><th>against</th><th scope=col>by SSIMULACRA 2</th><th scope=col>by PSNR</th><th scope=col>by MS-SSIM</th></tr></thead><tbody>\n'
	bd_rates
	printf \
		'</tbody></table>\n<h2>Crops of files of equal size</h2>\n<p>About %s bits a pixel. A codec that cannot make so small a file shows its smallest; ' "$bpp"
	printf 'bytes, score (SSIMULACRA 2), PSNR and MS-SSIM are of the whole picture.</p>\n'
	pictures
	if [ -e "$work/speed.txt" ]; then
		printf '<h2>Speed</h2>\n'
		speed
	fi
	printf '</body>\n</html>\n'
}

page >"$work/page.html"
cat "$work/page.html"
