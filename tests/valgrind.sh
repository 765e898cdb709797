#!/bin/bash
# The programs under valgrind, on small pictures, the small model and the scalar kernels (valgrind
# knows no AVX-512): no error, no leak.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
B=${B:-build}
if ! command -v valgrind >/dev/null; then
	echo "1..0 # skip no valgrind"
	exit 0
fi
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
export VAE_MODEL_PATH=tests/data:models VAE_MODEL=tiny VAE_CPU=scalar OMP_NUM_THREADS=1 LC_ALL=C
golden=tests/data/golden

. tests/unit/tap.sh

# OpenMP's threads keep their stacks to the end: still reachable is no leak.
clean() {
	local program=$1
	shift
	check "$program $*" valgrind -q --error-exitcode=99 --leak-check=full \
		--errors-for-leak-kinds=definite,possible \
		"$B/$program" "$@"
}

pamcut -width 20 -height 18 "$golden/alpha.pam" >"$work/x.pam"
pamcut -width 16 -height 16 "$golden/grey.pgm" >"$work/grey.pgm"
pngtopnm tests/data/photo.png | pamcut -width 64 -height 64 >"$work/square.ppm"
clean vae-enc -o "$work/x.latents" "$work/x.pam" "$golden/bits.pbm" "$golden/deep.ppm"
clean vae-enc -o "$work/refined" --refine 1 "$golden/cell.ppm"
clean vae-quant -o "$work/x.lat" "$work/x.latents"
clean vae-quant -o "$work/z.lat" --method zstd --effort 0 -v "$work/x.latents"
clean vae-quant -d -o "$work/back" "$work/z.lat"
clean vae-quant -t "$work/x.lat" "$work/z.lat"
clean vae-dec -o "$work/y" "$work/x.lat"
clean vae-dec -o "$work/y" "$work/back"
clean vae-dec -o "$work/y" --crop 3,2,7,9 "$work/x.lat"
clean vae-dec -o "$work/y" --reduce 4 "$work/x.lat"
clean vae-dec -o "$work/y" -m mnist-1 --sample 2
clean vae-stat -o "$work/report" --json "$work/x.lat" "$work/x.latents" tests/data/tiny.safetensors \
	"$work/x.pam"
pbmmake -gray 4100 2 >"$work/wide.pbm" # wider than the pieces that rows are read in
pamdepth 255 "$work/wide.pbm" | pnmtoplainpnm >"$work/wide.pgm"
clean vae-stat -o "$work/report" "$work/wide.pbm" "$work/wide.pgm"
clean vae-stat -o "$work/report" -r "$golden/rgb.ppm" "$golden/rgb.ppm"
for steps in 1 3; do
	clean vae-train --quiet --init tiny --steps $steps --patch 64 --batch 1 --checkpoint "$work/ckpt" \
		--resume --valid "$work/square.ppm" \
		-o "$work/m" "$work/square.ppm"
done
clean vae-train --quiet --arch "mlp width=16 height=16 hidden1=8 hidden2=8 z=2" --steps 3 --batch 2 \
	--log "$work/log" -o "$work/m" \
	"$work/grey.pgm"
tap_done
