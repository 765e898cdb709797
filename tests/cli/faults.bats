#!/usr/bin/env bats
# The machine misbehaves: disks fill up, pipes dribble, system calls are interrupted, files vanish,
# the end comes at any moment. (What files.bats and train.bats have of this is not here.)
load helper

MLP="mlp width=16 height=16 hidden1=8 hidden2=8 z=2"

setup_file() {
	cd "$BATS_FILE_TMPDIR" || return 1
	photo 48 40 >x.ppm
	pgmramp -lr 48 40 | pamstack -tupletype RGB_ALPHA x.ppm - >x.pam
	vae-enc x.pam >x.latents
	vae-quant x.latents >x.lat
	vae-dec x.lat >y.pam
	vae-quant -d x.lat >y.latents
	photo 16 16 | ppmtopgm >small.pgm
	cat small.pgm small.pgm small.pgm >small.pgms
	export X=$BATS_FILE_TMPDIR
}

# Each program's command with its input and what must come of it: for_each FUNCTION, called with
# command, input, output
for_each() {
	"$1" "vae-enc" "$X/x.pam" "$X/x.latents"
	"$1" "vae-quant" "$X/x.latents" "$X/x.lat"
	"$1" "vae-quant -d" "$X/x.lat" "$X/y.latents"
	"$1" "vae-dec" "$X/x.lat" "$X/y.pam"
}

# ---- dribbling pipes and interrupted calls -------------------------------------------------------

dribble() { perl -e '$| = 1; binmode STDOUT; binmode STDIN; while (sysread STDIN, $c, 1) {
	syswrite STDOUT, $c }' <"$1"; }

byte_by_byte() {
	# shellcheck disable=SC2086 # a program and its options
	dribble "$2" | $1 | cmp - "$3"
}

@test "a pipe fed a byte at a time: every program, every kind" {
	for_each byte_by_byte
	dribble "$X/y.latents" | vae-dec | cmp - "$X/y.pam"
	for kind in x.pam x.latents x.lat; do
		diff <(dribble "$X/$kind" | vae-stat --tsv) <(vae-stat --tsv - <"$X/$kind")
	done
	dribble "$X/small.pgms" | vae-train --quiet --arch "$MLP" --steps 2 --batch 2 -T 1 -o a
	vae-train --quiet --arch "$MLP" --steps 2 --batch 2 -T 1 -o b "$X/small.pgms"
	cmp a b
	dribble a | vae-stat --tsv | cut -f 3- | diff - <(vae-stat --tsv b | cut -f 3-)
}

# alarmed COMMAND...: with a SIGALRM every 200 microseconds, for which system calls are broken off
alarmed() { FAULT_ALARM=200 shimmed "$@"; }

# slowly FILE: in pieces, with pauses that a reader spends waiting
slowly() { perl -e 'binmode STDOUT; binmode STDIN; while (sysread STDIN, $c, 700) { syswrite STDOUT, $c;
	select undef, undef, undef, 0.002 }' <"$1"; }

interrupted() {
	# shellcheck disable=SC2086
	slowly "$2" | alarmed $1 >got
	cmp got "$3"
	# shellcheck disable=SC2086
	slowly "$2" | alarmed $1 -o got
	cmp got "$3"
}

@test "interrupted system calls: reading goes on where it was" {
	for_each interrupted
	slowly "$X/x.pam" | alarmed vae-stat --tsv >got
	diff got <(vae-stat --tsv - <"$X/x.pam")
	slowly "$X/small.pgms" | alarmed vae-train --quiet --arch "$MLP" --steps 20 --batch 2 -T 1 \
		--checkpoint ckpt --log log -o a
	vae-train --quiet --arch "$MLP" --steps 20 --batch 2 -T 1 -o b "$X/small.pgms"
	cmp <(tail -c 30000 a) <(tail -c 30000 b)
}

stopped() {
	local pid i
	mkfifo slow
	# shellcheck disable=SC2086
	$1 -o got slow 3>&- &
	pid=$!
	{ slowly "$2"; } >slow &
	for ((i = 0; i < 20; i++)); do
		kill -s STOP "$pid" 2>/dev/null || break
		kill -s CONT "$pid" 2>/dev/null || break
		sleep 0.002
	done
	kill -s CONT "$pid" 2>/dev/null || :
	ends 0 "$pid"
	wait
	cmp got "$3"
	rm slow got
}

@test "stopped and continued again and again" {
	for_each stopped
}

# ---- output that cannot be written ---------------------------------------------------------------

closed() { fails 1 "standard output: *Bad file descriptor" shell "$1 '$2' >&-"; }

@test "a closed standard output is a failure, for every program" {
	for_each closed
	fails 1 "standard output: *Bad file descriptor" shell "vae-stat -T 1 '$X/x.lat' >&-"
	fails 1 "standard output: *Bad file descriptor" shell \
		"vae-train --quiet --arch '$MLP' --steps 1 --batch 1 '$X/small.pgm' >&-"
	fails 1 "standard output: *Bad file descriptor" shell \
		"vae-dec -m '$ROOT/models/mnist-1.safetensors' --sample 1 >&-"
}

@test "training onto a full disk" {
	fails 1 "standard output: *No space left" shell \
		"vae-train --quiet --arch '$MLP' --steps 1 --batch 1 '$X/small.pgm' >/dev/full"
	fails 1 "/dev/full: *No space left" vae-train --quiet --arch "$MLP" --steps 1 --batch 1 -o /dev/full \
		"$X/small.pgm"
	fails 1 "log /dev/full: *No space left" vae-train --quiet --arch "$MLP" --steps 1 --batch 1 \
		--log /dev/full -o out "$X/small.pgm"
	fails 1 "No space left" vae-dec -m "$ROOT/models/mnist-1.safetensors" --sample 3 -o /dev/full
	only
}

@test "a checkpoint that finds no room leaves the one before, and nothing beside it" {
	vae-train --quiet --arch "$MLP" --steps 2 --batch 2 -T 1 --checkpoint ckpt -o model "$X/small.pgms"
	cp ckpt before
	fails 1 "checkpoint ckpt: File too large" bash -c 'trap "" XFSZ; ulimit -f 8
		exec vae-train --quiet --arch "$0" --steps 4 --batch 2 -T 1 --checkpoint ckpt --resume -o new "$1"' \
		"$MLP" "$X/small.pgms"
	cmp ckpt before
	only ckpt before model
	# what it held goes on
	vae-train --quiet --arch "$MLP" --steps 4 --batch 2 -T 1 --checkpoint ckpt --resume -o new "$X/small.pgms"
	vae-train --quiet --arch "$MLP" --steps 4 --batch 2 -T 1 -o whole "$X/small.pgms"
	cmp <(tail -c 30000 new) <(tail -c 30000 whole)
}

# ---- files that vanish ---------------------------------------------------------------------------

# begun COMMAND INPUT: the command runs with -o folder/out, which is open, and waits for the rest of its input
begun() {
	mkdir folder
	mkfifo slow
	# shellcheck disable=SC2086
	$1 -o folder/out slow 3>&- 2>err &
	pid=$!
	exec 4>slow
	head -c 30 "$2" >&4
}

rest() {
	tail -c +31 "$1" >&4
	exec 4>&-
}

vanished() {
	begun "$1" "$2"
	rm -r folder
	rest "$2"
	ends 1 "$pid"
	assert_regex "$(cat err)" "^vae-[a-z]*: folder/out: No such file or directory$"
	only err slow
	rm slow
}

@test "the folder of -o vanishes: a failure in words" {
	for_each vanished
}

model_vanished() {
	cp "$DATA/tiny.safetensors" m.safetensors
	VAE_MODEL_PATH=$PWD begun "${1/vae-enc/vae-enc -m m}" "$2"
	rm m.safetensors
	# the others learn the model's id from the stream
	[ "$1" = vae-enc ] || cp "$DATA/tiny.safetensors" m.safetensors
	rest "$2"
	ends 0 "$pid"
	cmp folder/out "$3"
	rm -rf folder slow m.safetensors err
}

@test "a model that is removed or replaced while it is in use stays in use" {
	for_each model_vanished
}

@test "an input that grows shorter while it is read is truncated, one that is removed is read to its end" {
	photo 400 300 >large.ppm
	vae-enc large.ppm >expected
	mkfifo slow
	vae-enc -o out slow large.ppm 3>&- 2>err &
	local pid=$!
	exec 4>slow
	cat "$X/x.ppm" >&4
	truncate -s 100000 large.ppm
	exec 4>&-
	ends 1 "$pid"
	assert_regex "$(cat err)" "^vae-enc: large.ppm: truncated image.*\(byte 100000\)$"
	only large.ppm expected slow err
	photo 400 300 | vae-enc | cmp - expected
	photo 400 300 >large.ppm
	{ vae-enc && rm large.ppm; } <large.ppm | cmp - expected
}

# ---- file systems that can do less ---------------------------------------------------------------

@test "no files without a name: -o is whole or not there all the same" {
	export FAULT_NAMELESS=1
	for_each nameless_not
	echo old >out
	chmod 640 out
	shimmed vae-enc -o out "$X/x.pam"
	cmp out "$X/x.latents"
	assert_equal "$(stat -c %a out)" 640
	(umask 027 && shimmed vae-enc -o new "$X/x.pam")
	assert_equal "$(stat -c %a new)" 640
	mkfifo slow
	shimmed vae-enc -o out slow 3>&- 2>err &
	exec 4>slow
	compgen -G ".out.*" >/dev/null # so the shim does its work
	exec 4>&-
	ends 1 "$!"
	only out new slow err
	cmp out "$X/x.latents"
}

nameless_not() {
	# shellcheck disable=SC2086
	shimmed $1 -o out "$2"
	cmp out "$3"
	head -c 100 "$2" >short
	# shellcheck disable=SC2086
	run -1 shimmed $1 -o out short
	cmp out "$3"
	only out short
	rm out short
}

@test "what cannot be flushed to its disk does not take its name" {
	echo old >out
	FAULT_SYNC=1 fails 1 "out: Input/output error" shimmed vae-enc -o out "$X/x.pam"
	assert_equal "$(cat out)" old
	FAULT_NAMELESS=1 FAULT_SYNC=1 fails 1 "new: Input/output error" shimmed vae-enc -o new "$X/x.pam"
	only out
}

# ---- the end at any moment -----------------------------------------------------------------------

terminated() {
	local i pid status
	for i in 0 1 2 3 4 5 6 7 8 9 10 12 14 17 20 25 30; do
		echo old >out
		: >err # the signal may come before the shell has made it
		# shellcheck disable=SC2086
		plainly $1 -T 1 -o out "$2" 3>&- 2>err &
		pid=$!
		sleep "$(printf '0.%03d' "$i")"
		kill -s TERM "$pid" 2>/dev/null || :
		status=0
		wait "$pid" || status=$?
		[ "$status" = 0 ] || assert_equal "$status" 143
		[ "$status" = 143 ] && [ "$(head -c 3 out)" = old ] ||
			cmp out "$3" # the signal may come behind the renaming
		only out err
	done
}

@test "TERM at any moment: the file behind -o is the old one or the new one, and nothing is left beside it" {
	for_each terminated
}

@test "KILL at any moment of a training that does nothing but write checkpoints: there is always a whole one" {
	local i pid
	for i in 1 2 3 4 5 6 7 8; do
		vae-train --quiet --arch "$MLP" --steps 100000000 --batch 1 -T 1 --checkpoint ckpt \
			--resume --checkpoint-minutes 0.0000001 -o out \
			"$X/small.pgm" 3>&- &
		pid=$!
		wait_for test -s ckpt
		sleep "0.0$i"
		kill -s KILL "$pid"
		ends 137 "$pid"
		assert_not_exist out
		vae-train --quiet --arch "$MLP" --steps 1 --batch 1 -T 1 --checkpoint ckpt --resume -o model \
			"$X/small.pgm"
		rm -f model ckpt.tmp # what KILL leaves the next checkpoint writes over
	done
}
