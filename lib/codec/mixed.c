/* mixed.c - latents of a picture with some exact cells.
 *
 *     image --> the shelf, with the map of cells --> analysis or refinement --> y --.
 *                              |                                                    |
 *                              '-------- samples of exact cells, and alpha --> rows -'
 *
 * The analysis sees exact cells as they are. Where they lie beside others their latents are coded,
 * and those of smooth colours in their place took more bits in each of 12 drawings. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/minmax.h"
#include "codec/choose.h"
#include "codec/slice.h"
#include "image/image.h"
#include "nn/sweep.h"

#define LEAST_BAND   256 /* rows of pixels whose map is drawn at once */
#define MOST_BAND    1024
#define BAND_PIXELS  ((size_t)1 << 22) /* of a band, unless it has LEAST_BAND rows */
#define REGION       1024              /* columns of pixels */
#define SHELF_PIXELS ((size_t)1 << 20) /* that are searched for the first exact cell */

/* The colours of the picture on their way to the analysis. */
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
	struct vae_latents_rows *inner; /* analysis or refinement of the feed */
	size_t band, columns;           /* rows of pixels; cells of a row */
	bool found;                     /* an exact cell */
	uint8_t *cells;                 /* a region's; owned */
	/* The shelf: rows of pixels from `first` on, which begins with a row of cells; owned. */
	size_t first, count;
	uint16_t *colour, *alpha; /* alpha: NULL without it */
	uint8_t *map;             /* a row for each row of cells */
	size_t colour_room, alpha_room, map_room;
};

/* ---- the shelf ------------------------------------------------------------------------------- */

/* Makes room for more rows of pixels. */
static int widen(struct mixer *m, size_t rows, struct vae_error *error)
{
	const struct vae_geometry *g = &m->image->geometry;
	size_t line = g->width * (size_t)vae_colours(g->tuple), all = m->count + rows,
		   cells = (all + VAE_CELL_PX - 1) / VAE_CELL_PX;
	int rc =
		vae_reserve(&m->colour, &m->colour_room, all, m->count, line * sizeof *m->colour, error);
	if (!rc && vae_has_alpha(g->tuple))
		rc = vae_reserve(&m->alpha, &m->alpha_room, all, m->count, g->width * sizeof *m->alpha,
		                 error);
	return rc ? rc
	          : vae_reserve(&m->map, &m->map_room, cells, m->count / VAE_CELL_PX, m->columns,
	                        error);
}

/* Draws the map of the newest rows of the shelf. */
static int draw(struct mixer *m, size_t rows, struct vae_error *error)
{
	const struct vae_geometry *g = &m->image->geometry;
	size_t colours = (size_t)vae_colours(g->tuple);
	const uint16_t *corner = m->colour + m->count * g->width * colours;
	uint8_t *map = m->map + m->count / VAE_CELL_PX * m->columns;
	int rc = 0;
	for (size_t left = 0; left < g->width && !rc; left += REGION, map += REGION / VAE_CELL_PX) {
		struct vae_region region = {.colour = corner + left * colours,
		                            .stride = g->width * colours,
		                            .rows = rows,
		                            .columns = vae_min(REGION, g->width - left),
		                            .colours = (unsigned)colours,
		                            .maxval = g->maxval};
		size_t columns = (region.columns + VAE_CELL_PX - 1) / VAE_CELL_PX,
			   cells = (rows + VAE_CELL_PX - 1) / VAE_CELL_PX * columns;
		rc = vae_choose_cells(m->cells, m->model, m->quality, &region, error);
		for (size_t i = 0; i < cells && !rc; i++) {
			map[i / columns * m->columns + i % columns] = m->cells[i];
			m->found |= m->cells[i];
		}
	}
	return rc;
}

/* Reads the next band, and draws its map. */
static int load_band(struct mixer *m, struct vae_error *error)
{
	const struct vae_geometry *g = &m->image->geometry;
	size_t rows = vae_min(m->band, g->height - m->image->row);
	int rc = widen(m, rows, error);
	if (!rc)
		rc = m->image->read(m->image, (uint32_t)rows,
		                    m->colour + m->count * g->width * (size_t)vae_colours(g->tuple),
		                    m->alpha ? m->alpha + m->count * g->width : NULL, error);
	if (!rc)
		rc = draw(m, rows, error);
	m->count += rc ? 0 : rows;
	return rc;
}

static int feed_read(struct vae_image_rows *rows, uint32_t count, uint16_t *colour, uint16_t *alpha,
                     struct vae_error *error)
{
	(void)alpha; /* the feed has none */
	struct feed *f = (struct feed *)rows;
	struct mixer *m = f->mixer;
	size_t line = rows->geometry.width * (size_t)vae_colours(rows->geometry.tuple);
	while (rows->row + count > m->first + m->count) {
		int rc = load_band(m, error);
		if (rc)
			return rc;
	}
	memcpy(colour, m->colour + (rows->row - m->first) * line, count * line * sizeof *colour);
	rows->row += count;
	return 0;
}

/* ---- latents --------------------------------------------------------------------------------- */

/* Stores the samples of the first rows of the shelf as latents have them. */
static void store(const struct mixer *m, size_t rows, uint16_t *samples)
{
	const struct vae_head *head = &m->rows.head;
	size_t width = head->geometry.width, colours = (size_t)vae_colours(head->geometry.tuple);
	for (size_t i = 0; i < rows * width; i++) {
		size_t y = i / width, x = i % width;
		bool exact = m->map[y / VAE_CELL_PX * m->columns + x / VAE_CELL_PX];
		if (head->mixed) {
			*samples++ = exact;
			for (size_t c = 0; c < colours; c++)
				*samples++ = exact ? m->colour[i * colours + c] : 0;
		}
		if (m->alpha)
			*samples++ = m->alpha[i];
	}
}

/* Drops the first rows of the shelf. */
static void drop(struct mixer *m, size_t rows)
{
	const struct vae_geometry *g = &m->rows.head.geometry;
	size_t line = g->width * (size_t)vae_colours(g->tuple),
		   cells = (m->count + VAE_CELL_PX - 1) / VAE_CELL_PX,
		   gone = (rows + VAE_CELL_PX - 1) / VAE_CELL_PX;
	m->first += rows;
	m->count -= rows;
	memmove(m->colour, m->colour + rows * line, m->count * line * sizeof *m->colour);
	if (m->alpha)
		memmove(m->alpha, m->alpha + rows * g->width, m->count * g->width * sizeof *m->alpha);
	memmove(m->map, m->map + gone * m->columns, (cells - gone) * m->columns);
}

static int mixer_read(struct vae_latents_rows *rows, uint32_t count, float *y, uint16_t *samples,
                      struct vae_error *error)
{
	struct mixer *m = (struct mixer *)rows;
	struct vae_rect cells = {rows->row, 0, count, 1};
	int rc = m->inner->read(m->inner, count, y, NULL, error);
	if (rc)
		return rc;
	size_t px = vae_cell_pixels(&rows->head, cells).rows;
	if (y && samples)
		store(m, px, samples);
	drop(m, px);
	rows->row += count;
	return 0;
}

static void mixer_release(struct vae_latents_rows *rows)
{
	struct mixer *m = (struct mixer *)rows;
	vae_latents_rows_free(m->inner);
	free(m->colour);
	free(m->alpha);
	free(m->map);
	free(m->cells);
	free(m);
}

/* Prepares the picture for the analysis, and searches its upper rows for exact cells. */
static int prepare(struct mixer *m, struct vae_error *error)
{
	const struct vae_geometry *g = &m->image->geometry;
	int colours = vae_colours(g->tuple);
	m->columns = (g->width + VAE_CELL_PX - 1) / VAE_CELL_PX;
	m->feed = (struct feed){.rows = {.geometry = *g, .read = feed_read}, .mixer = m};
	m->feed.rows.geometry.format = VAE_PAM;
	m->feed.rows.geometry.tuple = colours == 3 ? VAE_RGB : VAE_GRAYSCALE;
	m->band = vae_max(BAND_PIXELS / g->width / VAE_CELL_PX * VAE_CELL_PX, LEAST_BAND);
	m->band = vae_min(vae_min(m->band, MOST_BAND), g->height);
	int rc = vae_alloc(&m->cells, MOST_BAND / VAE_CELL_PX * (REGION / VAE_CELL_PX),
	                   sizeof *m->cells, error);
	while (!rc && !m->found && m->image->row < g->height && m->count * g->width < SHELF_PIXELS)
		rc = load_band(m, error);
	return rc;
}

static int analyse(struct mixer *m, const struct vae_refine_options *refine,
                   struct vae_error *error)
{
	return refine ? vae_refine_rows(&m->inner, m->model, &m->feed.rows, m->quality, refine, error)
	              : vae_encode_rows(&m->inner, m->model, &m->feed.rows, m->quality, error);
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
