/* image.h - what the library's other parts need of pictures beside vae.h. */
#ifndef VAE_IMAGE_IMAGE_H
#define VAE_IMAGE_IMAGE_H

#include "vae.h"

/* Checks a geometry that came from a file or a caller: sides 1 to 2^31 - 1, maxval 1 to 65535, a
 * tuple type of the six, a format and maxval that suit it (BLACKANDWHITE: 1), width x height within
 * max_pixels (0: VAE_MAX_PIXELS). Returns 0, VAE_ELIMIT for the last, or `code` (VAE_EARG from a
 * caller, VAE_EDATA from a file) for the rest. */
int vae_geometry_check(const struct vae_geometry *geometry, uint64_t max_pixels, enum vae_err code,
                       struct vae_error *error);

/* As vae_image_new, but the samples are undefined, and their memory is not touched: a page counts
 * only once it is written. */
int vae_image_new_raw(struct vae_image **image, const struct vae_geometry *geometry,
                      uint64_t max_pixels, struct vae_error *error);

/* Arrays for `rows` rows of a picture of this geometry, undefined; *alpha is NULL where it has
 * none. */
int vae_image_alloc(uint16_t **colour, uint16_t **alpha, const struct vae_geometry *geometry,
                    uint32_t rows, struct vae_error *error);

/* The tuple type of this PAM name, or -1. */
int vae_tuple_find(const char *name);

#endif
