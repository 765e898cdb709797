#!/usr/bin/env bats
# vae-enc looks for something: --refine for better latents, the targets for a quality.
load helper

# The loss that vae-enc -v says of a step: loss_at STEP < stderr
loss_at() {
	sed -n "s/.*: step $1: .* loss //p"
}

# lower A B: A < B
lower() {
	awk -v a="$1" -v b="$2" 'BEGIN { exit !(a + 0 < b + 0) }' || fail "$1 is not less than $2"
}

@test "--refine: less loss, the same bytes twice, any decoder" {
	photo 64 64 >x.ppm
	vae-enc -v --refine 20 x.ppm >y 2>log
	lower "$(loss_at 20 <log)" "$(loss_at 0 <log)"
	[ "$(loss_at 10 <log)" ]
	vae-enc --refine 20 x.ppm | cmp - y
	vae-enc x.ppm >plain
	vae-enc --refine 0 x.ppm | cmp - plain
	differ plain y
	vae-quant y >x.lat
	vae-dec x.lat >out.ppm
	assert_equal "$(kinds out.ppm)" "$(kinds x.ppm)"
	at_least "$(psnr out.ppm x.ppm)" 15
}

@test "--refine: any number of threads, any band, slices across and down, sides that are no multiple of 16" {
	pngtopnm "$DATA/photo.png" | pamscale -xsize 1100 -ysize 1069 >x.ppm
	vae-enc -v -T 1 --refine 3 x.ppm >one 2>log
	vae-enc -T 3 --band 300 --refine 3 x.ppm | cmp - one
	at_least "$(loss_at 0 <log)" "$(loss_at 3 <log)"
	vae-quant one | vae-dec >out.ppm
	vae-enc x.ppm | vae-quant | vae-dec >plain.ppm
	at_least "$(psnr out.ppm x.ppm)" "$(psnr plain.ppm x.ppm | awk '{ print $1 - 0.5 }')"
}

@test "--refine: grey, alpha, 1x1, two pictures" {
	photo 40 30 >rgb.ppm
	ppmtopgm rgb.ppm >grey.pgm
	pamstack -tupletype RGB_ALPHA rgb.ppm grey.pgm >alpha.pam
	pamcut -width 1 -height 1 rgb.ppm >one.ppm
	vae-enc --refine 5 grey.pgm alpha.pam one.ppm | vae-quant | vae-dec >out
	assert_equal "$(kinds out)" "$(cat grey.pgm alpha.pam one.ppm >given && kinds given)"
	vae-enc --refine 5 alpha.pam | vae-quant | vae-dec | pamchannel -infile - 3 | cmp - <(pamchannel -infile alpha.pam 3)
}

@test "--refine: bad numbers, and models that have no such thing" {
	local bad
	photo 16 16 >x.ppm
	for bad in -1 10001 x "" 1.5; do
		fails 2 "--refine" vae-enc --refine "$bad" x.ppm
	done
	pamscale -xsize 28 -ysize 28 x.ppm | ppmtopgm >digit.pgm
	fails 1 "only latents of photo models can be refined" vae-enc -m "$ROOT/models/mnist-1.safetensors" --refine 5 digit.pgm
}

# within SHARE VALUE GOAL
within() {
	awk -v s="$1" -v a="$2" -v b="$3" 'BEGIN { d = a - b; exit !((d < 0 ? -d : d) <= s * b) }' || fail "$2 is not $3"
}

@test "--target-size and --target-bpp: within 2 per cent" {
	photo 256 192 >x.ppm
	local low high goal
	low=$(vae-enc -q 0 x.ppm | vae-quant | wc -c) high=$(vae-enc -q 100 x.ppm | vae-quant | wc -c)
	for goal in $((low * 3 / 2)) $(((low + high) / 2)) "$high"; do
		vae-enc --target-size "$goal" x.ppm | vae-quant >x.lat
		within 0.02 "$(size x.lat)" "$goal"
		vae-enc --target-bpp "$(awk -v b="$goal" 'BEGIN { print b * 8 / 256 / 192 }')" x.ppm | vae-quant >x.lat
		within 0.02 "$(size x.lat)" "$goal"
	done
	fails 1 "the model cannot reach $((high * 2)) bytes with this picture" vae-enc --target-size $((high * 2)) x.ppm
	fails 1 "the model cannot reach 1e-05 bpp with this picture" vae-enc --target-bpp 0.00001 x.ppm
}

@test "--target-psnr: within 0.1 dB, for each picture of a stream" {
	photo 128 96 >x.ppm
	pamflip -lr x.ppm | pamcut -width 100 >z.ppm
	local low high goal
	low=$(vae-enc -q 5 x.ppm | vae-quant | vae-dec | vae-stat --tsv -r x.ppm | column psnr_db)
	high=$(vae-enc -q 95 x.ppm | vae-quant | vae-dec | vae-stat --tsv -r x.ppm | column psnr_db)
	goal=$(awk -v a="$low" -v b="$high" 'BEGIN { print (a + b) / 2 }')
	vae-enc -v --target-psnr "$goal" x.ppm z.ppm 2>log | vae-quant | vae-dec >out
	grep -q "128x96.*quality" log
	cat x.ppm z.ppm >given
	vae-stat --tsv -r given out | column psnr_db | head -n 2 >db
	[ "$(wc -l <db)" = 2 ]
	while read -r now; do
		awk -v a="$now" -v b="$goal" 'BEGIN { exit !(a - b < 0.1 && b - a < 0.1) }' || fail "$now is not $goal"
	done <db
	fails 1 "the model cannot reach 120 dB" vae-enc --target-psnr 120 x.ppm
}

@test "targets: one at most, and no quality or refinement beside it" {
	photo 16 16 >x.ppm
	fails 2 "more than one target" vae-enc --target-size 900 --target-bpp 1 x.ppm
	fails 2 "exclude each other" vae-enc --target-size 900 -q 50 x.ppm
	fails 2 "exclude each other" vae-enc --target-psnr 30 --refine 5 x.ppm
	for bad in 0 -1 x 1.5 ""; do
		fails 2 "--target-size" vae-enc --target-size "$bad" x.ppm
	done
	for bad in 0 -1 x ""; do
		fails 2 "--target-bpp" vae-enc --target-bpp "$bad" x.ppm
		fails 2 "--target-psnr" vae-enc --target-psnr "$bad" x.ppm
	done
}
