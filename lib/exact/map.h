/* map.h - the map of a tile's cells: which are exact.
 *
 * FORMAT. A chunk of rans.h of one state: a bit for each cell, row by row, 1 where it is exact, in
 * the odds of its neighbours left, above, above and left, above and right: number w + 2 n + 4 nw +
 * 8 ne, 0 outside of the map. Odds are those of mix.h; they count up to 60 uses.
 */
#ifndef VAE_EXACT_MAP_H
#define VAE_EXACT_MAP_H

#include "base/memory.h"

/* Appends the coded form of rows x columns cells, nonzero for exact ones. */
int vae_exact_map_encode(struct vae_buffer *buffer, const uint8_t *cells, size_t rows,
                         size_t columns, struct vae_error *error);
/* Decodes exactly `bytes` bytes to cells of 0 and 1. VAE_EDATA if damage is found. */
int vae_exact_map_decode(uint8_t *cells, size_t rows, size_t columns, const uint8_t *data,
                         size_t bytes, struct vae_error *error);

#endif
