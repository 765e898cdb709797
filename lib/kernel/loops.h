/* loops.h - the common part of the sources that are compiled once for each instruction set. */
#ifndef VAE_KERNEL_LOOPS_H
#define VAE_KERNEL_LOOPS_H

#include <float.h>
#include <stdint.h>
#include <string.h>

#ifdef __FAST_MATH__
#error "the result must be the same on every machine: build without -ffast-math"
#endif
_Static_assert(FLT_EVAL_METHOD == 0, "floats must be computed as floats: build with -std=gnu17");

#define INLINE static inline __attribute__((always_inline, unused))

/* Return a float of these bits, and the bits of a float. */
INLINE float float_of(uint32_t bits)
{
	float x;
	memcpy(&x, &bits, sizeof x);
	return x;
}

INLINE uint32_t bits_of(float x)
{
	uint32_t bits;
	memcpy(&bits, &x, sizeof bits);
	return bits;
}

/* EACH marks a plain loop that the compiler vectorises: iteration i uses only element i, even if
 * output and input are the same array. UNROLL marks a loop of few constant iterations. */
#if defined __clang__
#define EACH   _Pragma("clang loop vectorize(assume_safety)")
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define EACH   _Pragma("GCC ivdep")
#define UNROLL _Pragma("GCC unroll 32")
#endif

/* TABLE(vae_kernels) is vae_kernels_avx2 in that build, and so on; ISA is its number. */
#define TABLE_JOIN(table, isa) table##_##isa
#define TABLE_NAME(table, isa) TABLE_JOIN(table, isa)
#define TABLE(table)           TABLE_NAME(table, ISA_NAME)
#if defined VAE_ISA_avx512
#define ISA_NAME avx512
#define ISA      VAE_ISA_AVX512
#elif defined VAE_ISA_avx2
#define ISA_NAME avx2
#define ISA      VAE_ISA_AVX2
#elif defined VAE_ISA_neon
#define ISA_NAME neon
#define ISA      VAE_ISA_NEON
#else
#define ISA_NAME scalar
#define ISA      VAE_ISA_SCALAR
#endif

#endif
