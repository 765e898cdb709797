/* choose.c - for encoders only: libm is allowed. */
#include "codec/choose.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/minmax.h"
#include "exact/exact.h"
#include "loss/objective.h"
#include "nn/sweep.h"

enum {
	FEW_COLOURS = 8,   /* colours of a cell that is worth a trial whatever its pixels are like */
	MOST_COLOURS = 64, /* limit of counted colours */
	TABLE = 256,       /* entries of a table of colours by hash */
	MARGIN = 2         /* cells around those on trial */
};
#define GLANCE_SHARE 0.5   /* of a cell's pixels like the left or upper one, for a closer look */
#define FREE_SHARE   0.75  /* of a cell's pixels predicted by their neighbours, for a trial */
#define DRAWN_SHARE  0.03  /* of a region's cells that have edges, for a trial; in 37 of 40 */
						   /* photographs held out of training fewer have */
#define FLAT_SHARE   0.5   /* or that are flat, or have edges */
#define EDGE         0.125 /* of black to white: the least range of a cell that has edges */
#define SIDE_BITS    8.0   /* that a cell saves for each of its four neighbours of the same kind */
#define LEAST_GAIN   400.0 /* bits that exact cells of a region must save */

/* ---- a glance -------------------------------------------------------------------------------- */

/* Statistics of a cell. */
struct look {
	/* All pixels; those equal to the left or the upper one, or predicted by both and the one
	 * between. */
	unsigned pixels, free;
	unsigned colours; /* up to MOST_COLOURS + 1 */
	uint16_t low[3], high[3];
	double residual_bits; /* of the other pixels, roughly */
	uint64_t colour[TABLE];
};

static void count_colour(struct look *l, uint64_t colour)
{
	unsigned at = (unsigned)(colour * 0x9e3779b97f4a7c15u >> 56);
	if (l->colours > MOST_COLOURS)
		return;
	while (l->colour[at] && l->colour[at] != colour + 1)
		at = (at + 1) % TABLE;
	l->colours += !l->colour[at];
	l->colour[at] = colour + 1;
}

static int32_t median_of(int32_t w, int32_t n, int32_t nw)
{
	int32_t low = w < n ? w : n, high = w < n ? n : w, plane = w + n - nw;
	return plane < low ? low : plane > high ? high : plane;
}

static bool same(const uint16_t *a, const uint16_t *b, unsigned colours)
{
	return !memcmp(a, b, colours * sizeof *a);
}

/* Adds the pixel at *p, whose neighbours above and to the left are in the region, or it is at its
 * edge. */
static void look_at(struct look *l, const struct vae_region *r, const uint16_t *p, bool left,
                    bool above)
{
	const uint16_t *w = left    ? p - r->colours
	                    : above ? p - r->stride
	                            : p,
				   *n = above ? p - r->stride : w, *nw = left && above ? n - r->colours : n;
	uint64_t colour = 0;
	int32_t size = 0;
	double bits = 0;
	for (unsigned i = 0; i < r->colours; i++) {
		int32_t miss = abs(p[i] - median_of(w[i], n[i], nw[i]));
		colour |= (uint64_t)p[i] << 16 * i;
		l->low[i] = l->pixels ? vae_min(l->low[i], p[i]) : p[i];
		l->high[i] = vae_max(l->high[i], p[i]);
		bits += log2(1 + 2 * miss) + 0.5;
		size |= miss;
	}
	bool told = !size || same(p, w, r->colours) || same(p, n, r->colours);
	l->pixels++;
	l->free += told;
	l->residual_bits += told ? 0 : bits;
	count_colour(l, colour);
}

static void look_at_cell(struct look *l, const struct vae_region *r, size_t row, size_t column)
{
	size_t bottom = vae_min(row + VAE_CELL_PX, r->rows),
		   right = vae_min(column + VAE_CELL_PX, r->columns);
	memset(l, 0, sizeof *l);
	for (size_t y = row; y < bottom; y++)
		for (size_t x = column; x < right; x++)
			look_at(l, r, r->colour + y * r->stride + x * r->colours, x > 0, y > 0);
}

/* Returns roughly the bits of an exact cell: whether its neighbours predict a pixel and, if not,
 * its colour or residual. */
static double bits_of(const struct look *l)
{
	double others = l->pixels - l->free, p = (others + 0.5) / (l->pixels + 1);
	double flags = -l->pixels * (p * log2(p) + (1 - p) * log2(1 - p)) / 2;
	double palette = others * (log2(l->colours) + 1);
	return flags +
	       (l->colours <= MOST_COLOURS && palette < l->residual_bits ? palette : l->residual_bits);
}

/* ---- a trial --------------------------------------------------------------------------------- */

struct chooser {
	const struct vae_model *model;
	double quality;
	const struct vae_region *region;
	size_t rows, columns;  /* of cells */
	struct vae_rect trial; /* in cells: encoded on trial */
	uint8_t *tried;        /* [rows x columns] cells that may become exact; owned, as the others */
	double *exact;         /* bits of each if it is exact, roughly */
	double *modelled; /* bits, and the price of the error, of each on trial if it is not exact */
};

static double gain(const struct chooser *c, size_t cell)
{
	return c->modelled[cell] - c->exact[cell];
}

/* Returns whether a cell may be worth a closer look, by every fourth row of its pixels. */
static bool glance(const struct vae_region *r, size_t row, size_t column)
{
	size_t bottom = vae_min(row + VAE_CELL_PX, r->rows),
		   right = vae_min(column + VAE_CELL_PX, r->columns), told = 0, pixels = 0;
	const uint16_t *colour[FEW_COLOURS + 1];
	unsigned colours = 0;
	for (size_t y = row + (row + 1 < bottom); y < bottom; y += 4)
		for (size_t x = column; x < right; x++, pixels++) {
			const uint16_t *p = r->colour + y * r->stride + x * r->colours;
			unsigned known = 0;
			if ((x && same(p, p - r->colours, r->colours)) ||
			    (y && same(p, p - r->stride, r->colours))) {
				told++;
				continue;
			}
			while (known < colours && !same(p, colour[known], r->colours))
				known++;
			if (known == colours && colours <= FEW_COLOURS)
				colour[colours++] = p;
			if (colours > FEW_COLOURS && pixels >= VAE_CELL_PX && 4 * told < pixels)
				return false;
		}
	return colours <= FEW_COLOURS || (double)told >= GLANCE_SHARE * (double)pixels;
}

enum suspicion { NONE, FLAT, DRAWN };

/* Returns whether a cell is worth a trial: by itself, if it has edges, as text and drawings do; or
 * because most of the region is flat like it. */
static enum suspicion suspicion_of(const struct vae_region *r, size_t row, size_t column)
{
	struct look look;
	unsigned range = 0;
	if (!glance(r, row, column))
		return NONE;
	look_at_cell(&look, r, row, column);
	if (look.colours > FEW_COLOURS && look.free < FREE_SHARE * look.pixels)
		return NONE;
	for (unsigned i = 0; i < r->colours; i++)
		range = vae_max(range, (unsigned)(look.high[i] - look.low[i]));
	return range >= EDGE * r->maxval ? DRAWN : FLAT;
}

/* Marks a cell and its neighbours. */
static void mark(struct chooser *c, size_t row, size_t column)
{
	struct vae_rect near =
		vae_rect_widened((struct vae_rect){row, column, 1, 1}, 1, c->rows, c->columns);
	for (size_t y = near.row; y < near.row + near.rows; y++)
		memset(c->tried + y * c->columns + near.column, 1, near.columns);
}

/* Marks the cells that may be better exact, with their neighbours, and finds the rectangle around
 * them: without rows if they are too few. */
static void suspect(struct chooser *c)
{
	size_t top = c->rows, left = c->columns, bottom = 0, right = 0, count[DRAWN + 1] = {0},
		   cells = c->rows * c->columns;
	struct look look;
	for (size_t row = 0; row < c->rows; row++)
		for (size_t column = 0; column < c->columns; column++) {
			enum suspicion kind = suspicion_of(c->region, row * VAE_CELL_PX, column * VAE_CELL_PX);
			count[kind]++;
			if (kind == NONE)
				continue;
			mark(c, row, column);
			top = vae_min(top, row);
			left = vae_min(left, column);
			bottom = vae_max(bottom, row + 1);
			right = vae_max(right, column + 1);
		}
	double drawn = (double)count[DRAWN], flat = (double)count[FLAT];
	if (!count[DRAWN] && !count[FLAT])
		return;
	if (drawn < DRAWN_SHARE * (double)cells && drawn + flat < FLAT_SHARE * (double)cells)
		return;
	c->trial = vae_rect_widened((struct vae_rect){top, left, bottom - top, right - left}, MARGIN,
	                            c->rows, c->columns);
	for (size_t i = 0; i < c->rows * c->columns; i++)
		if (c->tried[i]) {
			look_at_cell(&look, c->region, i / c->columns * VAE_CELL_PX,
			             i % c->columns * VAE_CELL_PX);
			c->exact[i] = bits_of(&look);
		}
}

/* Computes the bits of cells if they, and no others, are exact. */
static int code_cells(double *bits, const struct chooser *c, const uint8_t *cells,
                      struct vae_error *error)
{
	const struct vae_region *r = c->region;
	struct vae_exact_tile tile = {.width = (uint32_t)r->columns,
	                              .height = (uint32_t)r->rows,
	                              .planes = r->colours,
	                              .maxval = r->maxval,
	                              .cells = cells};
	struct vae_buffer coded = {0};
	for (unsigned i = 0; i < r->colours; i++)
		tile.plane[i] = (struct vae_exact_plane){(uint16_t *)r->colour + i, r->colours, r->stride};
	int rc = vae_exact_encode(&coded, &tile, error);
	*bits = 8.0 * (double)coded.size;
	vae_buffer_clear(&coded);
	return rc;
}

/* Scales the estimated bits of exact cells to the size of those coded on trial. */
static int scale_exact(struct chooser *c, struct vae_error *error)
{
	double bits, sum = 1;
	int rc = code_cells(&bits, c, c->tried, error);
	for (size_t i = 0; i < c->rows * c->columns; i++)
		sum += c->tried[i] ? c->exact[i] : 0;
	for (size_t i = 0; i < c->rows * c->columns && !rc; i++)
		c->exact[i] *= bits / sum;
	return rc;
}

/* Copies the pixels of a rectangle of cells to a picture. */
static int cut(struct vae_image **image, const struct vae_region *r, struct vae_rect cells,
               struct vae_error *error)
{
	size_t top = cells.row * VAE_CELL_PX, left = cells.column * VAE_CELL_PX;
	struct vae_geometry g = {
		.width = (uint32_t)(vae_min(left + cells.columns * VAE_CELL_PX, r->columns) - left),
		.height = (uint32_t)(vae_min(top + cells.rows * VAE_CELL_PX, r->rows) - top),
		.maxval = r->maxval,
		.format = r->colours == 3 ? VAE_PPM : VAE_PGM,
		.tuple = r->colours == 3 ? VAE_RGB : VAE_GRAYSCALE};
	int rc = vae_image_new(image, &g, UINT64_MAX, error);
	size_t line = (size_t)g.width * r->colours;
	for (size_t row = 0; row < g.height && !rc; row++)
		memcpy((*image)->colour + row * line,
		       r->colour + (top + row) * r->stride + left * r->colours, line * sizeof *r->colour);
	return rc;
}

/* Returns the squared error that the model leaves in a cell, for samples of 0 to 1. */
static double error_of(const struct vae_image *a, const struct vae_image *b, size_t row,
                       size_t column)
{
	const struct vae_geometry *g = &a->geometry;
	size_t colours = (size_t)vae_colours(g->tuple), line = g->width * colours;
	size_t bottom = vae_min((row + 1) * VAE_CELL_PX, g->height),
		   right = vae_min((column + 1) * VAE_CELL_PX, g->width) * colours;
	double sum = 0;
	for (size_t y = row * VAE_CELL_PX; y < bottom; y++)
		for (size_t x = column * VAE_CELL_PX * colours; x < right; x++) {
			double d = ((double)a->colour[y * line + x] - b->colour[y * line + x]) / g->maxval;
			sum += d * d;
		}
	return sum / (double)colours;
}

/* Encodes and decodes a picture; *bits: of each cell. */
static int try_model(struct vae_image **decoded, double *bits, const struct chooser *c,
                     const struct vae_image *image, struct vae_error *error)
{
	struct vae_latents *y = NULL, *rounded = NULL;
	struct vae_codes *codes = NULL;
	int rc = vae_encode(&y, c->model, image, c->quality, error);
	if (!rc && !(rc = vae_quantise(&codes, c->model, y, VAE_METHOD_RANGE, 0, error)) &&
	    !(rc = vae_rate_cells(bits, c->model, codes, error)) &&
	    !(rc = vae_dequantise(&rounded, c->model, codes, error)))
		rc = vae_decode(decoded, c->model, rounded, error);
	vae_latents_free(y);
	vae_latents_free(rounded);
	vae_codes_free(codes);
	return rc;
}

/* Computes the cost of the cells on trial under the model. */
static int weigh(struct chooser *c, struct vae_error *error)
{
	const struct vae_rect cells = c->trial;
	struct vae_image *image = NULL, *decoded = NULL;
	double *bits,
		price = VAE_ERROR_UNITS * vae_arch_lambda(&c->model->nets->arch,
	                                              (uint16_t)(c->quality / 100 * VAE_QUALITY_ONE));
	int rc = vae_alloc(&bits, cells.rows * cells.columns, sizeof *bits, error);
	if (rc)
		return rc;
	if (!(rc = cut(&image, c->region, cells, error)))
		rc = try_model(&decoded, bits, c, image, error);
	for (size_t i = 0; i < cells.rows * cells.columns && !rc; i++) {
		size_t row = i / cells.columns, column = i % cells.columns,
			   at = (cells.row + row) * c->columns + cells.column + column;
		c->modelled[at] = bits[i] + price * error_of(image, decoded, row, column);
	}
	vae_image_free(image);
	vae_image_free(decoded);
	free(bits);
	return rc;
}

/* ---- the map --------------------------------------------------------------------------------- */

/* Returns how many more of a cell's four neighbours are exact than not. */
static int balance(const struct chooser *c, const uint8_t *cells, size_t row, size_t column)
{
	const uint8_t *here = cells + row * c->columns + column;
	int sum = 0;
	sum += !row ? 0 : *(here - c->columns) ? 1 : -1;
	sum += row + 1 == c->rows ? 0 : here[c->columns] ? 1 : -1;
	sum += !column ? 0 : here[-1] ? 1 : -1;
	sum += column + 1 == c->columns ? 0 : here[1] ? 1 : -1;
	return sum;
}

/* Makes a cell exact if that saves bits; cells that differ from their neighbours cost some. */
static void draw_map(uint8_t *cells, const struct chooser *c)
{
	for (size_t i = 0; i < c->rows * c->columns; i++)
		cells[i] = c->tried[i] && gain(c, i) > 0;
	for (int pass = 0; pass < 2; pass++)
		for (size_t row = 0; row < c->rows; row++)
			for (size_t column = 0; column < c->columns; column++) {
				size_t i = row * c->columns + column;
				cells[i] =
					c->tried[i] && gain(c, i) + SIDE_BITS * balance(c, cells, row, column) > 0;
			}
}

/* Computes the cost of all cells on trial with this map. */
static int cost_of(double *cost, const struct chooser *c, const uint8_t *cells,
                   struct vae_error *error)
{
	int rc = code_cells(cost, c, cells, error);
	for (size_t i = 0; i < c->rows * c->columns; i++)
		*cost += cells[i] ? 0 : c->modelled[i];
	return rc;
}

/* Chooses the map. Cells depend on each other more than their own figures tell: the map is compared
 * with none and with all cells on trial. */
static int settle(uint8_t *cells, struct chooser *c, struct vae_error *error)
{
	double some, all, none = 0;
	int rc;
	for (size_t i = 0; i < c->rows * c->columns; i++)
		none += c->modelled[i];
	draw_map(cells, c);
	for (size_t row = 0; row < c->trial.rows; row++)
		memset(c->tried + (c->trial.row + row) * c->columns + c->trial.column, 1, c->trial.columns);
	if ((rc = cost_of(&some, c, cells, error)) || (rc = cost_of(&all, c, c->tried, error)))
		return rc;
	if (all < some)
		memcpy(cells, c->tried, c->rows * c->columns);
	if ((all < some ? all : some) > none - LEAST_GAIN)
		memset(cells, 0, c->rows * c->columns);
	return 0;
}

int vae_choose_cells(uint8_t *cells, const struct vae_model *model, double quality,
                     const struct vae_region *region, struct vae_error *error)
{
	struct chooser c = {.model = model, .quality = quality, .region = region};
	c.rows = (region->rows + VAE_CELL_PX - 1) / VAE_CELL_PX;
	c.columns = (region->columns + VAE_CELL_PX - 1) / VAE_CELL_PX;
	size_t count = c.rows * c.columns;
	memset(cells, 0, count);
	int rc = vae_alloc(&c.tried, count, sizeof *c.tried, error);
	if (!rc && !(rc = vae_alloc(&c.exact, count, sizeof *c.exact, error)))
		rc = vae_alloc(&c.modelled, count, sizeof *c.modelled, error);
	if (!rc)
		suspect(&c);
	if (c.trial.rows && !(rc = scale_exact(&c, error)) && !(rc = weigh(&c, error)))
		rc = settle(cells, &c, error);
	free(c.tried);
	free(c.exact);
	free(c.modelled);
	return rc;
}
