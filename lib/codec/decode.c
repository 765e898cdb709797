/* decode.c - p(x|y): computes a picture from latents, down the rows. Exact (vae(7), EXACTNESS). */
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "codec/alpha.h"
#include "base/cpu.h"
#include "base/memory.h"
#include "base/minmax.h"
#include "base/rect.h"
#include "base/round.h"
#include "image/image.h"
#include "nn/sweep.h"
#include "codec/lossless.h"
#include "codec/pixels.h"
#include "codec/slice.h"
#include "codec/window.h"

#ifdef __FAST_MATH__
#error "the result must be the same on every machine: build without -ffast-math"
#endif
_Static_assert(__FLT_EVAL_METHOD__ == 0, "binary32 must be evaluated in binary32");

#define CHUNK_CELLS 2048 /* cells read at a time for each thread, about */

static size_t quotient_up(size_t a, size_t b) { return (a + b - 1) / b; }

/* Rows of cells are read from `latents` when the sweep needs them. Whole cells are computed: rows
 * of the last one that the caller has not asked for are kept in `spare`. A "row" of the output is
 * one of reduced pixels. */
struct decoder {
	struct vae_image_rows rows;
	const struct vae_model *model;
	struct vae_latents_rows *latents;
	struct vae_rect window;
	/* Side of the blocks that become a pixel each: 1, or 4 or 8 with the whole picture as window.
	 */
	size_t reduce;
	struct vae_sweep *sweep; /* NULL for mlp */
	float *y;                /* rows of cells from `top` on, for the sweep to load */
	size_t top, y_room;
	struct vae_alpha_queue alpha; /* of the picture's rows from alpha_top on */
	size_t alpha_top;
	uint16_t *colour; /* destination of row rows.row, the caller's, and of the rows up to `end` */
	size_t end;
	uint16_t *spare; /* rows from `end` on: at most those of a cell */
	size_t spares;
};

/* Converts v in 0..1 to 0..maxval: clamped (NaN is 0), multiplied, rounded half to even, each once.
 */
static uint16_t sample_of(float v, float maxval)
{
	v = v > 0 ? v : 0;
	v = v < 1 ? v : 1;
	return (uint16_t)vae_round_half_even(v * maxval);
}

static size_t samples_of(const struct decoder *d)
{
	return d->rows.geometry.width * (size_t)vae_colours(d->rows.geometry.tuple);
}

static void load_latents(void *context, const struct vae_block *block, float *y)
{
	const struct decoder *d = context;
	const struct vae_head *head = &d->latents->head;
	const struct vae_rect *cells = &block->cells;
	size_t channels = head->channels, line = cells->columns * channels;
	for (size_t row = 0; row < cells->rows; row++)
		memcpy(y + row * line,
		       d->y + ((cells->row - d->top + row) * head->columns + cells->column) * channels,
		       line * sizeof *y);
}

/* Stores one row of pixels. Grey is the mean of the three colours: (r + g + b) (1/3), in this
 * order. */
static void store_row(uint16_t *out, const float *x, size_t pixels, size_t colours, float maxval)
{
	if (colours == 3)
#pragma omp simd
		for (size_t i = 0; i < 3 * pixels; i++)
			out[i] = sample_of(x[i] + 0.5f, maxval);
	else
		for (size_t i = 0; i < pixels; i++, x += 3)
			out[i] = sample_of((x[0] + x[1] + x[2]) * (1.0f / 3) + 0.5f, maxval);
}

/* Returns the pixels of the window in a block. */
static struct vae_rect part_of(const struct vae_rect *w, const struct vae_block *block)
{
	struct vae_rect pixels = {block->cells.row * VAE_CELL_PX, block->cells.column * VAE_CELL_PX,
	                          block->height_px, block->width_px};
	return vae_rect_common(*w, pixels);
}

/* Returns a pixel of the picture in a block's output, and its destination. */
static const float *pixel_in(const float *x, const struct vae_block *block, size_t row,
                             size_t column)
{
	return x + ((row - block->cells.row * VAE_CELL_PX) * block->width_px + column -
	            block->cells.column * VAE_CELL_PX) *
	               3;
}

static uint16_t *pixel_out(const struct decoder *d, size_t row, size_t column)
{
	size_t out = (row - d->window.row) / d->reduce, line = samples_of(d);
	uint16_t *start =
		out < d->end ? d->colour + (out - d->rows.row) * line : d->spare + (out - d->end) * line;
	return start +
	       (column - d->window.column) / d->reduce * (size_t)vae_colours(d->rows.geometry.tuple);
}

static int store_pixels(void *context, const struct vae_block *block, const float *x,
                        struct vae_error *error)
{
	const struct decoder *d = context;
	const struct vae_geometry *g = &d->rows.geometry;
	struct vae_rect p = part_of(&d->window, block);
	(void)error;
	for (size_t row = p.row; row < p.row + p.rows; row++)
		store_row(pixel_out(d, row, p.column), pixel_in(x, block, row, p.column), p.columns,
		          (size_t)vae_colours(g->tuple), g->maxval);
	return 0;
}

/* Adds a row of pixels to the sums of its blocks, one rounded addition each, from the left. */
static void add_row(float *sum, const float *x, size_t pixels, size_t reduce)
{
	for (size_t first = 0; first < pixels; first += reduce, sum += 3)
		for (size_t i = vae_min(reduce, pixels - first); i--; x += 3)
			for (int c = 0; c < 3; c++)
				sum[c] += x[c];
}

/* Divides sums of blocks by their numbers of pixels, one rounded division each; the last column may
 * be narrower. */
static void divide_row(float *sum, size_t pixels, size_t rows, size_t reduce)
{
	for (size_t first = 0; first < pixels; first += reduce, sum += 3)
		for (int c = 0; c < 3; c++)
			sum[c] /= (float)(rows * vae_min(reduce, pixels - first));
}

/* Stores means. Blocks of cells begin at blocks of pixels: no block of pixels is in two of them. */
static int store_means(void *context, const struct vae_block *block, const float *x,
                       struct vae_error *error)
{
	const struct decoder *d = context;
	const struct vae_geometry *g = &d->rows.geometry;
	struct vae_rect p = part_of(&d->window, block);
	size_t pixels = p.columns, end = p.row + p.rows, blocks = quotient_up(pixels, d->reduce);
	float *sum;
	int rc = vae_alloc_raw(&sum, 3 * blocks, sizeof *sum, error);
	if (rc)
		return rc;
	for (size_t top = p.row; top < end; top += d->reduce) {
		size_t bottom = vae_min(top + d->reduce, end);
		memset(sum, 0, 3 * blocks * sizeof *sum);
		for (size_t row = top; row < bottom; row++)
			add_row(sum, pixel_in(x, block, row, p.column), pixels, d->reduce);
		divide_row(sum, pixels, bottom - top, d->reduce);
		store_row(pixel_out(d, top, p.column), sum, blocks, (size_t)vae_colours(g->tuple),
		          g->maxval);
	}
	free(sum);
	return 0;
}

/* Stores the output of a model's own map, which consists of means already. */
static int store_mapped(void *context, const struct vae_block *block, const float *x,
                        struct vae_error *error)
{
	const struct decoder *d = context;
	const struct vae_geometry *g = &d->rows.geometry;
	const struct vae_rect *cells = &block->cells;
	size_t rows = quotient_up(block->height_px, d->reduce),
		   columns = quotient_up(block->width_px, d->reduce);
	(void)error;
	for (size_t row = 0; row < rows; row++)
		store_row(
			pixel_out(d, cells->row * VAE_CELL_PX + row * d->reduce, cells->column * VAE_CELL_PX),
			x + row * columns * 3, columns, (size_t)vae_colours(g->tuple), g->maxval);
	return 0;
}

/* The next `count` rows of cells: y to d->y, and samples beside it behind what waits. */
static int read_cells(struct decoder *d, size_t count, struct vae_error *error)
{
	struct vae_latents_rows *l = d->latents;
	size_t line = (size_t)l->head.columns * l->head.channels;
	uint16_t *alpha;
	int rc;
	d->top = l->row;
	if ((rc = vae_reserve(&d->y, &d->y_room, count, 0, line * sizeof *d->y, error)) ||
	    (rc = vae_alpha_queue_add(&d->alpha, vae_alpha_rows(&l->head, l->row, count), &alpha,
	                              error)))
		return rc;
	return l->read(l, (uint32_t)count, d->y, alpha, error);
}

/* Sweeps up to row `cells` of cells. */
static int sweep_to(struct decoder *d, size_t cells, struct vae_error *error)
{
	size_t stored = vae_sweep_stored(d->sweep), first = vae_sweep_loaded(d->sweep);
	size_t needed = vae_sweep_needs(d->sweep, cells - stored);
	int rc = 0;
	if (first > d->latents->row) { /* rows above the window */
		rc = d->latents->read(d->latents, (uint32_t)(first - d->latents->row), NULL, NULL, error);
		d->alpha_top = first * VAE_CELL_PX;
	}
	if (!rc && needed > first)
		rc = read_cells(d, needed - first, error);
	return rc ? rc : vae_sweep_run(d->sweep, cells - stored, error);
}

/* Synthesises up to row `end` of the output, as many cells at a time as all threads need. */
static int synthesise_photo(struct decoder *d, struct vae_error *error)
{
	size_t last = vae_min(d->window.row + d->end * d->reduce, d->window.row + d->window.rows),
		   cells = quotient_up(last, VAE_CELL_PX);
	size_t rows = quotient_up(CHUNK_CELLS * (size_t)omp_get_max_threads(),
	                          vae_window_cells(&d->window).columns);
	if (cells <= vae_sweep_stored(d->sweep))
		return 0;
	for (size_t stored; (stored = vae_sweep_stored(d->sweep)) < cells;) {
		int rc = sweep_to(d, vae_min(stored + rows, cells), error);
		if (rc)
			return rc;
	}
	d->spares = vae_min(cells * VAE_CELL_PX, d->window.row + d->window.rows) - d->window.row;
	d->spares = quotient_up(d->spares, d->reduce) - d->end;
	return 0;
}

/* Returns 1 / (1 + e^-v), linear between the stored knots, constant outside +-16. */
static float sigmoid(const float *knots, float v)
{
	v = v > -16 ? v : -16;
	v = v < 16 ? v : 16;
	float place = (v + 16) * ((VAE_SIGMOID_KNOTS - 1) / 32);
	int i = (int)place;
	i = i < VAE_SIGMOID_KNOTS - 2 ? i : VAE_SIGMOID_KNOTS - 2;
	float difference = knots[i + 1] - knots[i];
	return __builtin_fmaf(place - (float)i, difference, knots[i]);
}

/* Synthesises with a dense network, which computes the whole picture: the rows of a window are
 * requested at once or computed again. */
static int synthesise_mlp(struct decoder *d, struct vae_error *error)
{
	const struct vae_model *model = d->model;
	const struct vae_head *head = &d->latents->head;
	const struct vae_rect *w = &d->window;
	struct vae_run run;
	uint16_t *out = d->colour;
	int rc = d->latents->row ? 0 : read_cells(d, 1, error);
	if (rc || (rc = vae_run_init(&run, &model->nets->net[VAE_SYNTHESIS], 0, 1, 1, false, error)))
		return rc;
	memcpy(vae_run_input(&run, 0), d->y, head->channels * sizeof *d->y);
	vae_net_forward(&run, model->nets, &model->weights,
	                vae_position_of(model->nets->arch.knots, head->quality));
	for (size_t row = w->row + d->rows.row; row < w->row + d->end; row++)
		for (size_t column = w->column; column < w->column + w->columns; column++)
			*out++ =
				sample_of(sigmoid(model->sigmoid,
			                      vae_run_output(&run, 0)[row * head->geometry.width + column]),
			              head->geometry.maxval);
	vae_run_clear(&run);
	return 0;
}

/* Sample i of those beside y of a pixel; rows count from the first one that waits. */
static uint16_t *beside(const struct decoder *d, size_t row, size_t column, unsigned i)
{
	return d->alpha.sample + row * d->alpha.width + column * vae_exact_samples(&d->latents->head) +
	       i;
}

/* The mean of sample i of a block. */
static uint16_t mean_beside(const struct decoder *d, const struct vae_rect *block, unsigned i)
{
	size_t sum = 0;
	for (size_t row = block->row; row < block->row + block->rows; row++)
		for (size_t column = block->column; column < block->column + block->columns; column++)
			sum += *beside(d, row, column, i);
	return vae_mean_of(sum, block->rows * block->columns);
}

/* One pixel of the output: what of it is beside y. Blocks do not cross the edges of cells. */
static void give_pixel(const struct decoder *d, const struct vae_rect *block, uint16_t *colour,
                       uint16_t *alpha)
{
	const struct vae_head *head = &d->latents->head;
	unsigned colours = (unsigned)vae_colours(head->geometry.tuple);
	if (head->mixed && *beside(d, block->row, block->column, 0))
		for (unsigned i = 0; i < colours; i++)
			colour[i] = mean_beside(d, block, 1 + i);
	if (alpha)
		*alpha = mean_beside(d, block, vae_exact_samples(head) - 1);
}

/* The samples beside y of rows rows.row to `end` leave the queue, for alpha and d->colour. */
static void give_beside(struct decoder *d, uint16_t *alpha)
{
	const struct vae_rect *w = &d->window;
	size_t right = w->column + w->columns, colours = (size_t)vae_colours(d->rows.geometry.tuple);
	size_t first = w->row + d->rows.row * d->reduce,
		   last = vae_min(w->row + d->end * d->reduce, w->row + w->rows);
	uint16_t *colour = d->colour;
	for (size_t row = first; row < last; row += d->reduce) {
		struct vae_rect block = {.row = row - d->alpha_top, .rows = vae_min(d->reduce, last - row)};
		for (size_t left = w->column; left < right; left += d->reduce, colour += colours) {
			block.column = left;
			block.columns = vae_min(d->reduce, right - left);
			give_pixel(d, &block, colour, alpha);
			if (alpha)
				alpha++;
		}
	}
	vae_alpha_queue_take(&d->alpha, last - d->alpha_top, NULL);
	d->alpha_top = last;
}

/* Hands out rows from `spare` first. */
static size_t take_spares(struct decoder *d, uint32_t count)
{
	size_t line = samples_of(d), n = vae_min(d->spares, count);
	if (!n)
		return 0;
	memcpy(d->colour, d->spare, n * line * sizeof *d->spare);
	d->spares -= n;
	memmove(d->spare, d->spare + n * line, d->spares * line * sizeof *d->spare);
	return n;
}

static int decoder_read(struct vae_image_rows *rows, uint32_t count, uint16_t *colour,
                        uint16_t *alpha, struct vae_error *error)
{
	struct decoder *d = (struct decoder *)rows;
	d->colour = colour;
	d->end = rows->row + count;
	int rc = 0;
	uint64_t state = vae_fp_enter();
	if (!d->sweep)
		rc = synthesise_mlp(d, error);
	else if (take_spares(d, count) < count)
		rc = synthesise_photo(d, error);
	vae_fp_leave(state);
	if (!rc && d->end == rows->geometry.height && d->latents->row < d->latents->head.rows)
		rc = d->latents->read(d->latents, d->latents->head.rows - d->latents->row, NULL, NULL,
		                      error);
	if (rc)
		return rc;
	if (vae_exact_samples(&d->latents->head))
		give_beside(d, alpha);
	rows->row = (uint32_t)d->end;
	return 0;
}

static void decoder_release(struct vae_image_rows *rows)
{
	struct decoder *d = (struct decoder *)rows;
	vae_sweep_free(d->sweep);
	free(d->y);
	vae_alpha_queue_clear(&d->alpha);
	free(d->spare);
	free(d);
}

/* Returns whether means of blocks come from the model's own map instead of its synthesis. */
static bool is_mapped(const struct vae_model *model, size_t reduce)
{
	return model->means && reduce == VAE_MEANS_PX;
}

/* Returns the work of d's sweep, for a photo model. */
static struct vae_sweep_work work_of(struct decoder *d)
{
	const struct vae_model *m = d->model;
	struct vae_sweep_work work = {
		.nets = m->nets,
		.weights = &m->weights,
		.part = VAE_SYNTHESIS,
		.load = load_latents,
		.store = d->reduce == 1 ? store_pixels : store_means,
		.at = vae_position_of(m->nets->arch.knots, d->latents->head.quality),
		.context = d};
	if (!is_mapped(m, d->reduce))
		return work;
	work.nets = m->means;
	work.weights = &m->means_weights;
	work.store = store_mapped;
	return work;
}

static int decode_rows(struct vae_image_rows **image, const struct vae_model *model,
                       struct vae_latents_rows *latents, const struct vae_rect *window,
                       size_t reduce, struct vae_error *error)
{
	const struct vae_head *l = &latents->head;
	struct vae_geometry g = l->geometry;
	struct vae_rect w;
	struct decoder *d;
	int rc = vae_window_take(&w, window, &g, error);
	if (rc || (rc = vae_shape_fits(model, l, error)))
		return rc;
	if (!l->channels)
		return vae_lossless_decode_rows(image, latents, &w, (uint32_t)reduce, error);
	int part = is_mapped(model, reduce) ? VAE_PART_MEANS : VAE_SYNTHESIS;
	if ((rc = vae_model_prepare(model, 1u << part, error)) ||
	    (rc = vae_alloc(&d, 1, sizeof *d, error)))
		return rc;
	g.width = (uint32_t)quotient_up(w.columns, reduce);
	g.height = (uint32_t)quotient_up(w.rows, reduce);
	*d = (struct decoder){.rows = {g, 0, decoder_read, decoder_release},
	                      .model = model,
	                      .latents = latents,
	                      .window = w,
	                      .reduce = reduce,
	                      .alpha.width = l->geometry.width * vae_exact_samples(l)};
	if (model->nets->arch.kind == VAE_ARCH_PHOTO) {
		struct vae_sweep_work work = work_of(d);
		struct vae_rect area = vae_window_cells(&w);
		if ((rc = vae_sweep_new(&d->sweep, &work, l->geometry.height, l->geometry.width, &area,
		                        (size_t)omp_get_max_threads(), error)) ||
		    (rc = vae_alloc_raw(&d->spare, VAE_CELL_PX * samples_of(d), sizeof *d->spare, error))) {
			decoder_release(&d->rows);
			return rc;
		}
	}
	*image = &d->rows;
	return 0;
}

int vae_decode_rows(struct vae_image_rows **image, const struct vae_model *model,
                    struct vae_latents_rows *latents, const struct vae_rect *window,
                    struct vae_error *error)
{
	return decode_rows(image, model, latents, window, 1, error);
}

int vae_decode_reduced_rows(struct vae_image_rows **image, const struct vae_model *model,
                            struct vae_latents_rows *latents, int reduce, struct vae_error *error)
{
	if (reduce != 4 && reduce != 8)
		return vae_fail(error, VAE_EARG, "pictures are reduced by 4 or 8, not by %d", reduce);
	if (latents->head.channels && model->nets->arch.kind != VAE_ARCH_PHOTO)
		return vae_fail(error, VAE_EARG, "only pictures of photo models can be reduced");
	return decode_rows(image, model, latents, NULL, (size_t)reduce, error);
}

int vae_decode(struct vae_image **image, const struct vae_model *model,
               const struct vae_latents *latents, struct vae_error *error)
{
	struct vae_latents_rows *cells;
	struct vae_image_rows *pixels;
	int rc = vae_latents_rows_new(&cells, latents, error);
	if (rc)
		return rc;
	rc = vae_decode_rows(&pixels, model, cells, NULL, error);
	if (!rc) {
		rc = vae_image_rows_collect(image, pixels, error);
		vae_image_rows_free(pixels);
	}
	vae_latents_rows_free(cells);
	return rc;
}
