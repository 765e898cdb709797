#!/bin/bash
# make install: what it puts where, that it works after both the build and the installed tree have moved, and uninstall.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
B=${B:-build}
CC=${CC:-cc}
shopt -s nullglob
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT

. tests/unit/tap.sh

# The make that runs this test hands its variables down in MAKEFLAGS; its job server is not ours.
MAKEFLAGS=$(printf '%s' "${MAKEFLAGS-}" | sed -E 's/(^| )-j[0-9]*//; s/--jobserver-[a-z]*=[^ ]*//')
export MAKEFLAGS
make_() { make --no-print-directory B="$B" CC="$CC" "$@"; }
prefix=$(cat "$B/prefix")

# Staged under DESTDIR with the prefix that was built, so that nothing is built again; then moved: the compiled-in prefix and
# build/../models are out of reach, and models must be found beside the programs.
check "make install DESTDIR=" make_ install DESTDIR="$tmp/stage" PREFIX="$prefix"
mv "$tmp/stage$prefix" "$tmp/moved"
check "nothing outside the prefix" test -z "$(find "$tmp/stage" ! -type d 2>/dev/null)"
for source in tools/vae-*.c; do
	program=$(basename "$source" .c)
	check "$program is installed and says its version" "$tmp/moved/bin/$program" --version
	check "$program has a manual" test -s "$tmp/moved/share/man/man1/$program.1"
	check "$program has a completion" test -s "$tmp/moved/share/bash-completion/completions/$program"
done
for page in man/*.[1-8]; do
	check "$page" cmp "$page" "$tmp/moved/share/man/man${page##*.}/${page##*/}"
done
for model in models/*.safetensors; do
	check "$model" cmp "$model" "$tmp/moved/share/vae-tools/models/${model##*/}"
done
check "batch.mk" cmp tools/batch.mk "$tmp/moved/share/vae-tools/batch.mk"

# The pipe, with no other program or model in reach.
# shellcheck disable=SC2016 # the inner shell's own $1 and $2
pipe() (
	photo=$PWD/tests/data/photo.png
	cd / && env -i PATH="$tmp/moved/bin:/usr/bin:/bin" HOME="$tmp" bash -o pipefail -c '
		pngtopnm "$1" | pamcut -left 40 -top 30 -width 70 -height 50 | tee "$2/in.ppm" | vae-enc -m photo | vae-quant >"$2/x.lat" &&
		vae-dec <"$2/x.lat" >"$2/out.ppm" && vae-quant -t <"$2/x.lat" && cmp <(head -n 3 "$2/in.ppm") <(head -n 3 "$2/out.ppm")' \
		pipe "$photo" "$tmp"
)
check "the installed programs find the installed model" pipe

# The library as others use it.
cat >"$tmp/user.c" <<'END'
#include <vae.h>
int main(void)
{
	struct vae_error e;
	struct vae_image *image;
	struct vae_geometry g = { 3, 2, 255, VAE_PPM, VAE_RGB };
	struct vae_model *model;

	if (vae_image_new(&image, &g, 0, &e))
		return 1;
	vae_image_free(image);
	return vae_model_find(&model, "/no/such/model", &e) != VAE_EMODEL && vae_model_find(&model, "/no/such/model", &e) != VAE_EIO;
}
END
user() {
	local flags
	flags=$(PKG_CONFIG_PATH=$tmp/moved/lib/pkgconfig pkg-config --define-variable=prefix="$tmp/moved" --cflags --libs vae) || return 1
	# shellcheck disable=SC2086 # lists of flags
	$CC $sanitize "$tmp/user.c" $flags -o "$tmp/user" && "$tmp/user"
}
sanitize=$(grep -o -e '-fsanitize=[^ ]*' "$B/flags" | tr '\n' ' ')
check "a program compiles against vae.pc" user
check "vae.pc carries the version" grep -qx "Version: $(sed -n 's/^.define VAE_VERSION "\(.*\)"/\1/p' lib/vae.h)" "$tmp/moved/lib/pkgconfig/vae.pc"

mv "$tmp/moved" "$tmp/stage$prefix"
check "make uninstall" make_ uninstall DESTDIR="$tmp/stage" PREFIX="$prefix"
check "uninstall leaves no file" test -z "$(find "$tmp/stage" ! -type d)"

# Another prefix builds again what has it compiled in, and no more.
make_ -n all PREFIX="$tmp/other" >"$tmp/plan" 2>&1
cp "$B/prefix" "$tmp/prefix.seen"
check "another PREFIX rebuilds find.o" grep -q -e "-DVAE_MODELS='\"$tmp/other/share/vae-tools/models\"'" "$tmp/plan"
check "another PREFIX rebuilds no other object" test "$(grep -c -e ' -c lib/' "$tmp/plan")" -eq 1
tap_done
