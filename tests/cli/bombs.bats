#!/usr/bin/env bats
# Small files that claim much: refused within 50 MB of memory, before anything is taken for the
# claim, and within BOMB_MS (10000) milliseconds of processor time; "make bench-bounds" sets that to
# 50.
load helper

setup_file() {
	cd "$BATS_FILE_TMPDIR" || return 1
	photo 40 24 >x.ppm
	vae-enc x.ppm >x.latents
	vae-quant x.latents >x.lat
	zstd -dcq <x.lat >x.content
	export X=$BATS_FILE_TMPDIR
}

# Milliseconds and KB. Under AddressSanitizer neither figure means anything.
bounds() { case $B in *asan*) echo 100000 100000000 ;; *) echo "${BOMB_MS:-10000}" 51200 ;; esac; }

# bomb PATTERN COMMAND...: refused within the bounds, and nothing is left
bomb() {
	local pattern=$1
	shift
	# shellcheck disable=SC2046 # two numbers
	fails 1 "$pattern" "$B/tests/measure" $(bounds) "$@"
	[[ $stderr != *"out of memory"* ]] || fail "memory is asked for before the claim is checked: $stderr"
	[ ! -e out ] || fail "a file is left by $*"
}

# sealed: the content of codes on stdin, its header's checksum made right, as a frame
sealed() {
	cat >content
	head -c 30 content >head
	{
		cat head
		xxhsum64 head
		tail -c +35 content
	} | zstd -q
}

# changed OFFSET TEMPLATE VALUE ...: the content of good codes with numbers of its header changed
changed() {
	perl -0777 -e 'open F, "<:raw", shift or die; my $s = <F>; while (@ARGV) {
		my ($at, $t, $v) = splice @ARGV, 0, 3; my $n = pack $t, $v;
		substr($s, $at, length $n) = $n } binmode STDOUT; print $s' "$X/x.content" "$@"
}

@test "what the bombs are measured against: the good files stay within the bounds themselves" {
	# shellcheck disable=SC2046
	{
		"$B/tests/measure" $(bounds) vae-enc -T 1 -o a "$X/x.ppm"
		"$B/tests/measure" $(bounds) vae-dec -T 1 -o b "$X/x.lat"
		"$B/tests/measure" $(bounds) vae-quant -T 1 -o c "$X/x.latents"
	}
	case $B in *asan*) return ;; esac
	run -120 "$B/tests/measure" 10000 100 vae-dec -T 1 -o b "$X/x.lat"
	run -120 "$B/tests/measure" 10000 51200 perl -e '$x = "x" x 100000000'
	run -120 "$B/tests/measure" 50 51200 perl -e '1 while $i++ < 10000000'
}

@test "pictures" {
	local text
	for text in 'P6\n99999999 99999999\n255\n' 'P6\n2147483647 2147483647\n65535\n' \
		'P5\n2147483647 1\n255\n' 'P4\n1 2147483647\n' 'P1\n65536 65536\n' \
		'P3\n16385 16384\n255\n' \
		'P7\nWIDTH 2147483647\nHEIGHT 2147483647\nDEPTH 4\nMAXVAL 65535\nTUPLTYPE RGB_ALPHA\nENDHDR\n'; do
		{ printf '%b' "$text"; head -c 100 "$X/x.ppm"; } >image
		bomb "image: *exceeds the limit" vae-enc -T 1 -o out image
		bomb "image: *exceeds the limit" vae-stat image
		bomb "image: *exceeds the limit" vae-train --arch mlp --steps 1 -o out image
	done
	# within the limit the claim is allowed: memory goes with a row, not with what is claimed
	{ printf 'P6\n16384 16384\n255\n'; head -c 100 "$X/x.ppm"; } >image
	# shellcheck disable=SC2046
	run --separate-stderr -1 "$B/tests/measure" 10000 $((1 << 30)) vae-enc -T 1 -o out image
	assert_regex "$stderr" "truncated"
}

@test "latents" {
	local edit
	for edit in \
		's/WIDTH 40/WIDTH 2147483647/; s/HEIGHT 24/HEIGHT 2147483647/; s/ROWS 2/ROWS 134217728/; s/COLUMNS 3/COLUMNS 134217728/' \
		's/WIDTH 40/WIDTH 1/; s/HEIGHT 24/HEIGHT 268435456/; s/ROWS 2/ROWS 16777216/; s/COLUMNS 3/COLUMNS 1/; s/CHANNELS 16/CHANNELS 1024/' \
		's/WIDTH 40/WIDTH 16400/; s/HEIGHT 24/HEIGHT 16400/; s/ROWS 2/ROWS 1025/; s/COLUMNS 3/COLUMNS 1025/'; do
		perl -0777 -pe "$edit" "$X/x.latents" >hostile
		bomb "hostile: *the limit" vae-quant -T 1 -o out hostile
		bomb "hostile: *the limit" vae-dec -T 1 -o out hostile
		bomb "hostile: *the limit" vae-stat -T 1 hostile
	done
}

@test "codes" {
	changed 16 V 40 | sealed >good.lat # nothing changed: the seal is good
	vae-dec good.lat | cmp - <(vae-dec "$X/x.lat")
	local change
	for change in "16 V 2147483647 20 V 2147483647" "16 V 99999999 20 V 99999999" "16 V 1 20 V 2147483647" \
		"16 V 16385 20 V 16384" \
		"16 V 1 20 V 268435456 28 v 1024" "16 V 2147483647 20 V 1 7 C 31"; do
		# shellcheck disable=SC2086 # numbers
		changed $change | sealed >hostile.lat
		bomb "hostile.lat: *the limit" vae-dec -T 1 -o out hostile.lat
		bomb "hostile.lat: *the limit" vae-quant -T 1 -d -o out hostile.lat
		bomb "hostile.lat: *the limit" vae-quant -T 1 -t hostile.lat
		bomb "hostile.lat: *the limit" vae-stat -T 1 hostile.lat
	done
	# --max-pixels allows it, and then it is truncated like any other
	changed 16 V 16385 20 V 16384 | sealed >hostile.lat
	run --separate-stderr -1 limited vae-dec -T 1 --max-pixels 300000000 -o out hostile.lat
	refute_regex "$stderr" "the limit"
}

@test "a picture within the limit, of which nothing is there" {
	# 2^28 pixels, no slice: memory goes with a row of slices, if that
	changed 16 V 16384 20 V 16384 | head -c 34 | sealed >hostile.lat
	# shellcheck disable=SC2046
	fails 1 "hostile.lat: *truncated" "$B/tests/measure" $(bounds) vae-quant -T 1 -t hostile.lat
	# shellcheck disable=SC2046
	fails 1 "hostile.lat: *truncated" "$B/tests/measure" $(bounds) vae-stat -T 1 hostile.lat
	changed 16 V 16384 20 V 16384 | head -c 34 | sealed >hostile.lat
	# shellcheck disable=SC2046
	fails 1 "hostile.lat: *" "$B/tests/measure" $(bounds) vae-dec -T 1 -o out hostile.lat
}

@test "zstd frames: one that claims an exabyte, one that wants a huge window, one that holds gigabytes of nothing" {
	# magic, descriptor: 8 bytes of content size, one segment (so that the window is as large), no
	# checksum; then a raw block
	printf '\x28\xb5\x2f\xfd\xe0\0\0\0\0\0\0\0\x10\x21\0\0VAEC' >hostile.lat
	bomb "hostile.lat: *" vae-dec -T 1 -o out hostile.lat
	bomb "hostile.lat: *" vae-quant -T 1 -t hostile.lat
	# a window of 2^41 bytes
	printf '\x28\xb5\x2f\xfd\x00\xf8\x21\0\0VAEC' >hostile.lat
	bomb "hostile.lat: *" vae-dec -T 1 -o out hostile.lat
	head -c 1000000000 /dev/zero | zstd -q >hostile.lat
	bomb "hostile.lat: *" vae-dec -T 1 -o out hostile.lat
	bomb "hostile.lat: *" vae-stat -T 1 hostile.lat
	# behind good codes: the image is written to the pipe, and then the rest is no image
	{ cat "$X/x.content"; head -c 1000000000 /dev/zero; } | zstd -q >hostile.lat
	bomb "hostile.lat: *" vae-dec -T 1 -o out hostile.lat
	# a slice of the greatest length, nothing but zeros, of a picture that could have it
	{ changed 16 V 16384 20 V 16384 28 v 1024 | head -c 34; printf '\0\0\0\x01\0\0\0\0'
	head -c 20000000 /dev/zero; } | sealed >hostile.lat
	bomb "hostile.lat: *" vae-quant -T 1 -t hostile.lat
}

# One frame that claims more than there is, so that all is held, then a million that are empty.
@test "salvage: time grows with the bytes, not with their square" {
	perl -e 'print pack("V*", 0x184d2a50, 0x7fffffff), pack("V*", 0x184d2a50, 0) x 1000000' >hostile.lat
	# shellcheck disable=SC2046
	run --separate-stderr -1 "$B/tests/measure" $(bounds) vae-dec -T 1 --salvage -o out hostile.lat
	assert_regex "$stderr" "skipped 8 bytes of junk.*nothing could be salvaged"
}

# model [BYTES]: a model file with the header on stdin and so many bytes of tensors
model() { perl -0777 -e 'binmode STDOUT; $j = <STDIN>;
	print pack("Q<", length $j), $j, "\0" x ($ARGV[0] // 0)' "$@" >hostile.safetensors; }

@test "models" {
	local wide='photo enc=1024 enc_blocks=8 y=768 hyper=1024 z=512 steps=2 ctx=1024 ctx_blocks=8 dec=1024'
	wide+=' dec_blocks=8 grid=256 grid_layers=8 knots=64 lambda=0.0008:0.2'
	local dense='mlp width=256 height=256 hidden1=4096 hidden2=4096 z=1024 knots=64'
	local arch head
	for arch in "$wide" "$dense"; do
		head='"__metadata__":{"format_version":"1","architecture":"'$arch'","id":"0123456789abcdef"}'
		model <<<"{$head}"
		bomb "hostile.safetensors: " vae-enc -T 1 -m ./hostile.safetensors -o out "$X/x.ppm"
		bomb "hostile.safetensors: " vae-dec -T 1 -m ./hostile.safetensors -o out "$X/x.lat"
		bomb "hostile.safetensors: " vae-train -T 1 --init ./hostile.safetensors --steps 1 -o out "$X/x.ppm"
		bomb "hostile.safetensors: " vae-stat -T 1 hostile.safetensors
		model 1000 \
			<<<"{$head"',"enc.patch.weight":{"dtype":"F16","shape":[768,1024],"data_offsets":[0,1572864]}}'
		bomb "hostile.safetensors: " vae-enc -T 1 -m ./hostile.safetensors -o out "$X/x.ppm"
	done
	# a good architecture, and tensors that claim more than there is
	perl -0777 -ne 'my $json = substr $_, 8, unpack "Q<", $_;
		$json =~ s/("prior.scales.cumulative":\{"dtype":"U16","shape":\[)\d+/${1}9223372036854775807/ or die;
		print $json' \
		"$DATA/tiny.safetensors" | model
	bomb "hostile.safetensors: " vae-enc -T 1 -m ./hostile.safetensors -o out "$X/x.ppm"
	# JSON as deep as it is long, and a header as long as may be
	perl -e 'print "[" x 500000' | model
	bomb "hostile.safetensors: " vae-enc -T 1 -m ./hostile.safetensors -o out "$X/x.ppm"
	local part
	for part in '{}' '[]' '0' '{"":[]}'; do
		PART=$part perl -e \
			'print "{\"__metadata__\":[", join(",", ($ENV{PART}) x (262000 / (1 + length $ENV{PART}))), "]}"' | model
		bomb "hostile.safetensors: *no __metadata__" vae-enc -T 1 -m ./hostile.safetensors -o out "$X/x.ppm"
		bomb "hostile.safetensors: *no __metadata__" vae-stat -T 1 hostile.safetensors
	done
	truncate -s 100G hostile.safetensors
	bomb "hostile.safetensors: " vae-enc -T 1 -m ./hostile.safetensors -o out "$X/x.ppm"
	bomb "hostile.safetensors: " vae-stat -T 1 hostile.safetensors
}
