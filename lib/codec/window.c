#include "codec/window.h"

#include "base/error.h"
#include "base/rect.h"
#include "stream/geometry.h"

int vae_window_take(struct vae_rect *w, const struct vae_rect *window, const struct vae_geometry *g,
                    struct vae_error *error)
{
	*w = window ? *window : (struct vae_rect){0, 0, g->height, g->width};
	if (w->rows && w->columns && w->row < g->height && w->column < g->width &&
	    w->rows <= g->height - w->row && w->columns <= g->width - w->column)
		return 0;
	return vae_fail(error, VAE_EARG,
	                "the window %zu,%zu,%zu,%zu is not within the picture of %u x %u pixels",
	                w->column, w->row, w->columns, w->rows, g->width, g->height);
}

struct vae_rect vae_window_cells(const struct vae_rect *window)
{
	return vae_rect_touched(*window, VAE_CELL_PX);
}

struct vae_rect vae_window_slices(const struct vae_rect *window, const struct vae_model *model,
                                  const struct vae_head *head)
{
	if (model && model->nets->arch.kind == VAE_ARCH_MLP)
		return (struct vae_rect){0, 0, 1, 1};
	size_t halo = model ? vae_net_halo(&model->nets->net[VAE_SYNTHESIS]) : 0;
	return vae_rect_touched(
		vae_rect_widened(vae_window_cells(window), halo, head->rows, head->columns),
		VAE_SLICE_CELLS);
}
