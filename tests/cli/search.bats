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
	vae-enc --refine 5 alpha.pam | vae-quant | vae-dec | pamchannel -infile - 3 |
		cmp - <(pamchannel -infile alpha.pam 3)
}

@test "--refine: bad numbers, and models that have no such thing" {
	local bad
	photo 16 16 >x.ppm
	for bad in -1 10001 x "" 1.5; do
		fails 2 "--refine" vae-enc --refine "$bad" x.ppm
	done
	pamscale -xsize 28 -ysize 28 x.ppm | ppmtopgm >digit.pgm
	fails 1 "only latents of photo models can be refined" vae-enc -m "$ROOT/models/mnist-1.safetensors" \
		--refine 5 digit.pgm
}


# What --max-size makes of x.ppm: not above, and near where there is room for it.
fits() {
	local limit=$1 option=$2
	shift 2
	vae-enc "$option" "$@" x.ppm | vae-quant >x.lat
	[ "$(size x.lat)" -le "$limit" ] || fail "$(size x.lat) bytes are more than $limit"
	at_least "$(size x.lat)" "$(awk -v n="$limit" 'BEGIN { print 0.99 * n }')"
}

@test "--max-size, --target-size and --target-bpp: never above, and near" {
	photo 256 192 >x.ppm
	local low high goal
	low=$(vae-enc -q 0 x.ppm | vae-quant | wc -c) high=$(vae-enc -q 100 x.ppm | vae-quant | wc -c)
	for goal in $((low * 3 / 2)) $(((low + high) / 2)) "$high"; do
		fits "$goal" --max-size "$goal"
		fits "$goal" --target-size "$goal"
		fits "$goal" --target-bpp "$(awk -v b="$goal" 'BEGIN { print b * 8 / 256 / 192 }')"
	done
	fits 1200 --max-size 1.2k
	fits 1200 --max-size 0.0012M
	# the next quality does not fit
	vae-enc --max-size "$low" x.ppm | vae-quant >x.lat
	[ "$(size x.lat)" -le "$low" ]
	fails 1 \
		"the smallest file that the model can make of this picture has $low bytes, more than $((low - 1))" \
		vae-enc --max-size $((low - 1)) x.ppm
	fails 1 "has $low bytes, more than 0" vae-enc --target-bpp 0.00001 x.ppm
}

@test "--max-size: all of a picture that is smaller" {
	photo 256 192 >x.ppm
	vae-enc -q 100 x.ppm >best
	vae-enc --max-size 1M x.ppm | cmp - best
	vae-enc --max-size 100000000 x.ppm | cmp - best
	vae-enc --target-bpp 100 x.ppm | cmp - best
	pgmramp -ellipse 256 192 | pamstack -quiet -tupletype RGB_ALPHA x.ppm - >x.pam
	vae-enc -m photo --max-size 20k x.pam | vae-quant >x.lat
	[ "$(size x.lat)" -le 20000 ]
	at_least "$(size x.lat)" 19800
}

@test "--max-size: exact cells that are too large, or leave room, do without" {
	photo 128 96 | pnmquant -quiet 8 >x.ppm # exact from quality 20 on: 3483 bytes, 496 without
	fits 2000 --max-size 2k -m photo
	vae-enc -m photo --exact none --max-size 2k x.ppm | vae-quant | cmp - x.lat
	vae-enc -m photo --max-size 4k x.ppm | vae-quant | vae-dec | cmp - x.ppm
	photo 128 96 | ppmtopgm | pgmtopbm -threshold >x.ppm
	local exact least
	exact=$(vae-enc -m photo -q 0 x.ppm | vae-quant | wc -c)
	least=$(vae-enc -m photo --exact none -q 0 x.ppm | vae-quant | wc -c)
	lower "$least" "$exact"
	vae-enc -m photo --max-size "$least" x.ppm | vae-quant >x.lat
	[ "$(size x.lat)" -le "$least" ]
	fails 1 "has $least bytes, more than $((least - 1))" vae-enc -m photo --max-size $((least - 1)) x.ppm
}

@test "targets: -v tells the time of the whole search, and the quality" {
	photo 256 192 >x.ppm
	local once
	for once in 1 2 3; do vae-enc -m photo -v -q 50 x.ppm 2>&1 >/dev/null; done >log
	vae-enc -m photo -v --target-psnr 35 x.ppm 2>>log >/dev/null
	[ "$(grep -c "quality [0-9.]*, [0-9.]* s$" log)" = 4 ]
	# some seven encodings and decodings; the shortest of one encoding is what a busy machine disturbs least
	awk '{ t = $(NF - 1) } NR == 1 || (NR < 4 && t < once) { once = t } END { exit !(t > 2 * once) }' log ||
		{ cat log | fail; }
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
		awk -v a="$now" -v b="$goal" 'BEGIN { exit !(a - b < 0.1 && b - a < 0.1) }' ||
			fail "$now is not $goal"
	done <db
	fails 1 \
		"the best that the model can make of this picture is *, at quality 100: 120.00 dB are out of reach" \
		vae-enc --target-psnr 120 x.ppm
	# quality 0 has more
	vae-enc -q 0 x.ppm >least
	vae-enc --target-psnr 2 x.ppm | cmp - least
}

# Letters on a strong colour, which a model of photographs draws best at a quality in the middle.
@test "--target-psnr: where PSNR falls with quality" {
	local now
	printf 'red text on blue, line %d of some\n' 1 2 3 4 | pbmtext 2>/dev/null | pamenlarge 3 |
		pamcut -width 256 -height 128 |
		pbmtopgm 1 1 | pgmtoppm '#ff0000-#0000ff' | pamdepth 255 >x.ppm
	now() { vae-enc --exact none -m photo-3 "$@" x.ppm | vae-quant | vae-dec | vae-stat --tsv -r x.ppm |
		column psnr_db; }
	local middle best goal
	middle=$(now -q 50) best=$(now -q 100)
	awk -v a="$middle" -v b="$best" 'BEGIN { exit !(a > b + 0.3) }' ||
		fail "$middle at 50, $best at 100: this picture is no test"
	goal=$(awk -v a="$middle" -v b="$best" 'BEGIN { print (2 * a + b) / 3 }')
	at_least "$(now --target-psnr "$goal")" "$(awk -v g="$goal" 'BEGIN { print g - 0.1 }')"
	at_least "$(now --target-psnr "$middle")" "$(awk -v g="$middle" 'BEGIN { print g - 0.1 }')"
	fails 1 "dB are out of reach" vae-enc --exact none -m photo-3 \
		--target-psnr "$(awk -v a="$middle" 'BEGIN { print a + 5 }')" x.ppm
}

# score A B: SSIMULACRA 2 of two files
score() { vae-stat --tsv -r "$2" "$1" | column ssimulacra2; }

@test "--target-score: within 0.3, for each picture of a stream" {
	photo 128 96 >x.ppm
	pamflip -lr x.ppm | pamcut -width 100 >z.ppm
	local low high goal
	vae-enc -q 5 x.ppm | vae-quant | vae-dec >out.ppm
	low=$(score out.ppm x.ppm)
	vae-enc -q 95 x.ppm | vae-quant | vae-dec >out.ppm
	high=$(score out.ppm x.ppm)
	goal=$(awk -v a="$low" -v b="$high" 'BEGIN { g = (a + 2 * b) / 3; print (g > 1 ? g : 1) }')
	vae-enc --target-score "$goal" x.ppm z.ppm | vae-quant | vae-dec >out
	cat x.ppm z.ppm >given
	vae-stat --tsv -r given out | column ssimulacra2 | head -n 2 >scores
	[ "$(wc -l <scores)" = 2 ]
	while read -r now; do
		awk -v a="$now" -v b="$goal" 'BEGIN { exit !(a - b < 0.3 && b - a < 0.3) }' ||
			fail "$now is not $goal"
	done <scores
	fails 1 \
		"the best that the model can make of this picture is a score of *, at quality 100: 100.00 is out of reach" vae-enc --target-score 100 x.ppm
	pamcut -width 7 x.ppm >narrow.ppm
	fails 1 "7 x 96 pixels are too few for a score: 8 a side at least" vae-enc --target-score 50 narrow.ppm
}

# The same letters as above.
@test "--target-score: where the score falls with quality" {
	printf 'red text on blue, line %d of some\n' 1 2 3 4 | pbmtext 2>/dev/null | pamenlarge 3 |
		pamcut -width 256 -height 128 |
		pbmtopgm 1 1 | pgmtoppm '#ff0000-#0000ff' | pamdepth 255 >x.ppm
	now() { vae-enc --exact none -m photo-3 "$@" x.ppm | vae-quant | vae-dec >out.ppm &&
		score out.ppm x.ppm; }
	local middle last
	middle=$(now -q 40) last=$(now -q 100)
	awk -v a="$middle" -v b="$last" 'BEGIN { exit !(a > 3 && a > b + 5) }' ||
		fail "$middle at 40, $last at 100: this picture is no test"
	at_least "$(now --target-score "$middle")" "$(awk -v g="$middle" 'BEGIN { print g - 0.3 }')"
	at_least "$(now --target-score 2)" 1.7
	fails 1 "is out of reach" vae-enc --exact none -m photo-3 \
		--target-score "$(awk -v a="$middle" 'BEGIN { print a + 10 }')" x.ppm
}

@test "targets: one at most, and no quality or refinement beside it" {
	photo 16 16 >x.ppm
	fails 2 "only one may be given" vae-enc --target-size 900 --target-bpp 1 x.ppm
	fails 2 "cannot be combined with --max-size" vae-enc --target-size 900 -q 50 x.ppm
	fails 2 "cannot be combined with --max-size" vae-enc --target-psnr 30 --refine 5 x.ppm
	fails 2 "cannot be combined with --max-size" vae-enc --target-score 30 --refine 5 x.ppm
	fails 2 "only one may be given" vae-enc --target-score 30 --target-psnr 30 x.ppm
	for bad in 0 -1 x 1.5 "" k 1.5x 1e3 1.2.3k -2k .k 9999999999M; do
		fails 2 "--max-size" vae-enc --target-size "$bad" x.ppm
		fails 2 "--max-size" vae-enc --max-size "$bad" x.ppm
	done
	fails 2 "only one may be given" vae-enc --max-size 900 --target-size 900 x.ppm
	fails 1 "16 x 16 pixels exceeds the limit of 200 pixels" vae-enc --max-pixels 0.2k x.ppm
	vae-enc --max-pixels 0.256k x.ppm >/dev/null
	for bad in 0 -1 x ""; do
		fails 2 "--target-bpp" vae-enc --target-bpp "$bad" x.ppm
		fails 2 "--target-psnr" vae-enc --target-psnr "$bad" x.ppm
		fails 2 "--target-score" vae-enc --target-score "$bad" x.ppm
	done
}
