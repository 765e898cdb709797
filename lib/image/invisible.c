/* invisible.c - smooths the colours of invisible pixels, whose alpha is 0: they cost bits like any
 * others.
 *
 * Strips of rows are filled in order, each with the last row of the strip above as its first row,
 * so that no seam shows. A strip is filled by a pyramid: every level holds the means of 2x2 blocks
 * of the visible pixels below, and on the way back unknown pixels are interpolated between the four
 * nearest of the level above. All arithmetic is in integers and strips begin at fixed rows, so the
 * result depends on the picture alone. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "base/minmax.h"
#include "image/image.h"

#define STRIP    64 /* rows */
#define LEVELS   33 /* of a pyramid over 2^31 columns */
#define FRACTION 8  /* fraction bits of the pyramid's numbers, which have up to 24 bits */

struct level {
	size_t rows, columns;
	uint32_t *mean; /* rows x columns x colours */
	uint8_t *known; /* rows x columns, 0 or 1 */
};

struct filler {
	struct vae_image_rows rows;
	struct vae_image_rows *image;
	size_t colours;
	uint16_t *colour, *alpha; /* of the strip: `count` rows from row `first` on; owned */
	size_t first, count;
	uint16_t *above; /* the last row of the strip above; owned */
	uint32_t *means; /* of all levels; owned */
	uint8_t *knowns;
	struct level level[LEVELS];
	int levels;
};

/* Lays out the levels over a strip of `rows` rows, in means and knowns if they are allocated.
 * Returns the number of pixels of all levels. */
static size_t lay_out(struct filler *f, size_t rows)
{
	size_t columns = f->rows.geometry.width, pixels = 0;
	for (f->levels = 0;; rows = (rows + 1) / 2, columns = (columns + 1) / 2) {
		struct level *l = &f->level[f->levels++];
		*l = (struct level){.rows = rows, .columns = columns};
		if (f->means) {
			l->mean = f->means + pixels * f->colours;
			l->known = f->knowns + pixels;
		}
		pixels += rows * columns;
		if (rows == 1 && columns == 1)
			return pixels;
	}
}

/* Sets each pixel of `to` to the mean of the known ones in the 2x2 block of `from` below it. */
static void reduce(const struct level *to, const struct level *from, size_t colours)
{
	for (size_t y = 0; y < to->rows; y++)
		for (size_t x = 0; x < to->columns; x++) {
			uint32_t sum[3] = {0}, n = 0;
			for (size_t v = 2 * y; v < 2 * y + 2 && v < from->rows; v++)
				for (size_t u = 2 * x; u < 2 * x + 2 && u < from->columns; u++) {
					size_t i = v * from->columns + u;
					n += from->known[i];
					for (size_t c = 0; c < colours && from->known[i]; c++)
						sum[c] += from->mean[i * colours + c];
				}
			size_t i = y * to->columns + x;
			to->known[i] = n > 0;
			for (size_t c = 0; c < colours; c++)
				to->mean[i * colours + c] = n ? (sum[c] + n / 2) / n : 0;
		}
}

/* Returns the neighbour of k's parent that is nearer to k, or the parent itself at an edge. */
static size_t beside(size_t k, size_t count)
{
	size_t parent = k / 2;
	return k % 2 ? (parent + 1 < count ? parent + 1 : parent) : parent ? parent - 1 : parent;
}

/* Interpolates the unknown pixels of `to` bilinearly between those of `from`, all of which are
 * known. */
static void enlarge(const struct level *to, const struct level *from, size_t colours)
{
	for (size_t y = 0; y < to->rows; y++) {
		const uint32_t *near = from->mean + y / 2 * from->columns * colours;
		const uint32_t *far = from->mean + beside(y, from->rows) * from->columns * colours;
		for (size_t x = 0; x < to->columns; x++) {
			size_t i = y * to->columns + x, a = x / 2 * colours,
				   b = beside(x, from->columns) * colours;
			for (size_t c = 0; c < colours && !to->known[i]; c++)
				to->mean[i * colours + c] =
					(9 * near[a + c] + 3 * near[b + c] + 3 * far[a + c] + far[b + c] + 8) / 16;
		}
	}
}

/* Copies a row of pixels to the lowest level; alpha NULL: all of them are known. */
static void put_row(const struct filler *f, size_t row, const uint16_t *colour,
                    const uint16_t *alpha)
{
	const struct level *l = &f->level[0];
	for (size_t x = 0; x < l->columns; x++) {
		l->known[row * l->columns + x] = !alpha || alpha[x];
		for (size_t c = 0; c < f->colours; c++)
			l->mean[(row * l->columns + x) * f->colours + c] = (uint32_t)colour[x * f->colours + c]
			                                                   << FRACTION;
	}
}

static void take_row(const struct filler *f, size_t row, uint16_t *colour, const uint16_t *alpha)
{
	const struct level *l = &f->level[0];
	for (size_t x = 0; x < l->columns; x++)
		for (size_t c = 0; c < f->colours && !alpha[x]; c++)
			colour[x * f->colours + c] =
				(uint16_t)((l->mean[(row * l->columns + x) * f->colours + c] +
			                (1u << FRACTION) / 2) >>
			               FRACTION);
}

static bool all_visible(const struct filler *f, size_t pixels)
{
	for (size_t i = 0; i < pixels; i++)
		if (!f->alpha[i])
			return false;
	return true;
}

/* Fills a strip with mid-grey: nothing in it is visible, and there is no row above. */
static void fill_grey(struct filler *f)
{
	for (size_t i = 0; i < f->count * f->rows.geometry.width * f->colours; i++)
		f->colour[i] = (uint16_t)((f->rows.geometry.maxval + 1u) / 2);
}

static void fill(struct filler *f)
{
	size_t width = f->rows.geometry.width, line = width * f->colours, known = f->first > 0;
	if (all_visible(f, f->count * width))
		return;
	lay_out(f, f->count + known);
	if (known)
		put_row(f, 0, f->above, NULL);
	for (size_t y = 0; y < f->count; y++)
		put_row(f, y + known, f->colour + y * line, f->alpha + y * width);
	for (int i = 1; i < f->levels; i++)
		reduce(&f->level[i], &f->level[i - 1], f->colours);
	if (!f->level[f->levels - 1].known[0]) {
		fill_grey(f);
		return;
	}
	for (int i = f->levels - 1; i > 0; i--)
		enlarge(&f->level[i - 1], &f->level[i], f->colours);
	for (size_t y = 0; y < f->count; y++)
		take_row(f, y + known, f->colour + y * line, f->alpha + y * width);
}

static int next_strip(struct filler *f, struct vae_error *error)
{
	size_t line = f->rows.geometry.width * f->colours, left;
	if (f->count)
		memcpy(f->above, f->colour + (f->count - 1) * line, line * sizeof *f->above);
	f->first += f->count;
	left = f->rows.geometry.height - f->first;
	f->count = left < STRIP ? left : STRIP;
	int rc = f->image->read(f->image, (uint32_t)f->count, f->colour, f->alpha, error);
	if (!rc)
		fill(f);
	return rc;
}

static int filler_read(struct vae_image_rows *rows, uint32_t count, uint16_t *colour,
                       uint16_t *alpha, struct vae_error *error)
{
	struct filler *f = (struct filler *)rows;
	size_t width = rows->geometry.width, line = width * f->colours;
	while (count) {
		int rc = rows->row == f->first + f->count ? next_strip(f, error) : 0;
		if (rc)
			return rc;
		size_t from = rows->row - f->first, n = vae_min(f->count - from, count);
		memcpy(colour, f->colour + from * line, n * line * sizeof *colour);
		memcpy(alpha, f->alpha + from * width, n * width * sizeof *alpha);
		colour += n * line;
		alpha += n * width;
		rows->row += (uint32_t)n;
		count -= (uint32_t)n;
	}
	return 0;
}

static int pass_on(struct vae_image_rows *rows, uint32_t count, uint16_t *colour, uint16_t *alpha,
                   struct vae_error *error)
{
	struct vae_image_rows *image = ((struct filler *)rows)->image;
	int rc = image->read(image, count, colour, alpha, error);
	rows->row = image->row;
	return rc;
}

static void filler_release(struct vae_image_rows *rows)
{
	struct filler *f = (struct filler *)rows;
	free(f->colour);
	free(f->alpha);
	free(f->above);
	free(f->means);
	free(f->knowns);
	free(f);
}

static int filler_alloc(struct filler *f, struct vae_error *error)
{
	const struct vae_geometry *g = &f->rows.geometry;
	size_t line, pixels, samples;
	int rc = vae_multiply(&line, g->width, f->colours, 1, error);
	/* The levels together have fewer than four times the pixels of a strip: lay_out cannot
	 * overflow. */
	if (rc || (rc = vae_multiply(&pixels, g->width, STRIP + 1, 4, error)))
		return rc;
	pixels = lay_out(f, (g->height < STRIP ? g->height : STRIP) + 1u);
	if ((rc = vae_multiply(&samples, pixels, f->colours, 1, error)) ||
	    (rc = vae_image_alloc(&f->colour, &f->alpha, g, g->height < STRIP ? g->height : STRIP,
	                          error)) ||
	    (rc = vae_alloc_raw(&f->above, line, sizeof *f->above, error)) ||
	    (rc = vae_alloc_raw(&f->means, samples, sizeof *f->means, error)))
		return rc;
	return vae_alloc_raw(&f->knowns, pixels, sizeof *f->knowns, error);
}

int vae_image_rows_fill(struct vae_image_rows **filled, struct vae_image_rows *image,
                        struct vae_error *error)
{
	struct filler *f;
	int rc = vae_alloc(&f, 1, sizeof *f, error);
	if (rc)
		return rc;
	f->rows = (struct vae_image_rows){image->geometry, image->row, pass_on, filler_release};
	f->image = image;
	f->colours = (size_t)vae_colours(image->geometry.tuple);
	if (vae_has_alpha(image->geometry.tuple)) {
		f->rows.read = filler_read;
		rc = filler_alloc(f, error);
	}
	if (rc)
		filler_release(&f->rows);
	else
		*filled = &f->rows;
	return rc;
}
