#!/usr/bin/env bats
# Output is whole or not there: -o, full disks, terminals, signals, and readers that go away.
load helper

setup_file() {
	cd "$BATS_FILE_TMPDIR" || return 1
	photo 48 40 >x.ppm
	vae-enc x.ppm >x.latents
	vae-quant x.latents >x.lat
	vae-dec x.lat >y.ppm
	head -c 2000 x.ppm >short.ppm
	head -c 500 x.latents >short.latents
	head -c 100 x.lat >short.lat
	export X=$BATS_FILE_TMPDIR
}

@test "-o writes what stdout would get" {
	quiet vae-enc -o a "$X/x.ppm"
	quiet vae-quant --output b a
	quiet vae-dec --output=c b
	quiet vae-quant -d -o d b
	quiet vae-stat -o e --tsv c
	assert_output ""
	cmp a "$X/x.latents"
	cmp b "$X/x.lat"
	cmp c "$X/y.ppm"
	vae-quant -d b | cmp - d
	vae-stat --tsv c | cmp - e
	vae-enc -o - a.ppm <"$X/x.ppm" 2>/dev/null && fail "a.ppm is not there"
	vae-enc -o - "$X/x.ppm" | cmp - a
	only a b c d e
}

@test "-o replaces a file, keeps its mode, and goes through a symbolic link" {
	echo old >a
	chmod 640 a
	ln -s a link
	vae-enc -o link "$X/x.ppm"
	assert_link_exist link
	cmp a "$X/x.latents"
	assert_equal "$(stat -c %a a)" 640
	(umask 027 && vae-enc -o new "$X/x.ppm")
	assert_equal "$(stat -c %a new)" 640
	only a link new
}

@test "-o may name the input" {
	cp "$X/x.ppm" same
	vae-enc -o same same
	cmp same "$X/x.latents"
	vae-quant -o same same
	cmp same "$X/x.lat"
	vae-dec -o same same
	cmp same "$X/y.ppm"
}

@test "-o to a pipe or device writes straight into it" {
	mkfifo pipe
	cat pipe >got &
	vae-enc -o pipe "$X/x.ppm"
	wait
	cmp got "$X/x.latents"
	vae-enc -o /dev/null "$X/x.ppm"
	[ -p pipe ]
}

@test "a failure leaves no file behind -o, and an existing one as it was" {
	local p
	for p in "vae-enc|$X/short.ppm" "vae-quant|$X/short.latents" "vae-dec|$X/short.lat" \
		"vae-dec|$X/short.latents" "vae-quant -d|$X/short.lat"; do
		# shellcheck disable=SC2086 # a program and its options
		fails 1 "truncated" ${p%|*} -o new "${p#*|}"
		echo old >old
		# shellcheck disable=SC2086
		fails 1 "truncated" ${p%|*} -o old "${p#*|}"
		assert_equal "$(cat old)" old
		only old
		rm old
	done
}

@test "a failure after good images leaves no file either" {
	fails 1 "truncated" vae-enc -o new "$X/x.ppm" "$X/short.ppm"
	fails 1 "truncated" vae-dec -o new "$X/x.lat" "$X/short.lat"
	fails 1 "truncated" vae-quant -o new "$X/x.latents" "$X/short.latents"
	only
	# on stdout, what was good has gone before
	vae-dec "$X/x.lat" "$X/short.lat" >got 2>/dev/null && fail "it should fail"
	cmp got "$X/y.ppm"
}

@test "the message names the operand and the byte" {
	fails 1 "$X/short.ppm: truncated image*(byte 2000)" vae-enc -o new "$X/x.ppm" "$X/short.ppm"
	fails 1 "$X/short.lat: *(byte 100)" vae-dec -o new "$X/x.lat" "$X/short.lat"
	fails 1 "standard input: truncated" shell "vae-enc -o new < $X/short.ppm"
}

@test "a folder that is not there, or not for writing; a folder as output" {
	fails 1 "no/x: No such file or directory" vae-enc -o no/x "$X/x.ppm"
	mkdir folder
	fails 1 "folder: Is a directory" vae-quant -o folder "$X/x.latents"
	fails 1 "folder/: Is a directory" vae-dec -o folder/ "$X/x.lat"
	fails 1 "No such file" vae-train --steps 1 -o no/x "$X/x.ppm"
	only folder
}

@test "files that are not there, folders, and files that may not be read" {
	local p
	for p in vae-enc vae-quant vae-dec vae-stat; do
		fails 1 "no/such: No such file or directory" "$p" -o out no/such
		fails 1 ".: Is a directory" "$p" -o out .
	done
	fails 1 "no/such: No such file" vae-quant -t no/such
	fails 1 "no/such: No such file" vae-train --steps 1 -o out no/such
	run --separate-stderr -1 vae-stat -o out -r no/such "$X/x.ppm"
	assert_equal "${stderr_lines[0]}" "vae-stat: no/such: No such file or directory"
	fails 1 "no/such: No such file" vae-enc -o out "$X/x.ppm" no/such
	only
}

@test "empty input is a failure" {
	local p
	: >empty
	for p in vae-enc vae-quant "vae-quant -d" vae-dec vae-stat "vae-quant -t" "vae-train --steps 1 -o out"; do
		fails 1 "empty input" shell "$p < /dev/null"
		fails 1 "empty: empty input" shell "$p empty"
	done
	only empty
}

@test "a closed standard input is a failure" {
	local p
	for p in vae-enc vae-quant vae-dec vae-stat; do
		fails 1 "standard input: *Bad file descriptor" shell "$p <&-"
	done
}

@test "a full disk is a failure" {
	fails 1 "standard output: *No space left" shell 'vae-enc "$X/x.ppm" > /dev/full'
	fails 1 "standard output: *No space left" shell 'vae-quant "$X/x.latents" > /dev/full'
	fails 1 "standard output: *No space left" shell 'vae-quant -d "$X/x.lat" > /dev/full'
	fails 1 "standard output: *No space left" shell 'vae-dec "$X/x.lat" > /dev/full'
	fails 1 "standard output: *No space left" shell 'vae-stat "$X/x.ppm" > /dev/full'
	fails 1 "standard output: *No space left" shell 'vae-stat --json "$X/x.lat" > /dev/full'
	fails 1 "standard output: *No space left" shell 'vae-stat --heatmap "$X/x.lat" "$X/x.lat" > /dev/full'
	fails 1 "standard output: *No space left" shell 'vae-stat --planes "$X/x.latents" > /dev/full'
	fails 1 "/dev/full: *No space left" vae-dec -o /dev/full "$X/x.lat"
	fails 1 "/dev/full: *No space left" vae-stat -o /dev/full "$X/x.lat"
}

@test "a closed standard output is a failure" {
	fails 1 "standard output: *Bad file descriptor" shell 'vae-dec "$X/x.lat" >&-'
	fails 1 "standard output: *Bad file descriptor" shell 'vae-stat "$X/x.ppm" >&-'
}

@test "closed standard streams are no reason to write or read elsewhere" {
	vae-enc -v -o out "$X/x.ppm" 2>&-
	cmp out "$X/x.latents"
	vae-enc -v -o out "$X/x.ppm" <&- >&- 2>&-
	cmp out "$X/x.latents"
	fails 1 "standard input: *Bad file descriptor" shell "vae-dec -o new <&-"
	run -1 shell "vae-dec '$X/short.lat' -o new 2>&-"
	assert_not_exist new
}

@test "the message is one line whatever the file is called" {
	fails 1 "No such file" vae-enc $'no\nsuch\rfile\e[31m'
	[[ $stderr != *[$'\r\e']* ]]
	cp "$X/short.lat" $'short\n.lat'
	fails 1 "truncated" vae-dec -o new $'short\n.lat'
}

@test "a limit on the file's size leaves nothing behind" {
	photo 400 300 >large.ppm
	fails 1 "File too large" bash -c 'trap "" XFSZ; ulimit -f 8; exec vae-enc -o new large.ppm'
	only large.ppm
}

# in_terminal COMMAND: its output, as a terminal would show it. Nobody types: not even the end of
# file, which would be echoed.
in_terminal() {
	[ -p keyboard ] || mkfifo keyboard
	script -qec "$1" /dev/null 0<>keyboard
}

@test "binary is not written to a terminal, unless -f" {
	needs_terminal
	local p
	for p in "vae-enc '$X/x.ppm'" "vae-quant '$X/x.latents'" "vae-quant -d '$X/x.lat'" "vae-dec '$X/x.lat'" \
		"vae-train --steps 1 '$X/x.ppm'" \
		"vae-dec --sample 1" "vae-stat --heatmap '$X/x.lat'" "vae-stat --planes '$X/x.latents'" \
		"vae-dec -o /dev/tty '$X/x.lat'"; do
		run -1 in_terminal "$p"
		assert_output --regexp "^vae-[a-z]*: .* is a terminal; -f writes binary data to it anyway"
		assert_equal "${#lines[@]}" 1
	done
	run -0 in_terminal "vae-dec -f '$X/x.lat' | cat"
	in_terminal "stty raw -echo; vae-dec -f '$X/x.lat'" | cmp - "$X/y.ppm"
	in_terminal "stty raw -echo; vae-dec --force '$X/x.lat'" | cmp - "$X/y.ppm"
}

@test "reports and help may go to a terminal" {
	needs_terminal
	run -0 in_terminal "vae-stat '$X/x.ppm'"
	assert_output --partial "48"
	run -0 in_terminal "vae-enc --help"
	assert_output --partial "Usage"
	run -0 in_terminal "vae-quant -t '$X/x.lat'"
}

# to_nobody COMMAND...: into a pipe that nobody reads any more
to_nobody() (
	rm -f nobody
	mkfifo nobody
	exec 8<>nobody 9>nobody 8<&-
	"$@" >&9
)

# waiting COMMAND...: the command waits for input, its output is open: $pid; what goes to descriptor
# 4 is its input
waiting() {
	rm -f slow
	mkfifo slow
	"$@" 3>&- 2>err &
	pid=$!
	exec 4>slow
}

@test "whatever ends a program, nothing is left of -o, and the program ends as it should" {
	local signal pid
	has_nameless || skip "file system without O_TMPFILE"
	ulimit -c 0
	for signal in TERM INT HUP PIPE QUIT ALRM XCPU XFSZ ABRT KILL; do
		waiting plainly vae-enc -o out slow
		cat "$X/x.ppm" >&4
		only err slow
		kill -s "$signal" "$pid"
		ends "$((128 + $(kill -l "$signal")))" "$pid"
		exec 4>&-
		assert_equal "$(cat err)" ""
		only err slow
	done
}

@test "nor of one that a limit ends, or a reader of its report that goes away" {
	photo 400 300 >large.ppm
	run ! bash -c 'ulimit -f 20 -c 0; exec vae-enc -o new large.ppm'
	only large.ppm
	run --separate-stderr -141 to_nobody plainly sh -c 'exec vae-enc -v -o new "$X/x.ppm" "$X/x.ppm" 2>&1'
	only large.ppm nobody
}

@test "TERM leaves the file that was there before" {
	local pid
	has_nameless || skip "file system without O_TMPFILE"
	echo old >out
	waiting plainly vae-dec -o out slow
	head -c 100 "$X/x.lat" >&4
	kill -s TERM "$pid"
	ends 143 "$pid"
	exec 4>&-
	assert_equal "$(cat out)" old
	only err out slow
}

@test "signals that were ignored stay ignored" {
	local pid
	waiting bash -c 'trap "" HUP; exec vae-enc -o out slow'
	kill -s HUP "$pid"
	cat "$X/x.ppm" >&4
	exec 4>&-
	ends 0 "$pid"
	cmp out "$X/x.latents"
}

# ---- files that cannot be replaced ---------------------------------------------------------------

@test "-o /dev/stdout writes where the shell's redirection stands" {
	local name
	ln -s /dev/stdout link
	for name in /dev/stdout /dev/fd/1 /proc/self/fd/1 link out; do
		(printf HEAD && vae-dec -o "$name" "$X/x.lat" && printf TAIL) >out
		{ printf HEAD && cat "$X/y.ppm" && printf TAIL; } | cmp - out
	done
	printf HEAD >out
	vae-dec -o /dev/stdout "$X/x.lat" >>out
	{ printf HEAD && cat "$X/y.ppm"; } | cmp - out
	(printf HEAD >&5 && vae-dec -o /dev/fd/5 "$X/x.lat" && printf TAIL >&5) 5>out
	{ printf HEAD && cat "$X/y.ppm" && printf TAIL; } | cmp - out
	(printf HEAD >&2 && vae-dec -o /dev/stderr "$X/x.lat") 2>out
	{ printf HEAD && cat "$X/y.ppm"; } | cmp - out
	vae-dec -o /dev/stdout "$X/x.lat" | cmp - "$X/y.ppm"
	only link out
	fails 1 "/dev/fd/77: Bad file descriptor" vae-dec -o /dev/fd/77 "$X/x.lat"
	fails 1 "/dev/stdout: *Bad file descriptor" shell 'vae-dec -o /dev/stdout "$X/x.lat" >&-'
}

@test "a file that may be written, in a folder that may not, is written over, but not by half" {
	mkdir folder
	echo old >folder/out
	chmod 666 folder/out
	chmod 555 folder
	run -0 unprivileged vae-enc -o folder/out "$X/x.ppm"
	cmp folder/out "$X/x.latents"
	assert_equal "$(stat -c %a folder/out)" 666
	fails 1 "truncated" unprivileged vae-enc -o folder/out "$X/x.ppm" "$X/short.ppm"
	cmp folder/out "$X/x.latents"
	unprivileged vae-quant -o folder/out folder/out # its own input
	cmp folder/out "$X/x.lat"
	fails 1 "folder/new: Permission denied" unprivileged vae-enc -o folder/new "$X/x.ppm"
	TMPDIR=/no/such fails 1 "folder/out: No such file" unprivileged vae-enc -o folder/out "$X/x.ppm"
	cmp folder/out "$X/x.lat"
	chmod 755 folder
}

@test "a file that may not be written stays" {
	echo old >out
	chmod 444 out
	fails 1 "out: Permission denied" unprivileged vae-enc -o out "$X/x.ppm"
	assert_equal "$(cat out)" old
	only out
}

@test "a file that another one is mounted on is written over" {
	unshare -rm true 2>err || skip "kernel without unshare -rm"
	echo old >a
	echo mounted >b
	unshare -rm sh -ec 'mount --bind a b; vae-enc -o b "$X/x.ppm"; vae-quant -o b b'
	cmp a "$X/x.lat"
	assert_equal "$(cat b)" mounted
	only a b err
}

@test "a reader that goes away ends a filter silently" {
	local p
	for p in "vae-enc $X/x.ppm" "vae-dec $X/x.lat" "vae-quant $X/x.latents" "vae-stat $X/x.lat"; do
		# shellcheck disable=SC2086 # a program and its operand
		run --separate-stderr -141 to_nobody plainly $p
		assert_equal "$stderr" ""
	done
}

@test "EPIPE where SIGPIPE is ignored is a failure in words" {
	trap '' PIPE
	fails 1 "standard output: *Broken pipe" to_nobody vae-dec "$X/x.lat"
	fails 1 "standard output: *Broken pipe" to_nobody vae-stat "$X/x.lat"
	trap - PIPE
}

@test "no temporary files are left by a good run" {
	export TMPDIR=$PWD/tmp
	mkdir tmp
	vae-enc -o out "$X/x.ppm"
	vae-stat "$DATA/tiny.safetensors" >report
	assert_equal "$(find tmp -mindepth 1)" ""
	only out report tmp
}

# few COMMAND...: with 16 descriptors at most
few() (
	ulimit -n 16
	"$@" 3>&- 4>&-
)

@test "each operand's descriptor is closed again: forty operands, sixteen descriptors" {
	local x=() g=() l=() c=() m=() i
	ppmtopgm "$X/x.ppm" >x.pgm
	for ((i = 0; i < 40; i++)); do x+=("$X/x.ppm") g+=(x.pgm) l+=("$X/x.latents") c+=("$X/x.lat") \
		m+=("$DATA/tiny.safetensors"); done
	few vae-enc -o out "${x[@]}"
	few vae-quant -o out "${l[@]}"
	few vae-quant -d -o out "${c[@]}"
	few vae-dec -o out "${c[@]}"
	few vae-stat -o out "${x[@]}" "${l[@]}" "${c[@]}" "${m[@]}"
	few vae-train --arch mlp --width 48 --height 40 --hidden1 8 --hidden2 8 --z 2 --steps 1 --quiet -o out \
		"${g[@]}"
	# the limit is one
	run few bash -c 'for i in {3..16}; do eval "exec $i</dev/null"; done'
	assert_output --partial "Too many open files"
}
