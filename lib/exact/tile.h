/* tile.h - a tile of exact samples in memory. */
#ifndef VAE_EXACT_TILE_H
#define VAE_EXACT_TILE_H

#include "base/memory.h"

enum {
	VAE_EXACT_SIDE = 1024, /* largest side of a tile in pixels */
	VAE_EXACT_CELL = 16,   /* side of a cell in pixels */
	VAE_EXACT_PLANES = 4   /* at most */
};

struct vae_exact_tile {
	uint32_t width, height; /* pixels, 1 to VAE_EXACT_SIDE */
	unsigned planes;        /* 1 to VAE_EXACT_PLANES */
	uint32_t maxval;        /* 1 to 65535 */
	const uint8_t *cells;   /* nonzero: the cell is exact; row by row; NULL: all are; borrowed */
	/* Samples of cells that are not exact are neither read nor written. */
	struct vae_exact_plane {
		uint16_t *sample; /* of the tile's first pixel, 0 to maxval; borrowed */
		size_t step;      /* samples between pixels of a row */
		size_t stride;    /* samples between rows */
	} plane[VAE_EXACT_PLANES];
};

#endif
