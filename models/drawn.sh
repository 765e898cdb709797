#!/bin/sh
# drawn.sh - pictures that netpbm draws, as one PNM stream on stdout, for vae-train --full: patterns, text
# in flat colours, gradients, noise, terrain. The same pictures every time.
#
#   models/drawn.sh > drawn.ppm
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export LC_ALL=C

# A colour for number $1, each channel at an end or in between.
colour() {
	awk -v n="$1" 'BEGIN { srand(n * 7919); for (c = 0; c < 3; c++) { v = rand()
		printf "%s%02x", c ? "" : "#", v < 0.35 ? 0 : v < 0.7 ? 255 : 255 * rand() } print "" }'
}

words() { # 40 lines of text, by number
	awk -v n="$1" 'BEGIN { srand(n); for (l = 0; l < 40; l++) { s = ""
		while (length(s) < 60) { w = int(2 + 8 * rand())
			for (i = 0; i < w; i++) s = s sprintf("%c", rand() < 0.15 ? 48 + int(10 * rand()) :
				(rand() < 0.2 ? 65 : 97) + int(26 * rand()))
			s = s " " }
		print s } }'
}

for n in 1 2 3 4; do
	for pattern in gingham2 gingham3 madras tartan argyle1 argyle2 poles squig camo anticamo; do
		ppmpat -"$pattern" -randomseed="$n" 384 384
	done
	ppmforge -seed "$n" -width 384 -height 384 2>/dev/null
	ppmforge -seed "$n" -night -width 384 -height 384 2>/dev/null
done
for n in 1 2 3 4 5 6 7 8 9 10 11 12; do
	words "$n" > "$work/text"
	if [ $((n % 3)) -eq 0 ]; then set -- -builtin fixed; else set -- -builtin bdf; fi
	pbmtext "$@" < "$work/text" > "$work/text.pbm"
	pamcut -left 8 -top 8 -width 384 -height 384 -pad "$work/text.pbm" | pamditherbw -threshold |
		pamtopnm > "$work/page.pbm"
	pamdepth 255 "$work/page.pbm" 2>/dev/null | pgmtoppm "$(colour "$n")-$(colour $((n + 100)))"
	pamenlarge 2 "$work/page.pbm" | pamcut -width 384 -height 384 | pamdepth 255 2>/dev/null |
		pgmtoppm "$(colour $((n + 200)))-$(colour $((n + 300)))"
done
for n in 1 2 3 4 5 6 7 8; do
	pamgradient "$(colour $((n + 400)))" "$(colour $((n + 500)))" "$(colour $((n + 600)))" \
		"$(colour $((n + 700)))" 384 384 | pamtopnm
	ppmmake "$(colour $((n + 800)))" 384 384
	pgmnoise -randomseed="$n" 384 384 | pgmtoppm "$(colour $((n + 900)))-$(colour $((n + 950)))"
done
