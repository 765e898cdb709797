#!/usr/bin/env bats
# The filters in pipes: the short way and the long way, streams of many images, operands, and how
# each stage finds its model.
load helper

setup_file() {
	cd "$BATS_FILE_TMPDIR" || return 1
	photo 48 40 >a.ppm
	pamflip -lr a.ppm | pamcut -width 33 -height 21 | ppmtopgm >b.pgm
	vae-enc a.ppm >a.latents
	vae-quant a.latents >a.lat
	vae-dec a.lat >a.out
	vae-enc b.pgm | vae-quant >b.lat
	vae-dec b.lat >b.out
	cp "$DATA/tiny.safetensors" copy.safetensors
}

# Every test may read these, and none may change them.
A() { echo "$BATS_FILE_TMPDIR/$1"; }

@test "PNG in, PNG out, the model found by its id" {
	pnmtopng "$(A a.ppm)" >x.png
	pngtopnm x.png | vae-enc -m tiny | vae-quant >x.lat
	cmp x.lat "$(A a.lat)"
	vae-dec <x.lat | pnmtopng >y.png
	pngtopnm y.png | cmp - "$(A a.out)"
}

@test "the long way gives the same bytes" {
	vae-quant -d <"$(A a.lat)" | vae-dec | cmp - "$(A a.out)"
	vae-quant --method zstd "$(A a.latents)" | vae-quant --decode - | vae-dec - | cmp - "$(A a.out)"
}

@test "latents that were quantised once are hardly changed by a second time" {
	vae-quant -d <"$(A a.lat)" | vae-quant | vae-dec >again
	at_least "$(psnr again "$(A a.out)")" 35
}

@test "latents that were never quantised decode too" {
	vae-dec "$(A a.latents)" >y.ppm
	assert_equal "$(kinds y.ppm)" "$(kinds "$(A a.ppm)")"
	at_least "$(psnr y.ppm "$(A a.ppm)")" 16
}

@test "the whole road in one pipe, measured at its end" {
	vae-enc -q 40 "$(A a.ppm)" | vae-quant | vae-dec | vae-stat --tsv -r "$(A a.ppm)" | column psnr_db >db
	at_least "$(cat db)" 16
}

@test "codes concatenate, as images do" {
	cat "$(A a.lat)" "$(A b.lat)" | vae-dec >two
	cat "$(A a.out)" "$(A b.out)" | cmp - two
	vae-dec "$(A a.lat)" "$(A b.lat)" | cmp - two
	cat "$(A a.ppm)" "$(A b.pgm)" | vae-enc | vae-quant >two.lat
	cat "$(A a.lat)" "$(A b.lat)" | cmp - two.lat
	vae-enc "$(A a.ppm)" "$(A b.pgm)" | vae-quant | cmp - two.lat
	vae-quant -t two.lat
	vae-quant -d two.lat | vae-dec | cmp - two
}

@test "latents concatenate" {
	vae-enc "$(A b.pgm)" >b.latents
	cat "$(A a.latents)" b.latents "$(A a.latents)" | vae-quant >three.lat
	cat "$(A a.lat)" "$(A b.lat)" "$(A a.lat)" | cmp - three.lat
	vae-quant "$(A a.latents)" b.latents "$(A a.latents)" | cmp - three.lat
}

@test "- is standard input, among other operands too" {
	vae-enc - <"$(A a.ppm)" | cmp - "$(A a.latents)"
	vae-enc <"$(A a.ppm)" | cmp - "$(A a.latents)"
	vae-dec "$(A b.lat)" - "$(A b.lat)" <"$(A a.lat)" >three
	cat "$(A b.out)" "$(A a.out)" "$(A b.out)" | cmp - three
	cp "$(A a.ppm)" ./-
	vae-enc ./- | cmp - "$(A a.latents)"
}

@test "operands are one stream: an image may be split between them" {
	head -c 100 "$(A a.lat)" >first
	tail -c +101 "$(A a.lat)" >second
	vae-dec first second | cmp - "$(A a.out)"
	head -c 3000 "$(A a.ppm)" >first
	tail -c +3001 "$(A a.ppm)" >second
	vae-enc first second | cmp - "$(A a.latents)"
}

@test "an empty file among others adds nothing" {
	: >empty
	vae-dec empty "$(A a.lat)" empty | cmp - "$(A a.out)"
	vae-enc "$(A a.ppm)" empty | cmp - "$(A a.latents)"
}

@test "a pipe that gives one byte at a time" {
	perl -e '$| = 1; binmode STDOUT; binmode STDIN; while (read STDIN, $c, 1) { syswrite STDOUT, $c }' \
		<"$(A a.lat)" | vae-dec | cmp - "$(A a.out)"
	perl -e '$| = 1; binmode STDOUT; binmode STDIN; while (read STDIN, $c, 1) { syswrite STDOUT, $c }' \
		<"$(A b.pgm)" | vae-enc | vae-quant | cmp - "$(A b.lat)"
}

@test "each image is written before the next is read" {
	mkfifo slow
	{ cat "$(A a.lat)"; wait_for test -s early; cat "$(A b.lat)"; } >slow &
	vae-dec slow | { head -c "$(size "$(A a.out)")" >early; cat >late; }
	wait
	cmp early "$(A a.out)"
	cmp late "$(A b.out)"
	rm early late
	{ cat "$(A a.ppm)"; wait_for test -s early; cat "$(A b.pgm)"; } >slow &
	vae-enc slow | vae-quant | { head -c "$(size "$(A a.lat)")" >early; cat >late; }
	wait
	cmp early "$(A a.lat)"
	cmp late "$(A b.lat)"
}

@test "-m with a path on vae-enc alone is enough for the whole pipe" {
	unset VAE_MODEL VAE_MODEL_PATH
	cp "$(A copy.safetensors)" 'my model é.safetensors'
	vae-enc -m './my model é.safetensors' "$(A a.ppm)" | vae-quant >x.lat
	cmp x.lat "$(A a.lat)"
	vae-enc -m './my model é.safetensors' "$(A a.ppm)" | vae-dec >unquantised.ppm
	VAE_MODEL_PATH=$DATA vae-dec "$(A a.latents)" >expected.ppm
	cmp unquantised.ppm expected.ppm
	# codes never carry a path: the model is named again, or found by its id
	fails 1 "model" shell 'vae-dec x.lat > y.ppm'
	vae-dec -m './my model é.safetensors' x.lat | cmp - "$(A a.out)"
	VAE_MODEL_PATH=$PWD vae-dec x.lat | cmp - "$(A a.out)"
}

@test "the hint is absolute, percent-encoded, and only there for a path" {
	cp "$(A copy.safetensors)" 'a b%.safetensors'
	vae-enc -m './a b%.safetensors' "$(A a.ppm)" >hinted
	assert_equal "$(grep -a '^HINT ' hinted)" "HINT $PWD/a%20b%25.safetensors"
	refute grep -aq '^HINT ' "$(A a.latents)"
	vae-quant hinted | zstd -dcq | { ! grep -aq "$PWD"; }
}

@test "the hint is no more than a hint: another file there is not used" {
	cp "$(A copy.safetensors)" m.safetensors
	unset VAE_MODEL VAE_MODEL_PATH
	vae-enc -m ./m.safetensors "$(A a.ppm)" >hinted
	rm m.safetensors
	fails 1 "model" shell 'vae-quant hinted > x.lat'
	mkfifo m.safetensors
	fails 1 "model" timeout 10 bash -c 'vae-quant hinted > x.lat'
	rm m.safetensors
	perl -0777 -pe 's/("id":")([0-9a-f])/$1.($2 eq "0" ? "1" : "0")/e' "$(A copy.safetensors)" >m.safetensors
	fails 1 "model" shell 'vae-quant hinted > x.lat'
	# by its id the model is found elsewhere, whatever the hint says
	VAE_MODEL_PATH=$DATA vae-quant hinted | cmp - "$(A a.lat)"
}

@test "where models are looked for: -m, VAE_MODEL, VAE_MODEL_PATH, the user's data folder" {
	unset VAE_MODEL VAE_MODEL_PATH
	local user=$HOME/.local/share/vae-tools/models
	fails 1 "tiny" vae-enc -m tiny -o y "$(A a.ppm)"
	mkdir -p "$user"
	cp "$(A copy.safetensors)" "$user/mine-3.safetensors"
	vae-enc -m mine-3 "$(A a.ppm)" | cmp - "$(A a.latents)"
	vae-enc -m mine "$(A a.ppm)" | cmp - "$(A a.latents)"
	VAE_MODEL=mine vae-enc "$(A a.ppm)" | cmp - "$(A a.latents)"
	vae-dec "$(A a.lat)" | cmp - "$(A a.out)"
	mkdir -p data/vae-tools
	mv "$user" data/vae-tools/models
	XDG_DATA_HOME=$PWD/data vae-dec "$(A a.lat)" | cmp - "$(A a.out)"
	VAE_MODEL_PATH=/nowhere:$PWD/data/vae-tools/models vae-enc -m mine "$(A a.ppm)" | cmp - "$(A a.latents)"
	VAE_MODEL=./data/vae-tools/models/mine-3.safetensors vae-enc "$(A a.ppm)" | vae-quant | cmp - "$(A a.lat)"
}

@test "a name without a number means the newest" {
	mkdir models
	cp "$(A copy.safetensors)" models/m-10.safetensors
	echo damaged >models/m-9.safetensors
	echo damaged >models/m-x.safetensors
	VAE_MODEL_PATH=$PWD/models vae-enc -m m "$(A a.ppm)" | cmp - "$(A a.latents)"
	fails 1 "m-9" env VAE_MODEL_PATH="$PWD/models" vae-enc -m m-9 -o y "$(A a.ppm)"
}

@test "-m on the readers must name the model that made the stream" {
	vae-quant -m tiny "$(A a.latents)" | cmp - "$(A a.lat)"
	vae-quant -d -m tiny "$(A a.lat)" | vae-dec --model=tiny | cmp - "$(A a.out)"
	vae-quant -t -m tiny "$(A a.lat)"
}

@test "programs elsewhere find models beside them" {
	mkdir -p tree/build tree/models moved/bin moved/share/vae-tools/models
	cp "$B/vae-enc" "$B/vae-quant" "$B/vae-dec" tree/build
	cp "$B/vae-enc" "$B/vae-quant" "$B/vae-dec" moved/bin
	cp "$(A copy.safetensors)" tree/models/beside-1.safetensors
	cp "$(A copy.safetensors)" moved/share/vae-tools/models/beside-1.safetensors
	unset VAE_MODEL VAE_MODEL_PATH
	local bin
	for bin in tree/build moved/bin; do
		"$bin/vae-enc" -m beside "$(A a.ppm)" | "$bin/vae-quant" | cmp - "$(A a.lat)"
		"$bin/vae-dec" "$(A a.lat)" | cmp - "$(A a.out)"
	done
}

@test "zstd reads codes: -t, -l, -dc" {
	cp "$(A a.lat)" "$(A b.lat)" .
	cat a.lat b.lat >two.lat
	zstd -tq a.lat
	zstd -tq two.lat
	run -0 zstd -l two.lat
	assert_line --regexp '^ +2 +0 +.*XXH64'
	zstd -dcq <a.lat >a.content
	assert_equal "$(head -c 4 a.content)" VAEC
	run -0 zstd -lv a.lat
	assert_output --regexp "Decompressed Size:.*\($(size a.content) B\)"
}

@test "codes compressed again by zstd, or with a skippable frame between, are the same codes" {
	zstd -dcq <"$(A a.lat)" >content
	zstd -19 -q <content | vae-dec | cmp - "$(A a.out)"
	head -c 50 content | zstd -q >parts
	tail -c +51 content | zstd -q >>parts
	vae-dec parts | cmp - "$(A a.out)"
	cat "$(A a.lat)" <(printf '\x50\x2a\x4d\x18\x05\0\0\0hello') "$(A b.lat)" >skippable
	vae-dec skippable >two
	cat "$(A a.out)" "$(A b.out)" | cmp - two
	vae-quant -t skippable
	cat <(printf '\x5f\x2a\x4d\x18\x00\0\0\0') "$(A a.lat)" | vae-dec | cmp - "$(A a.out)"
}

@test "--method zstd shows its planes to anyone, and is the same picture" {
	vae-quant --method zstd "$(A a.latents)" >x.lat
	zstd -tq x.lat
	vae-dec x.lat | cmp - "$(A a.out)"
	assert_equal "$(vae-stat --tsv x.lat | column method | head -n 1)" zstd
	cat x.lat "$(A b.lat)" | vae-dec >two
	cat "$(A a.out)" "$(A b.out)" | cmp - two
}

@test "the latents' header is text that anyone can read" {
	run -0 bash -c 'sed "/^ENDHDR$/q" "$0"' "$(A a.latents)"
	assert_line --index 0 "VAELATENTS 1"
	assert_line "WIDTH 48"
	assert_line "HEIGHT 40"
	assert_line "FORMAT P6"
	assert_line "TUPLTYPE RGB"
	assert_line "MAXVAL 255"
	assert_line "QUALITY 36044"
	assert_line "ROWS 3"
	assert_line "COLUMNS 3"
	assert_line "CHANNELS 16"
	assert_line --regexp '^MODEL [0-9a-f]{16}$'
	assert_line "ENDHDR"
	# and the rest are 32-bit floats
	assert_equal "$(size "$(A a.latents)")" \
		$(($(sed '/^ENDHDR$/q' "$(A a.latents)" | wc -c) + 3 * 3 * 16 * 4))
}

@test "latents that a script changed are quantised as they stand" {
	perl -0777 -pe 'my $at = index($_, "ENDHDR\n") + 7; substr($_, $at) = pack "f<*", map {
		2 * $_ } unpack "f<*", substr $_, $at' "$(A a.latents)" >double
	vae-quant double >x.lat
	differ x.lat "$(A a.lat)"
	vae-dec x.lat >y.ppm
	assert_equal "$(kinds y.ppm)" "$(kinds "$(A a.ppm)")"
}

@test "kinds are told apart: what goes to the wrong program is answered in words" {
	fails 1 "vae-enc makes latents of it" vae-quant -o y "$(A a.ppm)"
	fails 1 "vae-enc makes latents of it" vae-dec -o y "$(A a.ppm)"
	fails 1 "latents" vae-enc -o y "$(A a.latents)"
	fails 1 "codes" vae-enc -o y "$(A a.lat)"
	fails 1 "-d makes latents" vae-quant -o y "$(A a.lat)"
	fails 1 "already" vae-quant -d -o y "$(A a.latents)"
	fails 1 "a.latents: these are latents; vae-quant makes codes of them" vae-quant -t "$(A a.latents)"
	fails 1 "model" vae-enc -o y "$DATA/tiny.safetensors"
	fails 1 "model" vae-dec -o y "$DATA/tiny.safetensors"
	fails 1 "codes" vae-train --steps 1 -o y "$(A a.lat)"
	assert_not_exist y
}

@test "pictures of other formats are named with what converts them, as first operand or later" {
	local row
	photo 16 16 | pnmtopng >x.png
	for row in 'x.png|PNG; pngtopnm' '\377\330\377\340\0\020JFIF\0|JPEG; jpegtopnm' \
		'RIFF\0\1\0\0WEBPVP8 |WebP; dwebp' 'GIF89a\1\0|GIF; giftopnm' \
		'II*\0\010\0\0\0\1\0|TIFF; tifftopnm' 'MM\0*\0\0\0\010\0\1|TIFF; tifftopnm' \
		'II*\0\020\0\0\0CR\2\0|raw file; dcraw' \
		'\0\0\0\034ftypavif\0\0\0\0|AVIF; avifdec' '\0\0\0\030ftypheic\0\0\0\0|HEIC; heif-convert' \
		'\0\0\0\014JXL \r\n\207\n|JPEG XL; djxl' \
		'\377\012\372\037\01|JPEG XL; djxl' '\0\0\0\014jP  \r\n\207\n|JPEG 2000; jpeg2ktopam' \
		'BM\66\0\14\0\0\0\0\0|BMP; bmptopnm' \
		'qoif\0\0\0\1\0\0\0\1\3\0|QOI; qoitopam' 'PF\n1 1\n-1.0\n|PFM; pfmtopam' '%%PDF-1.5\n|PDF; pdftoppm' \
		'<svg width="1">|SVG; rsvg-convert' \
		'\037\213\010\0\0\0|gzip -dc unpacks it' '\375''7zXZ\0|xz -dc unpacks it' \
		'BZh91AY|bzip2 -dc unpacks it'; do
		# shellcheck disable=SC2059 # the row is the format
		if [ -e "${row%|*}" ]; then cp x.png x; else printf "${row%|*}" >x; fi
		fails 1 "x: this is *${row#*|}" vae-enc -o y x
	done
	fails 1 "x.png: this is PNG; pngtopnm" vae-enc -o y "$(A a.ppm)" x.png
	fails 1 "standard input: this is PNG; pngtopnm" shell 'vae-enc <x.png'
	fails 1 "x.png: this is PNG; pngtopnm" vae-quant -o y x.png
	fails 1 "x.png: this is PNG; pngtopnm" vae-dec -o y x.png
	fails 1 "x.png: this is PNG; pngtopnm" vae-dec -o y "$(A a.lat)" x.png
	fails 1 "x.png: this is PNG; pngtopnm" vae-stat -o y x.png
	fails 1 "x.png: this is PNG; pngtopnm" vae-train --steps 1 -o y x.png
	run --separate-stderr -1 vae-stat -r x.png "$(A a.ppm)"
	assert_equal "${stderr_lines[0]}" \
		"vae-stat: x.png: this is PNG; pngtopnm makes an image of it, and pngtopam -alphapam one with its transparency"
	run --separate-stderr -1 vae-stat -r "$(A a.lat)" "$(A a.ppm)"
	assert_regex "${stderr_lines[0]}" \
		"a.lat: these are codes; vae-quant -d makes latents of them, vae-dec an image$"
	fails 1 "b: these are codes; vae-quant -d" shell \
		'cp "$BATS_FILE_TMPDIR/a.lat" b && vae-enc -o y "$BATS_FILE_TMPDIR/a.ppm" b'
	cp "$(A a.latents)" latents
	fails 1 "latents: these are latents behind codes; a stream is all of one kind" \
		vae-dec -o y "$(A a.lat)" latents
	fails 1 "b: these are codes behind latents; a stream is all of one kind" vae-dec -o y latents b
	fails 1 "a.ppm: this is an image; vae-enc" vae-dec -o y "$(A a.lat)" "$(A a.ppm)"
	assert_not_exist y
}

@test "codes that zstd has unpacked are named, and so are both models where -m is not the stream's" {
	local p
	zstd -dcq <"$(A a.lat)" >content
	for p in "vae-dec -o y" "vae-quant -d -o y" "vae-quant -t" "vae-stat" "vae-enc -o y"; do
		# shellcheck disable=SC2086 # a program and its options
		fails 1 "content: these are codes that zstd has unpacked; give the .lat file itself" $p content
	done
	mkdir models
	vae-train --arch "mlp hidden1=8 hidden2=8 z=3" --steps 1 --batch 2 --quiet -o models/other.safetensors \
		<(photo 28 28 | ppmtopgm)
	export VAE_MODEL_PATH=$DATA:$PWD/models
	fails 1 "a.lat: made with the model tiny (d0c73b1c42f729a4), not with other (" vae-dec -m other -o y \
		"$(A a.lat)"
	fails 1 "a.latents: made with the model tiny (d0c73b1c42f729a4), not with other (" vae-quant -m other \
		-o y "$(A a.latents)"
	VAE_MODEL_PATH=$PWD/models fails 1 \
		"a.lat: made with the model d0c73b1c42f729a4, which was not found, not with other (" \
		vae-dec -m other -o y "$(A a.lat)"
	assert_not_exist y
}
