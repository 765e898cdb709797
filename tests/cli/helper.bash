# shellcheck shell=bash
# helper.bash - what the tests of the command line share.
#
# A test runs in its own empty folder, with this tree's programs first on PATH, the small frozen
# model of tests/data as the default model, and none of the user's own settings. Pictures are small:
# what is measured here is behaviour, not compression.
bats_require_minimum_version 1.5.0
BATS_LIB_PATH=${BATS_LIB_PATH:-/usr/lib/bats}
load "$BATS_LIB_PATH/bats-support/load.bash"
load "$BATS_LIB_PATH/bats-assert/load.bash"
load "$BATS_LIB_PATH/bats-file/load.bash"

ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
export ROOT
. "$ROOT/tests/unit/isa.sh"
B=$(cd "$ROOT" && realpath "${B:-build}")
export B
DATA=$ROOT/tests/data
export PATH=$B:$PATH
export SHELL=$BASH # which script(1) starts, and which knows exported functions
export LC_ALL=C OMP_WAIT_POLICY=passive
export VAE_MODEL=tiny VAE_MODEL_PATH=$DATA
unset VAE_CPU XDG_DATA_HOME OMP_NUM_THREADS
PROGRAMS=(vae-enc vae-quant vae-dec vae-stat vae-train)
export PROGRAMS

setup() {
	mkdir "$BATS_TEST_TMPDIR/work" # beside the files that bats itself keeps there
	cd "$BATS_TEST_TMPDIR/work" || return 1
	export HOME=$PWD
	set -o pipefail
}

# fails STATUS PATTERN COMMAND...: the command leaves with STATUS, and the first line on stderr
# names the program and matches the glob PATTERN. It is the only line, but for usage errors, where a
# pointer to --help follows.
fails() {
	local expected=$1 pattern=$2
	shift 2
	run --separate-stderr "-$expected" "$@"
	# shellcheck disable=SC2154 # stderr is bats' own
	if [[ ${stderr_lines[0]-} != vae-*": "*$pattern* ]]; then
		printf 'command: %s\nwanted:  %s\n' "$*" "$pattern" | batslib_decorate "another message: $stderr" |
			fail
		return 1
	fi
	if [ "${#stderr_lines[@]}" -ne "$expected" ]; then
		printf '%s\n' "$stderr" | batslib_decorate "$expected line(s) on stderr wanted from: $*" | fail
		return 1
	fi
	if [ "$expected" = 2 ] && [[ ${stderr_lines[1]} != "Try 'vae-"*" --help' for more information." ]]; then
		printf '%s\n' "$stderr" | batslib_decorate "no pointer to --help" | fail
		return 1
	fi
}

# quiet COMMAND...: succeeds with nothing on stderr.
quiet() {
	run --separate-stderr -0 "$@"
	[ -z "$stderr" ] ||
		{ printf '%s\n' "$stderr" | batslib_decorate "unexpected words on stderr from: $*" | fail; }
}

# one_error PROGRAM PATTERN COMMAND...: COMMAND fails with status 1 and one line on stderr, "PROGRAM: "
# and what matches.
one_error() {
	local program=$1 pattern=$2
	shift 2
	run --separate-stderr -1 "$@"
	if [[ $stderr != $program:\ $pattern ]]; then fail "another message: $stderr"; fi
	assert_equal "${#stderr_lines[@]}" 1
}

# shell COMMAND: as run from a shell with pipefail.
shell() {
	bash -o pipefail -c "$1"
}

# A part of the test photograph: photo WIDTH HEIGHT
photo() {
	pngtopnm "$DATA/photo.png" | pamcut -left 200 -top 150 -width "$1" -height "$2"
}

# FORMAT WIDTH HEIGHT DEPTH MAXVAL TUPLETYPE of each picture of a stream
kinds() {
	local text
	text=$(pamfile -allimages -machine "$1") || return 1
	# shellcheck disable=SC2001
	sed 's/^[^:]*: //' <<<"$text"
}

# The column of --tsv's first kind of record: column NAME < report
column() {
	awk -F'\t' -v name="$1" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) n = i; next } n { print $n }'
}

# psnr FILE REFERENCE
psnr() {
	vae-stat --tsv -r "$2" "$1" | column psnr_db | head -n 1
}

# at_least NUMBER BOUND
at_least() {
	awk -v a="$1" -v b="$2" 'BEGIN { exit !(a == "inf" || a + 0 >= b + 0) }' || fail "$1 is less than $2"
}

# Two files of which neither is missing: "! cmp" would not stop a test.
differ() {
	if cmp -s "$1" "$2"; then fail "$1 and $2 are the same"; return 1; fi
	[ -e "$1" ] && [ -e "$2" ]
}

# needs_isa ISA, needs_program PROGRAM, needs_terminal: skip the test where this machine lacks it,
# as in a chroot without /dev/pts.
# The reasons' first words: tests/skips.sh.
needs_isa() { runs "$1" || skip "CPU without $1"; }
needs_program() { command -v "$1" >/dev/null || skip "no $1"; }
needs_terminal() {
	needs_program script
	script -qec true /dev/null </dev/null >/dev/null 2>&1 || skip "kernel without pseudo-terminals here"
}

# The bytes of FILE with byte number OFFSET (from 0; negative: from the end) inverted: flip FILE OFFSET
flip() {
	perl -0777 -e 'my ($file, $at) = @ARGV; open F, "<:raw", $file or die; my $s = <F>;
		$at += length $s if $at < 0;
		substr($s, $at, 1) = chr(ord(substr $s, $at, 1) ^ 0xff); binmode STDOUT; print $s' "$1" "$2"
}

size() { stat -c %s "$1"; }

# limited COMMAND...: with an address space of 3 GiB, and a minute to do it. Under AddressSanitizer
# only the time is bounded.
limited() {
	case $B in
	*asan*) timeout 120 "$@" ;;
	*) (ulimit -v 3145728 && timeout 60 "$@") ;;
	esac
}

# wait_for COMMAND...: until it succeeds, a minute at most
wait_for() {
	local i
	for ((i = 0; i < 600; i++)); do
		if "$@"; then return 0; fi
		sleep 0.1
	done
	fail "nothing after a minute: $*"
}

# json_is EXPRESSION: the JSON on stdin is valid, and the Perl expression over it ($j) is true
json_is() {
	perl -MJSON::PP -0777 -e 'my $j = JSON::PP->new->utf8->decode(<STDIN>); my $ok = eval $ARGV[0];
		die $@ if $@; exit !$ok' "$1" ||
		fail "the JSON is not such that $1"
}

# plainly COMMAND...: with the default action for every signal, which shells and test drivers take
# away from what they start
plainly() {
	exec perl -e '$SIG{$_} = "DEFAULT" for qw(INT QUIT TERM HUP PIPE); exec { $ARGV[0] } @ARGV or die' "$@"
}

# has_nameless: the file system here has files without a name (O_TMPFILE), so that nothing is left
# of one whatever ends a program
has_nameless() {
	perl -MFcntl -e 'exit !sysopen F, ".", O_RDWR | O_DIRECTORY | 020000000, 0600'
}

# unprivileged COMMAND...: for root, too, a folder that is not writable is none
unprivileged() {
	if [ "$(id -u)" = 0 ]; then setpriv --bounding-set=-all --inh-caps=-all "$@"; else "$@"; fi
}

# shimmed COMMAND...: with the library that makes the machine fail, as the environment tells it
# (tests/faults/shim.c)
shimmed() { LD_PRELOAD=$B/tests/shim.so ASAN_OPTIONS=$ASAN_OPTIONS:verify_asan_link_order=0 "$@"; }

# ends STATUS PID: the child of this shell leaves with that status
ends() {
	local status=0
	wait "$2" || status=$?
	assert_equal "$status" "$1"
}

# Nothing is in this folder but the files named.
only() {
	assert_equal "$(find . -mindepth 1 -maxdepth 1 -printf '%f\n' | sort | xargs)" \
		"$(printf '%s\n' "$@" | sort | xargs)"
}

# XXH64, seed 0, of a file of 30 bytes: its low 32 bits, little-endian. For so few bytes it is short
# (doc/xxhash_spec.md of xxHash); "use integer" computes modulo 2^64.
xxhsum64() {
	perl -0777 -ne 'use integer;
		my ($p1, $p2, $p3, $p4, $p5) = (0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9,
			0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5);
		sub right { no integer; return $_[0] >> $_[1] }
		sub turn { return ($_[0] << $_[1]) | right($_[0], 64 - $_[1]) }
		my ($h, @byte) = ($p5 + length, unpack "x28 C*", $_);
		$h = turn($h ^ turn($_ * $p2, 31) * $p1, 27) * $p1 + $p4 for unpack "q<3", $_;
		$h = turn($h ^ unpack("x24 V", $_) * $p1, 23) * $p2 + $p3;
		$h = turn($h ^ $_ * $p5, 11) * $p1 for @byte;
		$h = ($h ^ right($h, 33)) * $p2;
		$h = ($h ^ right($h, 29)) * $p3;
		print pack "V", ($h ^ right($h, 32)) & 0xffffffff' "$1"
}
