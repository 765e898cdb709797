#!/bin/bash
# Random pictures of every size and kind, under a floating-point state that a host left behind, with
# 1 to 8 threads: every instruction set gives the codes and pixels whose hash is stored, with every
# model. tests/builds.sh does the same for compilers and flags, tests/cross.sh for other processors.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
B=${B:-build}

. tests/unit/tap.sh
. tests/unit/isa.sh

shapes=50
[ -z "${VAE_TEST_FAST-}" ] || shapes=5
agrees() { [ "$(VAE_CPU=$1 "$B/bench/shapes" "$2" "$shapes")" = "$3" ]; }
while read -r name number hash; do
	[ "$number" = "$shapes" ] || continue
	folder=models
	[ "$name" != tiny ] || folder=tests/data
	for isa in scalar avx2 avx512 neon; do
		what="$shapes shapes with $name, $isa"
		if runs "$isa"; then
			check "$what" agrees "$isa" "$folder/$name.safetensors" "$hash"
		else
			skip "$what" "CPU without $isa"
		fi
	done
done <tests/data/golden/shapes.sums
for model in tests/data/tiny.safetensors models/*.safetensors; do
	check "$model has a hash" grep -q "^$(basename "$model" .safetensors) $shapes " \
		tests/data/golden/shapes.sums
done
tap_done
