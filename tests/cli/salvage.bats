#!/usr/bin/env bats
# vae-dec --salvage: of damaged codes, every image and every slice that is whole comes back, bit for
# bit; the rest is grey, and is named.
load helper

# two.lat: a picture of 2 x 2 slices, whose right and lower ones are 76 pixels wide, and a small one
# of a single slice with alpha.
setup_file() {
	cd "$BATS_FILE_TMPDIR" || return 1
	export X=$BATS_FILE_TMPDIR
	pngtopnm "$DATA/photo.png" | pamscale -xsize 1100 -ysize 1100 >x.ppm
	photo 40 24 >small.ppm
	pamstack -tupletype RGB_ALPHA small.ppm <(pgmramp -lr 40 24) >a.pam
	vae-enc -q 60 x.ppm | vae-quant >x.lat
	vae-enc a.pam | vae-quant >a.lat
	cat x.lat a.lat >two.lat
	vae-dec two.lat >two.pam
	vae-dec x.lat >x.out
	vae-dec a.lat >a.out
	N=$(size x.lat)
	export N
}

# salvaged FILE LINES: exit status 1, so many lines on stderr; the pictures go to ./out
salvaged() {
	run --separate-stderr -1 vae-dec --salvage -o out "$1"
	[ "${#stderr_lines[@]}" = "$2" ] || { printf '%s\n' "$stderr" |
		batslib_decorate "not $2 lines on stderr" | fail; }
}

# damaged PATTERN FILE: as salvaged, with one line that matches
damaged() {
	salvaged "$2" 1
	[[ ${stderr_lines[0]} == vae-dec:\ $2:\ $1 ]] || fail "another message: $stderr"
}

# window LEFT TOP WIDTH HEIGHT: that the first picture of ./out is right there
window() {
	cmp <(pamcut -left "$1" -top "$2" -width "$3" -height "$4" <out) \
		<(pamcut -left "$1" -top "$2" -width "$3" -height "$4" <"$X/x.out") ||
		fail "pixels of the window $* differ"
}

# grey LEFT TOP WIDTH HEIGHT: that all of it is 128
grey() {
	cmp <(pamcut -left "$1" -top "$2" -width "$3" -height "$4" <out) <(ppmmake rgb:80/80/80 "$3" "$4") ||
		fail "the window $* is not grey"
}

# What is behind the first picture of ./out is the second one.
second() { tail -c "$(size "$X/a.out")" out | cmp - "$X/a.out"; }
both() { assert_equal "$(size out)" "$(size "$X/two.pam")" && second; }

# Places of the four slices of x.lat, whose frame holds one raw block: the contents begin 12 bytes
# behind the frame's start or so.
slice() {
	perl -e 'local $/; open F, "<:raw", $ARGV[1] or die; my $s = <F>; my $p = index($s, "VAEC") + 34;
		$p += 8 + unpack("V", substr $s, $p, 4) for 1 .. $ARGV[0]; print $p' "$1" "$X/x.lat"
}

@test "nothing damaged: the same bytes, status 0" {
	quiet vae-dec --salvage -o out "$X/two.lat"
	cmp out "$X/two.pam"
	shell "cat '$X/x.lat' '$X/a.lat' | vae-dec --salvage | cmp - '$X/two.pam'"
	zstd -dcq <"$X/two.lat" | zstd -q >one.lat # two images in one frame
	quiet vae-dec --salvage -o out one.lat
	cmp out "$X/two.pam"
	zstd -dcq <"$X/two.lat" >content
	{ head -c 5000 content | zstd -q; tail -c +5001 content | zstd -q; } >span.lat # an image in two frames
	quiet vae-dec --salvage -o out span.lat
	cmp out "$X/two.pam"
	zstd -q </dev/null >empty.zst
	quiet vae-dec --salvage -o out empty.zst "$X/two.lat" empty.zst
	cmp out "$X/two.pam"
}

# skippable FILE: a skippable frame that holds FILE
skippable() { perl -0777 -ne 'binmode STDOUT; print pack("a4V", "P*M\030", length), $_' "$1"; }

@test "skippable frames are passed over, whatever they hold" {
	printf 'abcde' >words
	: >nothing
	{ skippable words; cat "$X/two.lat"; } >front
	{ skippable "$X/a.lat"; skippable nothing; cat "$X/x.lat"; skippable "$X/a.lat"; skippable words
	cat "$X/a.lat"; skippable "$X/x.lat"; } >many
	skippable many >inner
	cat front inner >nested
	for file in front many nested; do
		quiet vae-dec --salvage -o out "$file"
		cmp out "$X/two.pam"
	done
	quiet vae-dec -o out many
	cmp out "$X/two.pam"
	{ cat "$X/x.lat"; printf junk; skippable "$X/a.lat"; } >junk
	damaged "between images: skipped 4 bytes of junk (byte $N)" junk
	cmp out "$X/x.out"
	{ flip "$X/x.lat" "$(($(slice 3) + 100))"; skippable "$X/a.lat"; } >bad
	salvaged bad 1
	cmp <(head -c 1000 out) <(head -c 1000 "$X/x.out")
	assert_equal "$(size out)" "$(size "$X/x.out")"
	{ head -c $((N - 20)) "$X/x.lat"; skippable "$X/a.lat"; } >cut
	salvaged cut 1
	assert_equal "$(size out)" "$(size "$X/x.out")"
	# a length that leads nowhere hides nothing
	{ printf 'P*M\030\7\0\0\0abcde'; cat "$X/two.lat"; } >wrong
	damaged "between images: skipped 13 bytes of junk (byte 0)" wrong
	cmp out "$X/two.pam"
	{ printf 'P*M\030\377\377\377\377abcde'; cat "$X/two.lat"; } >wrong
	damaged "between images: skipped 13 bytes of junk (byte 0)" wrong
	cmp out "$X/two.pam"
}

@test "a byte of a slice's payload" {
	local at
	at=$(($(slice 0) + 100))
	flip "$X/two.lat" "$at" >bad
	damaged \
		"image 1, slice in row 0, column 0 (1024 x 1024 pixels from 0,0 on): its checksum is wrong (byte $(slice 0))" bad
	both
	grey 0 0 1024 1024
	flip "$X/two.lat" $(($(slice 1) + 20)) >bad
	damaged \
		"image 1, slice in row 0, column 1 (76 x 1024 pixels from 1024,0 on): its checksum is wrong (byte $(slice 1))" bad
	both
	grey 1024 0 76 1024
	window 0 0 912 900
	window 0 1024 912 76
	differ <(pamcut -left 1000 -width 20 <out) <(pamcut -left 1000 -width 20 <"$X/x.out") ||
		fail "the synthesis does not look around"
	flip "$X/two.lat" $(($(slice 3) + 20)) >bad
	damaged "image 1, slice in row 1, column 1 (76 x 76 pixels from 1024,1024 on): its checksum is wrong*" bad
	both
	grey 1024 1024 76 76
	window 0 0 1100 912
	window 0 0 912 1100
	# and of two
	flip "$X/two.lat" $(($(slice 1) + 20)) >worse
	flip worse $(($(slice 2) + 20)) >bad
	salvaged bad 2
	both
	grey 1024 0 76 1024
	grey 0 1024 1024 76
	window 0 0 912 912
}

@test "what a slice says of its length, and its checksum" {
	local nth at
	for nth in 0 1 2; do
		at=$(slice "$nth")
		flip "$X/two.lat" "$at" >bad # still possible
		damaged "image 1, slice in row $((nth / 2)), column $((nth % 2)) *" bad
		both
		flip "$X/two.lat" $((at + 3)) >bad # gigabytes
		damaged "image 1, slice in row $((nth / 2)), column $((nth % 2)) *: it claims *" bad
		both
		flip "$X/two.lat" $((at + 5)) >bad
		damaged "image 1, slice in row $((nth / 2)), column $((nth % 2)) *: its checksum is wrong *" bad
		both
	done
	window 0 0 1100 912
	grey 0 1024 1024 76
}

@test "the zstd frame: its header, its block's header, its checksum" {
	local at first=0
	at=$(perl -0777 -ne 'print index($_, "VAEC")' "$X/x.lat")
	for first in 4 5 6 $((at - 3)) $((at - 2)) $((at - 1)) $((N - 1)) $((N - 4)); do
		flip "$X/two.lat" "$first" >bad
		damaged "image 1: zstd*: what it holds is whole (byte *)" bad
		cmp out "$X/two.pam"
	done
	flip "$X/two.lat" 1 >bad
	damaged "between images: skipped $N bytes of junk (byte 0)" bad
	cmp out "$X/a.out"
	flip "$X/two.lat" $((N + 1)) >bad
	damaged "between images: skipped * bytes of junk (byte $N)" bad
	cmp out "$X/x.out"
}

@test "an image's header" {
	local at
	at=$(perl -0777 -ne 'print index($_, "VAEC")' "$X/x.lat")
	for at in "$at" $((at + 5)) $((at + 17)) $((at + 31)); do
		flip "$X/two.lat" "$at" >bad
		damaged "image 1: *: the image is lost (byte *)" bad
		cmp out "$X/a.out"
	done
	cat "$X/a.lat" bad "$X/a.lat" >more
	damaged "image 2: *: the image is lost (byte *)" more
	cmp out <(cat "$X/a.out" "$X/a.out" "$X/a.out")
}

@test "bytes lost, and bytes too many" {
	local nth at
	for nth in 0 1 2 3; do
		at=$(($(slice "$nth") + 30))
		{ head -c "$at" "$X/two.lat"; tail -c +$((at + 10)) "$X/two.lat"; } >bad
		damaged "image 1, slice in row $((nth / 2)), column $((nth % 2)) *" bad
		both
		{ head -c "$at" "$X/two.lat"; echo "more of it"; tail -c +$((at + 1)) "$X/two.lat"; } >bad
		damaged "image 1, slice in row $((nth / 2)), column $((nth % 2)) *" bad
		both
	done
	window 0 0 1100 912
}

@test "a file cut short" {
	head -c $(($(slice 2) + 5)) "$X/x.lat" >bad
	salvaged bad 2
	assert_equal "$(size out)" "$(size "$X/x.out")"
	window 0 0 1100 912
	grey 0 1024 1100 76
	head -c $(($(slice 0) + 5)) "$X/x.lat" >bad
	salvaged bad 4
	grey 0 0 1100 1100
	cat bad "$X/a.lat" >then # and another behind
	salvaged then 4
	both
	head -c $((N + 60)) "$X/two.lat" >bad
	salvaged bad 1
	head -c "$(size "$X/x.out")" out | cmp - "$X/x.out"
	head -c 30 "$X/x.lat" >bad
	fails_with_nothing bad
}

fails_with_nothing() {
	rm -f out
	run --separate-stderr -1 vae-dec --salvage -o out "$1"
	assert_regex "${stderr_lines[-1]}" "nothing could be salvaged"
	[ ! -e out ] || fail "a file is left"
}

@test "junk in front, between and behind" {
	{ echo junk; cat "$X/x.lat"; head -c 300000 /dev/zero; cat "$X/a.lat"; echo "(end)"; } >bad
	salvaged bad 3
	assert_regex "${stderr_lines[0]}" "between images: skipped 5 bytes of junk \(byte 0\)"
	assert_regex "${stderr_lines[1]}" "between images: skipped 300000 bytes of junk \(byte $((N + 5))\)"
	assert_regex "${stderr_lines[2]}" "between images: skipped 6 bytes"
	cmp out "$X/two.pam"
	{ zstd -dcq <"$X/x.lat"; echo "some rubbish, and then some more of it"; zstd -dcq <"$X/a.lat"; } |
		zstd -q >bad
	salvaged bad 1
	cmp out "$X/two.pam"
	head -c 100000 /dev/zero >zeros
	fails_with_nothing zeros
	head -c 100000 /dev/zero | zstd -q >zeros.zst
	fails_with_nothing zeros.zst
	vae-enc "$X/small.ppm" >latents
	fails_with_nothing latents
}

@test "several operands, names and offsets within them; the model is missing" {
	flip "$X/a.lat" -8 >bad.lat
	run --separate-stderr -1 vae-dec --salvage -o out "$X/x.lat" bad.lat "$X/a.lat"
	assert_equal "${#stderr_lines[@]}" 1
	assert_regex "$stderr" "vae-dec: bad.lat: image 2, slice in row 0, column 0 .*\(byte [0-9]{1,3}\)"
	second
	run --separate-stderr -0 vae-dec --salvage -v -o out "$X/x.lat" "$X/a.lat"
	assert_regex "${stderr_lines[0]}" "vae-dec: [^ ]*/x\.lat"
	assert_regex "${stderr_lines[1]}" "vae-dec: [^ ]*/a\.lat"
	VAE_MODEL_PATH=/nowhere fails_with_nothing "$X/a.lat"
	VAE_MODEL_PATH=/nowhere run --separate-stderr -1 vae-dec --salvage -o out "$X/x.lat" "$X/a.lat"
	assert_regex "${stderr_lines[1]}" "vae-dec: [^ ]*/a\.lat: no model"
}

@test "alpha is opaque where it is lost, grey is mid-grey for any maxval" {
	flip "$X/a.lat" -8 >bad.lat
	salvaged bad.lat 1
	assert_equal "$(kinds out)" "$(kinds "$X/a.out")"
	cmp out <(pamstack -tupletype RGB_ALPHA <(ppmmake rgb:80/80/80 40 24) <(pgmmake 1 40 24))
	vae-enc "$DATA/golden/deep.ppm" | vae-quant >deep.lat
	flip deep.lat -8 >bad.lat
	salvaged bad.lat 1
	assert_equal "$(pamsumm -min -brief out)" 32768
	assert_equal "$(pamsumm -max -brief out)" 32768
}

@test "method zstd: what is compressed together is lost together, the next image is not" {
	shell "vae-enc -q 60 '$X/x.ppm' | vae-quant --method zstd >z.lat"
	cat z.lat "$X/a.lat" >two
	flip two 9000 >bad
	run --separate-stderr -1 vae-dec --salvage -o out bad
	both
}

@test "the same from any number of threads, and piece by piece" {
	flip "$X/two.lat" $(($(slice 1) + 20)) >bad
	salvaged bad 1
	run -1 vae-dec --salvage -T 3 --band 7 -o other bad
	cmp out other
	run -1 bash -c 'perl -e '\''$| = 1; while (sysread STDIN, $b, 700) {
		syswrite STDOUT, $b }'\'' <bad | vae-dec --salvage -o other'
	cmp out other
}

@test "--salvage goes with neither --crop, --reduce nor --sample" {
	fails 2 "--crop" vae-dec --salvage --crop 0,0,1,1 "$X/a.lat"
	fails 2 "--reduce" vae-dec --salvage --reduce 4 "$X/a.lat"
	fails 2 "--sample" vae-dec --salvage --sample 1
}

@test "random damage: never a crash, the second picture always comes back" {
	local seed
	for seed in $(seq 60); do
		perl -e 'local $/; srand $ARGV[1]; open F, "<:raw", $ARGV[0] or die; my $s = <F>; my $n = $ARGV[2];
			for (0 .. rand 5) { my $at = int rand($n - 20); my $k = int rand 3; my $few = int rand 12;
				if ($k == 0) { substr($s, $at, 1) = chr rand 256 } elsif ($k == 1) {
				substr($s, $at, $few) = ""; $n -= $few } else
				{ substr($s, $at, 0) = "x" x $few; $n += $few } } binmode STDOUT; print $s' "$X/two.lat" \
				"$seed" "$N" >bad
		run --separate-stderr limited vae-dec --salvage -o out bad
		[ "$status" = 1 ] || cmp bad "$X/two.lat" || [ "$status" = 0 ] ||
			fail "status $status of damage $seed"
		second || fail "damage $seed"
	done
}
