#!/usr/bin/env bats
# Bad input of every kind: one clear line, exit status 1, no file behind -o, no crash, no memory in
# proportion to a claim.
load helper

setup_file() {
	cd "$BATS_FILE_TMPDIR" || return 1
	photo 40 24 >x.ppm
	pgmramp -lr 40 24 >alpha.pgm
	pamstack -tupletype RGB_ALPHA x.ppm alpha.pgm >x.pam
	vae-enc x.ppm >x.latents
	vae-quant x.latents >x.lat
	vae-quant --method zstd x.latents >z.lat
	vae-enc x.pam >a.latents
	vae-quant a.latents >a.lat
	zstd -dcq <x.lat >x.content
	cp "$DATA/tiny.safetensors" good.safetensors
	vae-train \
		--arch \
		"photo enc=16 enc_blocks=1 y=16 hyper=16 ctx=16 z=4 dec=16 dec_blocks=1 grid=48 grid_layers=1 knots=3" \
		--steps 1 --patch 64 --batch 1 --seed 5 --quiet -o other.safetensors <(photo 64 64)
	vae-train --arch "mlp hidden1=8 hidden2=8 z=2" --steps 1 --batch 2 --quiet -o mlp.safetensors \
		<(photo 28 28 | ppmtopgm)
	export X=$BATS_FILE_TMPDIR
}

# refused PATTERN COMMAND...: within bounds of time and memory, and nothing is written to ./out
refused() {
	local pattern=$1
	shift
	fails 1 "$pattern" limited "$@"
	[[ $stderr != *memory* ]] || fail "memory is asked for before the claim is checked: $stderr"
	[ ! -e out ] || fail "a file is left by $*"
}

# every cut of FILE at these sizes is refused: cuts COMMAND FILE SIZE...
cuts() {
	local command=$1 file=$2 n
	shift 2
	for n; do
		head -c "$n" "$file" >cut
		# shellcheck disable=SC2086 # a program and its options
		refused "cut: " $command cut
	done
}

# flips COMMAND FILE OFFSET...: as cuts, with one byte inverted
flips() {
	local command=$1 file=$2 at
	shift 2
	for at; do
		flip "$file" "$at" >flipped
		# shellcheck disable=SC2086
		refused "flipped: " $command flipped
	done
}

# header FORMAT TEXT: a picture that is nothing but a header, and some bytes
pretends() {
	printf '%b' "$1" >hostile
	head -c 100 "$X/x.ppm" >>hostile
}

@test "truncated images" {
	cuts "vae-enc -o out" "$X/x.ppm" 1 2 3 5 8 11 12 13 14 100 1000 $(($(size "$X/x.ppm") - 1))
	cuts "vae-enc -o out" "$X/x.pam" 2 3 9 20 40 60 70 100 $(($(size "$X/x.pam") - 1))
	pnmtoplainpnm "$X/x.ppm" >plain
	cuts "vae-enc -o out" plain 2 5 20 100 200
	cuts "vae-stat" "$X/x.ppm" 2 11 100
}

@test "hostile image headers" {
	local text
	for text in 'P6\n99999999 99999999\n255\n' 'P6\n2147483647 1\n255\n' 'P6\n1 2147483647\n255\n' \
		'P6\n2147483648 1\n255\n' 'P6\n-1 -1\n255\n' \
		'P6\n0 5\n255\n' 'P6\n5 0\n255\n' 'P6\n5 5\n0\n' 'P6\n5 5\n65536\n' \
		'P6\n5 5\n99999999999999999999\n' 'P6\n5\n' 'P6 x 5 255\n' \
		'P4\n99999999 99999999\n' 'P1\n99999 99999\n' 'P3\n5 5\n255\nred green\n' 'P2\n5 5\n255\n256 1\n' \
		'P8\n5 5\n255\n' 'P' 'Q6\n5 5\n255\n' \
		'P6\n16384 16384\n65535\n' 'P5\n65536 4096\n255\n'; do
		pretends "$text"
		refused "hostile: " vae-enc -T 1 -o out hostile
		refused "hostile: " vae-stat hostile
	done
	for text in 'WIDTH 99999999\nHEIGHT 99999999\nDEPTH 3\nMAXVAL 255\nTUPLTYPE RGB' \
		'WIDTH 5\nHEIGHT 5\nDEPTH 99999999\nMAXVAL 255\nTUPLTYPE RGB' \
		'WIDTH 5\nHEIGHT 5\nDEPTH 3\nMAXVAL 65536\nTUPLTYPE RGB' \
		'WIDTH 0\nHEIGHT 5\nDEPTH 3\nMAXVAL 255\nTUPLTYPE RGB' 'HEIGHT 5\nDEPTH 3\nMAXVAL 255' \
		'WIDTH 5\nHEIGHT 5\nDEPTH 1\nMAXVAL 2\nTUPLTYPE BLACKANDWHITE' \
		'WIDTH x\nHEIGHT 5\nDEPTH 3\nMAXVAL 255' 'NONSENSE 5'; do
		pretends "P7\n$text\nENDHDR\n"
		refused "hostile: " vae-enc -T 1 -o out hostile
	done
	# a header that never ends
	{ printf 'P7\n#'; head -c 3000000 /dev/zero | tr '\0' x; } >hostile
	refused "hostile: " vae-enc -o out hostile
	{ printf 'P7\n'; head -c 3000000 /dev/zero | tr '\0' x; } >hostile
	refused "hostile: " vae-enc -o out hostile
	{ printf 'P6\n'; head -c 3000000 /dev/zero | tr '\0' ' '; } >hostile
	refused "hostile: " vae-enc -o out hostile
}

@test "samples above the maxval" {
	printf 'P5\n2 1\n100\n\x64\x65' >bright
	refused "bright: " vae-enc -o out bright
	printf 'P6\n1 1\n1000\n\x03\xe8\x03\xe9\x00\x00' >bright
	refused "bright: " vae-enc -o out bright
	printf 'P2\n2 1\n9\n9 10\n' >bright
	refused "bright: " vae-enc -o out bright
}

@test "an image followed by something else" {
	cat "$X/x.ppm" <(echo rubbish) >long
	refused "long: *(byte $(size "$X/x.ppm"))" vae-enc -o out long
	cat "$X/x.latents" <(echo rubbish) >long
	refused "long: *(byte $(size "$X/x.latents"))" vae-quant -o out long
	cat "$X/x.lat" <(echo rubbish) >long
	refused "long: " vae-dec -o out long
	cat "$X/x.lat" "$X/x.ppm" >long
	refused "long: " vae-dec -o out long
	{ zstd -dcq <"$X/x.lat"; echo rubbish; } | zstd -q >long
	refused "long: " vae-dec -o out long
	refused "long: " vae-quant -t long
}

@test "no known kind" {
	local p
	echo "hello, world" >text
	head -c 1000 /dev/zero >zeros
	for p in "vae-enc -o out" "vae-quant -o out" "vae-quant -d -o out" "vae-dec -o out" "vae-quant -t" \
		vae-stat "vae-train --steps 1 -o out"; do
		# shellcheck disable=SC2086
		refused "text: " $p text
		# shellcheck disable=SC2086
		refused "zeros: " $p zeros
	done
}

@test "truncated latents" {
	local end
	end=$(sed '/^ENDHDR$/q' "$X/x.latents" | wc -c)
	cuts "vae-quant -o out" "$X/x.latents" 1 5 11 12 13 30 $((end - 8)) $((end - 1)) "$end" $((end + 1)) \
		$((end + 100)) $(($(size "$X/x.latents") - 1))
	cuts "vae-dec -o out" "$X/x.latents" 5 12 "$end" $((end + 100))
	cuts "vae-dec -o out" "$X/a.latents" $(($(size "$X/a.latents") - 1)) $(($(size "$X/a.latents") - 960))
	cuts vae-stat "$X/x.latents" 5 12 "$end" $((end + 100))
}

# edited SED: the latents with their header edited
edited() { perl -0777 -pe "$1" "$X/x.latents" >hostile; }

@test "hostile headers of latents" {
	local edit
	for edit in 's/^VAELATENTS 1/VAELATENTS 2/' 's/WIDTH 40/WIDTH 99999999/; s/HEIGHT 24/HEIGHT 99999999/' \
		's/WIDTH 40/WIDTH 0/' 's/WIDTH 40/WIDTH -40/' \
		's/WIDTH 40/WIDTH 041/' 's/WIDTH 40/WIDTH 40 /' 's/WIDTH 40/WIDTH 4000/' 's/WIDTH 40\n//' \
		's/WIDTH 40\n/WIDTH 40\nWIDTH 40\n/' 's/MAXVAL 255/MAXVAL 65536/' \
		's/MAXVAL 255/MAXVAL 0/' 's/FORMAT P6/FORMAT P9/' 's/FORMAT P6/FORMAT P4/' \
		's/TUPLTYPE RGB/TUPLTYPE CMYK/' 's/TUPLTYPE RGB/TUPLTYPE RGB_ALPHA/' \
		's/QUALITY \d+/QUALITY 65536/' 's/ROWS \d+/ROWS 2147483647/' 's/COLUMNS \d+/COLUMNS 1/' \
		's/CHANNELS 16/CHANNELS 0/' 's/CHANNELS 16/CHANNELS 99999/' \
		's/CHANNELS 16/CHANNELS 8/' 's/MODEL (.)/MODEL g/' 's/MODEL .*/MODEL 1234/' \
		's/MODEL .*/MODEL 0123456789abcdef/' 's/ENDHDR/COLOUR red\nENDHDR/' \
		's/ENDHDR/HINT relative\nENDHDR/' 's/ENDHDR/HINT \/bad%zz\nENDHDR/' \
		's/ENDHDR/HINT \/zero%00\nENDHDR/' 's/ENDHDR\n/"HINT \/" . "x" x 100000 . "\nENDHDR\n"/e' \
		's/\n/\r\n/g' 's/WIDTH/WID\0TH/'; do
		edited "$edit"
		refused "hostile: " vae-quant -T 1 -o out hostile
		refused "hostile: " vae-dec -T 1 -o out hostile
	done
}

@test "latents that are not finite, or beyond every bound" {
	local value
	for value in 7fc00000 7f800000 ff800000 ffffffff; do
		edited "substr(\$_, -64, 4) = pack 'V', 0x$value"
		refused "hostile: *not finite" vae-quant -o out hostile
		refused "hostile: *not finite" vae-dec -o out hostile
		refused "hostile: *not finite" vae-stat hostile
	done
	# the largest floats are no crash: either they are coded and come back, or they are refused
	for value in 7f7fffff ff7fffff 00000001 4f000000; do
		edited "substr(\$_, -64, 4) = pack 'V', 0x$value"
		run --separate-stderr limited vae-quant -o big.lat hostile
		[ "$status" = 0 ] || [ "$status" = 1 ]
		[ "$status" = 1 ] || limited vae-dec big.lat >y.ppm
		run --separate-stderr limited vae-dec hostile
		[ "$status" = 0 ] || [ "$status" = 1 ]
	done
}

@test "truncated codes" {
	local n
	n=$(size "$X/x.lat")
	cuts "vae-dec -o out" "$X/x.lat" 1 3 4 5 6 8 20 42 43 50 $((n / 2)) $((n - 5)) $((n - 4)) $((n - 1))
	cuts "vae-quant -d -o out" "$X/x.lat" 3 20 50 $((n - 1))
	cuts "vae-quant -t" "$X/x.lat" 3 20 50 $((n - 1))
	cuts vae-stat "$X/x.lat" 3 20 50 $((n - 1))
	cuts "vae-dec -o out" "$X/z.lat" 3 20 50 $(($(size "$X/z.lat") - 1))
	cuts "vae-dec -o out" "$X/a.lat" 3 20 50 $(($(size "$X/a.lat") / 2))
	# what is compressed ends too soon, though zstd's frame is whole
	for n in 1 4 20 33 34 38 42 45 $(($(size "$X/x.content") - 1)); do
		head -c "$n" "$X/x.content" | zstd -q >cut
		refused "cut: " vae-dec -o out cut
		refused "cut: " vae-quant -t cut
	done
}

@test "flipped codes" {
	local n
	n=$(size "$X/x.lat")
	flips "vae-dec -o out" "$X/x.lat" 0 1 2 3 4 6 9 12 17 22 30 41 45 50 $((n / 2)) -1 -2 -3 -4 -5 -9
	flips "vae-quant -t" "$X/x.lat" 4 12 45 -1 -6
	flips "vae-dec -o out" "$X/z.lat" 4 12 40 -1 -6
	flips "vae-dec -o out" "$X/a.lat" 4 12 60 -1 -6
	# beneath zstd, where only the codes' own checksums see it
	for n in $(seq 0 $(($(size "$X/x.content") - 1))); do
		[ $((n % 3)) = 0 ] || [ "$n" -ge 34 ] && [ "$n" -lt 44 ] || continue
		flip "$X/x.content" "$n" | zstd -q >flipped
		refused "flipped: " vae-dec -o out flipped
	done
}

# forged OFFSET PACK VALUE: codes with a number of their header changed, and the header's checksum
# made right again
forged() {
	perl -0777 -e 'my ($file, $at, $template, $value) = @ARGV; open F, "<:raw", $file or die; my $s = <F>;
		my $new = pack $template, $value; substr($s, $at, length $new) = $new; binmode STDOUT;
		print substr $s, 0, 30' "$X/x.content" "$@" >head
	{
		cat head
		xxhsum64 head
		tail -c +35 "$X/x.content"
	} | zstd -q >forged
}

@test "hostile headers of codes, their checksum forged" {
	forged 28 v 16 # nothing changed: the forger forges well
	vae-dec forged | cmp - <(vae-dec "$X/x.lat")
	local forgery
	for forgery in "4 C 0" "4 C 2" "4 C 255" "5 C 2" "5 C 255" "6 C 0" "6 C 255" "6 C 112" "6 C 102" "7 C 0" \
		"7 C 3" "7 C 200" "8 V 1" "16 V 0" "16 V 2147483647" \
		"16 V 4294967295" "16 V 99999999" "20 V 0" "20 V 99999999" "20 V 25000" "24 v 0" "28 v 0" \
		"28 v 65535" "28 v 17"; do
		# shellcheck disable=SC2086 # three words
		forged $forgery
		refused "forged: " vae-dec -T 1 -o out forged
		refused "forged: " vae-quant -t -T 1 forged
		refused "forged: " vae-quant -d -T 1 -o out forged
	done
	for forgery in "26 v 0" "26 v 65535" "24 v 65535" "5 C 1"; do
		# other figures that are possible: a wrong picture or a refusal, never a crash
		# shellcheck disable=SC2086
		forged $forgery
		run limited vae-dec -T 1 -o maybe forged
		[ "$status" = 0 ] || [ "$status" = 1 ]
	done
}

@test "a slice that claims gigabytes" {
	{
		head -c 34 "$X/x.content"
		printf '\xff\xff\xff\xff\0\0\0\0'
		tail -c +43 "$X/x.content"
	} | zstd -q >hostile
	refused "hostile: damaged: slice" vae-dec -o out hostile
}

@test "a bomb: much zstd for little" {
	head -c 100000000 /dev/zero | zstd -q -19 >bomb
	refused "bomb: " vae-dec -o out bomb
	{
		cat "$X/x.content"
		head -c 100000000 /dev/zero
	} | zstd -q >bomb
	refused "bomb: " vae-dec -o out bomb
	zstd -q --ultra -22 --long=31 -c "$X/x.content" >window
	vae-dec window | cmp - <(vae-dec "$X/x.lat")
}

@test "a model that does not match: -m, and none at all" {
	refused "made with the model tiny (d0c73b1c42f729a4), not with other" vae-dec -m "$X/other.safetensors" \
		-o out "$X/x.lat"
	refused "made with the model tiny (d0c73b1c42f729a4), not with other" vae-dec -m "$X/other.safetensors" \
		-o out "$X/x.latents"
	refused "made with the model tiny (d0c73b1c42f729a4), not with other" vae-quant \
		-m "$X/other.safetensors" -o out "$X/x.latents"
	refused "made with the model tiny (d0c73b1c42f729a4), not with other" vae-quant \
		-d -m "$X/other.safetensors" -o out "$X/x.lat"
	refused "made with the model tiny" vae-quant -t -m "$X/mlp.safetensors" "$X/x.lat"
	refused "made with the model tiny" vae-stat -m "$X/other.safetensors" "$X/x.lat" >/dev/null
	export VAE_MODEL_PATH=/nowhere
	refused "d0c73b1c42f729a4" vae-dec -o out "$X/x.lat"
	refused "d0c73b1c42f729a4" vae-quant -o out "$X/x.latents"
	refused "tiny" vae-enc -o out "$X/x.ppm"
	refused "no-such" vae-enc -m no-such -o out "$X/x.ppm"
	refused "./no-such: " vae-enc -m ./no-such -o out "$X/x.ppm"
	refused "./: not a regular file" vae-enc -m ./ -o out "$X/x.ppm"
	refused "no-such" vae-dec -m no-such -o out "$X/x.lat"
	refused "no-such" vae-train --steps 1 --init no-such -o out "$X/x.ppm"
}

@test "pictures that a model does not take" {
	refused "28 x 28" vae-enc -m "$X/mlp.safetensors" -o out "$X/x.ppm"
	photo 28 28 >square.ppm
	refused "grey" vae-enc -m "$X/mlp.safetensors" -o out square.ppm
	refused "limit" vae-dec -m tiny --sample 1 --size 2147483647x2147483647 -o out
}

@test "damaged model files" {
	local good=$X/good.safetensors n
	n=$(size "$good")
	for cut in 0 1 7 8 9 100 5000 10000 100000 $((n - 1)); do
		head -c "$cut" "$good" >bad.safetensors
		refused "bad.safetensors" vae-enc -m ./bad.safetensors -o out "$X/x.ppm"
		refused "" vae-dec -m ./bad.safetensors -o out "$X/x.lat"
	done
	{ cat "$good"; echo more; } >bad.safetensors
	refused "bad.safetensors" vae-enc -m ./bad.safetensors -o out "$X/x.ppm"
	for edit in 'substr($_, 0, 8) = pack "Q<", 2**62' 'substr($_, 0, 8) = pack "Q<", 0' \
		'substr($_, 0, 8) = pack "Q<", 1000000' 'substr($_, 8, 1) = "["' \
		's/"format_version":"1"/"format_version":"9"/' 's/photo enc=16/photo enc=99/' \
		's/photo enc=16/gan   enc=16/' 's/"architecture"/"archetecture"/' \
		's/"id":"./"id":"x/' 's/"F16","shape":\[768,16\]/"F16","shape":[16,768]/' \
		's/"F16","shape":\[768/"F32","shape":[768/' 's/\[0,24576\]/[0,94576]/' \
		's/\[0,24576\]/[2,24578]/' 's/enc.patch.weight/enc.patch.wait  /' 's/"F16"/"F61"/' \
		's/"shape":\[768,16\]/"shape":[-1,16]/' 's/\{"dtype"/["dtype"/' \
		's/"id"/"\xff\xff"/' 's/grid=48/grid=49/' 's/z=4 /z=5 /' 's/knots=3/knots=1/'; do
		perl -0777 -pe "$edit" "$good" >bad.safetensors
		differ bad.safetensors "$good"
		refused "bad.safetensors" vae-enc -T 1 -m ./bad.safetensors -o out "$X/x.ppm"
	done
	printf '\2\0\0\0\0\0\0\0[]' >bad.safetensors
	refused "bad.safetensors" vae-enc -m ./bad.safetensors -o out "$X/x.ppm"
	VAE_MODEL_PATH=$PWD:$VAE_MODEL_PATH vae-dec "$X/x.lat" >/dev/null
	refused "" vae-enc -m "$X/x.ppm" -o out "$X/x.ppm"
	refused "" vae-enc -m "$X/x.lat" -o out "$X/x.ppm"
	refused "/dev/zero: not a regular file" vae-enc -m /dev/zero -o out "$X/x.ppm"
}

@test "weights that are not finite, tables that are no tables" {
	local good=$X/good.safetensors base
	export VAE_MODEL_PATH=$PWD # found by name: what a path names is hashed first
	base=$(perl -0777 -ne 'print 8 + unpack "Q<", $_' "$good")
	# of the analysis: the first weight (F16), the first bias (F32)
	for edit in "substr(\$_, $base, 2) = pack 'v', 0x7e00" "substr(\$_, $base, 2) = pack 'v', 0xfc00" \
		"substr(\$_, $base + 24576, 4) = pack 'V', 0x7fc00000" \
		"substr(\$_, $base + 24576, 4) = pack 'V', 0x7f800000"; do
		perl -0777 -pe "$edit" "$good" >bad.safetensors
		refused "bad.safetensors: tensor enc.patch" vae-enc -T 1 -m bad -o out "$X/x.ppm"
	done
	# of the coder: the last cumulative count and one before, the scales' bounds, the density of z
	for edit in "substr(\$_, -194, 2) = pack 'v', 0" "substr(\$_, $base + 152032 + 20, 2) = pack 'v', 65535" \
		"substr(\$_, $base + 151776, 4) = pack 'V', 0xffffffff" \
		"substr(\$_, $base + 151776, 4) = pack 'V', 0x7fffffff" \
		"substr(\$_, $base + 151696, 4) = pack 'V', 0x7fc00000"; do
		perl -0777 -pe "$edit" "$good" >bad.safetensors
		refused "bad.safetensors: *prior" vae-quant -T 1 -m bad -o out "$X/x.latents"
		refused "bad.safetensors: *prior" vae-dec -T 1 -m bad -o out "$X/x.lat"
	done
}

@test "weights edited under an old id: -m FILE and a hint say so" {
	perl -0777 -pe 'substr($_, -100000, 1) ^= "\1"' "$X/good.safetensors" >edited.safetensors
	differ edited.safetensors "$X/good.safetensors"
	refused "edited.safetensors: its id is *, but its contents hash to *: it was edited or damaged" vae-enc \
		-m ./edited.safetensors -o out "$X/x.ppm"
	refused "edited.safetensors: its id is *" vae-quant -m ./edited.safetensors -o out "$X/x.latents"
	refused "edited.safetensors: its id is *" vae-dec -m ./edited.safetensors -o out "$X/x.lat"
	refused "edited.safetensors: its id is *" vae-train --init ./edited.safetensors --steps 1 --patch 64 \
		-o out "$X/x.ppm"
	vae-enc -m "$X/good.safetensors" "$X/x.ppm" | perl -0777 -pe "s#HINT .*#HINT $PWD/edited.safetensors#" \
		>hinted.latents
	grep -aq "^HINT $PWD/edited" hinted.latents
	VAE_MODEL_PATH=/nowhere refused "edited.safetensors: its id is *" vae-quant -o out hinted.latents
}

@test "an id among broken models is found all the same" {
	mkdir models
	cp "$X/good.safetensors" models/z.safetensors
	echo rubbish >models/a.safetensors
	: >models/b.safetensors
	mkdir models/c.safetensors
	mkfifo models/d.safetensors
	ln -s nowhere models/e.safetensors
	head -c 3000 "$X/good.safetensors" >models/f.safetensors
	VAE_MODEL_PATH=$PWD/models timeout 20 vae-dec "$X/x.lat" | cmp - <(vae-dec "$X/x.lat")
}

@test "vae-quant -t and vae-stat go on behind a bad file, filters stop" {
	flip "$X/x.lat" 45 >bad.lat
	head -c 50 "$X/x.lat" >short.lat
	run --separate-stderr -1 vae-quant -t -v "$X/x.lat" bad.lat short.lat "$X/a.lat"
	assert_equal "${#stderr_lines[@]}" 4
	assert_regex "${stderr_lines[0]}" "x.lat: 40x24 RGB, good"
	assert_regex "${stderr_lines[1]}" "bad.lat: "
	assert_regex "${stderr_lines[2]}" "short.lat: "
	assert_regex "${stderr_lines[3]}" "a.lat: 40x24 RGB_ALPHA, good"
	run --separate-stderr -1 vae-stat --tsv "$X/x.lat" bad.lat no/such "$X/a.lat"
	assert_equal "${#stderr_lines[@]}" 2
	assert_equal "$(grep -c '^codes' <<<"$output")" 2
	run --separate-stderr -1 vae-dec "$X/x.lat" bad.lat "$X/x.lat"
	assert_equal "${#stderr_lines[@]}" 1
}

@test "a checkpoint that is none" {
	echo rubbish >ckpt
	refused "ckpt" vae-train --arch photo --steps 1 --patch 64 --checkpoint ckpt --resume -o out "$X/x.ppm"
	assert_equal "$(cat ckpt)" rubbish
	head -c 1000 /dev/zero >ckpt
	refused "ckpt" vae-train --arch photo --steps 1 --patch 64 --checkpoint ckpt --resume -o out "$X/x.ppm"
}
