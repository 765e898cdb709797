#!/bin/bash
# isa.sh - which instruction sets this machine has, for tests: source it.

# runs ISA: the kernels of scalar, avx2, avx512 or neon run on this machine
runs() {
	local machine
	machine=$(uname -m)
	case $1 in
	scalar) ;;
	neon) [ "$machine" = aarch64 ] ;;
	avx2) [ "$machine" = x86_64 ] && grep -qw avx2 /proc/cpuinfo && grep -qw fma /proc/cpuinfo ;;
	avx512) [ "$machine" = x86_64 ] && [ "$(grep -owE 'avx512(f|dq|bw|vl)' /proc/cpuinfo | sort -u | wc -l)" \
		= 4 ] ;;
	*) return 1 ;;
	esac
}
