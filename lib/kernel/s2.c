/* s2.c - the row kernels of SSIMULACRA 2, compiled once for each instruction set.
 *
 * Plain loops that the compiler vectorises: lanes are independent, no operation is fused
 * (-ffp-contract=off), and sums go to chains that do not depend on the width of a vector. */
#include "kernel/s2.h"
#include "base/minmax.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "kernel/loops.h"

#define STRIP 64 /* columns that are filtered down and measured together */

/* ---- light and colour ------------------------------------------------------------------------ */

/* Returns v^(-1/n) for normal v > 0: an estimate from the exponent's bits, within 4 %, then
 * Newton's steps. */
INLINE float inverse_root(float v, const float n)
{
	const float one = 127 << 23,
				balance = 0.06f * (1 << 23); /* balances the errors of the estimate */
	float y = float_of(
			  (uint32_t)(int32_t)(one + one / n - balance - (float)(int32_t)bits_of(v) / n)),
		  part = v / n;
	UNROLL
	for (int i = 0; i < 3; i++) {
		float square = y * y, power = n == 3 ? square * y : square * square * y;
		y = y * ((1 + 1 / n) - part * power);
	}
	return y;
}

/* IEC 61966-2-1. The curve is a line below TOE, and continues beyond 0 and 1. */
#define TOE   0.04045f
#define SLOPE (1 / 12.92f)

/* With x = (v + 0.055) / 1.055 and r = x^(-1/5): x^2.4 = (x r)^3, and x^1.4 = x^2 r^3. */
static void linear(float *out, const float *samples, size_t n)
{
	EACH
	for (size_t i = 0; i < n; i++) {
		float v = samples[i] + 0.5f, x = ((v > TOE ? v : TOE) + 0.055f) / 1.055f;
		float root = x * inverse_root(x, 5), power = root * root * root;
		out[i] = v > TOE ? power : v * SLOPE;
	}
}

static void linear_backward(float *gradient, const float *samples, size_t n)
{
	EACH
	for (size_t i = 0; i < n; i++) {
		float v = samples[i] + 0.5f, x = ((v > TOE ? v : TOE) + 0.055f) / 1.055f,
			  r = inverse_root(x, 5);
		gradient[i] *= v > TOE ? 2.4f / 1.055f * (x * x) * (r * r * r) : SLOPE;
	}
}

/* The opsin absorbance of JPEG XL's XYB, without its intensity scale; LEAST keeps roots finite. */
#define BIAS      0.0037930732552754493f
#define BIAS_ROOT 0.15595420054924863f
#define LEAST     1e-6f
static const float absorbance[3][3] = {
	{0.30f, 0.622f, 0.078f},
	{0.23f, 0.692f, 0.078f},
	{0.24342268924547819f, 0.20476744424496821f, 0.55180986650955360f}};

INLINE float absorbed(float r, float g, float b, const float m[3])
{
	float v = m[0] * r + m[1] * g + m[2] * b + BIAS;
	return v > LEAST ? v : LEAST;
}

INLINE float cube_root(float v)
{
	float r = inverse_root(v, 3);
	return v * (r * r) - BIAS_ROOT;
}

static void xyb(float *const out[3], const float *const rgb[3], size_t n)
{
	const float *r = rgb[0], *g = rgb[1], *b = rgb[2];
	float *x = out[0], *y = out[1], *z = out[2];
	EACH
	for (size_t i = 0; i < n; i++) {
		float l = cube_root(absorbed(r[i], g[i], b[i], absorbance[0]));
		float m = cube_root(absorbed(r[i], g[i], b[i], absorbance[1]));
		float s = cube_root(absorbed(r[i], g[i], b[i], absorbance[2]));
		float luma = 0.5f * (l + m);
		x[i] = 7 * (l - m) + 0.42f;
		y[i] = luma + 0.01f;
		z[i] = s - luma + 0.55f;
	}
}

/* Returns d cbrt(v) / dv = v^(-2/3) / 3, and 0 where v is clamped to LEAST. */
INLINE float root_slope(float v)
{
	float r = inverse_root(v, 3);
	return v > LEAST ? r * r * (1 / 3.0f) : 0;
}

static void xyb_backward(float *const gradient[3], const float *const dxyb[3],
                         const float *const rgb[3], size_t n)
{
	const float *r = rgb[0], *g = rgb[1], *b = rgb[2], *x = dxyb[0], *y = dxyb[1], *z = dxyb[2];
	float *dr = gradient[0], *dg = gradient[1], *db = gradient[2];
	const float(*m)[3] = absorbance;
	EACH
	for (size_t i = 0; i < n; i++) {
		float half = 0.5f * (y[i] - z[i]);
		float l = (half + 7 * x[i]) * root_slope(absorbed(r[i], g[i], b[i], m[0]));
		float k = (half - 7 * x[i]) * root_slope(absorbed(r[i], g[i], b[i], m[1]));
		float s = z[i] * root_slope(absorbed(r[i], g[i], b[i], m[2]));
		dr[i] += m[0][0] * l + m[1][0] * k + m[2][0] * s;
		dg[i] += m[0][1] * l + m[1][1] * k + m[2][1] * s;
		db[i] += m[0][2] * l + m[1][2] * k + m[2][2] * s;
	}
}

/* ---- the filter ------------------------------------------------------------------------------ */

INLINE float filtered(const float *in, const float t[5])
{
	return t[4] * (in[-4] + in[4]) + t[3] * (in[-3] + in[3]) + t[2] * (in[-2] + in[2]) +
	       t[1] * (in[-1] + in[1]) + t[0] * in[0];
}

static void along(float *out, const float *in, size_t n, const float *tap)
{
	const float t[5] = {tap[0], tap[1], tap[2], tap[3], tap[4]};
	EACH
	for (size_t i = 0; i < n; i++)
		out[i] = filtered(in + i, t);
}

INLINE void down_strip(float *out, const float *const in[VAE_S2_TAPS], size_t left, const size_t n,
                       const float *tap)
{
	const float t[5] = {tap[0], tap[1], tap[2], tap[3], tap[4]};
	const float *r0 = in[0] + left, *r1 = in[1] + left, *r2 = in[2] + left, *r3 = in[3] + left,
				*r4 = in[4] + left;
	const float *r5 = in[5] + left, *r6 = in[6] + left, *r7 = in[7] + left, *r8 = in[8] + left;
	EACH
	for (size_t i = 0; i < n; i++)
		out[i] = t[4] * (r0[i] + r8[i]) + t[3] * (r1[i] + r7[i]) + t[2] * (r2[i] + r6[i]) +
		         t[1] * (r3[i] + r5[i]) + t[0] * r4[i];
}

static void down(float *out, const float *const in[VAE_S2_TAPS], size_t n, const float *tap)
{
	down_strip(out, in, 0, n, tap);
}

static void moments(float *const out[VAE_S2_MOMENTS], const float *a, const float *b, size_t n,
                    const float *tap)
{
	along(out[VAE_S2_MEAN1], a, n, tap);
	along(out[VAE_S2_MEAN2], b, n, tap);
	for (size_t left = 0; left < n; left += STRIP) {
		float squares[STRIP + 2 * VAE_S2_REACH], product[STRIP + 2 * VAE_S2_REACH];
		const float *at = a + left - VAE_S2_REACH, *bt = b + left - VAE_S2_REACH;
		size_t count = vae_min(n - left, STRIP);
		EACH
		for (size_t i = 0; i < count + 2 * VAE_S2_REACH; i++) {
			squares[i] = at[i] * at[i] + bt[i] * bt[i];
			product[i] = at[i] * bt[i];
		}
		along(out[VAE_S2_SQUARES] + left, squares + VAE_S2_REACH, count, tap);
		along(out[VAE_S2_PRODUCT] + left, product + VAE_S2_REACH, count, tap);
	}
}

/* ---- the error maps -------------------------------------------------------------------------- */

#define C2 0.0009f

/* Returns |x|, without fabsf, which compilers treat differently. */
INLINE float magnitude(float x) { return x < 0 ? -x : x; }

/* The parts of SSIM at one sample: ssim = 1 - luma x num / den, exactly 0 if a equals b. */
struct similarity {
	float luma, num, den;
};

INLINE struct similarity similarity(float m1, float m2, float squares, float product)
{
	float d = m1 - m2, num = 2 * (product - m1 * m2) + C2, den = squares - (m1 * m1 + m2 * m2) + C2;
	return (struct similarity){1 - d * d, num, den};
}

/* Returns the difference of edges: above 0 if the distorted picture has more of them, below 0 if
 * less. */
INLINE float edges(float a, float b, float m1, float m2)
{
	return (1 + magnitude(b - m2)) / (1 + magnitude(a - m1)) - 1;
}

INLINE void add_chains(double first[VAE_S2_CHAINS], double fourth[VAE_S2_CHAINS], const float *map,
                       size_t n)
{
	for (size_t i = 0; i < n; i += VAE_S2_CHAINS) {
		UNROLL
		for (size_t k = 0; k < VAE_S2_CHAINS; k++) {
			double v = map[i + k], square = v * v;
			first[k] += v;
			fourth[k] += square * square;
		}
	}
}

INLINE void maps_strip(double (*first)[VAE_S2_CHAINS], double (*fourth)[VAE_S2_CHAINS],
                       const struct vae_s2_row *row, size_t left, const size_t n)
{
	float m[VAE_S2_MOMENTS][STRIP], map[VAE_S2_MAPS][STRIP];
	const float *a = row->a + left, *b = row->b + left;
	for (int q = 0; q < VAE_S2_MOMENTS; q++) {
		down_strip(m[q], row->moment[q], left, n, row->tap);
		if (row->kept[q])
			memcpy(row->kept[q] + left, m[q], n * sizeof(float));
	}
	EACH
	for (size_t i = 0; i < n; i++) {
		struct similarity s = similarity(m[0][i], m[1][i], m[2][i], m[3][i]);
		float v = 1 - s.luma * s.num / s.den, e = edges(a[i], b[i], m[0][i], m[1][i]);
		map[VAE_S2_SSIM][i] = v > 0 ? v : 0;
		map[VAE_S2_RINGING][i] = e > 0 ? e : 0;
		map[VAE_S2_BLUR][i] = e < 0 ? -e : 0;
	}
	for (int k = 0; k < VAE_S2_MAPS; k++) {
		size_t whole = (n + VAE_S2_CHAINS - 1) / VAE_S2_CHAINS * VAE_S2_CHAINS;
		for (size_t i = n; i < whole; i++)
			map[k][i] = 0;
		add_chains(first[k], fourth[k], map[k], whole);
	}
}

static void maps_whole(double (*first)[VAE_S2_CHAINS], double (*fourth)[VAE_S2_CHAINS],
                       const struct vae_s2_row *row, size_t left)
{
	maps_strip(first, fourth, row, left, STRIP);
}

static void maps(struct vae_s2_sums *sums, const struct vae_s2_row *row)
{
	double first[VAE_S2_MAPS][VAE_S2_CHAINS] = {{0}}, fourth[VAE_S2_MAPS][VAE_S2_CHAINS] = {{0}};
	size_t left = 0;
	for (; left + STRIP <= row->n; left += STRIP)
		maps_whole(first, fourth, row, left);
	if (left < row->n)
		maps_strip(first, fourth, row, left, row->n - left);
	*sums = (struct vae_s2_sums){{0}, {0}};
	for (int k = 0; k < VAE_S2_MAPS; k++)
		for (int c = 0; c < VAE_S2_CHAINS; c++) {
			sums->first[k] += first[k][c];
			sums->fourth[k] += fourth[k][c];
		}
}

/* With q = num / den and ssim = 1 - luma q: d/d(squares) = luma q / den, d/d(product) = -2 luma /
 * den, d/d(m2) = 2 luma (m1 - q m2) / den - 2 (m1 - m2) q. An edge's sign is that of b - m2. */
static void slopes(const struct vae_s2_gradient *out, const struct vae_s2_row *row,
                   const struct vae_s2_slopes *s)
{
	const float *m1 = row->kept[VAE_S2_MEAN1], *m2 = row->kept[VAE_S2_MEAN2], *a = row->a,
				*b = row->b;
	const float *squares = row->kept[VAE_S2_SQUARES], *product = row->kept[VAE_S2_PRODUCT];
	float *mean = out->mean, *dsquares = out->squares, *dproduct = out->product,
		  *direct = out->direct;
	const struct vae_s2_slopes w = *s;
	EACH
	for (size_t i = 0; i < row->n; i++) {
		struct similarity l = similarity(m1[i], m2[i], squares[i], product[i]);
		float inverse = 1 / l.den, q = l.num * inverse, v = 1 - l.luma * q,
			  e = edges(a[i], b[i], m1[i], m2[i]), edge = b[i] - m2[i];
		float g = v > 0 ? w.first[VAE_S2_SSIM] + w.fourth[VAE_S2_SSIM] * (v * v * v) : 0;
		float ge = e > 0 ? w.first[VAE_S2_RINGING] + w.fourth[VAE_S2_RINGING] * (e * e * e)
		                 : w.fourth[VAE_S2_BLUR] * (e * e * e) - w.first[VAE_S2_BLUR];
		float de = ge * (edge > 0 ? 1.0f : edge < 0 ? -1.0f : 0) / (1 + magnitude(a[i] - m1[i]));
		mean[i] = g * (2 * l.luma * (m1[i] - q * m2[i]) * inverse - 2 * (m1[i] - m2[i]) * q) - de;
		dsquares[i] = g * l.luma * q * inverse;
		dproduct[i] = -2 * g * l.luma * inverse;
		direct[i] = de;
	}
}

extern const struct vae_s2_kernels TABLE(vae_s2_kernels); /* used only by dispatch.c */
const struct vae_s2_kernels TABLE(vae_s2_kernels) = {
	.linear = linear,
	.linear_backward = linear_backward,
	.xyb = xyb,
	.xyb_backward = xyb_backward,
	.moments = moments,
	.maps = maps,
	.slopes = slopes,
	.along = along,
	.down = down,
};
