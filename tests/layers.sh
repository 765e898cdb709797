#!/bin/bash
# The layers: includes point one way, foreign headers stay in their own folder, the library neither
# prints nor exits.
#
#     base <- image <- stream                 pictures and formats, which know neither networks nor prior
#     base <- exact                           the coder of exact samples
#     base <- kernel <- measure               differences of pictures (reads rows of image)
#             kernel <- nn <- prior <- model  networks, p(y), and the file that holds both
#                             prior <- loss   gradients of the loss (shares measure's parts)
#     all of these <- codec                   from pictures to codes and back
#     all but codec <- train
#
# Each name on the right may include the names on its left. lib/ itself holds the public headers;
# tools include only these.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
B=${B:-build}

. tests/unit/tap.sh

# file<TAB>included header, for quoted ("q") or angle ("a") includes of the files given
includes() {
	local kind=$1
	shift
	[ $# -gt 0 ] || return 0
	case $kind in
	q) awk -F'"' '/^[ \t]*#[ \t]*include[ \t]*"/ { print FILENAME "\t" $2 }' "$@" ;;
	a) awk -F'[<>]' '/^[ \t]*#[ \t]*include[ \t]*</ { print FILENAME "\t" $2 }' "$@" ;;
	esac
}

# Errors of one layer: included files of layers that are not allowed.
outside() {
	local folder=$1 allowed=$2
	find "lib/$folder" -name '*.[ch]' 2>/dev/null | sort | while read -r file; do includes q "$file"; done |
		awk -F'\t' -v allowed="vae.h vae_train.h $allowed" '
			BEGIN { n = split(allowed, a, " "); for (i = 1; i <= n; i++) ok[a[i]] = 1 }
			{ split($2, part, "/"); if (!(part[1] in ok)) print $1 " includes " $2 }'
}

# Prints the modules, NAME.c with NAME.h, whose includes lead back to them. exact/walk.c is the inner
# loop of exact/natural.c, compiled for each instruction set.
circles() {
	includes q lib/*/*.[ch] | sed -E 's|^lib/||; s|\.[ch]\b||g; s|exact/walk|exact/natural|g' |
		awk '$1 != $2' | { tsort >/dev/null; } 2>&1
}

shopt -s nullglob
lib=(lib/*.[ch] lib/*/*.[ch])
tools=(tools/*.[ch])

none "lib/ holds public headers alone" \
	"$(printf '%s\n' lib/*.[ch] | grep -vx -e lib/vae.h -e lib/vae_train.h)"
none "lib/base sees base" "$(outside base "base")"
none "lib/image sees base" "$(outside image "base image")"
none "lib/stream sees base and image" "$(outside stream "base image stream")"
none "lib/exact sees base" "$(outside exact "base exact")"
none "lib/kernel sees base" "$(outside kernel "base kernel")"
none "lib/measure sees kernel, image and base" "$(outside measure "base image kernel measure")"
none "lib/nn sees kernel and base" "$(outside nn "base kernel nn")"
none "lib/prior sees nn and below" "$(outside prior "base kernel nn prior")"
none "lib/model sees prior, nn and below" "$(outside model "base kernel nn prior model")"
none "lib/loss sees prior, nn, measure and below" "$(outside loss "base kernel measure nn prior loss")"
none "lib/codec does not see train" \
	"$(outside codec "base image stream exact kernel measure nn prior model loss codec")"
none "lib/train does not see codec" \
	"$(outside train "base image kernel measure nn prior loss stream model train")"
none "no circle of modules includes itself" "$(circles)"
none "no two folders of lib have files of one name" "$(find lib -name '*.c' -printf '%f\n' | sort | uniq -d)"
none "includes in lib are written from lib/" \
	"$(includes q "${lib[@]}" | while IFS=$'\t' read -r file header; do [ -e "lib/$header" ] ||
	echo "$file includes $header"; done)"
none "tools see the public headers and each other's alone" \
	"$(includes q "${tools[@]}" | awk -F'\t' '$2 !~ /^vae(_train)?\.h$/ && $2 !~ /^[a-z_]+\.h$/')"

# Foreign headers: only the folder that wraps a library includes it.
only() {
	local library=$1 folder=$2 pattern=$3
	none "only $folder includes $library" \
		"$(includes a "${lib[@]}" "${tools[@]}" | awk -F'\t' -v folder="^($folder)/" -v pattern="$pattern" \
			'$2 ~ pattern && $1 !~ folder { print $1 " includes " $2 }')"
}
only libnetpbm lib/image '^(netpbm/.*|pam|pnm|ppm|pgm|pbm|pm)\.h$'
only libzstd lib/stream '^(zstd|zstd_errors|zdict)\.h$'
only libjansson lib/model '^jansson\.h$'
only libxxhash 'lib/stream|lib/model' '^(xxhash|xxh3)\.h$'

none "real numbers are printed by base/text.c alone, which knows locales" \
	"$(grep -nE 'printf\(.*%[-+ #0-9.*]*[aefgAEFG]' "${lib[@]}" | grep -v '^lib/base/text')"

# compiles STATEMENT: as the body of a function that includes base/memory.h
compiles() {
	printf \
		'#include "base/memory.h"\nstruct q { double a[4]; };\nint f(struct vae_error *e);\nint f(struct vae_error *e) { struct q *p; void *v; (void)v; %s; }\n' "$1" |
		${CC:-cc} -std=gnu17 -D_GNU_SOURCE -Ilib -fsyntax-only -x c -
}
refuses() { ! compiles "$1"; }
for size in 'sizeof *p' 'sizeof(struct q)' '5 * sizeof *p' '(size_t)e * sizeof *p'; do
	check "an allocation by $size compiles" compiles "return vae_alloc(&p, 3, $size, e)"
done
check "an allocation by the size of another type does not" refuses 'return vae_alloc(&p, 3, sizeof(float), e)'
check "nor one of no type" refuses 'return vae_alloc_raw(&v, 3, sizeof(float), e)'

# The undefined symbols of the objects must agree with the includes.
calls() { # pattern of symbols, then objects
	local pattern=$1
	shift
	[ $# -gt 0 ] || return 0
	nm -A -u "$@" 2>/dev/null | awk -v pattern="^($pattern)\$" \
		'{ sub(/@.*/, "", $NF); if ($NF ~ pattern) print $1 " uses " $NF }'
}
defined() { # the functions of objects, as a pattern
	nm --defined-only "$@" 2>/dev/null | awk 'NF == 3 && $2 == "T" { printf "%s%s", n++ ? "|" : "", $3 }'
}
objects=("$B"/obj/lib/*/*.o)
if [ ${#objects[@]} -gt 0 ] && command -v nm >/dev/null; then
	train=("$B"/obj/lib/train/*.o)
	codec=("$B"/obj/lib/codec/*.o)
	none "real numbers are read by base/text.c alone, which knows locales" \
		"$(calls '(__isoc[0-9]*_)?(v?[sf]?scanf|strto(d|f|ld))|ato[fil]l?|setlocale|__ctype_b_loc' \
		"${objects[@]}" | grep -v base/text.o)"
	none "no program enters a locale" "$(calls '(set|new|use)locale' "$B"/obj/tools/*.o)"
	none "the library does not print" \
		"$(calls 'printf|__printf_chk|puts|putchar|perror|stdout|stderr' "${objects[@]}")"
	none "the library does not exit" \
		"$(calls 'exit|_exit|quick_exit|abort|err|errx|__assert_fail' "${objects[@]}")"
	none "the library leaves signals and the environment alone" \
		"$(calls \
		'signal|sig(action|procmask|altstack)|pthread_sigmask|raise|alarm|setitimer|(set|unset|put|clear)env' "${objects[@]}")"
	none "train does not call the codec" "$(calls "$(defined "${codec[@]}")" "${train[@]}")"
	none "the codec does not call train" "$(calls "$(defined "${train[@]}")" "${codec[@]}")"
else
	for what in reals locale print exit signals codec train; do
		count=$((count + 1))
		echo "ok $count - $what # skip no objects in $B or no nm"
	done
fi

# The functions that a header declares, and those that a shared library exports.
declared() { ${CC:-cc} -E -P -x c "$1" | grep -v '^typedef' | grep -oE '\bvae_[a-z0-9_]+\(' | tr -d '(' |
	sort -u; }
exported() { nm -D --defined-only "$1" | awk '$2 != "A" { sub(/@.*/, "", $NF); print $NF }' | sort; }
if [ -e "$B/libvae.so" ] && command -v nm >/dev/null; then
	check "vae.h declares functions" test "$(declared lib/vae.h | wc -l)" -gt 60
	none "libvae.so exports what vae.h declares, and nothing else" \
		"$(diff <(declared lib/vae.h) <(exported "$B/libvae.so"))"
	none "Debian's package knows these symbols" \
		"$(diff <(sed -n 's/^ \(vae_[a-z0-9_]*\)@VAE_0 .*/\1/p' packaging/debian/libvae0.symbols | sort) \
		<(exported "$B/libvae.so"))"
	check "it is libvae.so.0" grep -q 'SONAME *libvae\.so\.0$' <(objdump -p "$B/libvae.so")
else
	skip "libvae.so exports what vae.h declares" "optional: a static build, or no nm"
fi
tap_done
