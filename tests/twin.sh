#!/bin/bash
# The twin in PyTorch (tools/vae-train-torch) agrees with the networks, the loss and its gradients,
# and the models that it writes are models. Skipped where there is no torch: Debian's package is
# python3-torch.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
B=${B:-build}
export B OMP_WAIT_POLICY=passive

. tests/unit/tap.sh

for python in python3 /usr/bin/python3 ''; do
	[ -z "$python" ] || ! "$python" -c 'import torch, numpy' 2>/dev/null || break
done
[ -n "$python" ] || {
	echo "1..0 # SKIP optional: no python3 with torch and numpy (Debian's python3-torch, 640 MB)"
	exit 0
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
pngtopnm tests/data/photo.png >"$scratch/photo.ppm"
tiny=tests/data/tiny.safetensors
twin() { "$python" tools/vae-train-torch "$@"; }
gradients() { twin check "$1" "$scratch/photo.ppm" "${@:2}"; }
disagree() { ! gradients "$@"; }

check "the small model of the tests: outputs, loss, gradients" gradients "$tiny"
if [ -z "${VAE_TEST_FAST-}" ]; then
	for model in models/photo-*.safetensors; do
		grep -qa arith=int16 "$model" && continue # a rounded copy of a network in float32
		check "$(basename "$model" .safetensors): outputs, loss, gradients" gradients "$model" --quality 0 \
			40000 65535 --bound 3e-4 # gains are sums that nearly cancel
	done
fi
"$B/vae-train" --quiet --arch \
	"photo enc=16 enc_blocks=1 y=8 hyper=16 z=4 dec=16 dec_blocks=1 grid=48 grid_layers=1 ctx_blocks=1 knots=3 steps=4 ctx=20" \
	--steps 20 --patch 64 --batch 2 -T 1 -o "$scratch/four.safetensors" "$scratch/photo.ppm"
# SSIM is a difference of moments a thousand times as large, so that its rounding in float32 is a
# thousand times as large.
check "the loss vision: outputs, loss, gradients" gradients "$tiny" --share 0.8 --bound 1e-3
check "four steps: outputs, loss, gradients" gradients "$scratch/four.safetensors"
check "a bound that float32 cannot meet is not met" disagree "$tiny" --quality 40000 --bound 1e-9
check "the twin trains" twin train "$tiny" "$scratch/photo.ppm" "$scratch/twin.safetensors" --steps 3 \
	--patch 64 --batch 2 --reduce 0.5:0.9
# refuses MESSAGE ARGUMENT...: training ends at once, with MESSAGE in the last line
refuses() {
	local words
	words=$(OMP_NUM_THREADS=1 twin train "${@:2}" --steps 1 --patch 64 --batch 1 2>&1 >/dev/null) && return 1
	[[ ${words##*$'\n'} == vae-train-torch*": "*"$1"* && $words != *Traceback* ]]
}
data="$scratch/photo.ppm"
check "an output that cannot be written is refused before the training" \
	refuses "no/such/out.new: No such file" "$tiny" "$data" no/such/out
check "so are a missing file" refuses "no.ppm: No such file" "$tiny" no.ppm "$scratch/none"
check "what is no model" refuses "photo.ppm: not a model" "$data" "$data" "$scratch/none"
check "a loss that is not here" refuses "of the loss ms-ssim" models/photo-ms-1.safetensors "$data" \
	"$scratch/none"
check "and numbers that are none" refuses "nan is not a number" "$tiny" "$data" "$scratch/none" --lr nan
check "of all of which nothing is left" test ! -e "$scratch/none" -a ! -e "$scratch/none.new"
own() {
	local root=$PWD
	cp "$tiny" "$scratch/photo-own.safetensors"
	(cd "$scratch" && "$python" "$root/tools/vae-train-torch" train photo-own.safetensors photo.ppm own \
		--steps 1 --patch 64 --batch 1)
}
check "a model whose name begins with photo is a model" own
# lambda 0.0015 to 0.1 at 18 % to 76 % of the scale: three of four there, and its share of the fourth
qualities() {
	"$python" - <<-'END'
		import importlib.machinery, torch
		twin = importlib.machinery.SourceFileLoader("twin", "tools/vae-train-torch").load_module()
		trainer = twin.Trainer(*twin.read_model("models/photo-3.safetensors"), torch.device("cpu"), False)
		q = trainer.draw_quality(100000, torch.Generator().manual_seed(1)) / twin.ONE
		middle = float(((q >= 0.1807) & (q <= 0.7550)).double().mean())
		assert 0.885 < middle < 0.902 and q.min() < 0.001 and q.max() > 0.999, middle
	END
}
check "qualities are drawn as vae-train draws them" qualities
check "the twin writes a model whose id is right" "$B/vae-stat" "$scratch/twin.safetensors"
check "that vae-train goes on from" "$B/vae-train" --init "$scratch/twin.safetensors" --steps 1 --patch 64 \
	--batch 1 --quiet -o "$scratch/next" "$scratch/photo.ppm"
eye="$scratch/eye.safetensors"
check "the twin trains by SSIMULACRA 2" twin train "$tiny" "$scratch/photo.ppm" "$eye" --steps 2 --patch 64 \
	--batch 2 --share 0.8 --full "$scratch/photo.ppm"
check "and says so in the model" grep -q '"loss":"vision","share":"0.8"' "$eye"
check "and that vae-enc takes" "$B/vae-enc" -m "$scratch/twin.safetensors" -o "$scratch/latents" \
	"$scratch/photo.ppm"
tap_done
