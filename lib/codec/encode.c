/* encode.c - q(y|x): computes latents down the rows of a picture. */
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "codec/alpha.h"
#include "base/cpu.h"
#include "base/memory.h"
#include "base/minmax.h"
#include "image/image.h"
#include "nn/sweep.h"
#include "codec/pixels.h"
#include "codec/slice.h"

/* Rows of pixels are read from `image` when the sweep needs them. Since the analysis looks ahead,
 * alpha is queued until the cells of its pixels are handed out. */
struct encoder {
	struct vae_latents_rows rows;
	const struct vae_model *model;
	struct vae_image_rows *image;
	struct vae_sweep *sweep; /* NULL for mlp */
	uint16_t *colour;        /* rows of pixels from `top` on, for the sweep to load */
	size_t top, room;        /* rows of pixels; room in rows */
	/* From the first cell not handed out to the last row of pixels read. */
	struct vae_alpha_queue alpha;
	float *y; /* destination of row rows.row, the caller's */
};

static void load_pixels(void *context, const struct vae_block *block, float *x)
{
	const struct encoder *e = context;
	const struct vae_geometry *g = &e->image->geometry;
	size_t colours = (size_t)vae_colours(g->tuple), width = g->width, n = block->width_px;
	for (size_t row = 0; row < block->height_px; row++, x += 3 * n)
		vae_pixels_load(x,
		                e->colour + ((block->cells.row * VAE_CELL_PX - e->top + row) * width +
		                             block->cells.column * VAE_CELL_PX) *
		                                colours,
		                n, colours, g->maxval);
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

static int store_latents(void *context, const struct vae_block *block, const float *y,
                         struct vae_error *error)
{
	struct encoder *e = context;
	const struct vae_rect *cells = &block->cells;
	size_t channels = e->rows.head.channels, n = cells->columns * channels;
	for (size_t row = 0; row < cells->rows; row++, y += n) {
		if (!all_finite(y, n))
			return not_finite(error);
		memcpy(e->y + ((cells->row + row - e->rows.row) * e->rows.head.columns + cells->column) *
		                  channels,
		       y, n * sizeof *y);
	}
	return 0;
}

/* Reads the next `count` rows of pixels: colour to e->colour, alpha to the queue. */
static int read_pixels(struct encoder *e, size_t count, struct vae_error *error)
{
	const struct vae_geometry *g = &e->image->geometry;
	size_t samples = g->width * (size_t)vae_colours(g->tuple);
	uint16_t *alpha;
	int rc;
	e->top = e->image->row;
	if ((rc = vae_reserve(&e->colour, &e->room, count, 0, samples * sizeof *e->colour, error)) ||
	    (rc = vae_alpha_queue_add(&e->alpha, vae_has_alpha(g->tuple) ? count : 0, &alpha, error)))
		return rc;
	return e->image->read(e->image, (uint32_t)count, e->colour, alpha, error);
}

static int analyse_photo(struct encoder *e, uint32_t count, struct vae_error *error)
{
	size_t end = vae_sweep_needs(e->sweep, count) * VAE_CELL_PX, height = e->image->geometry.height;
	end = vae_min(end, height);
	int rc = end > e->image->row ? read_pixels(e, end - e->image->row, error) : 0;
	return rc ? rc : vae_sweep_run(e->sweep, count, error);
}

/* Computes the posterior's means; its variances are for training only. */
static int analyse_mlp(struct encoder *e, struct vae_error *error)
{
	const struct vae_model *model = e->model;
	const struct vae_geometry *g = &e->image->geometry;
	struct vae_run run;
	size_t pixels = (size_t)g->width * g->height;
	float maxval = g->maxval;
	int rc = read_pixels(e, g->height, error);
	if (rc || (rc = vae_run_init(&run, &model->nets->net[VAE_ANALYSIS], 0, 1, 1, false, error)))
		return rc;
	for (size_t i = 0; i < pixels; i++)
		vae_run_input(&run, 0)[i] = (float)e->colour[i] / maxval;
	vae_net_forward(&run, model->nets, &model->weights,
	                vae_position_of(model->nets->arch.knots, e->rows.head.quality));
	memcpy(e->y, vae_run_output(&run, 0), e->rows.head.channels * sizeof *e->y);
	vae_run_clear(&run);
	return all_finite(e->y, e->rows.head.channels) ? 0 : not_finite(error);
}

static int encoder_read(struct vae_latents_rows *rows, uint32_t count, float *y, uint16_t *alpha,
                        struct vae_error *error)
{
	struct encoder *e = (struct encoder *)rows;
	float *unwanted = NULL;
	int rc = y ? 0
	           : vae_alloc_raw(&unwanted, (size_t)count * rows->head.columns * rows->head.channels,
	                           sizeof *unwanted, error);
	if (rc)
		return rc;
	e->y = y ? y : unwanted;
	uint64_t state = vae_fp_enter();
	rc = e->sweep ? analyse_photo(e, count, error) : analyse_mlp(e, error);
	vae_fp_leave(state);
	free(unwanted);
	if (rc)
		return rc;
	vae_alpha_queue_take(&e->alpha, vae_alpha_rows(&rows->head, rows->row, count),
	                     y ? alpha : NULL);
	rows->row += count;
	return 0;
}

static void encoder_release(struct vae_latents_rows *rows)
{
	struct encoder *e = (struct encoder *)rows;
	vae_sweep_free(e->sweep);
	free(e->colour);
	vae_alpha_queue_clear(&e->alpha);
	free(rows->model_hint);
	free(e);
}

int vae_encode_rows(struct vae_latents_rows **latents, const struct vae_model *model,
                    struct vae_image_rows *image, double quality, struct vae_error *error)
{
	const struct vae_geometry *g = &image->geometry;
	struct vae_shape shape;
	struct encoder *e;
	int rc;
	if (!(quality >= 0 && quality <= 100))
		return vae_fail(error, VAE_EARG, "quality %g is not 0 to 100", quality);
	if ((rc = vae_shape_of(&shape, model, g, error)) ||
	    (rc = vae_model_prepare(model, 1u << VAE_ANALYSIS, error)) ||
	    (rc = vae_alloc(&e, 1, sizeof *e, error)))
		return rc;
	e->rows = (struct vae_latents_rows){.head = vae_head_of(model, g, &shape, quality),
	                                    .read = encoder_read,
	                                    .release = encoder_release};
	e->model = model;
	e->image = image;
	e->alpha.width = g->width;
	struct vae_sweep_work work = {
		.nets = model->nets,
		.weights = &model->weights,
		.part = VAE_ANALYSIS,
		.load = load_pixels,
		.store = store_latents,
		.at = vae_position_of(model->nets->arch.knots, e->rows.head.quality),
		.context = e};
	if ((rc = vae_hint_copy(&e->rows.model_hint, model, error)) ||
	    (model->nets->arch.kind == VAE_ARCH_PHOTO &&
	     (rc = vae_sweep_new(&e->sweep, &work, g->height, g->width, NULL,
	                         (size_t)omp_get_max_threads(), error))))
		encoder_release(&e->rows);
	else
		*latents = &e->rows;
	return rc;
}

int vae_encode(struct vae_latents **latents, const struct vae_model *model,
               const struct vae_image *image, double quality, struct vae_error *error)
{
	struct vae_image_rows *pixels;
	struct vae_latents_rows *cells;
	int rc = vae_image_rows_new(&pixels, image, error);
	if (rc)
		return rc;
	rc = vae_encode_rows(&cells, model, pixels, quality, error);
	if (!rc) {
		rc = vae_latents_rows_collect(latents, cells, error);
		vae_latents_rows_free(cells);
	}
	vae_image_rows_free(pixels);
	return rc;
}
