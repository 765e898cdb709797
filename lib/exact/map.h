/* map.h - the map of a tile's cells: which are exact. vae-codes(5) has the form: a bit for each
 * cell in the odds of its neighbours. */
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
