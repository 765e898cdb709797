#!/usr/bin/env bats
# Pictures with exact cells: vae-enc --exact auto, and what follows it: latents, codes, crops,
# threads and damage.
load helper

GOLDEN=$DATA/golden

# exact_where_black MAP.pbm PICTURE DECODED: the pictures are equal in the cells that are black in the map.
exact_where_black() {
	local width height depth
	read -r _ _ width height depth _ < <(kinds "$2")
	pamenlarge 16 "$1" | pamcut -width "$width" -height "$height" | pnminvert | pgmtopgm >mask.pgm
	[ "$depth" = 1 ] || pgmtoppm white mask.pgm >mask.ppm
	pamarith -difference "$2" "$3" >difference
	pamarith -multiply difference "$([ "$depth" = 1 ] && echo mask.pgm || echo mask.ppm)" >seen
	assert_equal "$(pamsumm -max -brief seen)" 0
}

mixed() { head -n 2 "$1" | cmp -s - <(printf 'VAELATENTS 2\nEXACT cells\n'); }

# drawing WIDTH HEIGHT: flat areas and hard edges
drawing() {
	ppmmake '#3060c0' "$1" "$2" | ppmdraw \
		-script \
		"setcolor white; circle 30 20 14; setcolor black; line 0 3 $(($1 - 1)) $(($2 - 5)); setcolor red; filledrectangle 5 5 20 9"
}

@test "text beside a photograph: its cells are exact, on every road" {
	vae-enc -q 5 "$GOLDEN/drawn.ppm" >latents
	mixed latents
	vae-quant latents >x.lat
	vae-stat --map x.lat >map.pbm
	assert_equal "$(kinds map.pbm)" "PBM RAW 7 4 1 1 BLACKANDWHITE"
	vae-dec x.lat >out.ppm
	exact_where_black map.pbm "$GOLDEN/drawn.ppm" out.ppm
	differ out.ppm "$GOLDEN/drawn.ppm"
	vae-dec latents >direct.ppm
	exact_where_black map.pbm "$GOLDEN/drawn.ppm" direct.ppm
	vae-quant -d x.lat >again
	mixed again
	vae-dec again | cmp - out.ppm
	quiet vae-quant -t x.lat
	# the other method, and back
	vae-quant --method zstd latents >z.lat
	vae-dec z.lat | cmp - out.ppm
	quiet vae-quant -t z.lat
	# what the report and the map say
	run -0 vae-stat --json x.lat
	assert_output --partial "\"exact_cells\": $(pnminvert map.pbm | pamsumm -sum -brief),"
	assert_output --regexp '"exact_bytes": [1-9]'
	assert_output --partial '"method": "range"'
}

@test "it is smaller than without, and nearer to the picture" {
	vae-enc "$GOLDEN/drawn.ppm" | vae-quant >auto.lat
	vae-enc --exact none "$GOLDEN/drawn.ppm" | vae-quant >none.lat
	psnr() { vae-dec "$1" | vae-stat --tsv -r "$GOLDEN/drawn.ppm" | column psnr_db; }
	awk -v a="$(psnr auto.lat)" -v n="$(psnr none.lat)" 'BEGIN { exit !(a > n) }'
	run -0 vae-stat --json none.lat
	assert_output --partial '"exact_cells": 0,'
}

@test "a flat ground around a photograph is exact, and takes next to nothing" {
	photo 48 48 >photo.ppm
	ppmmake '#d8e0f0' 480 320 | pnmpaste photo.ppm 200 120 >framed.ppm
	vae-enc -q 5 framed.ppm | vae-quant >auto.lat
	vae-enc -q 5 photo.ppm | vae-quant >photo.lat
	vae-stat --map auto.lat >map.pbm
	assert_equal "$(kinds map.pbm)" "PBM RAW 30 20 1 1 BLACKANDWHITE"
	cells=$(pnminvert map.pbm | pamsumm -sum -brief)
	[ "$cells" -ge 580 ] || fail "$cells cells"
	[ "$(size auto.lat)" -le $(($(size photo.lat) + 120)) ] ||
		fail "$(size auto.lat) bytes, $(size photo.lat) of the photograph"
}

@test "a photograph on a flat ground stays with the model" {
	pngtopnm "$DATA/photo.png" | pamcut -left 256 -top 128 -width 192 -height 128 >photo.ppm
	ppmmake white 400 300 | pnmpaste photo.ppm 100 80 >framed.ppm
	vae-enc -q 20 framed.ppm | vae-quant >auto.lat
	vae-enc --lossless framed.ppm | vae-quant >lossless.lat
	[ $((2 * $(size auto.lat))) -le "$(size lossless.lat)" ] || fail "$(size auto.lat) bytes"
	vae-stat --map auto.lat | pnminvert | pamsumm -sum -brief >cells
	[ "$(cat cells)" -ge 250 ] || fail "$(cat cells) cells"
}

@test "a drawing with soft edges is exact even where the model is cheaper" {
	script=$(for i in 1 2 3 4 5 6 7 8 9; do
		echo "setcolor rgb:$i$i/$((9 - i))0/f$i"
		echo "; circle $((i * 90)) $((50 * i + 30)) $((i * 23))"
		echo "; circle $((i * 90)) $((50 * i + 30)) $((i * 22));"
	done)
	ppmmake white 1000 600 | ppmdraw -script "$script" | pamscale -quiet 0.4 >soft.ppm
	vae-enc -q 30 soft.ppm | vae-quant >auto.lat
	vae-dec auto.lat | cmp - soft.ppm
	vae-enc -q 30 --exact none soft.ppm | vae-quant >none.lat
	[ "$(size none.lat)" -lt "$(size auto.lat)" ]
}

@test "a photograph has no exact cells: latents and codes are those of --exact none" {
	export VAE_MODEL_PATH=$ROOT/models VAE_MODEL=photo
	photo 70 50 >photo.ppm
	vae-enc -q 70 photo.ppm >latents
	vae-enc -q 70 --exact none photo.ppm | cmp - latents
	head -n 1 latents | cmp - <(echo VAELATENTS 1)
}

@test "16 bits of which samples use 0 to 400: lossless is exact, auto within a hundredth of that" {
	photo 70 50 | pamdepth 400 | perl -pe 's/^400$/65535/ if $. == 3' >dim.ppm
	assert_equal "$(kinds dim.ppm)" "PPM RAW 70 50 3 65535 RGB"
	vae-enc --lossless dim.ppm | vae-quant | vae-dec | cmp - dim.ppm
	vae-enc -q 90 dim.ppm | vae-quant | vae-dec >out.ppm
	pamarith -difference dim.ppm out.ppm >difference
	[ "$(pamsumm -max -brief difference)" -le 4 ]
	vae-enc -q 90 --exact none dim.ppm | vae-quant | vae-dec >out.ppm
	pamarith -difference dim.ppm out.ppm >difference
	[ "$(pamsumm -max -brief difference)" -gt 4 ] # so it is the exact cells' doing
}

@test "flat colours are exact in 90 bytes, and need no model" {
	for colour in '#ff0000' '#00ff00' '#0000ff' '#ff00ff' '#ffff00' '#00ffff' white black; do
		ppmmake $colour 256 256 >flat.ppm
		vae-enc flat.ppm | vae-quant >flat.lat
		[ "$(size flat.lat)" -le 90 ] || fail "$colour takes $(size flat.lat) bytes"
		VAE_MODEL=none-such VAE_MODEL_PATH=/ vae-dec flat.lat | cmp - flat.ppm
	done
}

@test "grey, bilevel, deep and transparent pictures may be mixed" {
	drawing 64 48 | pamcut -width 64 -height 48 >d.ppm
	photo 64 48 | pnmcat -lr - d.ppm >both.ppm
	ppmtopgm both.ppm >both.pgm
	pamdepth 1000 both.ppm >deep.ppm
	pgmramp -lr 128 48 >ramp.pgm
	pamstack -tupletype RGB_ALPHA both.ppm ramp.pgm >both.pam
	for file in both.pgm deep.ppm both.pam; do
		vae-enc -q 5 "$file" >latents
		mixed latents
		vae-quant latents >x.lat
		vae-dec x.lat >out
		assert_equal "$(kinds out)" "$(kinds "$file")"
		vae-dec -T 3 --band 5 latents >direct
		vae-stat --map x.lat >map.pbm
		[ "$file" = both.pam ] || exact_where_black map.pbm "$file" out
	done
	pamchannel -infile out 3 | cmp - <(pamchannel -infile both.pam 3)
	pamchannel -infile direct 3 | cmp - <(pamchannel -infile both.pam 3)
	pgmtopbm -threshold both.pgm >both.pbm
	vae-enc both.pbm | vae-quant | vae-dec >out
	assert_equal "$(kinds out)" "$(kinds both.pbm)"
}

@test "the same bytes for any number of threads and any band; crops are parts of the whole" {
	drawing 100 90 >d.ppm
	photo 500 90 | pnmtile 1000 90 | pnmcat -lr d.ppm - >wide.ppm
	vae-enc -T 1 wide.ppm >latents
	mixed latents
	vae-enc -T 3 --band 16 wide.ppm | cmp - latents
	vae-quant -T 1 latents >x.lat
	vae-quant -T 3 latents | cmp - x.lat
	vae-dec -T 1 x.lat >out.ppm
	vae-dec -T 3 --band 7 x.lat | cmp - out.ppm
	vae-dec --crop 80,10,40,50 x.lat | cmp - <(pamcut -left 80 -top 10 -width 40 -height 50 out.ppm)
	# blocks of the drawing are means of its pixels: this one is flat
	vae-dec --reduce 8 x.lat | pamcut -left 10 -top 1 -width 1 -height 1 |
		cmp - <(pamcut -left 80 -top 8 -width 1 -height 1 wide.ppm)
	VAE_CPU=scalar vae-dec x.lat | cmp - out.ppm
}

@test "--refine and targets take exact cells into account" {
	vae-enc -q 5 --refine 2 "$GOLDEN/drawn.ppm" | vae-quant >x.lat
	vae-stat --map x.lat >map.pbm
	vae-dec x.lat >out.ppm
	exact_where_black map.pbm "$GOLDEN/drawn.ppm" out.ppm
	vae-enc --max-size 1900 "$GOLDEN/drawn.ppm" | vae-quant >x.lat
	[ "$(size x.lat)" -le 1900 ]
}

@test "a lost slice leaves the other's exact cells alone" {
	drawing 100 40 >d.ppm
	photo 500 40 | pnmtile 1000 40 | pnmcat -lr d.ppm - >wide.ppm
	vae-enc wide.ppm | vae-quant >x.lat
	vae-dec x.lat >out.ppm
	perl -pe 'BEGIN { $/ = undef } substr($_, -8, 1) ^= "\x10"' x.lat >bad.lat
	run -1 --separate-stderr bash -c 'vae-dec --salvage bad.lat >part.ppm'
	pamcut -width 100 part.ppm | cmp - <(pamcut -width 100 out.ppm)
}

@test "latents of version 2 that lie are refused" {
	vae-enc -q 5 "$GOLDEN/drawn.ppm" >latents
	for edit in 's/EXACT cells\n/EXACT all\n/' 's/EXACT cells\n/EXACT some\n/' 's/EXACT cells\n//' \
		's/VAELATENTS 2/VAELATENTS 1/' 's/ROWS 4/ROWS 2/' \
		's/CHANNELS \d+\n//'; do
		perl -0777 -pe "$edit" latents >edited
		fails 1 edited vae-dec edited
		fails 1 edited vae-quant edited
	done
	# the first cell's flag, behind 7 cells of 16 channels of 4 bytes
	perl -0777 -pe 's/(ENDHDR\n.{448})./$1\x02/s' latents >edited
	fails 1 "the map of cells has a 2" vae-quant edited
	head -c -5 latents >edited
	fails 1 truncated vae-quant edited
}

@test "--exact takes auto or none" {
	fails 2 "--exact" vae-enc --exact all "$GOLDEN/drawn.ppm"
	vae-enc --exact auto "$GOLDEN/drawn.ppm" | cmp - <(vae-enc "$GOLDEN/drawn.ppm")
}
