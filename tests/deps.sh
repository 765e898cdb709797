#!/bin/sh
# Finds what the build, the demo and the tests need, and installs with apt-get what is missing. Where all is there it does
# nothing and needs no network. CC names the compiler; DEPS=no turns it off. Exit status 1: something is still missing.
# Arguments PROBE:PACKAGE, a command or a file and the package that brings it, are needed besides.
set -eu

CC=${CC:-cc}

has_package() { pkg-config --exists "$1" 2>/dev/null; }
has_header() { printf '#include <%s>\n' "$1" | $CC -fopenmp -E - >/dev/null 2>&1; }
has_bats_library() { [ -e "/usr/lib/bats/$1/load.bash" ] || [ -e "${BATS_LIB_PATH:-/usr/lib/bats}/$1/load.bash" ]; }

# clang's OpenMP is a package of the compiler's own version: clang-16 wants libomp-16-dev.
openmp_package() {
	case ${CC##*/} in
	clang*) echo "libomp$(printf %s "${CC##*/}" | sed 's/clang[^-]*//; s/ .*//')-dev" ;;
	*) echo gcc ;;
	esac
}

compiler_package() {
	case ${CC##*/} in
	cc | cc\ *) echo gcc ;;
	*) printf '%s\n' "${CC##*/}" | sed 's/ .*//' ;;
	esac
}

# Debian's names, one a line, of what is not there.
missing() {
	command -v "${CC%% *}" >/dev/null || compiler_package
	has_header stdio.h || echo libc6-dev
	has_header omp.h || openmp_package
	command -v pkg-config >/dev/null || echo pkg-config
	has_package netpbm || has_header netpbm/pam.h || echo libnetpbm-dev
	has_package libzstd || echo libzstd-dev
	has_package jansson || echo libjansson-dev
	has_package libxxhash || echo libxxhash-dev
	command -v pamtopng >/dev/null || echo netpbm
	command -v zstd >/dev/null || echo zstd
	command -v file >/dev/null || echo file
	command -v cjpeg >/dev/null || echo libjpeg-turbo-progs
	command -v cwebp >/dev/null || echo webp
	command -v prove >/dev/null || echo perl
	command -v bats >/dev/null || echo bats
	has_bats_library bats-support || echo bats-support
	has_bats_library bats-assert || echo bats-assert
	has_bats_library bats-file || echo bats-file
	command -v mandoc >/dev/null || echo mandoc
	command -v shellcheck >/dev/null || echo shellcheck
	command -v objdump >/dev/null || echo binutils
	for pair; do
		command -v "${pair%%:*}" >/dev/null || [ -e "${pair%%:*}" ] || echo "${pair#*:}"
	done
}

[ "${DEPS:-yes}" != no ] || exit 0
# Without a C library's headers omp.h cannot be judged: a name twice does no harm.
packages=$(missing "$@" | sort -u | tr '\n' ' ')
[ -n "$packages" ] || exit 0

if ! command -v apt-get >/dev/null; then
	printf 'missing, and there is no apt-get to install it (these are the names in Debian): %s\n' "$packages" >&2
	exit 1
fi
as_root=
if [ "$(id -u)" -ne 0 ]; then
	if ! command -v sudo >/dev/null; then
		printf 'missing, and neither root nor sudo to install it: apt-get install %s\n' "$packages" >&2
		exit 1
	fi
	as_root=sudo
fi
printf 'installing: %s\n' "$packages"
$as_root apt-get update -qq
# shellcheck disable=SC2086 # a list of names
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $packages

still=$(missing "$@" | tr '\n' ' ')
if [ -n "$still" ]; then
	printf 'still missing after the installation: %s\n' "$still" >&2
	exit 1
fi
