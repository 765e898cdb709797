/* lossless.c - converts pictures to exact latents and codes, and back, down the rows. */
#include "codec/lossless.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/minmax.h"
#include "codec/pixels.h"
#include "image/image.h"
#include "stream/geometry.h"

#define CELL (1u << VAE_MIN_CELL)

/* ---- encoding -------------------------------------------------------------------------------- */

struct encoder {
	struct vae_latents_rows rows;
	struct vae_image_rows *image;
	uint16_t *colour, *alpha; /* a row of cells of a picture with alpha; owned, else NULL */
};

/* Reads `count` rows of pixels, at most those of a cell if there is alpha. */
static int read_pixels(struct encoder *e, uint32_t count, uint16_t *samples,
                       struct vae_error *error)
{
	const struct vae_geometry *g = &e->image->geometry;
	size_t colours = (size_t)vae_colours(g->tuple), pixels = (size_t)count * g->width;
	if (!e->alpha && samples)
		return e->image->read(e->image, count, samples, NULL, error);
	int rc = e->image->read(e->image, count, e->colour, e->alpha, error);
	for (size_t i = 0; i < pixels && samples && !rc; i++) {
		memcpy(samples, e->colour + i * colours, colours * sizeof *samples);
		samples[colours] = e->alpha[i];
		samples += colours + 1;
	}
	return rc;
}

static int encoder_read(struct vae_latents_rows *rows, uint32_t count, float *y, uint16_t *samples,
                        struct vae_error *error)
{
	struct encoder *e = (struct encoder *)rows;
	samples = y ? samples : NULL;
	for (; count; count--, rows->row++) {
		uint32_t pixels = (uint32_t)vae_min(CELL, e->image->geometry.height - e->image->row);
		int rc = read_pixels(e, pixels, samples, error);
		if (rc)
			return rc;
		samples = samples ? samples + vae_row_samples(&rows->head, rows->row) : NULL;
	}
	return 0;
}

static void encoder_release(struct vae_latents_rows *rows)
{
	struct encoder *e = (struct encoder *)rows;
	free(e->colour);
	free(e->alpha);
	free(e);
}

int vae_encode_exact_rows(struct vae_latents_rows **latents, struct vae_image_rows *image,
                          struct vae_error *error)
{
	const struct vae_geometry *g = &image->geometry;
	struct encoder *e;
	int rc = vae_geometry_check(g, UINT64_MAX, VAE_EARG, error);
	if (rc || (rc = vae_alloc(&e, 1, sizeof *e, error)))
		return rc;
	e->rows = (struct vae_latents_rows){.read = encoder_read, .release = encoder_release};
	e->rows.head = (struct vae_head){.geometry = *g,
	                                 .rows = vae_cells(g->height, VAE_MIN_CELL),
	                                 .columns = vae_cells(g->width, VAE_MIN_CELL)};
	e->image = image;
	if ((rc = vae_image_alloc(&e->colour, &e->alpha, g, (uint32_t)vae_min(CELL, g->height), error)))
		encoder_release(&e->rows);
	else
		*latents = &e->rows;
	return rc;
}

/* ---- decoding -------------------------------------------------------------------------------- */

/* Rows of pixels are in bands of a row of cells each. */
struct decoder {
	struct vae_image_rows rows;
	struct vae_latents_rows *latents;
	struct vae_rect window;
	uint32_t reduce;   /* divides CELL */
	uint16_t *samples; /* the band's; owned */
};

/* Loads the band that contains row `row` of pixels, which is not above the last one read. */
static int load_band(struct decoder *d, uint32_t row, struct vae_error *error)
{
	struct vae_latents_rows *l = d->latents;
	uint32_t band = row / CELL;
	float none;
	int rc = band > l->row ? l->read(l, band - l->row, NULL, NULL, error) : 0;
	return rc || band < l->row ? rc : l->read(l, 1, &none, d->samples, error);
}

/* Returns the mean of sample i of the block of pixels with this corner, within the window. */
static uint16_t mean_sample(const struct decoder *d, uint32_t row, uint32_t column, unsigned i)
{
	const struct vae_rect *w = &d->window;
	size_t width = d->latents->head.geometry.width, sum = 0;
	unsigned each = vae_exact_samples(&d->latents->head);
	uint32_t bottom = (uint32_t)vae_min(row + d->reduce, w->row + w->rows),
			 right = (uint32_t)vae_min(column + d->reduce, w->column + w->columns);
	for (uint32_t y = row; y < bottom; y++)
		for (uint32_t x = column; x < right; x++)
			sum += d->samples[(y % CELL * width + x) * each + i];
	return vae_mean_of(sum, (size_t)(bottom - row) * (right - column));
}

static int decoder_read(struct vae_image_rows *rows, uint32_t count, uint16_t *colour,
                        uint16_t *alpha, struct vae_error *error)
{
	struct decoder *d = (struct decoder *)rows;
	struct vae_latents_rows *l = d->latents;
	unsigned colours = (unsigned)vae_colours(rows->geometry.tuple);
	int rc = 0;
	for (; count; count--, rows->row++) {
		uint32_t top = d->window.row + rows->row * d->reduce;
		if ((rc = load_band(d, top, error)))
			return rc;
		for (uint32_t x = 0; x < rows->geometry.width; x++) {
			uint32_t left = d->window.column + x * d->reduce;
			for (unsigned i = 0; i < colours; i++)
				*colour++ = mean_sample(d, top, left, i);
			if (alpha)
				*alpha++ = mean_sample(d, top, left, colours);
		}
	}
	if (rows->row == rows->geometry.height && l->row < l->head.rows)
		rc = l->read(l, l->head.rows - l->row, NULL, NULL, error);
	return rc;
}

static void decoder_release(struct vae_image_rows *rows)
{
	struct decoder *d = (struct decoder *)rows;
	free(d->samples);
	free(d);
}

int vae_lossless_decode_rows(struct vae_image_rows **image, struct vae_latents_rows *latents,
                             const struct vae_rect *window, uint32_t reduce,
                             struct vae_error *error)
{
	const struct vae_head *l = &latents->head;
	struct vae_geometry g = l->geometry;
	struct decoder *d;
	int rc = vae_alloc(&d, 1, sizeof *d, error);
	if (rc)
		return rc;
	g.width = (window->columns + reduce - 1) / reduce;
	g.height = (window->rows + reduce - 1) / reduce;
	*d = (struct decoder){.rows = {g, 0, decoder_read, decoder_release},
	                      .latents = latents,
	                      .window = *window,
	                      .reduce = reduce};
	rc = vae_alloc_raw(&d->samples, vae_row_samples(l, 0), sizeof *d->samples, error);
	if (rc)
		decoder_release(&d->rows);
	else
		*image = &d->rows;
	return rc;
}
