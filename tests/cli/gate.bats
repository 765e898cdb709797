#!/usr/bin/env bats
# What stands around the tests: the list of what was skipped (tests/skips.sh), and what deps.sh says
# and asks before it installs.
load helper

# A test of the Test Anything Protocol that says the words given: says NAME LINE...
says() {
	local name=$1
	shift
	{ echo '#!/bin/sh'; printf "echo '%s'\n" "$@"; } >"$name"
	chmod +x "$name"
}


skips() { B=$PWD/build "$ROOT/tests/skips.sh" "$@"; }

@test "skips.sh: nothing skipped" {
	says good 'ok 1 - a' '1..1'
	run -0 skips run ./good
	assert_output $'ok 1 - a\n1..1'
	run -0 skips list
	assert_output "Nothing was skipped."
	run -0 skips check
	assert_output ""
}

@test "skips.sh: what the machine lacks and what is optional may be skipped, and nothing else" {
	says a 'ok 1 - x # skip CPU without neon' 'ok 2 y # skip CPU without neon' \
		'ok 3 - z # SKIP CPU without AMX' \
		'ok 4 f # skip file system without O_TMPFILE' 'ok 5 k # skip kernel without unshare -rm' '1..5'
	says b '1..0 # SKIP optional: no torch'
	skips run ./a >/dev/null
	skips run ./b >/dev/null
	run -0 skips check
	assert_output ""
	says c 'ok 1 x' 'ok 2 y # skip no gnuplot' '1..2'
	says d '1..0 # SKIP no python3'
	skips run ./c >/dev/null
	skips run ./d >/dev/null
	run -0 skips list
	assert_output - <<-'END'
		Skipped: this machine lacks what they test:
		  a, 1 of its tests: CPU without AMX
		  a, 2 of its tests: CPU without neon
		  a, 1 of its tests: file system without O_TMPFILE
		  a, 1 of its tests: kernel without unshare -rm
		Skipped: optional:
		  b, all of its tests: optional: no torch
		Skipped: something is missing, or turned off:
		  c, 1 of its tests: no gnuplot
		  d, all of its tests: no python3
	END
	run -1 skips check
	assert_line --partial "no gnuplot"
	assert_line --partial "no python3"
	refute_output --partial CPU
}

@test "skips.sh: a test's exit status is its own" {
	says bad 'not ok 1 - a' '1..1'
	echo 'exit 7' >>bad
	run -7 skips run ./bad
}

# deps ANSWER [NAME=VALUE]...: deps.sh on a terminal, where one package is missing and apt-get only
# says that it was called
deps() {
	mkdir -p bin
	printf '#!/bin/sh\necho "$@" >>%s/called\n' "$PWD" >bin/apt-get
	printf '#!/bin/sh\nexec "$@"\n' >bin/sudo
	chmod +x bin/apt-get bin/sudo
	local answer=$1
	shift
	printf '%s\n' "$answer" | env -u DEPS CC=cc PATH="$PWD/bin:$PATH" "$@" script \
		-qec "'$ROOT/tools/deps.sh' ./no/such:one-package" /dev/null
}

@test "deps.sh: says what it installs, and asks on a terminal" {
	needs_terminal
	run -1 deps n
	assert_line --regexp "packages are missing: .*one-package"
	assert_output --partial "Go on?"
	assert_not_exist called
	run -1 deps y
	assert_line --regexp "still missing after the installation: .*one-package"
	grep -qx 'update -qq' called
	grep -q 'install .* one-package' called
}

@test "deps.sh: DEPS=yes does not ask, DEPS=no installs nothing" {
	needs_terminal
	run -0 deps y DEPS=no
	assert_output --partial "one-package"
	refute_output --partial "Go on?"
	assert_not_exist called
	run -1 deps n DEPS=yes
	assert_line --regexp "packages are missing: .*one-package"
	refute_output --partial "Go on?"
	assert_exist called
}
