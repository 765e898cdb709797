/* sweep.h - runs a network down a whole picture, a few rows of cells at a time.
 *
 * Analysis and synthesis have a limited view: each depthwise layer widens it by half its taps.
 * Going down the picture, every layer therefore needs only the last few rows of the layer before,
 * which a strip keeps. Nothing is computed twice except the margin of vae_net_halo cells between
 * two strips:
 *
 *       strip 0   |   strip 1   |   strip 2
 *     . . . . . . | . . . . . . | . . . . . .     loaded: rows above vae_sweep_loaded
 *     = = = = = = | = = = = = = | = = = = = =     stored: rows above vae_sweep_stored
 *           |             |            |
 *           v             v            v
 *
 * A strip consists of columns of cells with a margin on each side; one thread at a time computes
 * it. The rows stored are at most a halo behind the rows loaded.
 *
 * The bits do not depend on the strips, on the rows of a call, or on the number of threads. Memory
 * grows with the width, not the height. */
#ifndef VAE_NN_SWEEP_H
#define VAE_NN_SWEEP_H

#include "nn/net.h"

#define VAE_CELL_PX 16 /* side of a cell of y in pixels */

/* A rectangle of cells and its pixels: height_px x width_px of them from (row, column) * 16 on,
 * fewer than 16 a cell at the picture's lower and right edges. */
struct vae_block {
	struct vae_rect cells;
	size_t height_px, width_px;
};

/* The work of a sweep, with a part that has one input and one output, each in pixels or cells. load
 * fills the input of a block, dense; store takes the output of one, dense. The pixel side is
 * height_px x width_px, the other rows x columns. Both are called by several threads at once, for
 * different strips. The blocks of a strip have its columns, with margins when they are loaded, and
 * come from the top down. */
struct vae_sweep_work {
	const struct vae_nets *nets;
	const struct vae_weights *weights;
	int part; /* VAE_ANALYSIS or VAE_SYNTHESIS */
	struct vae_position at;
	void (*load)(void *context, const struct vae_block *block, float *input);
	int (*store)(void *context, const struct vae_block *block, const float *output,
	             struct vae_error *error);
	void *context;
};

/* Makes a sweep over a picture of height_px x width_px; area (NULL: all of it) will be stored. The
 * number of strips follows from threads and memory. *work is copied. VAE_EMEM. */
struct vae_sweep;
int vae_sweep_new(struct vae_sweep **sweep, const struct vae_sweep_work *work, size_t height_px,
                  size_t width_px, const struct vae_rect *area, size_t threads,
                  struct vae_error *error);
void vae_sweep_free(struct vae_sweep *sweep);

/* Return the first row of cells not loaded yet (at first as far above the area as the network's
 * view), and the first not stored yet. */
size_t vae_sweep_loaded(const struct vae_sweep *sweep);
size_t vae_sweep_stored(const struct vae_sweep *sweep);
/* Returns the end of the rows of cells that must be loaded to store `rows` more: the next call of
 * vae_sweep_run loads from vae_sweep_loaded to there. */
size_t vae_sweep_needs(const struct vae_sweep *sweep, size_t rows);
/* Returns the columns of cells that load is asked for: the area's, and the margin around it. */
void vae_sweep_columns(const struct vae_sweep *sweep, size_t *first, size_t *end);

/* Stores the next `rows` rows of the area, no more than are left. After a failure the sweep can
 * only be freed. */
int vae_sweep_run(struct vae_sweep *sweep, size_t rows, struct vae_error *error);

#endif
