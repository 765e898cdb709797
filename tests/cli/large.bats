#!/usr/bin/env bats
# Large pictures and long streams: bands, memory, early output, many images in one process.
load helper

setup_file() {
	cd "$BATS_FILE_TMPDIR" || return 1
	photo 300 200 >part.ppm
	pnmtile 1100 2100 part.ppm >x.ppm
	pgmramp -ellipse 1100 2100 >alpha.pgm
	pamstack -tupletype RGB_ALPHA x.ppm alpha.pgm >x.pam
	vae-enc x.pam >x.latents
	vae-quant x.latents >x.lat
	vae-dec x.lat >x.out
}

A() { echo "$BATS_FILE_TMPDIR/$1"; }

@test "bands of 16, 64 and 4096 rows, one thread and three: the same bytes" {
	for band in 1 16 64 4096; do
		for threads in 1 3; do
			vae-enc --band "$band" -T "$threads" "$(A x.pam)" | cmp - "$(A x.latents)"
			vae-dec --band "$band" -T "$threads" "$(A x.lat)" | cmp - "$(A x.out)"
			vae-dec --band "$band" -T "$threads" "$(A x.latents)" >from.latents
			vae-quant -T "$threads" "$(A x.latents)" | cmp - "$(A x.lat)"
		done
		[ -e whole ] || cp from.latents whole
		cmp from.latents whole
		vae-dec --band "$band" --crop 1000,1001,99,1030 "$(A x.lat)" |
			cmp - <(pamcut -left 1000 -top 1001 -width 99 -height 1030 "$(A x.out)")
		vae-dec --band "$band" --reduce 8 "$(A x.lat)" >reduced
		[ -e small ] || cp reduced small
		cmp reduced small
	done
}

@test "-o and a band: the picture is whole or not there" {
	size=$(stat -c %s "$(A x.latents)")
	head -c $((size - 1)) "$(A x.latents)" >cut
	run vae-dec --band 16 -o y.pam cut
	[ "$status" -eq 1 ] && [ ! -e y.pam ]
	vae-dec --band 16 cut >part 2>/dev/null || true
	cmp -n "$(stat -c %s part)" part <(vae-dec "$(A x.latents)")
	[ -s part ]
	vae-dec cut >part 2>/dev/null || true # one band: whole or nothing
	[ ! -s part ]
}

# half FILE: its first three quarters, and the rest a little later, unless the reader has made nothing by then
late() {
	size=$(stat -c %s "$1")
	head -c $((size / 4 * 3)) "$1"
	for ((i = 0; i < 100; i++)); do
		[ -s early ] && break
		sleep 0.1
	done
	[ -s early ] && touch "in.time"
	tail -c +$((size / 4 * 3 + 1)) "$1"
}

@test "pixels come before the last of the latents has been read" {
	late "$(A x.latents)" | vae-dec --band 64 >early
	[ -e in.time ]
	vae-dec "$(A x.latents)" | cmp - early
}

@test "pixels come before the last of the codes has been read" {
	pgmnoise -randomseed 1 300 200 >noise.pgm
	pnmtile 1024 6000 noise.pgm | vae-enc -q 100 | vae-quant >n.lat
	late n.lat | vae-dec --band 64 -T 1 >early
	[ -e in.time ]
}

@test "memory does not grow with the picture's height" {
	[ -z "$VAE_TEST_FAST" ] || skip "memory is not what it is"
	pnmtile 512 24000 "$(A part.ppm)" >tall.ppm # 74 MB as samples
	ulimit -d 60000
	vae-enc -T 1 --band 512 tall.ppm | vae-quant -T 1 >tall.lat
	vae-dec -T 1 --band 512 tall.lat >tall.out
	pamfile tall.out | grep "512 by 24000"
	vae-quant -d -T 1 tall.lat | vae-dec -T 1 --band 512 | cmp - tall.out
	run vae-dec -T 1 --band 24000 tall.lat # so the limit is one
	[ "$status" -eq 1 ]
}

@test "500 times two small images in one process: the same bytes each time, in no more memory" {
	for ((i = 0; i < 500; i++)); do cat "$DATA/golden/one.ppm" "$DATA/golden/grey.pgm"; done >many
	vae-enc "$DATA/golden/one.ppm" "$DATA/golden/grey.pgm" | vae-quant | vae-dec >two
	for ((i = 0; i < 500; i++)); do cat two; done >want
	[ -n "$VAE_TEST_FAST" ] || ulimit -d 40000
	vae-enc -T 1 many | vae-quant -T 1 | vae-dec -T 1 | cmp - want
}

# A file that takes its time in the middle: slowly FILE
slowly() { printf "(head -c %d '%s'; sleep 1.5; tail -c +%d '%s')" $(($(size "$1") / 2)) "$1" \
	$(($(size "$1") / 2 + 1)) "$1"; }
# What stands on a terminal's line while COMMAND runs, each state of it a line: on_terminal COMMAND
on_terminal() { script -qec "$1" /dev/null </dev/null | tr '\r' '\n'; }

# says NUMBER WANTED COMMAND: in the background; NUMBER.said is for the extended regular expression
# in NUMBER.wanted
says() {
	echo "$2" >"$1.wanted"
	on_terminal "$3" >"$1.said" 3>&- &
}

@test "a terminal is told how far it is, after a second" {
	needs_terminal
	local bar='^vae-[a-z]*: \[=*> *\] *[0-9]* %$'
	photo 400 300 >x.ppm
	vae-enc x.ppm >x.latents
	vae-quant x.latents >x.lat
	# all at once, as each waits
	says 1 "$bar" "$(slowly x.ppm) | vae-enc --exact none --band 16 >1.y"
	says 2 "$bar" "$(slowly x.latents) | vae-quant >2.y"
	says 3 "$bar" "$(slowly "$(A x.latents)") | vae-dec --band 64 >3.y"
	says 4 "$bar" "$(slowly x.ppm) | vae-stat -o 4.y -r x.ppm"
	says 5 "$bar" "$(slowly x.latents) | vae-stat -o 5.y"
	says 6 '^vae-train: [0-9]* images *$' \
		"$(slowly x.ppm) | vae-train --init tiny --steps 1 --batch 1 --patch 64 -o 6.y"
	says 7 '^$' "$(slowly x.lat) | vae-quant --quiet -d >7.y"
	wait
	local i
	for i in {1..6}; do
		grep -qE "$(cat "$i.wanted")" "$i.said" || { cat "$i.wanted" "$i.said" | fail; return 1; }
	done
	assert_equal "$(cat 7.said)" ""
}

@test "nothing else is told, and nothing in less than a second" {
	needs_terminal
	vae-dec "$(A x.latents)" 2>said >y
	[ ! -s said ]
	photo 60 60 >x.ppm
	assert_equal "$(on_terminal "vae-enc x.ppm | vae-quant | vae-dec >y; vae-stat -o y y")" ""
	assert_equal "$(on_terminal "$(slowly x.ppm) | vae-enc --quiet >y")" ""
}

@test "an error takes the place of the line on a terminal" {
	needs_terminal
	photo 400 300 >x.ppm
	on_terminal "(head -c 200000 x.ppm; sleep 1.5) | vae-enc --exact none --band 16 >y" >said || true
	grep -q '%$' said
	assert_equal "$(grep . said | tail -n 1 | tr -d ' ')" \
		"vae-enc:standardinput:truncatedimage:theinputendsinsidetheraster(byte200000)"
}
