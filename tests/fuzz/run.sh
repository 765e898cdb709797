#!/bin/bash
# run.sh SECONDS [TARGET]... - fuzzes each target for so long, one after another, and reports
# executions and coverage. Expects what `make fuzz` builds, in $B (build/fuzz), and the programs in
# build/ for seeds. What it finds is left under $B/findings/TARGET, what it learnt in
# $B/learnt/TARGET, where the next run goes on.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
seconds=${1:?run.sh SECONDS [TARGET]...}
shift
[ $# -gt 0 ] || set -- image latents codes model slice
B=${B:-build/fuzz}
export ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1:max_allocation_size_mb=256 \
	UBSAN_OPTIONS=print_stacktrace=1
PATH=$PWD/build:$PATH tests/fuzz/seed.sh "$B/seeds" || exit 1
bad=0

# Bytes of the longest input: files of models are some hundred KB.
longest() { case $1 in model) echo 300000 ;; image) echo 65536 ;; *) echo 8192 ;; esac; }

for target; do
	mkdir -p "$B/learnt/$target" "$B/findings/$target"
	log=$B/$target.log
	nice -n 10 "$B/fuzz-$target" -max_total_time="$seconds" -max_len="$(longest "$target")" \
		-rss_limit_mb=1024 -malloc_limit_mb=256 -timeout=10 \
		-print_final_stats=1 -artifact_prefix="$B/findings/$target/" \
		"$B/learnt/$target" "tests/fuzz/corpus/$target" "$B/seeds/$target" tests/data/golden >"$log" 2>&1 ||
		bad=1
	echo "$target: $(grep -aoE 'cov: .* corp: [^ ]*' "$log" |
		tail -n 1), $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") executions"
	grep -aE 'SUMMARY|^fuzz: ' "$log" | sort | uniq -c
	find "$B/findings/$target" -type f | sed 's/^/found: /'
done

# Lines and branches that the corpora reach, by the files that read: the same targets with source coverage.
C=$B/coverage
if [ -x "$C/fuzz-image" ] && command -v llvm-profdata-14 >/dev/null; then
	for target; do
		LLVM_PROFILE_FILE=$C/$target.profraw "$C/fuzz-$target" -runs=0 "$B/learnt/$target" \
			"tests/fuzz/corpus/$target" "$B/seeds/$target" \
			tests/data/golden >/dev/null 2>&1
	done
	llvm-profdata-14 merge -sparse "$C"/*.profraw -o "$C/all.profdata"
	objects=("$C/fuzz-$1")
	for target; do objects+=(-object "$C/fuzz-$target"); done
	llvm-cov-14 report "${objects[@]}" -instr-profile="$C/all.profdata" lib/image lib/stream lib/model \
		lib/prior lib/exact lib/codec \
		>"$C/report.txt" 2>/dev/null
	awk '/\.c |^TOTAL/ { print $1, "lines", $10, "branches", $13 }' "$C/report.txt" | column -t
fi
exit "$bad"
