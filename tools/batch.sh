#!/bin/sh
# batch.sh - the work of batch.mk: brings one file up to date, or all pictures of a folder.
#
#     batch.sh codes TARGET.lat     encodes the picture TARGET.*, or the picture TARGET itself
#     batch.sh decoded TARGET       decodes TARGET.dec.png or TARGET.dec.ppm
#     batch.sh run codes|summary    does that for all pictures of this folder, by jobs of $VAE_MAKE
#     batch.sh job NUMBER           one of those jobs
#     batch.sh clean                removes what the others have made here
#
# batch.mk sets the variables VAE_*, which its header describes. The records of a file F that was
# made here are in the folder .vae-batch beside it: F.made has the settings and the source of F,
# F.tsv its line of summary.tsv. Results are written in that folder, and get their names when they
# are complete. A file newer than its F.made was written by others; it is used unchanged as long as
# it is newer than its picture.
#
# File names pass only through here, metadata.subr and topnm: they never become part of a makefile,
# sed or awk program.
set -u
LC_ALL=C
export LC_ALL

tab=$(printf '\t')
newline='
'
home=${0%/*}
pnm='' scratch='' # not those of the environment

# Prints its arguments as one line, with control characters replaced: names of files may hold escape
# sequences.
# Prints at once, since other jobs print lines, too.
line() {
	shown=$(printf '%s' "$*" | tr '\000-\037\177' '?')
	printf '%s\n' "$shown"
}
fail() { line "batch.mk: $*" >&2; exit 1; }
full() { fail "${state#./}: cannot be written; is the disk full?"; }
say() { [ "$VAE_QUIET" ] || line "$*"; }

# Prints a name in a form that no program takes for an option; names are kept in this form.
path() { case $1 in /* | ./*) printf '%s' "$1" ;; *) printf './%s' "$1" ;; esac; }
# Notes are kept until the end: where something fails, its reason comes first.
note() { line "batch.mk: $*" >>"$scratch/notes"; }
# shellcheck source=tools/metadata.subr
. "$home/metadata.subr"
bytes() { echo $(($(wc -c <"$1"))); }
# shellcheck disable=SC3013 # POSIX has -nt since 2024, and shells since long before
newer() { [ "$1" -nt "$2" ]; }

# ---- records of what was made --------------------------------------------------------------------

# Sets $target and the paths of its records: $state/$base.made and $state/$base.tsv.
begin() {
	target=$1
	base=${target##*/}
	state=${target%/*}/.vae-batch
	[ ! -d "$target" ] || fail "${target#./}: is a folder"
	[ ! -e "$target" ] || [ -f "$target" ] || fail "${target#./}: is not a file"
	[ ! -L "$state" ] || fail "${state#./}: is a symbolic link"
	[ -d "$state" ] || mkdir -p "$state" || exit 1
	for file in "$state/$base.made" "$state/$base.tsv"; do # a pipe would be waited for
		[ ! -e "$file" ] || [ -f "$file" ] || fail "${file#./}: is not a file"
	done
}

# Makes the folder $scratch, which is removed when this shell ends.
open_scratch() {
	scratch=$(mktemp -d "$state/tmp.XXXXXX") || exit 1
	trap 'cat "$scratch/notes" >&2 2>/dev/null; rm -rf "$scratch"' EXIT
	for signal in HUP:129 INT:130 QUIT:131 USR1:138 USR2:140 PIPE:141 ALRM:142 TERM:143; do
		# shellcheck disable=SC2064 # the number is that of now
		trap "exit ${signal#*:}" "${signal%:*}"
	done
}

# Succeeds if $target was made with $settings from the present file $1, or was written by others and
# is newer than $1.
current() {
	if [ ! -e "$target" ] || newer "$1" "$target" || [ "$VAE_AGAIN" ]; then return 1; fi
	case $VAE_MODEL in
	*/*) if newer "$VAE_MODEL" "$target"; then return 1; fi ;;
	esac
	if [ ! -e "$state/$base.made" ] || newer "$target" "$state/$base.made"; then return 0; fi
	{ IFS= read -r old_settings && IFS= read -r old_source; } <"$state/$base.made" || return 1
	[ "$old_settings" = "$settings" ] && [ "$old_source" = "${1##*/}" ]
}

record() {
	{ printf '%s\n%s\n' "$1" "$2" >"$scratch/made"; } 2>/dev/null || full
	mv -f "$scratch/made" "$state/$base.made"
}

# Renames $scratch/result, made from the file $1. Meanwhile its settings are recorded as unknown.
finish() { record '?' '?' && mv -f "$scratch/result" "$target" && record "$settings" "${1##*/}"; }

# ---- one picture ---------------------------------------------------------------------------------

# Programs of the suite, with the flags of the user, which are split at blanks.
# shellcheck disable=SC2086
{
	vae_enc() { "${VAE_BINDIR}vae-enc" -q "$VAE_QUALITY" ${VAE_MODEL:+-m "$VAE_MODEL"} $VAE_FLAGS \
		$VAE_ENCFLAGS "$@"; }
	vae_quant() { with_metadata "$scratch/m" "${VAE_BINDIR}vae-quant" $VAE_FLAGS $VAE_QUANTFLAGS; }
	vae_stat() { "${VAE_BINDIR}vae-stat" $VAE_FLAGS --tsv "$@"; }
	# Codes name their model, and -m would refuse all others: it is passed only for a model that is
	# found by its path.
	vae_dec() {
		case $VAE_MODEL in
		*/*) "${VAE_BINDIR}vae-dec" -m "$VAE_MODEL" $VAE_FLAGS $VAE_DECFLAGS "$@" ;;
		*) "${VAE_BINDIR}vae-dec" $VAE_FLAGS $VAE_DECFLAGS "$@" ;;
		esac
	}
}
topnm() { sh "$home/topnm" "$@"; }
need_programs() {
	command -v "${VAE_BINDIR}vae-enc" >/dev/null ||
		fail "${VAE_BINDIR}vae-enc: not found; VAE_BINDIR names the folder of the programs"
}

# Marks that the first program of a pipe failed: the shell sees only the status of the last.
broken() { : >"$scratch/broken"; }
whole() { [ ! -e "$scratch/broken" ]; }

# Sets $pnm to a file that has the picture $1 as PNM or PAM.
convert() {
	[ ! "$pnm" ] || return 0
	format=$(topnm --format "$1") || exit 1
	pnm=$1
	[ "$format" != PNM ] || return 0
	pnm=$scratch/picture
	topnm "$1" >"$pnm" 2>"$scratch/words" || {
		cat "$scratch/words" >&2
		exit 1
	}
	cat "$scratch/words" >>"$scratch/notes"
}

# Encodes the picture $1 to $target. Status 1: it was up to date.
encode() {
	settings="-q $VAE_QUALITY; -m $VAE_MODEL; $VAE_ENCFLAGS; $VAE_QUANTFLAGS"
	if current "$1"; then return 1; fi
	open_scratch
	convert "$1"
	case " $VAE_QUANTFLAGS " in
	*' --strip '*) ;;
	*) take_metadata "$1" "$format" "$scratch/m" "${1#./}" "${VAE_BINDIR}vae-quant" ;;
	esac
	{ vae_enc "$pnm" || broken; } | vae_quant >"$scratch/result" && whole && finish "$1" || exit 1
}

# Measures $target against the picture $1: a line of summary.tsv, in $state/$base.tsv. Status 1: it
# was up to date.
measure() {
	row=
	if [ -e "$state/$base.tsv" ] && ! newer "$target" "$state/$base.tsv"; then
		IFS= read -r row <"$state/$base.tsv"
	fi
	case $row in "$(escaped "${1##*/}")$tab"*) return 1 ;; esac
	[ "$scratch" ] || open_scratch
	convert "$1"
	quality=$(vae_stat "$target") || exit 1
	quality=$(printf '%s\n' "$quality" | awk -F '\t' '
		NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i }
		NR == 2 { printf "%.4g", $at["quality"] }')
	{ vae_dec "$target" || broken; } | vae_stat -r "$pnm" >"$scratch/report" && whole || exit 1
	awk -F '\t' -v picture="$(bytes "$1")" -v codes="$(bytes "$target")" -v quality="$quality" '
		NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
		{ n = $at["width"] * $at["height"]; pixels += n; error += n * $at["mse"] }
		END {
			if (!pixels) exit 1
			psnr = error ? sprintf("%.2f", -10 * log(error / pixels) / log(10)) : "inf"
			printf "%d\t%d\t%d\t%.4f\t%s\t%s\n", pixels, picture, codes, 8 * codes / pixels, psnr, quality
		}' "$scratch/report" >"$scratch/row" || exit 1
	row=$(escaped "${1##*/}")$tab$(cat "$scratch/row")
	{ printf '%s\n' "$row" >"$scratch/tsv"; } 2>/dev/null || full
	mv -f "$scratch/tsv" "$state/$base.tsv" || exit 1
}

# Prints a name as a field of a table, as vae-stat --tsv does.
escaped() {
	case $1 in
	*[\\"$tab"]*) printf '%s\n' "$1" | sed "s/\\\\/\\\\\\\\/g; s/$tab/\\\\t/g" ;;
	*) printf '%s\n' "$1" ;;
	esac
}

# ---- which pictures ------------------------------------------------------------------------------

# Sets $extensions to those of all formats that a program can convert, $usable to those with an
# installed program.
read_formats() {
	formats=$(topnm --formats) || exit 1
	all=' ' extensions=' ' usable=' '
	while IFS=$tab read -r _ names programs _ answer; do
		all="$all$names "
		[ "$programs" = - ] || extensions="$extensions$names "
		[ "$answer" = no ] || usable="$usable$names "
	done <<-END
		$formats
	END
}

# Sets $extension to that of the name $1, in small letters; empty: none.
extension_of() {
	extension=${1##*/}
	case $extension in
	*.*) extension=${extension##*.} ;;
	*) extension= ;;
	esac
	case $extension in
	*[!A-Za-z0-9]*) extension= ;;
	*[A-Z]*) extension=$(echo "$extension" | tr '[:upper:]' '[:lower:]') ;;
	esac
}

# Succeeds where the extension of the name $1 is in the list $2.
has_extension() {
	extension_of "$1"
	[ "$extension" ] || return 1
	case $2 in *" $extension "*) return 0 ;; esac
	return 1
}

# Succeeds where the file $1 is a picture that was decoded here, not one to encode.
is_decoded() {
	case $1 in
	*.dec.png | *.dec.ppm) [ -e "${1%.dec.*}.lat" ] || [ -e "${1%/*}/.vae-batch/${1##*/}.made" ] ;;
	*) return 1 ;;
	esac
}

# Sets $picture to the one that $target is to be made from; empty: there is none.
find_picture() {
	stem=${target%.lat}
	picture=
	if [ -f "$stem" ] && has_extension "$stem" "$extensions"; then
		picture=$stem
		return
	fi
	set +f
	for file in "$stem".*; do
		case ${file#"$stem".} in *.*) continue ;; esac
		if [ ! -f "$file" ] || ! has_extension "$file" "$extensions"; then continue; fi
		[ ! "$picture" ] || fail "${target#./}: from ${picture#./} or ${file#./}?" \
			"Ask for ${picture#./}.lat or ${file#./}.lat"
		picture=$file
	done
	set -f
}

# ---- a folder ------------------------------------------------------------------------------------

# Records that a picture cannot be processed, and why.
refuse() { { line "$1" && line "$2"; } 2>/dev/null >>"$run/refused" || full; }

# Adds the name $1 to the list $run/$2.
add() { printf '%s\n' "$1" 2>/dev/null >>"$run/$2" || full; }

# Sorts the files: those with a converter into $run/pictures, those without into $run/left_out, and
# both, except formats that no program converts, into $run/convertible.
scan() {
	for list in refused pictures convertible left_out; do : >"$run/$list" || exit 1; done
	set +f
	# shellcheck disable=SC2086 # a list of names and patterns
	if [ "$VAE_PICTURES" ]; then set -- $VAE_PICTURES; else set -- *; fi
	set -f
	for file; do
		file=$(path "$file")
		if [ ! "$VAE_PICTURES" ]; then
			if ! has_extension "$file" "$all" || is_decoded "$file"; then continue; fi
			if [ ! -f "$file" ] && [ ! -L "$file" ]; then continue; fi
		fi
		case $file in *"$newline"*)
			refuse "${file#./}" "its name has more than one line: rename it"
			continue
			;;
		esac
		if has_extension "$file" "$extensions"; then add "$file" convertible; fi
		if has_extension "$file" "$all" && ! has_extension "$file" "$usable"; then
			add "$file" left_out
		else
			add "$file" pictures
		fi
	done
}

# Writes each picture and its target into a file of its own, $run/NUMBER. The target of a.jpg is
# a.lat, but a.jpg.lat where there is an a.png, too, or a picture of the name a.
number() {
	sort -u "$run/convertible" | sed 's/\.[^./]*$//' | uniq -d >"$run/shared"
	sort -u "$run/pictures" >"$run/sorted" || exit 1
	count=0
	while IFS= read -r file; do
		count=$((count + 1))
		stem=$file
		extension_of "$file"
		if [ "$extension" ]; then stem=${file%.*}; fi
		if [ -f "$stem" ] && has_extension "$stem" "$extensions"; then stem=$file; fi
		if [ -s "$run/shared" ] && grep -Fqx -e "$stem" "$run/shared"; then stem=$file; fi
		printf '%s\n%s\n' "$file" "$stem.lat" 2>/dev/null >"$run/$count" || full
	done <"$run/sorted"
}

# Reports files without a converter: a line for each format, with the first three names.
tell_left_out() {
	while IFS=$tab read -r name extensions programs package _; do
		n=0
		text=
		while IFS= read -r file; do
			has_extension "$file" " $extensions " || continue
			n=$((n + 1))
			[ "$n" -gt 3 ] || text="$text${text:+, }${file#./}"
		done <"$run/left_out"
		[ "$n" -gt 0 ] || continue
		[ "$n" -le 3 ] || text="$text, ..."
		why="needs ${programs%% *}, Debian package $package"
		[ "$programs" != - ] || why="no converter is known"
		line "batch.mk: left out: $n $name ($why): $text" >&2
	done <<-END
		$formats
	END
}

# Runs the jobs. Each leaves $run/NUMBER.row if it succeeded, or $run/NUMBER.words.
run_jobs() {
	{
		printf 'jobs ='
		n=0
		while [ $((n += 1)) -le "$count" ]; do printf ' %d' "$n"; done
		# shellcheck disable=SC2016 # make's own
		printf '\nall: $(jobs)\n$(jobs):\n\t@sh "$$VAE_BATCH" job $@\n.PHONY: all $(jobs)\n'
	} 2>/dev/null >"$run/makefile" || full
	VAE_BATCH=$0 VAE_RUN=$run VAE_COUNT=$count VAE_VERB=$1
	export VAE_BATCH VAE_RUN VAE_COUNT VAE_VERB
	"$VAE_MAKE" --no-print-directory -k -r -f "$run/makefile" all
}

# Runs job number $1, which reports a failure in its files, not by its status: the others continue.
job() {
	run=$VAE_RUN
	{ IFS= read -r picture && IFS= read -r target; } <"$run/$1" || exit 1
	where="$1 of $VAE_COUNT: ${picture#./}"
	if work=$(job_work "$run/$1.row" 2>"$run/$1.words"); then
		[ ! "$work" ] || say "$where: $work"
		[ ! -s "$run/$1.words" ] || line "$(cat "$run/$1.words")" >&2
	else
		rm -f "$run/$1.row"
		line "$where: failed" >&2
	fi
}

# Brings $target up to date and writes its row to the file $1. Prints the result, if there was work
# to do.
job_work() {
	begin "$target"
	work=
	if encode "$picture"; then work=yes; fi
	size=$(bytes "$target")
	text="$size bytes"
	if [ "$VAE_VERB" = summary ]; then
		if measure "$picture"; then work=yes; fi
		psnr=${row%"$tab"*}
		text="$text, ${psnr##*"$tab"} dB"
		row=${row#*"$tab"}
	else
		row=$size
	fi
	{ printf '%s\t%s\n' "$(escaped "${picture#./}")" "$row" >"$1"; } 2>/dev/null || full
	[ ! "$work" ] || echo "$text"
}

# Collects the rows in $run/rows, and the failures in $run/refused.
collect() {
	n=0
	while [ $((n += 1)) -le "$count" ]; do
		if [ -s "$run/$n.row" ]; then
			IFS= read -r row <"$run/$n.row"
			printf '%s\n' "$row" 2>/dev/null || full
			continue
		fi
		IFS= read -r file <"$run/$n"
		reason="was not done"
		[ ! -e "$run/$n.words" ] || reason="failed without a message; is the disk full?"
		[ ! -s "$run/$n.words" ] || IFS= read -r reason <"$run/$n.words"
		reason=${reason#batch.mk: }
		reason=${reason#topnm: }
		refuse "${file#./}" "${reason#"${file#./}: "}"
	done >"$run/rows"
}

# Writes summary.tsv, if it changes, and prints its sums.
tabulate() {
	{ printf 'file\tpixels\tpicture_bytes\tbytes\tbpp\tpsnr_db\tquality\n' &&
		cat "$run/rows"; } 2>/dev/null >"$run/table" || full
	cmp -s "$run/table" summary.tsv || mv -f "$run/table" summary.tsv || exit 1
	: >"$run/made" && mv -f "$run/made" "$state/summary.tsv.made"
	awk -F '\t' '
		{ pixels += $2; bytes += $4 }
		$6 == "inf" { exact++; next }
		{ psnr += $6; n++ }
		END {
			if (!NR) exit
			printf "summary.tsv: %d picture%s, %d bytes, %.4f bpp",
				NR, NR == 1 ? "" : "s", bytes, 8 * bytes / pixels
			if (n) printf ", mean PSNR %.2f dB", psnr / n
			if (exact) printf ", %d exact%s", exact, n ? " (not in the mean)" : ""
			printf "\n"
		}' "$run/rows"
}

run() {
	read_formats
	begin ./summary.tsv
	# of what was killed
	find "$state" \( -name 'tmp.*' -o -name 'run.*' \) -type d -mtime +1 -prune -exec rm -rf {} +
	open_scratch
	run=$scratch
	scan
	number
	[ "$count" -eq 0 ] || [ "$exiftool" ] ||
		line "batch.mk: colour profiles, Exif and XMP stay behind: $no_exiftool" >&2
	[ "$count" -eq 0 ] || run_jobs "$1" || :
	collect
	if [ "$1" = summary ]; then
		tabulate
	else
		awk -F '\t' '{ bytes += $2 } END {
			printf "codes: %d picture%s, %d bytes\n", NR, NR == 1 ? "" : "s", bytes }' "$run/rows"
	fi
	tell_left_out
	if [ -s "$run/refused" ]; then
		failed=$(($(wc -l <"$run/refused") / 2))
		line "batch.mk: $failed of $((failed + $(wc -l <"$run/rows"))) pictures did not work:" >&2
		while IFS= read -r file && IFS= read -r reason; do
			printf '    %s: %s\n' "$file" "$reason"
		done <"$run/refused" >&2
		exit 1
	fi
	[ "$count" -gt 0 ] || fail "no pictures here"
}

# ---- one file ------------------------------------------------------------------------------------

codes() {
	begin "$1"
	read_formats
	find_picture
	if [ ! "$picture" ]; then
		[ ! -e "$target" ] || return 0 # codes alone are all right
		fail "${target#./}: no picture ${stem#./}.* of a format that can be converted"
	fi
	if encode "$picture"; then
		say "${picture#./} -> ${target#./}"
	else
		say "${target#./} is up to date"
	fi
}

decoded() {
	begin "$1"
	settings="$VAE_DECFLAGS"
	lat=${target%.dec.*}.lat
	if current "$lat"; then
		say "${target#./} is up to date"
		return
	fi
	open_scratch
	case $target in
	*.png)
		vae_dec "$lat" >"$scratch/decoded" || exit 1
		[ "$(pamfile -allimages -machine "$scratch/decoded" | wc -l)" -eq 1 ] ||
			fail "${lat#./}: holds several images, which only .dec.ppm keeps"
		with_depth "$scratch/decoded" pamtopng >"$scratch/result" &&
			put_metadata "$lat" png "$scratch/result" "$scratch/m" "${lat#./}" "${VAE_BINDIR}vae-stat"
		;;
	*) vae_dec "$lat" >"$scratch/result" ;;
	esac && finish "$lat" || exit 1
	say "${lat#./} -> ${target#./}"
}

# Removes the recorded files, except those changed by others since, and codes whose picture is gone.
clean() {
	state=.vae-batch
	[ ! -L "$state" ] || fail "$state: is a symbolic link"
	set +f
	for file in "$state"/*.made "$state"/.*.made; do
		[ -f "$file" ] || continue
		target=${file#"$state"/}
		target=./${target%.made}
		[ -f "$target" ] || continue
		source=
		{ IFS= read -r _ && IFS= read -r source; } <"$file"
		if newer "$target" "$file"; then
			line "kept: ${target#./}, which was written by others" >&2
		elif [ "${target%.lat}" != "$target" ] && [ ! -f "./$source" ]; then
			line "kept: ${target#./}, whose picture is gone" >&2
		else
			rm -f "$target"
		fi
	done
	rm -rf "$state"
}

set -f
case ${1-} in
codes | decoded) need_programs && "$1" "$(path "$2")" ;;
run) need_programs && run "$2" ;;
job) job "$2" ;;
clean) clean ;;
*) echo "batch.sh is called by batch.mk" >&2; exit 2 ;;
esac
