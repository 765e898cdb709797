#!/bin/bash
# Manuals, scripts and help texts: mandoc and shellcheck find nothing, and each program's --help and
# manual name the same options.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
B=${B:-build}
shopt -s nullglob

. tests/unit/tap.sh

for page in man/*.[1-8]; do
	none "mandoc $page" "$(mandoc -T lint -W warning "$page" 2>&1)"
	# man(1) of Debian shows pages by groff, with what it warns of
	! command -v groff >/dev/null ||
		none "groff $page" "$(groff -mdoc -Tutf8 -rLL=78n "$page" 2>&1 >/dev/null)"
done

# SC2317: a function called through "$@" is not unreachable.
for script in .ci/run tests/*.sh tests/*/*.sh bench/*.sh packaging/*.sh models/*.sh tools/*.sh tools/topnm \
	tools/vae; do
	none "shellcheck $script" "$(shellcheck -x -e SC2317 "$script" 2>&1)"
	none "executable $script" "$([ -x "$script" ] || echo 'it is not')"
done
none "shellcheck tools/completion.bash" "$(shellcheck tools/completion.bash 2>&1)"
none "shellcheck tools/metadata.subr" "$(shellcheck tools/metadata.subr 2>&1)"
for script in tests/*/*.bats; do
	none "executable $script" "$([ -x "$script" ] || echo 'it is not')"
	none "no bare ! in $script, which stops bats only at the end of a test" \
		"$(grep -nE '^[[:space:]]*! ' "$script" | grep -v '||')"
	none "no grep -q behind a pipe in $script, whose writer it may kill, which pipefail takes for a failure" \
		"$(grep -nE '\| *grep -[a-zA-Z]*q' "$script")"
	none "no skip in setup_file of $script, which bats 1.8 takes for an error" \
		"$(sed -n '/^setup_file() {/,/^}/p' "$script" | grep -nE '(skip "|needs_)')"
	none "bats runs $script" "$(head -n 1 "$script" | grep -v '^#!/usr/bin/env bats$')"
done

# The style of C is what .clang-format says; versions of clang-format differ in details.
mapfile -t sources < <(find lib tools tests bench -name '*.[ch]' | LC_ALL=C sort)
none "lines of C have 110 columns at most" \
	"$(awk '{ l = $0; gsub(/\t/, "    ", l) } length(l) > 110 { print FILENAME ":" FNR }' "${sources[@]}")"
scripts() {
	find bench models packaging tests tools \
		-name '*.sh' -o -name '*.awk' -o -name '*.mk' -o -name '*.ba[ts][sh]'
}
pythons() { { grep -lI '^#!.*python' bench/* tools/*; find python tests -name '*.py'; } | sort -u; }
# shellcheck disable=SC2046 # names without spaces
none "so have the Makefile, comments of scripts, and text of manuals and READMEs" "$(
	long() {
		awk -v which="$1" '{ l = $0; gsub(/\t/, "    ", l) }
			length(l) > 110 && $0 ~ which { print FILENAME ":" FNR }' "${@:2}"
	}
	long . Makefile
	# A test's name and a string that begins a line may be longer: they would not be found again.
	long "^[ \t]*[^@'\"\$ \t]" .ci/run models/Makefile tools/topnm tools/vae $(scripts) $(pythons)
	long '^[ \t]*#' bench/*.gp
	long '^[^.$]' man/*.[1-8]
	long '^[^|> ]' README.md ./*/README.md ./*/*/README.md
)"
# shellcheck disable=SC2046 # names without spaces
none "Python understands its files" "$(
	python3 -c '
import ast, sys
for file in sys.argv[1:]:
    ast.parse(open(file).read(), file)' $(pythons) 2>&1
)"
if clang-format --version 2>/dev/null | grep -q ' version 14\.'; then
	none "clang-format leaves the sources as they are" \
		"$(clang-format --dry-run "${sources[@]}" 2>&1 | grep -oE '^[^ ]+: warning' | cut -d: -f1 | sort -u)"
else
	skip "clang-format leaves the sources as they are" "optional: no clang-format of version 14"
fi

# The options of a help text, and those that a manual has as items, one a line, with the argument:
# "-o", "--output FILE".
help_forms() { "$B/$1" --help 2>&1 | sed -nE 's/^ +(-.*)/\1/p' | forms; }
page_forms() { mandoc -T ascii "$1" | sed -nE 's/.\x08//g; s/^ {5}(-.*)/\1/p' | forms; }
forms() { sed -E 's/ {2,}.*//; s/,$//; s/, -/\n-/g; s/ \| /|/g' | sort -u; }
# The long options of a help text; those that a manual lists as items (.It Fl o , Fl -output Ar
# FILE).
help_options() {
	"$B/$1" --help 2>&1 | grep -oE -- '(^|[[:space:],[])--[a-z][a-z0-9-]*' | grep -oE -- '--.*' | sort -u
}
item_options() { grep '^\.It .*Fl -' "$1" | grep -oE 'Fl -[a-z][a-z0-9-]*' | sed 's/^Fl -/--/' | sort -u; }
# Those that a manual lists without a letter, and those of its synopsis.
long_items() { grep '^\.It Fl -' "$1" | grep -oE 'Fl -[a-z][a-z0-9-]*' | sort -u; }
synopsis_options() {
	sed -n '/^\.Sh SYNOPSIS/,/^\.Sh DESCRIPTION/p' "$1" | grep -oE 'Fl -[a-z][a-z0-9-]*' | sort -u
}

for source in tools/vae-*.c tools/vae; do
	program=$(basename "$source" .c)
	page=man/$program.1
	if [ ! -e "$page" ] || [ ! -x "$B/$program" ]; then
		none "$page and $B/$program" "one of them is missing"
		continue
	fi
	none "$program: each option of --help is in the manual, and takes the same" \
		"$(comm -23 <(help_forms "$program") <(page_forms "$page"))"
	none "$program: each option of the manual is in --help" \
		"$(comm -13 <(help_options "$program") <(item_options "$page"))"
	[ "$program" = vae-train ] || # whose synopsis would be a page: it says "option ..."
		none "$program: each option of the manual is in its synopsis" \
			"$(comm -23 <(long_items "$page") <(synopsis_options "$page"))"
done

# What the five programs share is said in each page, where its readers look for it, and in the same
# words. -m, -v and -f do different things; -T and VAE_CPU begin alike.
same=" -o -T --max-pixels --quiet -h -V VAE_MODEL_PATH XDG_DATA_HOME VAE_CPU OMP_NUM_THREADS "
none "the pages of the five programs say the same of what they share" "$(
	awk -v same="$same" '
		/^\.(It|El)/ { item = "" }
		/^\.It (Fl|Ev) / {
			item = $2 == "Ev" ? $3 : "-" $3
			item = index(same, " " item " ") ? item : ""
			lines = item == "-T" ? 7 : item == "VAE_CPU" ? 10 : 99
		}
		item != "" && lines-- > 0 { text[FILENAME, item] = text[FILENAME, item] "\n" $0 }
		END {
			n = split(same, items, " ")
			for (i = 1; i <= n; i++)
				for (f = 1; f < ARGC; f++)
					if (text[ARGV[f], items[i]] == "" || text[ARGV[f], items[i]] != text[ARGV[1], items[i]])
						print ARGV[f] ": " items[i]
		}' man/vae-{enc,quant,dec,stat,train}.1
)"

tap_done
