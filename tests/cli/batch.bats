#!/usr/bin/env bats
# batch.mk: from pictures to codes and back by make, whatever their names, where a target is whole
# or not there.
load helper
unset MAKEFLAGS MFLAGS MAKELEVEL # of the make that runs the tests: -s there is not meant for these

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

# The column NAME of summary.tsv for the picture FILE: cell FILE NAME
cell() {
	awk -F'\t' -v file="$1" -v name="$2" '
		NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) n = i }
		$1 == file { print $n }' summary.tsv
}
files() { cut -f 1 summary.tsv | tail -n +2 | xargs; }

# Names that a shell, make, awk, sed or a converter could take for something else.
# shellcheck disable=SC2016
hostile=('x`{touch,pwned}`' 'x`touch pwned`' 'a&touch pwned&' '$(touch pwned)' '$$(shell touch pwned)' \
	';touch pwned;' '|touch pwned'
	"o'brien" "'; touch pwned; '" 'img(1)' '-q' '--help' '-' 'a b' ' lead' 'trail ' '"dq"' 'a=b' 'SHELL=' \
		'%' '#h' 'a:b' 'back\slash\'
	'\n' '*' '?' '[a-z]' $'tab\t' '~' 'é' $'\377' $'esc\033[2J' '{a,b}' '!x' '@file' '>pwned' 'msl:x' $'cr\r')

@test "codes from every kind of picture, and pictures from codes" {
	cp "$X"/* .
	cp c.jpg i.JPG
	cp b.png j.Png
	pamtotiff a.ppm >k.tif
	cwebp -quiet -lossless a.ppm -o l.webp
	pamtopng f.pam >m.png
	batch -j2 VAE_FLAGS='-T 1' VAE_QUANTFLAGS=--strip {a..m}.lat >log # of a TIFF Exif has the resolution
	vae-quant -t ./*.lat
	vae-enc a.ppm | vae-quant | cmp - a.lat
	for file in b j k l; do cmp a.lat $file.lat; done
	cmp c.lat i.lat
	cmp f.lat m.lat
	export VAE_QUANTFLAGS=--strip
	batch a.dec.ppm a.dec.png e.dec.ppm m.dec.png >log
	vae-dec a.lat | cmp - a.dec.ppm
	pngtopnm a.dec.png | cmp - a.dec.ppm
	assert_equal "$(kinds e.dec.ppm)" "PBM RAW 48 40 1 1 BLACKANDWHITE"
	assert_equal "$(pngtopam -alphapam m.dec.png | kinds -)" "PAM RAW 48 40 4 255 RGB_ALPHA"
	run -0 batch a.dec.png
	assert_output "a.lat is up to date"$'\n'"a.dec.png is up to date"
	pamdepth 1023 d.pgm >deep.pgm
	batch -s deep.dec.png
	assert_equal "$(pngtopnm deep.dec.png | kinds -)" "PGM RAW 48 40 1 65535 GRAYSCALE"
	cat a.ppm d.pgm >two.pnm
	run -2 batch -s two.dec.png
	assert_output --partial "batch.mk: two.lat: holds several images, which only .dec.ppm keeps"
	assert_not_exists two.dec.png
}

@test "the colour profile, Exif and XMP come back" {
	needs_program exiftool
	cp "$X/a.ppm" .
	cp "$X/c.jpg" .
	exiftool -q -overwrite_original -Orientation#=6 -XMP:Title=hello c.jpg
	batch -s c.dec.png
	tags() { exiftool -s3 -n -Orientation -XMP:Title "$1"; }
	assert_equal "$(tags c.dec.png)" 6$'\n'hello
	assert_equal "$(tags c.jpg)" "$(tags c.dec.png)"
	vae-stat --exif x.exif c.lat >log
	batch -s VAE_QUANTFLAGS=--strip c.lat
	djpeg -pnm c.jpg | vae-enc | vae-quant | cmp - c.lat
	# without exiftool it is said, once
	mkdir bin
	for program in awk basename cat chmod cmp cut date dirname find grep head jpegtopnm ln make mkdir mktemp \
		mv od pamfile rm sed sh \
		sort tail touch tr uniq wc; do
		ln -s "$(command -v $program)" bin
	done
	run --separate-stderr -0 env PATH="$PWD/bin" VAE_BINDIR="$B/" make -s -B -f "$ROOT/tools/batch.mk" codes
	# shellcheck disable=SC2154 # stderr is bats' own
	assert_equal "$stderr" \
		"batch.mk: colour profiles, Exif and XMP stay behind: there is no exiftool (Debian package libimage-exiftool-perl)"
	vae-enc a.ppm | vae-quant | cmp - a.lat
}

@test "straight from a picture to its decoded one, the codes stay; codes alone are decoded" {
	cp "$X/a.ppm" .
	batch a.dec.ppm >log
	assert_equal "$(cat log)" "a.ppm -> a.lat"$'\n'"a.lat -> a.dec.ppm"
	only a.ppm a.lat a.dec.ppm .vae-batch log
	mkdir alone
	cp a.lat alone
	cd alone
	batch -s a.dec.ppm
	cmp a.dec.ppm ../a.dec.ppm
}

@test "variables: quality, model, flags, folder of the programs" {
	cp "$X/a.ppm" .
	vae-enc -q 12 -m "$DATA/tiny.safetensors" a.ppm | vae-quant --method zstd >wanted
	env -u VAE_MODEL -u VAE_MODEL_PATH make -s -f "$ROOT/tools/batch.mk" VAE_QUALITY=12 \
		VAE_MODEL="$DATA/tiny.safetensors" \
		VAE_QUANTFLAGS='--method zstd' VAE_BINDIR="$B/" a.lat
	cmp a.lat wanted
	run -2 batch -s VAE_BINDIR=/nowhere/ a.lat
	assert_line --partial "/nowhere/vae-enc: not found"
}

@test "in a makefile of one's own, which keeps its first goal, its help and its clean" {
	cp "$X/a.ppm" "$X/b.png" .
	# shellcheck disable=SC2016
	printf \
		'VAE_QUALITY = 30\ninclude %s\nall: a.lat $(patsubst %%.png,%%.lat,$(wildcard *.png))\nhelp clean:; @echo mine\n' \
		"$ROOT/tools/batch.mk" >Makefile
	make -s
	vae-enc -q 30 a.ppm | vae-quant | cmp - a.lat
	cmp a.lat b.lat
	assert_equal "$(make -s clean 2>&1)" mine
}

@test "a failure in any part of the pipe fails, and leaves no target" {
	head -c 1000 "$X/a.ppm" >short.ppm
	echo rubbish >bad.png
	head -c 60 <(vae-enc "$X/a.ppm" | vae-quant) >cut.lat
	mkdir dir.lat
	cp short.ppm dir.ppm
	run -2 batch short.lat
	run -2 batch bad.lat
	assert_line "topnm: bad.png: not a picture of a known format"
	run -2 batch none.lat
	assert_line "batch.mk: none.lat: no picture none.* of a format that can be converted"
	run -2 batch dir.lat
	assert_line "batch.mk: dir.lat: is a folder"
	run -2 batch cut.dec.ppm
	run -2 batch cut.dec.png
	only short.ppm bad.png cut.lat dir.lat dir.ppm .vae-batch
	assert_equal "$(ls -A .vae-batch)" ""
}

@test "what is made again: with another quality, model, flag or picture, and no more" {
	cp "$X/a.ppm" .
	cp "$DATA/tiny.safetensors" mine.safetensors
	batch -s a.lat
	for change in VAE_QUALITY=30 VAE_QUANTFLAGS=--effort=0 VAE_ENCFLAGS=--band=16 \
		VAE_MODEL=./mine.safetensors; do
		assert_equal "$(batch "$change" a.lat)" "a.ppm -> a.lat"
		assert_equal "$(batch "$change" VAE_FLAGS=-T1 a.lat)" "a.lat is up to date"
	done
	touch -d '1 minute' mine.safetensors
	assert_equal "$(batch VAE_MODEL=./mine.safetensors a.lat)" "a.ppm -> a.lat"
	batch -s a.dec.ppm VAE_QUALITY=20
	vae-enc -q 20 a.ppm | vae-quant | vae-dec | cmp - a.dec.ppm
	assert_equal "$(batch -B VAE_QUALITY=20 a.lat)" "a.ppm -> a.lat"
	mv a.ppm other.ppm
	cp "$X/c.jpg" a.jpg
	touch -d '1 hour ago' a.jpg
	assert_equal "$(batch VAE_QUALITY=20 a.lat)" "a.jpg -> a.lat"
	# What others have put there is kept for as long as it is newer than the picture.
	djpeg -pnm a.jpg | vae-enc -q 90 | vae-quant >theirs
	cp theirs a.lat
	touch -d '1 minute' a.lat
	batch -s VAE_QUALITY=20 a.lat summary VAE_PICTURES=a.jpg >log
	cmp theirs a.lat
	assert_equal "$(cell a.jpg quality)" 90
	touch -d '2 minutes' a.jpg
	assert_equal "$(batch VAE_QUALITY=20 a.lat)" "a.jpg -> a.lat"
}

@test "two pictures of one name: an error that names both, and targets of their own" {
	cp "$X/a.ppm" "$X/b.png" .
	cp "$X/c.jpg" b.JPG
	cp b.png a.ppm.png
	run -2 batch -s b.lat
	assert_line --partial "b.lat: from b.JPG or b.png? Ask for b.JPG.lat or b.png.lat"
	batch -s b.png.lat b.JPG.dec.ppm
	batch -j2 summary >log
	assert_equal "$(files)" "a.ppm a.ppm.png b.JPG b.png"
	only a.ppm a.lat a.ppm.png a.ppm.png.lat b.png b.png.lat b.JPG b.JPG.lat b.JPG.dec.ppm summary.tsv log \
		.vae-batch
	cmp a.lat b.png.lat
	djpeg -pnm b.JPG | vae-enc | vae-quant | cmp - b.JPG.lat
}

@test "hostile names: all are done, and none is run" {
	photo 16 16 >x
	for name in "${hostile[@]}"; do cp x "./$name.ppm"; done
	cp x $'new\ntouch pwned\n.ppm'
	rm x
	run -2 --separate-stderr batch -j2 summary
	assert_equal "${#lines[@]}" $((${#hostile[@]} + 1))
	assert_line --partial "summary.tsv: ${#hostile[@]} pictures, "
	# shellcheck disable=SC2154
	assert_equal "${stderr_lines[0]}" "batch.mk: 1 of $((${#hostile[@]} + 1)) pictures did not work:"
	assert_equal "${stderr_lines[1]}" "    new?touch pwned?.ppm: its name has more than one line: rename it"
	refute [ "$(tr -d '\t\n' <<<"$output$stderr" | tr '\000-\037\177' '\001' | grep -c $'\001')" -gt 0 ]
	for name in "${hostile[@]}"; do
		assert_exists "./$name.lat"
		escaped=${name//\\/\\\\}
		grep -qF -e "${escaped//$'\t'/\\t}.ppm"$'\t256\t' summary.tsv
	done
	assert_equal "$(find . -name 'pwned*')" ""
	# The same as goals, where make itself leaves room for them.
	rm ./*.lat
	for name in "${hostile[@]}"; do
		[[ $name = *=* || $name = ' '* ]] || printf './%s.dec.ppm\0' "$name"
	done | xargs -0 make -j2 -s -f "$ROOT/tools/batch.mk"
	for name in "${hostile[@]}"; do
		[[ $name = *=* || $name = ' '* ]] || assert_exists "./$name.dec.ppm"
	done
	run batch -i $'new\ntouch pwned\n.lat'
	assert_line "batch.mk: a name has more than one line: rename it"
	assert_equal "$(find . -name 'pwned*')" ""
	batch -s clean
	assert_equal "$(find . -name '*.lat' -o -name '*.tsv' -o -name '*.dec.ppm' -o -name '.vae*')" ""
	# of which one has three lines
	assert_equal "$(find . -name '*.ppm' | grep -c .)" "$((${#hostile[@]} + 3))"
}

@test "a folder with a blank, for batch.mk and for the pictures" {
	mkdir "of tools" "of pictures"
	cp "$ROOT"/tools/{batch.mk,batch.sh,metadata.subr,topnm} "of tools"
	cp "$X/a.ppm" "of pictures"
	make -s -f "of tools/batch.mk" "of pictures/a.lat"
	vae-quant -t "of pictures/a.lat"
	make -s -C "of pictures" -f "../of tools/batch.mk" summary
	assert_exists "of pictures/summary.tsv"
}

@test "summary: sizes, bits a pixel, PSNR and quality of a folder" {
	cp "$X"/[a-f].* .
	cat a.ppm a.ppm >two.pnm
	batch -j3 VAE_FLAGS=-T1 a.dec.png summary >log
	grep -q '^summary.tsv: 7 pictures, ' log
	grep -qx '7 of 7: two.pnm: [0-9]* bytes, [0-9.]* dB' log
	assert_equal "$(head -n 1 summary.tsv | tr '\t' ' ')" \
		"file pixels picture_bytes bytes bpp psnr_db quality"
	assert_equal "$(files)" "a.ppm b.png c.jpg d.pgm e.pbm f.pam two.pnm"
	assert_equal "$(awk '$1 == "a.ppm" { print $2, $3, $4, $5, $7 }' summary.tsv)" \
		"1920 $(size a.ppm) $(size a.lat) $(awk -v n="$(size a.lat)" \
		'BEGIN { printf "%.4f", 8 * n / 1920 }') 55"
	vae-dec a.lat >a.out
	assert_equal "$(cell a.ppm psnr_db)" "$(printf %.2f "$(psnr a.out a.ppm)")"
	assert_equal "$(cell two.pnm pixels) $(cell two.pnm psnr_db)" "3840 $(cell a.ppm psnr_db)"
	mean=$(awk -F'\t' 'NR > 1 && $6 ~ /^[0-9]/ { s += $6; n++ } END { printf "%.2f", s / n }' summary.tsv)
	grep -q ", mean PSNR $mean dB" log
	batch summary VAE_QUALITY=25.5 VAE_PICTURES='[ab].p*' >log
	assert_equal "$(files) $(cell a.ppm quality) $(cell b.png quality)" "a.ppm b.png 25.5 25.5"
}

@test "summary: an exact picture is counted, and is not in the mean" {
	pbmmake -white 32 32 >white.pbm
	cp "$X/a.ppm" .
	batch -s summary >log
	assert_equal "$(cell white.pbm psnr_db)" inf
	grep -q ", mean PSNR $(cell a.ppm psnr_db) dB, 1 exact (not in the mean)$" log
	batch -s VAE_PICTURES=white.pbm summary >log
	grep -q ' bpp, 1 exact$' log
}

@test "summary: measures only what is new or has changed, and forgets what is gone" {
	cp "$X"/[a-d].* .
	batch summary >log
	assert_equal "$(grep -c ' of 4: ' log)" 4
	cp summary.tsv first
	touch -d '1 hour ago' summary.tsv
	batch summary >log
	assert_equal "$(grep -c ' of 4: ' log || true)" 0
	[ summary.tsv -ot first ] # not so much as written
	photo 16 16 >a.ppm
	batch summary >log
	assert_equal "$(grep -o '^.* of 4: [^:]*' log)" "1 of 4: a.ppm"
	assert_equal "$(cell a.ppm pixels)" 256
	assert_equal "$(grep -v ^a.ppm summary.tsv)" "$(grep -v ^a.ppm first)"
	rm d.pgm
	batch summary >log
	assert_equal "$(grep -c ' of 3: ' log || true)" 0
	assert_equal "$(files)" "a.ppm b.png c.jpg"
	batch VAE_PICTURES=b.png summary >log
	assert_equal "$(files)" "b.png"
	batch VAE_QUALITY=30 summary >log
	assert_equal "$(grep -c ' of 3: ' log)" 3
	assert_equal "$(cell a.ppm quality) $(cell b.png quality)" "30 30"
}

@test "summary: the reason of a failure is no note" {
	pnmtopng "$X/d.pgm" | pngtopnm | ppmtogif -sort 2>/dev/null >one.gif
	head=$((13 + 3 * (2 << ($(od -An -tu1 -j 10 -N 1 one.gif) & 7))))
	{ head -c -1 one.gif && tail -c "+$((head + 1))" one.gif; } >two.gif
	rm one.gif
	run -2 --separate-stderr batch VAE_QUALITY=101 summary
	grep -qxF "    two.gif: vae-enc: --quality: '101' is not a number from 0 to 100" <<<"$stderr"
	run -0 --separate-stderr batch summary
	grep -qxF "topnm: two.gif: an animation, of which only the first image is converted" <<<"$stderr"
}

@test "summary: pictures that do not work are listed, and the table has the others" {
	cp "$X/a.ppm" "$X/b.png" .
	head -c 1000 "$X/a.ppm" >short.ppm
	echo rubbish >bad.png
	ln -s nowhere.png gone.png
	: >u.cr2
	: >v.CR2
	mkdir folder.png
	run -2 --separate-stderr batch -j2 summary
	assert_line --partial "summary.tsv: 2 pictures, "
	assert_equal "$(files)" "a.ppm b.png"
	# shellcheck disable=SC2154
	grep -qxF "batch.mk: left out: 2 camera raw (no converter is known): u.cr2, v.CR2" <<<"$stderr"
	grep -qxF "batch.mk: 3 of 5 pictures did not work:" <<<"$stderr"
	grep -qxF "    bad.png: not a picture of a known format" <<<"$stderr"
	grep -qxF "    gone.png: not a file" <<<"$stderr"
	grep -q "^    short.ppm: vae-enc: .*short.ppm: " <<<"$stderr"
	refute [ -e short.lat ]
	refute [ -e bad.lat ]
	# A picture that no longer works is in the table no longer.
	echo rubbish >b.png
	run -2 batch summary
	assert_equal "$(files)" "a.ppm"
	rm -r ./*.p*
	run -2 batch summary
	assert_line "batch.mk: no pictures here"
}

@test "summary: the same under a locale that has a comma" {
	mkdir locales
	cp -r /usr/lib/locale/C.[uU]*8 locales/comma.utf8
	perl -0777 -i -pe 's/\./,/' locales/comma.utf8/LC_NUMERIC
	export LOCPATH=$PWD/locales
	assert_equal \
		"$(LC_ALL=comma.utf8 perl -MPOSIX -e 'setlocale(LC_ALL, ""); print localeconv()->{decimal_point}')" ,
	cp "$X/a.ppm" "$X/b.png" .
	LC_ALL=comma.utf8 batch -s summary >comma
	mv summary.tsv comma.tsv
	batch -s -B summary >point
	cmp comma.tsv summary.tsv
	cmp comma point
}

# Stopped in the middle by a signal, with a decoder that takes its time.
stopped() {
	local pid
	rm -f started
	plainly setsid make -f "$ROOT/tools/batch.mk" VAE_BINDIR="$PWD/slow/" summary >/dev/null 2>&1 &
	pid=$!
	wait_for test -e started
	kill "-$1" -- "-$pid"
	wait "$pid" || true
	assert_not_exists summary.tsv
	assert_not_exists .vae-batch/a.lat.tsv
}

@test "variables of the environment with the names of batch.sh's own change nothing" {
	cp "$X/a.ppm" "$X/d.pgm" .
	batch -s codes >log
	mkdir wanted
	mv ./*.lat wanted
	rm -r .vae-batch
	env pnm="$X/d.pgm" format=PNM scratch=/ run=/ picture=/ target=/ state=/ row=/ \
		make --no-print-directory -s -f "$ROOT/tools/batch.mk" summary >log
	for file in a d; do cmp $file.lat wanted/$file.lat; done
	assert_equal "$(files)" "a.ppm d.pgm"
}

@test "a full disk is named, and so is a pipe in place of a file" {
	cp "$X/a.ppm" .
	mk=$ROOT/tools/batch.mk
	run -2 shell "trap '' XFSZ; ulimit -f 0; make --no-print-directory -s -f '$mk' summary 2>&1 | cat"
	assert_line --index 0 "batch.mk: .vae-batch: cannot be written; is the disk full?"
	refute_output --partial "I/O error"
	batch -s summary >log
	for file in a.lat summary.tsv .vae-batch/a.lat.made .vae-batch/a.lat.tsv; do
		rm $file
		mkfifo $file
		run -2 timeout 60 make --no-print-directory -s -f "$mk" summary
		assert_output --partial "$file: is not a file"
		rm $file
		batch -s summary >log
	done
}

@test "summary: goes on after an interruption as if there had been none" {
	cp "$X/a.ppm" "$X/b.png" .
	batch summary >log
	cp summary.tsv wanted
	batch -s clean
	mkdir slow
	ln -s "$B/vae-enc" "$B/vae-quant" "$B/vae-stat" slow
	printf '#!/bin/sh\n: >started\nexec sleep 60\n' >slow/vae-dec
	chmod +x slow/vae-dec
	for signal in TERM INT QUIT PIPE; do
		stopped $signal
		wait_for eval '[ -z "$(find .vae-batch -name "tmp.*")" ]'
	done
	stopped KILL # which nothing can tidy up after
	batch summary >log
	cmp summary.tsv wanted
	find .vae-batch -name 'tmp.*' -exec touch -d '3 days ago' {} +
	batch summary >log
	assert_equal "$(find .vae-batch -name 'tmp.*')" ""
	rm -r slow
	only a.ppm a.lat b.png b.lat summary.tsv wanted log started .vae-batch
}

@test "clean: removes what was made, but for what cannot be made again" {
	cp "$X/a.ppm" "$X/b.png" "$X/d.pgm" .
	vae-enc a.ppm | vae-quant >alone.lat
	batch -s alone.dec.ppm a.dec.png b.lat summary >log
	rm d.pgm log
	cp alone.lat b.lat
	touch -d '1 minute' b.lat
	run -0 batch clean
	assert_line "kept: b.lat, which was written by others"
	assert_line "kept: d.lat, whose picture is gone"
	only a.ppm b.png b.lat d.lat alone.lat
}

@test "codes of a folder without measures; help, which is the first goal; nothing with -n; no links followed" {
	cp "$X/a.ppm" "$X/b.png" .
	run -0 batch -n summary
	only a.ppm b.png
	run -0 batch
	assert_line --index 0 "batch.mk - encodes many pictures, and decodes many codes, with GNU make."
	assert_equal "$output" "$(batch help)"
	run -0 batch codes
	assert_output --partial "codes: 2 pictures, "
	refute_output --partial dB
	only a.ppm b.png a.lat b.lat .vae-batch
	batch -s clean
	echo precious >theirs
	mkdir .vae-batch
	ln -s ../theirs .vae-batch/a.lat.made
	ln -s ../theirs .vae-batch/a.lat.tsv
	ln -s theirs summary.tsv
	batch -s summary
	assert_equal "$(cat theirs)" precious
	batch -s clean
	mkdir elsewhere
	ln -s elsewhere .vae-batch
	run -2 batch -s a.lat
	assert_line --partial ".vae-batch: is a symbolic link"
	run -2 batch -s summary
	run -2 batch -s clean
	assert_equal "$(ls elsewhere)" ""
}

@test "many machines: the script of vae(7) for an array of jobs does each picture once" {
	cp "$X"/[bc].* "$X/a.ppm" .
	cp b.png "i i.png"
	cp b.png j.png
	sed -n '/^#!\/bin\/bash/,/^\.Ed/p' "$ROOT/man/vae.7" | sed '/^\.Ed/d; s/\\e/\\/g' |
		sed "s,/usr/local/share/vae-tools,$ROOT/tools," >job
	grep -q '^#SBATCH' job
	for i in 0 1 2; do
		SLURM_CPUS_PER_TASK=2 SLURM_ARRAY_TASK_COUNT=3 SLURM_ARRAY_TASK_ID=$i bash job >log.$i
	done
	assert_equal "$(cat log.* | grep -c -e ' -> ')" 3
	cmp b.lat "i i.lat"
	only a.ppm b.png c.jpg "i i.png" j.png b.lat "i i.lat" j.lat job log.0 log.1 log.2 .vae-batch
}
