/* ssimulacra2.c - compares two pictures band by band.
 *
 * Each scale is a stage that holds a few rows of both pictures. A band of new rows is converted to
 * colour and filtered along rows, all rows at once. Then the maps are summed of all rows below
 * which four more are held, and pairs of rows are halved for the next stage. The picture alone
 * decides the order of all sums. */
#include "measure/ssimulacra2.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/minmax.h"
#include "kernel/kernel.h"

#define PICTURES      2
#define PLANES        (PICTURES * VAE_S2_CHANNELS)
#define PAD           16    /* floats before a plane's row: zeros, and alignment */
#define BAND_PIXELS   16384 /* for each thread */
#define BAND_LEAST    16    /* rows */
#define BAND_MOST     256
#define SHARED_PIXELS 8192 /* fewer pixels than this are not worth waking threads */

/* The weights of the reference, to the last digit: [channel][scale][norm][map]. */
const double vae_s2_weight[VAE_S2_CHANNELS][VAE_S2_SCALES][VAE_S2_NORMS][VAE_S2_MAPS] = {
	{
		/* X */
		{{0, 0.0007376606707406586, 0}, {0, 0.0007793481682867309, 0}},
		{{0, 0.0004371155730107379, 0},
         {1.1041726426657346, 0.00066284834129271, 0.00015231632783718752}},
		{{0, 0.0016406437456599754, 0}, {1.8422455520539298, 11.441172603757666, 0}},
		{{0.0007989109436015163, 0.000176816438078653, 0},
         {1.8787594979546387, 10.94906990605142, 0}},
		{{0.0007289346991508072, 0.9677937080626833, 0},
         {0.00014003424285435884, 0.9981766977854967, 0.00031949755934435053}},
		{{0.0004550992113792063, 0, 0}, {0.0013648766163243398, 0, 0}},
	},
	{
		/* Y */
		{{0, 0, 0}, {7.466890328078848, 0, 17.445833984131262}},
		{{0.0006235601634041466, 0, 0},
         {6.683678146179332, 0.00037724407979611296, 1.027889937768264}},
		{{225.20515300849274, 0, 0},
         {19.213238186143016, 0.0011401524586618361, 0.001237755635509985}},
		{{176.39317598450694, 0, 0},
         {24.43300999870476, 0.28520802612117757, 0.0004485436923833408}},
		{{0, 0, 0}, {34.77906344483772, 44.835625328877896, 0}},
		{{0, 0, 0}, {0, 0, 0}},
	},
	{
		/* B-Y */
		{{0, 0.0008680556573291698, 0}, {0, 0, 0}},
		{{0, 0.0005313191874358747, 0}, {0.00016533814161379112, 0, 0}},
		{{0, 0, 0}, {0.0004179171803251336, 0.0017290828234722833, 0}},
		{{0.0020827005846636437, 0, 0}, {8.826982764996862, 23.19243343998926, 0}},
		{{95.1080498811086, 0.9863978034400682, 0.9834382792465353},
         {0.0012286405048278493, 171.2667255897307, 0.9807858872435379}},
		{{0, 0, 0}, {0.0005130064588990679, 0, 0.00010854057858411537}},
	},
};

/* Computes the taps of the filter. The reference filters by the recursion of Charalampidis (2016),
 * "Recursive implementation of the Gaussian filter using truncated cosine functions". For
 * deviation 1.5 its cosines end at distance 5, where they are 0: the filter is sum over k = 1, 3, 5
 * of beta[k] cos(k pi n / 10), |n| < 5. Equations (37) to (56) of the paper give beta; (39) makes
 * the taps sum to 1. */
void vae_s2_taps(float tap[VAE_S2_REACH + 1])
{
	const double radius = VAE_S2_REACH + 1, variance = 1.5 * 1.5, unit = acos(-1) / (2 * radius);
	double p[3], r[3], rho[3];
	for (int i = 0; i < 3; i++) {
		double omega = (2 * i + 1) * unit, sign = i == 1 ? -1 : 1;
		p[i] = sign / tan(omega / 2);
		r[i] = sign * p[i] * p[i] / sin(omega);
		rho[i] = exp(-variance / 2 * omega * omega) / radius;
	}
	/* p b = 1, r b = radius^2 - variance, z b = z rho, where z is across p and r and z[2] = 1 */
	double d = p[0] * r[1] - r[0] * p[1];
	double z[3] = {(p[1] * r[2] - r[1] * p[2]) / d, (p[2] * r[0] - r[2] * p[0]) / d, 1};
	double target = z[0] * rho[0] + z[1] * rho[1] + rho[2], second = radius * radius - variance;
	/* b[0] and b[1] in b[2] by Cramer's rule, then b[2] */
	double c0 = (r[1] - p[1] * second) / d, c1 = (p[0] * second - r[0]) / d;
	double e0 = (p[2] * r[1] - r[2] * p[1]) / d, e1 = (p[0] * r[2] - r[0] * p[2]) / d;
	double b2 = (target - z[0] * c0 - z[1] * c1) / (1 - z[0] * e0 - z[1] * e1);
	double beta[3] = {c0 - e0 * b2, c1 - e1 * b2, b2};
	for (int n = 0; n <= VAE_S2_REACH; n++)
		tap[n] = (float)(beta[0] * cos(unit * n) + beta[1] * cos(3 * unit * n) +
		                 beta[2] * cos(5 * unit * n));
}

/* ---- from norms to the score ----------------------------------------------------------------- */

void vae_s2_sums_add(struct vae_s2_sums *to, const struct vae_s2_sums *from)
{
	for (int k = 0; k < VAE_S2_MAPS; k++) {
		to->first[k] += from->first[k];
		to->fourth[k] += from->fourth[k];
	}
}

double vae_s2_norm(const struct vae_s2_sums *sums, enum vae_s2_norm norm, enum vae_s2_map map,
                   double n)
{
	return norm == VAE_S2_L1 ? sums->first[map] / n : sqrt(sqrt(sums->fourth[map] / n));
}

double vae_s2_score(double sum)
{
	double s = sum * 0.9562382616834844;
	s = 2.326765642916932 * s - 0.020884521182843837 * s * s + 6.248496625763138e-05 * s * s * s;
	return s > 0 ? 100 - 10 * pow(s, 0.6276336467831387) : s <= 0 ? 100 : NAN;
}

/* ---- stages ---------------------------------------------------------------------------------- */

/* One scale of both pictures, holding rows `top` to `rows` - 1. A row of `light` and of `colour`
 * has PLANES padded lines; a row of `moments` has VAE_S2_MOMENTS lines a channel. */
struct stage {
	size_t width, height, line; /* line: floats of a row of one plane, with PAD before and after */
	size_t top, rows;           /* first row held; rows taken so far */
	size_t measured, halved;    /* rows measured; rows handed to the next stage */
	size_t room;                /* rows */
	float *light, *colour, *moments; /* owned */
	struct vae_s2_sums sum[VAE_S2_CHANNELS];
};

struct vae_s2 {
	const struct vae_s2_kernels *k;
	int colours, scales;
	float ground;
	size_t band; /* rows taken at a time */
	struct stage stage[VAE_S2_SCALES];
	struct vae_s2_sums *row; /* of each row of a band and each channel; owned */
	float *nothing;          /* a line of zeros; owned */
	float tap[VAE_S2_REACH + 1];
};

static float *light_row(const struct stage *s, size_t row, size_t plane)
{
	return s->light + ((row - s->top) * PLANES + plane) * s->line + PAD;
}

static float *colour_row(const struct stage *s, size_t row, size_t plane)
{
	return s->colour + ((row - s->top) * PLANES + plane) * s->line + PAD;
}

static float *moment_row(const struct stage *s, size_t row, size_t channel, size_t moment)
{
	return s->moments +
	       (((row - s->top) * VAE_S2_CHANNELS + channel) * VAE_S2_MOMENTS + moment) * s->line + PAD;
}

/* Converts a row of linear light to XYB and computes its moments along the row. */
static void filter_row(const struct vae_s2 *s, const struct stage *t, size_t row)
{
	for (size_t p = 0; p < PICTURES; p++) {
		size_t first = p * VAE_S2_CHANNELS;
		const float *rgb[3] = {light_row(t, row, first), light_row(t, row, first + 1),
		                       light_row(t, row, first + 2)};
		float *xyb[3] = {colour_row(t, row, first), colour_row(t, row, first + 1),
		                 colour_row(t, row, first + 2)};
		s->k->xyb(xyb, rgb, t->width);
	}
	for (size_t c = 0; c < VAE_S2_CHANNELS; c++) {
		float *out[VAE_S2_MOMENTS];
		for (size_t q = 0; q < VAE_S2_MOMENTS; q++)
			out[q] = moment_row(t, row, c, q);
		s->k->moments(out, colour_row(t, row, c), colour_row(t, row, VAE_S2_CHANNELS + c), t->width,
		              s->tap);
	}
}

static void measure_row(const struct vae_s2 *s, const struct stage *t, size_t row, size_t c,
                        struct vae_s2_sums *sums)
{
	struct vae_s2_row r = {.n = t->width,
	                       .a = colour_row(t, row, c),
	                       .b = colour_row(t, row, VAE_S2_CHANNELS + c),
	                       .tap = s->tap};
	for (size_t q = 0; q < VAE_S2_MOMENTS; q++)
		for (size_t k = 0; k < VAE_S2_TAPS; k++) {
			bool inside = row + k >= VAE_S2_REACH && row + k - VAE_S2_REACH < t->height;
			r.moment[q][k] =
				inside ? moment_row(t, row + k - VAE_S2_REACH, c, q) : s->nothing + PAD;
		}
	s->k->maps(sums, &r);
}

/* Computes row y of the next stage: means of 2x2 pixels. The last row and column are repeated if a
 * side is odd. */
static void halve_row(const struct stage *t, const struct stage *next, size_t y)
{
	size_t whole = t->width / 2;
	for (size_t p = 0; p < PLANES; p++) {
		const float *above = light_row(t, 2 * y, p),
					*below = light_row(t, vae_min(2 * y + 1, t->height - 1), p);
		float *out = light_row(next, y, p);
		vae_kernels()->halve(out, above, below, whole);
		if (t->width & 1) {
			float a = above[t->width - 1], b = below[t->width - 1];
			out[whole] = ((a + a) + (b + b)) * 0.25f;
		}
	}
}

/* Drops the rows that are no longer needed. */
static void drop_rows(struct stage *t)
{
	size_t keep = t->measured > VAE_S2_REACH ? t->measured - VAE_S2_REACH : 0;
	size_t gone = keep - t->top, held = t->rows - keep, line = t->line;
	memmove(t->light, t->light + gone * PLANES * line, held * PLANES * line * sizeof(float));
	memmove(t->colour, t->colour + gone * PLANES * line, held * PLANES * line * sizeof(float));
	memmove(t->moments, t->moments + gone * VAE_S2_CHANNELS * VAE_S2_MOMENTS * line,
	        held * VAE_S2_CHANNELS * VAE_S2_MOMENTS * line * sizeof(float));
	t->top = keep;
}

/* Takes `count` rows of light that follow those that stage i has. */
static void take(struct vae_s2 *s, int i, size_t count)
{
	struct stage *t = &s->stage[i], *next = i + 1 < s->scales ? t + 1 : NULL;
	size_t first = t->rows, from = t->measured;
	t->rows += count;
	bool ended = t->rows == t->height;
	size_t end = ended ? t->height : vae_max(from, t->rows - vae_min(t->rows, VAE_S2_REACH));
	size_t pairs = (t->rows + (ended ? 1 : 0)) / 2;
#pragma omp parallel if (count * t->width >= SHARED_PIXELS)
	{
#pragma omp for schedule(dynamic, 2)
		for (size_t row = first; row < t->rows; row++)
			filter_row(s, t, row);
#pragma omp for schedule(dynamic, 2) nowait
		for (size_t n = 0; n < (end - from) * VAE_S2_CHANNELS; n++)
			measure_row(s, t, from + n / VAE_S2_CHANNELS, n % VAE_S2_CHANNELS, &s->row[n]);
#pragma omp for schedule(dynamic, 4)
		for (size_t y = t->halved; y < (next ? pairs : 0); y++)
			halve_row(t, next, y);
	}
	for (size_t n = 0; n < (end - from) * VAE_S2_CHANNELS; n++)
		vae_s2_sums_add(&t->sum[n % VAE_S2_CHANNELS], &s->row[n]);
	t->measured = end;
	if (next && pairs > t->halved) {
		size_t halved = pairs - t->halved;
		t->halved = pairs;
		take(s, i + 1, halved);
	}
	drop_rows(t);
}

/* ---- samples in ------------------------------------------------------------------------------ */

/* Blends a row of samples with the ground, by its alpha. */
static void blend(float *const line[VAE_S2_CHANNELS], const uint16_t *alpha, size_t n,
                  uint16_t maxval, float ground)
{
	for (size_t c = 0; c < VAE_S2_CHANNELS; c++)
		for (size_t i = 0; i < n; i++) {
			float a = (float)alpha[i] / (float)maxval;
			line[c][i] = a * line[c][i] + (1 - a) * (ground - 0.5f);
		}
}

static void light_of(const struct vae_s2 *s, size_t row, size_t picture,
                     const struct vae_s2_rows *rows, size_t i)
{
	const struct stage *t = &s->stage[0];
	size_t width = t->width, first = picture * VAE_S2_CHANNELS;
	float *light[VAE_S2_CHANNELS], *line[VAE_S2_CHANNELS];
	for (size_t c = 0; c < VAE_S2_CHANNELS; c++) {
		light[c] = light_row(t, row, first + c);
		line[c] = colour_row(t, row, first + c); /* the samples first; replaced by light below */
	}
	vae_kernels()->planes(line[0], t->line, rows->colour + i * width * (size_t)s->colours, width,
	                      (size_t)s->colours, rows->maxval);
	for (size_t c = 1; s->colours == 1 && c < VAE_S2_CHANNELS; c++)
		memcpy(line[c], line[0], width * sizeof(float));
	if (rows->alpha)
		blend(line, rows->alpha + i * width, width, rows->maxval, s->ground);
	for (size_t c = 0; c < VAE_S2_CHANNELS; c++)
		s->k->linear(light[c], line[c], width);
}

void vae_s2_add(struct vae_s2 *s, const struct vae_s2_rows *original,
                const struct vae_s2_rows *distorted, size_t rows)
{
	for (size_t done = 0; done < rows;) {
		size_t count = vae_min(s->band, rows - done), first = s->stage[0].rows;
#pragma omp parallel for schedule(dynamic, 2) if (count * s->stage[0].width >= SHARED_PIXELS)
		for (size_t n = 0; n < count * PICTURES; n++)
			light_of(s, first + n / PICTURES, n % PICTURES, n % PICTURES ? distorted : original,
			         done + n / PICTURES);
		take(s, 0, count);
		done += count;
	}
}

double vae_s2_result(const struct vae_s2 *s)
{
	double sum = 0;
	for (int c = 0; c < VAE_S2_CHANNELS; c++)
		for (int i = 0; i < s->scales; i++)
			for (int norm = 0; norm < VAE_S2_NORMS; norm++)
				for (int map = 0; map < VAE_S2_MAPS; map++) {
					const struct stage *t = &s->stage[i];
					sum += vae_s2_weight[c][i][norm][map] *
					       vae_s2_norm(&t->sum[c], norm, map, (double)t->width * (double)t->height);
				}
	return vae_s2_score(sum);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static int stage_init(struct stage *t, size_t width, size_t height, size_t band,
                      struct vae_error *error)
{
	size_t line = (width + 2 * PAD + 15) / 16 * 16, room = vae_min(band, height) + 2 * VAE_S2_REACH,
		   floats;
	*t = (struct stage){.width = width, .height = height, .line = line, .room = room};
	int rc = vae_multiply(&floats, room, PLANES, line, error);
	if (rc || (rc = vae_alloc_huge(&t->light, floats, sizeof(float), error)) ||
	    (rc = vae_alloc_huge(&t->colour, floats, sizeof(float), error)) ||
	    (rc = vae_multiply(&floats, room, VAE_S2_CHANNELS * VAE_S2_MOMENTS, line, error)))
		return rc;
	memset(t->colour, 0, room * PLANES * line * sizeof(float)); /* zeros around its lines */
	return vae_alloc_huge(&t->moments, floats, sizeof(float), error);
}

int vae_s2_new(struct vae_s2 **out, size_t width, size_t height, int colours, float ground,
               struct vae_error *error)
{
	struct vae_s2 *s;
	int rc = vae_alloc(&s, 1, sizeof *s, error);
	if (rc)
		return rc;
	s->k = vae_s2_kernels();
	s->colours = colours;
	s->ground = ground;
	s->band = vae_max(vae_min(BAND_PIXELS * (size_t)omp_get_max_threads() / width, BAND_MOST),
	                  BAND_LEAST);
	vae_s2_taps(s->tap);
	rc = vae_alloc(&s->nothing, width + 2 * PAD, sizeof(float), error);
	if (!rc)
		rc = vae_alloc(&s->row, (s->band + 2 * VAE_S2_REACH) * VAE_S2_CHANNELS, sizeof *s->row,
		               error);
	size_t band = s->band;
	for (; !rc && s->scales < VAE_S2_SCALES && vae_min(width, height) >= VAE_S2_SIDE; s->scales++) {
		rc = stage_init(&s->stage[s->scales], width, height, band, error);
		width = (width + 1) / 2;
		height = (height + 1) / 2;
		band = band / 2 + 1;
	}
	if (rc)
		vae_s2_free(s);
	else
		*out = s;
	return rc;
}

void vae_s2_free(struct vae_s2 *s)
{
	if (!s)
		return;
	for (int i = 0; i < VAE_S2_SCALES; i++) {
		free(s->stage[i].light);
		free(s->stage[i].colour);
		free(s->stage[i].moments);
	}
	free(s->nothing);
	free(s->row);
	free(s);
}
