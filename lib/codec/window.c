#include "codec/window.h"

#include "stream/geometry.h"
#include "base/error.h"
#include "base/minmax.h"
#include "prior/hyper.h"

int vae_window_take(struct vae_window *w, const struct vae_window *window,
                    const struct vae_geometry *g, struct vae_error *error)
{
	*w = window ? *window : (struct vae_window){0, 0, g->width, g->height};
	if (w->width && w->height && w->left < g->width && w->top < g->height &&
	    w->width <= g->width - w->left && w->height <= g->height - w->top)
		return 0;
	return vae_fail(error, VAE_EARG,
	                "the window %u,%u,%u,%u is not within the picture of %u x %u pixels", w->left,
	                w->top, w->width, w->height, g->width, g->height);
}

/* The squares of `side` that [row, row + rows) x [column, column + columns) touches. */
static struct vae_area touched(size_t row, size_t column, size_t rows, size_t columns, size_t side)
{
	struct vae_area a = {.row = row / side, .column = column / side};
	a.rows = (row + rows + side - 1) / side - a.row;
	a.columns = (column + columns + side - 1) / side - a.column;
	return a;
}

struct vae_area vae_window_cells(const struct vae_window *w)
{
	return touched(w->top, w->left, w->height, w->width, VAE_CELL_PX);
}

struct vae_area vae_window_slices(const struct vae_window *w, const struct vae_model *model,
                                  const struct vae_head *head)
{
	if (model->nets->arch.kind == VAE_ARCH_MLP)
		return (struct vae_area){0, 0, 1, 1};
	struct vae_area a = vae_window_cells(w);
	size_t halo = vae_net_halo(&model->nets->net[VAE_SYNTHESIS]),
		   top = a.row - vae_min(a.row, halo), left = a.column - vae_min(a.column, halo);
	size_t bottom = vae_min(a.row + a.rows + halo, head->rows),
		   right = vae_min(a.column + a.columns + halo, head->columns);
	return touched(top, left, bottom - top, right - left, VAE_SLICE_CELLS);
}
