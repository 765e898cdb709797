/* tiles.h - a network over a whole picture, tile by tile.
 *
 * Analysis and synthesis see only so far: each depthwise layer widens what an output depends on by half its taps. A tile is
 * therefore computed with a margin of vae_net_halo cells, cut at the picture's edge, and only its inside is kept:
 *
 *     +------------------+   read:    top, left, height, width  (cells of 16 x 16 pixels)
 *     |   +----------+   |   written: row, column, rows, columns
 *     |   | written  |   |
 *     |   +----------+   |   What is written are the same bits for any cut, and for any number of threads.
 *     +------------------+
 *
 * So memory is bounded by the tile, not by the picture.
 */
#ifndef VAE_NN_TILES_H
#define VAE_NN_TILES_H

#include "nn/net.h"

#define VAE_CELL_PX 16 /* pixels a side of a cell of y */

struct vae_tile {
	size_t row, column, rows, columns;   /* cells written */
	size_t top, left, height, width;     /* cells read: the same and the margin */
	size_t height_px, width_px;          /* pixels read, from (top, left) * 16; less than 16 a cell at the picture's lower and right edge */
};

/* A rectangle of cells. */
struct vae_area { size_t row, column, rows, columns; };

/* How a picture, or an area of it, is cut. */
struct vae_tiles {
	size_t height_px, width_px;          /* of the picture */
	size_t rows, columns;                /* cells of the picture */
	struct vae_area area;                /* cells that the tiles write together */
	size_t down, across;                 /* cells that a tile writes; fewer in the last of a row or column */
	size_t halo;                         /* cells of margin */
};

/* Cuts an area (NULL: all) of a picture so that a tile's memory is about bytes (0: a good default) and threads have work. */
void vae_tiles_cut(struct vae_tiles *tiles, const struct vae_net *net, size_t height_px, size_t width_px, const struct vae_area *area,
                   size_t threads, size_t bytes);
size_t vae_tiles_count(const struct vae_tiles *tiles);
struct vae_tile vae_tiles_at(const struct vae_tiles *tiles, size_t i);

/* The two ends of a pass, called from several threads at once. load fills the network's input with what the tile reads, dense;
 * store takes the output for what the tile read, and keeps what it writes. The pixel side is height_px x width_px, the other height x width. */
struct vae_tile_work {
	const struct vae_nets *nets;
	const struct vae_weights *weights;
	int part;                            /* VAE_ANALYSIS or VAE_SYNTHESIS */
	struct vae_position at;
	void (*load)(void *context, const struct vae_tile *tile, float *input);
	int (*store)(void *context, const struct vae_tile *tile, const float *output, struct vae_error *error);
	void *context;
};
int vae_tiles_run(const struct vae_tiles *tiles, const struct vae_tile_work *work, struct vae_error *error);

#endif
