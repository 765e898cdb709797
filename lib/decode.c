/* decode.c - the same road back: from codes to a picture. Everything here is exact (vae(7), EXACTNESS). */
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/random.h"
#include "image/image.h"
#include "nn/sweep.h"
#include "shape.h"

#ifdef __FAST_MATH__
#error "the result must be the same on every machine: build without -ffast-math"
#endif
_Static_assert(__FLT_EVAL_METHOD__ == 0, "binary32 must be evaluated in binary32");

static size_t least(size_t a, size_t b) { return a < b ? a : b; }
static size_t most(size_t a, size_t b) { return a > b ? a : b; }
static size_t quotient_up(size_t a, size_t b) { return (a + b - 1) / b; }

/* ---- windows ----------------------------------------------------------------------------------------------------------- */

static struct vae_window whole(const struct vae_geometry *g) { return (struct vae_window){0, 0, g->width, g->height}; }

static int check_window(const struct vae_window *w, const struct vae_geometry *g, struct vae_error *error)
{
	if (w->width && w->height && w->left < g->width && w->top < g->height && w->width <= g->width - w->left && w->height <= g->height - w->top)
		return 0;
	return vae_fail(error, VAE_EARG, "the window %u,%u,%u,%u is not within the picture of %u x %u pixels", w->left, w->top, w->width,
	                w->height, g->width, g->height);
}

/* The squares of `side` that [row, row + rows) x [column, column + columns) touches. */
static struct vae_area touched(size_t row, size_t column, size_t rows, size_t columns, size_t side)
{
	struct vae_area a = {.row = row / side, .column = column / side};
	a.rows = quotient_up(row + rows, side) - a.row;
	a.columns = quotient_up(column + columns, side) - a.column;
	return a;
}

/* The cells that a window's pixels lie in. */
static struct vae_area cells_of(const struct vae_window *w) { return touched(w->top, w->left, w->height, w->width, VAE_CELL_PX); }

/* The slices of the cells that synthesis reads for a window: those it lies in, and the margin around them. */
static struct vae_area slices_of(const struct vae_window *w, const struct vae_model *model, const struct vae_codes *codes)
{
	if (model->nets->arch.kind == VAE_ARCH_MLP)
		return (struct vae_area){0, 0, 1, 1};
	struct vae_area a = cells_of(w);
	size_t halo = vae_net_halo(&model->nets->net[VAE_SYNTHESIS]), top = a.row - least(a.row, halo), left = a.column - least(a.column, halo);
	size_t bottom = least(a.row + a.rows + halo, codes->rows), right = least(a.column + a.columns + halo, codes->columns);
	return touched(top, left, bottom - top, right - left, VAE_SLICE_CELLS);
}

/* ---- p(y) -------------------------------------------------------------------------------------------------------------- */

struct dequantisation {
	const struct vae_codes *codes;
	const struct vae_model *model;
	float *y;
	struct vae_area slices; /* that are wanted */
};

static int dequantise_slice(void *context, size_t piece, int thread, struct vae_error *error)
{
	const struct dequantisation *d = context;
	size_t row = d->slices.row + piece / d->slices.columns, column = d->slices.column + piece % d->slices.columns;
	size_t i = row * quotient_up(d->codes->columns, VAE_SLICE_CELLS) + column;
	struct vae_slice_place p = vae_slice_at(d->codes->rows, d->codes->columns, i);
	struct vae_symbols symbols;
	size_t stride = (size_t)d->codes->columns * d->codes->channels;
	float *y = d->y + p.row * stride + p.column * d->codes->channels;
	(void)thread;
	int rc = vae_slice_decode(&symbols, d->codes, d->model, i, y, stride, error);
	if (!rc)
		vae_symbols_clear(&symbols);
	return rc;
}

int vae_dequantise_window(struct vae_latents **latents, const struct vae_model *model, const struct vae_codes *codes,
                          const struct vae_window *window, struct vae_error *error)
{
	struct vae_latents *l = NULL;
	size_t floats;
	int rc = vae_codes_check(codes, model, error);
	if (rc || (rc = check_window(window, &codes->geometry, error)) || (rc = vae_alloc(&l, 1, sizeof *l, error)))
		return rc;
	*l = (struct vae_latents){
		.geometry = codes->geometry, .model_id = codes->model_id, .quality = codes->quality,
		.rows = codes->rows, .columns = codes->columns, .channels = codes->channels};
	if ((rc = vae_hint_copy(&l->model_hint, model, error)) || (rc = vae_alpha_copy(&l->alpha, codes->alpha, &codes->geometry, error)) ||
	    (rc = vae_multiply(&floats, codes->rows, codes->columns, codes->channels, error)) ||
	    (rc = vae_alloc_sparse(&l->y, floats, sizeof *l->y, error)))
		goto out;
	struct dequantisation d = {codes, model, l->y, slices_of(window, model, codes)};
	rc = vae_parallel(d.slices.rows * d.slices.columns, dequantise_slice, &d, error);
	if (!rc) {
		*latents = l;
		l = NULL;
	}
out:
	vae_latents_free(l);
	return rc;
}

int vae_dequantise(struct vae_latents **latents, const struct vae_model *model, const struct vae_codes *codes, struct vae_error *error)
{
	struct vae_window all = whole(&codes->geometry);
	return vae_dequantise_window(latents, model, codes, &all, error);
}

/* ---- p(x|y) ------------------------------------------------------------------------------------------------------------ */

struct synthesis {
	const struct vae_latents *latents;
	struct vae_window window;
	size_t reduce;           /* side of the blocks that become a pixel each: 1, or else 4 or 8, and the window is the whole picture */
	struct vae_image *image;
};

/* v in 0..1 to 0..maxval: clamped (NaN is 0), multiplied, rounded half to even, each once. v maxval < 2^22, where adding 1.5 x 2^23 rounds. */
static uint16_t sample_of(float v, float maxval)
{
	v = v > 0 ? v : 0;
	v = v < 1 ? v : 1;
	return (uint16_t)((v * maxval + 0x1.8p23f) - 0x1.8p23f);
}

static void load_latents(void *context, const struct vae_block *block, float *y)
{
	const struct vae_latents *l = ((const struct synthesis *)context)->latents;
	const struct vae_area *cells = &block->cells;
	size_t channels = l->channels, line = cells->columns * channels;
	for (size_t row = 0; row < cells->rows; row++)
		memcpy(y + row * line, l->y + ((cells->row + row) * l->columns + cells->column) * channels, line * sizeof *y);
}

/* One row of pixels. Grey is the mean of the three colours: (r + g + b) (1/3), in this order. */
static void store_row(uint16_t *out, const float *x, size_t pixels, size_t colours, float maxval)
{
	if (colours == 3)
		for (size_t i = 0; i < 3 * pixels; i++)
			out[i] = sample_of(x[i] + 0.5f, maxval);
	else
		for (size_t i = 0; i < pixels; i++, x += 3)
			out[i] = sample_of((x[0] + x[1] + x[2]) * (1.0f / 3) + 0.5f, maxval);
}

/* What a block writes of a window: rows [top, bottom) and columns [left, right) of the picture. */
struct part { size_t top, bottom, left, right; };

static struct part part_of(const struct vae_window *w, const struct vae_block *block)
{
	size_t top = block->cells.row * VAE_CELL_PX, left = block->cells.column * VAE_CELL_PX;
	return (struct part){most(top, w->top), least(top + block->height_px, w->top + w->height),
	                     most(left, w->left), least(left + block->width_px, w->left + w->width)};
}

/* A pixel of the picture in a block's output, and in the image that is made. */
static const float *pixel_in(const float *x, const struct vae_block *block, size_t row, size_t column)
{
	return x + ((row - block->cells.row * VAE_CELL_PX) * block->width_px + column - block->cells.column * VAE_CELL_PX) * 3;
}

static uint16_t *pixel_out(const struct synthesis *s, size_t row, size_t column)
{
	const struct vae_geometry *g = &s->image->geometry;
	size_t pixel = (row - s->window.top) / s->reduce * g->width + (column - s->window.left) / s->reduce;
	return s->image->colour + pixel * (size_t)vae_colours(g->tuple);
}

static int store_pixels(void *context, const struct vae_block *block, const float *x, struct vae_error *error)
{
	const struct synthesis *s = context;
	const struct vae_geometry *g = &s->image->geometry;
	struct part p = part_of(&s->window, block);
	(void)error;
	for (size_t row = p.top; row < p.bottom; row++)
		store_row(pixel_out(s, row, p.left), pixel_in(x, block, row, p.left), p.right - p.left, (size_t)vae_colours(g->tuple), g->maxval);
	return 0;
}

/* Adds a row of pixels to the sums of the blocks that it crosses, one rounded addition each, from the left. */
static void add_row(float *sum, const float *x, size_t pixels, size_t reduce)
{
	for (size_t first = 0; first < pixels; first += reduce, sum += 3)
		for (size_t i = least(reduce, pixels - first); i--; x += 3)
			for (int c = 0; c < 3; c++)
				sum[c] += x[c];
}

/* Sums of blocks to their means: one rounded division by the number of pixels, which in the last column may be narrower. */
static void divide_row(float *sum, size_t pixels, size_t rows, size_t reduce)
{
	for (size_t first = 0; first < pixels; first += reduce, sum += 3)
		for (int c = 0; c < 3; c++)
			sum[c] /= (float)(rows * least(reduce, pixels - first));
}

/* What is stored at once is whole cells: no block of pixels lies in two. */
static int store_means(void *context, const struct vae_block *block, const float *x, struct vae_error *error)
{
	const struct synthesis *s = context;
	const struct vae_geometry *g = &s->image->geometry;
	struct part p = part_of(&s->window, block);
	size_t pixels = p.right - p.left, blocks = quotient_up(pixels, s->reduce);
	float *sum;
	int rc = vae_alloc_raw(&sum, 3 * blocks, sizeof *sum, error);
	if (rc)
		return rc;
	for (size_t top = p.top; top < p.bottom; top += s->reduce) {
		size_t bottom = least(top + s->reduce, p.bottom);
		memset(sum, 0, 3 * blocks * sizeof *sum);
		for (size_t row = top; row < bottom; row++)
			add_row(sum, pixel_in(x, block, row, p.left), pixels, s->reduce);
		divide_row(sum, pixels, bottom - top, s->reduce);
		store_row(pixel_out(s, top, p.left), sum, blocks, (size_t)vae_colours(g->tuple), g->maxval);
	}
	free(sum);
	return 0;
}

static int synthesise_photo(const struct synthesis *s, const struct vae_model *model, struct vae_error *error)
{
	struct vae_sweep_work work = {
		.nets = model->nets, .weights = &model->weights, .part = VAE_SYNTHESIS, .load = load_latents,
		.store = s->reduce == 1 ? store_pixels : store_means, .at = vae_position_of(model->nets->arch.knots, s->latents->quality),
		.context = (void *)s};
	const struct vae_geometry *g = &s->latents->geometry;
	struct vae_area area = cells_of(&s->window);
	struct vae_sweep *sweep;
	int rc = vae_sweep_new(&sweep, &work, g->height, g->width, &area, (size_t)omp_get_max_threads(), error);
	if (rc)
		return rc;
	rc = vae_sweep_run(sweep, area.rows, error);
	vae_sweep_free(sweep);
	return rc;
}

/* 1 / (1 + e^-v), linear between the stored knots, constant outside +-16. */
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

/* A dense network makes the whole picture or none. */
static int synthesise_mlp(const struct synthesis *s, const struct vae_model *model, struct vae_error *error)
{
	const struct vae_latents *latents = s->latents;
	const struct vae_window *w = &s->window;
	struct vae_run run;
	uint16_t *out = s->image->colour;
	int rc = vae_run_init(&run, &model->nets->net[VAE_SYNTHESIS], 0, 1, 1, false, error);
	if (rc)
		return rc;
	memcpy(vae_run_input(&run, 0), latents->y, latents->channels * sizeof *latents->y);
	vae_net_forward(&run, model->nets, &model->weights, vae_position_of(model->nets->arch.knots, latents->quality));
	for (size_t row = w->top; row < w->top + w->height; row++)
		for (size_t column = w->left; column < w->left + w->width; column++)
			*out++ = sample_of(sigmoid(model->sigmoid, vae_run_output(&run, 0)[row * latents->geometry.width + column]), latents->geometry.maxval);
	vae_run_clear(&run);
	return 0;
}

/* sum / n, rounded half to even. */
static uint16_t mean_of(size_t sum, size_t n)
{
	size_t mean = sum / n, rest = 2 * (sum % n);
	return (uint16_t)(mean + (rest > n || (rest == n && mean & 1)));
}

static uint16_t mean_alpha(const struct vae_latents *l, struct part block)
{
	size_t sum = 0;
	for (size_t row = block.top; row < block.bottom; row++)
		for (size_t column = block.left; column < block.right; column++)
			sum += l->alpha[row * l->geometry.width + column];
	return mean_of(sum, (block.bottom - block.top) * (block.right - block.left));
}

static void store_alpha_means(uint16_t *out, const struct vae_latents *l, size_t reduce)
{
	size_t height = l->geometry.height, width = l->geometry.width;
	for (size_t top = 0; top < height; top += reduce)
		for (size_t left = 0; left < width; left += reduce)
			*out++ = mean_alpha(l, (struct part){top, least(top + reduce, height), left, least(left + reduce, width)});
}

static void store_alpha(uint16_t *out, const struct vae_latents *l, const struct vae_window *w)
{
	for (size_t row = 0; row < w->height; row++)
		memcpy(out + row * w->width, l->alpha + (w->top + row) * l->geometry.width + w->left, w->width * sizeof *out);
}

/* s is complete but for the image. */
static int decode(struct vae_image **image, const struct vae_model *model, struct synthesis *s, struct vae_error *error)
{
	const struct vae_latents *l = s->latents;
	struct vae_geometry g = l->geometry;
	int rc = vae_shape_fits(model, &g, l->model_id, l->rows, l->columns, l->channels, error);
	if (rc || (rc = check_window(&s->window, &g, error)))
		return rc;
	if (vae_has_alpha(g.tuple) && !l->alpha)
		return vae_fail(error, VAE_EARG, "a picture of type %s without its alpha", vae_tuple_name(g.tuple));
	g.width = (uint32_t)quotient_up(s->window.width, s->reduce);
	g.height = (uint32_t)quotient_up(s->window.height, s->reduce);
	if ((rc = vae_model_prepare(model, 1u << VAE_SYNTHESIS, error)) || (rc = vae_image_new_raw(&s->image, &g, UINT64_MAX, error)))
		return rc;
	uint64_t state = vae_fp_enter();
	rc = (model->nets->arch.kind == VAE_ARCH_PHOTO ? synthesise_photo : synthesise_mlp)(s, model, error);
	vae_fp_leave(state);
	if (rc) {
		vae_image_free(s->image);
		return rc;
	}
	if (s->image->alpha && s->reduce > 1)
		store_alpha_means(s->image->alpha, l, s->reduce);
	else if (s->image->alpha)
		store_alpha(s->image->alpha, l, &s->window);
	*image = s->image;
	return 0;
}

int vae_decode(struct vae_image **image, const struct vae_model *model, const struct vae_latents *latents, struct vae_error *error)
{
	return decode(image, model, &(struct synthesis){latents, whole(&latents->geometry), 1, NULL}, error);
}

int vae_decode_window(struct vae_image **image, const struct vae_model *model, const struct vae_latents *latents,
                      const struct vae_window *window, struct vae_error *error)
{
	return decode(image, model, &(struct synthesis){latents, *window, 1, NULL}, error);
}

int vae_decode_reduced(struct vae_image **image, const struct vae_model *model, const struct vae_latents *latents, int reduce,
                       struct vae_error *error)
{
	if (reduce != 4 && reduce != 8)
		return vae_fail(error, VAE_EARG, "pictures are reduced by 4 or 8, not by %d", reduce);
	if (model->nets->arch.kind != VAE_ARCH_PHOTO)
		return vae_fail(error, VAE_EARG, "only pictures of photo models can be reduced");
	return decode(image, model, &(struct synthesis){latents, whole(&latents->geometry), (size_t)reduce, NULL}, error);
}

int vae_sample(struct vae_image **image, const struct vae_model *model, uint64_t seed, uint64_t index, struct vae_error *error)
{
	const struct vae_arch *a = &model->nets->arch;
	if (a->kind != VAE_ARCH_MLP)
		return vae_fail(error, VAE_EARG, "only models with a standard normal prior (mlp) can be sampled from");
	struct vae_latents z = {
		.geometry = {(uint32_t)a->width, (uint32_t)a->height, 255, VAE_PGM, VAE_GRAYSCALE}, .model_id = model->id,
		.quality = VAE_QUALITY_ONE, .rows = 1, .columns = 1, .channels = (uint32_t)a->y};
	int rc = vae_alloc_raw(&z.y, z.channels, sizeof *z.y, error);
	if (rc)
		return rc;
	struct vae_random random;
	uint64_t state = vae_fp_enter();
	vae_random_init(&random, seed, index, 0);
	for (size_t i = 0; i < z.channels; i++)
		z.y[i] = (float)vae_random_normal(&random);
	vae_fp_leave(state);
	rc = vae_decode(image, model, &z, error);
	free(z.y);
	return rc;
}
