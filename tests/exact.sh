#!/bin/bash
# Exact arithmetic in the machine code: the kernels' products are fused instructions of full width,
# and the compiler neither contracts nor reassociates, whatever the user's CFLAGS are.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
B=${B:-build}
CC=${CC:-cc}
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT

. tests/unit/tap.sh

command -v objdump >/dev/null || { echo "1..0 # SKIP no objdump"; exit 0; }

# The functions of the matrix product contain at least this many fused multiply-adds on the named
# register, and nothing calls fmaf.
fused() { # object, pattern, least
	local n
	n=$(objdump -d --no-show-raw-insn "$1" | awk '/^[0-9a-f]+ </ { inside = /gemm|tile/ } inside' |
		grep -c -E "$2")
	echo "# $1: $n"
	[ "$n" -ge "$3" ]
}
no_call() { ! nm -u "$1" | grep -w fmaf; }
kernels() { # ISA, pattern
	local object=$B/obj/lib/kernel/kernels-$1.o
	if [ ! -e "$object" ]; then
		skip "kernels-$1: fused multiply-adds" "CPU of another architecture than $1's"
		skip "kernels-$1: no calls of fmaf" "CPU of another architecture than $1's"
	else
		check "kernels-$1: fused multiply-adds" fused "$object" "$2" 16
		check "kernels-$1: no calls of fmaf" no_call "$object"
	fi
}
kernels avx512 'vfmadd[0-9]*ps.*%zmm'
kernels avx2 'vfmadd[0-9]*ps.*%ymm'
kernels neon 'fmla[[:space:]]+v[0-9]+\.4s'

# Products of integers are made by the instructions meant for them, and nothing there is fused.
none_fused() { ! objdump -d --no-show-raw-insn "$1" | grep -E 'vfm(add|sub)|fmla'; }
integers() { # set of instructions, pattern
	local object=$B/obj/lib/kernel/int16-$1.o
	if [ ! -e "$object" ]; then
		skip "int16-$1: products of integers" "CPU of another architecture than $1's"
	elif ! nm "$object" | grep tile >/dev/null; then
		skip "int16-$1: products of integers" "optional: a compiler that knows VNNI"
	else
		check "int16-$1: products of integers" fused "$object" "$2" 16
		check "int16-$1: nothing is fused" none_fused "$object"
	fi
}
integers avx512_vnni 'vpdpwssd.*%zmm'
integers avx512 'vpmaddwd.*%zmm'
integers avx2_vnni 'vpdpwssd.*%ymm'
integers avx2 'vpmaddwd.*%ymm'
integers neon 'smlal[[:space:]]+v[0-9]+\.4s'

# A product and a sum, and a sum of many: -ffast-math makes one instruction of the first, and
# vectors of the second.
cat >"$tmp/probe.c" <<'END'
float product_sum(float a, float b, float c) { return a * b + c; }
float sum(const float *a) { float s = 0; for (int i = 0; i < 1024; i++) s += a[i]; return s; }
#ifdef __FAST_MATH__
#error fast
#endif
END
case $($CC -dumpmachine) in
x86_64*)
	isa=-mfma
	changed='vfn?m(add|sub)|v?addps'
	;;
aarch64*)
	isa=
	changed='fmadd|fmla|fadd[[:space:]]+v'
	;;
*) isa=none ;;
esac

# The compiler's command for the probe, as make runs it.
exact() { # CFLAGS
	local command code
	command=$(make -s -n B="$tmp/b" CC="$CC" CFLAGS="$1" "$tmp/b/obj/lib/base/error.o" 2>/dev/null |
		grep -- ' -c ' | sed 's/ -MMD.*//')
	[ -n "$command" ] || return 1
	eval "$command $isa -c $tmp/probe.c -o $tmp/probe.o" 2>/dev/null || return 1
	code=$(objdump -d --no-show-raw-insn "$tmp/probe.o") && ! grep -qE "$changed" <<<"$code"
}
# The probe must show the difference without these flags: otherwise the test proves nothing.
probe_works() {
	sed '/__FAST_MATH__/,$d' "$tmp/probe.c" >"$tmp/free.c"
	$CC -O3 -ffast-math ${isa:+"$isa"} -c "$tmp/free.c" -o "$tmp/free.o" &&
		grep -qE "$changed" <<<"$(objdump -d --no-show-raw-insn "$tmp/free.o")"
}
if [ "$isa" = none ]; then
	skip "flags" "CPU whose fused and vector instructions this test does not know"
else
	check "the probe tells fast from exact" probe_works
	for flags in '-O2 -g' '-O3 -ffast-math' '-Ofast' '-O3 -ffp-contract=fast -funsafe-math-optimizations'; do
		check "CFLAGS='$flags' stays exact" exact "$flags"
	done
fi

# -Ofast at link would make the start-up code set flush-to-zero.
link_is_clean() {
	local command
	command=$(make -s -n B="$tmp/b" CC="$CC" CFLAGS=-Ofast LDFLAGS=-Ofast "$tmp/b/vae-enc" 2>/dev/null |
		grep -- ' -o .*/vae-enc$')
	[ -n "$command" ] && ! grep -q -e -Ofast <<<"$command"
}
check "-Ofast does not reach the link" link_is_clean

tap_done
