/* exact.h - tiles of exact samples: lossless coding by prediction from pixels that are known
 * already.
 *
 * A tile is a rectangle of at most VAE_EXACT_SIDE pixels a side, of 1 to 4 planes: grey; grey and
 * alpha; red, green, blue; those and alpha. It is divided into cells of 16x16 pixels from its upper
 * left corner on, those at its right and lower edge being smaller. A map says which cells are
 * exact; nothing is known, or written, of the others. Tiles are independent. The stream stores
 * a tile's length and guards against damage: a damaged tile gives VAE_EDATA or wrong samples.
 *
 * vae-codes(5) has the form of a tile, and of all that stands in it. A decoder needs the tile's
 * shape and map from elsewhere.
 */
#ifndef VAE_EXACT_EXACT_H
#define VAE_EXACT_EXACT_H

#include "exact/tile.h"

/* Appends a tile's coded form. */
int vae_exact_encode(struct vae_buffer *buffer, const struct vae_exact_tile *tile,
                     struct vae_error *error);
/* Decodes exactly `bytes` bytes. VAE_EDATA if damage is found; some samples may then have been
 * written; all are 0 to maxval. */
int vae_exact_decode(const struct vae_exact_tile *tile, const uint8_t *data, size_t bytes,
                     struct vae_error *error);

#endif
