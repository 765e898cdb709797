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

@test "summary: sizes, bits a pixel and PSNR of a folder" {
	cp "$X"/[a-f].* .
	cat a.ppm a.ppm >two.pnm
	batch -j3 VAE_FLAGS=-T1 a.dec.png summary >log
	grep -q '^summary.tsv: 7 pictures, ' log
	assert_equal "$(head -n 1 summary.tsv | tr '\t' ' ')" "file pixels picture_bytes bytes bpp psnr_db"
	assert_equal "$(cut -f 1 summary.tsv | xargs)" "file a.ppm b.png c.jpg d.pgm e.pbm f.pam two.pnm"
	assert_equal "$(awk '$1 == "a.ppm" { print $2, $3, $4, $5 }' summary.tsv)" \
		"1920 $(size a.ppm) $(size a.lat) $(awk -v n="$(size a.lat)" 'BEGIN { printf "%.4f", 8 * n / 1920 }')"
	vae-dec a.lat >a.out
	assert_equal "$(awk '$1 == "a.ppm" { print $6 }' summary.tsv)" "$(printf %.2f "$(psnr a.out a.ppm)")"
	assert_equal "$(awk '$1 == "two.pnm" { print $2, $6 }' summary.tsv)" "3840 $(awk '$1 == "a.ppm" { print $6 }' summary.tsv)"
}

@test "summary: measures only what is new or has changed, and forgets what is gone" {
	cp "$X"/[a-d].* .
	batch summary >log
	assert_equal "$(grep -c ^measure log)" 4
	cp summary.tsv first
	touch -d '1 hour ago' summary.tsv
	batch summary >log
	assert_equal "$(grep -c ^measure log || true)" 0
	[ summary.tsv -ot first ] # not so much as written
	photo 16 16 >a.ppm
	batch summary >log
	assert_equal "$(grep ^measure log)" "measure a.ppm"
	assert_equal "$(awk '$1 == "a.ppm" { print $2 }' summary.tsv)" 256
	assert_equal "$(grep -v ^a.ppm summary.tsv)" "$(grep -v ^a.ppm first)"
	rm d.pgm
	batch summary >log
	assert_equal "$(grep -c ^measure log || true)" 0
	assert_equal "$(cut -f 1 summary.tsv | xargs)" "file a.ppm b.png c.jpg"
	batch VAE_PICTURES=b.png summary >log
	assert_equal "$(cut -f 1 summary.tsv | xargs)" "file b.png"
}

@test "summary: a picture that cannot be measured fails, and the rest is kept" {
	cp "$X/a.ppm" "$X/b.png" .
	batch a.lat b.lat >log
	touch -d '1 hour ago' a.lat b.lat b.png
	head -c 1000 "$X/a.ppm" >a.ppm
	touch -d '2 hours ago' a.ppm
	run ! batch -k summary
	only a.ppm a.lat b.png b.lat b.lat.tsv log
}

# Stopped in the middle by a signal, with a decoder that takes its time.
stopped() {
	local pid
	rm -f a.lat.tsv.tmp
	plainly setsid make -f "$ROOT/tools/batch.mk" VAE_BINDIR="$PWD/slow/" summary >/dev/null 2>&1 &
	pid=$!
	wait_for test -e a.lat.tsv.tmp
	kill "-$1" -- "-$pid"
	wait "$pid" || true
	assert_not_exists a.lat.tsv
	assert_not_exists summary.tsv
}

@test "summary: goes on after an interruption as if there had been none" {
	cp "$X/a.ppm" "$X/b.png" .
	batch summary >log
	mv summary.tsv wanted
	rm ./*.lat ./*.lat.tsv
	mkdir slow
	ln -s "$B/vae-enc" "$B/vae-quant" "$B/vae-stat" slow
	printf '#!/bin/sh\nexec sleep 60\n' >slow/vae-dec
	chmod +x slow/vae-dec
	stopped TERM
	assert_not_exists a.lat.tsv.tmp
	stopped INT
	assert_not_exists a.lat.tsv.tmp
	stopped KILL # which nothing can tidy up after
	batch summary >log
	cmp summary.tsv wanted
	rm -r slow
	only a.ppm a.lat a.lat.tsv b.png b.lat b.lat.tsv summary.tsv wanted log
}

@test "many machines: the script of vae(7) for an array of jobs does each picture once" {
	cp "$X"/[bc].* "$X/a.ppm" .
	cp b.png i.png
	cp b.png j.png
	sed -n '/^#!\/bin\/bash/,/^\.Ed/p' "$ROOT/man/vae.7" | sed '/^\.Ed/d; s/\\e/\\/g' | sed "s,/usr/local/share/vae-tools,$ROOT/tools," >job
	grep -q '^#SBATCH' job
	for i in 0 1 2; do
		SLURM_CPUS_PER_TASK=2 SLURM_ARRAY_TASK_COUNT=3 SLURM_ARRAY_TASK_ID=$i bash job >log.$i
	done
	assert_equal "$(cat log.* | grep -c 'vae-enc')" 3
	cmp b.lat i.lat
	only a.ppm b.png c.jpg i.png j.png b.lat i.lat j.lat job log.0 log.1 log.2
}
