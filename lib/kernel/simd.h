/* simd.h - one vector of floats, whatever the instruction set: the only file that knows intrinsics
 * (but for bf16.c, which exists for two sets of instructions).
 *
 * The Makefile compiles kernels.c once for each instruction set with VAE_ISA_<name> defined. A vec
 * holds LANES floats; its lanes never meet (no horizontal operation exists here), which is why the
 * width cannot change a result. vec_fma is the fused operation in every build; the plain one calls
 * fmaf. */
#ifndef VAE_KERNEL_SIMD_H
#define VAE_KERNEL_SIMD_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernel/loops.h"

#if defined VAE_ISA_avx512

#include <immintrin.h>
#define LANES 16
typedef __m512 vec;

INLINE __mmask16 vec_mask(size_t count) { return (__mmask16)((1u << count) - 1); }
INLINE vec vec_load(const float *p) { return _mm512_loadu_ps(p); }
INLINE void vec_store(float *p, vec v) { _mm512_storeu_ps(p, v); }
INLINE vec vec_load_part(const float *p, size_t count)
{
	return _mm512_maskz_loadu_ps(vec_mask(count), p);
}
INLINE void vec_store_part(float *p, vec v, size_t count)
{
	_mm512_mask_storeu_ps(p, vec_mask(count), v);
}
INLINE vec vec_all(float x) { return _mm512_set1_ps(x); }
INLINE vec vec_fma(vec a, vec b, vec c) { return _mm512_fmadd_ps(a, b, c); }
INLINE vec vec_add(vec a, vec b) { return _mm512_add_ps(a, b); }
INLINE vec vec_sub(vec a, vec b) { return _mm512_sub_ps(a, b); }
INLINE vec vec_mul(vec a, vec b) { return _mm512_mul_ps(a, b); }
INLINE vec vec_div(vec a, vec b) { return _mm512_div_ps(a, b); }
INLINE vec vec_sqrt(vec a) { return _mm512_sqrt_ps(a); }
/* v > 0 ? yes : no */
INLINE vec vec_positive(vec v, vec yes, vec no)
{
	return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(v, _mm512_setzero_ps(), _CMP_GT_OQ), no, yes);
}

#elif defined VAE_ISA_avx2

#include <immintrin.h>
#define LANES 8
typedef __m256 vec;

INLINE __m256i vec_mask(size_t count)
{
	return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)count),
	                          _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
INLINE vec vec_load(const float *p) { return _mm256_loadu_ps(p); }
INLINE void vec_store(float *p, vec v) { _mm256_storeu_ps(p, v); }
INLINE vec vec_load_part(const float *p, size_t count)
{
	return _mm256_maskload_ps(p, vec_mask(count));
}
INLINE void vec_store_part(float *p, vec v, size_t count)
{
	_mm256_maskstore_ps(p, vec_mask(count), v);
}
INLINE vec vec_all(float x) { return _mm256_set1_ps(x); }
INLINE vec vec_fma(vec a, vec b, vec c) { return _mm256_fmadd_ps(a, b, c); }
INLINE vec vec_add(vec a, vec b) { return _mm256_add_ps(a, b); }
INLINE vec vec_sub(vec a, vec b) { return _mm256_sub_ps(a, b); }
INLINE vec vec_mul(vec a, vec b) { return _mm256_mul_ps(a, b); }
INLINE vec vec_div(vec a, vec b) { return _mm256_div_ps(a, b); }
INLINE vec vec_sqrt(vec a) { return _mm256_sqrt_ps(a); }
INLINE vec vec_positive(vec v, vec yes, vec no)
{
	return _mm256_blendv_ps(no, yes, _mm256_cmp_ps(v, _mm256_setzero_ps(), _CMP_GT_OQ));
}

#elif defined VAE_ISA_neon

#include <arm_neon.h>
#define LANES 4
typedef float32x4_t vec;

INLINE vec vec_load(const float *p) { return vld1q_f32(p); }
INLINE void vec_store(float *p, vec v) { vst1q_f32(p, v); }
INLINE vec vec_load_part(const float *p, size_t count)
{
	float lanes[LANES] = {0};
	memcpy(lanes, p, count * sizeof *p);
	return vld1q_f32(lanes);
}
INLINE void vec_store_part(float *p, vec v, size_t count)
{
	float lanes[LANES];
	vst1q_f32(lanes, v);
	memcpy(p, lanes, count * sizeof *p);
}
INLINE vec vec_all(float x) { return vdupq_n_f32(x); }
INLINE vec vec_fma(vec a, vec b, vec c) { return vfmaq_f32(c, a, b); }
INLINE vec vec_add(vec a, vec b) { return vaddq_f32(a, b); }
INLINE vec vec_sub(vec a, vec b) { return vsubq_f32(a, b); }
INLINE vec vec_mul(vec a, vec b) { return vmulq_f32(a, b); }
INLINE vec vec_div(vec a, vec b) { return vdivq_f32(a, b); }
INLINE vec vec_sqrt(vec a) { return vsqrtq_f32(a); }
INLINE vec vec_positive(vec v, vec yes, vec no)
{
	return vbslq_f32(vcgtq_f32(v, vdupq_n_f32(0)), yes, no);
}

#elif defined VAE_ISA_scalar

#define LANES 1
typedef float vec;

INLINE vec vec_load(const float *p) { return *p; }
INLINE void vec_store(float *p, vec v) { *p = v; }
INLINE vec vec_load_part(const float *p, size_t count) { return count ? *p : 0; }
INLINE void vec_store_part(float *p, vec v, size_t count)
{
	if (count)
		*p = v;
}
INLINE vec vec_all(float x) { return x; }
INLINE vec vec_fma(vec a, vec b, vec c) { return __builtin_fmaf(a, b, c); }
INLINE vec vec_add(vec a, vec b) { return a + b; }
INLINE vec vec_sub(vec a, vec b) { return a - b; }
INLINE vec vec_mul(vec a, vec b) { return a * b; }
INLINE vec vec_div(vec a, vec b) { return a / b; }
INLINE vec vec_sqrt(vec a) { return __builtin_sqrtf(a); }
INLINE vec vec_positive(vec v, vec yes, vec no) { return v > 0 ? yes : no; }

#else
#error "define one of VAE_ISA_scalar, VAE_ISA_avx2, VAE_ISA_avx512, VAE_ISA_neon"
#endif

/* The first `count` lanes, at most LANES; where count is the constant LANES this is the plain load
 * or store. */
INLINE vec vec_get(const float *p, size_t count)
{
	return count == LANES ? vec_load(p) : vec_load_part(p, count);
}
INLINE void vec_put(float *p, vec v, size_t count)
{
	if (count == LANES)
		vec_store(p, v);
	else
		vec_store_part(p, v, count);
}

#endif
