/* vision.c - SSIMULACRA 2 forward and backward over one patch, by one thread.
 *
 *     y --> light 0 --halved--> light 1 ... light 4
 *              |                   |
 *             XYB --> moments --> maps
 *
 * Backward: slopes of the maps, filtered --> dXYB --> dlight 4 --> dlight 3 ... --> dy.
 *
 * The filter is symmetric and sees zeros outside: its transpose is the filter itself. */
#include "loss/vision.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "kernel/kernel.h"
#include "measure/ssimulacra2.h"

#define COLOURS      VAE_S2_CHANNELS
#define PAD          16 /* zeros around a line; the filter reads VAE_S2_REACH of them */
#define LEAST_WEIGHT 0.01
#define ROUND_OFF    1e-5 /* the smallest L4 norm that divides */

/* One scale: planes of rows x line floats, each line with PAD zeros before and after. */
struct scale {
	size_t rows, columns, line;
	float *x[COLOURS], *y[COLOURS], *dy[COLOURS]; /* linear light, and its gradient */
	float *a[COLOURS], *b[COLOURS];               /* XYB of x and y */
};

/* Working memory that scales and channels use in turn. */
struct work {
	const struct vae_s2_kernels *k;
	float tap[VAE_S2_REACH + 1];
	float *kept[VAE_S2_MOMENTS]; /* moments of one channel of one scale */
	float *part[3];              /* gradients of its moments, filtered along rows */
	float *dxyb[COLOURS];
	float *ring;           /* VAE_S2_TAPS x VAE_S2_MOMENTS lines */
	float *line, *nothing; /* a working line; a line of zeros */
};

static size_t line_of(size_t columns) { return columns + 2 * PAD; }
/* Returns a side at a scale: halved that many times, rounded up. */
static size_t side_at(size_t side, int scale) { return (side + ((size_t)1 << scale) - 1) >> scale; }

static float *row_of(const struct scale *s, float *plane, size_t row)
{
	return plane + row * s->line + PAD;
}

/* Five planes of three colours at each scale, and 10 more at the first. */
size_t vae_vision_room(size_t rows, size_t columns)
{
	size_t floats = (VAE_S2_MOMENTS + 3 + COLOURS) * rows * line_of(columns);
	floats += (VAE_S2_TAPS * VAE_S2_MOMENTS + 4) * line_of(columns);
	for (int i = 0; i < VAE_S2_SCALES; i++)
		floats += 5 * COLOURS * side_at(rows, i) * line_of(side_at(columns, i));
	return floats;
}

static bool counts(int channel, int scale)
{
	bool any = false;
	for (int n = 0; n < VAE_S2_NORMS; n++)
		for (int m = 0; m < VAE_S2_MAPS; m++)
			any |= vae_s2_weight[channel][scale][n][m] >= LEAST_WEIGHT;
	return any;
}

static double weight_of(int channel, int scale, int norm, int map)
{
	double w = vae_s2_weight[channel][scale][norm][map];
	return w >= LEAST_WEIGHT ? w : 0;
}

/* ---- from samples to XYB --------------------------------------------------------------------- */

static void take_samples(const struct work *w, const struct scale *s, float *const plane[COLOURS],
                         const float *samples)
{
	for (size_t r = 0; r < s->rows; r++)
		for (size_t c = 0; c < COLOURS; c++) {
			for (size_t i = 0; i < s->columns; i++)
				w->line[i] = samples[(r * s->columns + i) * COLOURS + c];
			w->k->linear(row_of(s, plane[c], r), w->line, s->columns);
		}
}

/* Computes one plane of the next scale: means of 2x2 pixels. The last row and column are repeated
 * if a side is odd; the column is repeated in the padding, where no filter reads linear light. */
static void halve_plane(const struct scale *to, float *out, const struct scale *from, float *in)
{
	for (size_t r = 0; r < to->rows; r++) {
		float *above = row_of(from, in, 2 * r),
			  *below = 2 * r + 1 < from->rows ? row_of(from, in, 2 * r + 1) : above;
		if (from->columns % 2) {
			above[from->columns] = above[from->columns - 1];
			below[from->columns] = below[from->columns - 1];
		}
		vae_kernels()->halve(row_of(to, out, r), above, below, to->columns);
	}
}

static void halve(const struct scale *to, const struct scale *from)
{
	for (size_t c = 0; c < COLOURS; c++) {
		halve_plane(to, to->x[c], from, from->x[c]);
		halve_plane(to, to->y[c], from, from->y[c]);
	}
}

static void to_xyb(const struct work *w, const struct scale *s, float *const out[COLOURS],
                   float *const light[COLOURS])
{
	for (size_t r = 0; r < s->rows; r++) {
		const float *rgb[] = {row_of(s, light[0], r), row_of(s, light[1], r),
		                      row_of(s, light[2], r)};
		float *xyb[] = {row_of(s, out[0], r), row_of(s, out[1], r), row_of(s, out[2], r)};
		w->k->xyb(xyb, rgb, s->columns);
	}
}

/* ---- one channel of one scale ---------------------------------------------------------------- */

static float *ring_line(const struct work *w, const struct scale *s, size_t row, size_t q)
{
	return w->ring + (row % VAE_S2_TAPS * VAE_S2_MOMENTS + q) * s->line + PAD;
}

static struct vae_s2_row row_at(const struct work *w, const struct scale *s, int c, size_t r)
{
	struct vae_s2_row row = {
		.n = s->columns, .a = row_of(s, s->a[c], r), .b = row_of(s, s->b[c], r), .tap = w->tap};
	for (size_t q = 0; q < VAE_S2_MOMENTS; q++)
		row.kept[q] = row_of(s, w->kept[q], r);
	return row;
}

/* Returns the sums of the maps; keeps the moments. */
static struct vae_s2_sums measure(const struct work *w, const struct scale *s, int c)
{
	struct vae_s2_sums all = {{0}, {0}}, sums;
	for (size_t r = 0; r < s->rows + VAE_S2_REACH; r++) {
		if (r < s->rows) {
			float *out[] = {ring_line(w, s, r, 0), ring_line(w, s, r, 1), ring_line(w, s, r, 2),
			                ring_line(w, s, r, 3)};
			w->k->moments(out, row_of(s, s->a[c], r), row_of(s, s->b[c], r), s->columns, w->tap);
		}
		if (r < VAE_S2_REACH)
			continue;
		size_t centre = r - VAE_S2_REACH;
		struct vae_s2_row row = row_at(w, s, c, centre);
		for (size_t k = 0; k < VAE_S2_TAPS; k++)
			for (size_t q = 0; q < VAE_S2_MOMENTS; q++) {
				bool inside = centre + k >= VAE_S2_REACH && centre + k - VAE_S2_REACH < s->rows;
				row.moment[q][k] =
					inside ? ring_line(w, s, centre + k - VAE_S2_REACH, q) : w->nothing + PAD;
			}
		w->k->maps(&sums, &row);
		vae_s2_sums_add(&all, &sums);
	}
	return all;
}

/* Returns the part of S that the sums give; stores its slopes in the maps of one sample, times
 * weight. */
static double value_of(struct vae_s2_slopes *slopes, const struct vae_s2_sums *sums,
                       const struct scale *s, int c, int scale, double weight)
{
	double n = (double)(s->rows * s->columns), value = 0;
	for (int map = 0; map < VAE_S2_MAPS; map++) {
		double w1 = weight_of(c, scale, VAE_S2_L1, map), w4 = weight_of(c, scale, VAE_S2_L4, map);
		double l4 = vae_s2_norm(sums, VAE_S2_L4, map, n), divisor = l4 > ROUND_OFF ? l4 : ROUND_OFF;
		value += w1 * vae_s2_norm(sums, VAE_S2_L1, map, n) + w4 * l4;
		slopes->first[map] = (float)(weight * w1 / n);
		slopes->fourth[map] = (float)(weight * w4 / n / (divisor * divisor * divisor));
	}
	return value;
}

/* Computes dXYB of channel c from the kept moments. */
static void backward(const struct work *w, const struct scale *s, int c,
                     const struct vae_s2_slopes *slopes)
{
	float *out[3] = {w->line, w->line + s->line, w->line + 2 * s->line};
	struct vae_s2_gradient g = {out[0] + PAD, out[1] + PAD, out[2] + PAD, NULL};
	memset(w->line, 0, 3 * s->line * sizeof(float));
	for (size_t r = 0; r < s->rows; r++) {
		struct vae_s2_row row = row_at(w, s, c, r);
		g.direct = row_of(s, w->dxyb[c], r);
		w->k->slopes(&g, &row, slopes);
		for (int q = 0; q < 3; q++)
			w->k->along(row_of(s, w->part[q], r), out[q] + PAD, s->columns, w->tap);
	}
	for (size_t r = 0; r < s->rows; r++) {
		const float *a = row_of(s, s->a[c], r), *b = row_of(s, s->b[c], r);
		float *d = row_of(s, w->dxyb[c], r);
		for (int q = 0; q < 3; q++) {
			const float *in[VAE_S2_TAPS];
			for (size_t k = 0; k < VAE_S2_TAPS; k++) {
				bool inside = r + k >= VAE_S2_REACH && r + k - VAE_S2_REACH < s->rows;
				in[k] = inside ? row_of(s, w->part[q], r + k - VAE_S2_REACH) : w->nothing + PAD;
			}
			w->k->down(out[q] + PAD, in, s->columns, w->tap);
		}
		for (size_t i = 0; i < s->columns; i++)
			d[i] += g.mean[i] + 2 * b[i] * g.squares[i] + a[i] * g.product[i];
	}
}

/* Returns S of one scale; adds to its dy. */
static double pass(const struct work *w, const struct scale *s, int scale, double weight)
{
	double value = 0;
	to_xyb(w, s, s->a, s->x);
	to_xyb(w, s, s->b, s->y);
	for (int c = 0; c < COLOURS; c++) {
		struct vae_s2_slopes slopes;
		if (!counts(c, scale)) {
			memset(w->dxyb[c], 0, s->rows * s->line * sizeof(float));
			continue;
		}
		struct vae_s2_sums sums = measure(w, s, c);
		value += value_of(&slopes, &sums, s, c, scale, weight);
		backward(w, s, c, &slopes);
	}
	for (size_t r = 0; r < s->rows; r++) {
		const float *rgb[] = {row_of(s, s->y[0], r), row_of(s, s->y[1], r), row_of(s, s->y[2], r)};
		const float *dxyb[] = {row_of(s, w->dxyb[0], r), row_of(s, w->dxyb[1], r),
		                       row_of(s, w->dxyb[2], r)};
		float *dy[] = {row_of(s, s->dy[0], r), row_of(s, s->dy[1], r), row_of(s, s->dy[2], r)};
		w->k->xyb_backward(dy, dxyb, rgb, s->columns);
	}
	return value;
}

/* ---- the patch ------------------------------------------------------------------------------- */

/* Distributes a coarser scale's gradient. A coarser pixel is the mean of four: each gets a quarter
 * of its gradient. A pixel that is repeated for a missing row or column gets that share too. */
static void spread(const struct scale *to, const struct scale *from)
{
	for (size_t c = 0; c < COLOURS; c++)
		for (size_t r = 0; r < to->rows; r++) {
			float *d = row_of(to, to->dy[c], r), *coarse = row_of(from, from->dy[c], r / 2);
			float share = r % 2 == 0 && r + 1 == to->rows ? 0.5f : 0.25f;
			for (size_t i = 0; i < to->columns; i++)
				d[i] += share * coarse[i / 2];
			if (to->columns % 2)
				d[to->columns - 1] += share * coarse[to->columns / 2];
		}
}

static void give_gradient(const struct work *w, const struct scale *s, float *gradient,
                          const float *y)
{
	for (size_t r = 0; r < s->rows; r++)
		for (size_t c = 0; c < COLOURS; c++) {
			size_t at = r * s->columns * COLOURS + c;
			float *d = row_of(s, s->dy[c], r);
			for (size_t i = 0; i < s->columns; i++)
				w->line[i] = y[at + i * COLOURS];
			w->k->linear_backward(d, w->line, s->columns);
			for (size_t i = 0; i < s->columns; i++)
				gradient[at + i * COLOURS] += d[i];
		}
}

static float *take(float **room, size_t floats)
{
	float *at = *room;
	*room += floats;
	return at;
}

static void lay_out(struct work *w, struct scale scale[VAE_S2_SCALES], size_t rows, size_t columns,
                    float *room)
{
	size_t line = line_of(columns), plane = rows * line;
	for (size_t q = 0; q < VAE_S2_MOMENTS; q++)
		w->kept[q] = take(&room, plane);
	for (size_t q = 0; q < 3; q++)
		w->part[q] = take(&room, plane);
	for (size_t q = 0; q < COLOURS; q++)
		w->dxyb[q] = take(&room, plane);
	w->ring = take(&room, VAE_S2_TAPS * VAE_S2_MOMENTS * line);
	w->nothing = take(&room, line);
	w->line = take(&room, 3 * line);
	for (int i = 0; i < VAE_S2_SCALES; i++) {
		struct scale *s = &scale[i];
		size_t across = side_at(columns, i);
		*s = (struct scale){.rows = side_at(rows, i), .columns = across, .line = line_of(across)};
		for (size_t c = 0; c < COLOURS; c++) {
			float **part[] = {&s->x[c], &s->y[c], &s->dy[c], &s->a[c], &s->b[c]};
			for (size_t k = 0; k < sizeof part / sizeof *part; k++)
				*part[k] = take(&room, s->rows * s->line);
		}
	}
}

double vae_vision_loss(const float *x, const float *y, size_t rows, size_t columns, double weight,
                       float *gradient, float *room)
{
	struct scale scale[VAE_S2_SCALES];
	struct work w = {.k = vae_s2_kernels()};
	int scales = 0;
	double sum = 0;
	vae_s2_taps(w.tap);
	/* Zeros around each line, and no gradient yet. */
	memset(room, 0, vae_vision_room(rows, columns) * sizeof *room);
	lay_out(&w, scale, rows, columns, room);
	take_samples(&w, &scale[0], scale[0].x, x);
	take_samples(&w, &scale[0], scale[0].y, y);
	for (; scales < VAE_S2_SCALES && scale[scales].rows >= VAE_S2_SIDE &&
	       scale[scales].columns >= VAE_S2_SIDE;
	     scales++) {
		if (scales)
			halve(&scale[scales], &scale[scales - 1]);
		if (counts(0, scales) || counts(1, scales) || counts(2, scales))
			sum += pass(&w, &scale[scales], scales, weight);
	}
	for (int i = scales - 1; i > 0; i--)
		spread(&scale[i - 1], &scale[i]);
	give_gradient(&w, &scale[0], gradient, y);
	return sum;
}
