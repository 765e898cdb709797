#!/bin/bash
# make.sh - writes the golden files of one model: what every later version must write, and decode to
# the same pixels.
#
#   tests/data/golden/make.sh tiny|tiny-int16|mnist-1|photo-N|exact|mixed    with vae-enc on PATH
#
# For each picture and quality of its list, MODEL-PICTURE-QUALITY.range.lat and .zstd.lat, and a line
# in MODEL.sums: PICTURE, QUALITY, SHA-256 of vae-enc's latents (by the model's name, so without a
# path), SHA-256 of the decoded picture.
# make.sh exact: exact-PICTURE.lat, codes of exact pictures, which no model has made.
# make.sh mixed: mixed-PICTURE-QUALITY.METHOD.lat, codes of version 2 by tiny, and a line in
# mixed.sums: name, SHA-256 of the latents and of the picture that they give.
# A golden file is made once: if one of the model's exists, nothing is written.
set -euo pipefail
model=${1:?usage: make.sh tiny|tiny-int16|mnist-1|photo-N|exact|mixed}
cd "$(dirname "$0")"
export VAE_MODEL_PATH=${VAE_MODEL_PATH:-$PWD/..:$PWD/../../../models}

case $model in
tiny)
	list='rgb.ppm:0 rgb.ppm:60 rgb.ppm:100 grey.pgm:50 bits.pbm:80 deep.ppm:70 thousand.ppm:33.3 alpha.pam:25
		grey-alpha.pam:90 one.ppm:50 cell.ppm:100 column.ppm:75 row.ppm:40' ;;
tiny-int16)
	list='rgb.ppm:60 grey.pgm:50 deep.ppm:100 row.ppm:10 cell.ppm:100' ;;
photo-*)
	list='rgb.ppm:10 rgb.ppm:90 grey.pgm:50 alpha.pam:70 row.ppm:30 cell.ppm:60' ;;
mnist-1)
	list='digits.pgm:50 digits.pgm:0 digits.pgm:100' ;;
exact)
	list='alpha.pam bits.pbm cell.ppm deep.ppm grey-alpha.pam grey.pgm one.ppm row.ppm thousand.ppm' ;;
mixed)
	list='drawn.ppm:40 drawn-alpha.pam:10 grey-alpha.pam:90 column.ppm:100' ;;
*)
	echo "make.sh: no list of pictures for model $model" >&2
	exit 2 ;;
esac
if compgen -G "$model-*.lat" >/dev/null || [ -e "$model.sums" ]; then
	echo "make.sh: golden files of $model are there already; README.md says when they may change" >&2
	exit 1
fi

sum() { sha256sum | cut -d ' ' -f 1; }
new=$(mktemp -d)
trap 'rm -rf "$new"' EXIT
if [ "$model" = exact ]; then
	for picture in $list; do
		vae-enc --lossless "$picture" | vae-quant >"$new/exact-${picture%.*}.lat"
		vae-dec "$new/exact-${picture%.*}.lat" | cmp - "$picture"
	done
	cp -n "$new"/* .
	exit
fi
if [ "$model" = mixed ]; then
	for pair in $list; do
		for method in range zstd; do
			name=mixed-$(sed 's/\..*:/-/' <<<"$pair").$method.lat
			vae-enc -m tiny -q "${pair#*:}" "${pair%:*}" | vae-quant --method $method >"$new/$name"
			echo "$name $(vae-quant -d "$new/$name" | sum) $(vae-dec "$new/$name" | sum)" >>"$new/mixed.sums"
		done
	done
	cp -n "$new"/* .
	exit
fi
for pair in $list; do
	picture=${pair%:*} quality=${pair#*:}
	name=$model-${picture%.*}-$quality
	vae-enc --keep-invisible -m "$model" -q "$quality" "$picture" >"$new/latents"
	vae-quant --method range "$new/latents" >"$new/$name.range.lat"
	vae-quant --method zstd "$new/latents" >"$new/$name.zstd.lat"
	vae-dec "$new/$name.range.lat" >"$new/picture"
	vae-dec "$new/$name.zstd.lat" | cmp - "$new/picture"
	echo "$picture $quality $(sum <"$new/latents") $(sum <"$new/picture")" >>"$new/$model.sums"
done
rm "$new/latents" "$new/picture"
cp -n "$new"/* .
