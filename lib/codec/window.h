/* window.h - what a window of the picture needs of its cells and slices. */
#ifndef VAE_WINDOW_H
#define VAE_WINDOW_H

#include "nn/sweep.h"
#include "model/model.h"

/* *w = window, or the whole picture where that is NULL. VAE_EARG where it is empty or not within
 * the picture. */
int vae_window_take(struct vae_rect *w, const struct vae_rect *window,
                    const struct vae_geometry *geometry, struct vae_error *error);
/* The cells of 16 x 16 pixels that it lies in. */
struct vae_rect vae_window_cells(const struct vae_rect *window);
/* The slices (their rows and columns among the picture's slices) that synthesis reads for it: those
 * that its cells, and the margin around them, lie in. model NULL: no margin. */
struct vae_rect vae_window_slices(const struct vae_rect *window, const struct vae_model *model,
                                  const struct vae_head *head);

#endif
