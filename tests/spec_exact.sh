#!/bin/bash
# The form of exact samples in vae-codes(5), proven by a second decoder that was written from it
# (tests/spec/exact.py).
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
B=${B:-build}
command -v python3 >/dev/null || { echo "1..0 # SKIP no python3"; exit 0; }

cases=$(mktemp)
trap 'rm -f "$cases"' EXIT
"$B/tests/exact" "$cases" || { echo "Bail out! $B/tests/exact wrote no cases"; exit 1; }
python3 tests/spec/exact.py "$cases"
