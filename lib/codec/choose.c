/* choose.c - for encoders only: libm is allowed. */
#include "codec/choose.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/minmax.h"
#include "exact/exact.h"
#include "exact/map.h"
#include "loss/objective.h"
#include "nn/sweep.h"

enum {
	FEW_COLOURS = 8,   /* colours of a cell that is worth a trial whatever its pixels are like */
	MOST_COLOURS = 64, /* limit of counted colours */
	TABLE = 256,       /* entries of a table of colours by hash */
	MARGIN = 2,        /* cells around those on trial */
	MOST_PASSES = 8
};
/* Shares of a cell's pixels: equal to the left or upper one, for a closer look; predicted by their
 * neighbours, for a trial. */
#define GLANCE_SHARE   0.5
#define FREE_SHARE     0.75
/* Shares of a region's cells, for a trial: those that have edges, which are fewer in 37 of 40
 * photographs held out of training; those that are flat or have edges. */
#define DRAWN_SHARE    0.03
#define FLAT_SHARE     0.5
#define EDGE           0.125 /* of black to white: the least range of a cell that has edges */
#define SIDE_BITS      2.0 /* of the map, for each neighbour of a cell that is of the other kind */
#define LEAST_GAIN     200.0 /* bits that exact cells of a region must save */
/* A region is narrow if its samples span less than this part of black to white. */
#define NARROW         (1.0 / 128)
/* What a drawing, or a narrow region, may cost more if all of it is exact, from FULL_QUALITY on;
 * the factor rises from 1 at quality 0. With 10, two of 40 photographs held out of training, a
 * glass before white and four before black, are drawings at quality 30, at 19 and 28 times the
 * bytes; with 4, none is. Of 51 drawings and 7 screens to train on, at quality 30, 6 that need more
 * than 5 take more than 1.25 times the bytes of AVIF at equal PSNR. */
#define DRAWING_FACTOR 4.0
#define FULL_QUALITY   30.0
/* What tells drawings from photographs on a flat ground: the most bits of a sample outside of flat
 * cells; and, of the pixels of cells that are no suspects, the least share that neighbours predict,
 * or the most of them, as a share of the region's. By the shares 149 of 150 drawings to train on
 * are such; of 15 photographs with as much white around them, one is by both. */
#define DRAWING_BITS   2.0
#define DRAWING_FREE   0.36
#define DRAWING_REST   0.125

enum suspicion { NONE, DRAWN, FLAT }; /* by how sure it is that a cell is cheap */

/* ---- a glance -------------------------------------------------------------------------------- */

/* Statistics of a cell. */
struct look {
	/* All pixels; those equal to the left or the upper one, or predicted by both and the one
	 * between. */
	unsigned pixels, free;
	unsigned colours; /* up to MOST_COLOURS + 1 */
	uint16_t low[3], high[3];
	bool weigh;           /* whether residual_bits are wanted: set before */
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
		bits += l->weigh ? log2(1 + 2 * miss) + 0.5 : 0;
		size |= miss;
	}
	bool told = !size || same(p, w, r->colours) || same(p, n, r->colours);
	l->pixels++;
	l->free += told;
	l->residual_bits += told ? 0 : bits;
	count_colour(l, colour);
}

static void look_at_cell(struct look *l, const struct vae_region *r, size_t row, size_t column,
                         bool weigh)
{
	size_t bottom = vae_min(row + VAE_CELL_PX, r->rows),
		   right = vae_min(column + VAE_CELL_PX, r->columns);
	memset(l, 0, sizeof *l);
	l->weigh = weigh;
	for (size_t y = row; y < bottom; y++)
		for (size_t x = column; x < right; x++)
			look_at(l, r, r->colour + y * r->stride + x * r->colours, x > 0, y > 0);
}

/* Returns roughly the bits of an exact cell: whether its neighbours predict a pixel and, if not,
 * its colour or residual. */
static double bits_of(const struct look *l)
{
	double others = l->pixels - l->free, p = (others + 0.5) / (l->pixels + 1);
	double flags = -(double)l->pixels * (p * log2(p) + (1 - p) * log2(1 - p)) / 2;
	double palette = others * (log2(l->colours) + 1);
	return flags +
	       (l->colours <= MOST_COLOURS && palette < l->residual_bits ? palette : l->residual_bits);
}

/* ---- a trial --------------------------------------------------------------------------------- */

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

/* Returns whether a cell is worth a trial: by itself, if it has edges, as text and drawings do; or
 * because most of the region is flat like it. */
static enum suspicion suspicion_of(const struct vae_region *r, size_t row, size_t column)
{
	struct look look;
	unsigned range = 0;
	if (!glance(r, row, column))
		return NONE;
	look_at_cell(&look, r, row, column, false);
	if (look.colours > FEW_COLOURS && look.free < FREE_SHARE * look.pixels)
		return NONE;
	for (unsigned i = 0; i < r->colours; i++)
		range = vae_max(range, (unsigned)(look.high[i] - look.low[i]));
	return range >= EDGE * r->maxval ? DRAWN : FLAT;
}

/* The cells of a region. Arrays have rows x columns elements; owned. */
struct chooser {
	const struct vae_model *model;
	double quality;
	const struct vae_region *region;
	size_t rows, columns;  /* of cells */
	struct vae_rect trial; /* in cells: encoded on trial; no other cell becomes exact */
	/* What counts as 1 where errors are priced: black to white, or what samples of a narrow region
	 * span. */
	double span;
	bool drawing;        /* most of the region's cells are suspects, or it is narrow */
	double pixels, free; /* as those of looks at cells on trial that are no suspects */
	uint8_t *kind;       /* enum suspicion */
	double *exact;       /* bits of a cell's samples if it is exact, roughly */
	double *latents;     /* bits of a cell's latents */
	double *miss;        /* price of the error that the model leaves in a cell */
	uint8_t *open;       /* cells that are not exact, of those around a cell and itself */
	uint8_t *coded; /* the map that code_cells was given last, and what it said; bits 0: none */
	double coded_bits;
};

/* Returns what the samples of a narrow region span, at least 1; black to white of any other. */
static unsigned span_of(const struct vae_region *r)
{
	unsigned low = UINT16_MAX, high = 0;
	for (size_t row = 0; row < r->rows; row++)
		for (size_t i = 0; i < r->columns * r->colours; i++) {
			uint16_t sample = r->colour[row * r->stride + i];
			low = vae_min(low, sample);
			high = vae_max(high, sample);
			if ((double)(high - low) >= NARROW * r->maxval)
				return r->maxval;
		}
	return vae_max(high - low, 1);
}

/* Finds what kinds cells are, and which are on trial: all of a drawing, else those around suspects;
 * none, without rows, if these are too few. */
static void suspect(struct chooser *c)
{
	size_t top = c->rows, left = c->columns, bottom = 0, right = 0, count[FLAT + 1] = {0};
	for (size_t row = 0; row < c->rows; row++)
		for (size_t column = 0; column < c->columns; column++) {
			enum suspicion kind = suspicion_of(c->region, row * VAE_CELL_PX, column * VAE_CELL_PX);
			c->kind[row * c->columns + column] = (uint8_t)kind;
			count[kind]++;
			if (kind == NONE)
				continue;
			top = vae_min(top, row);
			left = vae_min(left, column);
			bottom = vae_max(bottom, row + 1);
			right = vae_max(right, column + 1);
		}
	double drawn = (double)count[DRAWN], flat = (double)count[FLAT],
		   cells = (double)(c->rows * c->columns);
	c->span = span_of(c->region);
	c->drawing = drawn + flat >= FLAT_SHARE * cells || c->span < c->region->maxval;
	if (c->drawing)
		c->trial = (struct vae_rect){0, 0, c->rows, c->columns};
	else if (drawn >= DRAWN_SHARE * cells)
		c->trial = vae_rect_widened((struct vae_rect){top, left, bottom - top, right - left},
		                            MARGIN, c->rows, c->columns);
}

/* Computes the bits of cells if they, and no others, are exact, with the map. Maps that are drawn
 * from several starts are often the same, above all where everything is exact. */
static int code_cells(double *bits, struct chooser *c, const uint8_t *cells,
                      struct vae_error *error)
{
	const struct vae_region *r = c->region;
	if (c->coded_bits > 0 && !memcmp(c->coded, cells, c->rows * c->columns)) {
		*bits = c->coded_bits;
		return 0;
	}
	struct vae_exact_tile tile = {.width = (uint32_t)r->columns,
	                              .height = (uint32_t)r->rows,
	                              .planes = r->colours,
	                              .maxval = r->maxval,
	                              .cells = cells};
	struct vae_buffer coded = {0};
	for (unsigned i = 0; i < r->colours; i++)
		tile.plane[i] = (struct vae_exact_plane){(uint16_t *)r->colour + i, r->colours, r->stride};
	int rc = vae_exact_encode(&coded, &tile, error);
	if (!rc)
		rc = vae_exact_map_encode(&coded, cells, c->rows, c->columns, error);
	*bits = c->coded_bits = 8.0 * (double)coded.size;
	memcpy(c->coded, cells, c->rows * c->columns);
	vae_buffer_clear(&coded);
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

/* Returns the squared error that the model leaves in a cell, for samples of 0 to 1 within `span`.
 */
static double error_of(const struct vae_image *a, const struct vae_image *b, double span,
                       size_t row, size_t column)
{
	const struct vae_geometry *g = &a->geometry;
	size_t colours = (size_t)vae_colours(g->tuple), line = g->width * colours;
	size_t bottom = vae_min((row + 1) * VAE_CELL_PX, g->height),
		   right = vae_min((column + 1) * VAE_CELL_PX, g->width) * colours;
	double sum = 0;
	for (size_t y = row * VAE_CELL_PX; y < bottom; y++)
		for (size_t x = column * VAE_CELL_PX * colours; x < right; x++) {
			double d = ((double)a->colour[y * line + x] - b->colour[y * line + x]) / span;
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

/* Computes what the cells on trial cost under the model. */
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
		c->latents[at] = bits[i];
		c->miss[at] = price * error_of(image, decoded, c->span, row, column);
	}
	vae_image_free(image);
	vae_image_free(decoded);
	free(bits);
	return rc;
}

/* ---- the map --------------------------------------------------------------------------------- */

static bool on_trial(const struct chooser *c, size_t cell)
{
	return vae_rect_holds(&c->trial, cell / c->columns, cell % c->columns);
}

/* Makes all cells exact that are on trial, or the suspects among them. */
static void start_map(uint8_t *cells, const struct chooser *c, enum suspicion least)
{
	for (size_t i = 0; i < c->rows * c->columns; i++)
		cells[i] = on_trial(c, i) && c->kind[i] >= least;
}

/* Computes the bits of all cells on trial if they are exact, and those of each, roughly, whose sum
 * that is. */
static int estimate(double *bits, struct chooser *c, const uint8_t *all, struct vae_error *error)
{
	double sum = 1;
	struct look look;
	for (size_t i = 0; i < c->rows * c->columns; i++)
		if (on_trial(c, i)) {
			look_at_cell(&look, c->region, i / c->columns * VAE_CELL_PX,
			             i % c->columns * VAE_CELL_PX, true);
			sum += c->exact[i] = bits_of(&look);
			c->pixels += c->kind[i] == NONE ? look.pixels : 0;
			c->free += c->kind[i] == NONE ? look.free : 0;
		}
	int rc = code_cells(bits, c, all, error);
	for (size_t i = 0; i < c->rows * c->columns; i++)
		c->exact[i] *= *bits / sum;
	return rc;
}

static struct vae_rect around(const struct chooser *c, size_t cell)
{
	struct vae_rect one = {cell / c->columns, cell % c->columns, 1, 1};
	return vae_rect_widened(one, 1, c->rows, c->columns);
}

/* Counts the cells that are not exact around each one. */
static void count_open(struct chooser *c, const uint8_t *cells)
{
	for (size_t i = 0; i < c->rows * c->columns; i++) {
		struct vae_rect near = around(c, i);
		c->open[i] = 0;
		for (size_t y = near.row; y < near.row + near.rows; y++)
			for (size_t x = near.column; x < near.column + near.columns; x++)
				c->open[i] = (uint8_t)(c->open[i] + !cells[y * c->columns + x]);
	}
}

/* Turns a cell if that is cheaper. Latents are coded unless no cell around them is open. */
static bool turn(uint8_t *cells, struct chooser *c, size_t cell)
{
	struct vae_rect near = around(c, cell);
	double open = c->miss[cell];
	for (size_t y = near.row; y < near.row + near.rows; y++)
		for (size_t x = near.column; x < near.column + near.columns; x++) {
			size_t i = y * c->columns + x;
			open += c->open[i] == !cells[cell] ? c->latents[i] : 0;
		}
	double others = (double)(near.rows * near.columns) - 1, opened = c->open[cell] - !cells[cell];
	bool exact = c->exact[cell] < open + SIDE_BITS * (others - 2 * opened);
	if (exact == cells[cell])
		return false;
	for (size_t y = near.row; y < near.row + near.rows; y++)
		for (size_t x = near.column; x < near.column + near.columns; x++)
			c->open[y * c->columns + x] = (uint8_t)(c->open[y * c->columns + x] + (exact ? -1 : 1));
	cells[cell] = exact;
	return true;
}

/* Turns cells until no one of them is cheaper when it is turned. */
static void draw_map(uint8_t *cells, struct chooser *c)
{
	bool more = true;
	count_open(c, cells);
	for (int pass = 0; pass < MOST_PASSES && more; pass++) {
		more = false;
		for (size_t i = 0; i < c->rows * c->columns; i++)
			more |= on_trial(c, i) && turn(cells, c, i);
	}
}

/* Adds what the model costs in the cells on trial with this map. */
static double modelled(struct chooser *c, const uint8_t *cells)
{
	double sum = 0;
	count_open(c, cells);
	for (size_t i = 0; i < c->rows * c->columns; i++)
		sum += (c->open[i] ? c->latents[i] : 0) + (cells[i] ? 0 : c->miss[i]);
	return sum;
}

/* Draws a map out of the cells that are at least of this kind. Replaces the best one if it is
 * cheaper. */
static int try_map(uint8_t *best, double *least, uint8_t *cells, struct chooser *c,
                   enum suspicion kind, struct vae_error *error)
{
	double bits;
	start_map(cells, c, kind);
	draw_map(cells, c);
	int rc = code_cells(&bits, c, cells, error);
	bits += modelled(c, cells);
	if (!rc && bits < *least) {
		*least = bits;
		memcpy(best, cells, c->rows * c->columns);
	}
	return rc;
}

/* Returns whether a region is a drawing, or narrow, rather than a photograph on a flat ground. all:
 * bits if all of it is exact. */
static bool is_drawing(const struct chooser *c, double all)
{
	size_t samples = 0;
	for (size_t i = 0; i < c->rows * c->columns; i++)
		samples += c->kind[i] == FLAT ? 0 : VAE_CELL_PX * VAE_CELL_PX * c->region->colours;
	bool plain = c->pixels <= DRAWING_REST * (double)(c->region->rows * c->region->columns) ||
	             c->free >= DRAWING_FREE * c->pixels;
	return c->drawing &&
	       (c->span < c->region->maxval || (plain && all <= DRAWING_BITS * (double)samples));
}

static double factor_of(double quality)
{
	return pow(DRAWING_FACTOR, fmin(quality / FULL_QUALITY, 1));
}

/* Chooses the cheapest of several maps: none; what grows out of all cells on trial, out of
 * suspects, and out of flat ones; and all, which may cost more in drawings. */
static int settle(uint8_t *best, uint8_t *cells, struct chooser *c, struct vae_error *error)
{
	double all, least = modelled(c, best) - LEAST_GAIN;
	start_map(cells, c, NONE);
	int rc = estimate(&all, c, cells, error);
	for (enum suspicion kind = NONE; kind <= FLAT && !rc; kind++)
		rc = try_map(best, &least, cells, c, kind, error);
	if (rc)
		return rc;
	start_map(cells, c, NONE);
	if (all + modelled(c, cells) < least * (is_drawing(c, all) ? factor_of(c->quality) : 1))
		memcpy(best, cells, c->rows * c->columns);
	return 0;
}

int vae_choose_cells(uint8_t *cells, const struct vae_model *model, double quality,
                     const struct vae_region *region, struct vae_error *error)
{
	struct chooser c = {.model = model, .quality = quality, .region = region};
	uint8_t *room = NULL;
	c.rows = (region->rows + VAE_CELL_PX - 1) / VAE_CELL_PX;
	c.columns = (region->columns + VAE_CELL_PX - 1) / VAE_CELL_PX;
	size_t count = c.rows * c.columns;
	memset(cells, 0, count);
	int rc = vae_alloc(&c.kind, count, sizeof *c.kind, error);
	if (!rc && !(rc = vae_alloc(&c.exact, count, sizeof *c.exact, error)) &&
	    !(rc = vae_alloc(&c.latents, count, sizeof *c.latents, error)) &&
	    !(rc = vae_alloc(&c.miss, count, sizeof *c.miss, error)) &&
	    !(rc = vae_alloc(&c.open, count, sizeof *c.open, error)) &&
	    !(rc = vae_alloc(&c.coded, count, sizeof *c.coded, error)))
		rc = vae_alloc(&room, count, sizeof *room, error);
	if (!rc)
		suspect(&c);
	if (c.trial.rows && !(rc = weigh(&c, error)))
		rc = settle(cells, room, &c, error);
	free(room);
	free(c.kind);
	free(c.exact);
	free(c.latents);
	free(c.miss);
	free(c.open);
	free(c.coded);
	return rc;
}
