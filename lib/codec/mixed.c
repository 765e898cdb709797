/* mixed.c - latents of a picture with some exact cells.
 *
 *     image --> the shelf, with the map of cells --> filled --> analysis or refinement --> y --.
 *                              |                                                               |
 *                              '------- samples of exact cells, and alpha ------------> rows --'
 *
 * The analysis sees exact cells as invisible pixels, which are filled with smooth colours between
 * those around them. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/minmax.h"
#include "codec/choose.h"
#include "codec/slice.h"
#include "image/image.h"
#include "nn/sweep.h"

#define LEAST_BAND    256 /* rows of pixels whose map is drawn at once */
#define MOST_BAND     1024
#define BAND_PIXELS   ((size_t)1 << 22) /* of a band, unless it has LEAST_BAND rows */
#define REGION        1024              /* columns of pixels */
#define SHELF_SAMPLES ((size_t)1 << 22) /* that are searched for the first exact cell */

/* The picture on its way to the analysis: alpha is 0 in exact cells. */
struct feed {
	struct vae_image_rows rows;
	struct mixer *mixer;
};

struct mixer {
	struct vae_latents_rows rows;
	const struct vae_model *model;
	double quality;
	struct vae_image_rows *image;
	struct feed feed;
	struct vae_image_rows *filled;
	struct vae_latents_rows *inner; /* analysis or refinement of that */
	size_t each;                    /* samples of a pixel of mixed latents */
	uint16_t *shelf; /* rows of pixels from `first` on, as latents have them; owned */
	size_t first, count, room;
	bool found;               /* an exact cell */
	size_t band;              /* rows of pixels: a multiple of a cell's, or all */
	uint16_t *colour, *alpha; /* a band of the picture; owned */
	uint8_t *cells;           /* a region's; owned */
};

/* ---- the shelf ------------------------------------------------------------------------------- */

/* Puts a region of the band on the shelf, with a flag for each exact pixel. */
static void shelve(struct mixer *m, const struct vae_rect *px, uint16_t *shelf)
{
	size_t width = m->image->geometry.width, alpha = m->alpha != NULL,
		   colours = m->each - 1 - alpha, columns = (px->columns + VAE_CELL_PX - 1) / VAE_CELL_PX;
	for (size_t row = 0; row < px->rows; row++) {
		size_t at = row * width + px->column;
		uint16_t *to = shelf + at * m->each;
		for (size_t x = 0; x < px->columns; x++, at++, to += m->each) {
			to[0] = m->cells[row / VAE_CELL_PX * columns + x / VAE_CELL_PX];
			memcpy(to + 1, m->colour + at * colours, colours * sizeof *to);
			if (alpha)
				to[1 + colours] = m->alpha[at];
			m->found |= to[0];
		}
	}
}

/* Reads the next band, and draws its map. */
static int load_band(struct mixer *m, struct vae_error *error)
{
	const struct vae_geometry *g = &m->image->geometry;
	size_t rows = vae_min(m->band, g->height - m->image->row), line = g->width * m->each,
		   colours = (size_t)vae_colours(g->tuple);
	int rc =
		vae_reserve(&m->shelf, &m->room, m->count + rows, m->count, line * sizeof *m->shelf, error);
	if (rc || (rc = m->image->read(m->image, (uint32_t)rows, m->colour, m->alpha, error)))
		return rc;
	for (size_t left = 0; left < g->width && !rc; left += REGION) {
		struct vae_rect px = {0, left, rows, vae_min(REGION, g->width - left)};
		struct vae_region region = {.colour = m->colour + left * colours,
		                            .stride = g->width * colours,
		                            .rows = px.rows,
		                            .columns = px.columns,
		                            .colours = (unsigned)colours,
		                            .maxval = g->maxval};
		rc = vae_choose_cells(m->cells, m->model, m->quality, &region, error);
		if (!rc)
			shelve(m, &px, m->shelf + m->count * line);
	}
	m->count += rows;
	return rc;
}

static int feed_read(struct vae_image_rows *rows, uint32_t count, uint16_t *colour, uint16_t *alpha,
                     struct vae_error *error)
{
	struct feed *f = (struct feed *)rows;
	struct mixer *m = f->mixer;
	size_t width = rows->geometry.width, colours = (size_t)vae_colours(rows->geometry.tuple);
	while (rows->row + count > m->first + m->count) {
		int rc = load_band(m, error);
		if (rc)
			return rc;
	}
	const uint16_t *from = m->shelf + (rows->row - m->first) * width * m->each;
	for (size_t i = 0; i < count * width; i++, from += m->each) {
		memcpy(colour + i * colours, from + 1, colours * sizeof *colour);
		alpha[i] = from[0] ? 0 : rows->geometry.maxval;
	}
	rows->row += count;
	return 0;
}

/* ---- latents --------------------------------------------------------------------------------- */

/* Takes the next rows of pixels from the shelf; samples may be NULL. */
static void take_rows(struct mixer *m, size_t rows, uint16_t *samples)
{
	const struct vae_head *head = &m->rows.head;
	size_t line = head->geometry.width * m->each, alpha = m->alpha != NULL;
	for (size_t i = 0; i < rows * head->geometry.width && samples; i++) {
		const uint16_t *from = m->shelf + i * m->each;
		size_t n = head->mixed ? m->each : alpha;
		memcpy(samples, from + (m->each - n), n * sizeof *samples);
		if (head->mixed && !from[0])
			memset(samples + 1, 0, (m->each - 1 - alpha) * sizeof *samples);
		samples += n;
	}
	m->first += rows;
	m->count -= rows;
	memmove(m->shelf, m->shelf + rows * line, m->count * line * sizeof *m->shelf);
}

static int mixer_read(struct vae_latents_rows *rows, uint32_t count, float *y, uint16_t *samples,
                      struct vae_error *error)
{
	struct mixer *m = (struct mixer *)rows;
	struct vae_rect cells = {rows->row, 0, count, 1};
	int rc = m->inner->read(m->inner, count, y, NULL, error);
	if (rc)
		return rc;
	take_rows(m, vae_cell_pixels(&rows->head, cells).rows, y ? samples : NULL);
	rows->row += count;
	return 0;
}

static void mixer_release(struct vae_latents_rows *rows)
{
	struct mixer *m = (struct mixer *)rows;
	vae_latents_rows_free(m->inner);
	vae_image_rows_free(m->filled);
	free(m->shelf);
	free(m->colour);
	free(m->alpha);
	free(m->cells);
	free(m);
}

/* Allocates the band's memory, and prepares the picture for the analysis. */
static int prepare(struct mixer *m, struct vae_error *error)
{
	const struct vae_geometry *g = &m->image->geometry;
	int colours = vae_colours(g->tuple);
	m->each = 1 + (size_t)colours + vae_has_alpha(g->tuple);
	m->feed = (struct feed){.rows = {.geometry = *g, .read = feed_read}, .mixer = m};
	m->feed.rows.geometry.format = VAE_PAM;
	m->feed.rows.geometry.tuple = colours == 3 ? VAE_RGB_ALPHA : VAE_GRAYSCALE_ALPHA;
	m->band = vae_max(BAND_PIXELS / g->width / VAE_CELL_PX * VAE_CELL_PX, LEAST_BAND);
	m->band = vae_min(vae_min(m->band, MOST_BAND), g->height);
	int rc = vae_image_alloc(&m->colour, &m->alpha, g, (uint32_t)m->band, error);
	if (rc || (rc = vae_alloc(&m->cells, MOST_BAND / VAE_CELL_PX * (REGION / VAE_CELL_PX),
	                          sizeof *m->cells, error)))
		return rc;
	while (!rc && !m->found && m->image->row < g->height &&
	       m->count * g->width < SHELF_SAMPLES / m->each)
		rc = load_band(m, error);
	return rc ? rc : vae_image_rows_fill(&m->filled, &m->feed.rows, error);
}

static int analyse(struct mixer *m, const struct vae_refine_options *refine,
                   struct vae_error *error)
{
	return refine ? vae_refine_rows(&m->inner, m->model, m->filled, m->quality, refine, error)
	              : vae_encode_rows(&m->inner, m->model, m->filled, m->quality, error);
}

int vae_encode_mixed_rows(struct vae_latents_rows **latents, const struct vae_model *model,
                          struct vae_image_rows *image, double quality,
                          const struct vae_refine_options *refine, struct vae_error *error)
{
	struct mixer *m;
	struct vae_shape shape;
	int rc = vae_shape_of(&shape, model, &image->geometry, error);
	if (rc)
		return rc;
	if (model->nets->arch.kind != VAE_ARCH_PHOTO)
		return refine ? vae_refine_rows(latents, model, image, quality, refine, error)
		              : vae_encode_rows(latents, model, image, quality, error);
	if ((rc = vae_alloc(&m, 1, sizeof *m, error)))
		return rc;
	m->model = model;
	m->quality = quality;
	m->image = image;
	if ((rc = prepare(m, error)) || (rc = analyse(m, refine, error))) {
		mixer_release(&m->rows);
		return rc;
	}
	m->rows = (struct vae_latents_rows){.head = m->inner->head,
	                                    .model_hint = m->inner->model_hint,
	                                    .read = mixer_read,
	                                    .release = mixer_release};
	m->rows.head.geometry = image->geometry;
	m->rows.head.mixed = m->found || image->row < image->geometry.height;
	*latents = &m->rows;
	return 0;
}
