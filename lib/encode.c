/* encode.c - from a picture to codes: analysis strip by strip, then the prior slice by slice. */
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "nn/sweep.h"
#include "prior/payload.h"
#include "shape.h"

/* ---- q(y|x) ------------------------------------------------------------------------------------------------------------ */

struct analysis {
	const struct vae_image *image;
	struct vae_latents *latents;
};

/* Samples to x in -0.5 .. 0.5, grey as three equal colours: one rounded division, one rounded subtraction. */
static void load_pixels(void *context, const struct vae_block *block, float *x)
{
	const struct vae_image *image = ((struct analysis *)context)->image;
	size_t colours = (size_t)vae_colours(image->geometry.tuple), width = image->geometry.width, n = block->width_px;
	float maxval = image->geometry.maxval;
	for (size_t row = 0; row < block->height_px; row++, x += 3 * n) {
		const uint16_t *in = image->colour + ((block->cells.row * VAE_CELL_PX + row) * width + block->cells.column * VAE_CELL_PX) * colours;
		if (colours == 3)
			for (size_t i = 0; i < 3 * n; i++)
				x[i] = (float)in[i] / maxval - 0.5f;
		else
			for (size_t i = 0; i < n; i++)
				x[3 * i] = x[3 * i + 1] = x[3 * i + 2] = (float)in[i] / maxval - 0.5f;
	}
}

static bool all_finite(const float *v, size_t n)
{
	bool all = true;
	for (size_t i = 0; i < n; i++)
		all &= v[i] - v[i] == 0;
	return all;
}

static int not_finite(struct vae_error *error)
{
	return vae_fail(error, VAE_EMODEL, "the model makes latents that are not finite numbers");
}

static int store_latents(void *context, const struct vae_block *block, const float *y, struct vae_error *error)
{
	struct vae_latents *l = ((struct analysis *)context)->latents;
	const struct vae_area *cells = &block->cells;
	size_t channels = l->channels, n = cells->columns * channels;
	for (size_t row = cells->row; row < cells->row + cells->rows; row++, y += n) {
		if (!all_finite(y, n))
			return not_finite(error);
		memcpy(l->y + (row * l->columns + cells->column) * channels, y, n * sizeof *y);
	}
	return 0;
}

static int analyse_photo(struct vae_latents *latents, const struct vae_model *model, const struct vae_image *image, struct vae_error *error)
{
	struct analysis analysis = {image, latents};
	struct vae_sweep_work work = {
		.nets = model->nets, .weights = &model->weights, .part = VAE_ANALYSIS, .load = load_pixels, .store = store_latents,
		.at = vae_position_of(model->nets->arch.knots, latents->quality), .context = &analysis};
	struct vae_sweep *sweep;
	int rc = vae_sweep_new(&sweep, &work, image->geometry.height, image->geometry.width, NULL, (size_t)omp_get_max_threads(), error);
	if (rc)
		return rc;
	rc = vae_sweep_run(sweep, latents->rows, error);
	vae_sweep_free(sweep);
	return rc;
}

/* The posterior's means; its variances serve training alone. */
static int analyse_mlp(struct vae_latents *latents, const struct vae_model *model, const struct vae_image *image, struct vae_error *error)
{
	struct vae_run run;
	size_t pixels = (size_t)image->geometry.width * image->geometry.height;
	float maxval = image->geometry.maxval;
	int rc = vae_run_init(&run, &model->nets->net[VAE_ANALYSIS], 0, 1, 1, false, error);
	if (rc)
		return rc;
	for (size_t i = 0; i < pixels; i++)
		vae_run_input(&run, 0)[i] = (float)image->colour[i] / maxval;
	vae_net_forward(&run, model->nets, &model->weights, vae_position_of(model->nets->arch.knots, latents->quality));
	memcpy(latents->y, vae_run_output(&run, 0), latents->channels * sizeof *latents->y);
	vae_run_clear(&run);
	return all_finite(latents->y, latents->channels) ? 0 : not_finite(error);
}

int vae_encode(struct vae_latents **latents, const struct vae_model *model, const struct vae_image *image, double quality, struct vae_error *error)
{
	struct vae_shape shape;
	struct vae_latents *l = NULL;
	size_t floats;
	int rc;
	if (!(quality >= 0 && quality <= 100))
		return vae_fail(error, VAE_EARG, "quality %g is not 0 to 100", quality);
	if ((rc = vae_shape_of(&shape, model, &image->geometry, error)) || (rc = vae_model_prepare(model, 1u << VAE_ANALYSIS, error)) ||
	    (rc = vae_alloc(&l, 1, sizeof *l, error)))
		return rc;
	*l = (struct vae_latents){
		.geometry = image->geometry, .model_id = model->id, .quality = (uint16_t)(quality / 100 * VAE_QUALITY_ONE + 0.5),
		.rows = (uint32_t)shape.rows, .columns = (uint32_t)shape.columns, .channels = (uint32_t)shape.channels};
	if ((rc = vae_hint_copy(&l->model_hint, model, error)) || (rc = vae_alpha_copy(&l->alpha, image->alpha, &image->geometry, error)) ||
	    (rc = vae_multiply(&floats, shape.rows, shape.columns, shape.channels, error)) ||
	    (rc = vae_alloc_raw(&l->y, floats, sizeof *l->y, error)))
		goto out;
	uint64_t state = vae_fp_enter();
	rc = (model->nets->arch.kind == VAE_ARCH_PHOTO ? analyse_photo : analyse_mlp)(l, model, image, error);
	vae_fp_leave(state);
	if (!rc) {
		*latents = l;
		l = NULL;
	}
out:
	vae_latents_free(l);
	return rc;
}

/* ---- p(y) -------------------------------------------------------------------------------------------------------------- */

/* Where the symbols of the slices come from: latents, or codes that hold them already. */
struct quantisation {
	const struct vae_latents *latents;
	const struct vae_codes *packed;
	const struct vae_model *model;
	struct vae_codes *codes;
};

static int round_slice(struct vae_symbols *symbols, const struct quantisation *q, size_t i, struct vae_error *error)
{
	const struct vae_latents *l = q->latents;
	struct vae_slice_place p = vae_slice_at(l->rows, l->columns, i);
	struct vae_prior prior = vae_prior_of(q->model, l->quality);
	size_t stride = (size_t)l->columns * l->channels;
	int rc = vae_symbols_init(symbols, q->model->nets, p.rows, p.columns, error);
	if (!rc && (rc = vae_hyper_analyse(symbols, &prior, l->y + p.row * stride + p.column * l->channels, stride, error)))
		vae_symbols_clear(symbols);
	return rc;
}

static int pack_slice(void *context, size_t i, int thread, struct vae_error *error)
{
	const struct quantisation *q = context;
	struct vae_symbols symbols;
	struct vae_buffer buffer = {0};
	(void)thread;
	int rc = q->latents ? round_slice(&symbols, q, i, error) : vae_slice_decode(&symbols, q->packed, q->model, i, NULL, 0, error);
	if (rc)
		return rc;
	rc = vae_payload_write(&buffer, &symbols, &q->model->scales, q->codes->method, error);
	vae_symbols_clear(&symbols);
	if (rc)
		vae_buffer_clear(&buffer);
	else
		q->codes->slice[i] = (struct vae_slice){buffer.data, (uint32_t)buffer.size};
	return rc;
}

/* Packs all slices into codes whose description is `like`; alpha is that of the source. */
static int pack(struct vae_codes **codes, const struct vae_codes *like, const uint16_t *alpha, struct quantisation *q, struct vae_error *error)
{
	struct vae_codes *c = NULL;
	int rc;
	if (like->method != VAE_METHOD_RANGE && like->method != VAE_METHOD_ZSTD)
		return vae_fail(error, VAE_EARG, "method %d is neither range nor zstd", (int)like->method);
	if ((rc = vae_alloc(&c, 1, sizeof *c, error)))
		return rc;
	*c = *like;
	size_t slices = (size_t)vae_slice_count(c->rows, c->columns);
	if ((rc = vae_alpha_copy(&c->alpha, alpha, &c->geometry, error)) || (rc = vae_alloc(&c->slice, slices, sizeof *c->slice, error)))
		goto out;
	c->slices = (uint32_t)slices;
	q->codes = c;
	rc = vae_parallel(slices, pack_slice, q, error);
	if (!rc) {
		*codes = c;
		c = NULL;
	}
out:
	vae_codes_free(c);
	return rc;
}

int vae_quantise(struct vae_codes **codes, const struct vae_model *model, const struct vae_latents *l, enum vae_method method, struct vae_error *error)
{
	int rc = vae_shape_fits(model, &l->geometry, l->model_id, l->rows, l->columns, l->channels, error);
	if (rc || (rc = vae_model_prepare(model, 1u << VAE_H_A | 1u << VAE_H_S | 1u << VAE_CONTEXT, error)))
		return rc;
	struct vae_codes like = {.geometry = l->geometry, .model_id = l->model_id, .quality = l->quality, .method = method,
	                         .rows = l->rows, .columns = l->columns, .channels = l->channels};
	return pack(codes, &like, l->alpha, &(struct quantisation){.latents = l, .model = model}, error);
}

int vae_repack(struct vae_codes **codes, const struct vae_model *model, const struct vae_codes *packed, enum vae_method method, struct vae_error *error)
{
	int rc = vae_codes_check(packed, model, error);
	if (rc)
		return rc;
	struct vae_codes like = {.geometry = packed->geometry, .model_id = packed->model_id, .quality = packed->quality, .method = method,
	                         .rows = packed->rows, .columns = packed->columns, .channels = packed->channels};
	return pack(codes, &like, packed->alpha, &(struct quantisation){.packed = packed, .model = model}, error);
}
