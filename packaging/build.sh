#!/bin/bash
# make deb: packages of this tree, those of packaging/debian/control, into B/deb. The packaging is
# in packaging/debian; version, maintainer and date are filled in: the maintainer is DEBFULLNAME
# <DEBEMAIL>, the date that of SOURCE_DATE_EPOCH, or of the last commit.
set -euo pipefail
cd "$(dirname "$0")/.."
B=$(realpath -m "${B:-build}")

tools/deps.sh dh:debhelper dh_python3:dh-python dpkg-buildpackage:dpkg-dev
missing=''
for pair in dh:debhelper dh_python3:dh-python dpkg-buildpackage:dpkg-dev pkg-config:pkg-config; do
	command -v "${pair%%:*}" >/dev/null || missing+=" ${pair#*:}"
done
[ -z "$missing" ] || { echo "make deb wants$missing, of Debian" >&2; exit 1; }

version=$(sed -n 's/^.define VAE_VERSION "\(.*\)"/\1/p' lib/vae.h)
maintainer="${DEBFULLNAME:-The vae-tools authors} <${DEBEMAIL:-vae-tools@example.org}>"
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
export SOURCE_DATE_EPOCH
date=$(date -u -R -d "@$SOURCE_DATE_EPOCH")

tree=$B/deb/vae-tools-$version
rm -rf "$B/deb"
mkdir -p "$tree"
if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
	# shellcheck disable=SC2016 # the inner shell's own
	git ls-files -z | xargs -0 sh -c 'for f; do [ ! -e "$f" ] || printf "%s\0" "$f"; done' files |
		tar --null -T - -cf - | tar -xf - -C "$tree"
else
	tar --exclude=./build -cf - . | tar -xf - -C "$tree"
fi
cp -r packaging/debian "$tree"
sed -i "s|@MAINTAINER@|$maintainer|; s|@VERSION@|$version|; s|@DATE@|$date|" "$tree/debian/control" \
	"$tree/debian/changelog"

# The make that runs this passes its variables on; the packages' own are set by debian/rules.
cd "$tree"
env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL -u B -u CC -u PREFIX -u DESTDIR dpkg-buildpackage \
	-b -us -uc -j"${JOBS:-$(nproc)}" >"$B/deb/build.log" 2>&1 || {
	tail -n 40 "$B/deb/build.log" >&2
	echo "make deb: dpkg-buildpackage failed; all it said is in $B/deb/build.log" >&2
	exit 1
}
cd "$B/deb"
rm -rf "$tree"
ls ./*.deb
