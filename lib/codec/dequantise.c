/* dequantise.c - p(y), backwards: latents from codes, or drawn at random, some rows of slices at a
 * time. Exact (vae(7), EXACTNESS). */
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/minmax.h"
#include "base/parallel.h"
#include "base/rect.h"
#include "image/image.h"
#include "codec/beside.h"
#include "codec/slice.h"
#include "codec/window.h"

/* Holds some rows of slices, decoded when the first of their cells are requested. */
struct dequantiser {
	struct vae_latents_rows rows;
	const struct vae_model *model;
	const struct vae_codes *codes;
	struct vae_codes_reader *reader;
	bool draws; /* slices are drawn from the prior; codes is then `drawn`, which has none */
	uint64_t seed, number;
	struct vae_codes drawn;
	struct vae_rect wanted; /* slices */
	uint32_t next;          /* the next slice of the reader */
	size_t top, bottom;     /* rows of cells in y and samples, none at first */
	uint32_t band;          /* rows allocated: a multiple of a slice's, or all */
	float *y;
	float *at; /* where the band is: y, or the caller's array, which has room for all of it */
	uint16_t *samples; /* beside y */
	/* Of the band, [their number], owned with a reader, whose payloads they hold */
	struct vae_slice *slice;
	struct vae_symbols *symbols; /* one for each thread, until the last slice is decoded; owned */
	size_t threads;              /* their number */
};

/* Fills a lost slice: y with 0, or exact samples with grey; no cell of a mixed picture is exact;
 * alpha is opaque. */
static void blank(const struct dequantiser *d, const struct vae_rect *cells,
                  const struct vae_rect *px, float *y, uint16_t *samples)
{
	const struct vae_codes *c = d->codes;
	const uint16_t maxval = c->head.geometry.maxval;
	size_t each = vae_exact_samples(&c->head),
		   opaque = each - vae_has_alpha(c->head.geometry.tuple);
	for (size_t row = 0; row < cells->rows; row++)
		memset(y + row * c->head.columns * c->head.channels, 0,
		       cells->columns * c->head.channels * sizeof *y);
	for (size_t row = 0; row < px->rows; row++)
		for (size_t i = 0; i < px->columns * each; i++)
			samples[row * c->head.geometry.width * each + i] = i % each >= opaque ? maxval
			                                                   : c->head.mixed
			                                                       ? 0
			                                                       : (uint16_t)((maxval + 1) / 2);
}

static int dequantise_slice(void *context, size_t piece, int thread, struct vae_error *error)
{
	const struct dequantiser *d = context;
	const struct vae_codes *c = d->codes;
	size_t across = vae_cells(c->head.columns, 6), i = d->top / VAE_SLICE_CELLS * across + piece,
		   row = i / across, column = i % across;
	struct vae_rect p = vae_slice_at(&c->head, i), px = vae_cell_pixels(&c->head, p);
	struct vae_rect above = vae_cell_pixels(&c->head, (struct vae_rect){d->top, 0, 1, 1});
	size_t stride = (size_t)c->head.columns * c->head.channels, each = vae_exact_samples(&c->head),
		   width = c->head.geometry.width * each;
	if (!vae_rect_holds(&d->wanted, row, column))
		return 0;
	float *y = d->at + (p.row - d->top) * stride + p.column * c->head.channels;
	uint16_t *samples = each ? d->samples + (px.row - above.row) * width + px.column * each : NULL;
	if (d->draws)
		return vae_slice_draw(&d->symbols[thread], c, d->model, i, d->seed, d->number, y, stride,
		                      error);
	const struct vae_slice *slice = d->reader ? &d->slice[piece] : &c->slice[i];
	if (slice->lost) {
		blank(d, &p, &px, y, samples);
		return 0;
	}
	int rc = c->head.channels
	             ? vae_slice_decode(&d->symbols[thread], c, d->model, i, slice, y, stride, error)
	             : 0;
	return rc || !each ? rc : vae_beside_decode(c, i, slice, samples, width, error);
}

static void drop_slices(struct dequantiser *d)
{
	size_t slices = d->slice ? vae_slice_count(d->band, d->codes->head.columns) : 0;
	for (size_t i = 0; i < slices; i++) {
		free(d->slice[i].payload);
		d->slice[i].payload = NULL;
	}
}

/* Reads slices up to `end`; keeps those of the band. */
static int read_slices(struct dequantiser *d, uint32_t end, bool keep, struct vae_error *error)
{
	for (uint32_t first = d->next; d->reader && d->next < end; d->next++) {
		struct vae_slice slice;
		int rc = vae_codes_next(&slice, d->codes, d->next, d->reader, error);
		if (rc)
			return rc;
		if (keep)
			d->slice[d->next - first] = slice;
		else
			free(slice.payload);
	}
	return 0;
}

static void drop_symbols(struct dequantiser *d)
{
	vae_symbols_free(d->symbols, d->threads);
	d->symbols = NULL;
	d->threads = 0;
}

/* Decodes the band that contains row `row`; into y, which has room for `count` rows from this one
 * on, if that is all of it. */
static int load_band(struct dequantiser *d, size_t row, float *y, size_t count,
                     struct vae_error *error)
{
	size_t across = vae_cells(d->codes->head.columns, 6), first = row / VAE_SLICE_CELLS * across;
	size_t top = row / VAE_SLICE_CELLS * VAE_SLICE_CELLS,
		   bottom = vae_min(top + d->band, d->codes->head.rows);
	size_t slices = vae_slice_count((uint32_t)(bottom - top), d->codes->head.columns);
	int rc = read_slices(d, (uint32_t)first, false, error);
	if (rc || (rc = read_slices(d, (uint32_t)(first + slices), true, error)))
		return rc;
	d->top = top;
	d->bottom = bottom;
	d->at = row == top && count >= bottom - top ? y : d->y;
	if (d->threads < (size_t)omp_get_max_threads()) {
		drop_symbols(d);
		rc = vae_symbols_new(&d->symbols, &d->threads, error);
		for (size_t i = 0; !rc && i < d->threads; i++)
			d->symbols[i].keep = VAE_KEEP_NONE;
	}
	if (!rc)
		rc = vae_parallel(slices, dequantise_slice, d, error);
	if (rc || bottom == d->codes->head.rows)
		drop_symbols(d);
	drop_slices(d);
	return rc;
}

/* Returns the rows of pixels that `count` rows of cells cover. */
static size_t pixel_rows(const struct vae_latents_rows *rows, size_t row, size_t count)
{
	return count ? vae_cell_pixels(&rows->head, (struct vae_rect){row, 0, count, 1}).rows : 0;
}

static int dequantiser_read(struct vae_latents_rows *rows, uint32_t count, float *y,
                            uint16_t *samples, struct vae_error *error)
{
	struct dequantiser *d = (struct dequantiser *)rows;
	size_t line = (size_t)rows->head.columns * rows->head.channels;
	int rc;
	for (; y && count; count--, rows->row++) {
		if (rows->row >= d->bottom && (rc = load_band(d, rows->row, y, count, error)))
			return rc;
		const float *from = d->at + (rows->row - d->top) * line;
		if (from != y)
			memcpy(y, from, line * sizeof *y);
		y += line;
		size_t beside = vae_row_samples(&rows->head, rows->row),
			   above = pixel_rows(rows, d->top, rows->row - d->top) * rows->head.geometry.width *
		               vae_exact_samples(&rows->head);
		if (!beside || !samples)
			continue;
		memcpy(samples, d->samples + above, beside * sizeof *samples);
		samples += beside;
	}
	rows->row += count;
	return rows->row < rows->head.rows ? 0 : read_slices(d, d->codes->slices, false, error);
}

static void dequantiser_release(struct vae_latents_rows *rows)
{
	struct dequantiser *d = (struct dequantiser *)rows;
	drop_slices(d);
	drop_symbols(d);
	free(d->slice);
	free(d->y);
	free(d->samples);
	free(rows->model_hint);
	free(d);
}

static int dequantiser_new(struct dequantiser **dequantiser, const struct vae_model *model,
                           const struct vae_codes *codes, struct vae_codes_reader *reader,
                           const struct vae_rect *window, struct vae_error *error)
{
	struct vae_rect w;
	struct dequantiser *d;
	model = codes->head.channels ? model : NULL;
	int rc = vae_codes_check(codes, model, error);
	if (rc || (rc = vae_window_take(&w, window, &codes->head.geometry, error)) ||
	    (rc = vae_alloc(&d, 1, sizeof *d, error)))
		return rc;
	d->rows = (struct vae_latents_rows){.read = dequantiser_read, .release = dequantiser_release};
	d->rows.head = codes->head;
	d->model = model;
	d->codes = codes;
	d->reader = reader;
	d->wanted = vae_window_slices(&w, model, &codes->head);
	d->band = vae_slice_band(&codes->head, (uint32_t)omp_get_max_threads());
	if ((rc = vae_hint_copy(&d->rows.model_hint, model, error)) ||
	    (rc = vae_latents_alloc(&d->y, &d->samples, &d->rows.head, d->band, error)) ||
	    (reader && (rc = vae_alloc(&d->slice, vae_slice_count(d->band, codes->head.columns),
	                               sizeof *d->slice, error))))
		dequantiser_release(&d->rows);
	else
		*dequantiser = d;
	return rc;
}

int vae_dequantise_rows(struct vae_latents_rows **latents, const struct vae_model *model,
                        const struct vae_codes *codes, struct vae_codes_reader *reader,
                        const struct vae_rect *window, struct vae_error *error)
{
	struct dequantiser *d;
	int rc = dequantiser_new(&d, model, codes, reader, window, error);
	if (!rc)
		*latents = &d->rows;
	return rc;
}

/* Returns the head of a sample: the requested size, if the model has a choice. */
static int sample_head(struct vae_head *head, const struct vae_model *model,
                       const struct vae_sample_options *o, struct vae_error *error)
{
	const struct vae_arch *a = &model->nets->arch;
	bool photo = a->kind == VAE_ARCH_PHOTO, sized = o->width || o->height;
	struct vae_geometry g = {VAE_SAMPLE_PIXELS, VAE_SAMPLE_PIXELS, 255, VAE_PPM, VAE_RGB};
	struct vae_shape shape;
	if (!photo)
		g = (struct vae_geometry){(uint32_t)a->width, (uint32_t)a->height, 255, VAE_PGM,
		                          VAE_GRAYSCALE};
	if (!photo && sized && (o->width != g.width || o->height != g.height))
		return vae_fail(error, VAE_EARG, "the model makes pictures of %u x %u pixels, not %u x %u",
		                g.width, g.height, o->width, o->height);
	g.width = sized ? o->width : g.width;
	g.height = sized ? o->height : g.height;
	if (!(o->quality >= 0 && o->quality <= 100))
		return vae_fail(error, VAE_EARG, "quality %g is not 0 to 100", o->quality);
	int rc = vae_geometry_check(&g, o->max_pixels, VAE_EARG, error);
	if (rc || (rc = vae_shape_of(&shape, model, &g, error)))
		return rc;
	*head = vae_head_of(model, &g, &shape, photo ? o->quality : 100);
	return 0;
}

int vae_sample_rows(struct vae_latents_rows **latents, const struct vae_model *model,
                    const struct vae_sample_options *options, struct vae_error *error)
{
	struct vae_codes drawn = {0};
	struct dequantiser *d;
	int rc = sample_head(&drawn.head, model, options, error);
	if (rc)
		return rc;
	drawn.slices = (uint32_t)vae_slice_count(drawn.head.rows, drawn.head.columns);
	if ((rc = dequantiser_new(&d, model, &drawn, NULL, NULL, error)))
		return rc;
	d->drawn = drawn;
	d->codes = &d->drawn;
	d->draws = true;
	d->seed = options->seed;
	d->number = options->index;
	*latents = &d->rows;
	return 0;
}

int vae_dequantise(struct vae_latents **latents, const struct vae_model *model,
                   const struct vae_codes *codes, struct vae_error *error)
{
	struct vae_latents_rows *rows;
	int rc = vae_dequantise_rows(&rows, model, codes, NULL, NULL, error);
	if (rc)
		return rc;
	rc = vae_latents_rows_collect(latents, rows, error);
	vae_latents_rows_free(rows);
	return rc;
}
