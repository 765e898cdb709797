#!/bin/bash
# Random pictures of every size and kind, under a floating-point state that a host spoilt, with 1 to 8 threads: every instruction
# set makes the same codes and the same pixels of them, with every shipped model. tests/builds.sh compares compilers and flags.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
B=${B:-build}

. tests/unit/tap.sh

shapes=50
[ -z "${VAE_TEST_FAST-}" ] || shapes=5
agrees() { [ "$(VAE_CPU=$1 "$B/bench/shapes" "$2" $shapes)" = "$3" ]; }
for model in tests/data/tiny.safetensors models/*.safetensors; do
	first=$("$B/bench/shapes" "$model" $shapes) || first=none
	for isa in scalar avx2 avx512 neon; do
		check "$shapes shapes with $model, $isa: $first" agrees "$isa" "$model" "$first"
	done
done
tap_done
