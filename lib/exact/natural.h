/* natural.h - the mode for photographs: each sample is predicted by adaptive weights, and its error
 * coded under contexts. vae-codes(5) has the form, whose words are used here.
 *
 * Planes are signed integers: the caller has transformed colours (photo.h). A strip is 1 to 16 rows
 * of pixels, all of them exact; strips come in raster order of their upper left corners. All
 * arithmetic is on integers; >> rounds down.
 *
 * The planes of a strip are coded one after the other. Within a plane, row r is 3 pixels behind row
 * r - 1: at step t, the rows r = 0, 1, ... in turn code the pixel x = t - 3 r where 0 <= x < width.
 * So 16 pixels, one a row, can be predicted together (a vector lane each), from W, WW, WWW, N, NW,
 * NE, NEE and so on, which are all known. Row r uses state r mod 4 of rans.h.
 */
#ifndef VAE_NATURAL_H
#define VAE_NATURAL_H

#include "base/memory.h"
#include "exact/rans.h"

enum {
	VAE_NATURAL_ROWS = 16,   /* rows of a strip, at most */
	VAE_NATURAL_SKEW = 3,    /* pixels that a row is behind the one above */
	VAE_NATURAL_PLANES = 3,  /* at most */
	VAE_NATURAL_START = 128, /* error above the first row */
};

/* What a plane holds. Public fields are set by the caller of vae_natural_new. */
struct vae_natural_range {
	int32_t low, high; /* of values, -65535 to 65535; where they are equal nothing is coded */
};

struct vae_natural; /* the state of one tile */

/* Starts a tile of `width` columns. grain: 0 to 10. */
int vae_natural_new(struct vae_natural **natural, uint32_t width, unsigned planes,
                    const struct vae_natural_range *range, unsigned grain, struct vae_error *error);
void vae_natural_free(struct vae_natural *natural);

/* Codes one strip: columns left to left + width - 1, `rows` rows. value[p] is plane p's sample of
 * the strip's first pixel, rows being `stride` apart; read when encoding, written when decoding,
 * but for planes of a single value. VAE_EDATA where damage is seen; what was decoded is within its
 * range even so. */
int vae_natural_code(struct vae_natural *natural, struct vae_rans *coder, bool decode,
                     uint32_t left, uint32_t width, uint32_t rows, int32_t *const *value,
                     size_t stride, struct vae_error *error);

#endif
