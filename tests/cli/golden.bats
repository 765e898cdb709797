#!/usr/bin/env bats
# Golden files: the frozen models write the same latents and codes as ever, and decode the same pixels, whatever computes them.
load helper

GOLDEN=$DATA/golden

sum() { sha256sum | cut -d ' ' -f 1; }

# runs ISA: this machine has it
runs() {
	local machine
	machine=$(uname -m)
	case $1 in
	scalar) ;;
	neon) [ "$machine" = aarch64 ] ;;
	avx2) [ "$machine" = x86_64 ] && grep -qw avx2 /proc/cpuinfo && grep -qw fma /proc/cpuinfo ;;
	avx512) [ "$machine" = x86_64 ] && [ "$(grep -owE 'avx512(f|dq|bw|vl)' /proc/cpuinfo | sort -u | wc -l)" = 4 ] ;;
	esac
}

# What zstd packed: its own bytes may differ between versions of zstd.
content() { zstd -dcq; }

# One line of MODEL.sums with one number of threads.
check() {
	local model=$1 threads=$2 picture=$3 quality=$4 latents=$5 decoded=$6 method name
	vae-enc -T "$threads" -m "$model" -q "$quality" "$GOLDEN/$picture" >latents
	assert_equal "$picture $quality $(sum <latents)" "$picture $quality $latents"
	for method in range zstd; do
		name=$model-${picture%.*}-$quality.$method.lat
		vae-quant -T "$threads" --method "$method" latents | content >now
		content <"$GOLDEN/$name" | cmp - now || fail "$name is written otherwise"
		assert_equal "$name $(vae-dec -T "$threads" "$GOLDEN/$name" | sum)" "$name $decoded"
	done
}

golden() {
	local line threads
	[ -e "$GOLDEN/$1.sums" ] || skip "no golden files of $1"
	runs "$2" || skip "this machine has no $2"
	export VAE_CPU=$2 VAE_MODEL_PATH=$DATA:$ROOT/models
	[ -e "$DATA/$1.safetensors" ] || [ -e "$ROOT/models/$1.safetensors" ] || skip "no model $1"
	for threads in 1 2; do
		while read -ra line; do check "$1" "$threads" "${line[@]}"; done <"$GOLDEN/$1.sums"
	done
}

@test "tiny: scalar" { golden tiny scalar; }
@test "tiny: avx2" { golden tiny avx2; }
@test "tiny: avx512" { golden tiny avx512; }
@test "tiny: neon" { golden tiny neon; }
photos() {
	local model
	for model in "$ROOT"/models/photo-*.safetensors; do
		[ ! -e "$model" ] || golden "$(basename "$model" .safetensors)" "$1"
	done
}
@test "photo: scalar" { photos scalar; }
@test "photo: avx2" { photos avx2; }
@test "photo: avx512" { photos avx512; }
@test "photo: neon" { photos neon; }
@test "mnist-1: scalar" { golden mnist-1 scalar; }
@test "mnist-1: avx2" { golden mnist-1 avx2; }
@test "mnist-1: avx512" { golden mnist-1 avx512; }
@test "mnist-1: neon" { golden mnist-1 neon; }

# MODEL SIZE QUALITY SEED SHA-256: two pictures drawn from the prior
@test "samples: every kind of kernel, any number of threads, bands" {
	local isa model size quality seed hash
	export VAE_MODEL_PATH=$DATA:$ROOT/models
	while read -r model size quality seed hash; do
		for isa in scalar avx2 avx512 neon; do
			runs "$isa" || continue
			assert_equal "$isa $(VAE_CPU=$isa vae-dec -m "$model" --sample 2 --size "$size" --quality "$quality" --seed "$seed" | sum)" "$isa $hash"
		done
		assert_equal "$(vae-dec -m "$model" --sample 2 --size "$size" --quality "$quality" --seed "$seed" -T 3 --band 11 | sum)" "$hash"
	done <"$GOLDEN/samples.sums"
}

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
	for model in tiny "$ROOT"/models/*.safetensors; do
		model=$(basename "$model" .safetensors)
		[ -e "$GOLDEN/$model.sums" ] || fail "no golden files of $model"
		awk -v m="$model" '{ sub(/\.[^.]*$/, "", $1); for (i = 0; i < 2; i++) print m "-" $1 "-" $2 (i ? ".zstd.lat" : ".range.lat") }' \
			"$GOLDEN/$model.sums" | sort >expected
		(cd "$GOLDEN" && printf '%s\n' "$model"-*.lat | sort) | diff expected -
	done
}
