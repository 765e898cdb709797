#!/bin/bash
# Makes the corpora that the golden files do not hold already: seed.sh, from the root of the tree,
# programs on PATH. With a folder as argument it puts there, one folder a target, larger seeds too,
# which are not worth keeping.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=${1:-tests/fuzz/corpus}
data=tests/data
export VAE_MODEL_PATH=$data:models LC_ALL=C
mkdir -p "$out"/{image,latents,codes,model,slice}

header() { perl -e 'binmode STDIN; read STDIN, my $n, 8; read STDIN, my $s, unpack "Q<", $n;
	print $s =~ s/ +$//r' <"$1"; }

# latents: of the smallest pictures of each kind, and one that was quantised
for name in cell grey grey-alpha bits one; do
	for file in "$data"/golden/"$name".p?m; do vae-enc -m tiny "$file" >"$out/latents/$name"; done
done
for name in bits deep grey-alpha; do
	vae-enc --lossless "$data"/golden/$name.p?m >"$out/latents/exact-$name"
done
vae-quant -d "$data/golden/tiny-alpha-25.range.lat" >"$out/latents/quantised-alpha"
vae-quant -d "$data/golden/mixed-column-100.range.lat" >"$out/latents/mixed-column"

# slices: what zstd's frames hold
for file in "$data"/golden/{tiny,mixed}-*.lat; do
	name=$(basename "$file" .lat)
	zstd -dcq <"$file" >"$out/slice/$name"
done

# pictures: plain ones, and more than one
pnmtoplainpnm "$data/golden/bits.pbm" >"$out/image/plain.pbm"
pamcut -width 9 -height 5 "$data/golden/deep.ppm" | tee "$out/image/deep.ppm" |
	pnmtoplainpnm >"$out/image/plain.ppm"
pamcut -width 4 -height 4 "$data/golden/grey.pgm" | pnmtoplainpnm >"$out/image/plain.pgm"
cat "$out/image/plain.pgm" "$data/golden/one.ppm" "$data/golden/grey-alpha.pam" >"$out/image/three"

# codes: several at once, and a skippable frame
cat "$data"/golden/tiny-one-50.zstd.lat <(printf '\x50\x2a\x4d\x18\x05\0\0\0hello') \
	"$data"/golden/tiny-cell-100.range.lat >"$out/codes/two"

# and metadata of each kind
vae-quant --icc <(perl -e 'print pack("N", 140), "\0" x 32, "acsp", "\1" x 100') \
	--exif <(printf 'II*\0\10\0\0\0\0\0\0\0\0\0') \
	--xmp <(printf '<x:xmpmeta/>') "$data"/golden/tiny-one-50.range.lat >"$out/codes/metadata"

# models: headers
header "$data/tiny.safetensors" >"$out/model/tiny"
header models/mnist-1.safetensors >"$out/model/mnist"
{ cat "$out/model/tiny"; printf '\0\0\0\0\0\1\377\7\3\0\2'; } >"$out/model/changed"

[ $# -eq 1 ] || exit 0
# whole models of other shapes, and larger pictures
picture=$(mktemp)
trap 'rm -f "$picture"' EXIT
pngtopnm "$data/photo.png" | pamcut -width 64 -height 64 >"$picture"
train() { vae-train --quiet --steps 1 --patch 64 --batch 1 -T 1 --arch "$2" -o "$out/model/$1" "$picture"; }
train deep \
	"photo enc=16 y=8 hyper=16 z=1 ctx=16 dec=16 dec_blocks=1 grid=48 grid_layers=1 knots=2 steps=4 enc_blocks=1"
train wide \
	"photo enc=16 y=4 hyper=16 ctx=16 z=2 dec=16 dec_blocks=2 grid=48 grid_layers=2 knots=2 enc_blocks=2"
vae-train --quiet --steps 1 --batch 1 -T 1 --arch "mlp width=4 height=3 hidden1=2 hidden2=3 z=2 knots=2" \
	-o "$out/model/small-mlp" \
	<(pamcut -width 4 -height 3 "$data/golden/grey.pgm")
cp "$data"/tiny.safetensors "$data"/tiny-int16.safetensors "$out/model"
vae-enc -m tiny "$data/golden/rgb.ppm" >"$out/latents/rgb"
