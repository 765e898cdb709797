/* lossless.h - pictures whose samples are all exact: no networks, no prior; latents and codes
 * without channels.
 *
 * Samples are interleaved as in PAM: the colours of a pixel, then its alpha. */
#ifndef VAE_LOSSLESS_H
#define VAE_LOSSLESS_H

#include "base/error.h"
#include "base/rect.h"

/* Opens the pixels of a window of exact latents, each the mean of reduce x reduce pixels; reduce 1:
 * the pixels themselves. The latents' shape is right, the window is within the picture and begins
 * with a whole block. Keeps latents, which have been read to their end after the last row. */
int vae_lossless_decode_rows(struct vae_image_rows **image, struct vae_latents_rows *latents,
                             const struct vae_rect *window, uint32_t reduce,
                             struct vae_error *error);

#endif
