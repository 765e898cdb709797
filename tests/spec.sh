#!/bin/bash
# The pages of the formats, proven by a second decoder that was written from them alone
# (tests/spec/decode.py): the same pictures, byte by byte.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
B=${B:-build}

files=(tests/data/golden/tiny-{bits,cell,deep,one,grey-alpha}-*.lat tests/data/golden/mnist-*-50.*.lat \
	tests/data/golden/photo-*-cell-*.lat
	tests/data/golden/tiny-int16-cell-*.lat
	tests/data/golden/exact-*.lat tests/data/golden/mixed-*.lat)
python3 -c 'from math import nextafter' 2>/dev/null ||
	{ echo "1..0 # SKIP no python3 of version 3.9 or later"; exit 0; }

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
count=0
failed=0

# Four steps, which no golden model has: a model trained for a moment.
pngtopnm tests/data/photo.png >"$scratch/photo.ppm"
"$B/vae-train" --quiet --arch \
	"photo enc=16 enc_blocks=1 y=8 hyper=16 z=4 dec=16 dec_blocks=1 grid=48 grid_layers=1 ctx_blocks=1 knots=3 steps=4 ctx=20" \
	--steps 20 --patch 64 --batch 2 -T 1 -o "$scratch/four.safetensors" "$scratch/photo.ppm"
pamcut -width 50 -height 35 "$scratch/photo.ppm" | "$B/vae-enc" -m "$scratch/four.safetensors" -q 90 \
	>"$scratch/latents"
# The same network in integers.
"$B/vae-train" --quiet --init "$scratch/four.safetensors" --arith int16 --steps 0 --patch 64 -T 1 \
	-o "$scratch/integers.safetensors" "$scratch/photo.ppm"
pamcut -width 50 -height 35 "$scratch/photo.ppm" |
	"$B/vae-enc" -m "$scratch/integers.safetensors" -q 70 | "$B/vae-quant" >"$scratch/integers-range.lat"
files+=("$scratch/integers-range.lat")
for method in range zstd; do
	"$B/vae-quant" --method "$method" "$scratch/latents" >"$scratch/four-$method.lat"
	files+=("$scratch/four-$method.lat")
done
# Two pictures with coded alpha in one stream.
cat tests/data/golden/mixed-grey-alpha-90.range.lat{,} >"$scratch/two-alpha.lat"
files+=("$scratch/two-alpha.lat")

full=${#files[@]}
# these by the map to means with which a trained model ends
files+=("$scratch/four-range.lat" "$scratch/integers-range.lat")

for file in "${files[@]}"; do
	name=${file##*/} # a pattern that nothing matched fails as a file that is not there
	case $name in
	mnist-* | photo-*) model=./models/$(grep -o '^[a-z-]*-[0-9]*' <<<"$name").safetensors ;;
	four-* | integers-*) model=$scratch/${name%%-*}.safetensors ;;
	tiny-int16-*) model=./tests/data/tiny-int16.safetensors ;;
	*) model=./tests/data/tiny.safetensors ;;
	esac
	count=$((count + 1))
	small=()
	[ "$count" -gt "$full" ] && small=(8)
	if "$B/vae-dec" -m "$model" ${small:+--reduce 8} "$file" > "$scratch/ours" &&
		python3 tests/spec/decode.py "$model" "$file" "${small[@]}" > "$scratch/theirs" &&
		cmp "$scratch/ours" "$scratch/theirs"; then
		echo "ok $count - $name${small:+ at 1/8}"
	else
		echo "not ok $count - $name"
		failed=1
	fi
done
echo "1..$count"
exit "$failed"
