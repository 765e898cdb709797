#!/usr/bin/env bats
# The benches' pages and figures, and streams of folders, from few and small pictures: that they come
# out whole, and need nothing but themselves.
load helper

@test "report.sh: one page, with all that it shows inside" {
	needs_program gnuplot
	mkdir pictures
	photo 192 128 | pnmtopng >pictures/a.png
	photo 150 170 | pnmtopng >'pictures/b & <c>.png'
	VAE_MODEL='' MODEL=$DATA/tiny.safetensors QUALITIES='0 50 100' CODECS=jpeg420 BPP=0.25 CROP=64 IMAGES=2 \
		SPEED=no \
		"$ROOT/bench/report.sh" pictures >report.html
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

@test "report.sh describes the model that draws its curves" {
	needs_program gnuplot
	mkdir pictures
	photo 64 64 | pnmtopng >pictures/a.png
	unset VAE_MODEL VAE_MODEL_PATH
	MODEL=photo QUALITIES='20 80' CODECS=jpeg420 CROP=64 BPP=2 SPEED=no \
		"$ROOT/bench/report.sh" pictures >report.html
	model=$(photo 64 64 | vae-enc -m photo | vae-quant | vae-stat --brief --tsv | column model)
	grep -q "<p class=soft>Model $model, " report.html
}

@test "strips.sh: a row for each picture, a column for each codec" {
	needs_program avifenc
	photo 192 128 | pnmtopng >a.png
	photo 192 128 | pamflip -leftright | pnmtopng >b.png
	export MODEL=$DATA/tiny.safetensors CROP=64
	BPP=0.5 "$ROOT/bench/strips.sh" a.png b.png@7,9 | djpeg >strips.ppm
	read -r _ _ width height _ <<<"$(kinds strips.ppm)"
	((width == 8 + 3 * 72)) # the picture, AVIF and ours, each with a border of 8 pixels
	((height > 2 * 72))     # and the words above each
	# the crop that was named, but for JPEG
	pngtopnm b.png | pamcut -left 7 -top 9 -width 64 -height 64 >wanted.ppm
	pamcut -left 8 -top $((height - 72)) -width 64 -height 64 strips.ppm >shown.ppm
	at_least "$(psnr shown.ppm wanted.ppm)" 25
	BPP=0.0001 run "$ROOT/bench/strips.sh" a.png
	[ "$status" = 1 ]
	[[ $output == *'does not reach'* ]]
}

@test "plot-log.gp: a log of training becomes two figures, for either network" {
	needs_program gnuplot
	photo 100 80 >x.ppm
	vae-train --init tiny --steps 3 --batch 1 --patch 64 --quiet --log photo.tsv --checkpoint-minutes 0 \
		--valid x.ppm -o m x.ppm
	vae-train --arch mlp --steps 30 --quiet --log mlp.tsv --valid "$DATA/golden/digits.pgm" -o m \
		"$DATA/golden/digits.pgm"
	for log in photo mlp; do
		gnuplot -e "logs='$log.tsv'; out='$log'" "$ROOT/bench/plot-log.gp" 2>words
		pngtopnm "$log.png" >figure.ppm
		assert_equal "$(kinds figure.ppm | cut -d " " -f 3,4)" "1500 480"
		grep -q '</svg>' "$log.svg"
		refute grep -qvi 'warning' words
	done
	grep -q 'PSNR' photo.svg
	grep -q 'ELBO' mlp.svg
	gnuplot -e "logs='photo.tsv photo.tsv'; out='two'; x='step'; title='a title'" "$ROOT/bench/plot-log.gp"
	grep -q 'a title' two.svg
}

# bd_rates TEST ANCHOR: by PSNR and by MS-SSIM
bd_rates() {
	local metric
	for metric in psnr msssim; do
		awk -f "$ROOT/bench/bdrate.awk" -v test="$1" -v anchor="$2" -v metric=$metric curves.csv || return 1
	done | xargs
}

# What is expected was computed by SciPy 1.10 (Debian's python3-scipy) from the same curves. For a curve,
#     p = PchipInterpolator(x, log(bpp)), x the PSNR, or -10 * log10(1 - MS-SSIM), in increasing order
# and for two of them, over the range low to high that both have,
#     100 * (exp((test.integrate(low, high) - anchor.integrate(low, high)) / (high - low)) - 1)
# "jpeg" is out of order and convex, "bumpy" falls where it should rise, "three" has three points,
# of which the slopes at the ends are limited.
@test "bdrate.awk: what SciPy's PCHIP gives of the same curves" {
	cat >curves.csv <<-'END'
		codec,q,bpp,psnr,msssim
		ours,0,0.054,25.69,0.8625
		ours,20,0.147,28.51,0.9269
		ours,40,0.376,31.92,0.9664
		ours,60,0.835,35.91,0.9859
		ours,80,1.563,39.83,0.9939
		jpeg,95,3.120,40.42,0.9960
		jpeg,5,0.251,24.80,0.8411
		jpeg,20,0.430,29.15,0.9418
		jpeg,50,0.791,31.98,0.9720
		jpeg,80,1.482,35.10,0.9872
		bumpy,1,0.300,26.00,0.8800
		bumpy,2,0.290,27.00,0.9000
		bumpy,3,0.700,30.50,0.9500
		bumpy,4,0.690,31.00,0.9550
		bumpy,5,2.400,38.00,0.9900
		bumpy,6,2.450,41.50,0.9970
		three,3,2.900,38.90,0.9930
		three,1,0.120,27.20,0.9010
		three,2,0.140,33.30,0.9750
	END
	assert_equal "$(bd_rates ours jpeg)" "-56.61 -50.51"
	assert_equal "$(bd_rates jpeg ours)" "130.47 102.07"
	assert_equal "$(bd_rates bumpy jpeg)" "0.70 18.10"
	assert_equal "$(bd_rates three ours)" "-46.86 -46.95"
	assert_equal "$(bd_rates ours ours)" "0.00 0.00"
	run -1 bd_rates ours webp
	assert_output "bdrate.awk: no table has the codec webp"
	printf 'low,%s\n' 0,0.1,10,0.5 1,0.2,12,0.6 >>curves.csv
	run -1 bd_rates ours low
	assert_output --partial "do not overlap"
	# what is no point of a curve: equal pictures, 1 in five digits, a failed encoder
	local expected
	expected=$(bd_rates ours jpeg)
	printf 'ours,%s\r\n' 100,24,inf,1.00000 101,24,nan,- 102,nan,41,0.995 103,inf,41,0.995 \
		104,0,41,0.995 >>curves.csv
	assert_equal "$(bd_rates ours jpeg)" "$expected"
	run -1 awk -f "$ROOT/bench/bdrate.awk" -v test=ours -v anchor=jpeg -v metric=ms_ssim curves.csv
	assert_output "bdrate.awk: no table has the column ms_ssim"
}

@test "bdrate.awk: of Butteraugli's distance less is better" {
	{
		echo codec,q,bpp,butteraugli
		for d in 4 2 1 0.5; do
			awk -v d=$d \
				'BEGIN { printf "ours,%g,%.9f,%g\npeer,%g,%.9f,%g\n", d, 4 ^ -d, d, d, 2 * 4 ^ -d, d }'
		done
	} >curves.csv
	assert_equal "$(awk -f "$ROOT/bench/bdrate.awk" -v test=ours -v anchor=peer -v metric=butteraugli \
		curves.csv)" -50.00
}

# Curves that are straight in the logarithm, so that each delta is known: the peer takes twice our
# bytes of a.png and four times of b.png, which reaches 60 only; c.png is ours alone. The curves of
# means: 3 times the bytes up to 60, where both pictures have points.
@test "bands.sh: BD-rates of each picture and of the means, in all and by band" {
	{
		echo codec,q,image,bpp,ssimulacra2,psnr
		for score in 10 30 50 60 70 90; do
			awk -v s=$score \
				'BEGIN { printf "peer,%d,a.png,%.9f,%d,%.9f\n", s, 2 * 2 ^ (s / 10), s, 20 + s / 5 }'
		done
		for score in 10 30 50 60; do
			awk -v s=$score \
				'BEGIN { printf "peer,%d,b.png,%.9f,%d,%.9f\n", s, 4 * 2 ^ (s / 10), s, 20 + s / 5 }'
		done
	} >peers.csv
	{
		echo codec,q,image,bpp,psnr,msssim,ssimulacra2
		for name in a b c; do
			for score in 10 25 45 60 75 90; do
				awk -v s=$score -v n=$name \
					'BEGIN { printf "ours,%d,%s.png,%.9f,%.9f,-,%d\n", s, n, 2 ^ (s / 10), 20 + s / 5, s }'
			done
		done
	} >ours.csv
	BANDS='20-40 50-70 55-75 90-95' "$ROOT/bench/bands.sh" peers.csv ours.csv >rates
	grep -qx 'BD-rate of ours against peer, 2 images, per cent' rates
	rates() { sed -n "s/^$1  *//p" rates | tr -s ' '; }
	assert_equal "$(rates 'ssimulacra2 all')" "-62.50 -66.67"
	assert_equal "$(rates 'ssimulacra2 20-40')" "-62.50 -66.67"
	assert_equal "$(rates 'ssimulacra2 50-70')" "-62.50 -66.67"
	assert_equal "$(rates 'ssimulacra2 55-75')" "-50.00 - (of 1)"
	assert_equal "$(rates 'ssimulacra2 90-95')" "- -"
	assert_equal "$(rates 'psnr all')" "-62.50 -66.67"
	run -1 awk -f "$ROOT/bench/bdrate.awk" -v test=ours -v anchor=peer -v metric=msssim peers.csv ours.csv
	assert_output --partial "fewer than two points"
	sed 's/,image,/,/; s/,[abc]\.png,/,/' ours.csv >means.csv
	run -1 "$ROOT/bench/bands.sh" peers.csv means.csv
	assert_output --partial "means.csv: not a table with a line for each image"
}

@test "rd.sh: a line for each image, or the means of those" {
	mkdir pictures
	photo 96 64 | pnmtopng >pictures/a.png
	photo 64 96 | pnmtopng >pictures/b.png
	export CODECS=ours MODEL=$DATA/tiny.safetensors QUALITIES='20 80' JOBS=1
	"$ROOT/bench/rd.sh" pictures >means.csv
	EACH=yes "$ROOT/bench/rd.sh" pictures >each.csv
	assert_equal "$(head -n 1 means.csv)" codec,q,bpp,psnr,msssim,ssimulacra2
	assert_equal "$(head -n 1 each.csv)" codec,q,image,bpp,psnr,msssim,ssimulacra2
	assert_equal "$(cut -d , -f 1-3 each.csv | tail -n +2 | sort | xargs)" \
		"ours,20,a.png ours,20,b.png ours,80,a.png ours,80,b.png"
	# too small for MS-SSIM
	assert_equal "$(cut -d , -f 5 means.csv | xargs)" "msssim - -"
	awk -F, 'NR == FNR && FNR > 1 { b[$2] += $4 / 2; p[$2] += $5 / 2; e[$2] += $7 / 2 }
		NR > FNR && FNR > 1 { rows++; bad += (b[$2] - $3) ^ 2 > 1e-6 || (p[$2] - $4) ^ 2 > 1e-4 ||
		(e[$2] - $6) ^ 2 > 1e-4 }
		END { exit bad || rows != 2 }' each.csv means.csv || { cat each.csv means.csv | fail; }
}

@test "rd.sh: a failure is one line for each image, with the reason" {
	mkdir pictures none
	photo 96 64 | pnmtopng >pictures/a.png
	export CODECS=ours MODEL=$DATA/tiny.safetensors QUALITIES=20 JOBS=1
	says() {
		local message=$1
		shift
		run --separate-stderr "$@"
		[ "$status" != 0 ]
		# shellcheck disable=SC2154 # stderr is bats' own
		if [[ $stderr != $message ]]; then fail "another message: $stderr"; fi
	}
	rd=$ROOT/bench/rd.sh
	says "rd.sh: ours at 20 fails on pictures/a.png: vae-*: no model 'typo'*" env MODEL=typo "$rd" pictures
	says "rd.sh: ours at 200 fails on pictures/a.png: vae-enc: --quality: '200' *" \
		env QUALITIES=200 "$rd" pictures
	says "rd.sh: CODECS: mine is none of *ours*" env CODECS="ours mine" "$rd" pictures
	says "rd.sh: none: no PNG images" "$rd" none
	says "rd.sh: no/such: no PNG images" "$rd" no/such
	head -c 3000 pictures/a.png >none/broken.png
	says "rd.sh: ours at 20 fails on none/broken.png: pngtopnm: *" "$rd" none
	# before a table that takes hours
	says "kodak.sh: no.csv: cannot be read" "$ROOT/bench/kodak.sh" "$MODEL" pictures no.csv
	assert_output ""
}

@test "qualities.sh: settings of equal score, between points and beyond them" {
	printf '%s\n' codec,q,bpp,psnr,msssim,ssimulacra2 ours,20,0.1,30,0.9,40 ours,50,0.4,35,0.95,65 \
		ours,80,1,40,0.99,85 \
		jpeg420,50,0.4,30,0.9,50 jpeg420,90,1.6,36,0.95,80 jxl,4,0.2,30,0.9,40 jxl,1,1,40,0.99,90 >table.csv
	"$ROOT/bench/qualities.sh" table.csv >qualities
	assert_equal "$(sed -n 1p qualities)" "$(printf 'quality\tscore\tbpp\tjpeg420\tbytes\tjxl\tbytes')"
	assert_equal "$(sed -n 2p qualities)" "$(printf '20\t40.0\t0.100\t-\t-\t4\t2.00')"
	assert_equal "$(sed -n 3p qualities)" "$(printf '50\t65.0\t0.400\t70\t2.00\t2.5\t1.12')"
	sed -i /ours/d table.csv
	run -1 "$ROOT/bench/qualities.sh" table.csv
}

@test "train.sh: the rate of training beside that of the products it is made of" {
	[ -x "$B/bench/kernels" ] || skip "no build/bench/kernels: make benches"
	MODEL=$DATA/tiny.safetensors N=1 THREADS=1 SECONDS_A_RUN=0.1 SECONDS_A_PRODUCT=0.001 \
		"$ROOT/bench/train.sh" >rates
	grep -q ', 0\.947219 kMAC/pixel forward, 1 threads, medians of 1 rounds$' rates
	# images/s of 256 x 256 pixels, three passes each
	awk '$1 == "float32" { lines++; made = 3 * 947.219 * 65536 * $2 / 1e9
		bad += (made - $3) ^ 2 > 0.1 || !($4 > 0) || (100 * $3 / $4 - $5) ^ 2 > 1 }
		END { exit bad || lines != 1 }' rates || { cat rates | fail; }
}

@test "stream.sh: a folder as one stream; what cannot be decoded is named and left out" {
	mkdir folder
	photo 32 32 | cjpeg >folder/a.jpg
	echo junk >folder/b.jpg
	head -c 500 folder/a.jpg >folder/c.JPG
	photo 40 32 | pnmtopng >folder/d.png
	echo junk >folder/e.png
	photo 48 32 | cjpeg >'folder/f g.jpeg'
	run --separate-stderr -0 "$ROOT/models/stream.sh" folder
	"$ROOT/models/stream.sh" folder 2>/dev/null | vae-stat --tsv | column width | xargs >widths
	assert_equal "$(cat widths)" "32 40 48"
	# shellcheck disable=SC2154 # stderr is bats' own
	assert_equal "$(cut -d : -f 1-3 <<<"$stderr")" "stream.sh: folder/b.jpg: left out
stream.sh: folder/c.JPG: left out
stream.sh: folder/e.png: left out"
	ONLY=lossless "$ROOT/models/stream.sh" folder 2>/dev/null | vae-stat --tsv | column width >widths
	assert_equal "$(cat widths)" 40
	echo a.jpg >heldout
	"$ROOT/models/stream.sh" folder heldout 2>/dev/null | vae-stat --tsv | column width | xargs >widths
	assert_equal "$(cat widths)" "40 48"
	"$ROOT/models/heldout.sh" folder heldout out
	assert_equal "$(ls -A out)" a.png
	# held-out pictures must not come in by a misspelt list
	run --separate-stderr -1 "$ROOT/models/stream.sh" folder helduot
	assert_equal "$output$stderr" "stream.sh: helduot: cannot be read"
	run --separate-stderr -1 "$ROOT/models/heldout.sh" folder helduot out
	assert_equal "$output$stderr" "heldout.sh: helduot: cannot be read"
	run --separate-stderr -1 "$ROOT/models/stream.sh" no/such
	assert_equal "$output$stderr" "stream.sh: no/such: not a folder"
}
