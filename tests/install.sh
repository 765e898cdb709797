#!/bin/bash
# make install: the installed files, their use after both the build and the installed tree have
# moved, and uninstall.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
B=${B:-build}
CC=${CC:-cc}
shopt -s nullglob
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT

. tests/unit/tap.sh

# The make that runs this test passes its variables in MAKEFLAGS; its job server is not ours.
MAKEFLAGS=$(printf '%s' "${MAKEFLAGS-}" | sed -E 's/(^| )-j[0-9]*//; s/--jobserver-[a-z]*=[^ ]*//')
export MAKEFLAGS
make_() { make --no-print-directory B="$B" CC="$CC" "$@"; }
prefix=$(cat "$B/prefix")

# Installs under DESTDIR with the prefix of the build, so that nothing is built again, then moves
# the tree: the compiled-in prefix and build/../models are gone, and models must be found beside the
# programs.
check "make install DESTDIR=" make_ install DESTDIR="$tmp/a  stage" PREFIX="$prefix"
mv "$tmp/a  stage$prefix" "$tmp/moved"
python_folder=$(cd "$tmp/moved" && find . -name vae.py -printf '%h')
check "nothing outside the prefix" test -z "$(find "$tmp/a  stage" ! -type d 2>/dev/null)"
for source in tools/vae-*.c tools/vae; do
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
for file in batch.mk batch.sh metadata.subr topnm vae.magic; do
	check "$file" cmp "tools/$file" "$tmp/moved/share/vae-tools/$file"
done
check "the kind of file" cmp packaging/vae-tools.xml "$tmp/moved/share/mime/packages/vae-tools.xml"
check "the thumbnailer" cmp packaging/vae-tools.thumbnailer \
	"$tmp/moved/share/thumbnailers/vae-tools.thumbnailer"
check "topnm can be run" "$tmp/moved/share/vae-tools/topnm" --formats

# The pipe, without other programs or models.
# shellcheck disable=SC2016 # the inner shell's own $1 and $2
pipe() (
	photo=$PWD/tests/data/photo.png
	cd / && env -i PATH="$tmp/moved/bin:/usr/bin:/bin" HOME="$tmp" bash -o pipefail -c '
		pngtopnm "$1" | pamcut -left 40 -top 30 -width 70 -height 50 | tee "$2/in.ppm" |
			vae-enc -m photo | vae-quant >"$2/x.lat" &&
		vae-dec <"$2/x.lat" >"$2/out.ppm" && vae-quant -t <"$2/x.lat" &&
		cmp <(head -n 3 "$2/in.ppm") <(head -n 3 "$2/out.ppm")' \
		pipe "$photo" "$tmp"
)
check "the installed programs find the installed model" pipe
# shellcheck disable=SC2016 # the inner shell's own
people() (
	cd "$tmp" && env -i PATH="$tmp/moved/bin:/usr/bin:/bin" HOME="$tmp" bash -c '
		ln -s moved/bin/vae link && ./link -o people.lat in.ppm &&
		vae -d -o people.ppm people.lat && cmp people.ppm out.ppm'
)
check "the installed vae finds topnm and the programs, by a link too" people
folder() (
	cd "$tmp" && env -i PATH="$tmp/moved/bin:/usr/bin:/bin" HOME="$tmp" make \
		-s -f moved/share/vae-tools/batch.mk in.lat && cmp in.lat x.lat
)
check "the installed batch.mk makes the same codes" folder

# The library, as other programs use it.
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
	return vae_model_find(&model, "/no/such/model", &e) != VAE_EMODEL &&
	       vae_model_find(&model, "/no/such/model", &e) != VAE_EIO;
}
END
# flags PACKAGE: what pkg-config says for the tree that was moved; an option may precede the name
# shellcheck disable=SC2086 # both words
flags() { PKG_CONFIG_PATH=$tmp/moved/lib/pkgconfig pkg-config --define-variable=prefix="$tmp/moved" \
	--cflags --libs $1; }
export LD_LIBRARY_PATH=$tmp/moved/lib # which the loader would know, were it installed in earnest
# user PACKAGE
user() {
	local flags
	flags=$(flags "$1") || return 1
	# shellcheck disable=SC2086 # lists of flags
	$CC $sanitize "$tmp/user.c" $flags -o "$tmp/user" && "$tmp/user"
}
sanitize=$(grep -o -e '-fsanitize=[^ ]*' "$B/flags" | tr '\n' ' ')
check "a program compiles against vae.pc" user vae
check "it is linked with the shared library" grep -q 'NEEDED *libvae\.so\.0$' <(objdump -p "$tmp/user")
check "a program compiles against vae-static.pc" user vae-static
none "it needs no shared library" "$(objdump -p "$tmp/user" | grep libvae)"
# flags --static names all that libvae.a needs, for programs without shared libraries.
alone() {
	local flags
	flags=$(flags "--static vae" | sed 's/-lvae /-l:libvae.a /')
	# shellcheck disable=SC2086 # lists of flags
	$CC $sanitize "$tmp/user.c" $flags -o "$tmp/user" && "$tmp/user"
}
check "pkg-config --static vae names the libraries of the archive" alone
cat >"$tmp/user.c" <<'END'
#include <vae_train.h>
int main(void)
{
	struct vae_train_options o;
	vae_train_defaults(&o);
	return o.batch;
}
END
check "a program that trains compiles against vae-static.pc" user vae-static
# cmake_ TARGET
cmake_() (
	rm -rf "$tmp/cmake" && mkdir "$tmp/cmake" && cd "$tmp/cmake" || return 1
	printf '%s\n' 'cmake_minimum_required(VERSION 3.13)' 'project(user C CXX)' \
		'find_package(vae 0.1 REQUIRED)' 'add_executable(user user.cpp)' "target_link_libraries(user $1)" \
		>CMakeLists.txt
	printf '#include <vae.h>\nint main() { return vae_colours(VAE_RGB) != 3; }\n' >user.cpp
	cmake -DCMAKE_PREFIX_PATH="$tmp/moved" -DCMAKE_CXX_FLAGS="$sanitize" . && cmake --build . && ./user
)
wrong_version() { ! (cd "$tmp/cmake" && sed -i 's/vae 0.1/vae 0.2/' CMakeLists.txt && cmake .); }
if command -v cmake >/dev/null && command -v c++ >/dev/null; then
	check "a C++ program compiles by way of CMake" cmake_ vae::vae
	check "and statically" cmake_ vae::vae_static
	check "CMake is told that this is no later version" wrong_version
else
	skip "CMake finds the library" "optional: no cmake"
fi

# The programs of vae(3), compiled in the same way: one makes the codes that the programs make, and
# pictures of them.
# page_program N: the one of that number
page_program() {
	awk -v n="$1" '/^#include <stdio/ { at++; on = at == n } /^\.Ed/ { on = 0 } on' man/vae.3 |
		sed 's/\\e/\\/g; s/\\-/-/g; s/\\&//g'
}
# compiled N: makes it $tmp/page
compiled() {
	local flags
	page_program "$1" >"$tmp/page.c"
	flags=$(flags vae) || return 1
	# shellcheck disable=SC2086
	$CC $sanitize -std=c99 -Wall -Wextra -Werror "$tmp/page.c" $flags -o "$tmp/page"
}
installed() (
	cd "$tmp" && env -i PATH="$tmp/moved/bin:/usr/bin:/bin" HOME="$tmp" LD_LIBRARY_PATH="$LD_LIBRARY_PATH" \
		"$@"
)
# shellcheck disable=SC2016 # the inner shell's own
streams() {
	compiled 1 && installed bash -o pipefail -c '
		cat in.ppm in.ppm >two.ppm &&
		./page <two.ppm >page.lat && vae-enc --exact none -q 50 two.ppm | vae-quant | cmp - page.lat &&
		./page -d <page.lat >page.ppm && vae-dec page.lat | cmp - page.ppm &&
		! ./page -d <in.ppm 2>words && grep -q "^./page: not codes: " words &&
		vae-enc --lossless in.ppm | vae-quant | ./page -d | cmp - in.ppm &&
		! ./page -d <page.lat >/dev/full'
}
check "the first program of vae(3) compiles, and does what the programs do" streams
memory() { compiled 2 && installed ./page >"$tmp/says" && grep -qx '[0-9]* bytes, 160 x 120 pixels' \
	"$tmp/says"; }
check "the second compresses in memory, and takes it back" memory

# The Python module finds the library that was installed with it; the program of its page runs.
python=''
for name in python3 /usr/bin/python3; do
	if $name -c 'import numpy' 2>/dev/null; then python=$name && break; fi
done
module() {
	sed -n '/^import numpy$/,/^\.Ed/p' man/vae-python.3 |
		sed '/^\.Ed/d; s/\\e/\\/g; s/\\-/-/g' >"$tmp/page.py"
	LD_LIBRARY_PATH='' installed env PYTHONPATH="$tmp/moved/$python_folder" \
		"$python" page.py >"$tmp/says" || return 1
	cat "$tmp/says"
	[[ $(cat "$tmp/says") =~ ^[0-9]+\ bytes,\ [34][0-9]\.[0-9]\ dB$ ]] &&
		installed vae-dec gradient.lat >"$tmp/gradient.ppm"
}
if [ "$sanitize" ]; then
	skip "the program of vae-python(3)" "optional: Python has no sanitizer"
elif [ "$python" ]; then
	check "the program of vae-python(3)" module
else
	skip "the program of vae-python(3)" "no python3 with numpy"
fi
words() { sed -n '/^#include/,$p' lib/vae.h lib/vae_train.h | grep -v '^typedef' |
	grep -oE '\bvae_[a-z_]+\(' | tr -d '(' | sort -u; }
none "vae(3) names each function of the public headers" \
	"$(comm -23 <(words) <(grep -oE '^\.(It )?F[no] .*' man/vae.3 | grep -oE 'vae_[a-z_]+' | sort -u))"
plusplus() { printf '#include "vae_train.h"\nint main() { return vae_colours(VAE_RGB) != 3; }\n' |
	c++ -x c++ -Wall -Wextra -Werror -fsyntax-only -Ilib -; }
if command -v c++ >/dev/null; then
	check "the public headers are C++ too" plusplus
fi

# file(1) tells the formats apart.
newest=$(printf '%s\n' models/photo-[0-9]*.safetensors | sort -V | tail -n 1)
kind() { check "file knows $1: $3" test "$(file -b -m "tools/vae.magic:/usr/share/misc/magic" "$2")" = "$3"; }
# shellcheck disable=SC2016
samples() (
	cd / && env -i PATH="$tmp/moved/bin:/usr/bin:/bin" HOME="$tmp" bash -o pipefail -c '
		cd "$1" && vae-enc in.ppm >in.latents && vae-enc -m "$2" in.ppm >hint.latents &&
		vae-quant in.latents >in.lat && vae-enc --lossless in.ppm | vae-quant >exact.lat &&
		vae-quant --method zstd in.latents | zstd -dcq >planes.raw && zstd -qf in.ppm' samples "$tmp" \
		"$tmp/moved/share/vae-tools/$newest"
)
if check "files of all kinds" samples; then
	id=$(sed -n 's/^MODEL //p' "$tmp/in.latents" | head -n 1)
	kind latents "$tmp/in.latents" "VAE latents, version 1, 70 x 50, model $id"
	kind "latents with a hint" "$tmp/hint.latents" "VAE latents, version 1, 70 x 50, model $id"
	kind codes "$tmp/in.lat" "VAE codes in a zstd frame, version 1, 70 x 50, entropy-coded, model $id"
	kind "exact codes" "$tmp/exact.lat" "VAE codes in a zstd frame, version 2, 70 x 50, exact"
	kind "codes with exact cells" tests/data/golden/mixed-drawn-40.range.lat \
		"VAE codes in a zstd frame, version 2, 112 x 64, entropy-coded, model d0c73b1c42f729a4"
	kind "a picture of a cell" tests/data/golden/exact-cell.lat "VAE codes in a zstd frame, version 2"
	kind "codes unpacked" "$tmp/planes.raw" \
		"VAE codes without their zstd frame, version 1, 70 x 50, integer planes, model $id"
	kind "a model" "$newest" "VAE model, version 1, photo, model $id"
	kind "other zstd frames as before" "$tmp/in.ppm.zst" \
		"Zstandard compressed data (v0.8+), Dictionary ID: None"
fi
version=$(sed -n 's/^.define VAE_VERSION "\(.*\)"/\1/p' lib/vae.h)
check "vae.pc carries the version" grep -qx "Version: $version" "$tmp/moved/lib/pkgconfig/vae.pc"
check "libvae.so is version $version" test "$(readlink -f "$tmp/moved/lib/libvae.so")" = \
	"$(readlink -f "$tmp/moved")/lib/libvae.so.$version"

mv "$tmp/moved" "$tmp/a  stage$prefix"
check "make uninstall" make_ uninstall DESTDIR="$tmp/a  stage" PREFIX="$prefix"
check "uninstall leaves no file" test -z "$(find "$tmp/a  stage" ! -type d)"
check "uninstall leaves no folder of its own" test ! -e "$tmp/a  stage$prefix/share/vae-tools" \
	-a ! -e "$tmp/a  stage$prefix/lib/cmake/vae"

# A tree with other files in the same folders is unchanged afterwards.
populate() (
	cd "$1" && mkdir -p bin lib/{pkgconfig,cmake/vae2} include "$python_folder" \
		share/{mime/packages,thumbnailers,man/man{1,3,5,7},vae-tools/models,bash-completion/completions} &&
		for file in bin/vae-mine bin/convert lib/libvae2.a lib/pkgconfig/vae2.pc lib/libvae.so.2 \
		lib/cmake/vae2/vae-config.cmake "$python_folder/vae2.py" include/vae2.h share/man/man1/vae-mine.1 \
		share/man/man7/vaeother.7 \
			share/vae-tools/mine.mk share/mime/packages/mine.xml share/thumbnailers/mine.thumbnailer \
			share/vae-tools/models/mine.safetensors share/bash-completion/completions/vae-mine; do
			echo mine >"$file"
		done
)
listing() { find "$1" -printf '%P %y %s\n' | sort; }
mkdir -p "$tmp/full$prefix"
populate "$tmp/full$prefix"
listing "$tmp/full" >"$tmp/before"
check "make install beside others' files" make_ install DESTDIR="$tmp/full" PREFIX="$prefix"
check "make uninstall beside others' files" make_ uninstall DESTDIR="$tmp/full" PREFIX="$prefix"
check "others' files stay, and nothing else" diff "$tmp/before" <(listing "$tmp/full")
check "make uninstall where nothing is installed" make_ uninstall DESTDIR="$tmp/nothing" PREFIX="$prefix"

# What make cannot keep apart, or would put outside of DESTDIR, is refused before anything is done.
# refuses WORDS ARGUMENT...
refuses() {
	local words=$1
	shift
	! make_ -n "$@" >"$tmp/plan" 2>&1 && grep -q "$words" "$tmp/plan" && ! grep -q '^install' "$tmp/plan"
}
check "a PREFIX of two words" refuses 'only DESTDIR may have spaces' install PREFIX="$tmp/a b"
check "a LIBDIR of the root" refuses 'lie below PREFIX' uninstall LIBDIR=/usr/lib
check "a PYTHONDIR of the root" refuses 'lie below PREFIX' install PYTHONDIR=/usr/lib/python3

# Packagers give flags of the preprocessor (Debian: _FORTIFY_SOURCE) apart from those of the compiler.
flags_arrive() { grep -q -e ' -DCPP .*-DC ' \
	<<<"$(make_ -n V=1 B="$tmp/b" CPPFLAGS=-DCPP CFLAGS=-DC "$tmp/b/obj/lib/base/bytes.o")"; }
check "CPPFLAGS and CFLAGS are used" flags_arrive
# Cross compilers come with a pkg-config of their own (Debian: aarch64-linux-gnu-pkg-config).
# shellcheck disable=SC2016 # the script's own
printf '#!/bin/sh\ncase $1 in --exists) ;; *) echo -DOF_ANOTHER ;; esac\n' >"$tmp/other-pkg-config"
chmod +x "$tmp/other-pkg-config"
other_libraries() { grep -q -e -DOF_ANOTHER <<<"$(make_ -n V=1 B="$tmp/b" \
	PKG_CONFIG="$tmp/other-pkg-config" "$tmp/b/obj/lib/base/bytes.o")"; }
check "PKG_CONFIG is used" other_libraries

# Another prefix rebuilds only what contains it.
make_ -n all PREFIX="$tmp/other" >"$tmp/plan" 2>&1
cp "$B/prefix" "$tmp/prefix.seen"
check "another PREFIX rebuilds find.o" grep -q -e "-DVAE_MODELS='\"$tmp/other/share/vae-tools/models\"'" \
	"$tmp/plan"
check "another PREFIX rebuilds no other object" test "$(grep -c -e ' -c lib/' "$tmp/plan")" -eq 1
tap_done
