#!/usr/bin/env bats
# topnm: any picture file as PNM or PAM, told by its content.
load helper

setup_file() {
	cd "$BATS_FILE_TMPDIR" || return 1
	photo 48 40 >rgb.ppm
	ppmtopgm rgb.ppm >grey.pgm
	pamstack -tupletype RGB_ALPHA rgb.ppm grey.pgm >alpha.pam
	export X=$BATS_FILE_TMPDIR
}

topnm() { "$ROOT/tools/topnm" "$@"; }

says() { one_error topnm "$@"; }

# An empty folder of programs but for the ones that topnm cannot do without.
few_programs() {
	local program
	mkdir bin
	for program in sh od tr grep cat tail mktemp rm pngtopam jpegtopnm; do
		ln -s "$(command -v $program)" bin
	done
}

@test "formats without loss come out as they went in, whatever their names" {
	pnmtopng "$X/rgb.ppm" >rgb
	pamtopng "$X/alpha.pam" >alpha.jpg
	pamtotiff "$X/rgb.ppm" >rgb.x
	pamtotiff "$X/alpha.pam" >alpha.x
	ppmtobmp "$X/rgb.ppm" >-rgb.bmp
	cwebp -quiet -lossless "$X/rgb.ppm" -o rgb.webp
	cwebp -quiet -lossless -exact alpha.jpg -o alpha.webp
	cp "$X/rgb.ppm" "rgb b.PNG"
	for file in rgb rgb.x -rgb.bmp rgb.webp "rgb b.PNG"; do
		topnm -- "$file" | cmp - "$X/rgb.ppm"
	done
	for file in alpha.jpg alpha.x alpha.webp; do
		topnm "$file" | cmp - "$X/alpha.pam"
	done
	cat "$X/rgb.ppm" "$X/grey.pgm" >two
	topnm two | cmp - two
}

@test "kinds of pictures: grey, bilevel, palette, transparent in one colour, 16 bits" {
	pgmtopbm "$X/grey.pgm" >bit.pbm
	pnmquant 8 "$X/rgb.ppm" >few.ppm
	colour=$(ppmhist -noheader few.ppm | awk 'NR == 1 { printf "#%02x%02x%02x", $1, $2, $3 }')
	pnmtopng bit.pbm >bit.png
	pamtotiff bit.pbm >bit.tif
	ppmtogif few.ppm >few.gif
	pnmtopng few.ppm >few.png
	ppmtogif -transparent="$colour" few.ppm >hole.gif
	pnmtopng -transparent="$colour" few.ppm >hole.png
	pamdepth 1023 "$X/grey.pgm" | pamdepth 65535 | pamtopng >deep.png
	cjpeg "$X/grey.pgm" >grey.jpg
	for file in bit.png bit.tif; do topnm $file | cmp - bit.pbm; done
	for file in few.png few.gif; do topnm $file | cmp - few.ppm; done
	for file in hole.png hole.gif; do
		topnm $file >hole.pam
		assert_equal "$(kinds hole.pam)" "PAM RAW 48 40 4 255 RGB_ALPHA"
		pamchannel -infile hole.pam -tupletype RGB 0 1 2 | pamtopnm | cmp - few.ppm
		assert_equal "$(pamchannel -infile hole.pam 3 | pamsumm -brief -min)" 0
	done
	assert_equal "$(topnm deep.png | kinds -)" "PGM RAW 48 40 1 65535 GRAYSCALE"
	assert_equal "$(topnm grey.jpg | kinds -)" "PGM RAW 48 40 1 255 GRAYSCALE"
}

@test "a BMP file with transparency, which its converter does not read: a note" {
	bmp() { # a BMP file of 2 x 1 pixels of 32 bits, with the mask $1 of alpha
		perl -e 'print pack("A2 V3 V l2 v2 V2 l2 V2 V4 A4 x48 V2", "BM", 130, 0, 122, 108, 2, 1, 1, 32, 3, 8,
			2835, 2835, 0, 0, 0xff0000, 0xff00, 0xff, hex shift, "BGRs", 0x40102030, 0x80405060)' "$1"
	}
	bmp ff000000 >alpha.bmp
	bmp 0 >opaque.bmp
	run --separate-stderr -0 topnm alpha.bmp
	assert_equal "$stderr" "topnm: alpha.bmp: its transparency stays behind: bmptopnm does not read it"
	quiet topnm opaque.bmp
	topnm opaque.bmp | cmp - <(printf 'P6\n2 1\n255\n\020\040\060\100\120\140')
}

@test "an animation: the first image, and a note" {
	ppmtogif -sort "$X/grey.pgm" >one.gif
	giftopnm one.gif >wanted
	# The image of a GIF is what lies between its head and its last byte, a semicolon.
	head=$((13 + 3 * 256))
	{ head -c -1 one.gif && tail -c "+$((head + 1))" one.gif; } >two.gif
	run --separate-stderr -0 topnm two.gif
	assert_equal "$stderr" "topnm: two.gif: an animation, of which only the first image is converted"
	topnm two.gif 2>words | cmp - wanted
	quiet topnm one.gif
}

@test "a TIFF file of 16 bits keeps them, and one on its side is turned" {
	pamdepth 65535 "$X/alpha.pam" 2>/dev/null | pamfunc -subtractor 99 >deep.pam
	pamchannel -infile deep.pam -tupletype RGB 0 1 2 | pamtopnm >deep.ppm
	ppmtopgm deep.ppm >deep.pgm
	for file in deep.pam deep.ppm deep.pgm; do
		pamtotiff -truecolor $file >x.tif
		quiet topnm x.tif
		topnm x.tif | cmp - $file
	done
	# tifftopnm makes other colours of CMYK with 16 bits; and row by row it makes alpha of nothing
	perl -e 'my @tags = ([256, 4, 1, 4], [257, 4, 1, 4], [258, 3, 4, 122], [259, 3, 1, 1], [262, 3, 1, 5],
		[273, 4, 1, 130], [277, 3, 1, 4], [278, 4, 1, 4], [279, 4, 1, 128]);
		print pack("A2 v V v (v v V V)9 V v4 a128", "II", 42, 8, 9, (map { @$_ } @tags), 0, (16) x 4,
			"")' >ink.tif
	says "ink.tif: CMYK of 16 bits, which tifftopnm converts to other colours" topnm ink.tif
	# nor does it know floating point
	perl -e 'my @tags = ([256, 4, 1, 4], [257, 4, 1, 4], [258, 3, 1, 32], [259, 3, 1, 1], [262, 3, 1, 1],
		[273, 4, 1, 134], [277, 3, 1, 1], [278, 4, 1, 4], [279, 4, 1, 64], [339, 3, 1, 3]);
		print pack("A2 v V v (v v V V)10 V a64", "II", 42, 8, 10, (map { @$_ } @tags), 0, "")' >float.tif
	says "float.tif: samples of floating point, *: tifftopnm cannot read them" topnm float.tif
	needs_program exiftool
	pamtotiff -truecolor "$X/rgb.ppm" >x.tif
	for turn in 2:leftright 3:leftright,topbottom 4:topbottom 5:transpose 6:transpose,leftright \
		7:transpose,leftright,topbottom 8:transpose,topbottom; do
		exiftool -q -overwrite_original -Orientation#=${turn%:*} x.tif
		quiet topnm x.tif
		pamflip -xform=${turn#*:} "$X/rgb.ppm" >wanted
		topnm x.tif | cmp - wanted
	done
}

@test "a TIFF file of several pages: the first, with its alpha, and a note" {
	tiffs() { # two TIFF files as two pages: the last offset of the first, which is 0, is set to the second
		perl -0777 -e 'my @f = map { open F, "<:raw", $_ or die; local $/; <F> } @ARGV;
			my ($one, $two) = @f;
			die "byte order" if substr($one, 0, 2) ne "II" || substr($two, 0, 2) ne "II";
			$one .= "\0" if length($one) % 2;
			my $base = length $one;
			my %size = (1, 1, 2, 1, 3, 2, 4, 4, 5, 8, 6, 1, 7, 1, 8, 2, 9, 4, 10, 8, 11, 4, 12, 8);
			my $at = unpack "V", substr $two, 4, 4;
			my $n = unpack "v", substr $two, $at, 2;
			for my $i (0 .. $n - 1) {
				my ($tag, $type, $count, $value) = unpack "v v V V", substr $two, $at + 2 + 12 * $i, 12;
				my $far = $size{$type} * $count > 4;
				if ($tag == 273 && $far) {
					my @strips = map { $_ + $base } unpack "V$count", substr $two, $value, 4 * $count;
					substr($two, $value, 4 * $count) = pack "V*", @strips;
				}
				substr($two, $at + 2 + 12 * $i + 8, 4) = pack "V", $value + $base if $far || $tag == 273;
			}
			my $first = unpack "V", substr $one, 4, 4;
			my $m = unpack "v", substr $one, $first, 2;
			substr($one, $first + 2 + 12 * $m, 4) = pack "V", $base + $at;
			binmode STDOUT; print $one . $two' "$@"
	}
	pamtotiff "$X/alpha.pam" >alpha.tif
	pamtotiff "$X/grey.pgm" >grey.tif
	tiffs alpha.tif grey.tif >two.tif
	assert_equal "$(tifftopnm -quiet two.tif | kinds - | wc -l)" 2
	run --separate-stderr -0 topnm two.tif
	assert_equal "$stderr" "topnm: two.tif: 2 pages, of which only the first is converted"
	topnm two.tif 2>words | cmp - "$X/alpha.pam"
	quiet topnm alpha.tif
}

@test "HEIC, AVIF, JPEG XL: converted with alpha, or named with the package of a converter" {
	for pair in heif-convert:heic:HEIC:libheif-examples avifdec:avif:AVIF:libavif-bin \
		"djxl:jxl:JPEG XL:libjxl-tools"; do
		IFS=: read -r program extension format package <<<"$pair"
		file=$DATA/pictures/alpha.$extension
		assert_equal "$(topnm --format "$file")" "$format"
		if topnm --formats | grep "^$format"$'\t.*\tyes$' >/dev/null; then
			topnm "$file" >out
			assert_equal "$(kinds out)" "PAM RAW 48 40 4 255 RGB_ALPHA"
			at_least "$(psnr out "$X/alpha.pam")" 28
		else
			says "*: $format needs $program (Debian package $package), which is not installed" topnm "$file"
		fi
	done
}

@test "an AVIF file is turned and mirrored as it says" {
	needs_program avifenc
	needs_program avifdec
	pamtopng "$X/rgb.ppm" >x.png
	for flips in "--irot 1:transpose,topbottom" "--irot 2:leftright,topbottom" \
		"--irot 3:transpose,leftright" "--imir 0:topbottom" "--imir 1:leftright" \
		"--irot 1 --imir 1:transpose,topbottom,leftright"; do
		# shellcheck disable=SC2086 # words
		avifenc -l ${flips%:*} x.png x.avif >log 2>&1
		topnm x.avif >turned
		pamflip -xform="${flips#*:}" "$X/rgb.ppm" | cmp - turned
	done
}

@test "a format without converter is named, and the others work" {
	few_programs
	cwebp -quiet "$X/rgb.ppm" -o x.webp
	pnmtopng "$X/rgb.ppm" >x.png
	cjpeg "$X/rgb.ppm" >x.jpg
	says "x.webp: WebP needs dwebp (Debian package webp), which is not installed" env PATH="$PWD/bin" sh \
		"$ROOT/tools/topnm" x.webp
	PATH=$PWD/bin sh "$ROOT/tools/topnm" x.png >out
	cmp out "$X/rgb.ppm"
	PATH=$PWD/bin sh "$ROOT/tools/topnm" --formats >formats
	assert_equal "$(awk -F '\t' '$5 == "yes" { print $1 }' formats | xargs)" "PNM PNG JPEG"
	assert_equal "$(awk -F '\t' '$1 == "WebP" { print $2, $3, $4, $5 }' formats)" "webp dwebp webp no"
	assert_equal "$(awk -F '\t' 'NF != 5 || /\t\t/' formats)" ""
}

@test "what is no picture, or a damaged one: one line, status 1, and no temporary files" {
	mkdir tmp
	export TMPDIR=$PWD/tmp
	printf 'some text, long enough for a head of 32 bytes\n' >x.png
	says "x.png: not a picture of a known format" topnm x.png
	: >empty.png
	says "empty.png: empty file" topnm empty.png
	says "none.png: not a file" topnm none.png
	says "tmp: not a file" topnm tmp
	cp x.png $'esc\033.png'
	says "esc[?].png: not a picture of a known format" topnm $'esc\033.png'
	printf '\0\0\0\030ftypqt  \0\0\0\0qt  \0\0\0\0\0\0\0\0' >x.heic
	says "x.heic: *neither HEIC nor AVIF*" topnm x.heic
	printf '8BPS and what follows' >x.psd
	says "x.psd: no converter is known for Photoshop" topnm x.psd
	pnmtopng "$X/rgb.ppm" >whole
	head -c 2000 whole >cut.png
	says "cut.png: pngtopam: *" topnm cut.png
	cjpeg "$X/rgb.ppm" >whole
	head -c 700 whole >cut.jpg
	says "cut.jpg: jpegtopnm: *" topnm cut.jpg
	pamtotiff "$X/rgb.ppm" >whole
	head -c 2000 whole >cut.tif
	says "cut.tif: tifftopnm: *" topnm cut.tif
	cwebp -quiet "$X/rgb.ppm" -o whole
	head -c 300 whole >cut.webp
	says "cut.webp: dwebp: *" topnm cut.webp
	ppmtogif -sort "$X/grey.pgm" >x.gif
	for file in "$X/rgb.ppm" x.gif; do
		says "*: cat: *No space left*" shell "'$ROOT/tools/topnm' '$file' >/dev/full"
	done
	assert_equal "$(ls tmp)" ""
}

@test "a reader that goes away is no failure of the picture" {
	pamscale 20 "$X/rgb.ppm" >rgb.ppm
	ppmtobmp rgb.ppm >x.bmp
	pamtopng rgb.ppm >x.png
	for file in rgb.ppm x.bmp x.png; do
		run --separate-stderr -141 shell "exec '$ROOT/tools/topnm' $file | head -c 1"
		assert_equal "$stderr" ""
	done
}

@test "usage" {
	run -0 topnm --help
	assert_output "Usage: topnm FILE | --format FILE | --formats"
	run -2 topnm
	run -2 topnm --nonsense
	run -2 topnm a b
}
