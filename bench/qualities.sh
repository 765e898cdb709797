#!/bin/bash
# qualities.sh - the settings of other codecs that have the SSIMULACRA 2 of each quality of ours.
#
#   bench/qualities.sh TABLE.csv
#
# TABLE.csv has the means of a set of photographs: CODECS='ours jpeg420 webp jxl avif_s6_444'
# bench/rd.sh FOLDER > TABLE.csv. Prints a line for each quality of ours: score, bits a pixel, and
# for each other codec the setting of equal score (cjpeg's and cwebp's quality, cjxl's distance,
# avifenc's quantiser), interpolated linearly between its points, and the ratio of its bytes to ours
# there; - is outside its range.
set -euo pipefail
export LC_ALL=C
table=${1:?usage: qualities.sh TABLE.csv}

awk -F, '
	FNR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
	{
		codec = $at["codec"]
		if (!(codec in n) && codec != "ours") order[++codecs] = codec
		i = ++n[codec]
		q[codec, i] = $at["q"]; bpp[codec, i] = $at["bpp"]; score[codec, i] = $at["ssimulacra2"]
	}
	function column(codec, s, own,   i, t, low, high) {
		for (i = 1; i < n[codec]; i++) {
			low = score[codec, i]; high = score[codec, i + 1]
			if ((low - s) * (high - s) > 0 || low == high) continue
			t = (s - low) / (high - low)
			return sprintf("\t%.3g\t%.2f", q[codec, i] + t * (q[codec, i + 1] - q[codec, i]),
				exp(log(bpp[codec, i]) + t * log(bpp[codec, i + 1] / bpp[codec, i])) / own)
		}
		return "\t-\t-"
	}
	END {
		if (!n["ours"]) { print "qualities.sh: no line of ours" > "/dev/stderr"; exit 1 }
		printf "quality\tscore\tbpp"
		for (k = 1; k <= codecs; k++) printf "\t%s\tbytes", order[k]
		print ""
		for (i = 1; i <= n["ours"]; i++) {
			printf "%s\t%.1f\t%.3f", q["ours", i], score["ours", i], bpp["ours", i]
			for (k = 1; k <= codecs; k++) printf "%s", column(order[k], score["ours", i], bpp["ours", i])
			print ""
		}
	}' "$table"
