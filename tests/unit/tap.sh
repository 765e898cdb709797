#!/bin/bash
# tap.sh - the Test Anything Protocol for shell tests: source it, call check, none and skip, end
# with tap_done.
count=0
failed=0

# check WHAT COMMAND...: passes where the command succeeds; what it says is shown where it fails.
check() {
	local what=$1 log good=1
	shift
	log=$(mktemp) || exit 1
	count=$((count + 1))
	if "$@" >"$log" 2>&1; then
		echo "ok $count - $what"
	else
		echo "not ok $count - $what"
		tail -n 40 "$log" | sed 's/^/# /'
		failed=1
		good=0
	fi
	rm -f "$log"
	[ "$good" = 1 ]
}

# none WHAT TEXT: passes where the text is empty; the text is the list of offences.
none() { check "$1" empty "$2"; }
empty() {
	printf '%s\n' "$1"
	[ -z "$1" ]
}

# skip WHAT WHY
skip() {
	count=$((count + 1))
	echo "ok $count - $1 # skip $2"
}

tap_done() {
	echo "1..$count"
	exit "$failed"
}
