#!/usr/bin/env bats
# Pictures of every kind come back as they went in: format, size, depth and maxval, and alpha to the last bit.
load helper

setup_file() {
	cd "$BATS_FILE_TMPDIR" || return 1
	photo 48 40 >rgb.ppm
	ppmtopgm rgb.ppm >grey.pgm
	pgmtopbm grey.pgm >bits.pbm
	pgmramp -lr 48 40 >alpha.pgm
	export PICTURES=$BATS_FILE_TMPDIR
}

there_and_back() { vae-enc -q "${2:-60}" "$1" | vae-quant | vae-dec; }

# keeps FILE KIND [PSNR]: the decoded picture is of that kind, and like FILE
keeps() {
	there_and_back "$1" >decoded
	assert_equal "$(kinds decoded)" "$2"
	if [ "${3-}" ]; then at_least "$(psnr decoded "$1")" "$3"; fi
}

@test "PPM, raw and plain" {
	keeps "$PICTURES/rgb.ppm" "PPM RAW 48 40 3 255 RGB" 16
	cp decoded raw
	pnmtoplainpnm "$PICTURES/rgb.ppm" >plain.ppm
	assert_equal "$(head -c 2 plain.ppm)" P3
	keeps plain.ppm "PPM RAW 48 40 3 255 RGB"
	cmp decoded raw
}

@test "PGM, raw and plain: grey stays grey" {
	keeps "$PICTURES/grey.pgm" "PGM RAW 48 40 1 255 GRAYSCALE" 16
	cp decoded raw
	pnmtoplainpnm "$PICTURES/grey.pgm" >plain.pgm
	assert_equal "$(head -c 2 plain.pgm)" P2
	keeps plain.pgm "PGM RAW 48 40 1 255 GRAYSCALE"
	cmp decoded raw
}

@test "PBM, raw and plain: bits stay bits, black stays black" {
	keeps "$PICTURES/bits.pbm" "PBM RAW 48 40 1 1 BLACKANDWHITE"
	cp decoded raw
	pnmtoplainpnm "$PICTURES/bits.pbm" >plain.pbm
	assert_equal "$(head -c 2 plain.pbm)" P1
	keeps plain.pbm "PBM RAW 48 40 1 1 BLACKANDWHITE"
	cmp decoded raw
	pbmmake -black 48 40 >black.pbm
	there_and_back black.pbm >y.pbm
	at_least "$(pamtopnm y.pbm | pnmtoplainpnm | tail -n +3 | tr -cd 1 | wc -c)" 1800
	pbmmake -white 48 40 >white.pbm
	there_and_back white.pbm >y.pbm
	at_least "$(pnmtoplainpnm y.pbm | tail -n +3 | tr -cd 0 | wc -c)" 1800
}

@test "comments in headers, and white space between pictures" {
	printf 'P3 # a comment\n# another\n2 1\n255\n255 0 0 # red\n0 0 255\n' >x.ppm
	there_and_back x.ppm >y.ppm
	assert_equal "$(kinds y.ppm)" "PPM RAW 2 1 3 255 RGB"
	{ cat "$PICTURES/grey.pgm"; printf '\n'; cat "$PICTURES/grey.pgm"; } >two.pgm
	there_and_back two.pgm >y.pgm
	assert_equal "$(kinds y.pgm | wc -l)" 2
}

@test "every maxval from 1 to 65535 stays what it is" {
	local maxval
	for maxval in 1 2 15 100 254 256 1000 4095 32768 65535; do
		pamdepth "$maxval" "$PICTURES/rgb.ppm" >"x$maxval.ppm"
		pamdepth "$maxval" "$PICTURES/grey.pgm" >"x$maxval.pgm"
	done
	cat x*.ppm x*.pgm | there_and_back - >y
	assert_equal "$(kinds y)" "$(cat x*.ppm x*.pgm | kinds -)"
	assert_equal "$(kinds y | cut -d ' ' -f 6 | sort -n | uniq -c | awk '{ print $2 }' | xargs)" \
		"1 2 15 100 254 256 1000 4095 32768 65535"
}

@test "16 bits are no worse than 8" {
	pamdepth 65535 "$PICTURES/rgb.ppm" >deep.ppm
	keeps deep.ppm "PPM RAW 48 40 3 65535 RGB" 16
	local deep shallow
	deep=$(psnr decoded deep.ppm)
	keeps "$PICTURES/rgb.ppm" "PPM RAW 48 40 3 255 RGB"
	shallow=$(psnr decoded "$PICTURES/rgb.ppm")
	awk -v a="$deep" -v b="$shallow" 'BEGIN { exit !(a > b - 0.2 && a < b + 0.5) }' ||
		fail "$deep dB and $shallow dB"
	[ "$(pamdepth 255 decoded | pamfile -machine - | wc -l)" = 1 ]
}

@test "PAM without alpha: RGB, GRAYSCALE, BLACKANDWHITE" {
	local pair
	for pair in rgb.ppm:RGB:3:255 grey.pgm:GRAYSCALE:1:255 bits.pbm:BLACKANDWHITE:1:1; do
		IFS=: read -r file tuple depth maxval <<<"$pair"
		pamtopam <"$PICTURES/$file" >x.pam
		[ "$(head -c 2 x.pam)" = P7 ] || pamstack -tupletype "$tuple" "$PICTURES/$file" >x.pam
		keeps x.pam "PAM RAW 48 40 $depth $maxval $tuple"
		# the same pixels as without the wrapping
		cp decoded y.pam
		there_and_back "$PICTURES/$file" >y.pnm
		pamtopnm y.pam | cmp - y.pnm
	done
}

# alpha_kept COLOUR ALPHA TUPLE: stacked, sent, and separated again
alpha_kept() {
	local depth
	pamstack -tupletype "$3" "$1" "$2" >x.pam
	there_and_back x.pam 5 >y.pam
	assert_equal "$(kinds y.pam)" "$(kinds x.pam)"
	depth=$(kinds x.pam | cut -d ' ' -f 5)
	pamchannel -infile x.pam $((depth - 1)) >a.pam
	pamchannel -infile y.pam $((depth - 1)) >b.pam
	cmp a.pam b.pam
	# the long way, and packed the other way
	vae-enc -q 5 x.pam | vae-quant --method zstd | vae-quant -d | vae-dec | cmp - y.pam
}

@test "RGB_ALPHA: alpha is lossless" {
	alpha_kept "$PICTURES/rgb.ppm" "$PICTURES/alpha.pgm" RGB_ALPHA
	differ x.pam y.pam
}

@test "GRAYSCALE_ALPHA: alpha is lossless" {
	alpha_kept "$PICTURES/grey.pgm" "$PICTURES/alpha.pgm" GRAYSCALE_ALPHA
}

@test "BLACKANDWHITE_ALPHA: alpha is lossless" {
	pgmtopbm "$PICTURES/alpha.pgm" >alpha.pbm
	alpha_kept "$PICTURES/bits.pbm" alpha.pbm BLACKANDWHITE_ALPHA
}

# packed MASK LEVEL: bytes of codes with that alpha
packed() { pamstack -quiet -tupletype RGB_ALPHA grey.ppm "$1" | vae-enc | vae-quant ${2+--level "$2"} |
	wc -c; }

@test "alpha takes less than zstd makes of it, at any level" {
	ppmmake gray 512 384 >grey.ppm
	pgmramp -ellipse 512 384 >soft.pgm
	ppmmake black 512 384 | ppmdraw -script 'setcolor white; filledcircle 256 192 150' | ppmtopgm >disc.pgm
	for mask in soft disc; do
		[ "$(packed $mask.pgm)" -lt $(($(zstd -19 -cq $mask.pgm | wc -c) * 3 / 4)) ]
	done
}

@test "alpha of 16 bits and of an odd maxval is lossless" {
	local maxval
	for maxval in 65535 777; do
		pamdepth "$maxval" "$PICTURES/rgb.ppm" >colour
		pgmramp -ellipse -maxval "$maxval" 48 40 >alpha
		alpha_kept colour alpha RGB_ALPHA
	done
}

@test "colours that nobody sees cost little; --keep-invisible keeps them" {
	photo 300 200 >x.ppm
	ppmmake black 300 200 | ppmdraw -script 'setcolor white; filledcircle 150 100 80' | ppmtopgm >disc.pgm
	pamstack -tupletype RGB_ALPHA x.ppm disc.pgm >x.pam
	vae-enc -m photo x.pam | vae-quant >x.lat
	vae-enc -m photo --keep-invisible x.pam | vae-quant >kept.lat
	[ "$(size x.lat)" -lt $(($(size kept.lat) * 3 / 4)) ] || fail "$(size x.lat) of $(size kept.lat) bytes"
	# black, and all that is visible as good
	ppmtopgm disc.pgm | pamdepth 1 | pamarith -multiply - x.ppm 2>/dev/null |
		pamstack -tupletype RGB_ALPHA - disc.pgm >black.pam
	vae-enc -m photo --exact none --keep-invisible black.pam | vae-quant >black.lat
	[ "$(size x.lat)" -lt "$(size black.lat)" ]
	vae-dec x.lat >y.pam
	at_least "$(psnr y.pam x.pam)" "$(vae-dec black.lat >b.pam && psnr b.pam x.pam)"
	pamchannel -infile y.pam 3 | cmp - <(pamchannel -infile x.pam 3)
	# the whole picture, as if there were no alpha
	vae-dec kept.lat | pamchannel -tupletype RGB 0 1 2 | pamtopnm >y.ppm
	vae-enc -m photo x.ppm | vae-quant | vae-dec | cmp - y.ppm
	for band in 16 64 100; do vae-enc -m photo --band $band x.pam | cmp - <(vae-enc -m photo x.pam); done
}

@test "transparency of PNG, there and back" {
	pamstack -tupletype RGB_ALPHA "$PICTURES/rgb.ppm" "$PICTURES/alpha.pgm" | pamtopng >x.png
	pngtopam -alphapam x.png | vae-enc | vae-quant >x.lat
	vae-dec <x.lat | pamtopng >y.png
	pngtopam -alpha x.png >a.pgm
	pngtopam -alpha y.png >b.pgm
	cmp a.pgm b.pgm
}

@test "every size: 1x1, 1x300, 300x1, 15x17, 16x16, 17x33, 65x33, 129x64" {
	local size
	pngtopnm "$DATA/photo.png" >photo.ppm
	for size in 1x1 1x300 300x1 15x17 16x16 17x33 65x33 129x64; do
		pamcut -left 100 -top 100 -width "${size%x*}" -height "${size#*x}" photo.ppm
	done >x.ppm
	ppmtopgm x.ppm >x.pgm
	there_and_back x.ppm >y.ppm
	assert_equal "$(kinds y.ppm)" "$(kinds x.ppm)"
	there_and_back x.pgm >y.pgm
	assert_equal "$(kinds y.pgm)" "$(kinds x.pgm)"
	at_least "$(psnr y.ppm x.ppm)" 10
}

@test "more slices than one: 1040x24 and 24x1040" {
	local size
	pngtopnm "$DATA/photo.png" | pamscale -xsize 1040 -ysize 1040 >photo.ppm
	for size in 1040x24 24x1040; do
		pamcut -width "${size%x*}" -height "${size#*x}" photo.ppm >x.ppm
		vae-enc x.ppm | vae-quant >x.lat
		vae-dec x.lat >y.ppm
		assert_equal "$(kinds y.ppm)" "PPM RAW ${size%x*} ${size#*x} 3 255 RGB"
		assert_equal "$(vae-stat --tsv x.lat | column slices)" 2
		at_least "$(psnr y.ppm x.ppm)" 16
	done
}

# cut_out X,Y,W,H FILE: the window, cut out of a picture
cut_out() {
	local x y w h
	IFS=, read -r x y w h <<<"$1"
	pamcut -left "$x" -top "$y" -width "$w" -height "$h" "$2"
}

@test "--crop: the pixels that cutting the window out would give, from codes and from latents" {
	local window
	pngtopnm "$DATA/photo.png" | pamscale -xsize 1100 -ysize 300 >photo.ppm
	pamcut -height 40 photo.ppm | cat - photo.ppm >x.ppm # the second has two slices
	vae-enc x.ppm >x.latents
	vae-quant x.latents >x.lat
	vae-dec x.lat >y.ppm
	vae-dec x.latents >z.ppm
	pamsplit -quiet y.ppm y.%d.ppm
	pamsplit -quiet z.ppm z.%d.ppm
	for window in 0,0,1,1 0,0,1100,40 1000,3,60,37 1099,39,1,1 517,20,13,9; do
		quiet shell "vae-dec --crop $window x.lat >crop.ppm; vae-dec --crop=$window x.latents >crop2.ppm"
		{ cut_out "$window" y.0.ppm; cut_out "$window" y.1.ppm; } | cmp - crop.ppm
		{ cut_out "$window" z.0.ppm; cut_out "$window" z.1.ppm; } | cmp - crop2.ppm
		vae-dec -T 3 --crop "$window" x.lat | cmp - crop.ppm
	done
	run --separate-stderr -1 shell 'vae-dec --crop 0,200,8,8 x.lat >crop.ppm'
	assert_equal "$stderr" \
		"vae-dec: x.lat: the window 0,200,8,8 is not within the picture of 1100 x 40 pixels"
	fails 1 "not within" vae-dec --crop 0,0,1101,1 x.latents
}

@test "--crop and --reduce: format, maxval and alpha are those of the picture" {
	pamdepth 1000 "$PICTURES/grey.pgm" >deep.pgm
	pgmramp -ellipse -maxval 1000 48 40 >alpha.pgm
	pamstack -tupletype GRAYSCALE_ALPHA deep.pgm alpha.pgm >x.pam
	cat "$PICTURES"/{rgb.ppm,grey.pgm,bits.pbm} x.pam | vae-enc | vae-quant >x.lat
	vae-dec --crop 7,5,33,21 x.lat >y
	assert_equal "$(kinds y)" \
		"$(printf '%s\n' "PPM RAW 33 21 3 255 RGB" "PGM RAW 33 21 1 255 GRAYSCALE" \
		"PBM RAW 33 21 1 1 BLACKANDWHITE" \
		"PAM RAW 33 21 2 1000 GRAYSCALE_ALPHA")"
	vae-dec x.lat >whole
	pamsplit -quiet whole whole.%d
	pamsplit -quiet y y.%d
	cut_out 7,5,33,21 whole.3 | cmp - y.3
	vae-dec --reduce 4 x.lat >y
	assert_equal "$(kinds y)" \
		"$(printf '%s\n' "PPM RAW 12 10 3 255 RGB" "PGM RAW 12 10 1 255 GRAYSCALE" \
		"PBM RAW 12 10 1 1 BLACKANDWHITE" \
		"PAM RAW 12 10 2 1000 GRAYSCALE_ALPHA")"
	vae-dec --reduce 8 x.lat | pamsplit -quiet - y.%d
	assert_equal "$(kinds y.3)" "PAM RAW 6 5 2 1000 GRAYSCALE_ALPHA"
}

@test "--reduce: what averaging the decoded picture gives, but for clamping and rounding" {
	local by
	photo 197 150 | pamfunc -multiplier 0.5 | pamfunc -adder 64 | vae-enc -q 90 >x.latents # nothing to clamp
	vae-quant x.latents >x.lat
	vae-dec x.lat >whole.ppm
	for by in 4 8; do
		vae-dec --reduce "$by" x.lat >small.ppm
		assert_equal "$(kinds small.ppm)" \
			"PPM RAW $(((197 + by - 1) / by)) $(((150 + by - 1) / by)) 3 255 RGB"
		# the blocks that lie in the picture
		pamcut -width $((197 / by * by)) -height $((150 / by * by)) whole.ppm |
			pamscale -quiet -linear -reduce "$by" >means.ppm
		pamcut -width $((197 / by)) -height $((150 / by)) small.ppm >inside.ppm
		at_least "$(psnr inside.ppm means.ppm)" 50
		vae-dec -T 3 --reduce "$by" x.lat | cmp - small.ppm
	done
	vae-quant -d x.lat | vae-dec --reduce 8 | cmp - small.ppm
}

@test "dense models: --crop cuts, --reduce is refused" {
	pamcut -width 28 -height 28 "$PICTURES/grey.pgm" | vae-enc -m "$ROOT/models/mnist-1.safetensors" |
		vae-quant >x.lat
	vae-dec -m "$ROOT/models/mnist-1.safetensors" x.lat >y.pgm
	vae-dec -m "$ROOT/models/mnist-1.safetensors" --crop 3,4,20,10 x.lat >crop.pgm
	cut_out 3,4,20,10 y.pgm | cmp - crop.pgm
	fails 1 "photo" vae-dec -m "$ROOT/models/mnist-1.safetensors" --reduce 4 x.lat
}

@test "a constant picture comes back nearly constant" {
	local colour
	for colour in black white rgb:80/80/80 rgb:40/60/50; do
		ppmmake "$colour" 40 40
	done >x.ppm
	there_and_back x.ppm 100 >y.ppm
	vae-stat --tsv -r x.ppm y.ppm | column psnr_db | head -n 4 >psnrs
	assert_equal "$(wc -l <psnrs)" 4
	while read -r db; do at_least "$db" 10; done <psnrs
}

@test "more quality, more bytes" {
	local q last=0 now
	photo 256 192 >x.ppm
	for q in 0 25 50 75 100; do
		now=$(vae-enc -q "$q" x.ppm | vae-quant | wc -c)
		[ "$now" -gt "$last" ] || fail "quality $q takes $now bytes, the one below $last"
		last=$now
	done
}

@test "a PAM that is no picture is refused by name" {
	printf 'P7\nWIDTH 1\nHEIGHT 1\nDEPTH 4\nMAXVAL 255\nTUPLTYPE CMYK\nENDHDR\nabcd' >cmyk.pam
	fails 1 "CMYK" vae-enc -o y cmyk.pam
	printf 'P7\nWIDTH 1\nHEIGHT 1\nDEPTH 2\nMAXVAL 255\nTUPLTYPE RGB\nENDHDR\nab' >depth.pam
	fails 1 "depth 2" vae-enc -o y depth.pam
	printf 'P7\nWIDTH 1\nHEIGHT 1\nDEPTH 5\nMAXVAL 255\nENDHDR\nabcde' >none.pam
	fails 1 "unsupported PAM: tuple type \"\", depth 5" vae-enc -o y none.pam
	printf 'P7 332\n#XVVERSION\n1 1 255\nx' >thumbnail
	fails 1 "not a PNM/PAM image" vae-enc -o y thumbnail
	assert_not_exist y
}

@test "vae-enc -v: 16 bits of which little is used" {
	photo 64 48 | ppmtopgm | pamdepth 65535 >x.pgm
	pamfunc -divisor 160 x.pgm >dark.pgm
	run --separate-stderr -0 shell "vae-enc -v dark.pgm >/dev/null"
	assert_regex "$stderr" \
		"dark.pgm: samples lie between [0-9]+ and [34][0-9][0-9] of 65535: relative to this range, errors are [0-9]+ times as large"
	# as far up the range, with alpha, and while a size is looked for
	pamfunc -adder 60000 dark.pgm | pamstack -quiet -tupletype GRAYSCALE_ALPHA - x.pgm >high.pam
	run --separate-stderr -0 shell "vae-enc -v --max-size 1M high.pam >/dev/null"
	assert_regex "$stderr" "high.pam: samples lie between 60[0-9]+ and 60[0-9]+ of 65535"
	for picture in x.pgm "dark.pgm 0"; do
		run --separate-stderr -0 shell \
			"pamfunc -multiplier $([ "$picture" = x.pgm ] && echo 1 ||
			echo 160) ${picture% 0} | vae-enc -v >/dev/null"
		refute_regex "$stderr" "samples lie"
	done
	run --separate-stderr -0 shell "vae-enc dark.pgm >/dev/null"
	assert_equal "$stderr" ""
}

@test "vae-quant: a note where codes are larger than the picture" {
	photo 400 300 | ppmtopgm | pamditherbw | pamtopnm >x.pbm
	run --separate-stderr -0 shell "vae-enc --exact none -m photo -q 100 x.pbm | vae-quant -o x.lat"
	assert_regex "$stderr" \
		"the codes have $(size x.lat) bytes, the picture itself 15000: vae-enc --lossless suits it better"
	run --separate-stderr -0 shell "vae-enc --exact none -m photo -q 100 x.pbm | vae-quant --quiet -o x.lat"
	assert_equal "$stderr" ""
	pamcut -width 20 -height 20 x.pbm >small.pbm
	run --separate-stderr -0 shell "vae-enc --exact none small.pbm | vae-quant -o x.lat"
	assert_equal "$stderr" ""
	run --separate-stderr -0 shell "vae-enc --exact none small.pbm | vae-quant -v -o x.lat"
	assert_regex "$stderr" "the picture itself 60: vae-enc --lossless"
	photo 400 300 >x.ppm
	run --separate-stderr -0 shell "vae-enc -m photo -q 50 x.ppm | vae-quant -o x.lat"
	assert_equal "$stderr" ""
}
