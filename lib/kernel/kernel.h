/* kernel.h - the arithmetic: every loop over numbers that costs time.
 *
 * The scalar build (VAE_CPU=scalar) defines the result of each forward kernel; every other build
 * gives the same bits. One output is ONE chain of IEEE-754 binary32 fused multiply-adds in the
 * order stated here; vector lanes are different outputs. One source, kernels.c, is compiled once
 * for each instruction set; vae_kernels() is the table of the best that runs. Backward kernels are
 * deterministic for an instruction set but may differ between sets (sums in other orders).
 *
 * Arrays are rows x channels, channels contiguous; a "row" is a cell of the picture. Strides are in
 * floats. Unless stated, no pointer may be NULL, nothing is aligned, and buffers of one call must
 * not overlap. No kernel allocates, fails, or takes more than 53 KB of stack. */
#ifndef VAE_KERNEL_H
#define VAE_KERNEL_H

#include "base/cpu.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- matrix product -------------------------------------------------------------------------- */

#define VAE_PANEL     32 /* columns of a packed panel */
/* floats that a product needs beside its operands: chains at rest, a packed block of a */
#define VAE_GEMM_ROOM (96 * (384 + 256))

/* c[i][j] = act(chain) + residual[i][j], where chain = bias[j], then fma(a[i][p], b[p][j], chain)
 * for p = 0, 1, ... k-1; act(v) = v > 0 ? v : v * slope (slope 1 is the identity, without an
 * operation); the residual is one rounded addition. */
struct vae_gemm {
	size_t m, n, k; /* rows of c, columns of c, length of the chain; any may be 0 */
	/* a[i][p] is a[i * a_row + p * a_step]: (stride, 1) for activations, (1, stride) for their
	 * transpose. */
	const float *a;
	size_t a_row, a_step;
	const float *b;    /* k x n, packed by vae_pack (struct vae_bf16: by its pack) */
	const float *bias; /* n, or NULL for +0 */
	float slope;
	const float *residual; /* m x n or NULL; may be c itself (then c accumulates) */
	size_t residual_row;
	float *c; /* m x n */
	size_t c_row;
	/* VAE_GEMM_ROOM, 64-byte aligned, for this call alone; undefined before and after. */
	float *room;
	float factor;      /* struct vae_int16 only; 0: each row has its own */
	const float *unit; /* n, likewise */
};

/* Returns the floats of the packed form of a k x n matrix: panels of VAE_PANEL columns, each k x
 * VAE_PANEL, the last filled with 0. */
size_t vae_packed_size(size_t k, size_t n);
/* Packs b (k x n, b[p][j] = source[p * row + j * step]); packed is 64-byte aligned. (row, 1) packs
 * a matrix, (1, row) its transpose. */
void vae_pack(float *packed, const float *source, size_t k, size_t n, size_t row, size_t step);

/* Packs a matrix of integers for struct vae_int16, row by row, each a whole number of 16 bits. */
void vae_pack_int16(float *packed, const float *source, size_t k, size_t n);

/* The same product for training and refinement, in mixed precision: a and b rounded to bf16 (8 bits
 * of mantissa; numbers under 2^-126 count as 0), sums in binary32, in another order. Exact results
 * must not use it. a_step or a_row is 1. b: packed by pack, where p and p + 1 of a column share the
 * place of a float; an odd k is filled with 0. */
/* Kinds of instructions, the best first; each implies the next. */
enum vae_bf16_kind { VAE_BF16_AMX, VAE_BF16_AVX512, VAE_BF16_KINDS };
struct vae_bf16 {
	enum vae_bf16_kind kind;
	const char *name; /* "amx-bf16", "avx512-bf16" */
	void (*gemm)(const struct vae_gemm *g);
	/* As vae_pack, only for (row, 1) and (1, row); takes vae_packed_size((k + 1) / 2, n) floats, no
	 * more than vae_pack. */
	void (*pack)(float *packed, const float *source, size_t k, size_t n, size_t row, size_t step);
};

/* The product of integer models, the same bits in every build. q(v) is v factor, a rounded product,
 * clamped (x > -MOST ? x : -MOST, x < MOST ? x : MOST) and rounded half to even to an integer; b
 * are integers of 16 bits.
 *
 *     c[i][j] = act((float)sum unit[j] + bias[j]) + residual[i][j],  sum = q(a[i][0]) b[0][j] + ...
 *
 * With factor 0 row i has its own, MOST / m, where m is the largest magnitude of a[i], from 2^-100
 * to 2^100 (NaN does not count), and (float)sum unit[j] is multiplied by m / MOST.
 *
 * The sum is exact: the sum of a column's magnitudes, times MOST, fits 32 bits. All other
 * operations are single rounded ones. a_step is 1, bias not NULL, k at most VAE_INT16_STEPS. b:
 * packed by pack or round, where p and p + 1 of a column share the place of a float. */
#define VAE_INT16_MOST  16383
#define VAE_INT16_SUM   (0x7fffffff / VAE_INT16_MOST)
#define VAE_INT16_STEPS 4096
/* A k x n matrix of finite numbers, row by row or packed: number (p, j) is
 * number[j / VAE_PANEL * panel + p * row + j % VAE_PANEL]. */
struct vae_matrix {
	const float *number;
	size_t k, n, panel, row;
};
enum vae_int16_kind { /* instructions: as enum vae_isa, then those with VNNI */
	                  VAE_INT16_SCALAR,
	                  VAE_INT16_NEON,
	                  VAE_INT16_AVX2,
	                  VAE_INT16_AVX512,
	                  VAE_INT16_AVX_VNNI,
	                  VAE_INT16_AVX512_VNNI,
	                  VAE_INT16_KINDS
};
struct vae_int16 {
	enum vae_int16_kind kind;
	void (*gemm)(const struct vae_gemm *g);
	/* Packs k x n integers, two's complement, row by row, little-endian, at any address; packed
	 * takes vae_packed_size((k + 1) / 2, n) floats. Returns whether the sum of each column's
	 * magnitudes is at most VAE_INT16_SUM. */
	bool (*pack)(float *packed, const uint8_t *source, size_t k, size_t n);
	/* Rounds a matrix to such integers and packs them. 1 of column j is worth unit[j],
	 * vae_int16_unit of the column; unit has room for whole panels. */
	void (*round)(float *packed, float *unit, const struct vae_matrix *m);
};
/* Returns the least unit by which a column of k numbers, with this sum of magnitudes and this
 * largest one, can be rounded to integers of 16 bits whose magnitudes sum up to VAE_INT16_SUM; 1 if
 * it is below 2^-100. */
double vae_int16_unit(double sum, double largest, size_t k);

/* ---- depthwise convolution ------------------------------------------------------------------- */

/* y[r][q][c] = chain from bias[c] over taps in row-major order: fma(x[r + i - t/2][q + j - t/2][c],
 * w[i][j][c], chain), with +0 for x outside. y may be some rows of a picture: then x is at the
 * first of them, and has rows above and below. */
struct vae_depthwise {
	size_t rows, columns, channels; /* of y */
	size_t taps;                    /* t: 3 or 5 */
	bool fused;                     /* as stated; false: each product is rounded, and then added */
	/* Rows of x before its first and after the rows-th; at most t/2 of them are read. */
	size_t above, below;
	/* above + rows + below rows of columns x channels; points at the row of y's first. */
	const float *x;
	const float *w;    /* taps x taps x channels */
	const float *bias; /* channels */
	float *y;          /* rows x columns x channels */
};
struct vae_depthwise_backward {
	size_t rows, columns, channels, taps;
	const float *x, *w, *dy;
	float *dx;         /* += */
	float *dw, *dbias; /* +=; both NULL: not wanted */
};

/* ---- the rate of a quantised Gaussian -------------------------------------------------------- */

/* For each of n symbols: bits = -log2 max(P, 1e-9), P the mass of N(0, e^log_scale) on [d - 1/2, d
 * + 1/2], log_scale clamped to [VAE_LOG_SCALE_MIN, VAE_LOG_SCALE_MAX] (its gradient is 0 where the
 * clamp holds and it points outward). Training only: fast, not exact. Adds weight * d(bits)/dd to
 * dd and weight * d(bits)/dlog_scale to ds, unless NULL; returns the sum of bits. The gradients are
 * those of -log2 P even below 1e-9, up to |d| = 1/2 + 6 sigma, and constant beyond. */
#define VAE_LOG_SCALE_MIN (-2.2072749f) /* ln 0.11 */
#define VAE_LOG_SCALE_MAX 6.2383246f    /* ln 512 */

/* ---- similarity of two pictures -------------------------------------------------------------- */

/* Structural similarity of the 11x11 windows of one colour of two pictures, whose samples are
 * scaled to -1/2..1/2: the sum of each row of windows. The moments a, b, a^2 + b^2 and ab are
 * filtered along the rows, then down the columns; multiplications and additions are rounded one by
 * one, in the order that kernels.c states. A row is summed in eight chains of doubles: window i
 * goes to chain i mod 8 (the rest at its end to chain 0), and the chains are added from the first
 * to the last. */
#define VAE_WINDOW          11
#define VAE_SIMILARITY_ROWS 128
struct vae_similarity {
	size_t rows, columns; /* of windows; rows at most VAE_SIMILARITY_ROWS */
	const float *a, *b;   /* rows + 10 rows of columns + 10 samples */
	size_t row;           /* floats between rows, of both */
	const float *tap;     /* 6: the filter at distance 0 to 5 */
	bool luminance;       /* all three terms; false: contrast and structure alone */
	double *sum;          /* rows */
};

/* The sum over all windows of two planes of one colour, and its gradient in b's samples. Training
 * only: fast, not the same bits everywhere. */
struct vae_similarity_backward {
	size_t rows, columns; /* of samples, at least VAE_WINDOW */
	const float *a, *b;   /* rows x columns */
	const float *tap;     /* as above */
	bool luminance;
	float *db; /* rows x columns, = */
};

/* MS-SSIM of one colour is the product over the scales of the windows' mean ^ weight: contrast and
 * structure, and at the last scale all three terms; each scale is the mean of 2x2 samples of the
 * one before. */
#define VAE_SIMILARITY_SCALES 5
extern const double vae_similarity_weight[VAE_SIMILARITY_SCALES];
/* Computes the taps of a Gaussian of deviation 1.5; tap[i] is for samples at distance i. The centre
 * absorbs the rounding of the others, since flat areas have variance 0 only if the taps sum to 1.
 */
void vae_similarity_taps(float tap[VAE_WINDOW / 2 + 1]);

struct vae_kernels {
	enum vae_isa isa;

	void (*gemm)(const struct vae_gemm *g);
	/* Packs a k x n matrix of binary16 numbers, row by row, little-endian, at any address: each is
	 * exact in binary32. Returns whether all are finite; others are undefined. */
	bool (*pack_half)(float *packed, const uint8_t *source, size_t k, size_t n);
	void (*depthwise)(const struct vae_depthwise *d);
	void (*depthwise_backward)(const struct vae_depthwise_backward *d);

	/* Pointwise, forward. y may be x. */
	void (*gain)(float *y, const float *x, const float *g, size_t rows,
	             size_t channels); /* y = x * g[c] */
	void (*shift)(float *y, const float *x, const float *s, size_t rows,
	              size_t channels);                  /* y = x + s[c] */
	void (*add)(float *y, const float *x, size_t n); /* y = y + x */
	/* rows x channels that share one scale and shift vector: y = fma(x, 1 + scale[c], shift[c]), 1
	 * + scale rounded first; not fused: the product rounded, too. */
	void (*modulate)(float *y, const float *x, const float *scale, const float *shift, size_t rows,
	                 size_t channels, bool fused);
	/* y = fma(h, 1 + gate[c], x): the residual of a gated layer; fused or not as above. */
	void (*gate)(float *y, const float *x, const float *h, const float *gate, size_t rows,
	             size_t channels, bool fused);

	/* Pointwise, backward. All d* outputs are += except where "=" is stated. */
	void (*slope_backward)(float *dy, const float *y, float slope,
	                       size_t n); /* dy = dy * (y > 0 ? 1 : slope), y the activation's output */
	void (*column_sum)(float *db, const float *dy, size_t rows, size_t channels);
	void (*gain_backward)(float *dx, float *dg, const float *dy, const float *x, const float *g,
	                      size_t rows, size_t channels);
	void (*modulate_backward)(float *dx, float *dscale, float *dshift, const float *dy,
	                          const float *x, const float *scale, size_t rows, size_t channels);
	void (*gate_backward)(float *dx, float *dh, float *dgate, const float *dy, const float *h,
	                      const float *gate, size_t rows, size_t channels);

	double (*gaussian_bits)(const float *d, const float *log_scale, size_t n, float weight,
	                        float *dd, float *ds);
	/* One Adam step with bias-corrected rate: m = b1 m + (1-b1) g; v = b2 v + (1-b2) g^2; w -= rate
	 * * m / (sqrt(v) + eps); average += ema * (w - average). g is scaled by `scale` first. */
	void (*adam)(float *w, float *m, float *v, float *average, const float *g, size_t n,
	             float scale, float rate, float b1, float b2, float eps, float ema);
	/* Nesterov's momentum: m = keep m + (1-keep) scale g, then x = keep m + (1-keep) scale g. */
	void (*momentum)(float *x, float *m, const float *g, size_t n, float scale, float keep);
	/* w -= rate * d; average += ema * (w - average). */
	void (*descend)(float *w, float *average, const float *d, size_t n, float rate, float ema);

	/* Similarity: the same bits in every build, without fused operations. */
	void (*similarity)(const struct vae_similarity *s);
	/* Returns sum (fa a - fb b)^2 in eight chains as above. */
	double (*squared_error)(const uint16_t *a, const uint16_t *b, size_t n, double fa, double fb);
	/* Converts a row of pixels to a plane for each of its colours (1 or 3), stride floats apart:
	 * sample / maxval - 1/2. */
	void (*planes)(float *plane, size_t stride, const uint16_t *row, size_t pixels, size_t colours,
	               uint16_t maxval);
	/* Means of 2x2 samples: out[i] = ((above[2i] + above[2i+1]) + (below[2i] + below[2i+1])) / 4.
	 */
	void (*halve)(float *out, const float *above, const float *below, size_t n);
	double (*similarity_backward)(const struct vae_similarity_backward *s); /* returns the sum */
};

/* Returns the table for vae_isa_choose(), chosen at the first call. Thread-safe. */
const struct vae_kernels *vae_kernels(void);
/* Returns the table of one instruction set, or NULL if this build or machine cannot run it. For
 * tests and benchmarks. */
const struct vae_kernels *vae_kernels_for(enum vae_isa isa);
/* Returns the fastest integer products; if $VAE_CPU names an instruction set, only those of that
 * set, without VNNI. */
const struct vae_int16 *vae_int16(void);
/* Returns those of one kind, or NULL if this build or machine cannot run it. */
const struct vae_int16 *vae_int16_for(enum vae_int16_kind kind);
const char *vae_int16_name(enum vae_int16_kind kind); /* "avx2", "avx-vnni" */
/* Returns the products in bf16, or NULL if this build or machine has none, or if $VAE_CPU names a
 * lesser instruction set; if it names avx512, those without AMX. */
const struct vae_bf16 *vae_bf16(void);
/* Returns those of one kind, or NULL if this build or machine cannot run it. For ranks on different
 * machines, tests and benchmarks. */
const struct vae_bf16 *vae_bf16_for(enum vae_bf16_kind kind);

#endif
