#!/bin/bash
# The same bytes from every compiler and every level of optimisation: make check-builds, some
# minutes. Each build goes to B/builds/NAME; it must pass tests/shapes.sh and reproduce the golden
# files.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
B=$(realpath -m "${B:-build}")
JOBS=${JOBS:-2}

. tests/unit/tap.sh

mkdir -p "$B/builds"
ln -sfn "$PWD/models" "$B/builds/models" # the programs look in EXE/../models
builds=()
for compiler in gcc clang; do
	command -v $compiler >/dev/null || { skip "$compiler" "not installed"; continue; }
	for flags in -O0 -O1 -O2 -O3 '-Ofast -march=native'; do builds+=("$compiler $flags"); done
done

build() { make -j"$JOBS" B="$1" CC="${2%% *}" CFLAGS="${2#* }" all benches; }
golden() { PATH="$1:$PATH" B=$1 bats tests/cli/golden.bats; }
for build in "${builds[@]}"; do
	folder=$B/builds/${build//[ =]/} # make takes a name with = for an assignment
	check "$build builds" build "$folder" "$build"
	check "$build: random shapes" env B="$folder" tests/shapes.sh
	check "$build: golden files" golden "$folder"
done
tap_done
