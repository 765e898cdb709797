#include "codec/beside.h"

#include <stdlib.h>
#include <string.h>

#include "exact/exact.h"
#include "exact/map.h"
#include "exact/part.h"
#include "image/image.h"

#define CELL (1u << VAE_MIN_CELL)

_Static_assert(VAE_SLICE_CELLS *CELL == VAE_EXACT_SIDE, "a slice is a tile");
_Static_assert(CELL == VAE_EXACT_CELL, "cells of exact samples");

enum { NONE, ALL }; /* numbers before a map; other values: its bytes */

/* ---- tiles ----------------------------------------------------------------------------------- */

/* Describes planes `first` to first + planes - 1 of a slice's samples. */
static struct vae_exact_tile tile_of(const struct vae_codes *c, size_t slice, unsigned first,
                                     unsigned planes, uint16_t *corner, size_t stride)
{
	struct vae_rect px = vae_cell_pixels(&c->head, vae_slice_at(&c->head, slice));
	unsigned each = vae_exact_samples(&c->head);
	struct vae_exact_tile tile = {.width = (uint32_t)px.columns,
	                              .height = (uint32_t)px.rows,
	                              .planes = planes,
	                              .maxval = c->head.geometry.maxval};
	for (unsigned i = 0; i < planes; i++)
		tile.plane[i] = (struct vae_exact_plane){corner + first + i, each, stride};
	return tile;
}

static struct vae_exact_tile whole_tile(const struct vae_codes *c, size_t slice, uint16_t *corner,
                                        size_t stride)
{
	return tile_of(c, slice, 0, vae_exact_samples(&c->head), corner, stride);
}

static struct vae_exact_tile colour_tile(const struct vae_codes *c, size_t slice,
                                         const struct vae_cells *cells, uint16_t *corner,
                                         size_t stride)
{
	struct vae_exact_tile tile =
		tile_of(c, slice, 1, (unsigned)vae_colours(c->head.geometry.tuple), corner, stride);
	tile.cells = cells->exact;
	return tile;
}

static struct vae_exact_tile alpha_tile(const struct vae_codes *c, size_t slice, uint16_t *corner,
                                        size_t stride)
{
	return tile_of(c, slice, vae_exact_samples(&c->head) - 1, 1, corner, stride);
}

/* ---- cells ----------------------------------------------------------------------------------- */

static bool surrounded(const struct vae_cells *cells, struct vae_rect p, size_t row, size_t column)
{
	for (size_t y = row ? row - 1 : 0; y <= row + 1 && y < p.rows; y++)
		for (size_t x = column ? column - 1 : 0; x <= column + 1 && x < p.columns; x++)
			if (!cells->exact[y * p.columns + x])
				return false;
	return true;
}

static void find_known(struct vae_cells *cells, struct vae_rect p)
{
	for (size_t row = 0; row < p.rows; row++)
		for (size_t column = 0; column < p.columns; column++)
			cells->known_zero[row * p.columns + column] = surrounded(cells, p, row, column);
}

void vae_cells_take(struct vae_cells *cells, const struct vae_head *head, const struct vae_rect *p,
                    const uint16_t *corner, size_t stride)
{
	size_t each = vae_exact_samples(head);
	cells->any = false;
	for (size_t row = 0; row < p->rows; row++)
		for (size_t column = 0; column < p->columns; column++) {
			bool exact = corner[row * CELL * stride + column * CELL * each];
			cells->exact[row * p->columns + column] = exact;
			cells->any |= exact;
		}
	find_known(cells, *p);
}

/* ---- layout ---------------------------------------------------------------------------------- */

struct part {
	const uint8_t *data; /* borrowed */
	size_t bytes;
};

/* The parts of a payload. */
struct layout {
	uint32_t form;    /* the number before the map; NONE without one */
	size_t exact_end; /* bytes of everything that exact cells take, numbers included */
	struct part map, colours, alpha, symbols;
};

static int take(struct part *part, struct vae_exact_bytes *from, size_t bytes,
                struct vae_error *error)
{
	size_t left = (size_t)(from->end - from->next);
	if (from->failed || bytes > left)
		return vae_fail(error, VAE_EDATA, "exact samples of %zu bytes where %zu are left", bytes,
		                left);
	*part = (struct part){from->next, bytes};
	from->next += bytes;
	return 0;
}

static int take_counted(struct part *part, struct vae_exact_bytes *from, struct vae_error *error)
{
	uint32_t bytes = vae_exact_read(from);
	return take(part, from, bytes, error);
}

/* Finds the parts of a payload, for codes with channels. */
static int lay_out(struct layout *l, const struct vae_codes *c, size_t slice,
                   const struct vae_slice *bytes, struct vae_error *error)
{
	static const uint8_t nothing[1]; /* an empty payload may be NULL */
	const uint8_t *data = bytes->bytes ? bytes->payload : nothing;
	struct vae_exact_bytes from = {.next = data, .end = data + bytes->bytes};
	*l = (struct layout){.form = NONE};
	int rc = 0;
	if (c->head.mixed) {
		l->form = vae_exact_read(&from);
		rc = take(&l->map, &from, l->form > ALL ? l->form : 0, error);
		if (!rc && l->form != NONE)
			rc = take_counted(&l->colours, &from, error);
	}
	l->exact_end = (size_t)(from.next - data);
	if (!rc && vae_has_alpha(c->head.geometry.tuple))
		rc = c->coded_alpha
		         ? take_counted(&l->alpha, &from, error)
		         : take(&l->alpha, &from, vae_codes_alpha_bytes(c, (uint32_t)slice), error);
	return rc ? rc : take(&l->symbols, &from, (size_t)(from.end - from.next), error);
}

static int read_map(struct vae_cells *cells, const struct layout *l, struct vae_rect p,
                    struct vae_error *error)
{
	memset(cells->exact, l->form == ALL, p.rows * p.columns);
	int rc = l->form > ALL ? vae_exact_map_decode(cells->exact, p.rows, p.columns, l->map.data,
	                                              l->map.bytes, error)
	                       : 0;
	cells->any = !rc && l->form != NONE;
	find_known(cells, p);
	return rc;
}

/* ---- encoding and decoding ------------------------------------------------------------------- */

static int append_counted(struct vae_buffer *buffer, const struct vae_exact_tile *tile,
                          struct vae_error *error)
{
	struct vae_buffer coded = {0};
	int rc = vae_exact_encode(&coded, tile, error);
	if (!rc && !(rc = vae_exact_write(buffer, (uint32_t)coded.size, error)))
		rc = vae_buffer_append(buffer, coded.data, coded.size, error);
	vae_buffer_clear(&coded);
	return rc;
}

static int append_cells(struct vae_buffer *buffer, const struct vae_cells *cells, struct vae_rect p,
                        struct vae_error *error)
{
	struct vae_buffer coded = {0};
	bool all = !memchr(cells->exact, 0, p.rows * p.columns);
	if (!cells->any || all)
		return vae_exact_write(buffer, cells->any ? ALL : NONE, error);
	int rc = vae_exact_map_encode(&coded, cells->exact, p.rows, p.columns, error);
	if (!rc && !(rc = vae_exact_write(buffer, (uint32_t)coded.size, error)))
		rc = vae_buffer_append(buffer, coded.data, coded.size, error);
	vae_buffer_clear(&coded);
	return rc;
}

int vae_beside_encode(struct vae_buffer *buffer, const struct vae_codes *c, size_t slice,
                      uint16_t *corner, size_t stride, struct vae_error *error)
{
	struct vae_rect p = vae_slice_at(&c->head, slice);
	struct vae_exact_tile tile;
	struct vae_cells cells;
	int rc = 0;
	if (!c->head.channels) {
		tile = whole_tile(c, slice, corner, stride);
		return vae_exact_encode(buffer, &tile, error);
	}
	if (c->head.mixed) {
		vae_cells_take(&cells, &c->head, &p, corner, stride);
		tile = colour_tile(c, slice, &cells, corner, stride);
		rc = append_cells(buffer, &cells, p, error);
		if (!rc && cells.any)
			rc = append_counted(buffer, &tile, error);
	}
	if (rc || !c->coded_alpha)
		return rc;
	tile = alpha_tile(c, slice, corner, stride);
	return append_counted(buffer, &tile, error);
}

static int decode_tile(const struct vae_exact_tile *tile, const struct part *part,
                       struct vae_error *error)
{
	return vae_exact_decode(tile, part->data, part->bytes, error);
}

/* Decodes the map and the exact cells' colours; other samples become 0. */
static int decode_cells(const struct vae_codes *c, size_t slice, const struct layout *l,
                        uint16_t *corner, size_t stride, struct vae_error *error)
{
	struct vae_rect p = vae_slice_at(&c->head, slice), px = vae_cell_pixels(&c->head, p);
	size_t each = vae_exact_samples(&c->head);
	struct vae_cells cells;
	int rc = read_map(&cells, l, p, error);
	if (rc)
		return rc;
	for (size_t row = 0; row < px.rows; row++)
		for (size_t column = 0; column < px.columns; column++) {
			uint16_t *pixel = corner + row * stride + column * each;
			memset(pixel, 0, each * sizeof *pixel);
			*pixel = cells.exact[row / CELL * p.columns + column / CELL];
		}
	struct vae_exact_tile tile = colour_tile(c, slice, &cells, corner, stride);
	return cells.any ? decode_tile(&tile, &l->colours, error) : 0;
}

static int decode_alpha(const struct vae_codes *c, size_t slice, const struct layout *l,
                        uint16_t *corner, size_t stride, struct vae_error *error)
{
	struct vae_rect px = vae_cell_pixels(&c->head, vae_slice_at(&c->head, slice));
	struct vae_exact_tile tile = alpha_tile(c, slice, corner, stride);
	if (c->coded_alpha)
		return decode_tile(&tile, &l->alpha, error);
	int rc = 0;
	for (size_t row = 0; row < px.rows && !rc; row++)
		rc = vae_samples_get(corner + row * stride, &c->head.geometry,
		                     l->alpha.data + row * (l->alpha.bytes / px.rows), px.columns, error);
	return rc;
}

static int decode(const struct vae_codes *c, size_t slice, const struct vae_slice *bytes,
                  uint16_t *corner, size_t stride, struct vae_error *error)
{
	struct layout l;
	if (!c->head.channels) {
		struct vae_exact_tile tile = whole_tile(c, slice, corner, stride);
		return vae_exact_decode(&tile, bytes->payload, bytes->bytes, error);
	}
	int rc = lay_out(&l, c, slice, bytes, error);
	if (!rc && c->head.mixed)
		rc = decode_cells(c, slice, &l, corner, stride, error);
	if (!rc && vae_has_alpha(c->head.geometry.tuple))
		rc = decode_alpha(c, slice, &l, corner, stride, error);
	return rc;
}

int vae_beside_decode(const struct vae_codes *codes, size_t slice, const struct vae_slice *bytes,
                      uint16_t *corner, size_t stride, struct vae_error *error)
{
	struct vae_error why = {.offset = -1};
	int rc = decode(codes, slice, bytes, corner, stride, &why);
	return rc ? vae_fail(error, (enum vae_err)rc, "slice %zu of %u: %.300s", slice + 1,
	                     codes->slices, why.text)
	          : 0;
}

int vae_cells_read(struct vae_cells *cells, const struct vae_codes *codes, size_t slice,
                   const struct vae_slice *bytes, struct vae_error *error)
{
	struct layout l;
	struct vae_rect p = vae_slice_at(&codes->head, slice);
	int rc = lay_out(&l, codes, slice, bytes, error);
	if (rc || (rc = read_map(cells, &l, p, error)))
		return rc;
	cells->symbols_begin = bytes->bytes - l.symbols.bytes;
	cells->alpha_bytes =
		l.alpha.bytes ? (size_t)(l.alpha.data + l.alpha.bytes - bytes->payload) - l.exact_end : 0;
	cells->exact_bytes = l.exact_end;
	return 0;
}

/* ---- all or none ----------------------------------------------------------------------------- */

/* Returns whether all slices begin with this number. */
static bool all_of_form(const struct vae_codes *c, uint8_t form)
{
	for (uint32_t i = 0; i < c->slices; i++)
		if (c->slice[i].payload[0] != form)
			return false;
	return true;
}

/* Keeps the bytes from `from` to `to` of a payload. */
static void keep(struct vae_slice *s, const uint8_t *from, const uint8_t *to)
{
	memmove(s->payload, from, (size_t)(to - from));
	s->bytes = (uint32_t)(to - from);
}

/* Makes an exact slice. A tile of 2 or 4 planes consists of the size of the tile of its colours as
 * a number, that tile, and the tile of its alpha. */
static void make_exact(struct vae_slice *s, const struct layout *l, bool alpha)
{
	if (!alpha) {
		keep(s, l->colours.data, l->colours.data + l->colours.bytes);
		return;
	}
	uint8_t *behind = s->payload + (l->colours.data - s->payload) + l->colours.bytes;
	memmove(behind, l->alpha.data, l->alpha.bytes);
	keep(s, s->payload + 1, behind + l->alpha.bytes);
}

void vae_codes_settle(struct vae_codes *c)
{
	struct layout l;
	if (c->head.mixed && all_of_form(c, NONE)) {
		for (uint32_t i = 0; i < c->slices; i++)
			keep(&c->slice[i], c->slice[i].payload + 1, c->slice[i].payload + c->slice[i].bytes);
		c->head.mixed = false;
	} else if (c->head.mixed && all_of_form(c, ALL)) {
		for (uint32_t i = 0; i < c->slices; i++)
			if (!lay_out(&l, c, i, &c->slice[i], NULL))
				make_exact(&c->slice[i], &l, c->coded_alpha);
		c->head.mixed = false;
		c->head.channels = 0;
		c->head.model_id = c->head.quality = 0;
		c->method = VAE_METHOD_RANGE;
	}
}
