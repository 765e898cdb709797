#!/bin/bash
# Stack: no function of the library or the programs takes much of it, or an amount that depends on
# its input. tests/cli/stack.bats runs the programs with little stack.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
B=${B:-build}
LIMIT=54272 # bytes: 53 KB, so that with those who call it a thread stays below the 64 KB that vae.h names

. tests/unit/tap.sh
shopt -s nullglob

# The compiler's output for each source: place, bytes, kind. Some sources have an object for each
# instruction set.
usage=()
for source in lib/*.c lib/*/*.c tools/*.c; do
	builds=("$B/obj/${source%.c}"-*.su)
	[ ${#builds[@]} -gt 0 ] || builds=("$B/obj/${source%.c}.su")
	usage+=("${builds[@]}")
done
if ! grep -q -- -fstack-usage "$B/flags" || grep -qE -- '-fsanitize|-O0|-Og' "$B/flags"; then
	skip "frames of $LIMIT bytes at most" "these are not the flags that programs are built with"
else
	none "all ${#usage[@]} objects say what stack they take" \
		"$(for file in "${usage[@]}"; do [ -s "$file" ] || echo "no $file"; done)"
	none "no function takes more than $LIMIT bytes of stack" \
		"$(awk -F'\t' -v limit=$LIMIT '$2 > limit { print $1 ": " $2 " bytes" }' "${usage[@]}")"
	none "none takes what no constant bounds" "$(awk -F'\t' '$3 == "dynamic" { print $1 }' "${usage[@]}")"
fi
tap_done
