/* sweep.h - a network down a whole picture, a few rows of cells at a time.
 *
 * Analysis and synthesis see only so far: each depthwise layer widens what an output depends on by
 * half its taps. Going down the picture, every layer therefore needs only the last few rows of the
 * one before, which a strip keeps; nothing is computed twice but the margin of vae_net_halo cells
 * between two strips:
 *
 *       strip 0   |   strip 1   |   strip 2
 *     . . . . . . | . . . . . . | . . . . . .     loaded: rows above vae_sweep_loaded
 *     = = = = = = | = = = = = = | = = = = = =     stored: rows above vae_sweep_stored
 *           |             |            |
 *           v             v            v
 *
 * A strip is some columns of cells with a margin each side; one thread at a time computes it. The
 * rows stored are at most a halo behind the rows loaded.
 *
 * The bits do not depend on the strips, on how many rows a call computes, or on the number of
 * threads. Memory goes with the width, not the height. */
#ifndef VAE_NN_SWEEP_H
#define VAE_NN_SWEEP_H

#include "nn/net.h"

#define VAE_CELL_PX 16 /* pixels a side of a cell of y */

/* A rectangle of cells and its pixels: from (row, column) * 16, height_px x width_px of them, fewer
 * than 16 a cell at the picture's lower and right edge. */
struct vae_block {
	struct vae_rect cells;
	size_t height_px, width_px;
};

/* What a sweep does, with a part that has one input and one output, each of pixels or of cells.
 * load fills the input for a block, dense; store takes the output of one, dense. The pixel side is
 * height_px x width_px, the other rows x columns. Both are called from several threads at once, for
 * different strips: a strip's blocks have its columns, and margins where they are loaded, and come
 * from the top down. */
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

/* Of a picture of height_px x width_px; area (NULL: all of it) is what will be stored. As many
 * strips as make work for threads, or as memory wants. *work is copied. Errors: VAE_EMEM. */
struct vae_sweep;
int vae_sweep_new(struct vae_sweep **sweep, const struct vae_sweep_work *work, size_t height_px,
                  size_t width_px, const struct vae_rect *area, size_t threads,
                  struct vae_error *error);
void vae_sweep_free(struct vae_sweep *sweep);

/* The first row of cells not loaded yet (at first: as far above the area as the network sees), and
 * the first not stored yet. */
size_t vae_sweep_loaded(const struct vae_sweep *sweep);
size_t vae_sweep_stored(const struct vae_sweep *sweep);
/* The end of the rows of cells that storing `rows` more needs loaded: the next call of
 * vae_sweep_run loads from vae_sweep_loaded to there. */
size_t vae_sweep_needs(const struct vae_sweep *sweep, size_t rows);
/* The columns of cells that load is asked for: the area's, and the margin around it. */
void vae_sweep_columns(const struct vae_sweep *sweep, size_t *first, size_t *end);

/* Stores the next `rows` rows of the area (no more than are left). On failure the sweep can only be
 * freed. */
int vae_sweep_run(struct vae_sweep *sweep, size_t rows, struct vae_error *error);

#endif
