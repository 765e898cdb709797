#!/usr/bin/env bats
# batch.mk: from pictures to codes and back by make, where a target is whole or not there.
load helper

setup_file() {
	cd "$BATS_FILE_TMPDIR" || return 1
	photo 48 40 >a.ppm
	pnmtopng a.ppm >b.png
	cjpeg -quality 95 a.ppm >c.jpg
	ppmtopgm a.ppm >d.pgm
	pgmtopbm d.pgm >e.pbm
	pamstack -tupletype RGB_ALPHA a.ppm d.pgm >f.pam
	cp c.jpg g.jpeg
	cp d.pgm h.pnm
	export X=$BATS_FILE_TMPDIR
}

batch() { make --no-print-directory -f "$ROOT/tools/batch.mk" "$@"; }

@test "codes from every kind of picture, and pictures from codes" {
	cp "$X"/* .
	batch -j2 VAE_FLAGS='-T 1' a.lat b.lat c.lat d.lat e.lat f.lat g.lat h.lat >log
	vae-quant -t ./*.lat
	vae-enc a.ppm | vae-quant | cmp - a.lat
	cmp a.lat b.lat
	batch a.dec.ppm a.dec.png e.dec.ppm f.dec.ppm >log
	vae-dec a.lat | cmp - a.dec.ppm
	pngtopnm a.dec.png | cmp - a.dec.ppm
	assert_equal "$(kinds e.dec.ppm)" "PBM RAW 48 40 1 1 BLACKANDWHITE"
	assert_equal "$(kinds f.dec.ppm)" "PAM RAW 48 40 4 255 RGB_ALPHA"
	run -0 batch a.lat
	assert_output --partial "up to date"
}

@test "straight from a picture to its decoded one, the codes stay" {
	cp "$X/a.ppm" .
	batch a.dec.ppm >log
	only a.ppm a.lat a.dec.ppm log
}

@test "variables: quality, model, flags" {
	cp "$X/a.ppm" .
	vae-enc -q 12 -m "$DATA/tiny.safetensors" a.ppm | vae-quant --method zstd >wanted
	env -u VAE_MODEL -u VAE_MODEL_PATH make -s -f "$ROOT/tools/batch.mk" VAE_QUALITY=12 VAE_MODEL="$DATA/tiny.safetensors" VAE_QUANTFLAGS='--method zstd' \
		VAE_BINDIR="$B/" a.lat
	cmp a.lat wanted
}

@test "in a makefile of one's own" {
	cp "$X/a.ppm" "$X/b.png" .
	printf 'VAE_QUALITY = 30\ninclude %s\nall: a.lat $(patsubst %%.png,%%.lat,$(wildcard *.png))\n' "$ROOT/tools/batch.mk" >Makefile
	make -s all
	vae-enc -q 30 a.ppm | vae-quant | cmp - a.lat
	cmp a.lat b.lat
}

@test "a failure in any part of the pipe fails, and leaves no target" {
	head -c 1000 "$X/a.ppm" >short.ppm
	echo rubbish >bad.png
	head -c 60 <(vae-enc "$X/a.ppm" | vae-quant) >cut.lat
	run ! batch short.lat
	run ! batch bad.lat
	run ! batch cut.dec.ppm
	run ! batch cut.dec.png
	only short.ppm bad.png cut.lat
}
