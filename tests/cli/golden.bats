#!/usr/bin/env bats
# Golden files: the frozen models write the same latents and codes as ever, and decode the same
# pixels, whatever computes them.
load helper

GOLDEN=$DATA/golden

sum() { sha256sum | cut -d ' ' -f 1; }

# What zstd packed: its own bytes may differ between versions of zstd.
content() { zstd -dcq; }

# One line of MODEL.sums with one number of threads.
check() {
	local model=$1 threads=$2 picture=$3 quality=$4 latents=$5 decoded=$6 method name
	vae-enc --exact none --keep-invisible -T "$threads" -m "$model" -q "$quality" "$GOLDEN/$picture" >latents
	assert_equal "$picture $quality $(sum <latents)" "$picture $quality $latents"
	for method in range zstd; do
		name=$model-${picture%.*}-$quality.$method.lat
		vae-quant -T "$threads" --method "$method" latents | content >now
		# alpha is coded in version 2, which is written today
		[[ $picture == *.pam ]] || content <"$GOLDEN/$name" | cmp - now || fail "$name is written otherwise"
		assert_equal "$name $(vae-dec -T "$threads" "$GOLDEN/$name" | sum)" "$name $decoded"
	done
}

golden() {
	local line threads
	[ -z "${2-}" ] || needs_isa "$2"
	export VAE_CPU=${2-} VAE_MODEL_PATH=$DATA:$ROOT/models
	[ -s "$GOLDEN/$1.sums" ] || fail "no golden files of $1"
	for threads in 1 2; do
		while read -ra line; do check "$1" "$threads" "${line[@]}"; done <"$GOLDEN/$1.sums"
	done
}

@test "tiny: scalar" { golden tiny scalar; }
@test "tiny: avx2" { golden tiny avx2; }
@test "tiny: avx512" { golden tiny avx512; }
@test "tiny: neon" { golden tiny neon; }

@test "tiny-int16: scalar" { golden tiny-int16 scalar; }
@test "tiny-int16: avx2" { golden tiny-int16 avx2; }
@test "tiny-int16: avx512" { golden tiny-int16 avx512; }
@test "tiny-int16: neon" { golden tiny-int16 neon; }
@test "tiny-int16: whatever runs fastest" { golden tiny-int16; }

# Each of them; without any, the pattern itself is a model that has no golden files.
photos() {
	local model
	for model in "$ROOT"/models/photo-*.safetensors; do golden "$(basename "$model" .safetensors)" "$1"; done
}
@test "photo: scalar" { photos scalar; }
@test "photo: avx2" { photos avx2; }
@test "photo: avx512" { photos avx512; }
@test "photo: neon" { photos neon; }
@test "mnist-1: scalar" { golden mnist-1 scalar; }
@test "mnist-1: avx2" { golden mnist-1 avx2; }
@test "mnist-1: avx512" { golden mnist-1 avx512; }
@test "mnist-1: neon" { golden mnist-1 neon; }

# The encoder may learn to choose better: what it writes is not compared.
@test "exact: codes give the very pictures, without a model" {
	export VAE_MODEL=none-such
	for file in "$GOLDEN"/exact-*.lat; do
		name=$(basename "$file" .lat)
		vae-dec "$file" | cmp - "$GOLDEN/${name#exact-}".p?m
		vae-quant -d "$file" | cmp - <(vae-enc --lossless "$GOLDEN/${name#exact-}".p?m)
	done
}

@test "mixed: some cells exact, and coded alpha" {
	local name latents decoded
	export VAE_MODEL_PATH=$DATA
	[ -s "$GOLDEN/mixed.sums" ]
	while read -r name latents decoded; do
		assert_equal "$name $(vae-quant -d "$GOLDEN/$name" | sum)" "$name $latents"
		assert_equal "$name $(vae-dec "$GOLDEN/$name" | sum)" "$name $decoded"
		assert_equal "$name $(vae-quant -d "$GOLDEN/$name" | vae-dec | sum)" "$name $decoded"
	done <"$GOLDEN/mixed.sums"
}

# samples [OPTION]...: two pictures drawn from the prior, for each line MODEL SIZE QUALITY SEED SHA-256
samples() {
	local model size quality seed hash
	export VAE_MODEL_PATH=$DATA:$ROOT/models
	[ -s "$GOLDEN/samples.sums" ]
	while read -r model size quality seed hash; do
		assert_equal "$(vae-dec -m "$model" --sample 2 --size "$size" --quality "$quality" --seed "$seed" \
			"$@" | sum)" "$hash"
	done <"$GOLDEN/samples.sums"
}
samples_by() {
	needs_isa "$1"
	export VAE_CPU=$1
	samples
}

@test "samples: scalar" { samples_by scalar; }
@test "samples: avx2" { samples_by avx2; }
@test "samples: avx512" { samples_by avx512; }
@test "samples: neon" { samples_by neon; }
@test "samples: three threads, and bands" { samples -T 3 --band 11; }

@test "samples: one after another is what one by one is not, and the defaults are what the manual says" {
	vae-dec --sample 2 --seed 9 >two
	assert_equal "$(kinds two | uniq)" "PPM RAW 512 512 3 255 RGB"
	vae-dec --sample 1 --seed 9 --size 512x512 --quality 50 | cmp - <(head -c "$(($(size two) / 2))" two)
	differ <(head -c 786432 two) <(tail -c 786432 two)
	differ two <(vae-dec --sample 2)
	vae-dec --sample 1 --seed 1 | cmp - <(vae-dec --sample 1)
}

@test "the golden files stand in the lists, each with both methods" {
	local model
	for model in tiny tiny-int16 "$ROOT"/models/*.safetensors; do
		model=$(basename "$model" .safetensors)
		[ -e "$GOLDEN/$model.sums" ] || fail "no golden files of $model"
		awk -v m="$model" '{ sub(/\.[^.]*$/, "", $1); for (i = 0; i < 2; i++)
			print m "-" $1 "-" $2 (i ? ".zstd.lat" : ".range.lat") }' \
			"$GOLDEN/$model.sums" | sort >expected
		(cd "$GOLDEN" && printf '%s\n' "$model"-*.lat | grep -v "^$model-int16-" | sort) | diff expected -
	done
}
