#!/bin/bash
# The same bytes from every compiler and every level of optimisation: make check-builds, some minutes. Each build goes to
# B/builds/NAME; it must reproduce the golden files and print the hashes of random shapes that the first build prints.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
B=$(realpath -m "${B:-build}")
JOBS=${JOBS:-2}

. tests/unit/tap.sh

models=(tests/data/tiny.safetensors models/*.safetensors)
mkdir -p "$B/builds"
ln -sfn "$PWD/models" "$B/builds/models" # the programs look in EXE/../models
builds=()
for compiler in gcc clang; do
	command -v $compiler >/dev/null || { skip "$compiler" "not installed"; continue; }
	for flags in -O0 -O1 -O2 -O3 '-Ofast -march=native'; do builds+=("$compiler $flags"); done
done

hashes() { for model in "${models[@]}"; do "$1/bench/shapes" "$model" || return 1; done; }
agrees() { [ "$(hashes "$1")" = "$wanted" ]; }
build() { make -j"$JOBS" B="$1" CC="${2%% *}" CFLAGS="${2#* }" all benches; }
golden() { PATH="$1:$PATH" B=$1 bats tests/cli/golden.bats; }
for build in "${builds[@]}"; do
	folder=$B/builds/${build// /}
	check "$build builds" build "$folder" "$build"
	[ -n "${wanted-}" ] || wanted=$(hashes "$folder")
	check "$build: 50 random shapes with each of ${#models[@]} models" agrees "$folder"
	check "$build: golden files" golden "$folder"
done
tap_done
