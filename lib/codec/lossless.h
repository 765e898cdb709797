/* lossless.h - pictures whose samples are all exact: no networks, no prior; latents and codes
 * without channels.
 *
 * Samples are interleaved as in PAM: the colours of a pixel, then its alpha. */
#ifndef VAE_LOSSLESS_H
#define VAE_LOSSLESS_H

#include "base/memory.h"
#include "base/rect.h"

/* Appends the payload of a slice: the picture's samples from its corner on, whose next row is
 * `stride` samples further. */
int vae_lossless_slice_encode(struct vae_buffer *buffer, const struct vae_codes *codes,
                              size_t slice, uint16_t *corner, size_t stride,
                              struct vae_error *error);
/* Reads one. VAE_EDATA where it is damaged; the error names the slice. */
int vae_lossless_slice_decode(const struct vae_codes *codes, size_t slice,
                              const struct vae_slice *bytes, uint16_t *corner, size_t stride,
                              struct vae_error *error);

/* The pixels of a window of exact latents, each the mean of reduce x reduce of them; reduce 1 for
 * these themselves. The latents' shape is right, the window is within the picture, and begins with
 * a whole block. Keeps latents, which have been read to their end with the last row. */
int vae_lossless_decode_rows(struct vae_image_rows **image, struct vae_latents_rows *latents,
                             const struct vae_rect *window, uint32_t reduce,
                             struct vae_error *error);

#endif
