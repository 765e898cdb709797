#include "kernel/kernel.h"
#include "base/minmax.h"
#include "kernel/s2.h"

#include <stdatomic.h>
#include <string.h>

extern const struct vae_kernels vae_kernels_scalar;
extern const struct vae_s2_kernels vae_s2_kernels_scalar;
#if defined __x86_64__
extern const struct vae_kernels vae_kernels_avx2, vae_kernels_avx512;
extern const struct vae_s2_kernels vae_s2_kernels_avx2, vae_s2_kernels_avx512;
#elif defined __aarch64__
extern const struct vae_kernels vae_kernels_neon;
extern const struct vae_s2_kernels vae_s2_kernels_neon;
#endif

static const struct {
	const struct vae_kernels *kernels;
	const struct vae_s2_kernels *s2;
} table[] = {
	[VAE_ISA_SCALAR] = {&vae_kernels_scalar, &vae_s2_kernels_scalar},
#if defined __x86_64__
	[VAE_ISA_AVX2] = {&vae_kernels_avx2, &vae_s2_kernels_avx2},
	[VAE_ISA_AVX512] = {&vae_kernels_avx512, &vae_s2_kernels_avx512},
#elif defined __aarch64__
	[VAE_ISA_NEON] = {&vae_kernels_neon, &vae_s2_kernels_neon},
#endif
};

static bool built(enum vae_isa isa)
{
	return vae_isa_runs(isa) && (size_t)isa < sizeof table / sizeof *table;
}

const struct vae_kernels *vae_kernels_for(enum vae_isa isa)
{
	return built(isa) ? table[isa].kernels : NULL;
}
const struct vae_s2_kernels *vae_s2_kernels_for(enum vae_isa isa)
{
	return built(isa) ? table[isa].s2 : NULL;
}
const struct vae_s2_kernels *vae_s2_kernels(void) { return vae_s2_kernels_for(vae_kernels()->isa); }

/* Two threads that both find it unset choose the same and store the same pointer. */
const struct vae_kernels *vae_kernels(void)
{
	static _Atomic(const struct vae_kernels *) chosen;
	const struct vae_kernels *kernels = atomic_load_explicit(&chosen, memory_order_acquire);
	if (!kernels) {
		kernels = vae_kernels_for(vae_isa_choose());
		atomic_store_explicit(&chosen, kernels, memory_order_release);
	}
	return kernels;
}

extern const struct vae_int16 vae_int16_scalar;
#if defined __x86_64__
extern const struct vae_int16 vae_int16_avx2, vae_int16_avx512;
extern const struct vae_int16 *const vae_int16_avx2_vnni, *const vae_int16_avx512_vnni;
#elif defined __aarch64__
extern const struct vae_int16 vae_int16_neon;
#endif

const struct vae_int16 *vae_int16_for(enum vae_int16_kind kind)
{
	switch (kind) {
	case VAE_INT16_SCALAR: return &vae_int16_scalar;
#if defined __x86_64__
	case VAE_INT16_AVX2: return vae_isa_runs(VAE_ISA_AVX2) ? &vae_int16_avx2 : NULL;
	case VAE_INT16_AVX512: return vae_isa_runs(VAE_ISA_AVX512) ? &vae_int16_avx512 : NULL;
	case VAE_INT16_AVX_VNNI: return vae_vnni_runs(VAE_ISA_AVX2) ? vae_int16_avx2_vnni : NULL;
	case VAE_INT16_AVX512_VNNI: return vae_vnni_runs(VAE_ISA_AVX512) ? vae_int16_avx512_vnni : NULL;
#elif defined __aarch64__
	case VAE_INT16_NEON: return &vae_int16_neon;
#endif
	default: return NULL;
	}
}

const char *vae_int16_name(enum vae_int16_kind kind)
{
	static const char *const names[] = {
		[VAE_INT16_AVX_VNNI] = "avx-vnni", [VAE_INT16_AVX512_VNNI] = "avx512-vnni"};
	return kind < VAE_INT16_AVX_VNNI ? vae_isa_name((enum vae_isa)kind) : names[kind];
}

/* Returns the products of an instruction set, by VNNI if vnni says so and there are any. */
static const struct vae_int16 *integers_of(enum vae_isa isa, bool vnni)
{
	const struct vae_int16 *best = NULL;
	if (vnni && isa == VAE_ISA_AVX512)
		best = vae_int16_for(VAE_INT16_AVX512_VNNI);
	else if (vnni && isa == VAE_ISA_AVX2)
		best = vae_int16_for(VAE_INT16_AVX_VNNI);
	return best ? best : vae_int16_for((enum vae_int16_kind)isa);
}

const struct vae_int16 *vae_int16(void)
{
	static _Atomic(const struct vae_int16 *) chosen;
	const struct vae_int16 *integers = atomic_load_explicit(&chosen, memory_order_acquire);
	if (!integers) {
		integers = integers_of(vae_isa_choose(), !vae_isa_named());
		atomic_store_explicit(&chosen, integers, memory_order_release);
	}
	return integers;
}

extern const struct vae_bf16 *const vae_bf16_avx512, *const vae_bf16_amx;

const struct vae_bf16 *vae_bf16_for(enum vae_bf16_kind kind)
{
	switch (kind) {
	case VAE_BF16_AMX: return vae_amx_runs() ? vae_bf16_amx : NULL;
	case VAE_BF16_AVX512: return vae_bf16_runs() ? vae_bf16_avx512 : NULL;
	default: return NULL;
	}
}

const struct vae_bf16 *vae_bf16(void)
{
	if (vae_isa_choose() != VAE_ISA_AVX512)
		return NULL;
	const struct vae_bf16 *best = vae_isa_named() ? NULL : vae_bf16_for(VAE_BF16_AMX);
	return best ? best : vae_bf16_for(VAE_BF16_AVX512);
}

size_t vae_packed_size(size_t k, size_t n)
{
	return (n + VAE_PANEL - 1) / VAE_PANEL * VAE_PANEL * k;
}

/* Packs one panel of n <= VAE_PANEL columns. The transpose goes in squares, so that a cache line of
 * the source serves all its floats at once. */
static void pack_panel(float *packed, const float *source, size_t k, size_t n, size_t row,
                       size_t step)
{
	if (step == 1 && n == VAE_PANEL) {
		for (size_t p = 0; p < k; p++)
			memcpy(packed + p * VAE_PANEL, source + p * row, VAE_PANEL * sizeof *packed);
		return;
	}
	for (size_t p = 0; p < k; p++)
		memset(packed + p * VAE_PANEL + n, 0, (VAE_PANEL - n) * sizeof *packed);
	if (step == 1) {
		for (size_t p = 0; p < k; p++)
			memcpy(packed + p * VAE_PANEL, source + p * row, n * sizeof *packed);
		return;
	}
	for (size_t p0 = 0; p0 < k; p0 += 16) {
		size_t end = k - p0 < 16 ? k : p0 + 16;
		for (size_t j = 0; j < n; j++)
			for (size_t p = p0; p < end; p++)
				packed[p * VAE_PANEL + j] = source[p * row + j * step];
	}
}

void vae_pack_int16(float *packed, const float *source, size_t k, size_t n)
{
	int16_t *pairs = (void *)packed;
	for (size_t j0 = 0; j0 < n; j0 += VAE_PANEL)
		for (size_t p = 0; p < k; p += 2)
			for (size_t j = j0; j < j0 + VAE_PANEL; j++) {
				*pairs++ = j < n ? (int16_t)source[p * n + j] : 0;
				*pairs++ = j < n && p + 1 < k ? (int16_t)source[(p + 1) * n + j] : 0;
			}
}

double vae_int16_unit(double sum, double largest, size_t k)
{
	/* each magnitude is rounded up by a half at most, and by what rounding of 1 / unit adds */
	double by_size = largest / INT16_MAX, by_sum = sum / (VAE_INT16_SUM - (double)k / 2 - 1),
		   unit = by_size > by_sum ? by_size : by_sum;
	return unit > 0x1p-100 ? unit : 1;
}

void vae_pack(float *packed, const float *source, size_t k, size_t n, size_t row, size_t step)
{
	for (size_t j = 0; j < n; j += VAE_PANEL)
		pack_panel(packed + j * k, source + j * step, k, vae_min(n - j, VAE_PANEL), row, step);
}
