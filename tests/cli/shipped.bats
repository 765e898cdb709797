#!/usr/bin/env bats
# The shipped models, found as a user finds them: beside the programs, with nothing set and nothing installed.
load helper

setup_file() {
	unset VAE_MODEL VAE_MODEL_PATH
	pngtopnm "$DATA/photo.png" >"$BATS_FILE_TMPDIR/x.ppm"
	export X=$BATS_FILE_TMPDIR/x.ppm
}

# needs NAME: the model is there, and nothing is set that would name another
needs() {
	unset VAE_MODEL VAE_MODEL_PATH
	compgen -G "$ROOT/models/$1-*.safetensors" >/dev/null || fail "no model $1"
}

@test "photo: the pipe as written, PNG to PNG" {
	needs photo
	pngtopnm "$DATA/photo.png" | vae-enc -m photo | vae-quant >x.lat && vae-dec <x.lat | pnmtopng >y.png
	pngtopnm y.png >y.ppm
	at_least "$(psnr y.ppm "$X")" 27
	[ "$(size x.lat)" -lt 100000 ]
}

@test "photo: more quality, more bytes and more PSNR" {
	needs photo
	local q bytes=0 db=0 now
	pamcut -left 100 -top 100 -width 320 -height 256 "$X" >x.ppm
	for q in 0 20 40 60 80 100; do
		vae-enc -q $q x.ppm | vae-quant >x.lat
		vae-dec x.lat >y.ppm
		now=$(psnr y.ppm x.ppm)
		[ "$(size x.lat)" -gt "$bytes" ] || fail "quality $q: $(size x.lat) bytes after $bytes"
		awk -v a="$now" -v b="$db" 'BEGIN { exit !(a > b) }' || fail "quality $q: $now dB after $db"
		bytes=$(size x.lat) db=$now
	done
}

@test "photo: grey, 16 bits, 1x1, 1x3000, 3000x1, bits, alpha" {
	needs photo
	pamcut -left 100 -top 100 -width 96 -height 80 "$X" >rgb.ppm
	ppmtopgm rgb.ppm >grey.pgm
	pgmtopbm grey.pgm >bits.pbm
	pamdepth 65535 rgb.ppm >deep.ppm
	pamcut -width 1 -height 1 rgb.ppm >one.ppm
	pamscale -xsize 1 -ysize 3000 rgb.ppm >column.ppm
	pamscale -xsize 3000 -ysize 1 rgb.ppm >row.ppm
	pamstack -tupletype RGB_ALPHA rgb.ppm grey.pgm >alpha.pam
	vae-enc rgb.ppm grey.pgm bits.pbm deep.ppm one.ppm column.ppm row.ppm alpha.pam | vae-quant >all.lat
	vae-dec all.lat >all
	cat rgb.ppm grey.pgm bits.pbm deep.ppm one.ppm column.ppm row.ppm alpha.pam >given
	assert_equal "$(kinds all)" "$(kinds given)"
	vae-stat --tsv -r given all | column psnr_db | head -n 2 | while read -r db; do at_least "$db" 24; done
	vae-enc alpha.pam | vae-quant | vae-dec | pamchannel -infile - 3 | cmp - <(pamchannel -infile alpha.pam 3)
	# grey comes back grey, and a dark pixel dark
	at_least "$(pamcut -width 1 -height 1 rgb.ppm | vae-enc -q 100 | vae-quant | vae-dec |
		vae-stat --tsv -r one.ppm | column psnr_db)" 15
}

@test "photo-ms: in as many bytes, more structural similarity and less PSNR than photo" {
	needs photo-ms
	local bpp model
	for bpp in 0.2 0.8; do
		for model in photo photo-ms; do
			vae-enc -m $model --target-bpp $bpp "$X" | vae-quant | vae-dec >$model.ppm
		done
		at_least "$(vae-stat --tsv -r "$X" photo-ms.ppm | column ms_ssim)" \
			"$(vae-stat --tsv -r "$X" photo.ppm | column ms_ssim)"
		at_least "$(psnr photo.ppm "$X")" "$(psnr photo-ms.ppm "$X")"
	done
	vae-stat --json "$(compgen -G "$ROOT/models/photo-ms-*.safetensors" | sort -V | tail -n 1)" |
		json_is '$j->[0]{loss} eq "ms-ssim"'
}

@test "photo: a copy of the model by its path, on vae-enc alone" {
	needs photo
	local model
	model=$(compgen -G "$ROOT/models/photo-[0-9]*.safetensors" | sort -V | tail -n 1)
	cp "$model" ./mine.safetensors
	pamcut -left 100 -top 100 -width 64 -height 48 "$X" >x.ppm
	mkdir bin
	cp "$B"/vae-enc "$B"/vae-quant bin # where they cannot find the model beside them
	bin/vae-enc -m ./mine.safetensors x.ppm | bin/vae-quant >x.lat
	vae-dec x.lat | vae-stat -r x.ppm
}

# same_bytes ISA: from one thread and from two, as from what this machine takes of itself
same_bytes() {
	needs photo
	needs_isa "$1"
	local threads
	pamcut -left 300 -top 100 -width 150 -height 130 "$X" >x.ppm
	vae-enc x.ppm >x.latents
	vae-quant x.latents >x.lat
	vae-dec x.lat >y.ppm
	export VAE_CPU=$1
	for threads in 1 2; do
		vae-enc -T $threads x.ppm | cmp - x.latents
		vae-quant -T $threads x.latents | cmp - x.lat
		vae-dec -T $threads x.lat | cmp - y.ppm
	done
}

@test "photo: the same bytes from any number of threads: scalar" { same_bytes scalar; }
@test "photo: the same bytes from any number of threads: avx2" { same_bytes avx2; }
@test "photo: the same bytes from any number of threads: avx512" { same_bytes avx512; }
@test "photo: the same bytes from any number of threads: neon" { same_bytes neon; }

@test "photo: the coder is as good as its tables, and the tables as the model" {
	needs photo
	local q
	for q in 10 50 90; do vae-enc -q $q "$X" | vae-quant; done >all.lat
	vae-stat --json all.lat >report
	json_is '!grep { $_->{file_bytes} > 1.005 * $_->{estimate_bytes} + 64 } @$j' <report
	json_is '!grep { $_->{y_estimate_bytes} > 1.015 * $_->{y_float_bytes} } @$j' <report
}

@test "photo: at most 16 MB, at most 9 kMAC/pixel to decode, with a licence" {
	needs photo
	local model
	model=$(compgen -G "$ROOT/models/photo-[0-9]*.safetensors" | sort -V | tail -n 1)
	[ "$(size "$model")" -le 16000000 ]
	vae-stat --json "$model" >report
	json_is '$j->[0]{decoder_kmac_pixel} <= 9 && $j->[0]{encoder_kmac_pixel} > 0 &&
		length $j->[0]{licence} && length $j->[0]{training}' <report
}

@test "mnist: digits come back as digits" {
	needs mnist
	vae-enc -m mnist -q 80 "$DATA/golden/digits.pgm" | vae-quant >x.lat
	vae-dec x.lat >y.pgm
	assert_equal "$(kinds y.pgm)" "$(kinds "$DATA/golden/digits.pgm")"
	vae-stat --tsv -r "$DATA/golden/digits.pgm" y.pgm | column psnr_db | head -n 6 |
		while read -r db; do at_least "$db" 10; done
	[ "$(size x.lat)" -lt 1200 ]
	vae-stat --json "$ROOT"/models/mnist-*.safetensors >report
	json_is '$j->[0]{architecture} =~ /^mlp .* z=(\d+)/ && $1 <= 32' <report
}

@test "mnist: it draws digits, the same from the same seed" {
	needs mnist
	vae-dec -m mnist --sample 64 --seed 7 >a
	assert_equal "$(kinds a | sort | uniq -c | awk '{ print $1, $2, $4, $5 }')" "64 PGM 28 28"
	vae-dec -m mnist --sample 64 --seed 7 -T 1 | cmp - a
	# mostly black, but ink on each
	pamsplit -quiet a 'sample.%d.pgm'
	for i in 0 31 63; do
		pamsumm -mean -normalize -brief "sample.$i.pgm"
	done | awk '!($1 > 0.02 && $1 < 0.5) { exit 1 }'
}

# same_digits ISA
same_digits() {
	needs mnist
	needs_isa "$1"
	vae-dec -m mnist --sample 64 --seed 7 >a
	VAE_CPU=$1 vae-dec -m mnist --sample 64 --seed 7 | cmp - a
}

@test "mnist: the same digits: scalar" { same_digits scalar; }
@test "mnist: the same digits: avx2" { same_digits avx2; }
@test "mnist: the same digits: avx512" { same_digits avx512; }
@test "mnist: the same digits: neon" { same_digits neon; }
