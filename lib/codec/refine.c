/* refine.c - latents that are refined for their picture: runs the analysis, then refines a row of
 * slices at a time. */
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "codec/alpha.h"
#include "base/memory.h"
#include "base/minmax.h"
#include "base/rect.h"
#include "base/parallel.h"
#include "base/text.h"
#include "loss/descent.h"
#include "measure/ssimulacra2.h"
#include "vae_train.h"
#include "nn/sweep.h"
#include "prior/slice_prior.h"
#include "codec/pixels.h"
#include "codec/slice.h"

/* The picture on its way to the analysis; keeps the colour of its last rows. */
struct tap {
	struct vae_image_rows rows;
	struct vae_image_rows *image;
	uint16_t *colour;
	size_t top, count, room; /* rows of pixels: the first one kept, their number */
};

struct refiner {
	struct vae_latents_rows rows;
	const struct vae_model *model;
	struct vae_refine_options options;
	/* For steps: the model's weights, with transposes, in bf16 if the CPU can. */
	struct vae_weights weights;
	struct tap tap;
	struct vae_latents_rows *analysis;
	int loss;      /* VAE_LOSS_MSE, _MS_SSIM or _VISION: the model's */
	double share;  /* of its metric in the distortion, 0 to 1 */
	size_t margin; /* rows and columns of cells around a slice that influence it */
	float *y;      /* rows of cells from `top` on, as far as the analysis was read */
	size_t top, room;
	struct vae_alpha_queue alpha; /* of the pixels of rows from rows.row on */
	size_t refined;               /* rows above this one are done */
	float *fresh;                 /* the refined slices of this row, as y from row `refined` on */
	struct vae_refine_cost *cost; /* [slices across][steps + 1] of this row of slices */
	struct vae_refine_cost *sum;  /* [steps + 1] of all rows so far */
};

/* ---- input ---------------------------------------------------------------------------------- */

static int tap_read(struct vae_image_rows *rows, uint32_t count, uint16_t *colour, uint16_t *alpha,
                    struct vae_error *error)
{
	struct tap *t = (struct tap *)rows;
	size_t line = (size_t)rows->geometry.width * (size_t)vae_colours(rows->geometry.tuple);
	int rc = t->image->read(t->image, count, colour, alpha, error);
	if (rc || (rc = vae_reserve(&t->colour, &t->room, t->count + count, t->count,
	                            line * sizeof *t->colour, error)))
		return rc;
	memcpy(t->colour + t->count * line, colour, count * line * sizeof *colour);
	t->count += count;
	rows->row += count;
	return 0;
}

/* Reads the analysis of rows up to `end` into y and alpha. */
static int read_analysis(struct refiner *r, size_t end, struct vae_error *error)
{
	const struct vae_head *head = &r->rows.head;
	size_t line = (size_t)head->columns * head->channels, row = r->analysis->row;
	uint16_t *alpha;
	int rc;
	if (row >= end)
		return 0;
	if ((rc = vae_reserve(&r->y, &r->room, end - r->top, row - r->top, line * sizeof *r->y,
	                      error)) ||
	    (rc = vae_alpha_queue_add(&r->alpha, vae_alpha_rows(head, row, end - row), &alpha, error)))
		return rc;
	return r->analysis->read(r->analysis, (uint32_t)(end - row), r->y + (row - r->top) * line,
	                         alpha, error);
}

/* Drops the rows above `row` of y and of the picture. */
static void drop_above(struct refiner *r, size_t row)
{
	const struct vae_head *head = &r->rows.head;
	size_t line = (size_t)head->columns * head->channels, px = row * VAE_CELL_PX;
	size_t px_line = (size_t)head->geometry.width * (size_t)vae_colours(head->geometry.tuple);
	if (row > r->top) {
		memmove(r->y, r->y + (row - r->top) * line, (r->analysis->row - row) * line * sizeof *r->y);
		r->top = row;
	}
	if (px > r->tap.top) {
		r->tap.count -= px - r->tap.top;
		memmove(r->tap.colour, r->tap.colour + (px - r->tap.top) * px_line,
		        r->tap.count * px_line * sizeof *r->tap.colour);
		r->tap.top = px;
	}
}

/* ---- a row of slices ------------------------------------------------------------------------- */

/* Returns the slice and its context among the picture's cells. */
static struct vae_refine_place place_of(const struct refiner *r, const struct vae_rect *p)
{
	const struct vae_head *head = &r->rows.head;
	struct vae_rect all = vae_rect_widened(*p, r->margin, head->rows, head->columns),
					pixels = vae_cell_pixels(head, all);
	return (struct vae_refine_place){
		.region = {.cells = all, .height_px = pixels.rows, .width_px = pixels.columns},
		.slice = {p->row - all.row, p->column - all.column, p->rows, p->columns}};
}

/* Copies y and pixels of the slice and its context. */
static void load_slice(const struct refiner *r, const struct vae_rect *p, struct vae_refine *slice)
{
	const struct vae_head *head = &r->rows.head;
	const struct vae_block *region = &slice->place.region;
	const struct vae_rect *all = &region->cells;
	size_t channels = head->channels, stride = head->columns * channels,
		   colours = (size_t)vae_colours(head->geometry.tuple), width = head->geometry.width;
	for (size_t row = 0; row < all->rows; row++)
		memcpy(slice->y + row * all->columns * channels,
		       r->y + (all->row + row - r->top) * stride + all->column * channels,
		       all->columns * channels * sizeof *slice->y);
	for (size_t row = 0; row < p->rows; row++)
		memcpy(slice->rate.y + row * p->columns * channels,
		       r->y + (p->row + row - r->top) * stride + p->column * channels,
		       p->columns * channels * sizeof *slice->y);
	for (size_t row = 0; row < region->height_px; row++)
		vae_pixels_load(slice->x + row * region->width_px * 3,
		                r->tap.colour + ((all->row * VAE_CELL_PX + row - r->tap.top) * width +
		                                 all->column * VAE_CELL_PX) *
		                                    colours,
		                region->width_px, colours, head->geometry.maxval);
}

static int refine_slice(void *context, size_t i, int thread, struct vae_error *error)
{
	struct refiner *r = context;
	const struct vae_head *head = &r->rows.head;
	size_t n = r->refined / VAE_SLICE_CELLS * vae_cells(head->columns, 6) + i,
		   stride = (size_t)head->columns * head->channels;
	struct vae_rect p = vae_slice_at(head, n);
	struct vae_refine_place place = place_of(r, &p);
	struct vae_refine slice;
	int rc = vae_refine_init(&slice, r->model->nets, &r->model->weights, &r->weights, head->quality,
	                         r->loss, r->share, &place, error);
	(void)thread;
	if (rc)
		return rc;
	load_slice(r, &p, &slice);
	rc = vae_refine_descend(&slice, r->options.steps, n,
	                        r->cost + i * ((size_t)r->options.steps + 1), error);
	for (size_t row = 0; row < p.rows && !rc; row++)
		memcpy(r->fresh + row * stride + p.column * head->channels,
		       slice.rate.y + row * p.columns * head->channels,
		       p.columns * head->channels * sizeof *r->fresh);
	vae_refine_clear(&slice);
	return rc;
}

static int refine_band(struct refiner *r, struct vae_error *error)
{
	const struct vae_head *head = &r->rows.head;
	size_t end = vae_min(r->refined + VAE_SLICE_CELLS, head->rows),
		   slices = vae_cells(head->columns, 6), steps = (size_t)r->options.steps + 1;
	size_t line = (size_t)head->columns * head->channels;
	int rc = read_analysis(r, vae_min(end + r->margin, head->rows), error);
	if (rc || (rc = vae_parallel(slices, refine_slice, r, error)))
		return rc;
	memcpy(r->y + (r->refined - r->top) * line, r->fresh, (end - r->refined) * line * sizeof *r->y);
	for (size_t i = 0; i < slices * steps; i++) {
		r->sum[i % steps].bits += r->cost[i].bits;
		r->sum[i % steps].squared_error += r->cost[i].squared_error;
		r->sum[i % steps].metric += r->cost[i].metric;
		r->sum[i % steps].distortion += r->cost[i].distortion;
	}
	r->refined = end;
	return 0;
}

static void report(const struct refiner *r)
{
	const struct vae_geometry *g = &r->rows.head.geometry;
	double pixels = (double)g->width * g->height;
	struct vae_refine_progress p = {.steps = r->options.steps};
	for (; r->options.report && p.step <= p.steps; p.step++) {
		p.bpp = r->sum[p.step].bits / pixels;
		p.mse = r->sum[p.step].squared_error / (3 * pixels);
		double metric = r->sum[p.step].metric / pixels;
		p.ssimulacra2 = r->loss == VAE_LOSS_VISION ? vae_s2_score(metric) : NAN;
		p.ms_ssim = r->loss == VAE_LOSS_MS_SSIM ? 1 - metric : NAN;
		p.loss = p.bpp + r->sum[p.step].distortion / pixels;
		r->options.report(r->options.context, &p);
	}
}

/* ---- the rows -------------------------------------------------------------------------------- */

static int refiner_read(struct vae_latents_rows *rows, uint32_t count, float *y, uint16_t *alpha,
                        struct vae_error *error)
{
	struct refiner *r = (struct refiner *)rows;
	size_t line = (size_t)rows->head.columns * rows->head.channels;
	for (size_t given = 0; given < count;) {
		size_t lines, n;
		int rc = rows->row < r->refined ? 0 : refine_band(r, error);
		if (rc)
			return rc;
		n = vae_min(count - given, r->refined - rows->row);
		if (y)
			memcpy(y + given * line, r->y + (rows->row - r->top) * line, n * line * sizeof *y);
		lines = vae_alpha_rows(&rows->head, rows->row, n);
		vae_alpha_queue_take(&r->alpha, lines, y ? alpha : NULL);
		if (alpha)
			alpha += lines * r->alpha.width;
		given += n;
		rows->row += (uint32_t)n;
		if (rows->row == r->refined)
			drop_above(r, r->refined - vae_min(r->refined, r->margin));
	}
	if (rows->row == rows->head.rows)
		report(r);
	return 0;
}

static void refiner_release(struct vae_latents_rows *rows)
{
	struct refiner *r = (struct refiner *)rows;
	vae_latents_rows_free(r->analysis);
	vae_weights_clear(&r->weights);
	free(r->tap.colour);
	free(r->y);
	vae_alpha_queue_clear(&r->alpha);
	free(r->fresh);
	free(r->cost);
	free(r->sum);
	free(r);
}

static int load_weights(struct vae_weights *weights, const struct vae_model *model,
                        struct vae_error *error)
{
	const struct vae_params *params = &model->nets->params;
	int rc = vae_weights_init(weights, params, true, error);
	if (rc || (rc = vae_model_values(model, weights->value, error)))
		return rc;
	weights->bf16 = vae_bf16();
	vae_weights_pack(weights, params);
	return 0;
}

/* Reads the loss that the model was trained by, and the share of its metric in the distortion. */
static int loss_of(struct refiner *r, const struct vae_model *model, struct vae_error *error)
{
	const char *loss = vae_model_metadata(model, "loss"),
			   *text = vae_model_metadata(model, "share");
	r->loss = VAE_LOSS_MSE;
	if (!loss || !strcmp(loss, "mse"))
		return 0;
	r->loss = !strcmp(loss, "vision") ? VAE_LOSS_VISION : VAE_LOSS_MS_SSIM;
	if (r->loss == VAE_LOSS_MS_SSIM && strcmp(loss, "ms-ssim") != 0)
		return vae_fail(error, VAE_EARG,
		                "no refinement by the loss that the model was trained by, %.60s", loss);
	r->share = text ? vae_text_real(text, NULL) : r->loss == VAE_LOSS_VISION ? VAE_VISION_SHARE : 1;
	if (!(r->share > 0 && r->share <= 1))
		return vae_fail(error, VAE_EMODEL, "the model's share %.60s is not above 0 and at most 1",
		                text);
	return 0;
}

int vae_refine_rows(struct vae_latents_rows **latents, const struct vae_model *model,
                    struct vae_image_rows *image, double quality,
                    const struct vae_refine_options *options, struct vae_error *error)
{
	struct refiner *r;
	int rc;
	if (options->steps < 1 || options->steps > VAE_REFINE_MOST)
		return vae_fail(error, VAE_EARG, "%d steps of refinement are not 1 to %d", options->steps,
		                VAE_REFINE_MOST);
	if (model->nets->arch.kind != VAE_ARCH_PHOTO)
		return vae_fail(error, VAE_EARG, "only latents of photo models can be refined");
	if ((rc = vae_alloc(&r, 1, sizeof *r, error)))
		return rc;
	if ((rc = loss_of(r, model, error))) {
		free(r);
		return rc;
	}
	r->model = model;
	r->options = *options;
	r->margin = 2 * vae_net_halo(&model->nets->net[VAE_SYNTHESIS]);
	r->tap = (struct tap){.rows = {image->geometry, image->row, tap_read, NULL}, .image = image};
	if ((rc = vae_encode_rows(&r->analysis, model, &r->tap.rows, quality, error)) ||
	    (rc = vae_model_prepare(model, 1u << VAE_H_A | VAE_PRIOR_PARTS | 1u << VAE_SYNTHESIS,
	                            error)) ||
	    (rc = load_weights(&r->weights, model, error)))
		goto out;
	r->rows = (struct vae_latents_rows){r->analysis->head, r->analysis->model_hint, 0, refiner_read,
	                                    refiner_release};
	r->alpha.width = image->geometry.width;
	const struct vae_head *head = &r->rows.head;
	size_t costs = (size_t)options->steps + 1;
	if ((rc = vae_alloc_raw(&r->fresh, (size_t)head->columns * head->channels,
	                        VAE_SLICE_CELLS * sizeof *r->fresh, error)) ||
	    (rc = vae_alloc(&r->cost, vae_cells(head->columns, 6) * costs, sizeof *r->cost, error)) ||
	    (rc = vae_alloc(&r->sum, costs, sizeof *r->sum, error)))
		goto out;
	*latents = &r->rows;
	return 0;
out:
	refiner_release(&r->rows);
	return rc;
}
