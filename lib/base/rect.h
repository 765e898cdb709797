/* rect.h - operations on rectangles (struct vae_rect). */
#ifndef VAE_BASE_RECT_H
#define VAE_BASE_RECT_H

#include "base/minmax.h"
#include "vae.h"

/* Returns the rectangle widened by `by` on each side, cut at the borders of rows x columns. */
static inline struct vae_rect vae_rect_widened(struct vae_rect r, size_t by, size_t rows,
                                               size_t columns)
{
	struct vae_rect w = {r.row - vae_min(r.row, by), r.column - vae_min(r.column, by), 0, 0};
	w.rows = vae_min(r.row + r.rows + by, rows) - w.row;
	w.columns = vae_min(r.column + r.columns + by, columns) - w.column;
	return w;
}

/* Returns the intersection: 0 rows or 0 columns if it is empty. */
static inline struct vae_rect vae_rect_common(struct vae_rect a, struct vae_rect b)
{
	struct vae_rect c = {vae_max(a.row, b.row), vae_max(a.column, b.column), 0, 0};
	size_t bottom = vae_min(a.row + a.rows, b.row + b.rows),
		   right = vae_min(a.column + a.columns, b.column + b.columns);
	c.rows = bottom - vae_min(bottom, c.row);
	c.columns = right - vae_min(right, c.column);
	return c;
}

/* Returns, in units of squares of `side`, the squares that the rectangle touches. */
static inline struct vae_rect vae_rect_touched(struct vae_rect r, size_t side)
{
	struct vae_rect t = {.row = r.row / side, .column = r.column / side};
	t.rows = (r.row + r.rows + side - 1) / side - t.row;
	t.columns = (r.column + r.columns + side - 1) / side - t.column;
	return t;
}

static inline bool vae_rect_holds(const struct vae_rect *r, size_t row, size_t column)
{
	return row - r->row < r->rows && column - r->column < r->columns;
}

#endif
