#!/usr/bin/env bats
# Exact pictures: what vae-enc --lossless took comes back bit by bit, from latents and from codes,
# and no model is needed.
load helper

GOLDEN=$DATA/golden

setup_file() { export VAE_MODEL=none-such; }

# exact FILE: the picture survives both roads, and the codes are dequantised to what they were made of.
exact() {
	vae-enc --lossless "$1" >latents
	vae-dec latents | cmp - "$1" || fail "$1 through latents"
	vae-quant latents >codes.lat
	vae-quant -d codes.lat | cmp - latents || fail "$1: other latents"
	vae-dec codes.lat | cmp - "$1" || fail "$1 through codes"
}

# pam WIDTH HEIGHT DEPTH MAXVAL TUPLTYPE: noise, as a PAM
pam() {
	perl -e 'my ($w, $h, $d, $max, $type) = @ARGV; srand 7;
		print "P7\nWIDTH $w\nHEIGHT $h\nDEPTH $d\nMAXVAL $max\nTUPLTYPE $type\nENDHDR\n";
		print pack $max > 255 ? "n" : "C", int rand($max + 1) for 1 .. $w * $h * $d' "$@"
}

@test "every golden picture is exact" {
	for file in "$GOLDEN"/*.p?m; do exact "$file"; done
}

@test "every tuple type and number of bits is exact" {
	for type in GRAYSCALE:1 RGB:3 GRAYSCALE_ALPHA:2 RGB_ALPHA:4; do
		for maxval in 1 2 5 15 31 100 255 256 400 1023 4095 10000 65534 65535; do
			pam 35 18 "${type#*:}" $maxval "${type%:*}" >noise.pam
			exact noise.pam
		done
	done
	for type in BLACKANDWHITE:1 BLACKANDWHITE_ALPHA:2; do
		pam 35 18 "${type#*:}" 1 "${type%:*}" >noise.pam
		exact noise.pam
	done
}

@test "a picture of several slices is exact, for any number of threads and any band" {
	pngtopnm "$DATA/photo.png" | pnmtile 1100 1060 >large.ppm
	exact large.ppm
	cp codes.lat one.lat
	for threads in 1 3; do
		vae-enc --lossless -T $threads --band 16 large.ppm | cmp - latents
		vae-quant -T $threads latents | cmp - one.lat
		vae-dec -T $threads --band 7 one.lat | cmp - large.ppm
	done
}

@test "a stream may hold exact pictures beside others" {
	{ vae-enc --lossless "$GOLDEN/grey.pgm"; vae-enc -m tiny "$GOLDEN/rgb.ppm"
	vae-enc --lossless "$GOLDEN/alpha.pam"; } >latents
	vae-quant latents >codes.lat
	vae-dec codes.lat >pictures
	cmp -n "$(size "$GOLDEN/grey.pgm")" pictures "$GOLDEN/grey.pgm"
	cmp <(tail -c "$(size "$GOLDEN/alpha.pam")" pictures) "$GOLDEN/alpha.pam"
	vae-dec <(vae-quant -d codes.lat) | cmp - pictures
	quiet vae-quant -t codes.lat
}

@test "codes without anything exact are of version 1, as ever" {
	vae-enc -m tiny "$GOLDEN/rgb.ppm" >latents
	assert_equal "$(head -n 1 latents)" "VAELATENTS 1"
	assert_equal "$(vae-quant latents | zstd -dcq | head -c 5 | od -An -tx1)" " 56 41 45 43 01"
	vae-enc --lossless "$GOLDEN/rgb.ppm" >latents
	assert_equal "$(head -n 2 latents)" $'VAELATENTS 2\nEXACT all'
	assert_equal "$(vae-quant latents | zstd -dcq | head -c 5 | od -An -tx1)" " 56 41 45 43 02"
}

@test "invisible colours stay" {
	pam 20 20 4 255 RGB_ALPHA | perl -0777 \
		-pe 's/(ENDHDR\n)(.*)/my ($h, $b) = ($1, $2); $b =~ s,(...).,$1\0,gs; "$h$b"/se' >clear.pam
	exact clear.pam
}

@test "--crop gives the window, --reduce the means" {
	pngtopnm "$DATA/photo.png" | pnmtile 1100 200 >x.ppm
	vae-enc --lossless x.ppm >latents
	vae-quant latents >x.lat
	for file in latents x.lat; do
		vae-dec --crop 1010,19,60,101 "$file" | cmp - <(pamcut -left 1010 -top 19 -width 60 -height 101 x.ppm)
		vae-dec --crop 0,199,1,1 "$file" | cmp - <(pamcut -left 0 -top 199 -width 1 -height 1 x.ppm)
	done
	printf 'P2 5 5 99  1 2 3 4 9  1 2 3 4 8  1 2 3 4 7  1 2 3 5 7  9 9 9 9 50\n' | pgmtopgm >mean.pgm
	vae-enc --lossless mean.pgm | vae-dec --reduce 4 | pnmtoplainpnm | tail -n +4 | xargs >means
	assert_equal "$(cat means)" "3 8 9 50"
}

@test "a lost slice is grey and opaque, and the others are exact" {
	pngtopnm "$DATA/photo.png" | pnmtile 1100 40 >x.ppm
	vae-enc --lossless x.ppm | vae-quant >x.lat
	cp x.lat broken.lat
	perl -e 'open F, "+<", shift; seek F, -20, 2; read F, my $b, 1; seek F, -20, 2;
		print F chr(255 & ~ord $b)' broken.lat
	fails 1 "broken.lat" vae-dec broken.lat
	run -1 --separate-stderr vae-dec --salvage -o out.ppm broken.lat
	assert_equal "${#stderr_lines[@]}" 1
	cmp <(pamcut -width 1024 out.ppm) <(pamcut -width 1024 x.ppm)
	cmp <(pamcut -left 1024 out.ppm) <(ppmmake rgb:80/80/80 76 40)
}

@test "vae-stat tells what is exact" {
	vae-enc --lossless "$GOLDEN/alpha.pam" >latents
	vae-quant latents >x.lat
	run -0 vae-stat --json x.lat
	assert_output --partial '"method": "exact"'
	assert_output --regexp '"exact_bytes": [1-9]'
	run -0 vae-stat --tsv -r "$GOLDEN/alpha.pam" latents
	assert_output --partial "inf"
	run -0 vae-stat --tsv -r "$GOLDEN/alpha.pam" x.lat
	assert_output --partial "inf"
	vae-stat --heatmap x.lat | pgmtopgm >heat.pgm
	fails 1 "an exact picture has no latents to show" vae-stat --planes latents
}

@test "--lossless excludes what is about quality" {
	for option in --quality=50 --max-size=9k --target-psnr=30 --refine=2; do
		fails 2 "--lossless" vae-enc --lossless $option "$GOLDEN/rgb.ppm"
	done
}

@test "headers of version 2 that lie are refused, and newer versions are named" {
	vae-enc --lossless "$GOLDEN/grey.pgm" >latents
	for edit in 's/EXACT all/EXACT some/' 's/EXACT all\n//' 's/EXACT all/EXACT all\nCHANNELS 3/' \
		's/EXACT all/EXACT all\nEXACT all/' \
		's/VAELATENTS 2/VAELATENTS 1/' 's/MAXVAL 255/MAXVAL 3/' 's/HEIGHT [0-9]*/HEIGHT 70/'; do
		perl -0777 -pe "$edit" latents >edited
		fails 1 edited vae-dec edited
	done
	perl -pe 's/VAELATENTS 2/VAELATENTS 3/' latents >edited
	fails 1 "newer format version 3" vae-dec edited
	vae-quant latents | zstd -dcq >content
	perl -pe 's/^VAEC./VAEC\x03/s' content | zstd -cq >edited.lat
	fails 1 "newer format version 3" vae-dec edited.lat
}
