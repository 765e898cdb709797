/* ms_ssim.c - the distortion 1 - MS-SSIM of training: its value against vae_compare and the
 * definition in double precision, its gradient against differences of the definition. */
#include "base/memory.h"
#include "base/random.h"
#include "tap.h"
#include "loss/ms_ssim.h"
#include "vae.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TAPS 11

static struct vae_random rnd;

struct pair {
	size_t rows, columns, n; /* n samples: rows x columns x 3 */
	float *x, *y, *gradient, *room;
};

static bool pair_init(struct pair *p, size_t rows, size_t columns)
{
	struct vae_error e;
	*p = (struct pair){.rows = rows, .columns = columns, .n = rows * columns * 3};
	return !vae_alloc(&p->x, p->n, sizeof *p->x, &e) && !vae_alloc(&p->y, p->n, sizeof *p->y, &e) &&
	       !vae_alloc(&p->gradient, p->n, sizeof *p->gradient, &e) &&
	       !vae_alloc(&p->room, vae_ms_ssim_room(rows, columns), sizeof *p->room, &e);
}

static void pair_clear(struct pair *p)
{
	free(p->x);
	free(p->y);
	free(p->gradient);
	free(p->room);
}

static double loss_of(struct pair *p, double weight)
{
	memset(p->gradient, 0, p->n * sizeof *p->gradient);
	return vae_ms_ssim_loss(p->x, p->y, p->rows, p->columns, weight, p->gradient, p->room);
}

/* A sample of 16 bits, so that a picture can hold it. */
static float sample(double v) { return (float)(rint(fmin(fmax(v, 0), 1) * 65535) / 65535 - 0.5); }

/* Edges, slopes and fine texture, and as a coder might leave them: less contrast, some noise. */
static void paint(struct pair *p)
{
	for (size_t k = 0; k < p->n; k++) {
		double c = (double)(k % 3), i = (double)(k / 3 % p->columns),
			   j = (double)(k / 3 / p->columns);
		double v = 0.45 + 0.2 * sin(i / (31 + c)) * cos(j / 23) +
		           (hypot(i - 80, j - 70) < 50 ? 0.15 : 0) + 0.04 * sin(i * 1.7 + j * 0.9);
		p->x[k] = sample(v);
		p->y[k] = sample(0.45 + 0.9 * (v - 0.45) + 0.06 * (vae_random_uniform(&rnd) - 0.5f));
	}
}

static void noise(float *samples, size_t n)
{
	for (size_t k = 0; k < n; k++)
		samples[k] = sample(vae_random_uniform(&rnd));
}

static double compared(const struct pair *p)
{
	struct vae_geometry g = {.width = (uint32_t)p->columns,
	                         .height = (uint32_t)p->rows,
	                         .maxval = 65535,
	                         .format = VAE_PPM,
	                         .tuple = VAE_RGB};
	struct vae_image *image[2] = {0};
	struct vae_distortion d = {.ms_ssim = NAN};
	struct vae_error e;
	if (!vae_image_new(&image[0], &g, 0, &e) && !vae_image_new(&image[1], &g, 0, &e)) {
		for (size_t k = 0; k < p->n; k++) {
			image[0]->colour[k] = (uint16_t)lrintf((p->x[k] + 0.5f) * 65535);
			image[1]->colour[k] = (uint16_t)lrintf((p->y[k] + 0.5f) * 65535);
		}
		vae_compare(&d, image[1], image[0], &e);
	}
	vae_image_free(image[0]);
	vae_image_free(image[1]);
	return 1 - d.ms_ssim;
}

/* ---- the definition in double precision ------------------------------------------------------ */

#define MOST (256 * 256)

static void filter(double *out, const double *in, size_t rows, size_t columns)
{
	static double along[MOST];
	double tap[TAPS], sum = 0;
	for (int k = 0; k < TAPS; k++)
		sum += tap[k] = exp(-(k - 5) * (k - 5) / 4.5);
	for (size_t r = 0; r < rows; r++)
		for (size_t i = 0; i + TAPS <= columns; i++) {
			along[r * columns + i] = 0;
			for (size_t k = 0; k < TAPS; k++)
				along[r * columns + i] += tap[k] / sum * in[r * columns + i + k];
		}
	for (size_t r = 0; r + TAPS <= rows; r++)
		for (size_t i = 0; i + TAPS <= columns; i++) {
			out[r * columns + i] = 0;
			for (size_t k = 0; k < TAPS; k++)
				out[r * columns + i] += tap[k] / sum * along[(r + k) * columns + i];
		}
}

/* Samples 0..1. */
static double scale_mean(const double *a, const double *b, size_t rows, size_t columns, bool last)
{
	static double in[MOST], m[5][MOST];
	double total = 0;
	for (int q = 0; q < 5; q++) {
		for (size_t k = 0; k < rows * columns; k++)
			in[k] = q == 0   ? a[k]
			        : q == 1 ? b[k]
			        : q == 2 ? a[k] * a[k]
			        : q == 3 ? b[k] * b[k]
			                 : a[k] * b[k];
		filter(m[q], in, rows, columns);
	}
	for (size_t r = 0; r + TAPS <= rows; r++)
		for (size_t k = r * columns; k + TAPS <= (r + 1) * columns; k++) {
			double ma = m[0][k], mb = m[1][k];
			double s =
				(2 * (m[4][k] - ma * mb) + 9e-4) / (m[2][k] - ma * ma + m[3][k] - mb * mb + 9e-4);
			total += last ? s * (2 * ma * mb + 1e-4) / (ma * ma + mb * mb + 1e-4) : s;
		}
	return total / (double)((rows - TAPS + 1) * (columns - TAPS + 1));
}

static void halve(double *v, size_t rows, size_t columns)
{
	for (size_t r = 0; r < rows / 2; r++)
		for (size_t i = 0; i < columns / 2; i++) {
			const double *at = v + 2 * r * columns + 2 * i;
			v[r * (columns / 2) + i] = (at[0] + at[1] + at[columns] + at[columns + 1]) / 4;
		}
}

/* Returns the loss of one colour, not divided by three, after `change` of one sample. */
static double plain_loss(const struct pair *p, size_t colour, size_t changed, double change)
{
	static const double power[] = {0.0448, 0.2856, 0.3001, 0.2363, 0.1333};
	static double a[MOST], b[MOST];
	size_t rows = p->rows, columns = p->columns;
	double product = 1;
	for (size_t k = 0; k < rows * columns; k++) {
		a[k] = p->x[3 * k + colour] + 0.5;
		b[k] = p->y[3 * k + colour] + 0.5;
	}
	b[changed] += change;
	for (int s = 0; s < 5; s++, rows /= 2, columns /= 2) {
		product *= pow(scale_mean(a, b, rows, columns, s == 4), power[s]);
		halve(a, rows, columns);
		halve(b, rows, columns);
	}
	return 1 - product;
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void check_value(struct pair *p, const char *what)
{
	double loss = loss_of(p, 1), other = compared(p), plain = 0;
	for (size_t c = 0; c < 3; c++)
		plain += plain_loss(p, c, 0, 0) / 3;
	ok(fabs(loss - other) < 1e-6 && fabs(loss - plain) < 1e-6,
	   "%s, %zu x %zu: 1 - MS-SSIM is %.7f, %.7f as pictures are compared, %.7f by the definition",
	   what, p->columns, p->rows, loss, other, plain);
}

/* At the corners, either side of what vectors and strips of columns may meet, and anywhere. */
static void check_gradient(struct pair *p, const char *what)
{
	const double h = 1e-3, weight = 3;
	double square = 0, worst = 0;
	loss_of(p, weight);
	for (size_t k = 0; k < p->n; k++)
		square += (double)p->gradient[k] * p->gradient[k];
	for (size_t t = 0; t < 24; t++) {
		size_t edge[] = {0,
		                 p->columns - 1,
		                 (p->rows - 1) * p->columns,
		                 p->rows * p->columns - 1,
		                 90 * p->columns + 127,
		                 90 * p->columns + 128};
		size_t pixel = t < 6 ? edge[t] : vae_random_below(&rnd, (uint32_t)(p->rows * p->columns)),
			   c = t % 3;
		double slope =
			(plain_loss(p, c, pixel, h) - plain_loss(p, c, pixel, -h)) / (2 * h) * weight / 3;
		worsen(&worst, fabs(slope - p->gradient[3 * pixel + c]));
	}
	double size = sqrt(square / (double)p->n);
	ok(worst < 0.003 * size, "%s, %zu x %zu: the gradient's error is %.2g of its size", what,
	   p->columns, p->rows, worst / size);
}

/* The gradient is scaled by the weight, points to where the loss falls, and nothing remains from
 * the call before. */
static void check_scaling(struct pair *p)
{
	float *first = malloc(p->n * sizeof *first);
	double loss = loss_of(p, 1), square = 0, step;
	bool twice = true;
	if (!first)
		abort();
	memcpy(first, p->gradient, p->n * sizeof *first);
	loss_of(p, 2);
	for (size_t k = 0; k < p->n; k++) {
		twice = twice && fabsf(p->gradient[k] - 2 * first[k]) <= 1e-5f * fabsf(first[k]) + 1e-12f;
		square += (double)first[k] * first[k];
	}
	ok(twice, "twice the weight is twice the gradient");
	step = 0.05 * loss / square;
	for (size_t k = 0; k < p->n; k++)
		p->y[k] -= (float)step * first[k];
	double lower = loss_of(p, 1);
	ok(lower < loss * 0.97 && lower > loss * 0.92, "a step for a twentieth of %.4f leads to %.4f",
	   loss, lower);
	free(first);
}

static void check_extremes(struct pair *p)
{
	double loss, worst = 0, square = 0;
	memcpy(p->y, p->x, p->n * sizeof *p->y);
	loss = loss_of(p, 1);
	for (size_t k = 0; k < p->n; k++)
		worsen(&worst, fabsf(p->gradient[k]));
	ok(fabs(loss) < 1e-6 && worst < 1e-8,
	   "of a picture against itself it is %.2g, the gradient at most %.2g", loss, worst);

	for (size_t k = 0; k < p->n; k++)
		p->y[k] = -p->x[k] / 2;
	loss = loss_of(p, 1);
	worst = 0;
	for (size_t k = 0; k < p->n; k++) {
		worsen(&worst, fabsf(p->gradient[k]));
		square += p->gradient[k] * (p->x[k] - p->y[k]);
	}
	ok(loss > 0.9 && loss <= 1 && isfinite(worst) && square < 0,
	   "a negative: %.4f, and the gradient leads back to the picture", loss);
	for (size_t k = 0; k < p->n; k++)
		p->y[k] = 3 * p->x[k] + 2 * (vae_random_uniform(&rnd) - 0.5f);
	loss = loss_of(p, 1);
	ok(loss > 0.1 && loss < 1 && isfinite(p->gradient[p->n / 2]), "samples are not clamped: %.4f",
	   loss);
	p->y[5] = NAN;
	ok(isnan(loss_of(p, 1)), "NaN is seen");
}

int main(void)
{
	static const size_t side[][2] = {{192, 192}, {192, 256}};
	vae_random_init(&rnd, 5, 0, 0);
	for (size_t i = 0; i < sizeof side / sizeof *side; i++) {
		struct pair p;
		if (!pair_init(&p, side[i][0], side[i][1]))
			return 1;
		paint(&p);
		check_value(&p, "a picture");
		check_gradient(&p, "a picture");
		check_scaling(&p);
		noise(p.x, p.n);
		for (size_t k = 0; k < p.n; k++)
			p.y[k] = sample(0.5 + 0.6 * p.x[k] + 0.5 * (vae_random_uniform(&rnd) - 0.5f));
		check_value(&p, "noise");
		check_gradient(&p, "noise");
		check_extremes(&p);
		pair_clear(&p);
	}
	return tap_done();
}
