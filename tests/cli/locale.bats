#!/usr/bin/env bats
# The programs read and write the same numbers in every locale: here in one with a decimal comma.
load helper

setup_file() {
	cd "$BATS_FILE_TMPDIR" || return 1
	localedef --no-archive -i de_DE -f UTF-8 "$PWD/de_DE.UTF-8" || return 1
	photo 64 48 >x.ppm
	export X=$BATS_FILE_TMPDIR
}

german() { LOCPATH=$X LC_ALL=de_DE.UTF-8 "$@"; }

# alike COMMAND...: the same bytes on standard output, the same words on standard error but for seconds
alike() {
	"$@" >plain 2>plain.words
	german "$@" >german 2>german.words
	cmp plain german
	diff <(sed 's/[0-9.]* s$//' plain.words) <(sed 's/[0-9.]* s$//' german.words)
}

@test "the locale has a decimal comma" {
	assert_equal "$(german locale decimal_point)" ","
}

@test "streams, reports and notes are the same under a locale with a decimal comma" {
	alike vae-enc -v -q 37.5 "$X/x.ppm"
	cp plain x.latents
	alike vae-quant -v x.latents
	cp plain x.lat
	alike vae-dec -v x.lat
	cp plain y.ppm
	for format in --json --tsv ""; do
		# shellcheck disable=SC2086 # an option or none
		alike vae-stat $format -r "$X/x.ppm" y.ppm
		# shellcheck disable=SC2086
		alike vae-stat $format x.lat x.latents "$DATA/tiny.safetensors"
	done
}

@test "options take points, and only points, under a locale with a decimal comma" {
	german fails 2 "'37,5' is not a number from 0 to 100" vae-enc -q 37,5 "$X/x.ppm"
	german fails 2 "'0,1:1' is not MIN:MAX" vae-train --reduce 0,1:1 "$X/x.ppm"
	german vae-train \
		--arch \
		"photo enc=16 enc_blocks=1 y=16 hyper=16 ctx=16 z=4 dec=16 dec_blocks=1 grid=48 grid_layers=1 ctx_blocks=1 knots=3 lambda=0.001:0.5" \
		--steps 1 --patch 64 --batch 1 --lr 0.0005 --log log --quiet -o m.safetensors <(photo 64 64)
	vae-stat --json m.safetensors |
		json_is '$j->[0]{architecture} =~ /lambda=0.001:0.5$/ && $j->[0]{training} =~ /Adam 0.0005,/'
	refute grep -q , log
}
