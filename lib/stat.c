/* stat.c - measures of pictures: squared error, and the multi-scale structural similarity of Wang, Simoncelli and Bovik (2003),
 * "Multiscale structural similarity for image quality assessment", as the published figures of learned codecs compute it:
 * 11x11 Gaussian windows that lie wholly inside the picture, each scale the mean of 2x2 blocks of the one before, where an odd
 * side is first given one line of zeros at its low edge.
 *
 * All sums run in an order that the picture alone decides, so the figures do not depend on the number of threads.
 */
#include <math.h>
#include <omp.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/memory.h"
#include "vae.h"

#define SCALES 5
#define TAPS 11
#define RADIUS 5
#define MIN_SIDE ((TAPS - 1) * (1 << (SCALES - 1)) + 1) /* the smallest side that leaves one window at the last scale */
#define MOMENTS 4
#define BAND 64      /* rows of windows a thread takes at a time */
#define BLACK -0.5f  /* planes hold samples - 0.5: variances E[x^2] - E[x]^2 lose less to cancellation about the middle */

static const double scale_weight[SCALES] = { 0.0448, 0.2856, 0.3001, 0.2363, 0.1333 };
static const float C1 = 0.01f * 0.01f, C2 = 0.03f * 0.03f;

/* ---- squared error ----------------------------------------------------------------------------------------------------- */

static uint32_t gcd(uint32_t a, uint32_t b)
{
	while (b) {
		uint32_t r = a % b;
		a = b;
		b = r;
	}
	return a;
}

/* sum (fa a - fb b)^2: whole numbers, exact up to 2^53. */
static double row_error(const uint16_t *a, const uint16_t *b, size_t n, double fa, double fb)
{
	double lane[8] = { 0 }, sum = 0;
	size_t i = 0;
	for (; i + 8 <= n; i += 8)
		for (int k = 0; k < 8; k++) {
			double d = fa * a[i + k] - fb * b[i + k];
			lane[k] += d * d;
		}
	for (; i < n; i++) {
		double d = fa * a[i] - fb * b[i];
		lane[0] += d * d;
	}
	for (int k = 0; k < 8; k++)
		sum += lane[k];
	return sum;
}

static double sum_rows(const double *row, size_t n)
{
	double sum = 0;
	for (size_t i = 0; i < n; i++)
		sum += row[i];
	return sum;
}

/* row: room for a double a row. */
static double mean_squared_error(const struct vae_image *a, const struct vae_image *b, double *row)
{
	const struct vae_geometry *g = &a->geometry;
	size_t n = (size_t)g->width * (size_t)vae_colours(g->tuple);
	uint32_t ma = g->maxval, mb = b->geometry.maxval, common = gcd(ma, mb);
	double fa = mb / common, fb = ma / common; /* a / ma - b / mb = (fa a - fb b) / (ma mb / common) */
	double unit = (double)ma * fa;

#pragma omp parallel for schedule(static)
	for (uint32_t y = 0; y < g->height; y++)
		row[y] = row_error(a->colour + y * n, b->colour + y * n, n, fa, fb);
	return sum_rows(row, g->height) / (unit * unit) / ((double)n * g->height);
}

/* ---- MS-SSIM ----------------------------------------------------------------------------------------------------------- */

/* One colour of both pictures at one scale. */
struct pair {
	float *a, *b; /* height x width, samples scaled to 0..1, less 0.5 */
	size_t width, height;
};

/* What a thread works in: the last TAPS rows of the four moments filtered along the row, as a ring, and rows on their way. */
struct scratch {
	float *ring;   /* TAPS x MOMENTS x stride */
	float *moment; /* MOMENTS x stride */
	size_t stride; /* floats, room for a row */
};

/* tap[i] serves the samples at distance i. The centre takes up what rounding the others leaves, as flat areas have variance 0
 * only where the taps sum to 1. */
static void gaussian(float tap[RADIUS + 1])
{
	double g[RADIUS + 1], sum = 0, rest = 1;
	for (int i = 0; i <= RADIUS; i++) {
		g[i] = exp(-i * i / (2 * 1.5 * 1.5));
		sum += i ? 2 * g[i] : g[i];
	}
	for (int i = 1; i <= RADIUS; i++) {
		tap[i] = (float)(g[i] / sum);
		rest -= 2.0 * tap[i];
	}
	tap[0] = (float)rest;
}

static void products(const float *restrict a, const float *restrict b, float *restrict squares, float *restrict product, size_t n)
{
#pragma omp simd
	for (size_t i = 0; i < n; i++) {
		squares[i] = a[i] * a[i] + b[i] * b[i];
		product[i] = a[i] * b[i];
	}
}

/* out[i] = the filter over the eleven r[k][i]; with r[k] = r[0] + k it runs along a row, with a row each down the columns. */
static void filter(const float *const r[TAPS], float *restrict out, size_t n, const float t[RADIUS + 1])
{
	const float *r0 = r[0], *r1 = r[1], *r2 = r[2], *r3 = r[3], *r4 = r[4], *r5 = r[5];
	const float *r6 = r[6], *r7 = r[7], *r8 = r[8], *r9 = r[9], *r10 = r[10];
	float t0 = t[0], t1 = t[1], t2 = t[2], t3 = t[3], t4 = t[4], t5 = t[5];
#pragma omp simd
	for (size_t i = 0; i < n; i++)
		out[i] = t5 * (r0[i] + r10[i]) + t4 * (r1[i] + r9[i]) + t3 * (r2[i] + r8[i]) + t2 * (r3[i] + r7[i]) + t1 * (r4[i] + r6[i]) +
		         t0 * r5[i];
}

static void filter_along(const float *row, float *out, size_t n, const float tap[RADIUS + 1])
{
	const float *r[TAPS];
	for (int k = 0; k < TAPS; k++)
		r[k] = row + k;
	filter(r, out, n, tap);
}

static float *ring_row(const struct scratch *s, size_t y, int moment)
{
	return s->ring + (y % TAPS * MOMENTS + (size_t)moment) * s->stride;
}

/* Row y of the pair into the ring: means of a, b, a^2 + b^2 and ab over the window's width. */
static void push_row(const struct scratch *s, const struct pair *p, size_t y, const float tap[RADIUS + 1])
{
	const float *a = p->a + y * p->width, *b = p->b + y * p->width;
	float *squares = s->moment, *product = s->moment + s->stride;
	size_t n = p->width - (TAPS - 1);

	products(a, b, squares, product, p->width);
	filter_along(a, ring_row(s, y, 0), n, tap);
	filter_along(b, ring_row(s, y, 1), n, tap);
	filter_along(squares, ring_row(s, y, 2), n, tap);
	filter_along(product, ring_row(s, y, 3), n, tap);
}

/* Contrast x structure, (2 cov + C2) / (var + var + C2), into m3; with_luminance also times (2 mu mu + C1) / (mu^2 + mu^2 + C1). */
static void similarity(const float *restrict m0, const float *restrict m1, const float *restrict m2, float *restrict m3, size_t n,
                       bool with_luminance)
{
#pragma omp simd
	for (size_t i = 0; i < n; i++)
		m3[i] = (2 * (m3[i] - m0[i] * m1[i]) + C2) / (m2[i] - (m0[i] * m0[i] + m1[i] * m1[i]) + C2);
	if (!with_luminance)
		return;
#pragma omp simd
	for (size_t i = 0; i < n; i++) {
		float a = m0[i] - BLACK, b = m1[i] - BLACK;
		m3[i] *= (2 * (a * b) + C1) / (a * a + b * b + C1);
	}
}

static double sum_row(const float *row, size_t n)
{
	double lane[8] = { 0 };
	size_t i = 0;
	for (; i + 8 <= n; i += 8)
		for (int k = 0; k < 8; k++)
			lane[k] += row[i + k];
	for (; i < n; i++)
		lane[0] += row[i];
	return sum_rows(lane, 8);
}

/* The windows whose first rows are y0 to y1 - 1; sum[y] = the sum of their similarity. */
static void band_similarity(const struct scratch *s, const struct pair *p, size_t y0, size_t y1, bool last,
                            const float tap[RADIUS + 1], double *sum)
{
	size_t n = p->width - (TAPS - 1);

	for (size_t y = y0; y < y0 + TAPS - 1; y++)
		push_row(s, p, y, tap);
	for (size_t y = y0; y < y1; y++) {
		push_row(s, p, y + TAPS - 1, tap);
		float *m[MOMENTS];
		for (int q = 0; q < MOMENTS; q++) {
			const float *r[TAPS];
			for (int k = 0; k < TAPS; k++)
				r[k] = ring_row(s, y + (size_t)k, q);
			m[q] = s->moment + (size_t)q * s->stride;
			filter(r, m[q], n, tap);
		}
		similarity(m[0], m[1], m[2], m[3], n, last);
		sum[y] = sum_row(m[3], n);
	}
}

static double mean_similarity(const struct scratch *scratch, const struct pair *p, bool last, double *row)
{
	size_t rows = p->height - (TAPS - 1), bands = (rows + BAND - 1) / BAND;
	float tap[RADIUS + 1];

	gaussian(tap);
#pragma omp parallel for schedule(dynamic)
	for (size_t i = 0; i < bands; i++) {
		size_t end = (i + 1) * BAND < rows ? (i + 1) * BAND : rows;
		band_similarity(&scratch[omp_get_thread_num()], p, i * BAND, end, last, tap, row);
	}
	return sum_rows(row, rows) / ((double)rows * (double)(p->width - (TAPS - 1)));
}

/* Means of 2x2 blocks, for an odd side after a line of black before the first: (black, 0) (1, 2) (3, 4) ...
 * black_row: width samples. */
static void halve(float *out, const float *in, const float *black_row, size_t width, size_t height)
{
	size_t pad_x = width & 1, pad_y = height & 1, w = (width + 1) / 2, h = (height + 1) / 2;

#pragma omp parallel for schedule(static)
	for (size_t y = 0; y < h; y++) {
		const float *r0 = 2 * y < pad_y ? black_row : in + (2 * y - pad_y) * width;
		const float *r1 = in + (2 * y + 1 - pad_y) * width;
		float *o = out + y * w;
		if (pad_x)
			o[0] = ((BLACK + r0[0]) + (BLACK + r1[0])) * 0.25f;
#pragma omp simd
		for (size_t i = pad_x; i < w; i++) {
			size_t k = 2 * i - pad_x;
			o[i] = ((r0[k] + r0[k + 1]) + (r1[k] + r1[k + 1])) * 0.25f;
		}
	}
}

static void take_colour(float *out, const struct vae_image *image, int colour)
{
	size_t colours = (size_t)vae_colours(image->geometry.tuple), width = image->geometry.width;
	float maxval = image->geometry.maxval;

#pragma omp parallel for schedule(static)
	for (uint32_t y = 0; y < image->geometry.height; y++) {
		const uint16_t *in = image->colour + y * width * colours + colour;
		for (size_t i = 0; i < width; i++)
			out[y * width + i] = in[i * colours] / maxval + BLACK;
	}
}

/* All memory of one comparison. */
struct workspace {
	double *row;    /* a sum for each row */
	float *plane;   /* both colours whole, then both at half the size */
	float *rings;   /* what scratch[] points into, then a row of black */
	float *black_row;
	struct scratch *scratch; /* one a thread */
	size_t pixels, quarter;  /* of the whole and the halved picture */
};

static void workspace_clear(struct workspace *w)
{
	free(w->row);
	free(w->plane);
	free(w->rings);
	free(w->scratch);
}

/* Zero *w first. Without multi-scale only the row sums are needed. */
static int workspace_init(struct workspace *w, const struct vae_geometry *g, bool multi_scale, struct vae_error *error)
{
	size_t threads = (size_t)omp_get_max_threads(), stride = ((size_t)g->width + 15) / 16 * 16, room;
	int rc = vae_alloc_raw(&w->row, g->height, sizeof *w->row, error);
	if (rc || !multi_scale)
		return rc;
	w->pixels = (size_t)g->width * g->height;
	w->quarter = ((size_t)g->width + 1) / 2 * (((size_t)g->height + 1) / 2);
	rc = vae_alloc_raw(&w->plane, 2 * (w->pixels + w->quarter), sizeof *w->plane, error);
	if (!rc)
		rc = vae_alloc(&w->scratch, threads, sizeof *w->scratch, error);
	if (!rc)
		rc = vae_multiply(&room, threads * (TAPS + 1) * MOMENTS + 1, stride, 1, error);
	if (!rc)
		rc = vae_alloc_raw(&w->rings, room, sizeof *w->rings, error);
	if (rc)
		return rc;
	float *next = w->rings;
	for (size_t i = 0; i < threads; i++, next += (TAPS + 1) * MOMENTS * stride)
		w->scratch[i] = (struct scratch){ next, next + TAPS * MOMENTS * stride, stride };
	w->black_row = next;
	for (size_t i = 0; i < g->width; i++)
		w->black_row[i] = BLACK;
	return 0;
}

static void swap(float **a, float **b)
{
	float *t = *a;
	*a = *b;
	*b = t;
}

/* MS-SSIM of one colour; a negative mean (anticorrelated pictures) counts as 0, as no real power of it exists. */
static double colour_similarity(struct workspace *w, const struct vae_image *image, const struct vae_image *reference, int colour)
{
	struct pair p = { w->plane, w->plane + w->pixels, image->geometry.width, image->geometry.height };
	float *half_a = w->plane + 2 * w->pixels, *half_b = half_a + w->quarter;
	double product = 1;

	take_colour(p.a, image, colour);
	take_colour(p.b, reference, colour);
	for (int scale = 0; scale < SCALES; scale++) {
		double mean = mean_similarity(w->scratch, &p, scale == SCALES - 1, w->row);
		product *= pow(mean > 0 ? mean : 0, scale_weight[scale]);
		if (scale == SCALES - 1)
			break;
		halve(half_a, p.a, w->black_row, p.width, p.height);
		halve(half_b, p.b, w->black_row, p.width, p.height);
		swap(&p.a, &half_a);
		swap(&p.b, &half_b);
		p.width = (p.width + 1) / 2;
		p.height = (p.height + 1) / 2;
	}
	return product;
}

int vae_compare(struct vae_distortion *distortion, const struct vae_image *image, const struct vae_image *reference,
                struct vae_error *error)
{
	const struct vae_geometry *g = &image->geometry, *r = &reference->geometry;
	int colours = vae_colours(g->tuple);
	bool multi_scale = g->width >= MIN_SIDE && g->height >= MIN_SIDE;
	struct workspace w = { 0 };

	if (g->width != r->width || g->height != r->height || colours != vae_colours(r->tuple))
		return vae_fail(error, VAE_EARG, "cannot compare a picture of %u x %u pixels and %d colours with one of %u x %u and %d", g->width,
		                g->height, colours, r->width, r->height, vae_colours(r->tuple));
	int rc = workspace_init(&w, g, multi_scale, error);
	if (rc)
		goto out;
	struct vae_distortion d = { .mse = mean_squared_error(image, reference, w.row), .ms_ssim = multi_scale ? 0 : NAN };
	d.psnr = d.mse > 0 ? -10 * log10(d.mse) : INFINITY;
	if (multi_scale)
		for (int c = 0; c < colours; c++)
			d.ms_ssim += colour_similarity(&w, image, reference, c) / colours;
	*distortion = d;
out:
	workspace_clear(&w);
	return rc;
}
