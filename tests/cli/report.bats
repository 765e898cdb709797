#!/usr/bin/env bats
# The benches' pages and figures, from few and small pictures: that they come out whole, and need nothing but themselves.
load helper

setup_file() {
	command -v gnuplot >/dev/null || skip "no gnuplot"
}

@test "report.sh: one page, with all that it shows inside" {
	mkdir pictures
	photo 192 128 | pnmtopng >pictures/a.png
	photo 150 170 | pnmtopng >'pictures/b & <c>.png'
	VAE_MODEL='' MODEL=$DATA/tiny.safetensors QUALITIES='0 50 100' CODECS=jpeg420 BPP=0.25 CROP=64 IMAGES=2 SPEED=no \
		"$ROOT/tests/bench/report.sh" pictures >report.html
	grep -q '^<!DOCTYPE html>' report.html
	[ "$(tail -n 1 report.html)" = '</html>' ]
	assert_equal "$(grep -c '<svg' report.html)" 1
	grep -q '<th scope=row>JPEG</th><td>-\?[0-9.]* %' report.html
	grep -q '<h3>b &amp; &lt;c&gt;, 150 x 170</h3>' report.html
	refute grep -qi '<script' report.html
	# no address but those of data and of XML's name spaces
	assert_equal "$(grep -oE '(src|href)="?[^#][a-z]*:' report.html | sort -u)" 'src="data:'
	assert_equal "$(grep -oE 'https?://[a-z0-9.]*' report.html | sort -u)" 'http://www.w3.org'
	# each image is one: crops, and heat maps of a sample a cell
	grep -oE 'data:image/png;base64,[^"]*' report.html | cut -d , -f 2 | while read -r data; do
		base64 -d <<<"$data" | pngtopnm >picture.ppm
		kinds picture.ppm | cut -d ' ' -f 3,4
	done >sizes
	assert_equal "$(sort -u sizes)" $'10 11\n12 8\n64 64'
	# original, JPEG and ours at least, of both
	[ "$(grep -c '<figcaption><b>' report.html)" -ge 6 ]
}

@test "strips.sh: a row for each picture, a column for each codec" {
	photo 192 128 | pnmtopng >a.png
	photo 192 128 | pamflip -leftright | pnmtopng >b.png
	MODEL=$DATA/tiny.safetensors BPP=0.25 CROP=64 "$ROOT/tests/bench/strips.sh" a.png b.png | pngtopnm >strips.ppm
	read -r _ _ width height _ <<<"$(kinds strips.ppm)"
	# the picture, JPEG, ours, its bits, and AVIF where it is; each with a border of 8 pixels
	((width == 8 + 4 * 72 || width == 8 + 5 * 72))
	((height > 2 * 72)) # and the words above each
	MODEL=$DATA/tiny.safetensors BPP=0.0001 run "$ROOT/tests/bench/strips.sh" a.png
	[ "$status" = 1 ]
	[[ $output == *'does not reach'* ]]
}

@test "plot-log.gp: a log of training becomes two figures, for either network" {
	photo 100 80 >x.ppm
	vae-train --steps 3 --batch 1 --patch 64 --quiet --log photo.tsv --checkpoint-minutes 0 --valid x.ppm -o m x.ppm
	vae-train --arch mlp --steps 30 --quiet --log mlp.tsv --valid "$DATA/golden/digits.pgm" -o m "$DATA/golden/digits.pgm"
	for log in photo mlp; do
		gnuplot -e "logs='$log.tsv'; out='$log'" "$ROOT/tests/bench/plot-log.gp" 2>words
		pngtopnm "$log.png" >figure.ppm
		assert_equal "$(kinds figure.ppm | cut -d " " -f 3,4)" "1500 480"
		grep -q '</svg>' "$log.svg"
		refute grep -qvi 'warning' words
	done
	grep -q 'PSNR' photo.svg
	grep -q 'ELBO' mlp.svg
	gnuplot -e "logs='photo.tsv photo.tsv'; out='two'; x='step'; title='a title'" "$ROOT/tests/bench/plot-log.gp"
	grep -q 'a title' two.svg
}
