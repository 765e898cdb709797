#!/bin/sh
# Installs the Debian packages that the build, the demo and the tests need and that are missing,
# with apt-get, as root or by sudo. Lists them first, and asks if it runs on a terminal. If nothing
# is missing it does nothing and needs no network.
#
#   tools/deps.sh [demo] [PROBE:PACKAGE]...
#
# demo: without the packages of the tests. PROBE is a command or a file, PACKAGE the package that
# provides it: further needs. CC names the compiler. DEPS=yes installs without asking; DEPS=no only
# lists what is missing, with exit status 0. Exit status 1: something is still missing.
set -eu

CC=${CC:-cc}
tests=yes
if [ "${1-}" = demo ]; then
	tests=no
	shift
fi

has_package() { "${PKG_CONFIG:-pkg-config}" --exists "$1" 2>/dev/null; }
has_header() { printf '#include <%s>\n' "$1" | $CC -fopenmp -E - >/dev/null 2>&1; }
has_numpy() { python3 -c 'import numpy' 2>/dev/null || /usr/bin/python3 -c 'import numpy' 2>/dev/null; }
has_bats_library() { [ -e "/usr/lib/bats/$1/load.bash" ] ||
	[ -e "${BATS_LIB_PATH:-/usr/lib/bats}/$1/load.bash" ]; }

# clang's OpenMP is a package of the compiler's version: clang-16 needs libomp-16-dev.
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

# Debian's names, one a line, of missing packages: missing_always for the build and the demo,
# missing_tests, and arguments.
missing_always() {
	command -v "${CC%% *}" >/dev/null || compiler_package
	has_header stdio.h || echo libc6-dev
	has_header omp.h || openmp_package
	command -v "${PKG_CONFIG:-pkg-config}" >/dev/null || echo pkg-config
	has_package netpbm || has_header netpbm/pam.h || echo libnetpbm-dev
	has_package libzstd || echo libzstd-dev
	has_package jansson || echo libjansson-dev
	has_package libxxhash || echo libxxhash-dev
	command -v pamtopng >/dev/null || echo netpbm
	command -v cjpeg >/dev/null || echo libjpeg-turbo-progs
	command -v cwebp >/dev/null || echo webp
}
missing_tests() {
	command -v zstd >/dev/null || echo zstd
	command -v file >/dev/null || echo file
	command -v exiftool >/dev/null || echo libimage-exiftool-perl
	command -v avifenc >/dev/null || echo libavif-bin
	command -v script >/dev/null || echo bsdutils
	python3 -c 'from math import nextafter' 2>/dev/null || echo python3
	has_numpy || echo python3-numpy
	command -v gnuplot >/dev/null || echo gnuplot-nox
	command -v prove >/dev/null || echo perl
	command -v bats >/dev/null || echo bats
	has_bats_library bats-support || echo bats-support
	has_bats_library bats-assert || echo bats-assert
	has_bats_library bats-file || echo bats-file
	command -v mandoc >/dev/null || echo mandoc
	command -v shellcheck >/dev/null || echo shellcheck
	command -v objdump >/dev/null || echo binutils
	[ -e /usr/share/i18n/locales/de_DE ] || echo locales
}
missing() {
	missing_always
	[ "$tests" = no ] || missing_tests
	for pair; do
		command -v "${pair%%:*}" >/dev/null || [ -e "${pair%%:*}" ] || echo "${pair#*:}"
	done
}

# Without a C library's headers omp.h cannot be tested; naming a package twice does no harm.
packages=$(missing "$@" | sort -u | tr '\n' ' ')
[ -n "$packages" ] || exit 0
if [ "${DEPS-}" = no ]; then
	printf 'missing, and left out because of DEPS=no (these are the names in Debian): %s\n' "$packages" >&2
	exit 0
fi
if ! command -v apt-get >/dev/null; then
	printf 'missing, and there is no apt-get to install it (these are the names in Debian): %s\n' \
		"$packages" >&2
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
printf 'These Debian packages are missing: %s\n' "$packages"
printf 'They are installed now: %s (DEPS=no leaves the system as it is)\n' \
	"${as_root:+$as_root }apt-get install $packages"
if [ -z "${DEPS-}" ] && [ -t 0 ] && [ -t 1 ]; then
	printf 'Go on? [Y/n] '
	read -r answer
	case $answer in
	[nN]*) exit 1 ;;
	esac
fi
$as_root apt-get update -qq
# shellcheck disable=SC2086 # a list of names
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $packages

still=$(missing "$@" | tr '\n' ' ')
if [ -n "$still" ]; then
	printf 'still missing after the installation: %s\n' "$still" >&2
	exit 1
fi
