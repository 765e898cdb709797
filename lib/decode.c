/* decode.c - the same road back: from codes to a picture. Everything here is exact (vae(7), EXACTNESS). */
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/random.h"
#include "image/image.h"
#include "nn/tiles.h"
#include "shape.h"

#ifdef __FAST_MATH__
#error "the result must be the same on every machine: build without -ffast-math"
#endif
_Static_assert(__FLT_EVAL_METHOD__ == 0, "binary32 must be evaluated in binary32");

/* ---- p(y) -------------------------------------------------------------------------------------------------------------- */

struct dequantisation {
	const struct vae_codes *codes;
	const struct vae_model *model;
	float *y;
};

static int dequantise_slice(void *context, size_t i, int thread, struct vae_error *error)
{
	const struct dequantisation *d = context;
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

int vae_dequantise(struct vae_latents **latents, const struct vae_model *model, const struct vae_codes *codes, struct vae_error *error)
{
	struct vae_latents *l = NULL;
	size_t floats;
	int rc = vae_codes_check(codes, model, error);
	if (rc || (rc = vae_alloc(&l, 1, sizeof *l, error)))
		return rc;
	*l = (struct vae_latents){
		.geometry = codes->geometry, .model_id = codes->model_id, .quality = codes->quality,
		.rows = codes->rows, .columns = codes->columns, .channels = codes->channels};
	if ((rc = vae_hint_copy(&l->model_hint, model, error)) || (rc = vae_alpha_copy(&l->alpha, codes->alpha, &codes->geometry, error)) ||
	    (rc = vae_multiply(&floats, codes->rows, codes->columns, codes->channels, error)) ||
	    (rc = vae_alloc_raw(&l->y, floats, sizeof *l->y, error)))
		goto out;
	rc = vae_parallel(codes->slices, dequantise_slice, &(struct dequantisation){codes, model, l->y}, error);
	if (!rc) {
		*latents = l;
		l = NULL;
	}
out:
	vae_latents_free(l);
	return rc;
}

/* ---- p(x|y) ------------------------------------------------------------------------------------------------------------ */

struct synthesis {
	const struct vae_latents *latents;
	struct vae_image *image;
};

/* v in 0..1 to 0..maxval: clamped (NaN is 0), multiplied, rounded half to even, each once. v maxval < 2^22, where adding 1.5 x 2^23 rounds. */
static uint16_t sample_of(float v, float maxval)
{
	v = v > 0 ? v : 0;
	v = v < 1 ? v : 1;
	return (uint16_t)((v * maxval + 0x1.8p23f) - 0x1.8p23f);
}

static void load_latents(void *context, const struct vae_tile *tile, float *y)
{
	const struct vae_latents *l = ((struct synthesis *)context)->latents;
	size_t channels = l->channels, line = tile->width * channels;
	for (size_t row = 0; row < tile->height; row++)
		memcpy(y + row * line, l->y + ((tile->top + row) * l->columns + tile->left) * channels, line * sizeof *y);
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

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

static int store_pixels(void *context, const struct vae_tile *tile, const float *x, struct vae_error *error)
{
	struct vae_image *image = ((struct synthesis *)context)->image;
	const struct vae_geometry *g = &image->geometry;
	size_t colours = (size_t)vae_colours(g->tuple);
	size_t first = tile->row * VAE_CELL_PX, end = least((tile->row + tile->rows) * VAE_CELL_PX, g->height);
	size_t left = tile->column * VAE_CELL_PX, right = least((tile->column + tile->columns) * VAE_CELL_PX, g->width);
	(void)error;
	for (size_t row = first; row < end; row++) {
		const float *from = x + ((row - tile->top * VAE_CELL_PX) * tile->width_px + left - tile->left * VAE_CELL_PX) * 3;
		store_row(image->colour + (row * g->width + left) * colours, from, right - left, colours, g->maxval);
	}
	return 0;
}

static int synthesise_photo(struct vae_image *image, const struct vae_model *model, const struct vae_latents *latents, struct vae_error *error)
{
	struct synthesis synthesis = {latents, image};
	struct vae_tile_work work = {
		.nets = model->nets, .weights = &model->weights, .part = VAE_SYNTHESIS, .load = load_latents, .store = store_pixels,
		.at = vae_position_of(model->nets->arch.knots, latents->quality), .context = &synthesis};
	struct vae_tiles tiles;
	vae_tiles_cut(&tiles, &model->nets->net[VAE_SYNTHESIS], image->geometry.height, image->geometry.width, (size_t)omp_get_max_threads(), 0);
	return vae_tiles_run(&tiles, &work, error);
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

static int synthesise_mlp(struct vae_image *image, const struct vae_model *model, const struct vae_latents *latents, struct vae_error *error)
{
	struct vae_run run;
	size_t pixels = (size_t)image->geometry.width * image->geometry.height;
	float maxval = image->geometry.maxval;
	int rc = vae_run_init(&run, &model->nets->net[VAE_SYNTHESIS], 0, 1, 1, false, error);
	if (rc)
		return rc;
	memcpy(vae_run_input(&run, 0), latents->y, latents->channels * sizeof *latents->y);
	vae_net_forward(&run, model->nets, &model->weights, vae_position_of(model->nets->arch.knots, latents->quality));
	for (size_t i = 0; i < pixels; i++)
		image->colour[i] = sample_of(sigmoid(model->sigmoid, vae_run_output(&run, 0)[i]), maxval);
	vae_run_clear(&run);
	return 0;
}

int vae_decode(struct vae_image **image, const struct vae_model *model, const struct vae_latents *latents, struct vae_error *error)
{
	const struct vae_geometry *g = &latents->geometry;
	struct vae_image *x = NULL;
	int rc = vae_shape_fits(model, g, latents->model_id, latents->rows, latents->columns, latents->channels, error);
	if (rc)
		return rc;
	if (vae_has_alpha(g->tuple) && !latents->alpha)
		return vae_fail(error, VAE_EARG, "a picture of type %s without its alpha", vae_tuple_name(g->tuple));
	if ((rc = vae_model_prepare(model, 1u << VAE_SYNTHESIS, error)) || (rc = vae_image_new_raw(&x, g, UINT64_MAX, error)))
		return rc;
	uint64_t state = vae_fp_enter();
	rc = (model->nets->arch.kind == VAE_ARCH_PHOTO ? synthesise_photo : synthesise_mlp)(x, model, latents, error);
	vae_fp_leave(state);
	if (rc) {
		vae_image_free(x);
		return rc;
	}
	if (x->alpha)
		memcpy(x->alpha, latents->alpha, (size_t)g->width * g->height * sizeof *x->alpha);
	*image = x;
	return 0;
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
