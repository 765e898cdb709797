/* salvage.c - finds slices that the model cannot decode, and paints lost slices. */
#include <stdlib.h>

#include "base/memory.h"
#include "base/minmax.h"
#include "base/parallel.h"
#include "codec/beside.h"
#include "codec/slice.h"
#include "stream/recover.h"

/* ---- slices that cannot be decoded ----------------------------------------------------------- */

struct check {
	const struct vae_codes *codes;
	const struct vae_model *model;
	struct vae_symbols *symbols; /* one for each thread */
	struct vae_error *why;       /* [slices], code 0: the slice is good */
};

/* Checks the samples of a slice that are stored beside y. */
static int check_samples(const struct vae_codes *c, uint32_t i, struct vae_error *error)
{
	struct vae_rect px = vae_cell_pixels(&c->head, vae_slice_at(&c->head, i));
	size_t each = vae_exact_samples(&c->head), width = px.columns * each;
	uint16_t *samples;
	int rc = each ? vae_alloc_raw(&samples, px.rows * width, sizeof *samples, error) : 0;
	if (rc || !each)
		return rc;
	rc = vae_beside_decode(c, i, &c->slice[i], samples, width, error);
	free(samples);
	return rc;
}

/* Checks a slice; only a lack of memory is a failure. */
static int check_slice(void *context, size_t i, int thread, struct vae_error *error)
{
	const struct check *c = context;
	const struct vae_slice *slice = &c->codes->slice[i];
	struct vae_error why = {.offset = -1};
	if (slice->lost)
		return 0;
	int rc = c->codes->head.channels ? vae_slice_decode(&c->symbols[thread], c->codes, c->model, i,
	                                                    slice, NULL, 0, &why)
	                                 : 0;
	if (!rc)
		rc = check_samples(c->codes, (uint32_t)i, &why);
	if (rc != VAE_EMEM)
		c->why[i] = why;
	else if (error)
		*error = why;
	return rc == VAE_EMEM ? rc : 0;
}

int vae_salvage_check(struct vae_codes *codes, struct vae_salvage *salvage,
                      const struct vae_model *model, struct vae_error *error)
{
	struct check c = {.codes = codes, .model = model};
	size_t threads = 0;
	int rc = vae_codes_check(codes, model, error);
	if (rc || (rc = vae_alloc(&c.why, codes->slices, sizeof *c.why, error)))
		return rc;
	if (!(rc = vae_symbols_new(&c.symbols, &threads, error)))
		rc = vae_parallel(codes->slices, check_slice, &c, error);
	for (uint32_t i = 0; !rc && i < codes->slices; i++) {
		if (!c.why[i].code)
			continue;
		c.why[i].offset = vae_salvage_offset(salvage, i);
		vae_salvage_lose(salvage, codes, i, &c.why[i]);
	}
	vae_symbols_free(c.symbols, threads);
	free(c.why);
	return rc;
}

/* ---- paint ----------------------------------------------------------------------------------- */

struct painter {
	struct vae_image_rows rows;
	struct vae_image_rows *image;
	const struct vae_codes *codes;
};

/* Paints the pixels of a lost slice in the `count` rows from `top` on. */
static void paint_slice(uint16_t *colour, const struct painter *p, struct vae_rect px, size_t top,
                        size_t count)
{
	const struct vae_geometry *g = &p->rows.geometry;
	size_t colours = (size_t)vae_colours(g->tuple), line = g->width * colours;
	for (size_t row = vae_max(px.row, top); row < px.row + px.rows && row < top + count; row++)
		for (size_t i = 0; i < px.columns * colours; i++)
			colour[(row - top) * line + px.column * colours + i] = (uint16_t)((g->maxval + 1) / 2);
}

static int painter_read(struct vae_image_rows *rows, uint32_t count, uint16_t *colour,
                        uint16_t *alpha, struct vae_error *error)
{
	const struct painter *p = (const struct painter *)rows;
	const struct vae_codes *c = p->codes;
	int rc = p->image->read(p->image, count, colour, alpha, error);
	for (uint32_t i = 0; !rc && i < c->slices; i++)
		if (c->slice[i].lost)
			paint_slice(colour, p, vae_cell_pixels(&c->head, vae_slice_at(&c->head, i)), rows->row,
			            count);
	rows->row = p->image->row;
	return rc;
}

static void painter_release(struct vae_image_rows *rows) { free(rows); }

int vae_salvage_paint(struct vae_image_rows **painted, struct vae_image_rows *image,
                      const struct vae_codes *codes, struct vae_error *error)
{
	const struct vae_geometry *g = &image->geometry;
	struct painter *p;
	if (g->width != codes->head.geometry.width || g->height != codes->head.geometry.height ||
	    g->tuple != codes->head.geometry.tuple)
		return vae_fail(error, VAE_EARG, "the picture is not that of the codes");
	int rc = vae_alloc(&p, 1, sizeof *p, error);
	if (rc)
		return rc;
	*p = (struct painter){{*g, image->row, painter_read, painter_release}, image, codes};
	*painted = &p->rows;
	return 0;
}
