/* graphic.h - the mode for graphics: a pixel is one of the colours around it, or one that the same
 * surroundings had before; only where it is none of them are its samples coded. vae-codes(5) has
 * the form, whose words are used here.
 *
 * A colour is a number, the sum of plane i's sample x 2^(16 i). Pixels are visited in raster order;
 * those of cells that are not exact become the pixel to their left. All arithmetic is on integers.
 */
#ifndef VAE_EXACT_GRAPHIC_H
#define VAE_EXACT_GRAPHIC_H

#include "exact/part.h"

int vae_exact_graphic_encode(struct vae_buffer *buffer, const struct vae_exact_part *part,
                             struct vae_error *error);
/* VAE_EDATA if damage is found. */
int vae_exact_graphic_decode(const struct vae_exact_part *part, struct vae_exact_bytes *bytes,
                             struct vae_error *error);

#endif
