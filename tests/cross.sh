#!/bin/bash
# The same bytes on other processors, under qemu: 64-bit Arm with NEON and with scalar kernels, and
# big-endian s390x with scalar ones. Cross compilers build everything statically in B/arm64 and
# B/s390x; the unit tests run there, and the golden files' latents, codes and pixels must equal the
# stored ones.
#
#   tests/cross.sh deps     installs compilers and emulators, and fetches the libraries; make
#                           check-cross calls it first
#   tests/cross.sh          the tests
#
# The libraries of another machine are unpacked in B/sysroot-ARCH and never installed: libnetpbm-dev
# of two machines would conflict. VAE_TEST_CROSS=arm64 tests only one machine; VAE_TEST_SLOW=1 runs the
# unit tests that take tens of minutes in an emulator, too. DEPS=no: deps does nothing.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
B=$(realpath -m "${B:-build}")
JOBS=${JOBS:-2}
read -ra machines <<<"${VAE_TEST_CROSS:-arm64 s390x}"
libraries=(libnetpbm-dev libzstd-dev libjansson-dev libxxhash-dev)
models=(tiny tiny-int16)
for model in models/*.safetensors; do models+=("$(basename "$model" .safetensors)"); done

# The machine's other names, by Debian's name, and its kernels.
triple() { case $1 in arm64) echo aarch64-linux-gnu ;; *) echo "$1-linux-gnu" ;; esac; }
kernels() { case $1 in arm64) echo neon scalar ;; *) echo scalar ;; esac; }
emulator() {
	local cpu
	cpu=$(triple "$1")
	command -v "qemu-${cpu%%-*}-static" || command -v "qemu-${cpu%%-*}"
}
sysroot() { echo "$B/sysroot-$1"; }

# ---- what is needed ------------------------------------------------------------------------------

# Runs apt-get for another machine, with lists, cache and records of its own: the system's are not
# changed.
foreign_apt() { # ARCH FOLDER, then what apt-get is to do
	local arch=$1 folder=$2
	shift 2
	apt-get -qq -o APT::Architecture="$arch" -o APT::Architectures="$arch" -o APT::Sandbox::User=root \
		-o Dir::State="$folder" \
		-o Dir::State::lists="$folder/lists" -o Dir::State::status="$folder/status" \
		-o Dir::Cache="$folder/cache" "$@"
}

# unpack ARCH: unpacks the libraries into the sysroot, which appears when it is complete
unpack() {
	local new package
	new=$(sysroot "$1").new
	echo "fetching for $1: ${libraries[*]}"
	rm -rf "$new"
	mkdir -p "$new/apt/lists/partial" "$new/apt/cache/archives/partial" || return 1
	: >"$new/apt/status"
	# where one of several sources knows nothing of the machine, the others may do
	foreign_apt "$1" "$new/apt" update
	(cd "$new/apt" && foreign_apt "$1" "$new/apt" download "${libraries[@]}") || return 1
	for package in "$new"/apt/*.deb; do dpkg -x "$package" "$new" || return 1; done
	rm -rf "$new/apt"
	mv "$new" "$(sysroot "$1")"
}

deps() {
	local machine name wanted=()
	[ "${DEPS-}" != no ] || return 0
	for machine in "${machines[@]}"; do
		name=$(triple "$machine")
		wanted+=("$name-gcc:gcc-$name" "/usr/$name/include/stdio.h:libc6-dev-$machine-cross" \
			"qemu-${name%%-*}-static:qemu-user-static")
	done
	tools/deps.sh "${wanted[@]}" || return 1
	for machine in "${machines[@]}"; do [ -e "$(sysroot "$machine")" ] || unpack "$machine" || return 1; done
}

case ${1-} in
deps) deps; exit ;;
esac

# ---- the tests -----------------------------------------------------------------------------------

. tests/unit/tap.sh
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT

# build ARCH: builds everything without a warning
build() {
	local name root
	name=$(triple "$1")
	root=$(sysroot "$1")
	env -u MAKEFLAGS -u MAKELEVEL PKG_CONFIG_LIBDIR="$root/usr/lib/$name/pkgconfig" \
		PKG_CONFIG_SYSROOT_DIR="$root" \
		PKG_CONFIG_ALLOW_SYSTEM_CFLAGS=1 PKG_CONFIG_ALLOW_SYSTEM_LIBS=1 \
		make -j"$JOBS" B="$B/$1" CC="$name-gcc" AR="$name-ar" CFLAGS='-O2 -g -Werror' LDFLAGS=-static all \
		unit benches
}

# on ARCH PROGRAM ...: runs the program on that machine
on() {
	local machine=$1 program=$2
	shift 2
	"$(emulator "$machine")" "$B/$machine/$program" "$@"
}

# unit ARCH NAME: runs a unit test; that of the kernels must have tested each kind of the machine's
unit() {
	local kernel
	on "$1" "tests/$2" | tee "$scratch/tap" || return 1
	[ "$2" = kernel ] || return 0
	for kernel in $(kernels "$1"); do
		grep -q "^ok .* $kernel runs here" "$scratch/tap" || { echo "no $kernel"; return 1; }
	done
}

sum() { sha256sum | cut -d ' ' -f 1; }

# same WHAT EXPECTED GOT
same() { [ "$2" = "$3" ] || { echo "$1 is $3, not $2"; return 1; }; }

# golden ARCH MODEL PICTURE QUALITY LATENTS DECODED: tests one line of MODEL.sums. The content of
# zstd's frames is compared, not its compression.
golden() {
	local machine=$1 model=$2 picture=$3 quality=$4 latents=$5 decoded=$6 files=tests/data/golden method name
	on "$machine" vae-enc --exact none --keep-invisible -T 2 -m "$model" -q "$quality" "$files/$picture" \
		>"$scratch/latents" || return 1
	same latents "$latents" "$(sum <"$scratch/latents")" || return 1
	for method in range zstd; do
		name=$model-${picture%.*}-$quality.$method.lat
		on "$machine" vae-quant -T 2 --method "$method" "$scratch/latents" >"$scratch/codes" || return 1
		# alpha is coded in version 2, which is written today
		[[ $picture == *.pam ]] || cmp <(zstd -dcq "$files/$name") <(zstd -dcq "$scratch/codes") || return 1
		on "$machine" vae-dec -T 2 "$files/$name" >"$scratch/picture" || return 1
		same "$name, decoded," "$decoded" "$(sum <"$scratch/picture")" || return 1
	done
}

# samples ARCH MODEL SIZE QUALITY SEED HASH: tests a line of samples.sums
samples() { same "the hash" "$6" \
	"$(on "$1" vae-dec -m "$2" --sample 2 --size "$3" --quality "$4" --seed "$5" | sum)"; }

# shapes ARCH MODEL COUNT HASH: runs tests/shapes.sh there
shapes() {
	local file=models/$2.safetensors
	[ -e "$file" ] || file=tests/data/$2.safetensors
	same "the hash" "$4" "$(on "$1" bench/shapes "$file" "$3")"
}

unset VAE_MODEL XDG_DATA_HOME OMP_NUM_THREADS QEMU_CPU VAE_CPU
export LC_ALL=C HOME=$scratch VAE_MODEL_PATH=$PWD/tests/data:$PWD/models OMP_WAIT_POLICY=passive

for machine in "${machines[@]}"; do
	if ! command -v "$(triple "$machine")-gcc" >/dev/null || ! emulator "$machine" >/dev/null ||
		[ ! -e "$(sysroot "$machine")" ]; then
		echo \
			"Bail out! $machine: no compiler, emulator or libraries; \"make check-cross\" gets them unless DEPS=no"
		exit 1
	fi
	check "$machine: builds without a warning" build "$machine" || continue
	for source in tests/unit/*.c; do
		name=$(basename "$source" .c)
		case ${VAE_TEST_SLOW:+slow }$name-$machine in
		refine-* | sweep-* | train-* | codec-s390x | compress-s390x | ranks-s390x)
			skip "$machine: unit test $name" "tens of minutes of emulated arithmetic, VAE_TEST_SLOW=1"
			;;
		*) check "$machine: unit test $name" unit "$machine" "$name" ;;
		esac
	done
	for kernel in $(kernels "$machine"); do
		export VAE_CPU=$kernel
		for model in "${models[@]}"; do
			while read -ra line; do
				check "$machine $kernel: $model, ${line[0]}, quality ${line[1]}: latents, codes, pixels" \
					golden "$machine" "$model" "${line[@]}"
			done <"tests/data/golden/$model.sums"
		done
		while read -ra line; do
			check "$machine $kernel: samples of ${line[0]}, ${line[1]}, quality ${line[2]}" samples \
				"$machine" "${line[@]}"
		done <tests/data/golden/samples.sums
		while read -r model number hash; do
			[ "$number" = 5 ] || continue
			check "$machine $kernel: $number random pictures with $model" shapes "$machine" "$model" \
				"$number" "$hash"
		done <tests/data/golden/shapes.sums
		unset VAE_CPU
	done
done
tap_done
