#!/usr/bin/env bats
# The examples of the manuals and of the README do what they say: each line that starts with a
# prompt is run, in order.
load helper

# The pictures and codes that the examples name.
prepare() {
	unset VAE_MODEL VAE_MODEL_PATH
	photo 256 192 >photo.ppm
	pnmtopng photo.ppm >photo.png
	ppmtopgm photo.ppm >grey.pgm
	pamstack -tupletype RGB_ALPHA photo.ppm grey.pgm | pamtopng >rgba.png
	pamdepth 65535 grey.pgm | pamfunc -divisor 160 >dark.pgm
	cp photo.ppm x.ppm
	cp photo.ppm map.ppm
	cp rgba.png x.png
	cp rgba.png screen.png
	cp "$DATA/golden/digits.pgm" digits.pgm
	vae-enc photo.ppm | vae-quant >x.lat
	vae-enc grey.pgm | vae-quant >y.lat
	cp "$DATA/tiny.safetensors" my.safetensors
	perl -e 'print pack("N", 140), "\0" x 32, "acsp", "\1" x 100' >profile.icc
	cp x.lat a.lat
	cp y.lat b.lat
}

# example LINE: as a shell with pipefail runs it. A program whose reader has read enough, as "od -N
# 34" does, may die of SIGPIPE, or have written all by then.
example() {
	bash -o pipefail -c "$1"'
		of_all=$? of_each=("${PIPESTATUS[@]}")
		[ "$of_all" = 141 ] && [ "${of_each[-1]}" = 0 ] && [[ "${of_each[*]}" =~ ^((0|141)\ ?)*$ ]] &&
			of_all=0
		exit "$of_all"'
}

# Each line of stdin is an example that succeeds: run_lines LEAST
run_lines() {
	local line count=0
	while IFS= read -r line; do
		count=$((count + 1))
		example "$line" >stdout 2>stderr </dev/null || {
			{ echo "$line"; cat stderr; } | batslib_decorate "an example fails" | fail
			return 1
		}
	done
	[ "$count" -ge "$1" ] || fail "only $count examples"
}

# What stands in the source of a page, as its reader sees it.
shown() { sed 's/\\e/\\/g; s/\\-/-/g; s/\\&//g'; }

# manual PAGE COUNT [MODEL]: at least so many lines; a model of the tests stands in for photo
manual() {
	prepare
	if [ -n "${3-}" ]; then
		mkdir models
		cp "$DATA/$3.safetensors" models/photo-1.safetensors
		export VAE_MODEL_PATH=$PWD/models
	fi
	sed -n 's/^\$ //p' "$ROOT/man/$1" | shown >lines
	run_lines "$2" <lines
}

# Skips the test without it. Not inside of run or of a pipeline: "skip" would leave the subshell alone.
needs_python() { python3 -c 'import sys; assert sys.version_info >= (3, 8)' 2>/dev/null ||
	skip "no python3 of version 3.8 or later"; }

# The Python program of a page: program PAGE [FILE]...
program() {
	prepare
	sed -n '/^import /,/^\.Ed/p' "$ROOT/man/$1" | sed '/^\.Ed/d' | shown >program.py
	[ -s program.py ] || fail "no program in $1"
	shift
	python3 program.py "$@"
}

@test "an example may stop reading early, and fails where any of its programs does" {
	example "yes | head -n 1"
	example "yes | head -n 1 | cat"
	run -1 example "false | cat"
	run -1 example "yes | head -n 1 | false"
	run -141 example "false | yes | head -n 1"
	run -1 example "true; false"
	run -141 example "yes | head -n 1 && true; kill -s PIPE \$\$"
}

# Each page by its own line below, so that a new page is not forgotten.
@test "every page has examples, and a test here or in tests/install.sh" {
	local page
	for page in "$ROOT"/man/*.[1-8]; do
		grep -qx '\.Sh EXAMPLES' "$page" || fail "no examples in $page"
		case $page in
		*.3) grep -q "man/${page##*/}" "$ROOT/tests/install.sh" ;;
		*) grep -q "^@test .* { manual ${page##*/} [1-9]" "$BATS_TEST_FILENAME" ;;
		esac || fail "nobody runs the examples of $page"
	done
}

@test "vae(1)" { manual vae.1 5; }
@test "vae-enc(1)" { manual vae-enc.1 10; }
@test "vae-quant(1)" { manual vae-quant.1 10; }
@test "vae-dec(1)" { manual vae-dec.1 12; }
@test "vae-stat(1)" { manual vae-stat.1 9; }
@test "vae-train(1)" { manual vae-train.1 9 tiny; }
@test "vae(7)" { manual vae.7 29; }

@test "vae(7): other programs read what vae writes" {
	local program found=0
	prepare
	vae photo.png
	grep '^vae -dc ' "$ROOT/man/vae.7" | shown >lines
	[ "$(wc -l <lines)" -ge 3 ]
	for program in convert vips; do
		"$program" --version 2>/dev/null | grep -iE 'imagemagick|vips' >version || continue
		grep -w "$program" lines | run_lines 1
		found=$((found + 1))
	done
	[ "$found" -gt 0 ] || skip "optional: no ImageMagick and no vips"
	for file in photo.webp photo.tif; do
		[ ! -e "$file" ] || at_least "$("$ROOT/tools/topnm" "$file" | psnr - photo.ppm)" 20
	done
}
@test "vae-latents(5)" { manual vae-latents.5 3; }
@test "vae-codes(5)" { manual vae-codes.5 4; }
@test "vae-model(5)" { manual vae-model.5 3; }

@test "vae-latents(5): the program" {
	needs_python
	run --separate-stderr -0 program vae-latents.5 < <(vae-enc "$DATA/golden/one.ppm")
	[ "${#lines[@]}" -ge 16 ]
}

@test "vae-model(5): the program" {
	needs_python
	run --separate-stderr -0 program vae-model.5 "$DATA/tiny.safetensors"
	assert_line --index 0 --partial "photo enc="
	assert_line --regexp "^prior.scales.bound I32 \[64\]$"
}

@test "vae(7): the program, from one digit to another" {
	needs_python
	pamcut -height 28 -width 28 "$DATA/golden/digits.pgm" >one.pgm
	export VAE_MODEL_PATH=$ROOT/models
	vae-enc -m mnist one.pgm one.pgm >two.latents
	program vae.7 <two.latents | vae-dec >walk
	assert_equal "$(kinds walk | sort | uniq -c | sed 's/^ *//')" "9 PGM RAW 28 28 1 255 GRAYSCALE"
}

# The program of vae(7): the first and the last of its nine pictures are those that it was given,
# the others lie between.
@test "vae(7): latents in other languages" {
	needs_python
	prepare
	sed -n '/^import array, sys$/,/^\.Ed$/p' "$ROOT/man/vae.7" | sed '$d; s/\\e/\\/g' >blend.py
	[ "$(wc -l <blend.py)" -gt 10 ]
	pamsplit -quiet digits.pgm digit.%d.pgm
	vae-enc -m mnist digit.0.pgm digit.1.pgm | tee two.latents | python3 blend.py | vae-dec >nine.pgm
	vae-dec two.latents >two.pgm
	pamsplit -quiet nine.pgm nine.%d.pgm
	assert_equal "$(ls nine.*.pgm | wc -l)" 9
	cat nine.0.pgm nine.8.pgm | cmp - two.pgm
	differ nine.4.pgm nine.0.pgm
	differ nine.4.pgm nine.8.pgm
	cat photo.ppm <(pamflip -lr photo.ppm) | vae-enc | python3 blend.py | vae-quant | vae-dec >fade.ppm
	assert_equal "$(kinds fade.ppm | uniq -c | tr -s ' ')" " 9 PPM RAW 256 192 3 255 RGB"
	run -1 shell "cat photo.ppm grey.pgm | vae-enc | python3 blend.py"
}

# In the README examples are indented, and begin with a program of the pipeline. Its training is one
# step of the small model.
@test "README.md" {
	prepare
	ln -s "$ROOT/models" "$ROOT/tools" "$ROOT/tests" .
	mkdir Pictures
	pngtopnm "$DATA/photo.png" | cjpeg -quality 95 >Pictures/photo.jpg
	rm x.lat # the first example makes it
	grep -E '^    (vae|vae-(enc|quant|dec|stat|train)|pngtopnm|pngtopam|cat|models/stream\.sh) ' \
		"$ROOT/README.md" |
		sed -E "s|--minutes +[0-9]+|--init '$DATA/tiny.safetensors' --steps 1 --batch 1 --patch 64|" >lines
	run_lines 19 <lines
}
