/* vision.c - SSIMULACRA 2: the metric against its definition in double precision and known scores;
 * the same bits from every build of the kernels; the loss's value against the metric's parts, its
 * gradient against differences. */
#include "base/memory.h"
#include "base/random.h"
#include "loss/vision.h"
#include "measure/ssimulacra2.h"
#include "tap.h"
#include "vae.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct vae_random rnd;

/* ---- the definition in double precision ------------------------------------------------------ */

#define SIDE 192
#define MOST (SIDE * SIDE)

static double light(double v) { return v <= 0.04045 ? v / 12.92 : pow((v + 0.055) / 1.055, 2.4); }

static void xyb(double out[3], const double rgb[3])
{
	static const double m[3][3] = {{0.30, 0.622, 0.078},
	                               {0.23, 0.692, 0.078},
	                               {0.24342268924547819, 0.20476744424496821, 0.55180986650955360}};
	const double bias = 0.0037930732552754493;
	double root[3];
	for (int i = 0; i < 3; i++)
		root[i] = cbrt(fmax(m[i][0] * rgb[0] + m[i][1] * rgb[1] + m[i][2] * rgb[2] + bias, 1e-6)) -
		          cbrt(bias);
	double x = (root[0] - root[1]) / 2, y = (root[0] + root[1]) / 2;
	out[0] = 14 * x + 0.42;
	out[1] = y + 0.01;
	out[2] = root[2] - y + 0.55;
}

static void filter(double *out, const double *in, size_t rows, size_t columns)
{
	static double along[MOST];
	float tap[VAE_S2_REACH + 1];
	vae_s2_taps(tap);
	for (int pass = 0; pass < 2; pass++) {
		const double *from = pass ? along : in;
		double *to = pass ? out : along;
		for (long r = 0; r < (long)rows; r++)
			for (long i = 0; i < (long)columns; i++) {
				double sum = 0;
				for (long k = -VAE_S2_REACH; k <= VAE_S2_REACH; k++) {
					long row = r + (pass ? k : 0), column = i + (pass ? 0 : k);
					if (row >= 0 && row < (long)rows && column >= 0 && column < (long)columns)
						sum += tap[labs(k)] * from[row * (long)columns + column];
				}
				to[r * (long)columns + i] = sum;
			}
	}
}

/* Computes the weighted norms of one channel of one scale. */
static double channel(const double *a, const double *b, size_t rows, size_t columns,
                      const double weight[2][3], double least)
{
	static double m1[MOST], m2[MOST], s11[MOST], s22[MOST], s12[MOST], in[MOST];
	size_t n = rows * columns;
	double first[3] = {0}, fourth[3] = {0}, sum = 0;
	filter(m1, a, rows, columns);
	filter(m2, b, rows, columns);
	for (int q = 0; q < 3; q++) {
		for (size_t i = 0; i < n; i++)
			in[i] = (q == 1 ? b : a)[i] * (q == 0 ? a : b)[i];
		filter(q == 0 ? s11 : q == 1 ? s22 : s12, in, rows, columns);
	}
	for (size_t i = 0; i < n; i++) {
		double num = 2 * (s12[i] - m1[i] * m2[i]) + 0.0009,
			   den = s11[i] - m1[i] * m1[i] + s22[i] - m2[i] * m2[i] + 0.0009;
		double v = 1 - (1 - (m1[i] - m2[i]) * (m1[i] - m2[i])) * num / den,
			   e = (1 + fabs(b[i] - m2[i])) / (1 + fabs(a[i] - m1[i])) - 1;
		double map[3] = {fmax(v, 0), fmax(e, 0), fmax(-e, 0)};
		for (int k = 0; k < 3; k++) {
			first[k] += map[k] / (double)n;
			fourth[k] += pow(map[k], 4) / (double)n;
		}
	}
	for (int k = 0; k < 3; k++)
		sum += (weight[0][k] < least ? 0 : weight[0][k] * first[k]) +
		       (weight[1][k] < least ? 0 : weight[1][k] * pow(fourth[k], 0.25));
	return sum;
}

/* Returns the sum of norms with weights of at least `least`; samples 0..1, rows x columns x 3. */
static double plain_sum(const double *x, const double *y, size_t rows, size_t columns, double least)
{
	static double l[2][3 * MOST], plane[2][3][MOST];
	double sum = 0;
	for (size_t i = 0; i < 3 * rows * columns; i++) {
		l[0][i] = light(x[i]);
		l[1][i] = light(y[i]);
	}
	for (int s = 0; s < 6 && rows >= 8 && columns >= 8; s++) {
		for (int p = 0; p < 2; p++)
			for (size_t i = 0; i < rows * columns; i++) {
				double out[3];
				xyb(out, l[p] + 3 * i);
				for (int c = 0; c < 3; c++)
					plane[p][c][i] = out[c];
			}
		for (int c = 0; c < 3; c++)
			sum += channel(plane[0][c], plane[1][c], rows, columns, vae_s2_weight[c][s], least);
		size_t down = (rows + 1) / 2, across = (columns + 1) / 2;
		for (int p = 0; p < 2; p++)
			for (size_t r = 0; r < down; r++)
				for (size_t i = 0; i < across; i++)
					for (size_t c = 0; c < 3; c++) {
						size_t r1 = 2 * r + 1 < rows ? 2 * r + 1 : rows - 1,
							   i1 = 2 * i + 1 < columns ? 2 * i + 1 : columns - 1;
						l[p][3 * (r * across + i) + c] = (l[p][3 * (2 * r * columns + 2 * i) + c] +
						                                  l[p][3 * (2 * r * columns + i1) + c] +
						                                  l[p][3 * (r1 * columns + 2 * i) + c] +
						                                  l[p][3 * (r1 * columns + i1) + c]) /
						                                 4;
					}
		rows = down;
		columns = across;
	}
	return sum;
}

/* ---- pictures -------------------------------------------------------------------------------- */

/* Paints edges, slopes and fine texture in 16 bits, and a coder's approximation of them. */
static void paint(double *x, double *y, size_t rows, size_t columns, double noise)
{
	for (size_t k = 0; k < rows * columns * 3; k++) {
		double c = (double)(k % 3), i = (double)(k / 3 % columns), j = (double)(k / 3 / columns);
		double v = 0.45 + 0.25 * sin(i / (31 + 3 * c)) * cos(j / 23) +
		           (hypot(i - 60, j - 50) < 30 ? 0.2 : 0) + 0.04 * sin(i * 1.7 + j * 0.9);
		x[k] = rint(fmin(fmax(v, 0), 1) * 65535) / 65535;
		v = 0.45 + 0.93 * (v - 0.45) + noise * (vae_random_uniform(&rnd) - 0.5);
		y[k] = rint(fmin(fmax(v, 0), 1) * 65535) / 65535;
	}
}

static double compared(const double *x, const double *y, size_t rows, size_t columns)
{
	struct vae_geometry g = {.width = (uint32_t)columns,
	                         .height = (uint32_t)rows,
	                         .maxval = 65535,
	                         .format = VAE_PPM,
	                         .tuple = VAE_RGB};
	struct vae_image *image[2] = {0};
	struct vae_distortion d = {.ssimulacra2 = NAN};
	struct vae_error e;
	if (!vae_image_new(&image[0], &g, 0, &e) && !vae_image_new(&image[1], &g, 0, &e)) {
		for (size_t k = 0; k < rows * columns * 3; k++) {
			image[0]->colour[k] = (uint16_t)lrint(x[k] * 65535);
			image[1]->colour[k] = (uint16_t)lrint(y[k] * 65535);
		}
		vae_compare(&d, image[1], image[0], &e);
	}
	vae_image_free(image[0]);
	vae_image_free(image[1]);
	return d.ssimulacra2;
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void check_metric(void)
{
	static const size_t size[][2] = {{192, 192}, {131, 77}, {17, 190}, {8, 8}};
	static double x[3 * MOST], y[3 * MOST];
	for (size_t k = 0; k < sizeof size / sizeof *size; k++)
		for (int n = 0; n < 2; n++) {
			size_t rows = size[k][0], columns = size[k][1];
			paint(x, y, rows, columns, n ? 0.3 : 0.03);
			double got = compared(x, y, rows, columns),
				   want = vae_s2_score(plain_sum(x, y, rows, columns, 0));
			ok(fabs(got - want) < 0.02, "%zu x %zu: scores %.4f, %.4f by the definition", columns,
			   rows, got, want);
		}
	paint(x, y, SIDE, SIDE, 0.1);
	ok(compared(x, x, SIDE, SIDE) == 100, "a picture against itself scores 100");
	ok(isnan(compared(x, y, 7, 30)), "seven rows have no score");
}

static void check_taps(void)
{
	float tap[VAE_S2_REACH + 1];
	double sum = 0, second = 0;
	vae_s2_taps(tap);
	for (int n = 0; n <= VAE_S2_REACH; n++) {
		sum += (n ? 2 : 1) * (double)tap[n];
		second += 2 * (double)tap[n] * n * n;
	}
	ok(fabs(sum - 1) < 1e-6 && fabs(second - 2.25) < 1e-4,
	   "the filter's taps sum to %.7f, its variance is %.5f", sum, second);
}

/* Tests the forward kernels of each build on rows of odd lengths. */
static void check_builds(void)
{
	enum { N = 203, PLANES = 9 };
	float in[PLANES][N + 32];
	const struct vae_s2_kernels *first = vae_s2_kernels_for(VAE_ISA_SCALAR);
	float tap[VAE_S2_REACH + 1];
	vae_s2_taps(tap);
	for (int isa = VAE_ISA_SCALAR + 1; isa < VAE_ISA_COUNT; isa++) {
		const struct vae_s2_kernels *other = vae_s2_kernels_for((enum vae_isa)isa);
		int equal = 1;
		for (size_t n = 1; other && n <= N; n += 1 + n / 3) {
			float out[2][4][N + 32], moment[2][4][N];
			struct vae_s2_sums sums[2];
			memset(in, 0, sizeof in);
			memset(out, 0, sizeof out);
			for (size_t p = 0; p < PLANES; p++)
				for (size_t i = 0; i < n; i++)
					in[p][16 + i] = vae_random_uniform(&rnd) - 0.5f;
			for (int b = 0; b < 2; b++) {
				const struct vae_s2_kernels *k = b ? other : first;
				float *o[] = {out[b][0] + 16, out[b][1] + 16, out[b][2] + 16, out[b][3] + 16};
				float rgb[3][N];
				for (int c = 0; c < 3; c++)
					k->linear(rgb[c], in[c] + 16, n);
				k->xyb(o, (const float *[]){rgb[0], rgb[1], rgb[2]}, n);
				struct vae_s2_row row = {.n = n, .a = in[0] + 16, .b = in[1] + 16, .tap = tap};
				float *m[] = {moment[b][0], moment[b][1], moment[b][2], moment[b][3]};
				memset(moment[b], 0, sizeof moment[b]);
				k->moments(m, out[b][0] + 16, out[b][1] + 16, n, tap);
				for (int q = 0; q < VAE_S2_MOMENTS; q++)
					for (int t = 0; t < VAE_S2_TAPS; t++)
						row.moment[q][t] = in[t] + 16;
				k->maps(&sums[b], &row);
			}
			equal &= !memcmp(out[0], out[1], sizeof out[0]) &&
			         !memcmp(moment[0], moment[1], sizeof moment[0]) &&
			         !memcmp(&sums[0], &sums[1], sizeof sums[0]);
		}
		if (other)
			ok(equal, "%s gives the same bits as scalar", vae_isa_name((enum vae_isa)isa));
	}
}

static void to_samples(float *out, const double *in, size_t n)
{
	for (size_t k = 0; k < n; k++)
		out[k] = (float)(in[k] - 0.5);
}

static void check_loss(size_t rows, size_t columns, double noise)
{
	static double x[3 * MOST], y[3 * MOST];
	size_t n = 3 * rows * columns;
	float *fx, *fy, *gradient, *room;
	struct vae_error e;
	const double weight = 3, h = 3e-5;
	double square = 0, worst = 0;
	if (vae_alloc(&fx, n, sizeof *fx, &e) || vae_alloc(&fy, n, sizeof *fy, &e) ||
	    vae_alloc(&gradient, n, sizeof *gradient, &e) ||
	    vae_alloc(&room, vae_vision_room(rows, columns), sizeof *room, &e))
		abort();
	paint(x, y, rows, columns, noise);
	to_samples(fx, x, n);
	to_samples(fy, y, n);
	double got = vae_vision_loss(fx, fy, rows, columns, weight, gradient, room),
		   want = plain_sum(x, y, rows, columns, 0.01);
	ok(fabs(got - want) < 2e-4 * want + 1e-3, "%zu x %zu: the loss is %.5f, %.5f by the definition",
	   columns, rows, got, want);
	for (size_t k = 0; k < n; k++)
		square += (double)gradient[k] * gradient[k];
	double size = sqrt(square / (double)n);
	for (int t = 0; t < 12; t++) {
		size_t at = t == 0 ? 0 : t == 1 ? n - 1 : vae_random_below(&rnd, (uint32_t)n);
		double keep = y[at], slope;
		y[at] = keep + h;
		slope = plain_sum(x, y, rows, columns, 0.01);
		y[at] = keep - h;
		slope = (slope - plain_sum(x, y, rows, columns, 0.01)) / (2 * h) * weight;
		y[at] = keep;
		worsen(&worst, fabs(slope - gradient[at]));
	}
	ok(worst < 0.02 * size, "its gradient is off by %.2g of its size", worst / size);
	float *once = gradient, before = once[n / 2];
	vae_vision_loss(fx, fy, rows, columns, weight, gradient, room);
	ok(fabsf(gradient[n / 2] - 2 * before) <= 1e-6f * fabsf(before),
	   "the gradient is added, and nothing is left over from the call before");
	memset(gradient, 0, n * sizeof *gradient);
	double same = vae_vision_loss(fx, fx, rows, columns, weight, gradient, room), most = 0;
	for (size_t k = 0; k < n; k++)
		worsen(&most, fabsf(gradient[k]));
	ok(same < 1e-2 && isfinite(most),
	   "of a picture against itself it is %.2g, and the gradient is finite", same);
	for (size_t k = 0; k < n; k++)
		fy[k] = 3 * fx[k] + 2 * (vae_random_uniform(&rnd) - 0.5f);
	memset(gradient, 0, n * sizeof *gradient);
	double wild = vae_vision_loss(fx, fy, rows, columns, weight, gradient, room);
	most = 0;
	for (size_t k = 0; k < n; k++)
		worsen(&most, fabsf(gradient[k]));
	ok(wild > 2 * got && isfinite(wild) && isfinite(most),
	   "samples far beyond black and white: %.1f, and the gradient is finite", wild);
	free(fx);
	free(fy);
	free(gradient);
	free(room);
}

int main(void)
{
	vae_random_init(&rnd, 5, 0, 0);
	check_taps();
	check_metric();
	check_builds();
	check_loss(64, 64, 0.1);
	check_loss(128, 192, 0.02);
	check_loss(101, 75, 0.1);
	check_loss(9, 190, 0.1);
	check_loss(8, 8, 0.1);
	return tap_done();
}
