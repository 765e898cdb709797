#!/bin/bash
# skips.sh - keeps the output of each test, and lists what was skipped and why.
#
#   tests/skips.sh run TEST     runs a test as prove does, and keeps its TAP in $B/tap/
#   tests/skips.sh list         prints what the tests of the last run skipped, grouped by the reason
#   tests/skips.sh check        exit status 1 where something was skipped that need not be: prints it
#
# The first words of a reason tell its kind. "CPU", "kernel", "file system": this machine lacks a
# feature, such as an instruction set. "optional:": a development tool whose dependency is too large
# to require. Everything else is there after "make deps".
set -uo pipefail
tap=${B:-build}/tap
machine='CPU |kernel |file system '

run() {
	mkdir -p "$tap"
	"$1" | tee "$tap/$(basename "$1")"
}

# REASON<TAB>FILE<TAB>NUMBER: each reason for skipped tests of a file, and their number, or "all".
skipped() {
	local file all
	for file in "$tap"/*; do
		[ -f "$file" ] || continue
		all=$(sed -nE 's/^1\.\.0 *# *[Ss][Kk][Ii][Pp]:? *//p' "$file")
		[ -z "$all" ] || printf '%s\t%s\tall\n' "$all" "${file##*/}"
		sed -nE 's/^ok .*# *[Ss][Kk][Ii][Pp]:? *//p' "$file" | sort | uniq -c |
			sed -E "s|^ *([0-9]+) (.*)|\2\t${file##*/}\t\1|"
	done
}
lines() { awk -F'\t' '{ printf "  %s, %s of its tests: %s\n", $2, $3, $1 }'; }

# group TITLE LINES
group() {
	[ -z "$2" ] || printf '%s:\n%s\n' "$1" "$(lines <<<"$2")"
}

case ${1-} in
run) run "$2" ;;
list)
	all=$(skipped)
	[ -n "$all" ] || echo "Nothing was skipped."
	group "Skipped: this machine lacks what they test" "$(grep -E "^($machine)" <<<"$all")"
	group "Skipped: optional" "$(grep '^optional: ' <<<"$all")"
	group "Skipped: something is missing, or turned off" "$(grep -vE "^($machine|optional: |\$)" <<<"$all")"
	;;
check)
	others=$(skipped | grep -vE "^($machine|optional: )")
	group "Skipped, which \"make deps\" or a full run prevents" "$others"
	[ -z "$others" ]
	;;
*)
	echo "usage: tests/skips.sh run TEST | list | check" >&2
	exit 2
	;;
esac
