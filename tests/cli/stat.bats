#!/usr/bin/env bats
# vae-stat: tells what it reads, and its figures are those that one can compute oneself. Three
# layouts of the same records.
load helper

setup_file() {
	cd "$BATS_FILE_TMPDIR" || return 1
	photo 200 170 >x.ppm
	photo 48 40 | ppmtopgm >small.pgm
	pgmramp -lr 48 40 >alpha.pgm
	pamstack -tupletype GRAYSCALE_ALPHA small.pgm alpha.pgm >x.pam
	vae-enc -q 37.5 x.ppm >x.latents
	vae-quant x.latents >x.lat
	vae-quant --method zstd x.latents >z.lat
	vae-dec x.lat >y.ppm
	vae-enc x.pam | vae-quant >a.lat
	vae-train --arch "mlp hidden1=8 hidden2=8 z=3" --steps 1 --batch 2 --quiet --licence 'MIT "no\joke"' \
		-o mlp.safetensors <(photo 28 28 | ppmtopgm)
	export X=$BATS_FILE_TMPDIR
}

# value NAME: of the only record in TSV on stdin
value() { column "$1" | head -n 1; }

@test "images: geometry of each" {
	cat "$X/x.ppm" "$X/small.pgm" "$X/x.pam" >three
	quiet vae-stat --tsv three
	assert_line --index 0 $'kind\tfile\timage\twidth\theight\ttuple\tdepth\tmaxval'
	assert_line --index 1 $'image\tthree\t1\t200\t170\tRGB\t3\t255'
	assert_line --index 2 $'image\tthree\t2\t48\t40\tGRAYSCALE\t1\t255'
	assert_line --index 3 $'image\tthree\t3\t48\t40\tGRAYSCALE_ALPHA\t2\t255'
	assert_equal "${#lines[@]}" 4
}

@test "PSNR is what its definition says" {
	local wanted
	wanted=$(perl -0777 -e 'sub samples { open F, "<:raw", $_[0] or die; my $s = <F>;
		$s =~ s/^P6\s+\d+\s+\d+\s+\d+\s//; unpack "C*", $s }
		my @a = samples($ARGV[0]); my @b = samples($ARGV[1]); @a == 200 * 170 * 3 && @a == @b or die;
		my $sum = 0; $sum += (($a[$_] - $b[$_]) / 255) ** 2 for 0 .. $#a;
		printf "%.6f %.3f", $sum / @a, -10 * log($sum / @a) / log 10' "$X/y.ppm" "$X/x.ppm")
	quiet vae-stat --tsv -r "$X/x.ppm" "$X/y.ppm"
	assert_equal "$(printf '%.6f %.3f' "$(value mse <<<"$output")" "$(value psnr_db <<<"$output")")" "$wanted"
	awk -v s="$(value ms_ssim <<<"$output")" 'BEGIN { exit !(s > 0.5 && s < 1) }'
}

@test "equal pictures: infinite PSNR, MS-SSIM 1; null in JSON" {
	quiet vae-stat --tsv --reference="$X/x.ppm" "$X/x.ppm"
	assert_equal "$(value mse <<<"$output") $(value psnr_db <<<"$output") $(value ms_ssim <<<"$output")" \
		"0 inf 1"
	quiet vae-stat --json -r "$X/x.ppm" "$X/x.ppm"
	json_is '@$j == 1 && $j->[0]{mse} == 0 && !defined $j->[0]{psnr_db} && $j->[0]{ms_ssim} == 1' <<<"$output"
}

@test "MS-SSIM needs 161 pixels a side, and is not there below" {
	vae-enc "$X/small.pgm" | vae-quant | vae-dec >y.pgm
	quiet vae-stat --json -r "$X/small.pgm" y.pgm
	json_is '$j->[0]{psnr_db} > 10 && exists $j->[0]{ms_ssim} && !defined $j->[0]{ms_ssim}' <<<"$output"
}

@test "references go pair by pair, a single one serves all; the average" {
	cat "$X/x.ppm" "$X/y.ppm" >references
	quiet vae-stat --json -r references "$X/y.ppm" "$X/y.ppm"
	json_is '@$j == 3 && $j->[0]{mse} > 0 && $j->[1]{mse} == 0 && $j->[2]{kind} eq "average" &&
		$j->[2]{images} == 2
		&& abs($j->[2]{mse} - $j->[0]{mse} / 2) < 1e-9' <<<"$output"
	quiet vae-stat --json -r "$X/x.ppm" -r "$X/y.ppm" "$X/y.ppm" "$X/y.ppm"
	json_is '$j->[0]{mse} > 0 && $j->[1]{mse} == 0' <<<"$output"
	quiet vae-stat --json -r "$X/x.ppm" "$X/y.ppm" "$X/x.ppm" "$X/y.ppm"
	json_is '@$j == 4 && $j->[0]{mse} == $j->[2]{mse} && $j->[1]{mse} == 0' <<<"$output"
	quiet vae-stat --tsv -r - "$X/y.ppm" <"$X/x.ppm"
}

@test "references of another size, of another kind, or too few: a failure" {
	fails 1 "" vae-stat -r "$X/small.pgm" "$X/x.ppm"
	run --separate-stderr -1 vae-stat -r "$X/x.ppm" -r "$X/x.ppm" "$X/x.ppm" "$X/x.ppm" "$X/x.ppm"
	assert_regex "$stderr" "more images than references \(2\)"
	run --separate-stderr -1 vae-stat -r "$X/x.lat" "$X/x.ppm"
	pamdepth 65535 "$X/x.ppm" >deep.ppm
	quiet vae-stat --tsv -r "$X/x.ppm" deep.ppm
	at_least "$(value psnr_db <<<"$output")" 100
}

@test "latents: header and every channel, as a script reads them" {
	local wanted
	quiet vae-stat --json "$X/x.latents"
	wanted=$(perl -0777 -ne 'my $at = index($_, "ENDHDR\n") + 7; my @y = unpack "f<*", substr $_, $at;
		my ($n, $s, $q) = (0, 0, 0);
		for (my $i = 3; $i < @y; $i += 16) { $n++; $s += $y[$i];
		$q += $y[$i] ** 2 } printf "%.6g,%.6g", $s / $n, sqrt($q / $n - ($s / $n) ** 2)' "$X/x.latents")
	json_is '@$j == 17 && $j->[0]{kind} eq "latents" && $j->[0]{rows} == 11 && $j->[0]{columns} == 13 &&
		$j->[0]{channels} == 16
		&& $j->[0]{model_id} eq "d0c73b1c42f729a4" && abs($j->[0]{quality} - 37.5) < 0.01 &&
		$j->[16]{channel} == 15' <<<"$output"
	json_is "\$j->[4]{channel} == 3 && abs(\$j->[4]{mean} - ${wanted%,*}) < 1e-4 &&
		abs(\$j->[4]{deviation} - ${wanted#*,}) < 1e-4" <<<"$output"
	json_is '!grep { $_->{entropy_bits} < 0 || $_->{entropy_bits} > 8 } @$j[1..16]' <<<"$output"
	json_is '!grep { exists $_->{kl_nats} } @$j' <<<"$output"
}

@test "latents of a dense model: KL to the prior" {
	photo 28 28 | ppmtopgm >d.pgm
	cat d.pgm d.pgm <(pnminvert d.pgm) | vae-enc -m "$X/mlp.safetensors" >d.latents
	quiet vae-stat --json d.latents
	json_is '@$j == 6 && 3 == grep { $_->{kind} eq "channel" && exists $_->{kl_nats} } @$j' <<<"$output"
}

@test "latents of two models do not mix" {
	photo 28 28 | ppmtopgm >d.pgm
	vae-enc -m "$X/mlp.safetensors" d.pgm >d.latents
	cat "$X/x.latents" d.latents >both
	run --separate-stderr -1 vae-stat both
	assert_equal "${#stderr_lines[@]}" 1
	quiet vae-stat "$X/x.latents" d.latents
}

@test "codes: the parts add up to the file" {
	local file
	for file in x.lat z.lat a.lat; do
		quiet vae-stat --json "$X/$file"
		json_is "@\$j == 1 && \$j->[0]{file_bytes} == $(size "$X/$file") &&
			\$j->[0]{content_bytes} == $(zstd -dcq <"$X/$file" | wc -c)" <<<"$output"
		json_is '$j->[0]{header_bytes} + $j->[0]{alpha_bytes} + $j->[0]{slice_bytes} ==
			$j->[0]{content_bytes} && $j->[0]{slices} == 1' <<<"$output"
		json_is 'abs($j->[0]{bpp} - 8 * $j->[0]{file_bytes} / $j->[0]{width} / $j->[0]{height}) < 1e-6' \
			<<<"$output"
		json_is '$j->[0]{model} eq "tiny" && $j->[0]{model_id} eq "d0c73b1c42f729a4"' <<<"$output"
	done
	json_is '$j->[0]{alpha_bytes} == $j->[0]{alpha_packed_bytes} && $j->[0]{tuple} eq "GRAYSCALE_ALPHA"' \
		<<<"$output"
	# packed: what the file without alpha is smaller by
	pamchannel -infile "$X/x.pam" -tupletype GRAYSCALE 0 | vae-enc -m tiny | vae-quant >plain.lat
	json_is "\$j->[0]{alpha_packed_bytes} == $(($(size "$X/a.lat") - $(size plain.lat))) &&
		\$j->[0]{alpha_packed_bytes} < 300" <<<"$output"
	# of version 1
	run -0 vae-stat --json "$DATA/golden/tiny-alpha-25.range.lat"
	json_is '$j->[0]{alpha_bytes} == 32 * 24 && $j->[0]{alpha_packed_bytes} < 768' <<<"$output"
	quiet vae-stat --json plain.lat
	json_is '$j->[0]{alpha_packed_bytes} == 0' <<<"$output"
}

@test "codes: each method's size against the other's" {
	vae-stat --tsv "$X/x.lat" >range
	refute grep -q other range # it takes as long as to pack anew
	vae-stat -v --tsv "$X/x.lat" >range
	vae-stat -v --tsv "$X/z.lat" >zstd
	assert_equal "$(value method <range) $(value other_method <range)" "range zstd"
	assert_equal "$(value method <zstd) $(value other_method <zstd)" "zstd range"
	assert_equal "$(value other_method_bytes <range)" "$(size "$X/z.lat")"
	assert_equal "$(value other_method_bytes <zstd)" "$(size "$X/x.lat")"
	# what the tables say, and what the range coder took
	awk -v e="$(value estimate_bytes <range)" -v s="$(value slice_bytes <range)" \
		'BEGIN { exit !(s >= e && s <= 1.005 * e + 64) }'
	assert_equal "$(value estimate_bytes <range)" "$(value estimate_bytes <zstd)"
}

@test "codes of several images: the bytes of each" {
	cat "$X/x.lat" "$X/a.lat" "$X/z.lat" >three.lat
	vae-stat --tsv three.lat | column file_bytes >bytes
	assert_equal "$(xargs <bytes)" "$(size "$X/x.lat") $(size "$X/a.lat") $(size "$X/z.lat")"
	assert_equal "$(vae-stat --tsv three.lat | column image | xargs)" "1 2 3"
}

@test "codes whose model is missing: what can be said is said, and it is a failure" {
	run --separate-stderr -1 env VAE_MODEL_PATH=/nowhere VAE_MODEL= vae-stat --json "$X/x.lat"
	assert_equal "${#stderr_lines[@]}" 1
	json_is '$j->[0]{width} == 200 && !defined $j->[0]{model} && $j->[0]{model_id} eq "d0c73b1c42f729a4" &&
		!defined $j->[0]{estimate_bytes}' <<<"$output"
}

@test "a model with a damaged weight is reported, and is a failure" {
	cp "$DATA/tiny.safetensors" bad.safetensors
	printf '\1' | dd of=bad.safetensors bs=1 seek=100000 conv=notrunc status=none
	run --separate-stderr -1 vae-stat bad.safetensors
	assert_equal "${#stderr_lines[@]}" 1
	[[ $stderr = *"its id is d0c73b1c42f729a4, but its contents hash to "* ]]
}

@test "models: architecture, cost by part, licence, training" {
	quiet vae-stat --json "$DATA/tiny.safetensors"
	json_is '$j->[0]{kind} eq "model" && $j->[0]{id} eq "d0c73b1c42f729a4" &&
		$j->[0]{architecture} =~ /^photo enc=16 / && $j->[0]{licence} eq "CC0-1.0"' <<<"$output"
	json_is 'my ($e, $d, $p) = (0, 0, 0); for (@$j[1 .. $#$j]) { $p += $_->{parameters};
		$_->{decoder} ? $d += $_->{kmac_pixel} : ($e += $_->{kmac_pixel}) }
		$#$j == 5 && $p == $j->[0]{parameters} && abs($e - $j->[0]{encoder_kmac_pixel}) < 1e-9 &&
		abs($d - $j->[0]{decoder_kmac_pixel}) < 1e-9' <<<"$output"
	quiet vae-stat --json - <"$DATA/tiny.safetensors"
	json_is '$j->[0]{file} eq "standard input" && $j->[0]{id} eq "d0c73b1c42f729a4"' <<<"$output"
	mkdir tmp
	export TMPDIR=$PWD/tmp
	quiet vae-stat --json < <(cat "$DATA/tiny.safetensors")
	json_is '$j->[0]{id} eq "d0c73b1c42f729a4"' <<<"$output"
	# a weight is 2 bytes, a bias 4: the file holds all parameters and the tables
	json_is "\$j->[0]{parameters} * 2 < $(size "$DATA/tiny.safetensors")" <<<"$output"
	run --separate-stderr -1 vae-stat < <(head -c 100000 "$DATA/tiny.safetensors")
	assert_equal "$(ls -A tmp)" "" # nothing is left of a model that came through a pipe
	quiet vae-stat --json "$X/mlp.safetensors"
	json_is '$j->[0]{licence} eq q(MIT "no\joke") && $j->[0]{architecture} =~ /^mlp .*hidden1=8/' <<<"$output"
	json_is '$j->[0]{parameters} > 2 * 784 * 8 && $j->[0]{parameters} < 2 * 784 * 8 + 2000' <<<"$output"
}

@test "several kinds of file in one report, in the three layouts" {
	local files=("$X/x.ppm" "$X/x.latents" "$X/x.lat" "$DATA/tiny.safetensors")
	quiet vae-stat -v "${files[@]}"
	for word in RGB range CC0-1.0 synthesis; do assert_output --partial "$word"; done
	quiet vae-stat --tsv "${files[@]}"
	# every line has as many fields as the header above it
	awk -F'\t' '$1 == "kind" { n = NF } NF != n { exit 1 }' <<<"$output"
	assert_equal "$(cut -f 1 <<<"$output" | uniq | grep -v kind | uniq | xargs)" \
		"image latents channel codes model part"
	quiet vae-stat --json "${files[@]}"
	json_is 'join(" ", map { $_->{kind} } grep { $_->{kind} ne "channel" &&
		$_->{kind} ne "part" } @$j) eq "image latents codes model"' <<<"$output"
}

# table: the words of a report for people, a blank between two
table() { sed '/^$/d; s/  */ /g; s/^ //'; }

@test "several files for people: a line each, and what codes take together; all with -v" {
	local name
	cd "$X" || return 1
	for name in x.lat z.lat a.lat; do
		echo "$(size "$name") $(vae-stat --tsv "$name" | value bpp | xargs printf '%.4f')"
	done >bytes
	quiet vae-stat x.lat z.lat a.lat
	table <<<"$output" >lines
	assert_equal "$(head -n 1 lines)" \
		"file_bytes bpp width height tuple quality method model metadata_bytes file"
	sed -n 2,4p lines | cut -d ' ' -f 1,2 | diff bytes -
	assert_equal "$(sed -n 2,4p lines | cut -d ' ' -f 3-)" \
		$'200 170 RGB 37.5 range tiny 0 x.lat\n200 170 RGB 37.5 zstd tiny 0 z.lat\n48 40 GRAYSCALE_ALPHA 55 range tiny 0 a.lat'
	assert_equal "$(sed -n 5p lines)" "images file_bytes bpp metadata_bytes file"
	assert_regex "$(sed -n 6p lines)" "^3 $(($(size x.lat) + $(size z.lat) + $(size a.lat))) [0-9.]+ 0 total$"
	assert_equal "$(wc -l <lines)" 6
	quiet vae-stat x.lat x.latents x.ppm "$DATA/tiny.safetensors"
	assert_equal "$(table <<<"$output" | grep -c .)" 8 # of each kind a head and a line
	quiet vae-stat -v x.lat z.lat
	assert_equal "$(grep -c "other_method_bytes" <<<"$output")" 2
	run -1 --separate-stderr vae-stat x.lat no/such a.lat
	assert_equal "$stderr" "vae-stat: no/such: No such file or directory"
	assert_equal "$(table <<<"$output" | wc -l)" 5
	quiet vae-stat x.lat
	assert_line --regexp "^  estimate_bytes  "
	quiet vae-stat --tsv x.lat z.lat
	assert_line --index 0 --partial "estimate_bytes"
}

@test "values have one name in every layout: a word, the unit behind it" {
	local name
	quiet vae-stat --tsv -r "$X/x.ppm" "$X/x.lat"
	for name in $(head -n 1 <<<"$output" | cut -f 3-); do
		assert_regex "$name" '^[a-z0-9_]+$'
		vae-stat -r "$X/x.ppm" "$X/x.lat" | grep "^  $name  " >grepped || fail "$name"
	done
	vae-stat -r "$X/x.ppm" "$X/y.ppm" | sed -n 1p | table |
		grep -x "image width height tuple depth maxval .*psnr_db .*file" >grepped
}

@test "qualities are printed as they were given" {
	local quality
	for quality in 50 37.5 0 100 30 70 12.34 99.9 33.333; do
		vae-enc -q "$quality" "$X/small.pgm" >s.latents
		assert_equal "$(vae-stat --tsv s.latents | value quality)" "$quality"
		vae-quant s.latents >s.lat
		assert_equal "$(vae-stat --tsv s.lat | value quality)" "$quality"
		vae-stat s.lat | grep -x "  quality *$quality" >grepped
		vae-stat --json s.lat | json_is "\$j->[0]{quality} eq '$quality'"
	done
}

@test "-r with codes and latents: they are decoded and compared" {
	local file measure
	vae-stat --tsv -r "$X/x.ppm" "$X/y.ppm" >wanted
	for file in x.lat z.lat; do
		vae-stat --tsv -r "$X/x.ppm" "$X/$file" >got
		for measure in mse psnr_db ms_ssim; do
			assert_equal "$(value $measure <got)" "$(value $measure <wanted)"
		done
	done
	vae-dec "$X/x.latents" | vae-stat --tsv -r "$X/x.ppm" >wanted
	vae-stat --tsv -r "$X/x.ppm" "$X/x.latents" >got
	for measure in mse psnr_db ms_ssim; do
		assert_equal "$(value $measure <got)" "$(value $measure <wanted)"
	done
	diff <(sed 1,2d got) <(vae-stat --tsv "$X/x.latents" | sed 1,2d) # the channels are those without -r
	# pair by pair through all kinds of files; and the average
	cat "$X/x.lat" "$X/a.lat" >two.lat
	quiet vae-stat --json -r "$X/x.ppm" -r "$X/x.pam" -r "$X/y.ppm" -r "$X/x.ppm" two.lat "$X/y.ppm" \
		"$X/x.latents"
	json_is 'my @m = map { $_->{mse} } grep { exists $_->{mse} } @$j; @m == 5 && $m[0] > 0 && $m[1] > 0 &&
		$m[2] == 0 && $m[3] > 0
		&& $j->[-1]{kind} eq "average" && $j->[-1]{images} == 4 &&
		abs($m[4] - ($m[0] + $m[1] + $m[3]) / 4) < 1e-9' <<<"$output"
	fails 1 "this is a model; -r is for" vae-stat -r "$X/x.ppm" "$DATA/tiny.safetensors"
	fails 1 "cannot compare a picture of 200 x 170" vae-stat -o out -r "$X/small.pgm" "$X/x.lat"
	run --separate-stderr -1 vae-stat --tsv -r "$X/small.pgm" "$X/x.lat"
	assert_equal "$(value file_bytes <<<"$output") $(value mse <<<"$output")" "$(size "$X/x.lat") nan"
	VAE_MODEL_PATH=/nowhere fails 1 "no model" vae-stat -o out -r "$X/x.ppm" "$X/x.latents"
	assert_not_exist out
}

@test "references without an image, and images without a reference: a failure" {
	run --separate-stderr -1 vae-stat --tsv -r "$X/x.ppm" -r "$X/y.ppm" "$X/x.lat"
	assert_equal "$stderr" "vae-stat: $X/y.ppm: more references than images"
	assert_equal "${#lines[@]}" 2
	cat "$X/x.ppm" "$X/x.ppm" >two
	fails 1 "two: more references than images" vae-stat -o out -r two "$X/y.ppm"
	fails 1 "standard input: more references than images" shell 'vae-stat -o out -r - "$X/y.ppm" <two'
	fails 1 "no/such: No such file" vae-stat -o out -r "$X/x.ppm" -r no/such "$X/y.ppm"
	run --separate-stderr -1 vae-stat -r two "$X/x.lat" "$X/x.lat" "$X/x.lat"
	assert_equal "${stderr_lines[0]}" "vae-stat: two: more images than references (2)"
	only two
}

@test "JSON stays valid whatever the names are, and when a file is bad" {
	local name=$'quote" back\\slash tab\t new\nline é \xff'
	cp "$X/small.pgm" "$name"
	quiet vae-stat --json "$name"
	json_is 'my $f = $j->[0]{file}; $f =~ /^quote" back\\slash tab\t new\nline \x{e9} /' <<<"$output"
	run --separate-stderr -0 vae-stat --tsv "$name"
	assert_equal "${#lines[@]}" 2
	run --separate-stderr -1 vae-stat --json no/such
	json_is '@$j == 0' <<<"$output"
	run --separate-stderr -1 vae-stat --json "$X/small.pgm" no/such "$X/small.pgm"
	json_is '@$j == 2' <<<"$output"
}

@test "the last layout asked for is the one" {
	vae-stat --json --tsv "$X/x.ppm" | cmp - <(vae-stat --tsv "$X/x.ppm")
}

@test "a single reference serves all, also out of a pipe" {
	quiet vae-stat --tsv -r "$X/x.ppm" "$X/y.ppm" "$X/x.ppm" "$X/y.ppm"
	vae-stat --tsv -r <(cat "$X/x.ppm") "$X/y.ppm" "$X/x.ppm" "$X/y.ppm" | cmp - <(echo "$output")
	cat "$X/y.ppm" "$X/x.ppm" "$X/y.ppm" | vae-stat --tsv -r "$X/x.ppm" | cut -f 4- |
		cmp - <(cut -f 4- <<<"$output")
	quiet vae-stat --tsv -r <(cat "$X/x.ppm" "$X/y.ppm") "$X/y.ppm" "$X/y.ppm"
	assert_equal "$(value mse <<<"$(sed 2d <<<"$output")")" 0
}

@test "an image that breaks off does not shift the pairs" {
	head -c 60000 "$X/y.ppm" >short.ppm
	run --separate-stderr -1 vae-stat --tsv -r <(cat "$X/x.ppm" "$X/y.ppm") short.ppm "$X/y.ppm"
	assert_equal "$stderr" \
		"vae-stat: short.ppm: truncated image: the input ends inside the raster (byte 60000)"
	assert_equal "${#lines[@]}" 2
	assert_equal "$(value mse <<<"$output")" 0
}

@test "a reference that breaks off: said once; the images are reported without it" {
	head -c 60000 "$X/x.ppm" >short.ppm
	run --separate-stderr -1 vae-stat --json -r short.ppm "$X/y.ppm" "$X/x.ppm"
	json_is '@$j == 2 && !defined $j->[0]{mse} && !defined $j->[1]{mse} && $j->[0]{width} == 200' <<<"$output"
	assert_equal "${#stderr_lines[@]}" 3
	assert_equal "${stderr_lines[0]}" \
		"vae-stat: short.ppm: truncated image: the input ends inside the raster (byte 60000)"
	assert_equal "${stderr_lines[2]}" "vae-stat: $X/x.ppm: there is no reference for it"
}

@test "memory does not grow with the picture's height" {
	[ -z "$VAE_TEST_FAST" ] || skip "memory is not what it is"
	pnmtile 512 24000 "$X/x.ppm" >tall.ppm # 74 MB as samples
	vae-enc -T 1 tall.ppm >tall.latents
	ulimit -d 60000
	quiet vae-stat -T 1 --tsv -r tall.ppm tall.ppm
	assert_equal "$(value ms_ssim <<<"$output")" 1
	vae-stat -T 1 tall.ppm tall.latents
	run vae-stat -T 1 -r <(cat tall.ppm) tall.ppm # so the limit is one
	[ "$status" -eq 1 ]
}

# samples FILE: of plain or raw PGMs, one a line
samples() { pnmtoplainpnm <"$1" | tail -n +4 | tr -s ' ' '\n' | grep .; }

@test "--heatmap: a cell a sample, and all together what the slices take" {
	quiet vae-stat --heatmap -o map.pgm "$X/x.lat"
	assert_equal "$(kinds map.pgm)" "PGM RAW 13 11 1 65535 GRAYSCALE"
	vae-enc -q 90 --exact none <(pngtopnm "$DATA/photo.png" | pamscale -xsize 1200 -ysize 1090) |
		vae-quant >large.lat # four slices
	vae-stat --heatmap large.lat >map.pgm
	assert_equal "$(kinds map.pgm)" "PGM RAW 75 69 1 65535 GRAYSCALE"
	samples map.pgm | awk -v bytes="$(vae-stat --tsv large.lat | value slice_bytes)" \
		-v estimate="$(vae-stat --tsv large.lat | value estimate_bytes)" '
		{ sum += $1 / 16 / 8; n++ }
		END { if (n != 75 * 69 || sum < 0.99 * bytes || sum > 1.01 * bytes ||
			sum < 0.999 * estimate || sum > 1.001 * estimate) { print n, sum, bytes, estimate; exit 1 } }'
	vae-stat --heatmap -T 3 <large.lat | cmp - map.pgm
	vae-enc -q 90 --exact none <(pngtopnm "$DATA/photo.png" | pamscale -xsize 1200 -ysize 1090) |
		vae-quant --method zstd | vae-stat --heatmap | cmp - map.pgm
	# exact cells share what they take
	vae-stat --heatmap "$DATA/golden/mixed-drawn-40.range.lat" >map.pgm
	vae-stat --tsv "$DATA/golden/mixed-drawn-40.range.lat" >row
	samples map.pgm | awk -v bytes="$(value exact_bytes <row)" -v estimate="$(value estimate_bytes <row)" '
		{ sum += $1 / 16 / 8; n++ }
		END { if (n != 28 || sum < 0.99 * (bytes + estimate) || sum > 1.01 * (bytes + estimate)) {
			print n, sum, bytes, estimate; exit 1 } }'
}

@test "--heatmap: it is hot where the picture is busy" {
	photo 320 160 >sharp.ppm
	pamscale -filter box -xsize 5 -ysize 2 sharp.ppm 2>/dev/null |
		pamscale -xsize 320 -ysize 160 2>/dev/null >blurred.ppm
	pnmcat -lr blurred.ppm sharp.ppm | vae-enc --exact none -q 50 | vae-quant | vae-stat --heatmap >map.pgm
	awk -v flat="$(pamcut -width 18 map.pgm | pamsumm -mean -brief)" \
		-v busy="$(pamcut -left 22 map.pgm | pamsumm -mean -brief)" 'BEGIN { exit !(busy > 2 * flat) }'
}

@test "--heatmap: one for each image, files go on behind a bad one" {
	vae-enc -m "$X/mlp.safetensors" "$DATA/golden/digits.pgm" | vae-quant >digits.lat
	flip "$X/x.lat" -9 >bad.lat
	run --separate-stderr -1 vae-stat --heatmap -m "$X/mlp.safetensors" digits.lat bad.lat
	assert_regex "$stderr" "vae-stat: bad.lat: "
	run --separate-stderr -1 vae-stat --heatmap -o out "$X/x.lat" bad.lat "$X/a.lat"
	assert_not_exist out
	vae-stat --heatmap "$X/x.lat" "$X/a.lat" >maps.pgm
	assert_equal "$(kinds maps.pgm)" "PGM RAW 13 11 1 65535 GRAYSCALE"$'\n'"PGM RAW 3 3 1 65535 GRAYSCALE"
	vae-stat --heatmap -m "$X/mlp.safetensors" digits.lat >dots.pgm
	assert_equal "$(kinds dots.pgm | sort | uniq -c | tr -s ' ')" " 6 PGM RAW 1 1 1 65535 GRAYSCALE"
}

@test "--planes: each channel once, the strongest first, 4 steps a unit about 128" {
	run --separate-stderr -0 bash -c "vae-stat -v --planes '$X/x.latents' >planes.pgm"
	assert_equal "${#stderr_lines[@]}" 16
	assert_equal "$(kinds planes.pgm | sort | uniq -c | tr -s ' ')" " 16 PGM RAW 13 11 1 255 GRAYSCALE"
	sed -n 's/.*plane \([0-9]*\) is channel \([0-9]*\), deviation \([0-9.]*\)$/\2\t\3/p' <<<"$stderr" >order
	sort -k 2,2gr -s order | diff - order
	sort -n order | diff - <(vae-stat --tsv "$X/x.latents" |
		awk -F'\t' '$1 == "channel" && $3 ~ /^[0-9]/ { printf "%d\t%.4f\n", $3, $5 }')
	perl -e 'local $/; open F, "<:raw", $ARGV[0] or die; my $s = <F>; $s =~ s/^.*?\nENDHDR\n//s;
		my @y = unpack "f<*", $s;
		open F, "<:raw", $ARGV[1] or die; $s = <F>; open F, "<", $ARGV[2] or die;
		my @order = split /\n/, <F>; my $off = 0;
		for (@order) { my ($c) = split /\t/;
		my @p = unpack "C*", substr $s, ($off += length "P5\n13 11\n255\n") , 143; $off += 143;
			for my $i (0 .. 142) { my $v = 128 + 4 * $y[$i * 16 + $c];
			$v = $v < 0 ? 0 : $v > 255 ? 255 : $v; die "$c $i $v $p[$i]" if abs($v - $p[$i]) > 0.5001 } }' \
		"$X/x.latents" planes.pgm order
	vae-stat --planes "$X/x.latents" "$X/x.latents" | cmp - <(cat planes.pgm planes.pgm)
}

@test "pictures are of codes, or of latents, and are no report" {
	fails 1 "x.latents: these are latents" vae-stat --heatmap "$X/x.latents"
	fails 1 "x.lat: these are codes" vae-stat --planes "$X/x.lat"
	fails 1 "x.ppm: this is an image" vae-stat --planes "$X/x.ppm"
	fails 1 "empty input" vae-stat --heatmap /dev/null
	fails 2 "--heatmap" vae-stat --heatmap --planes "$X/x.lat"
	fails 2 "--heatmap" vae-stat --heatmap --json "$X/x.lat"
	fails 2 "--planes" vae-stat --planes --tsv "$X/x.latents"
	fails 2 "--planes" vae-stat --planes -r "$X/x.ppm" "$X/x.latents"
	VAE_MODEL_PATH=/nowhere fails 1 "no model" vae-stat --heatmap "$X/x.lat"
}
