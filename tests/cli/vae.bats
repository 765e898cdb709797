#!/usr/bin/env bats
# vae: picture files to codes and back.
load helper

setup_file() {
	cd "$BATS_FILE_TMPDIR" || return 1
	photo 48 40 >rgb.ppm
	pnmtopng rgb.ppm >rgb.png
	pnmtojpeg -quality 90 rgb.ppm >rgb.jpg
	ppmtopgm rgb.ppm >grey.pgm
	pamstack -tupletype RGB_ALPHA rgb.ppm grey.pgm | pamtopng >alpha.png
	vae-enc rgb.ppm | vae-quant >rgb.lat
	vae-dec rgb.lat >rgb.out
	export X=$BATS_FILE_TMPDIR
}

says() { one_error vae "$@"; }

@test "there and back, with the times, and the source kept" {
	cp "$X/rgb.png" photo.png
	touch -d '2001-02-03 04:05:06' photo.png
	chmod 640 photo.png
	quiet vae --strip photo.png
	cmp photo.lat "$X/rgb.lat"
	assert_equal "$(stat -c '%Y %a' photo.lat)" "$(stat -c '%Y %a' photo.png)"
	cmp photo.png "$X/rgb.png"
	says "photo.png: exists already; -f writes over it" vae -d photo.lat
	quiet vae -d -f photo.lat
	pngtopnm photo.png | cmp - "$X/rgb.out"
	assert_equal "$(stat -c %Y photo.png)" "$(stat -c %Y photo.lat)"
	quiet vae -d -o back.ppm photo.lat
	cmp back.ppm "$X/rgb.out"
	quiet vae -d -o back.tif photo.lat
	tifftopnm -quiet back.tif | cmp - "$X/rgb.out"
	quiet vae -d --rm -o back.jpg photo.lat
	assert_equal "$(jpegtopnm -quiet back.jpg | kinds -)" "PPM RAW 48 40 3 255 RGB"
	assert_not_exists photo.lat
	only photo.png back.ppm back.tif back.jpg
}

@test "pipes, and options in one word" {
	vae --strip <"$X/rgb.png" | cmp - "$X/rgb.lat"
	vae -dc "$X/rgb.lat" | cmp - "$X/rgb.out"
	vae -d <"$X/rgb.lat" | cmp - "$X/rgb.out"
	vae -ckq20 -T1 -mtiny "$X/rgb.png" | cmp - <(vae-enc -q 20 "$X/rgb.ppm" | vae-quant)
	vae -c --quality=20 --model=tiny -- "$X/rgb.png" | cmp - <(vae-enc -q 20 "$X/rgb.ppm" | vae-quant)
	assert [ "$(vae --strip -c --max-size 300 "$X/rgb.png" | wc -c)" -le 300 ]
	vae --strip -o - "$X/rgb.png" | vae -d -o - - | cmp - "$X/rgb.out"
	run --separate-stderr -0 vae -vo v.lat --strip "$X/rgb.png"
	share=$(awk "BEGIN { printf \"%.1f\", 100 * $(size v.lat) / $(size "$X/rgb.png") }")
	assert_equal "$stderr" \
		"vae: $X/rgb.png: $(size "$X/rgb.png") bytes have become $(size v.lat) ($share %): v.lat"
	quiet vae -t "$X/rgb.lat"
	run --separate-stderr -1 vae -tv "$X/rgb.lat" "$X/rgb.ppm"
	assert_equal "$(cut -d ' ' -f 1 <<<"$stderr" | sort -u)" vae:
	run -0 vae -l "$X/rgb.lat" "$X/rgb.lat"
	assert_output --partial "$(size "$X/rgb.lat")"
	assert_output --partial tiny
	run -0 vae -l "$X/rgb.lat"
	assert_equal "${#lines[@]}" 2
	assert_equal "$(vae --help | grep -cE '.{81}')" 0
	assert_equal "$(vae -V)" "$(vae-enc -V | sed 's/vae-enc/vae/')"
}

@test "numbers with zeros before them are decimal, and -t and -l go before -d" {
	local i
	for i in 1 2 3 4 5 6 7 8 9; do cp "$X/grey.pgm" $i.pgm; done
	quiet vae -j 08 ./*.pgm
	assert_equal "$(find . -name '*.lat' | wc -l)" 9
	photo 72 40 >wide.ppm
	vae -o wide.lat wide.ppm
	quiet vae -d --thumbnail 09 -o thumb.png wide.lat
	assert_equal "$(pngtopnm thumb.png | kinds -)" "PPM RAW 9 5 3 255 RGB"
	for wrong in "-j 99999999999999999999" "-d --thumbnail 99999999999999999999" "-j 00"; do
		# shellcheck disable=SC2086 # words
		run --separate-stderr -2 vae $wrong wide.lat
		assert_regex "${stderr_lines[0]}" "^vae: --?(jobs|j|thumbnail): .* (too large|less than 1)$"
	done
	quiet vae -td wide.lat
	run -0 vae -ld wide.lat
	assert_output --partial tiny
	assert_not_exists wide.png
}

@test "several files, whatever their names, by several jobs" {
	odd=$'odd \'"$(touch no)`touch no`;\n*.png'
	cp "$X/rgb.png" "$odd"
	cp "$X/rgb.png" ./-d.png
	cp "$X/rgb.png" ' b.x.png'
	cp "$X/rgb.ppm" noending
	cp "$X/rgb.ppm" .hidden
	head -c 900 "$X/rgb.png" >broken.png
	run --separate-stderr -1 vae --strip -j 3 -- *.png noending .hidden missing.png
	assert_equal "$(grep -c '^vae: ' <<<"$stderr")" 2
	assert_regex "$stderr" "vae: broken.png: "
	assert_regex "$stderr" "vae: missing.png: no such file"
	for file in "${odd%.png}" -d ' b.x' noending .hidden; do cmp -- "$X/rgb.lat" "./$file.lat"; done
	assert_not_exists broken.lat
	assert_not_exists no
	rm -f -- *.png
	quiet vae -d -j 2 -- *.lat
	for file in "${odd%.png}" -d ' b.x' noending; do pngtopnm "./$file.png" | cmp - "$X/rgb.out"; done
	assert_equal "$(find . -name '.vae.*' | wc -l)" 0
}

@test "what goes wrong leaves what was there" {
	cp "$X/rgb.png" photo.png
	echo mine >photo.lat
	says "photo.lat: exists already; -f writes over it" vae photo.png
	ln -s elsewhere link.lat
	says "link.lat: exists already; -f writes over it" vae -o link.lat photo.png
	says "photo.png: is the input itself" vae -f -o photo.png photo.png
	says ".: is a folder" vae .
	says "a FILE has an empty name" vae ''
	says "photo.lat: has the ending of codes already; -d decodes it" vae -f photo.lat
	says "photo.lat: *neither codes nor latents*" vae -d -o x.png photo.lat
	says "x.gif: no format that vae writes*" vae -d -o x.gif "$X/rgb.lat"
	says "no/x.lat: there is no folder no" vae -o no/x.lat photo.png
	says "photo.png: this is PNG, not codes; without -d it is compressed" vae -d -o x.png photo.png
	says "standard input: zstd data, such as codes (.lat), which vae -d decodes" vae -o x.lat <"$X/rgb.lat"
	says "none: no temporary folder can be made there (TMPDIR)" env TMPDIR=none vae -c photo.png
	says "standard output: cannot be written: No space left on device" shell 'vae -c photo.png >/dev/full'
	mkdir locked && chmod 555 locked
	says "locked/x.lat: its folder is not writable" unprivileged vae -o locked/x.lat photo.png
	chmod 755 locked && cp photo.png locked && chmod 555 locked
	says "locked/photo.png: cannot be removed: Permission denied" \
		unprivileged vae --rm -o x.lat locked/photo.png
	chmod 755 locked
	rm -r locked x.lat
	says "no model 'none'*" vae -f -m none photo.png photo.png
	says "no model 'none'*" env VAE_MODEL=none vae -f photo.png alpha.lat
	says "VAE_CPU: 'none' is none of*" env VAE_CPU=none vae -f photo.png alpha.lat
	says "photo.lat: not codes: no zstd frame begins here (byte 0)" vae -t photo.lat
	head -c -20 "$X/rgb.lat" >cut.lat
	says "cut.lat: codes: truncated*" vae -d cut.lat
	vae -o alpha.lat "$X/alpha.png"
	says "alpha.lat: has transparency, which jpg has not; png has" vae -d -o x.jpg alpha.lat
	cat "$X/rgb.lat" "$X/rgb.lat" >two.lat
	says "two.lat: holds several images, which only -o FILE.pnm keeps" vae -d two.lat
	quiet vae -d -o two.pnm two.lat
	cmp two.pnm <(cat "$X/rgb.out" "$X/rgb.out")
	assert_equal "$(cat photo.lat)" mine
	cmp photo.png "$X/rgb.png"
	only photo.png photo.lat link.lat cut.lat alpha.lat two.lat two.pnm
	for wrong in "-o a -o" "--nosuch" "-o x.lat photo.png alpha.lat" "-j two photo.png" "-j 0 photo.png" \
		"-c -j 2 photo.png" "--thumbnail 9 photo.png" "--quiet=5 photo.png" \
		"-f -q many photo.png photo.png" "-f --max-size 0 photo.png" \
		"-f --lossless -q 40 photo.png" "-d -f -T 2000 cut.lat"; do
		# shellcheck disable=SC2086 # words
		run --separate-stderr -2 vae $wrong
		assert_equal "${stderr_lines[1]}" "Try 'vae --help' for more information."
	done
}

@test "each failure has its reason, and the name that the user gave" {
	for command in "$X/rgb.png" "-d $X/rgb.lat" "-d --thumbnail 9 $X/rgb.lat"; do
		run -1 shell "trap '' XFSZ; ulimit -f 0; TMPDIR=. vae -o x.png $command 2>&1 | cat"
		assert_output "vae: ${command##* }: no room for temporary files in . (TMPDIR)"
	done
	says "standard input: cannot be copied to /tmp (TMPDIR): Is a directory" env TMPDIR=/tmp vae -c - <.
	perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Local => "socket.png", Listen => 1) or die'
	says "socket.png: cannot be copied to * (TMPDIR): No such device or address" vae -c socket.png
	says "socket.png: cannot be copied to * (TMPDIR): No such device or address" vae -dc socket.png
	head -c 900 "$X/rgb.png" >$'esc\033.png'
	says "esc[?].png: pngtopam: *" vae $'esc\033.png'
	says "standard input: pngtopam: *" vae <$'esc\033.png'
	says "standard input: not a picture of a known format" \
		vae -c < <(printf 'text text text text text')
	GZIP=-9 quiet vae --strip -o rgb.lat "$X/rgb.png"
	rm rgb.lat
	only $'esc\033.png' socket.png
}

@test "no operand replaces the result of another" {
	cp "$X/rgb.png" a.png
	cp "$X/grey.pgm" a.pgm
	cp "$X/grey.pgm" b.pgm
	for jobs in 1 2 4; do
		says "a.png: its result a.lat is that of an earlier FILE" vae -f --rm -j $jobs a.pgm b.pgm a.png
		only a.png a.lat b.lat
		assert_equal "$(vae-dec a.lat | kinds -)" "PGM RAW 48 40 1 255 GRAYSCALE"
		cp "$X/grey.pgm" a.pgm
		cp "$X/grey.pgm" b.pgm
	done
	mkdir c
	cp a.pgm c
	quiet vae -f a.pgm c/a.pgm
	ln -s . c/here
	cp "$X/rgb.png" c/a.png
	for operands in "./a.pgm $PWD/a.png" "c/a.pgm c/here/a.png" "c/a.pgm c//../c/here/a.png"; do
		# shellcheck disable=SC2086 # words
		says "${operands#* }: its result * is that of an earlier FILE" vae -f $operands
	done
	assert_equal "$(vae -f -c a.pgm a.png | vae-dec | kinds - | cut -d ' ' -f 1 | xargs)" "PGM PPM"
}

@test "devices and pipes are read and written, and never replaced" {
	mkfifo pipe
	cat pipe >read &
	quiet vae --strip -o pipe "$X/rgb.png"
	wait
	assert [ -p pipe ]
	cmp read "$X/rgb.lat"
	quiet vae -f -o /dev/fd/3 --strip "$X/rgb.png" 3>three
	cmp three "$X/rgb.lat"
	assert [ -L /dev/fd ]
	vae -f --strip -o /dev/stdout "$X/rgb.png" >out
	cmp out "$X/rgb.lat"
	# a descriptor is written where it stands, and one of a file is not cut
	{ echo before && echo before >&3 && vae --strip -o /dev/fd/3 "$X/rgb.png" && echo behind >&3 &&
		vae --strip -o /dev/fd/1 "$X/rgb.png" && echo behind; } 3>three >out
	for file in three out; do { echo before && cat "$X/rgb.lat" && echo behind; } | cmp - $file; done
	vae --strip -o /dev/stderr "$X/rgb.png" 2>err
	cmp err "$X/rgb.lat"
	says "/dev/fd/4: cannot be written: Bad file descriptor" vae -o /dev/fd/4 "$X/rgb.png" 4>&-
	for file in /dev/stdin /dev/fd/0; do
		vae --strip $file <"$X/rgb.png" | cmp - "$X/rgb.lat"
		vae -dc -- $file <"$X/rgb.lat" | cmp - "$X/rgb.out"
	done
	vae -d -o /dev/stdout "$X/rgb.lat" | cmp - "$X/rgb.out"
	quiet unprivileged vae -d -o /dev/null "$X/rgb.lat"
	assert [ -c /dev/null ]
	quiet vae --strip -o in.lat <(cat "$X/rgb.png")
	cmp in.lat "$X/rgb.lat"
	says "/dev/null: empty file" vae -c /dev/null
	vae --strip -j 4 <"$X/rgb.png" | cmp - "$X/rgb.lat"
	run --separate-stderr -2 vae -j 2 - "$X/rgb.png"
	quiet vae -f --strip -o closed.lat "$X/rgb.png" <&-
	cmp closed.lat "$X/rgb.lat"
	quiet vae --rm -d -f -o back.ppm <(cat "$X/rgb.lat")
	cmp back.ppm "$X/rgb.out"
}

@test "a signal ends all programs, and leaves nothing" {
	local jobs signal
	pnmtile 2000 1500 "$X/rgb.ppm" >a.ppm
	cp a.ppm b.ppm
	mkdir T
	mkfifo pipe.fifo
	for jobs in 1 2; do
		for signal in INT TERM HUP QUIT PIPE USR1 TERM TERM; do # which meets it at another place each time
			TMPDIR=$PWD/T plainly vae --lossless -f -j $jobs a.ppm b.ppm &
			wait_for compgen -G 'T/vae.*/words' >/dev/null
			kill -$signal $!
			ends $((128 + $(kill -l $signal))) $!
			assert_equal "$(find T -mindepth 1)" ""
			only a.ppm b.ppm pipe.fifo T
		done
	done
	for signal in INT TERM HUP QUIT PIPE; do # what it reads does not end
		(exec 7<>pipe.fifo && TMPDIR=$PWD/T plainly vae -t - <&7) &
		wait_for compgen -G 'T/vae.*/words' >/dev/null
		sleep 0.2
		kill -$signal $!
		ends $((128 + $(kill -l $signal))) $!
		assert_equal "$(find T -mindepth 1)" ""
	done
}

@test "-h and -V tell that they cannot be written, and -o is not for -l or -t" {
	local option
	for option in -h -V; do
		says "standard output: No space left on device" shell "vae $option >/dev/full"
		says "standard output is closed" shell "vae $option >&-"
	done
	for option in list test; do
		run --separate-stderr -2 vae --$option -o lines "$X/rgb.lat"
		assert_equal "${stderr%%$'\n'*}" "vae: --output has no use with --$option"
	done
	vae -l -o - "$X/rgb.lat" | cmp - <(vae -l "$X/rgb.lat")
	assert_not_exists lines
}

@test "whoever reads the lines may go away: nothing is left" {
	cp "$X/rgb.ppm" a.ppm
	cp a.ppm b.ppm
	mkdir T
	(TMPDIR=$PWD/T vae -v --strip a.ppm b.ppm || true) 2> >(exec 0<&-) # nobody reads
	assert_equal "$(find T -mindepth 1)" ""
	only a.ppm a.lat b.ppm b.lat T
}

@test "a terminal is no place for pictures, nor a source of them" {
	needs_terminal
	for command in "vae" "vae -d" "vae -l" "vae -t" "vae -o x.lat -"; do
		run -2 script -qec "$command" /dev/null
		assert_output --partial "vae: standard input is a terminal; name a FILE"
	done
	for command in "vae -c '$X/rgb.png'" "vae -dc '$X/rgb.lat'" "vae -o - '$X/rgb.png'" \
		"vae -d - <'$X/rgb.lat'"; do
		run -2 script -qec "$command" /dev/null
		assert_output --partial "vae: standard output is a terminal; -f writes to it"
	done
	script -qec "vae -dcf '$X/rgb.lat'" /dev/null </dev/null >shown
	assert_equal "$(head -c 2 shown)" P6
	run -0 script -qec "vae -l '$X/rgb.lat'" /dev/null
	assert_output --partial tiny
}

@test "a result that is not smaller is told, and --quiet keeps quiet" {
	printf 'P5 2 2 255 abcd' >few.pgm
	run --separate-stderr -0 vae few.pgm
	assert_regex "$stderr" "vae: few.pgm: 15 bytes have become [0-9]+: this file is better kept as it is"
	quiet vae -f --quiet few.pgm
}

@test "--max-pixels is the limit of all that vae does" {
	cp "$X/rgb.png" "$X/rgb.lat" .
	for command in "-o x.lat rgb.png" "-o x.lat --lossless rgb.png" "-d -o x.png rgb.lat" \
		"-d --thumbnail 9 -o x.png rgb.lat" "-t rgb.lat" "-l rgb.lat"; do
		# shellcheck disable=SC2086 # words
		says "rgb.*: a picture of 48 x 40 pixels exceeds the limit of 1919 pixels*" \
			vae -f --max-pixels 1919 $command
		# shellcheck disable=SC2086 # words
		quiet vae -f --max-pixels 1920 $command
	done
	run --separate-stderr -2 vae --max-pixels many -o y.lat rgb.png
}

@test "--lossless keeps every sample" {
	quiet vae --lossless --strip -o exact.lat "$X/alpha.png"
	quiet vae -d -o exact.png exact.lat
	pngtopam -alphapam "$X/alpha.png" >alpha.pam
	pngtopam -alphapam exact.png | cmp - alpha.pam
	quiet vae -d --thumbnail 16 -o thumb.png exact.lat
	assert_equal "$(pngtopam -alphapam thumb.png | kinds -)" "PAM RAW 16 13 4 255 RGB_ALPHA"
}

@test "every depth and kind has a PNG file, and a TIFF file or an error" {
	pamdepth 1023 "$X/grey.pgm" >deep.pgm
	pamdepth 5 "$X/rgb.ppm" >flat.ppm
	for file in deep.pgm flat.ppm; do
		vae --lossless -f --quiet -o x.lat $file
		for ending in png tif; do
			quiet vae -d -f -o x.$ending x.lat
			"$ROOT/tools/topnm" x.$ending | pamdepth "$(kinds $file | cut -d ' ' -f 6)" | cmp - $file
		done
		quiet vae -d -f --thumbnail 16 -o thumb.png x.lat
	done
	pamstack -tupletype GRAYSCALE_ALPHA "$X/grey.pgm" "$X/grey.pgm" >alpha.pam
	vae --lossless -o alpha.lat alpha.pam
	says "alpha.lat: is grey with transparency, of which pamtotiff writes no tif; png has it" \
		vae -d -f -o x.tif alpha.lat
	quiet vae -d -o alpha.png alpha.lat
	pngtopam -alphapam alpha.png | cmp - alpha.pam
}

@test "thumbnails are turned as each orientation says" {
	needs_program exiftool
	cp "$X/rgb.jpg" photo.jpg
	for turn in 1: 2:leftright 3:leftright,topbottom 4:topbottom 5:transpose 6:transpose,leftright \
		7:transpose,leftright,topbottom 8:transpose,topbottom; do
		exiftool -q -overwrite_original -Orientation#=${turn%:*} photo.jpg
		quiet vae -f photo.jpg
		quiet vae -d -f --thumbnail 24 -o thumb.png photo.lat
		vae -dc photo.lat | pamscale -xyfit 24 24 | pamflip -xform="${turn#*:}" >wanted
		pngtopnm thumb.png | cmp - wanted
	done
}

@test "thumbnails, as file managers ask for them" {
	photo 300 200 | vae -o large.lat -
	quiet vae -d -f --quiet --thumbnail 32 -o thumb.XYZ large.lat
	assert_equal "$(pngtopnm thumb.XYZ | kinds -)" "PPM RAW 32 21 3 255 RGB"
	cat "$X/rgb.lat" large.lat >two.lat
	quiet vae -d --thumbnail 64 -o small.png two.lat
	pngtopnm small.png | cmp - "$X/rgb.out"
	head -c -9 two.lat >cut.lat # whatever the other images are like
	quiet vae -d -f --thumbnail 64 -o small.png cut.lat
	pngtopnm small.png | cmp - "$X/rgb.out"
	quiet vae -d -f --thumbnail 64 -o small.png <(vae-enc "$X/rgb.ppm")
}

@test "desktops and file know codes" {
	cp "$X/rgb.lat" noending
	assert_equal "$(file -b --mime-type -m "$ROOT/tools/vae.magic" noending)" image/x-vae-lat
	if ! command -v update-mime-database >/dev/null || ! command -v gio >/dev/null; then
		skip "optional: no update-mime-database or gio"
	fi
	mkdir -p share/mime/packages
	cp "$ROOT/packaging/vae-tools.xml" share/mime/packages
	update-mime-database share/mime
	zstd -q <"$X/rgb.ppm" >other
	export XDG_DATA_HOME=$PWD/none XDG_DATA_DIRS=$PWD/share
	for file in noending "$X/rgb.lat"; do
		run -0 gio info -a standard::content-type "$file"
		assert_output --partial "standard::content-type: image/x-vae-lat"
	done
	run -0 gio info -a standard::content-type other
	refute_output --partial vae-lat
}

@test "colour profile, Exif and XMP come back" {
	needs_program exiftool
	perl -e 'print pack("N", 240), "\0" x 8, "mntrRGB XYZ ", "\0" x 12, "acsp", "\0" x 88, pack("N", 0),
		"\1" x 108' >p.icc
	cp "$X/rgb.jpg" photo.jpg
	exiftool -q -overwrite_original -Orientation#=6 -GPSLatitude=47 -GPSLatitudeRef=N -XMP:Title=hello \
		"-ICC_Profile<=p.icc" photo.jpg
	tags() {
		exiftool -s3 -n -Orientation -GPSLatitude -XMP:Title "$1" &&
			exiftool -b -ICC_Profile "$1" | md5sum
	}
	tags photo.jpg >wanted
	assert_equal "$(wc -l <wanted)" 4
	quiet vae photo.jpg
	# XMP's blanks for later changes stay behind; what a file may have includes the metadata
	at_least 1000 "$(vae-stat --tsv photo.lat | column metadata_bytes)"
	quiet vae --max-size 1300 -o fits.lat photo.jpg
	at_least 1300 "$(size fits.lat)"
	at_least "$(size fits.lat)" 1000
	says "photo.jpg: its metadata alone take * bytes, more than 100; --strip drops them" \
		vae --max-size 0.1k -o no.lat photo.jpg
	for ending in png jpg tif; do
		quiet vae -d -o back.$ending photo.lat
		tags back.$ending | diff wanted -
	done
	quiet vae -d --thumbnail 24 -o thumb.png photo.lat
	pngtopnm thumb.png >thumb.ppm
	pngtopnm back.png | pamscale -xyfit 24 24 | pamflip -r270 | cmp - thumb.ppm
	assert_equal "$(kinds thumb.ppm)" "PPM RAW 20 24 3 255 RGB"
	quiet vae --strip -o bare.lat photo.jpg
	jpegtopnm -quiet photo.jpg | vae-enc | vae-quant | cmp - bare.lat
	quiet vae -d --strip -o bare.png photo.lat
	assert_equal "$(exiftool -s3 -Orientation bare.png)" ""
	# JPEG XL has them compressed
	if command -v cjxl >/dev/null && ! perl -MIO::Uncompress::Brotli -e 1 2>/dev/null; then
		exiftool -q -ICC_Profile:all= -o plain.jpg photo.jpg 2>/dev/null
		cjxl plain.jpg x.jxl 2>/dev/null
		run --separate-stderr -0 vae x.jxl
		assert_equal "$stderr" \
			"vae: x.jxl: its Exif or XMP is compressed, and stays behind: exiftool needs the Perl module IO::Uncompress::Brotli"
	fi
	# without exiftool it is said, once
	mkdir bin
	for program in sh awk basename cat chmod command dirname grep gzip head jpegtopnm \
		ln mkdir mkfifo mktemp mv od pamfile readlink rm sed tail touch tr wc; do
		! command -v $program >/dev/null || ln -s "$(command -v $program)" bin
	done
	cp photo.jpg other.jpg
	run --separate-stderr -0 env PATH="$PWD/bin" "$B/vae" -f photo.jpg other.jpg
	assert_equal "$stderr" \
		"vae: colour profiles, Exif and XMP stay behind: there is no exiftool (Debian package libimage-exiftool-perl)"
}

@test "metadata that codes cannot carry stay behind, with a note" {
	needs_program exiftool
	perl -e 'print pack("N", 240), "\0" x 8, "mntrRGB XYZ ", "\0" x 12, "none", "\0" x 88, pack("N", 0),
		"\1" x 108' >bad.icc
	perl -e 'print "<x:xmpmeta xmlns:x=\"adobe:ns:meta/\">", " " x (1 << 24), "</x:xmpmeta>"' >large.xmp
	for part in ICC_Profile=bad.icc:'not ICC metadata' \
		XMP=large.xmp:'1677* bytes of XMP are more than 16777216'; do
		cp "$X/rgb.png" photo.png
		name=${part%%:*}
		exiftool -q -q -m -overwrite_original "-${name%=*}<=${name#*=}" -GPSLatitude=47 -GPSLatitudeRef=N \
			photo.png
		run --separate-stderr -0 vae -f --max-size 2000 photo.png
		[[ $stderr = "vae: photo.png: metadata that stay behind: "${part#*:} ]] || fail "$stderr"
		vae-stat --exif exif.$name photo.lat
	done
}

@test "a TIFF file that the converter turns is not turned again by its Exif" {
	needs_program exiftool
	pamtotiff -lzw -quiet "$X/rgb.ppm" >photo.tif
	exiftool -q -overwrite_original -Orientation#=6 -GPSLatitude=47 -GPSLatitudeRef=N photo.tif
	quiet vae photo.tif
	assert_equal "$(vae -dc photo.lat | kinds -)" "PPM RAW 40 48 3 255 RGB"
	for ending in png jpg tif; do
		quiet vae -d -o back.$ending photo.lat
		assert_equal "$(exiftool -s3 -n -Orientation -GPSLatitude back.$ending | xargs)" "1 47"
	done
}

@test "no name of a folder or a file is a format of exiftool, or an option" {
	needs_program exiftool
	mkdir -- 'T%f %d' -T
	pamtotiff -lzw -quiet "$X/rgb.ppm" >'50%d.tif'
	exiftool -q -overwrite_original -GPSLatitude=47 -GPSLatitudeRef=N -XMP:Title=hello '50%d.tif'
	for folder in . 'T%f %d' -T; do
		quiet env TMPDIR="$folder" vae -f '50%d.tif'
		for ending in png tif; do
			quiet env TMPDIR="$folder" vae -d -f -o back.$ending '50%d.lat'
			assert_equal "$(exiftool -s3 -n -GPSLatitude -XMP:Title back.$ending | xargs)" "47 hello"
		done
	done
	assert_equal "$(find . -mindepth 1 | sort | xargs -d '\n')" \
		"./-T ./50%d.lat ./50%d.tif ./T%f %d ./back.png ./back.tif"
}

# A picture of text and flat areas, such as screens show.
screen() { printf '%s\n' "$1" "$1" "$1" "$1" "$1" | pbmtext | pnmenlarge 2 |
	pgmtoppm rgb:10/40/a0-rgb:f8/f8/f8; }

@test "graphics are kept exact where that is smaller, photographs are not" {
	screen "several lines of text" >text.ppm
	quiet vae --strip text.ppm
	vae-enc --lossless text.ppm | vae-quant | cmp - text.lat
	assert [ "$(size text.lat)" -lt "$(vae-enc --exact none text.ppm | vae-quant | wc -c)" ]
	vae-dec text.lat | cmp - text.ppm
	cp "$X/rgb.ppm" .
	quiet vae rgb.ppm
	cmp rgb.lat "$X/rgb.lat"
	# Of large pictures parts are looked at.
	pamscale 6 "$X/rgb.ppm" >large.ppm
	pamenlarge 8 large.ppm >huge.ppm
	quiet vae huge.ppm
	vae-enc huge.ppm | vae-quant >lossy.lat
	vae-enc --lossless huge.ppm | vae-quant >exact.lat
	if [ "$(size exact.lat)" -le "$(size lossy.lat)" ]; then
		cmp huge.lat exact.lat
	else
		cmp huge.lat lossy.lat
	fi
}

# Thirty pictures as folders have them, in the folder "in".
make_folder() {
	local i
	perl -e 'print pack("N", 240), "\0" x 8, "mntrRGB XYZ ", "\0" x 12, "acsp", "\0" x 88, pack("N", 0),
		"\1" x 108' >p.icc
	mkdir in
	for i in 1 2 3 4 5 6 7 8; do
		pamcut -left $i -width 40 "$X/rgb.ppm" | pnmtojpeg -quality 90 >"in/holiday $i.jpg"
		pamcut -left $i -width 39 "$X/rgb.ppm" | pamtopng >"in/picture $i.png"
	done
	exiftool -q -overwrite_original "-ICC_Profile<=p.icc" -GPSLatitude=47 -GPSLatitudeRef=N -XMP:Title=hello \
		in/*.jpg "in/picture 1.png"
	for i in 1 2 3 4 5 6 7 8; do
		printf '%s\n' -q -overwrite_original "-Orientation#=$i" "in/holiday $i.jpg" -execute
	done | exiftool -@ -
	for i in 1 2 3; do
		pamcut -left $i -width 33 "$X/grey.pgm" | pamtopng >"in/grey $i.png"
		pngtopam -alphapam "$X/alpha.png" | pamcut -left $i -width 33 | pamtopng >"in/alpha $i.png"
	done
	pamdepth 65535 "$X/rgb.ppm" 2>/dev/null | pamfunc -subtractor 99 | pamtopng >"in/deep colours.png"
	pamdepth 65535 "$X/grey.pgm" 2>/dev/null | pamfunc -subtractor 99 | pamtopng >"in/deep grey.png"
	screen "a screen" | pamtopng >"in/screen shot.png"
	screen "another one" | pamtopng >"in/Screen Shot (2).PNG"
	echo "a fax" | pbmtext >in/fax.pbm
	pnmquant -quiet 64 "$X/rgb.ppm" 2>/dev/null | pamtogif 2>/dev/null >in/few.gif
	pamtotiff -lzw -quiet "$X/rgb.ppm" >in/scan.tif
	ppmtobmp -quiet "$X/rgb.ppm" >in/old.bmp
}

@test "a folder of thirty pictures, there and back" {
	needs_program exiftool
	make_folder
	assert_equal "$(find in -type f | wc -l)" 30
	quiet vae -j 2 in/*
	mkdir out
	for file in in/*.lat; do mv "$file" out; done
	assert_equal "$(find in -type f | wc -l)" 30
	quiet vae -d -j 2 out/*.lat
	run -0 vae -l out/*.lat
	assert_equal "$(grep -c '[.]lat$' <<<"$output")" 30
	for file in in/*; do
		name=${file#in/}
		"$ROOT/tools/topnm" "$file" >x.pam
		"$ROOT/tools/topnm" "out/${name%.*}.png" >y.pam
		[ "$name" = fax.pbm ] || assert_equal "$name: $(kinds y.pam)" "$name: $(kinds x.pam)"
		case $name in
		alpha*)
			pamchannel -infile x.pam -tupletype GRAYSCALE 3 |
				cmp - <(pamchannel -infile y.pam -tupletype GRAYSCALE 3)
			;;
		[Ss]creen* | fax*) assert_equal "$(psnr y.pam x.pam)" inf ;; # kept exact
		*) at_least "$(psnr y.pam x.pam)" 15 ;;
		esac
	done
	tags() {
		(cd "$1" && exiftool -q -T -n -FileName -Orientation -GPSLatitude -XMP:Title -ProfileClass "${@:2}") |
			sed 's/\.[a-zA-Z]*\t/\t/' | sort
	}
	assert_equal "$(tags in -ext '*' . | grep -c '47.*hello')" 9
	diff <(tags in -ext '*' .) <(tags out -ext png .)
	for file in "in/holiday 3.jpg" "out/holiday 3.png" "out/picture 1.png"; do
		exiftool -b -ICC_Profile "$file" | cmp - p.icc
	done
}

# "make bench-bounds" sets LIST_MS to 2000.
@test "a thousand files are listed, within LIST_MS (20000) milliseconds of processor time" {
	mkdir many
	perl -e 'link "$ENV{X}/rgb.lat", "many/$_.lat" for 1 .. 1000'
	ms=$(perl -e 'system("vae -l many/*.lat >list") == 0 or die; my @t = times; print 1000 * ($t[2] + $t[3])')
	assert_equal "$(grep -c '[.]lat$' list)" 1000
	[[ $B = *asan* ]] || at_least "${LIST_MS:-20000}" "$ms"
}
