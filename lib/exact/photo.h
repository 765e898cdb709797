/* photo.h - the mode for photographs: natural.h over colours that are transformed.
 *
 * A part is its first byte, 1 + 4 x the transform of colour.h (0 in one plane); the grain as a
 * number, 0 to 10; levels.h, by which samples may become numbers of levels; for each plane, in the
 * order that colour.h lists, its lowest value, v >= 0 as 2 v and v < 0 as -2 v - 1, and how much
 * higher its highest is, as numbers; and chunks of rans.h through four states.
 *
 * Strips of natural.h are the runs of exact cells of each row of cells, from the left. A chunk ends
 * with the strip with which its pixels become 65536 or more, or with the last strip. Where every
 * plane has a single value there are no chunks.
 */
#ifndef VAE_EXACT_PHOTO_H
#define VAE_EXACT_PHOTO_H

#include "exact/part.h"

int vae_exact_photo_encode(struct vae_buffer *buffer, const struct vae_exact_part *part,
                           struct vae_error *error);
/* mode: the part's first byte. VAE_EDATA if damage is found. */
int vae_exact_photo_decode(const struct vae_exact_part *part, unsigned mode,
                           struct vae_exact_bytes *bytes, struct vae_error *error);

#endif
