#!/usr/bin/env bats
# All programs do all of their work in 128 KB of stack, and OpenMP's threads in 80, of which the C
# library keeps some for itself.
load helper

setup_file() {
	cd "$BATS_FILE_TMPDIR" || return 1
	photo 192 192 >x.ppm
	pgmramp -lr 192 192 >ramp.pgm
	pamstack -tupletype RGB_ALPHA x.ppm ramp.pgm >x.pam
	export X=$BATS_FILE_TMPDIR
}

# A sanitizer's frames are larger.
plain_build() { [[ $B != *asan* ]] || skip "the frames of this build are a sanitizer's"; }

small() (
	ulimit -s 128
	OMP_STACKSIZE=80k "$@" -T 2
)

@test "a picture with alpha there and back in little stack" {
	plain_build
	small vae-enc "$X/x.pam" >x.latents
	small vae-quant x.latents >x.lat
	small vae-quant --method zstd --level 19 x.latents >z.lat
	small vae-quant -d x.lat >/dev/null
	small vae-dec x.lat >y.pam
	small vae-dec z.lat | cmp - y.pam
	small vae-dec --reduce 4 x.lat >/dev/null
	small vae-dec --salvage x.lat | cmp - y.pam
	small vae-dec -m tiny --sample 1 --size 80x80 >/dev/null
	small vae-stat -r "$X/x.pam" y.pam >/dev/null
	small vae-stat x.lat x.latents "$DATA/tiny.safetensors" >/dev/null
}

@test "searches and refinement in little stack" {
	plain_build
	small vae-enc --refine 1 "$X/x.ppm" >/dev/null
	small vae-enc --target-bpp 0.25 "$X/x.ppm" >/dev/null
}

@test "training in little stack" {
	plain_build
	local loss
	for loss in mse ms-ssim; do
		small vae-train --quiet --init tiny --loss "$loss" --optimiser muon --batch 2 --patch 192 --steps 1 \
			--checkpoint ckpt --valid "$X/x.ppm" \
			-o "$loss" "$X/x.ppm"
		rm ckpt
	done
	small vae-train --quiet --arch \
		"photo enc=16 enc_blocks=1 y=16 hyper=16 ctx=16 z=4 dec=16 dec_blocks=1 grid=48 grid_layers=1 ctx_blocks=1 knots=3" \
		--batch 2 --patch 64 --steps 1 -o fresh "$X/x.ppm"
	small vae-train --quiet --arch "mlp width=192 height=192 hidden1=8 hidden2=8 z=2" --batch 2 --steps 1 \
		-o mlp "$X/ramp.pgm"
}

@test "a model whose header is nested 2000 deep is refused in little stack" {
	plain_build
	perl -e 'my $h = "{\"x\":" . "[" x 2000 . "]" x 2000 . "}"; print pack("Q<", length $h), $h' \
		>deep.safetensors
	fails 1 "nested deeper" small vae-enc -m ./deep.safetensors "$X/x.ppm"
}
