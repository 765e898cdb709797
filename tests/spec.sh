#!/bin/bash
# The formats' pages, proven by a second decoder written from them alone (tests/spec/decode.py): the same pictures, byte by byte.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
B=${B:-build}

files=(tests/data/golden/tiny-{bits,cell,deep,one,grey-alpha}-*.lat tests/data/golden/mnist-*-50.*.lat)
python3 -c 'from math import nextafter' 2>/dev/null || { echo "1..0 # SKIP no python3 of version 3.9 or later"; exit 0; }

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
count=0
failed=0
for file in "${files[@]}"; do
	[ -e "$file" ] || continue
	name=${file##*/}
	model=tests/data/tiny.safetensors
	case $name in mnist-*) model=models/mnist-1.safetensors ;; esac
	count=$((count + 1))
	if "$B/vae-dec" -m "./$model" "$file" > "$scratch/ours" && python3 tests/spec/decode.py "$model" "$file" > "$scratch/theirs" &&
		cmp "$scratch/ours" "$scratch/theirs"; then
		echo "ok $count - $name"
	else
		echo "not ok $count - $name"
		failed=1
	fi
done
echo "1..$count"
exit "$failed"
