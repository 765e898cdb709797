/* simd.h - vectors of floats and of integers for every instruction set: the only file with
 * intrinsics, except bf16.c, which exists for two instruction sets.
 *
 * The Makefile compiles kernels.c once for each instruction set with VAE_ISA_<name> defined. A vec
 * holds LANES floats; its lanes are independent (there are no horizontal operations), which is why
 * the width cannot change a result. vec_fma is the fused operation in every build; the scalar one
 * calls fmaf.
 *
 * An ivec holds LANES sums of 32 bits, or LANES pairs of 16-bit numbers. ivec_dot adds the products
 * of a pair to each sum; with VAE_VNNI in one instruction. */
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
/* Returns v > 0 ? yes : no. */
INLINE vec vec_positive(vec v, vec yes, vec no)
{
	return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(v, _mm512_setzero_ps(), _CMP_GT_OQ), no, yes);
}

typedef __m512i ivec;
INLINE ivec ivec_zero(void) { return _mm512_setzero_si512(); }
INLINE ivec ivec_load(const int16_t *p) { return _mm512_loadu_si512(p); }
INLINE void ivec_store(int16_t *p, ivec v) { _mm512_storeu_si512(p, v); }
INLINE ivec ivec_pair(const int16_t *p)
{
	int32_t pair;
	memcpy(&pair, p, sizeof pair);
	return _mm512_set1_epi32(pair);
}
INLINE ivec ivec_dot(ivec sum, ivec a, ivec b)
{
#ifdef VAE_VNNI
	sum = _mm512_dpwssd_epi32(sum, a, b);
#else
	sum = _mm512_add_epi32(sum, _mm512_madd_epi16(a, b));
#endif
	__asm__("" : "+v"(sum)); /* keeps gcc from an order that does not fit the registers */
	return sum;
}
INLINE vec ivec_floats(ivec sum) { return _mm512_cvtepi32_ps(sum); }
/* Returns a's lanes, then b's, rounded half to even; all fit 16 bits. */
INLINE ivec ivec_round(vec a, vec b)
{
	const __m512i order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
	return _mm512_permutexvar_epi64(
		order, _mm512_packs_epi32(_mm512_cvtps_epi32(a), _mm512_cvtps_epi32(b)));
}
/* Return a > b ? a : b, and a < b ? a : b. */
INLINE vec vec_max(vec a, vec b) { return _mm512_max_ps(a, b); }
INLINE vec vec_min(vec a, vec b) { return _mm512_min_ps(a, b); }

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

typedef __m256i ivec;
INLINE ivec ivec_zero(void) { return _mm256_setzero_si256(); }
INLINE ivec ivec_load(const int16_t *p)
{
	return _mm256_loadu_si256((const __m256i *)(const void *)p);
}
INLINE void ivec_store(int16_t *p, ivec v) { _mm256_storeu_si256((__m256i *)(void *)p, v); }
INLINE ivec ivec_pair(const int16_t *p)
{
	int32_t pair;
	memcpy(&pair, p, sizeof pair);
	return _mm256_set1_epi32(pair);
}
INLINE ivec ivec_dot(ivec sum, ivec a, ivec b)
{
#ifdef VAE_VNNI
	sum = _mm256_dpwssd_avx_epi32(sum, a, b);
#else
	sum = _mm256_add_epi32(sum, _mm256_madd_epi16(a, b));
#endif
	__asm__("" : "+x"(sum)); /* keeps gcc from an order that does not fit the registers */
	return sum;
}
INLINE vec ivec_floats(ivec sum) { return _mm256_cvtepi32_ps(sum); }
INLINE ivec ivec_round(vec a, vec b)
{
	return _mm256_permute4x64_epi64(
		_mm256_packs_epi32(_mm256_cvtps_epi32(a), _mm256_cvtps_epi32(b)), 0xd8);
}
INLINE vec vec_max(vec a, vec b) { return _mm256_max_ps(a, b); }
INLINE vec vec_min(vec a, vec b) { return _mm256_min_ps(a, b); }

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

/* After a load, the first numbers of all pairs come before the second ones. */
typedef int32x4_t ivec;
INLINE ivec ivec_zero(void) { return vdupq_n_s32(0); }
INLINE ivec ivec_load(const int16_t *p)
{
	int16x4x2_t pairs = vld2_s16(p);
	return vreinterpretq_s32_s16(vcombine_s16(pairs.val[0], pairs.val[1]));
}
INLINE void ivec_store(int16_t *p, ivec v) { vst1q_s16(p, vreinterpretq_s16_s32(v)); }
INLINE ivec ivec_pair(const int16_t *p)
{
	int32_t pair;
	memcpy(&pair, p, sizeof pair);
	return vdupq_n_s32(pair);
}
INLINE ivec ivec_dot(ivec sum, ivec a, ivec b)
{
	int16x4_t pair = vget_low_s16(vreinterpretq_s16_s32(a));
	int16x8_t each = vreinterpretq_s16_s32(b);
	sum = vmlal_lane_s16(sum, vget_low_s16(each), pair, 0);
	return vmlal_lane_s16(sum, vget_high_s16(each), pair, 1);
}
INLINE vec ivec_floats(ivec sum) { return vcvtq_f32_s32(sum); }
INLINE ivec ivec_round(vec a, vec b)
{
	return vreinterpretq_s32_s16(
		vcombine_s16(vmovn_s32(vcvtnq_s32_f32(a)), vmovn_s32(vcvtnq_s32_f32(b))));
}
INLINE vec vec_max(vec a, vec b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
INLINE vec vec_min(vec a, vec b) { return vbslq_f32(vcltq_f32(a, b), a, b); }

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
INLINE vec vec_max(vec a, vec b) { return a > b ? a : b; }
INLINE vec vec_min(vec a, vec b) { return a < b ? a : b; }

#else
#error "define one of VAE_ISA_scalar, VAE_ISA_avx2, VAE_ISA_avx512, VAE_ISA_neon"
#endif

/* Loads or stores the first `count` lanes, at most LANES; a plain load or store if count is the
 * constant LANES. */
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

/* The tile of a matrix product: ROWS x VECTORS registers hold the sums of ROWS x WIDTH outputs, and
 * leave some for operands. BLOCK_ROWS rows of the left operand stay in the second-level cache. */
#if defined VAE_ISA_avx512
#define ROWS    12
#define VECTORS 2
#elif defined VAE_ISA_avx2
#define ROWS    6
#define VECTORS 2
#else
#define ROWS    6
#define VECTORS 4
#endif
#define WIDTH      (VECTORS * LANES)
#define BLOCK_ROWS (96 / ROWS * ROWS)

#endif
