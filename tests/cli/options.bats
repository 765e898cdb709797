#!/usr/bin/env bats
# Every option of every program is understood, and what is no option, no number or no word is a
# usage error: exit status 2.
load helper

setup_file() {
	photo 48 32 >"$BATS_FILE_TMPDIR/x.ppm"
	export X=$BATS_FILE_TMPDIR/x.ppm
	vae-enc "$X" >"$BATS_FILE_TMPDIR/x.latents"
	vae-quant "$BATS_FILE_TMPDIR/x.latents" >"$BATS_FILE_TMPDIR/x.lat"
	export LATENTS=$BATS_FILE_TMPDIR/x.latents LAT=$BATS_FILE_TMPDIR/x.lat
}

@test "--help: usage on stdout, every common option, a screen of 50 lines and 80 columns at most" {
	local p option
	for p in "${PROGRAMS[@]}"; do
		quiet "$p" --help
		assert_line --index 0 --partial "Usage: $p [OPTION]"
		for option in "-o, --output FILE" "-T, --threads N" "--max-pixels N" "-f, --force" "-v, --verbose" \
			"--quiet" "--help" "-V, --version"; do
			assert_output --partial -- "$option"
		done
		[ "$p" = vae-train ] || assert_output --partial -- "-m, --model NAME|FILE"
		[ "${#lines[@]}" -le 50 ] || fail "$p --help has ${#lines[@]} lines"
		! grep -nE '.{81}' <<<"$output" || fail "a line of $p --help is longer than 80 columns"
	done
}

@test "-h is --help, and other spellings are understood" {
	local p
	for p in "${PROGRAMS[@]}"; do
		"$p" --help >long
		quiet "$p" -h
		diff long <(echo "$output")
		assert_output --partial "-h, --help"
	done
	vae-train --quiet --arch "mlp width=16 height=16 hidden1=8 hidden2=8 z=2" --steps 1 --license CC0-1.0 \
		--optimizer muon \
		-o m <(photo 16 16 | ppmtopgm)
	vae-stat --json m | json_is '$j->[0]{licence} eq "CC0-1.0" && $j->[0]{training} =~ /Muon/i'
	fails 2 "--optimiser: 'sgd' is none of adam|muon" vae-train --steps 1 --optimizer sgd -o m "$X"
	fails 2 "unrecognized option '--license'" vae-enc --license x "$X"
}

@test "--version and -V: name and version" {
	local p
	for p in "${PROGRAMS[@]}"; do
		quiet "$p" --version
		assert_output --regexp "^$p \(vae-tools\) [0-9]+\.[0-9]+\.[0-9]+$"
		local long=$output
		quiet "$p" -V
		assert_output "$long"
	done
}

@test "--help and --version to a full disk are failures" {
	local p
	for p in "${PROGRAMS[@]}"; do
		fails 1 "No space left" shell "$p --help > /dev/full"
		fails 1 "No space left" shell "$p --version > /dev/full"
	done
}

# completes WORDS REPLY: what tools/completion.bash offers for the last of the words.
completes() {
	read -ra COMP_WORDS <<<"$1"
	[[ $1 != *' ' ]] || COMP_WORDS+=("")
	COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
	_vae_tools "${COMP_WORDS[0]}" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
	assert_equal "${COMPREPLY[*]}" "$2"
}

@test "the completion offers options, words, models and codes" {
	local p
	. "$BATS_TEST_DIRNAME/../../tools/completion.bash"
	compopt() { :; } # bash has it only while it completes
	for p in vae "${PROGRAMS[@]}"; do
		COMP_WORDS=("$p" --) COMP_CWORD=1
		_vae_tools "$p" -- "$p"
		assert_equal "$(printf '%s\n' "${COMPREPLY[@]}" | sort)" \
			"$("$p" --help | sed 's/^  *//; s/  .*//' | grep -oE -- '(^|, )--[a-z][a-z0-9-]*' | tr -d ', ' |
			sort)"
	done
	completes "vae-quant --me" "--method"
	completes "vae-quant --method z" "zstd"
	completes "vae-train --precision = b" "bf16"
	completes "vae-dec --reduce " "4 8"
	completes "vae-quant --level 1" ""
	cd "$BATS_TEST_TMPDIR"
	mkdir -p here/models && cd here
	touch a.lat a.ppm models/{me,you-2,'$(touch bad)'}.safetensors
	VAE_MODEL_PATH=$PWD/models completes "vae-enc -m y" "you you-2"
	VAE_MODEL_PATH=$PWD/models completes "vae-enc --model me" "me"
	for p in "vae-dec " "vae-quant -d " "vae -dc " "vae-quant --test "; do
		completes "$p" "a.lat models"
	done
	for p in "vae-enc " "vae-quant " "vae-stat " "vae-dec -o "; do
		completes "$p" ""
	done
	[ ! -e bad ]
}

@test "unknown options, missing and unwanted arguments: exit 2" {
	local p
	for p in "${PROGRAMS[@]}"; do
		fails 2 "unrecognized option '--no-such'" "$p" --no-such
		fails 2 "invalid option -- 'Z'" "$p" -Z
		fails 2 "requires an argument -- 'o'" "$p" -o
		fails 2 "option '--output' requires an argument" "$p" --output
		fails 2 "doesn't allow an argument" "$p" --verbose=1
		fails 2 "empty argument" "$p" --output=
	done
}

@test "numbers of the common options are checked" {
	local p bad
	for p in "${PROGRAMS[@]}"; do
		for bad in -1 1025 2x x "" 1.5 " 1"; do
			fails 2 "--threads" "$p" -T "$bad"
		done
		for bad in 0 -1 1e3 99999999999999999999999; do
			fails 2 "--max-pixels" "$p" --max-pixels "$bad"
		done
	done
}

@test "vae-enc -q: 0 to 100, fractions too" {
	local bad
	for bad in -1 100.1 101 x 0x10 nan inf "" "5 " 5,5; do
		fails 2 "--quality" vae-enc -q "$bad" "$X"
	done
	for good in 0 100 37.5 +5 1e1; do
		vae-enc -q "$good" "$X" >y
	done
	vae-enc "$X" >default
	vae-enc -q 55 "$X" >55
	vae-enc --quality=55 "$X" >long
	cmp default 55
	cmp default long
	vae-enc -q 55.1 "$X" >other
	differ default other
}

@test "vae-quant: --method and --level are checked" {
	local bad
	for bad in "" gzip RANGE rang "range|zstd"; do
		fails 2 "--method" vae-quant --method "$bad" "$LATENTS"
	done
	for bad in 0 20 -1 x ""; do
		fails 2 "--level" vae-quant --level "$bad" "$LATENTS"
	done
	fails 2 "--output" vae-quant -t -o out "$LAT"
	assert_not_exist out
}

@test "vae-quant --effort: checked; 0 rounds, 1 is the default and differs where the model says what errors cost" {
	local bad
	for bad in -1 10 x "" 1.5; do
		fails 2 "--effort" vae-quant --effort "$bad" "$LATENTS"
	done
	vae-quant "$LATENTS" >default
	vae-quant --effort 0 "$LATENTS" >0
	cmp default 0 # this model does not say
	anytopnm "$DATA/photo.png" | pamcut -width 256 -height 128 >x.ppm
	vae-train --init tiny --steps 0 --patch 64 --quiet -o measured x.ppm
	# errors cost nothing
	perl -MJSON::PP -0777 -ne 'my $data = 8 + unpack "V", $_;
		my $header = decode_json substr $_, 8, $data - 8;
		my ($from, $to) = @{$header->{"prior.sensitivity"}{data_offsets}};
		substr($_, $data + $from, $to - $from) = "\0" x ($to - $from); print' measured >told.safetensors
	export VAE_MODEL_PATH=$PWD:$DATA # by its name: a file given by its path must have the id of what it holds
	vae-enc -m told x.ppm >y
	vae-quant -m told y >default
	vae-quant -m told --effort 0 y >0
	vae-quant -m told --effort 1 -T 3 y >1
	vae-quant -m told --effort 9 y >9
	cmp default 1
	differ 0 1
	differ 1 9
	[ "$(wc -c <9)" -lt "$(wc -c <0)" ]
	vae-quant -m told -t 0 1 9
	VAE_CPU=scalar vae-quant -m told y | cmp - 1
}

@test "vae-quant --method range is the default; zstd is another size of the same thing" {
	vae-quant "$LATENTS" >default
	vae-quant --method range "$LATENTS" >range
	vae-quant --method=zstd "$LATENTS" >zstd
	cmp default range
	differ range zstd
	vae-dec range >a.ppm
	vae-dec zstd >b.ppm
	cmp a.ppm b.ppm
}

@test "vae-quant --level: other bytes at most, the same content" {
	local level
	for level in 1 3 19; do
		vae-quant --method zstd --level "$level" "$LATENTS" >"$level.lat"
		zstd -dcq <"$level.lat" >"$level.content"
	done
	cmp 1.content 3.content
	cmp 3.content 19.content
	vae-quant --method zstd "$LATENTS" | cmp - 3.lat
}

@test "vae-quant -t: silent where all is well, and writes nothing" {
	quiet vae-quant -t "$LAT"
	assert_output ""
	quiet vae-quant --test - <"$LAT"
	assert_output ""
	quiet vae-quant -t "$LAT" "$LAT"
	run --separate-stderr -0 vae-quant -t -v "$LAT"
	assert_regex "$stderr" "^vae-quant: .*x\.lat: 48x32 RGB, good$"
}

@test "-v reports each image, --quiet silences it" {
	run --separate-stderr -0 shell 'cat "$X" "$X" | vae-enc -v -q 30 > y'
	assert_equal "${#stderr_lines[@]}" 2
	assert_regex "${stderr_lines[1]}" "^vae-enc: standard input: 48x32 RGB, maxval 255, quality 30"
	run --separate-stderr -0 shell 'vae-quant --verbose y > y.lat'
	assert_equal "${#stderr_lines[@]}" 2
	assert_regex "${stderr_lines[0]}" "^vae-quant: y: 48x32, [0-9]+ bytes, [0-9.]+ bpp, estimate [0-9]+ bytes"
	run --separate-stderr -0 shell 'vae-dec -v y.lat > y.ppm'
	assert_equal "${#stderr_lines[@]}" 2
	assert_regex "${stderr_lines[0]}" "^vae-dec: y.lat: 48x32 RGB, maxval 255, model tiny"
	quiet shell \
		'vae-enc -v --quiet "$X" | vae-quant -v --quiet | vae-dec -v --quiet > y.ppm; vae-stat -v --quiet y.ppm'
}

@test "VAE_CPU: a word that is no name of kernels is an error that lists the names" {
	local bad p
	for bad in avx51 AVX2 "avx2 " none; do
		export VAE_CPU=$bad
		for p in "vae-enc $X" "vae-quant $LATENTS" "vae-quant -d $LAT" "vae-dec $LAT" \
			"vae-dec --salvage $LAT" "vae-dec --sample 1" \
			"vae-stat $DATA/tiny.safetensors"; do
			# shellcheck disable=SC2086 # a program and its options
			fails 1 "VAE_CPU: '$bad' is none of scalar, neon, avx2, avx512" $p -o y
		done
		fails 2 "VAE_CPU: '$bad' is none of scalar, neon, avx2, avx512" vae-train --steps 1 --patch 64 -o y \
			"$X"
		run --separate-stderr -1 vae-stat -r "$X" "$X"
		assert_regex "$stderr" "VAE_CPU: '$bad' is none of scalar, neon, avx2, avx512"
	done
	assert_not_exist y
	VAE_CPU='' vae-dec "$LAT" >a
	VAE_CPU=scalar vae-dec "$LAT" | cmp - a
}

@test "-T: any number of threads gives the same bytes" {
	local threads
	photo 300 200 >large.ppm
	vae-enc -T 1 large.ppm >1.latents
	vae-quant -T 1 1.latents >1.lat
	vae-dec -T 1 1.lat >1.ppm
	for threads in 2 3 7; do
		vae-enc -T "$threads" large.ppm | cmp - 1.latents
		vae-quant --threads="$threads" 1.latents | cmp - 1.lat
		vae-dec --threads "$threads" 1.lat | cmp - 1.ppm
	done
	OMP_NUM_THREADS=3 vae-dec 1.lat | cmp - 1.ppm
}

@test "--max-pixels: the limit is inclusive, and holds for images, latents and codes" {
	quiet shell 'vae-enc --max-pixels 1536 "$X" > y'
	fails 1 "1535" shell 'vae-enc --max-pixels 1535 "$X" > y'
	quiet shell 'vae-quant --max-pixels 1536 "$LATENTS" > y'
	fails 1 "1535" shell 'vae-quant --max-pixels 1535 "$LATENTS" > y'
	quiet shell 'vae-dec --max-pixels 1536 "$LAT" > y'
	fails 1 "1535" shell 'vae-dec --max-pixels 1535 "$LAT" > y'
	fails 1 "1535" shell 'vae-dec --max-pixels 1535 "$LATENTS" > y'
	fails 1 "1535" shell 'vae-quant -d --max-pixels 1535 "$LAT" > y'
	fails 1 "1535" vae-quant -t --max-pixels 1535 "$LAT"
	fails 1 "1535" vae-stat --max-pixels 1535 "$X"
	fails 1 "1535" vae-train --steps 1 --patch 64 --max-pixels 1535 -o m "$X"
}

@test "vae-dec: --seed and FILE do not go with what they cannot serve" {
	fails 2 "--sample" vae-dec --seed 1 "$LAT"
	fails 2 "--sample" vae-dec --sample 1 "$LAT"
	local bad
	for bad in 0 -1 x 4294967297 ""; do
		fails 2 "--sample" vae-dec --sample "$bad"
	done
	fails 2 "--seed" vae-dec --sample 1 --seed -1
	fails 2 "--sample" vae-dec --size 5x5 "$LAT"
	fails 2 "--sample" vae-dec --quality 5 "$LAT"
	for bad in "" 5 5x x5 0x5 5x0 -5x5 5X5 5x5x5 "5x 5" " 5x5" 2147483648x1 1x2147483648 \
		99999999999999999999x1; do
		fails 2 "--size" vae-dec --sample 1 --size "$bad"
	done
	fails 2 "--quality" vae-dec --sample 1 --quality 101
	fails 1 "1535" vae-dec --sample 1 --size 512x3 --max-pixels 1535
}

@test "vae-dec: --crop takes four numbers, --reduce one of two" {
	local bad
	for bad in "" 1 1,2,3 1,2,3,4,5 1,2,0,4 1,2,3,0 -1,2,3,4 1,,3,4 " 1,2,3,4" "1,2,3,4 " 1,2,3,4, a,b,c,d \
		1:2:3:4 +1,2,3,4 1.5,2,3,4 \
		0,0,2147483648,1 99999999999999999999999,0,1,1; do
		fails 2 "--crop" vae-dec --crop "$bad" "$LAT"
	done
	for bad in "" 0 1 2 16 4x "4|8" -4; do
		fails 2 "--reduce" vae-dec --reduce "$bad" "$LAT"
	done
	fails 2 "--crop cannot be combined with --reduce" vae-dec --crop 0,0,1,1 --reduce 4 "$LAT"
	fails 2 "--sample" vae-dec --crop 0,0,1,1 --sample 1
	fails 2 "--sample" vae-dec --reduce 8 --sample 1
}

@test "vae-train: what cannot be trained is a usage error" {
	fails 2 "--steps N or --minutes X is required" vae-train -o m "$X"
	fails 2 "--checkpoint" vae-train --steps 1 --resume -o m "$X"
	fails 2 "--patch" vae-train --steps 1 --patch 65 -o m "$X"
	fails 2 "--patch" vae-train --steps 1 --patch 63 -o m "$X"
	fails 2 "--arch" vae-train --steps 1 --arch gan -o m "$X"
	fails 2 "enc" vae-train --steps 1 --arch "photo enc=1" -o m "$X"
	fails 2 "no key" vae-train --steps 1 --arch "photo colour=1" -o m "$X"
	fails 2 "mlp" vae-train --steps 1 --arch photo --hidden1 5 -o m "$X"
	fails 2 "photo" vae-train --steps 1 --arch mlp --dec 32 -o m "$X"
	fails 2 "--init" vae-train --steps 1 --init tiny --arch photo -o m "$X"
	fails 2 "--init" vae-train --steps 1 --init tiny --lambda 0.001:0.1 -o m "$X"
	fails 2 "mse, ms-ssim or vision" vae-train --steps 1 --arch photo --loss bce -o m "$X"
	fails 2 "bce or mse" vae-train --steps 1 --arch mlp --loss ms-ssim -o m "$X"
	fails 2 "more than 160 pixels a side: 192 at least" vae-train --steps 1 --arch photo --loss ms-ssim \
		--patch 128 -o m "$X"
	# what would have no effect
	fails 2 "share 0.5: loss mse has no metric" vae-train --steps 1 --share 0.5 -o m "$X"
	fails 2 "share 0.5: loss bce has no metric" vae-train --steps 1 --arch mlp --share 0.5 -o m "$X"
	fails 2 "not recoloured" vae-train --steps 1 --arch mlp --recolour 0.5 -o m "$X"
	fails 2 "no lambda" vae-train --steps 1 --arch mlp --lambda 0.1:0.2 -o m "$X"
	# a model of it could not be read
	fails 2 "lambda=1e-09:1 is not MIN:MAX between" vae-train --steps 1 --lambda 1e-9:1 -o m "$X"
	assert_not_exist m
}

@test "vae-train: every number is checked" {
	local pair
	for pair in steps:0 steps:x minutes:0 minutes:-1 batch:0 batch:65537 lr:0 lr:1 lr:x warmup:-1 decay:1.1 \
		decay:-0.1 clip:-1 ema:1 \
		seed:-1 checkpoint-minutes:-1 enc:0 z:0 knots:0 width:0 lambda:0.1 lambda:0:1 lambda:2:1 lambda:1: \
		lambda:a:b loss:l1 precision:half; do
		fails 2 "--${pair%%:*}" vae-train "--${pair%%:*}" "${pair#*:}" -o m "$X"
	done
}

@test "long options may be shortened, options may follow operands, -- ends them" {
	vae-enc --qual 20 "$X" >a
	vae-enc "$X" -q 20 >b
	vae-enc -q20 -- "$X" >c
	cmp a b
	cmp a c
	cp "$X" ./-q
	vae-enc -q 20 -- -q | cmp - a
	fails 2 "ambiguous" vae-enc --ver "$X"
}

@test "a program with more options than the table has room for says so" {
	local count
	for count in 50 57; do
		cat >many.c <<-END
			#include "cli.h"
			int main(int argc, char **argv)
			{
				static struct cli_option rows[$count];
				struct cli_common common;
				for (int i = 0; i < $count; i++)
					rows[i] = (struct cli_option){ CLI_LONG + i, "option", NULL, "help" };
				cli_begin(&(struct cli_program){ .name = "vae-many", .usage = "", .about = "",
					.options = rows, .count = $count }, &common, argc, argv);
				return cli_next() != -1;
			}
		END
		# shellcheck disable=SC2046 # the compiler and its flags, as all was built
		$(cat "$B/flags") -I"$ROOT/tools" -I"$ROOT/lib" many.c "$B/obj/tools/cli.o" -o "many$count"
	done
	quiet ./many50
	fails 1 "more than 64 options" ./many57
}
