/* compare.c - measures two pictures: squared error, and the multi-scale structural similarity of
 * Wang, Simoncelli and Bovik (2003), "Multiscale structural similarity for image quality
 * assessment", as it is computed for the published figures of learned codecs. Gaussian windows of
 * 11x11 lie wholly inside the picture. Each scale is the mean of 2x2 blocks of the scale before,
 * where an odd side first gets one line of zeros at its low edge.
 *
 * Rows of both pictures arrive in bands. Each scale is a stage that holds a few rows of both. When
 * a stage is full, it measures the windows that lie wholly in its rows, hands halved rows to the
 * next stage, and keeps the last ten rows, in which lower windows begin.
 *
 *     rows --> scale 0 --halved--> scale 1 --halved--> ... scale 4
 *                 |                   |                       |
 *                 +----- the sum of each row of windows ------+
 *
 * The picture alone decides the order of all sums, so the figures depend neither on the number of
 * threads nor on the bands. */
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "base/memory.h"
#include "base/minmax.h"
#include "image/image.h"
#include "kernel/kernel.h"
#include "measure/ssimulacra2.h"

#define GROUNDS     2 /* pictures with alpha are compared over dark and over light grey */
#define SCALES      VAE_SIMILARITY_SCALES
#define OVERLAP     (VAE_WINDOW - 1) /* rows shared by neighbouring bands of windows */
/* the smallest side that leaves one window at the last scale */
#define MIN_SIDE    (OVERLAP * (1 << (SCALES - 1)) + 1)
/* for each thread: a band should need few waits and stay in the caches */
#define BAND_PIXELS ((uint64_t)1 << 19)
#define MOST_PIXELS ((uint64_t)1 << 21)
#define BAND_ROWS   64 /* more pixels, if they are fewer rows than this */
#define MIN_BAND    16
/* rows of windows: the first ten rows of samples in a piece of work give none */
#define MIN_PIECE   16
/* planes hold samples - 0.5: around the middle, E[x^2] - E[x]^2 loses less to cancellation */
#define BLACK       -0.5f

/* One scale of both pictures: rows first to first + count - 1. A row has a line of floats for every
 * colour of the first picture, then of the second. Windows above row `first` have been measured. */
struct stage {
	size_t width, height;
	size_t line, row; /* floats of a line and of a row */
	size_t first, count, room;
	size_t halved; /* rows handed to the next stage */
	float *rows;   /* room x 2 x colours x line, owned */
	double sum[3]; /* of all windows so far, for each colour */
};

struct comparison {
	const struct vae_kernels *k;
	struct vae_geometry geometry; /* of the picture */
	int colours;
	uint16_t white[2]; /* maxval of each picture */
	bool multi_scale;
	uint32_t band;
	/* squared error: a / ma - b / mb = (fa a - fb b) / unit */
	double fa, fb, unit, squares;
	uint64_t unseen;                /* pixels invisible in both pictures */
	uint16_t *colour[2], *alpha[2]; /* a band of both pictures, owned */
	struct stage stage[SCALES];
	float *black; /* a line of BLACK; owned */
	float tap[VAE_WINDOW / 2 + 1];
	/* A sum for each row of windows of each colour, or for each row of samples; owned. */
	double *row;
	/* SSIMULACRA 2 over each ground, the second if there is alpha; NULL: not measured; owned */
	struct vae_s2 *s2[GROUNDS];
};

/* ---- squared error --------------------------------------------------------------------------- */

static uint32_t gcd(uint32_t a, uint32_t b)
{
	while (b) {
		uint32_t r = a % b;
		a = b;
		b = r;
	}
	return a;
}

/* Returns sum (fa a - fb b)^2 of a row; the terms are integers, so it is exact up to 2^53. */
static double row_error(const struct comparison *c, size_t y)
{
	size_t n = (size_t)c->geometry.width * (size_t)c->colours;
	return c->k->squared_error(c->colour[0] + y * n, c->colour[1] + y * n, n, c->fa, c->fb);
}

/* ---- MS-SSIM --------------------------------------------------------------------------------- */

/* Computes row y of the next scale: means of 2x2 blocks. For an odd side a line of black precedes
 * the first: (black, 0) (1, 2) (3, 4) ... */
static void halve_row(const struct comparison *c, const struct stage *s, const struct stage *next,
                      size_t y)
{
	size_t pad_x = s->width & 1, pad_y = s->height & 1;
	const float *rows = s->rows + (2 * y - pad_y - s->first) *
	                                  s->row; /* y = 0 with pad_y: the row above does not exist */
	float *out = next->rows + (y - next->first) * next->row;

	for (int i = 0; i < 2 * c->colours; i++, rows += s->line, out += next->line) {
		const float *above = 2 * y < pad_y ? c->black : rows, *below = rows + s->row;
		if (pad_x)
			out[0] = ((BLACK + above[0]) + (BLACK + below[0])) * 0.25f;
		c->k->halve(out + pad_x, above + pad_x, below + pad_x, next->width - pad_x);
	}
}

/* Measures a piece of the windows that the stage can measure: piece i / colours of one colour. */
static void measure_piece(struct comparison *c, const struct stage *s, size_t windows, size_t piece,
                          size_t i)
{
	size_t colours = (size_t)c->colours, colour = i % colours, y = i / colours * piece;
	const float *a = s->rows + y * s->row + colour * s->line;

	c->k->similarity(&(struct vae_similarity){
		vae_min(windows - y, piece), s->width - OVERLAP, a, a + colours * s->line, s->row, c->tap,
		s == &c->stage[SCALES - 1], c->row + colour * windows + y});
}

/* Does all that the rows of a stage permit: measures windows, hands halved rows to the next stage,
 * drops the rows that are no longer needed. No band makes more rows than the next stage has room
 * for after its own call of this function. */
static void work(struct comparison *c, int scale)
{
	struct stage *s = &c->stage[scale], *next = scale + 1 < SCALES ? s + 1 : NULL;
	size_t colours = (size_t)c->colours, threads = (size_t)omp_get_max_threads();
	size_t windows = s->count > OVERLAP ? s->count - OVERLAP : 0,
		   end = next ? (s->first + s->count + (s->height & 1)) / 2 : 0;
	size_t piece = vae_min(vae_max((windows * colours + threads - 1) / threads, MIN_PIECE),
	                       VAE_SIMILARITY_ROWS);
	size_t pieces = (windows + piece - 1) / piece * colours;

	if (next && next->room - next->count < end - s->halved)
		work(c, scale + 1);
#pragma omp parallel
	{
#pragma omp for schedule(dynamic) nowait
		for (size_t i = 0; i < pieces; i++)
			measure_piece(c, s, windows, piece, i);
#pragma omp for schedule(dynamic, 4)
		for (size_t y = s->halved; y < end; y++)
			halve_row(c, s, next, y);
	}
	for (size_t i = 0; i < colours * windows; i++)
		s->sum[i / windows] += c->row[i];
	if (next) {
		next->count += end - s->halved;
		s->halved = end;
	}
	s->first += windows;
	s->count -= windows;
	memmove(s->rows, s->rows + windows * s->row, s->count * s->row * sizeof *s->rows);
}

/* Returns the similarity of one colour. A negative mean (anticorrelated pictures) counts as 0, as
 * it has no real power. */
static double colour_similarity(const struct comparison *c, int colour)
{
	double product = 1;

	for (int scale = 0; scale < SCALES; scale++) {
		const struct stage *s = &c->stage[scale];
		double mean =
			s->sum[colour] / ((double)(s->height - OVERLAP) * (double)(s->width - OVERLAP));
		product *= pow(mean > 0 ? mean : 0, vae_similarity_weight[scale]);
	}
	return product;
}

/* ---- both ------------------------------------------------------------------------------------ */

/* Blackens the pixels in row y of the band that are invisible in both pictures. Returns how many
 * there are. */
static size_t blacken_unseen(const struct comparison *c, size_t y)
{
	size_t width = c->geometry.width, colours = (size_t)c->colours, count = 0;

	if (!c->alpha[0] || !c->alpha[1])
		return 0;
	for (size_t i = y * width; i < (y + 1) * width; i++) {
		if (c->alpha[0][i] || c->alpha[1][i])
			continue;
		for (int k = 0; k < 2; k++)
			memset(c->colour[k] + i * colours, 0, colours * sizeof **c->colour);
		count++;
	}
	return count;
}

/* Copies row y of the band into the first stage, which holds `held` rows already. */
static void take_row(const struct comparison *c, size_t held, size_t y)
{
	const struct stage *s = &c->stage[0];
	size_t colours = (size_t)c->colours;
	float *out = s->rows + (held + y) * s->row;

	for (int i = 0; i < 2; i++, out += colours * s->line)
		c->k->planes(out, s->line, c->colour[i] + y * s->width * colours, s->width, colours,
		             c->white[i]);
}

static void take_band(struct comparison *c, uint32_t rows)
{
	uint64_t unseen = 0;

#pragma omp parallel for schedule(dynamic, 4) reduction(+ : unseen)
	for (uint32_t y = 0; y < rows; y++) {
		unseen += blacken_unseen(c, y);
		c->row[y] = row_error(c, y);
		if (c->multi_scale)
			take_row(c, c->stage[0].count, y);
	}
	for (uint32_t y = 0; y < rows; y++)
		c->squares += c->row[y];
	c->unseen += unseen;
	if (c->multi_scale)
		c->stage[0].count += rows;
	struct vae_s2_rows picture = {c->colour[0], c->alpha[0], c->white[0]},
					   reference = {c->colour[1], c->alpha[1], c->white[1]};
	for (int i = 0; i < GROUNDS && c->s2[i]; i++)
		vae_s2_add(c->s2[i], &reference, &picture, rows);
}

static void comparison_clear(struct comparison *c)
{
	for (int i = 0; i < 2; i++) {
		free(c->colour[i]);
		free(c->alpha[i]);
	}
	for (int i = 0; i < SCALES; i++)
		free(c->stage[i].rows);
	free(c->black);
	free(c->row);
	for (int i = 0; i < GROUNDS; i++)
		vae_s2_free(c->s2[i]);
}

static int stage_init(struct stage *s, size_t width, size_t height, int colours, uint32_t band,
                      struct vae_error *error)
{
	size_t line = (width + 15) / 16 * 16, row, floats;
	int rc = vae_multiply(&row, line, 2, (size_t)colours, error);

	*s = (struct stage){.width = width,
	                    .height = height,
	                    .line = line,
	                    .row = row,
	                    .room = vae_min(band, height) + OVERLAP};
	if (rc || (rc = vae_multiply(&floats, s->room, row, 1, error)))
		return rc;
	return vae_alloc_huge(&s->rows, floats, sizeof *s->rows, error);
}

static int stages_init(struct comparison *c, struct vae_error *error)
{
	size_t width = c->geometry.width, height = c->geometry.height;
	int rc = vae_alloc_raw(&c->black, width, sizeof *c->black, error);

	for (size_t i = 0; !rc && i < width; i++)
		c->black[i] = BLACK;
	for (int i = 0; !rc && i < SCALES; i++, width = (width + 1) / 2, height = (height + 1) / 2)
		rc = stage_init(&c->stage[i], width, height, c->colours, c->band, error);
	vae_similarity_taps(c->tap);
	return rc;
}

static int s2_init(struct comparison *c, bool alpha, struct vae_error *error)
{
	static const float ground[GROUNDS] = {0.1f, 0.9f};
	int rc = 0;

	if (c->geometry.width < VAE_S2_SIDE || c->geometry.height < VAE_S2_SIDE)
		return 0;
	for (int i = 0; !rc && i < (alpha ? GROUNDS : 1); i++)
		rc = vae_s2_new(&c->s2[i], c->geometry.width, c->geometry.height, c->colours, ground[i],
		                error);
	return rc;
}

static uint32_t default_band(size_t width)
{
	size_t rows = vae_max(BAND_PIXELS * (size_t)omp_get_max_threads() / width, BAND_ROWS);
	return (uint32_t)vae_max(vae_min(rows, MOST_PIXELS / width), MIN_BAND);
}

/* Expects a zeroed *c. */
static int comparison_init(struct comparison *c, const struct vae_geometry *g,
                           const struct vae_geometry *reference, uint32_t band,
                           struct vae_error *error)
{
	uint32_t ma = g->maxval, mb = reference->maxval, common = gcd(ma, mb);
	int rc;

	if (!band)
		band = default_band(g->width);
	c->k = vae_kernels();
	c->geometry = *g;
	c->colours = vae_colours(g->tuple);
	c->multi_scale = g->width >= MIN_SIDE && g->height >= MIN_SIDE;
	c->band = (uint32_t)vae_min(band, g->height);
	c->white[0] = g->maxval;
	c->white[1] = reference->maxval;
	c->fa = mb / common;
	c->fb = ma / common;
	c->unit = ma * c->fa;
	if ((rc = vae_image_alloc(&c->colour[0], &c->alpha[0], g, c->band, error)) ||
	    (rc = vae_image_alloc(&c->colour[1], &c->alpha[1], reference, c->band, error)) ||
	    (rc = vae_alloc_raw(&c->row, ((size_t)c->band + OVERLAP) * (size_t)c->colours,
	                        sizeof *c->row, error)))
		return rc;
	if ((rc = s2_init(c, vae_has_alpha(g->tuple) || vae_has_alpha(reference->tuple), error)))
		return rc;
	return c->multi_scale ? stages_init(c, error) : 0;
}

static void result(struct vae_distortion *d, const struct comparison *c)
{
	double pixels = (double)c->geometry.width * c->geometry.height - (double)c->unseen;

	d->mse = pixels > 0 ? c->squares / (c->unit * c->unit) / (pixels * c->colours) : 0;
	d->psnr = d->mse > 0 ? -10 * log10(d->mse) : INFINITY;
	d->ms_ssim = c->multi_scale ? 0 : NAN;
	for (int i = 0; c->multi_scale && i < c->colours; i++)
		d->ms_ssim += colour_similarity(c, i) / c->colours;
	d->ssimulacra2 = c->s2[0] ? vae_s2_result(c->s2[0]) : NAN;
	if (c->s2[1])
		d->ssimulacra2 = fmin(d->ssimulacra2, vae_s2_result(c->s2[1]));
}

int vae_compare_rows(struct vae_distortion *distortion, struct vae_image_rows *image,
                     struct vae_image_rows *reference, uint32_t band, struct vae_error *error)
{
	const struct vae_geometry *g = &image->geometry, *r = &reference->geometry;
	struct comparison c = {0};
	int rc = vae_isa_check(error);

	if (rc)
		return rc;
	if (g->width != r->width || g->height != r->height ||
	    vae_colours(g->tuple) != vae_colours(r->tuple))
		return vae_fail(
			error, VAE_EARG,
			"cannot compare a picture of %u x %u pixels and %d colours with one of %u x %u and %d",
			g->width, g->height, vae_colours(g->tuple), r->width, r->height, vae_colours(r->tuple));
	if ((rc = comparison_init(&c, g, r, band, error)))
		goto out;
	for (uint32_t left = g->height, n; left; left -= n) {
		n = (uint32_t)vae_min(c.band, left);
		if ((rc = image->read(image, n, c.colour[0], c.alpha[0], error)) ||
		    (rc = reference->read(reference, n, c.colour[1], c.alpha[1], error)))
			goto out;
		take_band(&c, n);
		if (c.multi_scale)
			work(&c, 0);
	}
	for (int scale = 1; c.multi_scale && scale < SCALES; scale++)
		work(&c, scale);
	result(distortion, &c);
out:
	comparison_clear(&c);
	return rc;
}

int vae_compare(struct vae_distortion *distortion, const struct vae_image *image,
                const struct vae_image *reference, struct vae_error *error)
{
	struct vae_image_rows *a = NULL, *b = NULL;
	int rc = vae_image_rows_new(&a, image, error);

	if (!rc && !(rc = vae_image_rows_new(&b, reference, error)))
		rc = vae_compare_rows(distortion, a, b, 0, error);
	vae_image_rows_free(a);
	vae_image_rows_free(b);
	return rc;
}
