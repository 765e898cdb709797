/* kernels.c - the kernels against the core's limits: GFLOP/s of the matrix products beside the
 * measured rate of fused multiply-adds between registers (of bf16: the nominal rate of the
 * instructions, twice that, 16 times on AMX), GB/s of the depthwise convolutions beside a copy. One
 * core.
 *
 *     kernels [SECONDS-A-FIGURE] [ISA|amx-bf16|avx512-bf16|int16...]
 *
 * The clock is the thread's own CPU time: a busy machine affects the figures only through caches
 * and memory. */
#include "kernel/kernel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double budget = 0.05;

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Returns the seconds of the fastest of several runs of call(context). */
static double fastest(void (*call)(void *context), void *context)
{
	double best = 1e9, end = now() + budget;
	call(context);
	do {
		double start = now();
		call(context);
		double seconds = now() - start;
		if (seconds < best)
			best = seconds;
	} while (now() < end);
	return best;
}

/* ---- the core's peak ------------------------------------------------------------------------- */

/* Twelve chains hide the latency of any core so far: TIMES x 12 multiply-adds a call. */
enum { CHAINS = 12, TIMES = 100000 };

#define PEAK(name, vector, all, fma, target_)                                                 \
	target_ static void peak_##name(void *context)                                            \
	{                                                                                         \
		volatile float *from = context;                                                       \
		vector a = all(*from), s[CHAINS];                                                     \
		_Pragma("GCC unroll 12") for (int j = 0; j < CHAINS; j++) s[j] = all(*from);          \
		for (int i = 0; i < TIMES; i++)                                                       \
			_Pragma("GCC unroll 12") for (int j = 0; j < CHAINS; j++) s[j] = fma(s[j], a, a); \
		_Pragma("GCC unroll 12") for (int j = 0; j < CHAINS; j++) *from = s[j][0];            \
	}
#if defined __x86_64__
#include <immintrin.h>
PEAK(avx2, __m256, _mm256_set1_ps, _mm256_fmadd_ps, __attribute__((target("avx2,fma"))))
PEAK(avx512, __m512, _mm512_set1_ps, _mm512_fmadd_ps, __attribute__((target("avx512f"))))
#elif defined __aarch64__
#include <arm_neon.h>
#define NEON_FMA(a, b, c) vfmaq_f32(c, a, b)
PEAK(neon, float32x4_t, vdupq_n_f32, NEON_FMA, )
#endif

/* Returns GFLOP/s of the instruction set's own multiply-add; 0 for scalar, which calls fmaf. */
static double peak(enum vae_isa isa)
{
	float value = 0;
	switch (isa) {
#if defined __x86_64__
	case VAE_ISA_AVX2: return 2e-9 * CHAINS * TIMES * 8 / fastest(peak_avx2, &value);
	case VAE_ISA_AVX512: return 2e-9 * CHAINS * TIMES * 16 / fastest(peak_avx512, &value);
#elif defined __aarch64__
	case VAE_ISA_NEON: return 2e-9 * CHAINS * TIMES * 4 / fastest(peak_neon, &value);
#endif
	default: return 0 * value;
	}
}

/* ---- kernels --------------------------------------------------------------------------------- */

static float *floats(size_t n)
{
	float *x = aligned_alloc(64, (n * sizeof *x + 63) / 64 * 64);
	if (!x)
		exit(1);
	for (size_t i = 0; i < n; i++)
		x[i] = (float)(i * 2654435761u % 2001) / 1000 - 1;
	return x;
}

/* gemm and pack are those of an instruction set or of bf16. */
struct product {
	void (*gemm)(const struct vae_gemm *);
	void (*pack)(float *, const float *, size_t, size_t, size_t, size_t);
	bool own; /* products of integers: each row has its own factor */
	struct vae_gemm g;
	const float *source;
	float *packed;
};

static void run_product(void *context)
{
	struct product *p = context;
	if (p->packed) /* a weight gradient: dy is new each time */
		p->pack(p->packed, p->source, p->g.k, p->g.n, p->g.n, 1);
	p->gemm(&p->g);
}

/* Returns GFLOP/s of m x k by k x n: forward, or the weight gradient of a layer k -> n over m cells
 * (an m-long chain for k x n outputs). */
static double product(struct product p, size_t m, size_t k, size_t n, bool gradient)
{
	size_t rows = gradient ? k : m, steps = gradient ? m : k;
	float *a = floats(m * k), *source = floats(steps * n),
		  *packed = floats(vae_packed_size(steps, n)), *bias = floats(n), *c = floats(rows * n);
	float *room = floats(VAE_GEMM_ROOM);
	p.g = (struct vae_gemm){
		.m = rows,
		.n = n,
		.k = steps,
		.a = a,
		.a_row = gradient ? 1 : k,
		.a_step = gradient ? k : 1,
		.b = packed,
		.bias = gradient ? NULL : bias,
		.slope = gradient ? 1 : 0.01f,
		.residual = gradient ? c : NULL,
		.residual_row = n,
		.c = c,
		.c_row = n,
		.room = room,
		.factor = p.own ? 0 : 4096,
		.unit = bias,
	};
	p.source = source;
	p.packed = gradient ? packed : NULL;
	p.pack(packed, source, steps, n, n, 1);
	double seconds = fastest(run_product, &p);
	free(a);
	free(source);
	free(packed);
	free(bias);
	free(c);
	free(room);
	return 2e-9 * (double)m * (double)k * (double)n / seconds;
}

struct convolution {
	const struct vae_kernels *kernels;
	struct vae_depthwise forward;
	struct vae_depthwise_backward backward;
};

static void run_depthwise(void *context)
{
	struct convolution *c = context;
	c->kernels->depthwise(&c->forward);
}

static void run_depthwise_backward(void *context)
{
	struct convolution *c = context;
	c->kernels->depthwise_backward(&c->backward);
}

struct copy {
	float *to, *from;
	size_t bytes;
};

static void run_copy(void *context)
{
	struct copy *c = context;
	memcpy(c->to, c->from, c->bytes);
}

/* Measures GB/s, counting each necessary read and write once: x and y; backward x, dy, dx twice. */
static void depthwise(const struct vae_kernels *kernels, size_t side, size_t channels, size_t taps)
{
	size_t n = side * side * channels;
	float *x = floats(n), *y = floats(n), *dx = floats(n), *w = floats(taps * taps * channels),
		  *dw = floats(taps * taps * channels);
	float *bias = floats(channels), *dbias = floats(channels);
	struct convolution c = {kernels,
	                        {side, side, channels, taps, true, 0, 0, x, w, bias, y},
	                        {side, side, channels, taps, x, w, y, dx, dw, dbias}};
	struct copy copy = {dx, x, n * sizeof *x};
	double copied = fastest(run_copy, &copy), there = fastest(run_depthwise, &c),
		   back = fastest(run_depthwise_backward, &c);
	double bytes = 4e-9 * (double)n, work = 2e-9 * (double)(n * taps * taps);
	printf("%-7s %3zux%-3zu %4zu channels %zux%zu  forward %5.1f GB/s %6.1f GFLOP/s   backward "
	       "%5.1f GB/s %6.1f GFLOP/s   copy %5.1f GB/s\n",
	       vae_isa_name(kernels->isa), side, side, channels, taps, taps, 2 * bytes / there,
	       work / there, 4 * bytes / back, 2 * work / back, 2 * bytes / copied);
	free(x);
	free(y);
	free(dx);
	free(w);
	free(dw);
	free(bias);
	free(dbias);
}

struct rate {
	const struct vae_kernels *kernels;
	float *d, *s, *dd, *ds;
	size_t n;
};

static void run_rate(void *context)
{
	struct rate *r = context;
	r->kernels->gaussian_bits(r->d, r->s, r->n, 1, r->dd, r->ds);
}

static void run_adam(void *context)
{
	struct rate *r = context;
	r->kernels->adam(r->d, r->s, r->dd, r->ds, r->d, r->n, 1, 1e-4f, 0.9f, 0.99f, 1e-8f, 1e-3f);
}

static void training(const struct vae_kernels *kernels)
{
	enum { N = 1 << 16 };
	struct rate r = {kernels, floats(N), floats(N), floats(N), floats(N), N};
	printf("%-7s gaussian_bits %.2f ns/symbol", vae_isa_name(kernels->isa),
	       1e9 / N * fastest(run_rate, &r));
	for (int i = 0; i < N; i++)
		r.dd[i] = 1;
	printf("   adam %.2f ns/weight\n", 1e9 / N * fastest(run_adam, &r));
	free(r.d);
	free(r.s);
	free(r.dd);
	free(r.ds);
}

/* top: GFLOP/s between registers, or 0. */
static void products(const char *name, struct product product_of, double top)
{
	static const size_t shapes[][2] = {
		{64, 128},  {128, 128}, {160, 320}, {320, 160},   {128, 512}, {256, 256}, {320, 320},
		{384, 384}, {320, 640}, {640, 320}, {1024, 1024}, {768, 320}, {128, 48},
	};
	static const size_t cells[] = {256, 2048, 4096};
	if (top > 0)
		printf("%-11s peak %.1f GFLOP/s between registers\n", name, top);
	printf("%-11s %5s %5s %5s %17s %17s\n", name, "cells", "k", "n", "forward", "weight gradient");
	for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
		for (size_t i = 0; i < (top > 0 ? 3 : 1); i++) {
			size_t m = cells[i], k = shapes[s][0], n = shapes[s][1];
			double forward = product(product_of, m, k, n, false),
				   gradient = product(product_of, m, k, n, true);
			printf("%-11s %5zu %5zu %5zu %8.1f", name, m, k, n, forward);
			if (top > 0)
				printf(" (%3.0f %%) %8.1f (%3.0f %%)\n", 100 * forward / top, gradient,
				       100 * gradient / top);
			else
				printf(" %17.1f\n", gradient);
		}
}

static void pack_integers(float *packed, const float *source, size_t k, size_t n, size_t row,
                          size_t step)
{
	(void)row;
	(void)step;
	vae_pack_int16(packed, source, k, n);
}

/* Prints the products of integers, a multiplication and a sum counted as two operations too: shapes
 * of a decoder, then of an analysis, whose rows have their own factors. */
static void integers(const struct vae_int16 *by)
{
	static const struct {
		size_t m, k, n;
		bool own;
	} shapes[] = {{256, 160, 320, false}, {256, 320, 160, false}, {256, 160, 1024, false},
	              {4096, 64, 128, false}, {4096, 128, 64, false}, {256, 768, 320, true},
	              {256, 320, 640, true},  {256, 640, 320, true}};
	for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
		struct product p = {.gemm = by->gemm, .pack = pack_integers, .own = shapes[s].own};
		printf("int16 %-11s %5zu %5zu %5zu %8.1f G/s%s\n", vae_int16_name(by->kind), shapes[s].m,
		       shapes[s].k, shapes[s].n, product(p, shapes[s].m, shapes[s].k, shapes[s].n, false),
		       shapes[s].own ? ", own factors" : "");
	}
}

static void bench(const struct vae_kernels *kernels)
{
	products(vae_isa_name(kernels->isa), (struct product){.gemm = kernels->gemm, .pack = vae_pack},
	         peak(kernels->isa));
	depthwise(kernels, 16, 256, 3);
	depthwise(kernels, 64, 128, 3);
	depthwise(kernels, 64, 128, 5);
	depthwise(kernels, 64, 320, 3);
	training(kernels);
}

static bool wanted(int argc, char **argv, const char *name)
{
	bool is = argc < 3;
	for (int i = 2; i < argc; i++)
		is |= !strcmp(argv[i], name);
	return is;
}

int main(int argc, char **argv)
{
	if (argc > 1)
		budget = atof(argv[1]);
	for (int kind = 0; kind < VAE_BF16_KINDS; kind++) {
		const struct vae_bf16 *by = vae_bf16_for((enum vae_bf16_kind)kind);
		if (by && wanted(argc, argv, by->name))
			products(by->name, (struct product){.gemm = by->gemm, .pack = by->pack},
			         (kind == VAE_BF16_AMX ? 16 : 2) * peak(VAE_ISA_AVX512));
	}
	for (int kind = VAE_INT16_KINDS - 1; kind >= 0; kind--) {
		const struct vae_int16 *by = vae_int16_for((enum vae_int16_kind)kind);
		if (by && wanted(argc, argv, "int16"))
			integers(by);
	}
	for (int isa = VAE_ISA_COUNT - 1; isa >= 0; isa--) {
		const struct vae_kernels *kernels = vae_kernels_for((enum vae_isa)isa);
		if (kernels && wanted(argc, argv, vae_isa_name((enum vae_isa)isa)))
			bench(kernels);
	}
	return 0;
}
