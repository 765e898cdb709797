#!/usr/bin/env bats
# Metadata: ICC profiles, Exif and XMP behind an image, in skippable frames.
load helper

setup_file() {
	cd "$BATS_FILE_TMPDIR" || return 1
	photo 40 24 >a.ppm
	photo 24 40 >b.ppm
	vae-enc a.ppm | vae-quant >a.lat
	vae-enc b.ppm | vae-quant >b.lat
	perl -e 'print pack("N", 140), "\0" x 32, "acsp", "\1" x 100' >p.icc
	printf 'II*\0\10\0\0\0\0\0\0\0\0\0' >p.exif
	printf '<x:xmpmeta xmlns:x="adobe:ns:meta/"/>\n' >p.xmp
	vae-quant --icc p.icc --exif p.exif --xmp p.xmp a.lat >all.lat
	export X=$BATS_FILE_TMPDIR
}

# carries FILE KIND...: vae-dec -v names these kinds of metadata, in this order, and no others
carries() {
	local file=$1
	shift
	run --separate-stderr -0 vae-dec -v -o carries.out "$file"
	# shellcheck disable=SC2154 # stderr is bats' own
	assert_equal "$(grep -oE 'with [^ ]+ metadata' <<<"$stderr" | cut -d' ' -f2 | xargs)" "$*"
}

@test "metadata go in, come out as they were, and are removed" {
	quiet vae-quant --icc "$X/p.icc" --exif "$X/p.exif" --xmp "$X/p.xmp" -o direct.lat <(vae-enc "$X/a.ppm")
	cmp direct.lat "$X/all.lat"
	quiet vae-stat --icc icc --exif exif --xmp xmp "$X/all.lat"
	cmp icc "$X/p.icc"
	cmp exif "$X/p.exif"
	cmp xmp "$X/p.xmp"
	carries "$X/all.lat" ICC Exif XMP
	carries "$X/a.lat"
	quiet vae-quant --strip -o bare.lat "$X/all.lat"
	cmp bare.lat "$X/a.lat"
	quiet vae-quant --strip --xmp "$X/p.xmp" -o one.lat "$X/all.lat"
	carries one.lat XMP
}

@test "what is attached to codes replaces its own kind, and only that" {
	tr '\1' '\2' <"$X/p.icc" >other.icc
	quiet vae-quant --icc other.icc -o new.lat "$X/all.lat"
	carries new.lat ICC Exif XMP
	quiet vae-stat --icc icc --xmp xmp new.lat
	cmp icc other.icc
	cmp xmp "$X/p.xmp"
	quiet vae-quant --exif <(printf 'Exif\0\0'; cat "$X/p.exif") -o jpeg.lat "$X/a.lat" # as JPEG has it
	quiet vae-stat --exif exif jpeg.lat
	cmp exif "$X/p.exif"
}

@test "readers that know nothing of metadata pass over them" {
	head -c "$(size "$X/a.lat")" "$X/all.lat" | cmp - "$X/a.lat"
	zstd -tq "$X/all.lat"
	zstd -dcq <"$X/all.lat" >with
	zstd -dcq <"$X/a.lat" | cmp - with
	vae-dec "$X/all.lat" >with
	vae-dec "$X/a.lat" | cmp - with
	quiet vae-dec --salvage -o salvaged "$X/all.lat"
	cmp salvaged with
	quiet vae-quant -t "$X/all.lat"
	without() { awk -F '\t' '{ for (i = 1; i <= NF; i++) if ($i == "metadata_bytes") at = i; $at = "";
		print }'; }
	cmp <(vae-stat --tsv <"$X/a.lat" | without) <(vae-stat --tsv <"$X/all.lat" | without)
}

@test "concatenated, each image keeps its own" {
	vae-quant --exif "$X/p.exif" "$X/b.lat" >b.lat
	cat "$X/all.lat" "$X/a.lat" b.lat >three.lat
	carries three.lat ICC Exif XMP Exif
	assert_equal "$(vae-stat --tsv three.lat | column file_bytes | xargs)" \
		"$(size "$X/a.lat") $(size "$X/a.lat") $(size "$X/b.lat")"
	assert_equal "$(vae-stat --tsv three.lat | column metadata_bytes | xargs)" \
		"$(($(size "$X/all.lat") - $(size "$X/a.lat"))) 0 $(($(size b.lat) - $(size "$X/b.lat")))"
	assert_equal "$(vae-stat --brief --tsv "$X/all.lat" three.lat |
		awk -F '\t' '$1 == "kind" { for (i = 1; i <= NF; i++) at[$i] = i } END {
		print $at["file_bytes"] + $at["metadata_bytes"] }')" \
		"$(($(size "$X/all.lat") + $(size three.lat)))"
	cat "$X/a.ppm" "$X/a.ppm" "$X/b.ppm" | vae-enc | vae-quant | vae-dec >wanted
	vae-dec three.lat | cmp - wanted
	vae-quant --strip three.lat | cmp - <(cat "$X/a.lat" "$X/a.lat" "$X/b.lat")
	vae-quant --xmp "$X/p.xmp" b.lat "$X/all.lat" >both.lat
	carries both.lat XMP Exif XMP ICC Exif
	fails 1 "b.lat: the first image carries no ICC profile" vae-stat --icc icc --exif exif b.lat "$X/all.lat"
	cmp exif "$X/p.exif"
	assert_not_exists icc
}

@test "what cannot be written is told once, and -o is no file of metadata" {
	run --separate-stderr -1 vae-stat --exif /dev/full "$X/all.lat"
	assert_equal "$stderr" "vae-stat: /dev/full: No space left on device"
	run --separate-stderr -1 vae-stat --exif no/such "$X/all.lat"
	assert_equal "$stderr" "vae-stat: no/such: No such file or directory"
	echo kept >kept
	fails 2 "cannot be combined with --output" vae-stat --exif exif -o kept "$X/all.lat"
	fails 2 "cannot be combined with --output or options of reports" vae-stat --exif exif --brief "$X/all.lat"
	fails 2 "--map cannot be combined with --reference, --brief" vae-stat --map --brief "$X/all.lat"
	assert_equal "$(cat kept)" kept
	assert_not_exists exif
}

@test "damage to metadata is told, and touches no picture" {
	flip "$X/all.lat" "$(($(size "$X/a.lat") + 80))" >bad.lat
	vae-dec bad.lat | cmp - <(vae-dec "$X/a.lat")
	fails 1 "bad.lat: damaged metadata (ICC)" vae-quant -t bad.lat
	run --separate-stderr -0 vae-dec -v -o out bad.lat
	assert_regex "$stderr" "metadata \(ICC\) are damaged"
	run --separate-stderr -1 vae-stat --icc icc bad.lat
	assert_not_exists icc
	run --separate-stderr -0 vae-quant --xmp "$X/p.xmp" -o mended.lat bad.lat
	carries mended.lat XMP Exif
	head -c -3 "$X/all.lat" >cut.lat
	fails 1 "cut.lat: codes: truncated" vae-quant -t cut.lat
	quiet vae-dec --salvage -o out "$X/all.lat"
}

@test "what cannot be metadata is refused" {
	fails 1 "$X/p.xmp: not ICC metadata" vae-quant --icc "$X/p.xmp" "$X/a.lat" -o out
	fails 1 "$X/p.icc: not Exif metadata" vae-quant --exif "$X/p.icc" "$X/a.lat" -o out
	fails 1 "$X/p.icc: not XMP metadata" vae-quant --xmp "$X/p.icc" "$X/a.lat" -o out
	fails 1 "/dev/null: not XMP metadata" vae-quant --xmp /dev/null "$X/a.lat" -o out
	fails 1 "missing: No such file" vae-quant --xmp missing "$X/a.lat" -o out
	fails 1 "*are more than 16777216" vae-quant --xmp <(head -c 20000000 /dev/zero) "$X/a.lat" -o out
	fails 1 "all.lat: these are codes; --method and --effort are for latents" \
		vae-quant --strip --method zstd -o out "$X/all.lat"
	fails 2 "--icc, --exif, --xmp and --strip are for writing codes" vae-quant -d --strip "$X/a.lat"
	fails 2 "--icc, --exif and --xmp cannot be combined" vae-stat --tsv --icc icc "$X/a.lat"
	assert_not_exists out
	# frames of later versions, and of others, are passed over
	perl -e 'print pack("a4CCva22", "VAEM", 2, 9, 0, "later")' >later
	assert_equal "$(size later)" 30
	{ printf 'V*M\030\42\0\0\0'; cat later; xxhsum64 later; printf 'V*M\030\5\0\0\0hello'; } >frames
	cat "$X/all.lat" frames >other.lat
	carries other.lat ICC Exif XMP
	quiet vae-quant -t other.lat
}
