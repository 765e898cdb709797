#!/usr/bin/env bats
# vae-train: tiny runs of a few steps. Deterministic, resumable to the bit, stopped in good order,
# and never a NaN in a model.
load helper

# A fresh photo network starts from principal components, which take a second or two: most runs
# start from the tiny model.
PHOTO="photo enc=16 enc_blocks=1 y=16 hyper=16 ctx=16 z=4 dec=16 dec_blocks=1 grid=48 grid_layers=1"
PHOTO+=" ctx_blocks=1 knots=3"
MLP="mlp hidden1=16 hidden2=8 z=4"

setup_file() {
	cd "$BATS_FILE_TMPDIR" || return 1
	local i
	pngtopnm "$DATA/photo.png" >photo.ppm
	pamcut -left 200 -top 150 -width 160 -height 128 photo.ppm >x.ppm
	pamcut -left 400 -top 250 -width 96 -height 96 photo.ppm >valid.ppm
	# things like digits: bright ramps and bars on black
	for i in 1 2 3 4; do
		pgmramp -ellipse 28 28
		pgmramp -lr $((i * 5)) 28 | pnmpad -black -width 28 -height 28
		pgmramp -tb 28 $((i * 5)) | pnmpad -black -width 28 -height 28
	done >digits.pgm
	export X=$BATS_FILE_TMPDIR
	vae-train --arch "$MLP" --steps 20 --batch 8 --warmup 5 --seed 3 -T 1 --quiet -o mlp.safetensors \
		digits.pgm
	fresh_photo_run --steps 6 --quiet -o fresh.safetensors
	photo_run --steps 6 --quiet -o photo.safetensors
}

fresh_photo_run() { vae-train --arch "$PHOTO" --batch 2 --patch 64 --warmup 2 --seed 3 -T 1 "$@" "$X/x.ppm"; }
photo_run() { vae-train --init tiny --batch 2 --patch 64 --warmup 2 --seed 3 -T 1 "$@" "$X/x.ppm"; }
mlp_run() { vae-train --arch "$MLP" --batch 8 --warmup 5 --seed 3 -T 1 "$@" "$X/digits.pgm"; }

# A model's id and tensors, without the words about its making: two runs take different times.
weights() {
	perl -0777 -ne 'my $n = unpack "Q<", $_; my $j = substr $_, 8, $n; $j =~ /"id":"([0-9a-f]{16})"/ or die;
		binmode STDOUT; print "$1 ", substr $_, 8 + $n' "$1"
}
same_weights() { cmp <(weights "$1") <(weights "$2"); }

# The validation loss in a log falls by a fifth.
falls() {
	awk -F'\t' 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "elbo") e = i; else if ($i == "set") s = i;
		next }
		$s == "valid" { if (!n++) first = $e; last = $e } END { exit !(n && last < 0.8 * first) }' "$1" ||
		{ tail -n 3 "$1" | fail; }
}

@test "a few steps of photo make a model that works" {
	local model
	for model in fresh photo; do
		vae-enc -m "$X/$model.safetensors" "$X/x.ppm" | vae-quant >x.lat
		vae-dec -m "$X/$model.safetensors" x.lat >y.ppm
		assert_equal "$(kinds y.ppm)" "PPM RAW 160 128 3 255 RGB"
		at_least "$(psnr y.ppm "$X/x.ppm")" 16
	done
}

@test "a few steps of mlp make a model that works" {
	vae-enc -m "$X/mlp.safetensors" "$X/digits.pgm" | vae-quant >x.lat
	vae-dec -m "$X/mlp.safetensors" x.lat >y.pgm
	assert_equal "$(kinds y.pgm)" "$(kinds "$X/digits.pgm")"
	assert_equal "$(kinds y.pgm | wc -l)" 12
}

@test "--precision: float32 everywhere, an error where bf16 cannot run, auto the better of the two" {
	photo_run --steps 3 --quiet --precision float32 -o float32
	vae-stat -v --json float32 | json_is '$j->[0]{training} =~ / in float32, /'
	VAE_CPU=avx2 photo_run --steps 3 --quiet -o avx2
	vae-stat -v --json avx2 | json_is '$j->[0]{training} =~ / in float32, /'
	VAE_CPU=avx2 fails 2 "AVX512-BF16" photo_run --steps 3 --precision bf16 -o none
	photo_run --steps 3 --quiet -o auto
	if has_bf16; then
		refute same_weights float32 auto
	else
		same_weights float32 auto
	fi
}

has_bf16() { grep -q avx512_bf16 /proc/cpuinfo; }

@test "--precision bf16: is what auto takes" {
	has_bf16 || skip "CPU without AVX512-BF16"
	photo_run --steps 3 --quiet -o auto
	photo_run --steps 3 --quiet --precision bf16 -o bf16
	vae-stat -v --json bf16 | json_is '$j->[0]{training} =~ / in bf16, /'
	same_weights bf16 auto
}

@test "--optimiser: Muon learns too, resumes to the bit, says so in the model, and leaves Adam's checkpoints alone" {
	local run steps=8
	photo_run --steps 3 --quiet -o adam
	photo_run --steps 3 --optimiser adam --quiet -o a
	same_weights a adam
	for run in mlp photo; do
		"${run}_run" --steps $steps --decay 0 --optimiser muon --quiet -o whole
		"${run}_run" --steps 3 --decay 0 --optimiser muon --checkpoint ckpt.$run --quiet -o m
		"${run}_run" --steps $steps --decay 0 --optimiser muon --checkpoint ckpt.$run --resume --quiet -o m
		same_weights m whole
	done
	OMP_NUM_THREADS=3 vae-train --init tiny --batch 1 --patch 64 --steps 3 --seed 3 --optimiser muon \
		--quiet -o a "$X/x.ppm"
	OMP_NUM_THREADS=1 vae-train --init tiny --batch 1 --patch 64 --steps 3 --seed 3 --optimiser muon \
		--quiet -o b "$X/x.ppm"
	same_weights a b
	refute same_weights whole adam
	vae-stat --json whole | json_is '$j->[0]{training} =~ / in (float32|bf16), Muon 0.001, /'
	fails 2 "ckpt.photo: of another optimiser than Adam" photo_run --steps 9 --checkpoint ckpt.photo \
		--resume -o none
	fails 2 "adamw" photo_run --steps 9 --optimiser adamw -o none
}

@test "--loss vision: learns, resumes to the bit, keeps its share" {
	vision_run() { vae-train --init tiny --batch 4 --patch 128 --warmup 2 --lr 0.0001 --seed 3 -T 1 \
		--decay 0 "$@" "$X/photo.ppm"; }
	run --separate-stderr -0 vision_run --loss vision --share 0.6 --steps 40 --log log.tsv \
		--valid "$X/photo.ppm" --checkpoint ckpt --checkpoint-minutes 0 -o whole
	assert_regex "$stderr" \
		"validation, loss [0-9.]+, [0-9.]+ bpp \(z [0-9.]+\), [0-9.]+ dB, SSIMULACRA 2 -?[0-9.]+"
	awk -F'\t' 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next } $at["set"] == "valid" {
		if (!n++) first = $at["loss"]; last = $at["loss"] }
		$at["ssimulacra2"] == "nan" { exit } END { exit !(last < 0.998 * first) }' log.tsv ||
		{ cat log.tsv | fail; }
	vision_run --loss vision --share 0.6 --steps 3 --checkpoint ckpt2 --quiet -o m
	fails 2 "checkpoint ckpt2: of a share of 0.6 of the metric, not 0.8" vision_run --steps 40 \
		--checkpoint ckpt2 --resume --loss vision --share 0.8 -o none
	vision_run --steps 40 --checkpoint ckpt2 --resume --quiet -o m
	same_weights m whole
	vae-stat --json whole | json_is \
		'$j->[0]{loss} eq "vision" && $j->[0]{training} =~ /, loss vision, .* dB, SSIMULACRA 2 -?[0-9.]+$/'
	# vae-enc --refine descends on the same loss
	vae-enc -v -m ./whole --refine 8 -o y "$X/photo.ppm" 2>log
	assert_equal "$(grep -cE 'step [08]: .* dB, SSIMULACRA 2 -?[0-9.]+, loss' log)" 2
	sed -n 's/.*step [08]: .* loss //p' log | awk 'NR == 1 { first = $1 } END { exit !($1 < first) }' ||
		{ cat log | fail; }
	vae-stat --json whole | json_is '$j->[0]{share} == 0.6'
	vae-stat --json "$DATA/tiny.safetensors" | json_is 'exists $j->[0]{share} && !defined $j->[0]{share}'
	vae-train --init ./whole --batch 1 --patch 64 --seed 3 -T 1 --steps 1 --quiet -o more "$X/photo.ppm"
	grep -aqF '"share":"0.6"' more
	fails 2 "--grow needs --init MODEL" vae-train --grow dec_blocks=3 --steps 1 -o none "$X/photo.ppm"
	fails 2 "is not a number from 0 to 1" vision_run --steps 1 --recolour 2 -o none
}

@test "--grow: added blocks and layers change nothing until they are trained" {
	vae-train --init tiny --grow "enc_blocks=2 ctx_blocks=2 dec_blocks=3 grid_layers=3" --patch 64 --steps 0 \
		--quiet -T 1 -o grown "$X/photo.ppm"
	vae-enc -m tiny "$X/photo.ppm" > a.latents
	vae-enc -m ./grown "$X/photo.ppm" > b.latents
	vae-dec a.latents > a.ppm
	vae-dec -m ./grown b.latents > b.ppm
	cmp a.ppm b.ppm
	vae-stat --json grown | json_is '$j->[0]{architecture} =~ / dec_blocks=3 .*grid_layers=3 /'
	fails 2 "can only grow by blocks and layers" vae-train --init tiny --grow dec=99 --steps 1 -o none \
		"$X/photo.ppm"
	fails 2 "no key" vae-train --init tiny --grow depth=9 --steps 1 -o none "$X/photo.ppm"
}

@test "--arith int16: a trained model in integers, nearly as good, to the same bytes by every instruction set" {
	local cpu mse
	vae-train --init tiny --arith int16 --steps 0 --patch 64 --valid "$X/valid.ppm" -T 1 --quiet -o int16 \
		"$X/photo.ppm"
	vae-train --init tiny --arith int16 --steps 0 --patch 64 --valid "$X/valid.ppm" -T 2 --quiet -o again \
		"$X/photo.ppm"
	same_weights int16 again
	vae-stat --json int16 | json_is \
		'$j->[0]{architecture} =~ / arith=int16$/ && $j->[0]{training} =~ /rounded to integers, validation loss/'
	for model in tiny ./int16; do
		vae-enc -m "$model" -q 80 "$X/photo.ppm" | vae-quant -m "$model" >"${model#./}.lat"
		vae-dec -m "$model" "${model#./}.lat" >"${model#./}.ppm"
		mse+=" $(vae-stat --json -r "$X/photo.ppm" "${model#./}.ppm" |
			perl -MJSON::PP -0 -ne 'print decode_json($_)->[0]{mse}') $(wc -c <"${model#./}.lat")"
	done
	awk '{ exit !($3 < 1.002 * $1 && $4 < 1.005 * $2) }' <<<"$mse" ||
		fail "mse and bytes, float and int16:$mse"
	for cpu in scalar avx2 avx512 neon; do
		! runs "$cpu" || VAE_CPU=$cpu vae-dec -m ./int16 int16.lat | cmp - int16.ppm
	done
	vae-enc -m ./int16 -q 80 --refine 3 "$X/x.ppm" | vae-quant -m ./int16 | vae-dec -m ./int16 >refined.ppm
	fails 2 "--arith int16 needs --init MODEL and --steps 0" vae-train --init tiny --arith int16 --steps 1 \
		-o none "$X/photo.ppm"
	# Training goes on in floats, from what the integers are worth.
	vae-train --init ./int16 --lr 1e-9 --warmup 0 --ema 0 --decay 0 --steps 1 --patch 64 --batch 1 -T 1 \
		--quiet -o floats "$X/photo.ppm"
	vae-stat --json floats | json_is '$j->[0]{architecture} !~ /arith/'
	mse=$(for model in ./int16 ./floats; do
		vae-enc -m "$model" -q 80 "$X/x.ppm" | vae-dec -m "$model" >x.ppm
		vae-stat --json -r "$X/x.ppm" x.ppm | perl -MJSON::PP -0 -ne 'print decode_json($_)->[0]{mse}, " "'
	done)
	awk '{ exit !($2 < 1.01 * $1 && $1 < 1.01 * $2) }' <<<"$mse" || fail "mse, int16 and floats: $mse"
	vae-train --init ./int16 --grow dec_blocks=2 --steps 0 --patch 64 -T 1 --quiet -o grown "$X/photo.ppm"
	vae-stat --json grown | json_is \
		'$j->[0]{architecture} =~ /dec_blocks=2/ && $j->[0]{architecture} !~ /arith/'
	fails 2 "is trained in float32" vae-train --arch "$PHOTO arith=int16" --steps 1 -o none "$X/photo.ppm"
	fails 2 "only a photo network in float32" vae-train --init ./int16 --arith int16 --steps 0 -o none \
		"$X/photo.ppm"
	fails 2 "only an initial model, as it stands" vae-train --init tiny --grow dec_blocks=2 --arith int16 \
		--steps 0 -o none "$X/photo.ppm"
}

@test "--full takes images as they stand, --recolour changes what is learned and is drawn again the same" {
	vary() { vae-train --init tiny --batch 1 --patch 64 --steps 3 --warmup 1 --seed 3 -T 1 --quiet "$@"; }
	vary --reduce 0.5:0.7 --full "$X/photo.ppm" -o full "$X/photo.ppm"
	vary --recolour 0.5 -o a "$X/photo.ppm"
	vary --recolour 0.5 -o b "$X/photo.ppm"
	vary -o plain "$X/photo.ppm"
	vary --reduce 0.5:0.7 -o reduced "$X/photo.ppm"
	same_weights a b
	refute same_weights a plain
	refute same_weights full reduced
}

@test "--synthesis: the synthesis alone learns, from other latents than those rounded to the nearest" {
	alone() { vae-train --init tiny --batch 2 --patch 64 --steps 3 --warmup 1 --seed 3 \
		--quiet --synthesis "$@" "$X/photo.ppm"; }
	alone -T 1 -o a
	alone -T 1 -o b
	same_weights a b
	for part in 'enc\.' 'prior\.(ha|hs|ctx|z)\.'; do
		tensors "$DATA/tiny.safetensors" "$part" >before
		tensors a "$part" | cmp - before
		[ -s before ]
	done
	tensors "$DATA/tiny.safetensors" 'dec\.(?!means)' >before
	tensors a 'dec\.(?!means)' >after
	differ after before
	# in two runs, of which the second knows the model by which latents are rounded
	alone -T 1 --steps 2 --decay 0 --checkpoint ckpt -o b
	alone -T 1 --decay 0 --checkpoint ckpt --resume -o b
	alone -T 1 --decay 0 -o a
	same_weights a b
	fails 2 "checkpoint ckpt: of another architecture than model" vae-train --synthesis \
		--init "$X/fresh.safetensors" --checkpoint ckpt --resume --steps 4 -o none "$X/photo.ppm"
	fails 2 "cannot be combined with --grow" alone --grow dec_blocks=2 -o none
	fails 2 "--synthesis needs --init" vae-train --synthesis --steps 1 -o none "$X/photo.ppm"
	fails 2 "dense" vae-train --init mnist --synthesis --steps 1 -o none "$X/photo.ppm"
}

@test "--loss ms-ssim: learns, resumes to the bit, says so in the log and in the model" {
	ms_run() { vae-train --init tiny --batch 1 --patch 192 --warmup 2 --lr 0.0001 --seed 3 -T 1 \
		--loss ms-ssim --decay 0 "$@" "$X/photo.ppm"; }
	local last=100
	run --separate-stderr -0 ms_run --steps $last --log log.tsv --valid "$X/photo.ppm" --checkpoint ckpt \
		--checkpoint-minutes 0 -o whole
	assert_regex "$stderr" \
		"validation, loss [0-9.]+, [0-9.]+ bpp \(z [0-9.]+\), [0-9.]+ dB, MS-SSIM [0-9.]+ dB"
	awk -F'\t' 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next } $at["set"] == "valid" {
		if (!n++) first = $at["loss"]; last = $at["loss"] }
		!($at["ms_ssim"] > 0) { exit } END { exit !(last < 0.985 * first) }' log.tsv || { cat log.tsv |
		fail; }
	ms_run --steps 3 --checkpoint ckpt2 --quiet -o m
	ms_run --steps $last --checkpoint ckpt2 --resume --quiet -o m
	same_weights m whole
	fails 2 "checkpoint ckpt2: of loss ms-ssim, not mse" ms_run --steps $last --checkpoint ckpt2 \
		--resume --loss mse -o none
	vae-stat --json whole | json_is \
		'$j->[0]{loss} eq "ms-ssim" && $j->[0]{training} =~ /, loss ms-ssim, .* dB, MS-SSIM [0-9.]+ dB$/'
	# without --loss, that of the start
	vae-train --init ./whole --batch 1 --patch 192 --seed 3 -T 1 --steps 1 --quiet -o more "$X/photo.ppm"
	vae-stat --json more | json_is '$j->[0]{loss} eq "ms-ssim"'
	vae-train --checkpoint ckpt2 --resume --batch 1 --patch 192 --seed 3 -T 1 --steps $((last + 1)) \
		--quiet -o more "$X/photo.ppm"
	vae-stat --json more | json_is '$j->[0]{loss} eq "ms-ssim"'
	# which needs its patches also if it is not named
	fails 2 "patch 128 is too small for ms-ssim" vae-train --init ./whole --patch 128 --steps 1 -o none \
		"$X/photo.ppm"
	fails 2 "patch 128 is too small for ms-ssim" vae-train --checkpoint ckpt2 --resume --patch 128 \
		--steps 200 -o none "$X/photo.ppm"
	vae-enc -v -m ./whole --refine 8 -o y "$X/photo.ppm" 2>log # descends on the same loss
	assert_equal "$(grep -cE 'step [08]: .* dB, MS-SSIM 0[.0-9]+, loss' log)" 2
	sed -n 's/.*step [08]: .* loss //p' log | awk 'NR == 1 { first = $1 } END { exit !($1 < first) }' ||
		{ cat log | fail; }
	vae-stat --json "$X/photo.safetensors" | json_is '$j->[0]{training} =~ /, loss mse, /'
	fails 2 "160 pixels" photo_run --steps 1 --loss ms-ssim -o none
	vae-train --init tiny --batch 1 --patch 192 --warmup 2 --lr 0.001 --seed 3 -T 1 --decay 0 --steps 3 \
		--quiet -o mse "$X/photo.ppm"
	refute same_weights mse m
}

@test "--clock cpu: minutes are those of the processor, for each thread" {
	fails 2 "--clock" mlp_run --clock sun --steps 1 -o out
	mlp_run --clock cpu --minutes 0.01 --quiet --log log.tsv -o out
	awk -F'\t' 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next } { last = $at["minutes"] } END {
		exit !(last > 0 && last < 0.03) }' log.tsv
}

@test "training lowers the loss" {
	mlp_run --steps 150 --lr 0.01 --optimiser muon --log log.tsv --valid "$X/digits.pgm" --checkpoint ckpt \
		--checkpoint-minutes 0 --quiet -o m
	falls log.tsv
	rm ckpt
	mlp_run --steps 150 --lr 0.01 --log log.tsv --valid "$X/digits.pgm" --checkpoint ckpt \
		--checkpoint-minutes 0 --quiet -o m
	falls log.tsv
}

@test "same seed, same model, bit for bit; another seed, another model" {
	mlp_run --steps 20 --quiet -o a
	same_weights a "$X/mlp.safetensors"
	mlp_run --steps 20 --seed 4 --quiet -o b
	[ "$(weights a | head -c 16)" != "$(weights b | head -c 16)" ]
	if [ -z "${VAE_TEST_FAST-}" ]; then
		fresh_photo_run --steps 6 --quiet -o a
		same_weights a "$X/fresh.safetensors"
	fi
	photo_run --steps 6 -T 2 --quiet -o a
	photo_run --steps 6 -T 2 --quiet -o b
	same_weights a b
}

@test "images on stdin, as operands, or as one of several" {
	vae-train --arch "$MLP" --batch 8 --warmup 5 --seed 3 -T 1 --steps 20 --quiet <"$X/digits.pgm" >a
	same_weights a "$X/mlp.safetensors"
	head -c $((6 * 797)) "$X/digits.pgm" >first
	tail -c +$((6 * 797 + 1)) "$X/digits.pgm" >second
	vae-train --arch "$MLP" --batch 8 --warmup 5 --seed 3 -T 1 --steps 20 --quiet -o b first - <second
	same_weights b "$X/mlp.safetensors"
}

@test "sizes as options are the same as in the architecture line" {
	vae-train --arch mlp --hidden1 16 --hidden2 8 --z 4 --batch 8 --warmup 5 --seed 3 -T 1 --steps 20 \
		--quiet -o a "$X/digits.pgm"
	same_weights a "$X/mlp.safetensors"
	[ -z "${VAE_TEST_FAST-}" ] || return 0
	vae-train --arch "photo ctx=16" --enc 16 --enc-blocks 1 --latent 16 --hyper 16 --z 4 --dec 16 \
		--dec-blocks 1 --grid 48 --grid-layers 1 --knots 3 --batch 2 --patch 64 \
		--warmup 2 --seed 3 -T 1 --steps 6 --quiet -o b "$X/x.ppm"
	same_weights b "$X/fresh.safetensors"
}

@test "photo is the newest network, which sizes change" {
	vae-train --enc 16 --enc-blocks 1 --latent 16 --dec 16 --knots 3 --patch 64 --batch 1 --steps 1 \
		--quiet -o a "$X/x.ppm"
	vae-stat a | grep ' enc=16 .* z=32 steps=2 ctx=96 .* knots=3 lambda=0.0004:0.6'
}

@test "a dense network of another size" {
	pamcut -width 20 -height 12 "$X/x.ppm" | ppmtopgm >x.pgm
	vae-train --arch mlp --width 20 --height 12 --hidden1 8 --hidden2 8 --z 2 --batch 4 --steps 3 \
		--quiet -o a x.pgm
	vae-enc -m ./a x.pgm | vae-quant | vae-dec -m ./a >y.pgm
	assert_equal "$(kinds y.pgm)" "PGM RAW 20 12 1 255 GRAYSCALE"
	fails 1 "20 x 12" vae-enc -m ./a -o out "$X/digits.pgm"
}

@test "every number of the training matters" {
	local option
	for option in "--lr 0.002" "--decay 0.5" "--clip 0.01" "--ema 0.5" "--batch 4" "--warmup 4" \
		"--loss mse"; do
		# shellcheck disable=SC2086
		mlp_run --steps 20 $option --quiet -o a
		[ "$(weights a | head -c 16)" != "$(weights "$X/mlp.safetensors" | head -c 16)" ] ||
			fail "$option changes nothing"
	done
	mlp_run --steps 20 --loss bce --quiet -o a
	same_weights a "$X/mlp.safetensors"
	mlp_run --steps 1 --warmup 18446744073709551615 --log log.tsv --quiet -o a # 2^64 - 1
	assert_equal "$(column lr <log.tsv)" 5.42e-23
	fresh_photo_run --steps 1 --lambda 0.001:0.1 --quiet -o a
	assert_equal "$(vae-stat --tsv a | column architecture | head -n 1 | grep -o 'lambda=.*')" \
		"lambda=0.001:0.1"
}

@test "--reduce: other patches, the same each time; --lossless: the same images by another bound" {
	photo_run --steps 3 --quiet -o plain
	photo_run --steps 3 --reduce 1:1 --quiet -o a
	same_weights a plain
	photo_run --steps 3 --reduce 0.5:0.77 --quiet -o a
	photo_run --steps 3 --reduce 0.5:0.77 --quiet -o b
	same_weights a b
	[ "$(weights a | head -c 16)" != "$(weights plain | head -c 16)" ]
	vae-train --init tiny --batch 2 --patch 64 --warmup 2 --seed 3 -T 1 --steps 3 --reduce 0.5:0.77 \
		--lossless "$X/x.ppm" --quiet -o b "$X/valid.ppm"
	vae-train --init tiny --batch 2 --patch 64 --warmup 2 --seed 3 -T 1 --steps 3 --reduce 0.5:0.77 \
		--quiet -o a "$X/valid.ppm" "$X/x.ppm"
	[ "$(weights a | head -c 16)" != "$(weights b | head -c 16)" ]
	# the bound of lossless images is 1, and so is everyone's with MIN:1
	vae-train --init tiny --batch 2 --patch 64 --warmup 2 --seed 3 -T 1 --steps 3 --reduce 0.5:1 \
		--lossless "$X/x.ppm" --quiet -o b "$X/valid.ppm"
	vae-train --init tiny --batch 2 --patch 64 --warmup 2 --seed 3 -T 1 --steps 3 --reduce 0.5:1 \
		--quiet -o a "$X/valid.ppm" "$X/x.ppm"
	same_weights a b
}

@test "--reduce and --lossless: what is refused" {
	local range
	for range in 0.5 0:1 0.8:0.7 a:b; do
		fails 2 "--reduce: '$range' is not MIN:MAX" vae-train --reduce "$range" --steps 1 -o out "$X/x.ppm"
	done
	fails 2 "reduction by 0.5 to 1.5 is not within 0.0625 to 1" vae-train --reduce 0.5:1.5 --steps 1 -o out \
		"$X/x.ppm"
	fails 2 "reduction by 0.05 to 1 is not within 0.0625 to 1" vae-train --reduce 0.05:1 --steps 1 -o out \
		"$X/x.ppm"
	fails 2 "a dense network takes pictures as they stand" mlp_run --reduce 0.5:1 --steps 1 -o out
	fails 1 "no/such" photo_run --steps 1 --lossless no/such -o out
	only
}

@test "a licence or a summary that no model can hold is refused before the training" {
	fails 2 "the licence is not UTF-8 text" mlp_run --steps 1 --licence $'caf\xe9' -o none
	fails 2 "the summary is not UTF-8 text" mlp_run --steps 1 --summary $'caf\xe9' -o none
	fails 2 "the summary has 20000 bytes, more than 16384" mlp_run --steps 1 \
		--summary "$(head -c 20000 /dev/zero | tr '\0' x)" -o none
	assert_not_exists none
}

@test "a summary of the longest kind is kept whole" {
	local summary
	summary=x$(head -c 8191 /dev/zero | sed 's/\x00/ä/g')
	assert_equal "$(wc -c <<<"$summary")" 16384
	mlp_run --steps 1 --summary "$summary" --licence "$(head -c 16384 /dev/zero | tr '\0' '\001')" \
		--quiet -o a
	vae-stat --json a | SUMMARY=$summary json_is \
		'$j->[0]{training} =~ /; (x\x{e4}{8191})$/ && length $j->[0]{licence} == 16384'
}

@test "licence and summary are kept in the model" {
	mlp_run --steps 2 --licence "CC0-1.0" --summary "bars and ramps" --quiet -o a
	vae-stat --json a >report
	json_is '$j->[0]{training} =~ / in (float32|bf16), Adam /' <report
	json_is '$j->[0]{licence} eq "CC0-1.0" &&
		$j->[0]{training} =~ /^2 steps of 8 samples.*; bars and ramps$/' <report
	# as they are in the initial model, unless others are given
	vae-train --init ./a --steps 0 --quiet -o b "$X/digits.pgm"
	assert_equal "$(vae-stat --json b | sed 's/"file": "b"//')" "$(sed 's/"file": "a"//' report)"
	vae-train --init ./a --steps 0 --licence MIT --summary "looked at again" --quiet -o b "$X/digits.pgm"
	vae-stat --json b | json_is '$j->[0]{licence} eq "MIT" &&
		$j->[0]{training} =~ /^2 steps of 8 samples.*; bars and ramps; looked at again$/'
}

@test "--valid: every picture counts once, however unevenly the batch is shared among threads" {
	# the KL divergence of the means and variances is free of chance
	for threads in 1 2 3; do
		vae-train -m "$X/mlp.safetensors" --steps 1 --lr 1e-9 --batch 5 -T "$threads" \
			--valid "$X/digits.pgm" -o m "$X/digits.pgm" 2>&1 |
			sed -n 's/.*validation.*(KL \(.*\)).*/\1/p' >>kl
	done
	assert_equal "$(wc -l <kl) $(sort -u kl | wc -l)" "3 1"
}

@test "--log: a line for each report, --valid: the validation's figures" {
	run --separate-stderr -0 photo_run --steps 3 --valid "$X/valid.ppm" --log log.tsv -o a
	assert_regex "$stderr" \
		"vae-train: step 3/3, validation, loss [0-9.]+, [0-9.]+ bpp \(z [0-9.]+\), [0-9.]+ dB"
	awk -F'\t' 'NR == 1 { n = NF } NF != n { exit 1 }' log.tsv
	assert_equal "$(column set <log.tsv | sort -u | xargs)" "train valid"
	assert_equal "$(column step <log.tsv | tail -n 1)" 3
	run --separate-stderr -0 mlp_run --steps 3 --valid "$X/digits.pgm" -o a
	assert_regex "$stderr" "ELBO -[0-9.]+ nats \(KL [0-9.]+\)"
	vae-stat --json a >report
	json_is '$j->[0]{training} =~ /validation/' <report
	fails 1 "log" photo_run --steps 1 --log no/log.tsv -o b
	fails 1 "log /dev/full: No space left" mlp_run --steps 5 --log /dev/full -o b
	# what a run has learnt by then is kept
	mlp_run --steps 5 --decay 0 --checkpoint ckpt --quiet -o a
	fails 1 "log /dev/full: No space left" mlp_run --steps 9 --decay 0 --checkpoint ckpt \
		--resume --log /dev/full -o b
	mlp_run --steps 5 --decay 0 --checkpoint ckpt --resume --quiet -o c
	vae-stat --json c | json_is '$j->[0]{training} =~ /^9 steps of/'
	fails 1 "no/such" photo_run --steps 1 --valid no/such -o b
	assert_not_exist b
}

@test "a run of minutes ends after them" {
	mlp_run --minutes 0.02 --quiet -o a
	vae-stat a
}

# tensors MODEL PATTERN: the bytes of those tensors
tensors() {
	perl -MJSON::PP -e 'open F, "<:raw", $ARGV[0] or die; read F, $_, 8; $n = unpack "Q<"; read F, $_, $n;
		$h = decode_json($_);
		for (sort grep /$ARGV[1]/, keys %$h) { ($b, $e) = @{$h->{$_}{data_offsets}}; seek F, 8 + $n + $b, 0;
		read F, $d, $e - $b; print $d }' "$@"
}

@test "--init --steps 0 measures a model and leaves its weights and description alone" {
	photo_run --steps 0 --quiet -o a
	photo_run --steps 0 --quiet -T 2 -o b
	cmp a b
	for part in 'enc\.' 'dec\.(?!means)' 'prior\.(ha|hs|ctx|z)\.'; do
		tensors "$DATA/tiny.safetensors" "$part" >before
		tensors a "$part" | cmp - before
		[ -s before ]
	done
	tensors a 'dec\.means\.' >means
	[ "$(wc -c <means)" -gt 48 ]
	for part in scales.cumulative sensitivity; do # the tables were Gaussians'
		tensors "$DATA/tiny.safetensors" "$part" >before
		tensors a "$part" >after
		differ after before
	done
	vae-stat -v --json "$DATA/tiny.safetensors" |
		perl -MJSON::PP -0777 -ne 'print decode_json($_)->[0]{training}' >then
	vae-stat -v --json a | perl -MJSON::PP -0777 -ne 'print decode_json($_)->[0]{training}' | cmp - then
	vae-train --init ./a --steps 0 --patch 64 --batch 2 --seed 3 --quiet -o c "$X/x.ppm"
	cmp a c
	vae-enc -m ./a -q 70 "$X/x.ppm" | vae-quant >x.lat
	vae-dec -m ./a x.lat | pamscale -quiet -linear -reduce 8 >means.ppm
	vae-dec -m ./a --reduce 8 x.lat >small.ppm
	at_least "$(psnr small.ppm means.ppm)" 30
	fails 2 "--init" vae-train --steps 0 "$X/x.ppm"
}

@test "--init goes on from a model" {
	vae-train --init "$X/mlp.safetensors" --steps 1 --lr 1e-9 --warmup 0 --ema 0 --decay 0 --batch 8 \
		--quiet -o a "$X/digits.pgm"
	vae-enc -m "$X/mlp.safetensors" "$X/digits.pgm" | vae-dec -m "$X/mlp.safetensors" >before
	vae-enc -m ./a "$X/digits.pgm" | vae-dec -m ./a >after
	at_least "$(psnr after before)" 50
	vae-train --init tiny --steps 2 --patch 64 --batch 1 --quiet -o b "$X/x.ppm"
	assert_regex "$(vae-stat --tsv b | column architecture | head -n 1)" "^photo enc=16 "
	[ "$(weights b | head -c 16)" != "$(weights "$DATA/tiny.safetensors" | head -c 16)" ]
}

@test "a run in two parts is the same as one without a break" {
	local run
	for run in photo mlp; do
		local steps=6
		[ $run = photo ] || steps=20
		"${run}_run" --steps $steps --checkpoint whole.$run --checkpoint-minutes 0 --quiet -o whole
		same_weights whole "$X/$run.safetensors"
		# --resume without a checkpoint starts afresh, with a finished one it only writes the model
		"${run}_run" --steps $steps --checkpoint fresh.$run --resume --quiet -o fresh
		same_weights fresh "$X/$run.safetensors"
		"${run}_run" --steps $steps --checkpoint fresh.$run --resume --quiet -o again
		same_weights again "$X/$run.safetensors"
	done
}

@test "a run that is started again without --resume says that it replaces the checkpoint" {
	run --separate-stderr -0 mlp_run --steps 2 --checkpoint ckpt -o a
	refute_regex "$stderr" "resume"
	run --separate-stderr -0 mlp_run --steps 2 --checkpoint ckpt -o a
	assert_regex "$stderr" "^vae-train: ckpt exists and will be replaced; --resume would continue from it"
	run --separate-stderr -0 mlp_run --steps 3 --checkpoint ckpt --resume -o a
	refute_regex "$stderr" "resume"
}

# background COMMAND...: vae-train with its signals as they are by default; pid is left in $pid
background() {
	plainly "$@" 3>&- 2>err &
	pid=$!
}

# More steps than anybody waits for
long_run() {
	background vae-train --arch "$MLP" --batch 8 --warmup 5 --seed 3 -T 1 --decay 0 --steps 100000000 \
		--checkpoint ckpt --checkpoint-minutes 0.0005 -o out "$@" "$X/digits.pgm"
}

@test "killed with SIGKILL, a run resumes to the same model as one without a break" {
	local at
	long_run
	wait_for test -s ckpt
	kill -s KILL "$pid"
	ends 137 "$pid"
	assert_not_exist out
	cp ckpt before
	long_run --resume
	wait_for differ ckpt before
	kill -s KILL "$pid"
	ends 137 "$pid"
	# where it stands (lib/train/checkpoint.h)
	cp ckpt copy
	at=$(perl -0777 -ne 'print unpack "Q<", substr $_, 336, 8' ckpt)
	mlp_run --decay 0 --steps $((at + 50)) --checkpoint copy --resume --quiet -o resumed
	mlp_run --decay 0 --steps $((at + 50)) --quiet -o whole
	same_weights resumed whole
}

@test "a checkpoint that cannot be written is refused before the training, not at its first writing" {
	local bad
	mkfifo fifo
	for bad in no/such/ckpt . fifo /dev/null; do
		fails 1 "checkpoint $bad: " mlp_run --steps 1 --checkpoint $bad --log log.tsv -o out
		assert_not_exist log.tsv
	done
	only fifo
}

@test "INT and TERM write the checkpoint and leave in good order" {
	local signal at
	for signal in INT TERM; do
		rm -f ckpt log.tsv
		background vae-train --arch "$MLP" --batch 8 --warmup 5 --seed 3 -T 1 --decay 0 --steps 100000000 \
			--checkpoint ckpt --log log.tsv -o out "$X/digits.pgm"
		wait_for eval '[ "$(wc -l <log.tsv 2>/dev/null || echo 0)" -ge 2 ]'
		kill -s "$signal" "$pid"
		ends 0 "$pid"
		assert_regex "$(tail -n 1 err)" "^vae-train: stopped at step [0-9]+; --resume goes on from ckpt$"
		only ckpt log.tsv err
	done
	at=$(grep -o 'step [0-9]*' err | tail -n 1 | cut -d ' ' -f 2)
	cp ckpt copy
	mlp_run --decay 0 --steps $((at + 10)) --checkpoint copy --resume --quiet -o resumed
	mlp_run --decay 0 --steps $((at + 10)) --quiet -o whole
	same_weights resumed whole
}

@test "INT without a checkpoint: nothing is kept, and that is a failure" {
	background vae-train --arch "$MLP" --batch 8 --steps 100000000 --log log.tsv -o out "$X/digits.pgm"
	wait_for test -s log.tsv
	kill -s INT "$pid"
	ends 1 "$pid"
	assert_regex "$(tail -n 1 err)" "nothing is kept"
	only log.tsv err
}

@test "the log goes on when a run is resumed" {
	mlp_run --steps 5 --decay 0 --checkpoint ckpt --log log.tsv --quiet -o a
	mlp_run --steps 9 --decay 0 --checkpoint ckpt --resume --log log.tsv --quiet -o a
	assert_equal "$(grep -c ^step log.tsv)" 1
	assert_equal "$(column step <log.tsv | xargs)" "5 9"
	# names of columns once, in any file, and nothing of a line that broke off
	mlp_run --steps 11 --decay 0 --checkpoint ckpt --resume --log new.tsv --quiet -o a
	head -n 1 log.tsv | cmp - <(head -n 1 new.tsv)
	assert_equal "$(column step <new.tsv)" 11
	truncate -s -9 new.tsv
	mlp_run --steps 12 --decay 0 --checkpoint ckpt --resume --log new.tsv --quiet -o a
	assert_equal "$(column step <new.tsv | xargs)" 12
	printf 'step\tmin' >new.tsv
	mlp_run --steps 12 --decay 0 --checkpoint ckpt --resume --log new.tsv --quiet -o a
	cmp new.tsv <(head -n 1 log.tsv)
	mlp_run --steps 13 --decay 0 --checkpoint ckpt --resume --log /dev/stdout --quiet -o a |
		cat >piped
	assert_equal "$(column step <piped)" 13
}

@test "a run that diverges stops with advice, and writes neither model nor checkpoint" {
	fails 1 "diverged at step *lower the rate" mlp_run --loss mse --lr 0.999 --warmup 0 --steps 2000 \
		--quiet --checkpoint ckpt -o out
	only
	fails 1 "diverged at step *lower the rate" photo_run --lr 0.999 --warmup 0 --steps 2000 --batch 1 \
		--quiet -o out
	only
}

@test "a run that diverges leaves the model and the checkpoint that were there" {
	mlp_run --loss mse --steps 5 --quiet --checkpoint ckpt -o out
	cp out out.before
	cp ckpt ckpt.before
	fails 1 "diverged" mlp_run --loss mse --lr 0.999 --warmup 0 --steps 2000 --quiet --checkpoint ckpt -o out
	cmp out out.before
	cmp ckpt ckpt.before
}

@test "pictures that do not suit are left out in words; none left is a failure" {
	run --separate-stderr -0 vae-train --arch "$MLP" --steps 2 --batch 2 -o a "$X/x.ppm" "$X/digits.pgm"
	assert_regex "${stderr_lines[0]}" "x.ppm: left out: .*160 x 128"
	run --separate-stderr -1 vae-train --arch "$MLP" --steps 2 --batch 2 -o b "$X/x.ppm"
	assert_regex "${stderr_lines[1]}" "no picture to train on"
	run --separate-stderr -1 vae-train --arch "$PHOTO" --patch 128 --steps 2 -o b "$X/valid.ppm"
	assert_not_exist b
}

@test "--sample: the same seed draws the same pictures, from any number of threads" {
	cp "$X/mlp.safetensors" mine.safetensors
	vae-dec -m ./mine.safetensors --sample 5 --seed 7 >a
	vae-dec -m ./mine.safetensors --sample 5 --seed 7 -T 2 >b
	cmp a b
	assert_equal "$(kinds a | uniq)" "PGM RAW 28 28 1 255 GRAYSCALE"
	assert_equal "$(kinds a | wc -l)" 5
	vae-dec -m ./mine.safetensors --sample 2 --seed 7 >few
	head -c "$(size few)" a | cmp - few
	vae-dec -m ./mine.safetensors --sample 5 --seed 8 >other
	differ a other
	vae-dec -m ./mine.safetensors --sample 5 >default
	vae-dec -m ./mine.safetensors --sample 5 --seed 1 | cmp - default
	vae-dec -m ./mine.safetensors --sample 5 --seed 7 --size 28x28 --quality 3 | cmp - a
	fails 1 "28 x 28" vae-dec -m ./mine.safetensors --sample 1 --size 28x29 -o out
	assert_not_exist out
}

@test "progress: figures are means over many steps, and what is done before and after them has a name" {
	needs_terminal
	export -f fresh_photo_run
	export PHOTO
	script -qec "fresh_photo_run --steps 100000 --minutes 0.1 --log log.tsv -o a" /dev/null </dev/null |
		tr '\r' '\n' >said
	awk -F'\t' 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next } $at["set"] == "train" {
		step = $at["step"]; loss = $at["loss"]
		d = before ? step - before : 0; all += d; share = d ? d / (all < 200 ? all : 200) : 1;
		if (share > 1) share = 1
		mean += share * (loss - mean); mse += share * (exp(-log(10) * $at["psnr"] / 10) - mse);
		before = step }
		END { printf "%.3f %.2f\n", mean, -10 * log(mse) / log(10) }' log.tsv >mean
	grep -o 'step [0-9].* left' said | tail -n 1 |
		sed 's/.* loss \([0-9.]*\)[0-9],.* \([0-9.]*\) dB.*/\1 \2/' >last
	[ "$(grep -c train log.tsv)" -ge 2 ]
	awk 'NR == FNR { a = $1; b = $2; next } { exit !(($1 - a) ^ 2 < 0.002 ^ 2 && ($2 - b) ^ 2 < 0.02 ^ 2) }' \
		mean last || { cat mean last | fail; }
	grep -q "principal components, first steps" said
	grep -q "measuring the model for its tables" said
}

@test "a network that has too few latents for the images says so" {
	run --separate-stderr -0 fresh_photo_run --steps 1 -o a
	assert_regex "$stderr" \
		"principal components, as many as --latent, represent the images with [12][0-9]\.[0-9] dB, .*; a greater --latent"
	run --separate-stderr -0 photo_run --steps 1 -o b
	refute_regex "$stderr" "principal components"
}
