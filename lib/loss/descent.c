#include "loss/descent.h"
#include "base/memory.h"
#include "base/minmax.h"
#include "base/parallel.h"
#include "base/rect.h"
#include "loss/ms_ssim.h"
#include "loss/objective.h"
#include "loss/vision.h"
#include "measure/ssimulacra2.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

/* side of a tile's counted pixels; larger tiles compute less twice but take more memory */
#define TILE_CELLS 32

/* A tile of the region, in cells. The counted pixels are those of `own`; `all` are the cells that
 * their synthesis sees. */
struct vae_refine_tile {
	struct vae_rect own, all;
	float *dy;                /* all.rows x all.columns x channels; owned */
	double counted, of_slice; /* distortion in bits: of all counted pixels, of those in the slice */
	double squared_error, metric; /* as in vae_refine_cost */
};

/* ---- memory ---------------------------------------------------------------------------------- */

static int plan_tiles(struct vae_refine *r, struct vae_error *error)
{
	size_t halo = vae_net_halo(&r->nets->net[VAE_SYNTHESIS]);
	const struct vae_rect *all = &r->place.region.cells;
	struct vae_rect counted = vae_rect_widened(r->place.slice, halo, all->rows, all->columns);
	size_t down = (counted.rows + TILE_CELLS - 1) / TILE_CELLS,
		   across = (counted.columns + TILE_CELLS - 1) / TILE_CELLS;
	int rc = vae_alloc(&r->tile, down * across, sizeof *r->tile, error);
	for (size_t i = 0; i < down && !rc; i++)
		for (size_t j = 0; j < across && !rc; j++) {
			struct vae_refine_tile *t = &r->tile[r->tiles++];
			size_t top = counted.rows * i / down, bottom = counted.rows * (i + 1) / down;
			size_t left = counted.columns * j / across, right = counted.columns * (j + 1) / across;
			t->own = (struct vae_rect){counted.row + top, counted.column + left, bottom - top,
			                           right - left};
			t->all = vae_rect_widened(t->own, halo, all->rows, all->columns);
			rc = vae_alloc(&t->dy, t->all.rows * t->all.columns, r->rate.y_channels * sizeof(float),
			               error);
		}
	return rc;
}

int vae_refine_init(struct vae_refine *r, const struct vae_nets *nets,
                    const struct vae_weights *weights, const struct vae_weights *fast,
                    uint16_t quality, int loss, double share, const struct vae_refine_place *place,
                    struct vae_error *error)
{
	size_t channels = (size_t)nets->arch.y;
	*r = (struct vae_refine){.nets = nets,
	                         .weights = weights,
	                         .fast = fast,
	                         .at = vae_position_of(nets->arch.knots, quality),
	                         .lambda = vae_arch_lambda(&nets->arch, quality),
	                         .loss = loss,
	                         .share = share,
	                         .place = *place,
	                         .threads = (size_t)omp_get_max_threads()};
	const struct vae_block *region = &place->region;
	size_t slice = place->slice.rows * place->slice.columns;
	int rc =
		vae_soft_rate_init(&r->rate, nets, place->slice.rows, place->slice.columns, false, error);
	if (rc ||
	    (rc = vae_alloc(&r->y, region->cells.rows * region->cells.columns, channels * sizeof(float),
	                    error)) ||
	    (rc = vae_alloc(&r->x, region->height_px * region->width_px, 3 * sizeof(float), error)) ||
	    (rc = vae_alloc(&r->dquantised, slice, channels * sizeof(float), error)) ||
	    (rc = vae_alloc(&r->dy, slice, channels * sizeof(float), error)) ||
	    (rc = vae_alloc(&r->moment, 2 * slice, channels * sizeof(float), error)) ||
	    (rc = vae_alloc(&r->patch, r->threads, sizeof *r->patch, error)) ||
	    (rc = vae_alloc(&r->run, r->threads, sizeof *r->run, error)) || (rc = plan_tiles(r, error)))
		vae_refine_clear(r);
	return rc;
}

void vae_refine_clear(struct vae_refine *r)
{
	vae_soft_rate_clear(&r->rate);
	free(r->y);
	free(r->x);
	free(r->dquantised);
	free(r->dy);
	free(r->moment);
	for (size_t i = 0; i < r->tiles; i++)
		free(r->tile[i].dy);
	free(r->tile);
	for (size_t i = 0; r->run && i < r->threads; i++)
		if (r->run[i].net)
			vae_run_clear(&r->run[i]);
	free(r->run);
	for (size_t i = 0; r->patch && i < r->threads; i++)
		free(r->patch[i]);
	free(r->patch);
	memset(r, 0, sizeof *r);
}

/* Returns a thread's synthesis, allocated for the largest tile and set to this tile's size; NULL if
 * memory is exhausted. */
static struct vae_run *run_for(const struct vae_refine *r, const struct vae_refine_tile *t,
                               int thread, struct vae_error *error)
{
	struct vae_run *run = &r->run[thread];
	size_t rows = 0, columns = 0;
	for (size_t i = 0; i < r->tiles && !run->net; i++) {
		rows = vae_max(rows, r->tile[i].all.rows);
		columns = vae_max(columns, r->tile[i].all.columns);
	}
	if (!run->net && vae_run_init(run, &r->nets->net[VAE_SYNTHESIS], 0, rows * VAE_CELL_PX,
	                              columns * VAE_CELL_PX, true, error))
		return NULL;
	vae_run_shrink(
		run, 0,
		vae_min(t->all.rows * VAE_CELL_PX, r->place.region.height_px - t->all.row * VAE_CELL_PX),
		vae_min(t->all.columns * VAE_CELL_PX,
	            r->place.region.width_px - t->all.column * VAE_CELL_PX));
	return run;
}

/* ---- distortion ------------------------------------------------------------------------------ */

static void copy_cells(float *to, size_t to_columns, const float *from, size_t from_columns,
                       size_t rows, size_t columns, size_t channels)
{
	for (size_t row = 0; row < rows; row++)
		memcpy(to + row * to_columns * channels, from + row * from_columns * channels,
		       columns * channels * sizeof *to);
}

/* Returns whether a pixel of the region is in a rectangle of cells. */
static bool within(const struct vae_rect *a, size_t row, size_t column)
{
	return vae_rect_holds(a, row / VAE_CELL_PX, column / VAE_CELL_PX);
}

/* Returns the squared error of the tile's own pixels; its gradient times scale goes to the
 * synthesis's output, 0 in the halo. The sum over the slice's pixels is stored in the tile. */
static double tile_error(const struct vae_refine *r, struct vae_refine_tile *t, struct vae_run *run,
                         float scale)
{
	const float *output = vae_run_output(run, 0);
	vae_run_start_backward(run);
	float *gradients = vae_run_start_gradient(run, 0);
	double counted = 0;
	t->squared_error = 0;
	for (size_t row = 0; row < run->rows[0]; row++)
		for (size_t column = 0; column < run->columns[0]; column++) {
			size_t at = 3 * (row * run->columns[0] + column), y = t->all.row * VAE_CELL_PX + row,
				   x = t->all.column * VAE_CELL_PX + column;
			float *gradient = gradients + at, sum = 0;
			if (!within(&t->own, y, x)) {
				memset(gradient, 0, 3 * sizeof *gradient);
				continue;
			}
			for (size_t c = 0; c < 3; c++) {
				float e = output[at + c] - r->x[3 * (y * r->place.region.width_px + x) + c];
				gradient[c] = 2 * scale * e;
				sum += e * e;
			}
			counted += sum;
			if (within(&r->place.slice, y, x))
				t->squared_error += sum;
		}
	return counted;
}

/* Returns the pixels of a rectangle of cells, cut at the picture's edges. */
static struct vae_rect pixels_of(const struct vae_refine *r, const struct vae_rect *cells)
{
	struct vae_rect picture = {0, 0, r->place.region.height_px, r->place.region.width_px};
	struct vae_rect p = {cells->row * VAE_CELL_PX, cells->column * VAE_CELL_PX,
	                     cells->rows * VAE_CELL_PX, cells->columns * VAE_CELL_PX};
	return vae_rect_common(p, picture);
}

/* Returns the working memory that the metric needs, in floats. */
static size_t metric_room(const struct vae_refine *r, size_t rows, size_t columns)
{
	return r->loss == VAE_LOSS_MS_SSIM ? vae_ms_ssim_room(rows, columns)
	                                   : vae_vision_room(rows, columns);
}

/* Returns the metric of the tile's own pixels; adds its gradient times weight to the gradient of
 * the synthesis's output. patch: working memory, then picture, output and gradient of those pixels.
 */
static double tile_metric(const struct vae_refine *r, const struct vae_refine_tile *t,
                          struct vae_run *run, double weight, float *patch)
{
	struct vae_rect own = pixels_of(r, &t->own), all = pixels_of(r, &t->all);
	size_t line = 3 * own.columns, n = own.rows * line;
	float *x = patch + metric_room(r, own.rows, own.columns), *y = x + n, *gradient = y + n;
	float *gradients = run->gradient[run->net->output[0]];
	size_t from = 3 * ((own.row - all.row) * run->columns[0] + own.column - all.column),
		   stride = 3 * run->columns[0];
	for (size_t row = 0; row < own.rows; row++) {
		memcpy(x + row * line, r->x + 3 * ((own.row + row) * r->place.region.width_px + own.column),
		       line * sizeof *x);
		memcpy(y + row * line, vae_run_output(run, 0) + from + row * stride, line * sizeof *y);
	}
	memset(gradient, 0, n * sizeof *gradient);
	double d = (r->loss == VAE_LOSS_MS_SSIM ? vae_ms_ssim_loss : vae_vision_loss)(
		x, y, own.rows, own.columns, weight, gradient, patch);
	for (size_t row = 0; row < own.rows; row++)
		vae_kernels()->add(gradients + from + row * stride, gradient + row * line, line);
	return d;
}

/* Returns a thread's memory for the metric of the largest tile; NULL if memory is exhausted. */
static float *patch_for(const struct vae_refine *r, int thread, struct vae_error *error)
{
	size_t floats = 0;
	for (size_t i = 0; i < r->tiles && !r->patch[thread]; i++) {
		struct vae_rect own = pixels_of(r, &r->tile[i].own);
		floats =
			vae_max(floats, metric_room(r, own.rows, own.columns) + 9 * own.rows * own.columns);
	}
	if (floats && vae_alloc_raw(&r->patch[thread], floats, sizeof(float), error))
		return NULL;
	return r->patch[thread];
}

/* Computes the cost of the tile's own pixels in bits; leaves the gradient in the run. */
static int tile_distortion(const struct vae_refine *r, struct vae_refine_tile *t,
                           struct vae_run *run, int thread, struct vae_error *error)
{
	struct vae_rect own = pixels_of(r, &t->own);
	size_t least = r->loss == VAE_LOSS_MS_SSIM ? VAE_MS_SSIM_SIDE : VAE_S2_SIDE;
	double share = vae_min(own.rows, own.columns) < least ? 0 : r->share,
		   of_error = (1 - share) * r->lambda * VAE_ERROR_UNITS / 3;
	t->counted = of_error * tile_error(r, t, run, (float)of_error);
	t->of_slice = of_error * t->squared_error;
	t->metric = share > 0 ? 0 : NAN;
	if (!(share > 0))
		return 0;
	struct vae_rect in_slice = vae_rect_common(own, pixels_of(r, &r->place.slice));
	double pixels = (double)(own.rows * own.columns),
		   of_slice = (double)(in_slice.rows * in_slice.columns),
		   weight = share * vae_metric_weight(r->loss, r->lambda);
	float *patch = patch_for(r, thread, error);
	if (!patch)
		return VAE_EMEM;
	double d = tile_metric(r, t, run, weight * pixels, patch);
	t->counted += weight * d * pixels;
	t->of_slice += weight * d * of_slice;
	t->metric = d * of_slice;
	return 0;
}

struct distortion {
	struct vae_refine *r;
	const struct vae_weights *weights;
	bool gradient;
};

static int do_tile(void *context, size_t i, int thread, struct vae_error *error)
{
	const struct distortion *d = context;
	struct vae_refine *r = d->r;
	struct vae_refine_tile *t = &r->tile[i];
	size_t channels = r->rate.y_channels;
	struct vae_run *run = run_for(r, t, thread, error);
	if (!run)
		return VAE_EMEM;
	copy_cells(vae_run_input(run, 0), t->all.columns,
	           r->y + (t->all.row * r->place.region.cells.columns + t->all.column) * channels,
	           r->place.region.cells.columns, t->all.rows, t->all.columns, channels);
	vae_net_forward(run, r->nets, d->weights, r->at);
	int rc = tile_distortion(r, t, run, thread, error);
	if (rc || !d->gradient)
		return rc;
	vae_net_backward(run, r->nets, d->weights, r->at, NULL);
	memcpy(t->dy, run->gradient[run->net->input[0]],
	       t->all.rows * t->all.columns * channels * sizeof(float));
	return 0;
}

/* Sums the tiles' gradients of the slice's cells into dquantised, tile by tile. */
static void gather(struct vae_refine *r)
{
	const struct vae_rect *p = &r->place.slice;
	const struct vae_kernels *kernels = vae_kernels();
	size_t channels = r->rate.y_channels;
	memset(r->dquantised, 0, p->rows * p->columns * channels * sizeof *r->dquantised);
	for (size_t i = 0; i < r->tiles; i++) {
		const struct vae_rect *a = &r->tile[i].all, both = vae_rect_common(*a, *p);
		for (size_t row = both.row; row < both.row + both.rows; row++)
			kernels->add(
				r->dquantised + ((row - p->row) * p->columns + both.column - p->column) * channels,
				r->tile[i].dy + ((row - a->row) * a->columns + both.column - a->column) * channels,
				both.columns * channels);
	}
}

static int count_cost(const struct distortion *d, struct vae_refine_cost *cost,
                      struct vae_error *error)
{
	struct vae_refine *r = d->r;
	const struct vae_rect *p = &r->place.slice;
	size_t channels = r->rate.y_channels;
	double z_bits, counted = 0;
	vae_soft_rate_forward(&r->rate, d->weights, r->at);
	double bits = vae_soft_rate_bits(&r->rate, 1, &z_bits) + z_bits;
	copy_cells(r->y + (p->row * r->place.region.cells.columns + p->column) * channels,
	           r->place.region.cells.columns, r->rate.quantised, p->columns, p->rows, p->columns,
	           channels);
	int rc = vae_parallel(r->tiles, do_tile, (void *)d, error);
	if (rc)
		return rc;
	*cost = (struct vae_refine_cost){.bits = bits};
	for (size_t i = 0; i < r->tiles; i++) {
		counted += r->tile[i].counted;
		cost->distortion += r->tile[i].of_slice;
		cost->squared_error += r->tile[i].squared_error;
		cost->metric += r->tile[i].metric;
	}
	cost->loss = bits + counted;
	return 0;
}

int vae_refine_cost(struct vae_refine *r, struct vae_refine_cost *cost, struct vae_error *error)
{
	return count_cost(&(struct distortion){r, r->weights, false}, cost, error);
}

int vae_refine_gradient(struct vae_refine *r, struct vae_refine_cost *cost, struct vae_error *error)
{
	int rc = count_cost(&(struct distortion){r, r->fast, true}, cost, error);
	if (rc)
		return rc;
	gather(r);
	vae_soft_rate_backward_direct(&r->rate, r->dquantised, r->dy);
	return 0;
}

/* ---- descent --------------------------------------------------------------------------------- */

/* Loss after 100 steps against 0, on held-out photographs at qualities 20 and 50: -2.4 and -2.5 %.
 * Rates from 0.004 to 0.006 and temperatures from 0.15 to 0.2 change that by 0.2 at most. With the
 * gradients through z and contexts, which pass two roundings, the gain halves. With
 * straight-through rounding, or noise in place of the Gumbel sample, the loss grows. */
#define RATE 0.005 /* at 100 steps in all; falls to 0 over the second half */
#define HOT  0.2
#define COLD 0.1

/* Takes one step of Adam. start: the average that Adam's kernel expects; it stays as it is. */
static void step(struct vae_refine *r, int i, int steps, float *start)
{
	size_t n = vae_soft_rate_size(&r->rate);
	double along = (double)i / steps,
		   rate =
			   RATE * sqrt(100.0 / (steps > 25 ? steps : 25)) * (along > 0.5 ? 2 - 2 * along : 1),
		   b1 = 0.95, b2 = 0.999;
	double corrected = rate * sqrt(1 - pow(b2, i + 1)) / (1 - pow(b1, i + 1));
	vae_kernels()->adam(r->rate.y, r->moment, r->moment + n, start, r->dy, n, 1, (float)corrected,
	                    (float)b1, (float)b2, 1e-8f, 0);
}

int vae_refine_descend(struct vae_refine *r, int steps, uint64_t seed, struct vae_refine_cost *cost,
                       struct vae_error *error)
{
	size_t n = vae_soft_rate_size(&r->rate);
	float *y = r->rate.y, *start;
	int rc = vae_alloc_raw(&start, n, sizeof *start, error);
	if (rc)
		return rc;
	memcpy(start, y, n * sizeof *y);
	memset(r->moment, 0, 2 * n * sizeof *y);
	vae_random_init(&r->rate.random, seed, 0, 0);
	r->rate.rounding = VAE_ROUND;
	rc = vae_refine_cost(r, &cost[0], error);
	for (int i = 0; i < steps && !rc; i++) {
		struct vae_refine_cost *now = &cost[i ? i : steps]; /* the last one is overwritten below */
		r->rate.rounding = VAE_ROUND_GUMBEL;
		r->rate.temperature = (float)(HOT * pow(COLD / HOT, (double)i / steps));
		if (!(rc = vae_refine_gradient(r, now, error)))
			step(r, i, steps, start);
	}
	r->rate.rounding = VAE_ROUND;
	if (!rc)
		rc = vae_refine_cost(r, &cost[steps], error);
	if (rc || !(cost[steps].loss < cost[0].loss)) {
		memcpy(y, start, n * sizeof *y);
		cost[steps] = cost[0];
	}
	free(start);
	return rc;
}
