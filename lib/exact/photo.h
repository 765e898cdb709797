/* photo.h - the mode for photographs: natural.h over colours that are transformed, or over levels.
 *
 * Strips of natural.h are the runs of exact cells of each row of cells, from the left. Chunks of
 * rans.h end with strips. vae-codes(5) has the form.
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
