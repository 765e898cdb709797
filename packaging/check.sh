#!/bin/bash
# make check-deb: lintian accepts the packages of make deb; they install, work, and are purged
# completely. Needs root, since it installs them here; if they are installed already, it leaves them
# alone.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
B=$(realpath -m "${B:-build}")
root=$PWD

if [ "$(id -u)" -ne 0 ]; then
	echo "1..0 # SKIP only root can install packages"
	exit 0
fi
tools/deps.sh lintian:lintian dh:debhelper dh_python3:dh-python dpkg-buildpackage:dpkg-dev \
	/usr/lib/python3/dist-packages/numpy:python3-numpy || exit 1
names=(vae-tools libvae0 libvae-dev python3-vae)
for package in "${names[@]}"; do
	if grep -qv not-installed <<<"$(dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null ||
		echo not-installed)"; then
		echo "Bail out! $package is installed here"
		exit 1
	fi
done

. tests/unit/tap.sh

work=$(mktemp -d) || exit 1
trap 'dpkg --purge "${names[@]}" >/dev/null 2>&1; rm -rf "$work"' EXIT

check "make deb" packaging/build.sh || { tap_done; exit 1; }
packages=()
for package in "${names[@]}"; do packages+=("$B/deb/${package}_"*.deb); done
tags=$(lintian --allow-root --fail-on none --tag-display-limit 0 -L '>=warning' "$B"/deb/*.changes)
none "lintian finds neither errors nor warnings" "$(grep '^[EW]:' <<<"$tags")"

# All files except records of dpkg and of its hooks.
listing() { find /usr /etc /opt /var /lib /bin /sbin -xdev \( -path /var/lib/dpkg -o -path /var/log \
	-o -path /var/cache -o -path "$B" \) -prune -o -printf '%p %l\n' | sort; }
listing >"$work/before"
check "dpkg -i" dpkg -i "${packages[@]}"
listing >"$work/between"
check "they are there" test "$(comm -13 "$work/before" "$work/between" | wc -l)" -gt 20

# shellcheck disable=SC2016 # the inner shell's own
pipe() (
	cd "$work" && env -i PATH=/usr/bin:/bin HOME="$work" bash -euo pipefail -c '
		pngtopnm "$1" >in.ppm
		pngtopnm "$1" | vae-enc -m photo | vae-quant >x.lat
		vae-enc -m photo -q 50 in.ppm | vae-quant >page.lat
		vae-dec <x.lat | pnmtopng >y.png
		vae-enc in.ppm | vae-quant | vae-dec | vae-stat -r in.ppm
		vae-dec -m mnist --sample 2 --seed 7 >digits.pgm
		vae-train --steps 1 --batch 1 --patch 64 --quiet -o my.safetensors in.ppm
		make -s -f /usr/share/vae-tools/batch.mk in.lat summary
		cmp in.lat x.lat
		test "$(file -b -m /usr/share/vae-tools/vae.magic in.lat | cut -c 1-9)" = "VAE codes"' pipe \
		"$root/tests/data/photo.png"
)
check "the programs, their models, batch.mk and vae.magic" pipe
manuals() {
	local page
	for page in man/*.[1-8]; do
		[ -s "/usr/share/man/man${page##*.}/${page##*/}.gz" ] || return 1
	done
	grep -q target-size <<<"$(MANPAGER=cat MANWIDTH=80 man vae-enc 2>/dev/null)" ||
		! command -v man >/dev/null
}
if grep -rqs '^ *path-exclude=.*/man' /etc/dpkg; then
	skip "manuals" "dpkg leaves them out here"
else
	check "manuals" manuals
fi
library() (
	awk '/^#include <stdio/ { at++; on = at == 1 } /^\.Ed/ { on = 0 } on' man/vae.3 |
		sed 's/\\e/\\/g; s/\\-/-/g; s/\\&//g' >"$work/page.c"
	cd "$work" || return 1
	# shellcheck disable=SC2046 # lists of flags
	${CC:-cc} page.c $(pkg-config --cflags --libs vae) -o page && env -i HOME="$work" ./page <in.ppm |
		cmp - page.lat
)
check "a program compiles against libvae-dev, and does what the others do" library
module() (
	sed -n '/^import numpy$/,/^\.Ed/p' man/vae-python.3 |
		sed '/^\.Ed/d; s/\\e/\\/g; s/\\-/-/g' >"$work/page.py"
	cd "$work" && env -i HOME="$work" /usr/bin/python3 page.py
)
check "the program of vae-python(3) works with python3-vae" module
check "vae.pc lies where this machine's libraries do" test \
	-e "/usr/lib/$(dpkg-architecture -qDEB_HOST_MULTIARCH)/pkgconfig/vae.pc"

check "dpkg --purge" dpkg --purge "${names[@]}"
listing >"$work/after"
check "nothing is left" diff "$work/before" "$work/after"
tap_done
