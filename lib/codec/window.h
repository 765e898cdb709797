/* window.h - the cells and slices that a window of the picture needs. */
#ifndef VAE_WINDOW_H
#define VAE_WINDOW_H

#include "nn/sweep.h"
#include "model/model.h"

/* Sets *w = window, or the whole picture if window is NULL. VAE_EARG if it is empty or not within
 * the picture. */
int vae_window_take(struct vae_rect *w, const struct vae_rect *window,
                    const struct vae_geometry *geometry, struct vae_error *error);
/* Returns the cells of 16 x 16 pixels that contain it. */
struct vae_rect vae_window_cells(const struct vae_rect *window);
/* Returns the slices (their rows and columns among the picture's slices) that the synthesis reads
 * for it: those of its cells and of the margin around them. model NULL: no margin. */
struct vae_rect vae_window_slices(const struct vae_rect *window, const struct vae_model *model,
                                  const struct vae_head *head);

#endif
