/* image.h - functions on pictures for the library's other rooms, in addition to vae.h. */
#ifndef VAE_IMAGE_IMAGE_H
#define VAE_IMAGE_IMAGE_H

#include "vae.h"

/* Checks a geometry from a file or a caller: sides 1 to 2^31 - 1, maxval 1 to 65535, one of the six
 * tuple types, a format and maxval that suit it (BLACKANDWHITE: 1), width x height within
 * max_pixels (0: VAE_MAX_PIXELS). Returns 0, VAE_ELIMIT for too many pixels, or `code` for anything
 * else (VAE_EARG for a caller's geometry, VAE_EDATA for a file's). */
int vae_geometry_check(const struct vae_geometry *geometry, uint64_t max_pixels, enum vae_err code,
                       struct vae_error *error);

/* Allocates arrays for `rows` rows of a picture of this geometry, undefined; *alpha is NULL if the
 * picture has none. */
int vae_image_alloc(uint16_t **colour, uint16_t **alpha, const struct vae_geometry *geometry,
                    uint32_t rows, struct vae_error *error);

/* Returns the tuple type of a PAM name, or -1. */
int vae_tuple_find(const char *name);

#endif
