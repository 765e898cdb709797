/* geometry.h - what latents and codes have in common: a picture's geometry with the shape of its y,
 * and the samples that travel beside y as they are. */
#ifndef VAE_STREAM_GEOMETRY_H
#define VAE_STREAM_GEOMETRY_H

#include "base/error.h"

#define VAE_MAX_CHANNELS 1024 /* of y, in any model */
#define VAE_MIN_CELL     4    /* a cell of y is a square of 2^shift pixels, shift 4 to 31 */
#define VAE_MAX_CELL     31

/* Checks the head's geometry (as vae_geometry_check, `code` likewise) and that y's shape is one
 * that a picture of that size can have: ceil(height / 2^shift) x ceil(width / 2^shift) cells for
 * one and the same shift, of 1 to VAE_MAX_CHANNELS channels; or of 0, where all samples are exact,
 * and shift is VAE_MIN_CELL. *shift (may be NULL) is the least that fits.
 * VAE_ELIMIT too where y has more than 4 floats for each of max_pixels pixels, and those of
 * VAE_SPARE_CELLS cells: cells of a picture one pixel high take 16 times the memory of whole ones.
 */
#define VAE_SPARE_CELLS 16384
int vae_shape_check(const struct vae_head *head, uint64_t max_pixels, enum vae_err code, int *shift,
                    struct vae_error *error);

/* ceil(extent / 2^shift). */
static inline uint32_t vae_cells(uint32_t extent, int shift)
{
	return (uint32_t)(((uint64_t)extent + ((uint64_t)1 << shift) - 1) >> shift);
}

/* Cells of y on a side of a slice, at most; a multiple of 4, the cells of y to a cell of z. */
#define VAE_SLICE_CELLS 64

/* Slices of y, row by row: each VAE_SLICE_CELLS square, those at the right and the bottom smaller.
 */
static inline uint64_t vae_slice_count(uint32_t rows, uint32_t columns)
{
	return (uint64_t)vae_cells(rows, 6) * vae_cells(columns, 6);
}
_Static_assert(VAE_SLICE_CELLS == 1 << 6, "vae_slice_count");
/* Returns the cells of a slice. */
struct vae_rect vae_slice_at(const struct vae_head *head, size_t slice);
/* How many rows of y to hold at once: those of one row of slices, or of so many that every thread
 * has a whole slice. */
uint32_t vae_slice_band(const struct vae_head *head, uint32_t threads);

/* How many samples of a pixel travel beside y: alpha where there is one, and the colours where
 * there is no y (channels 0). */
static inline unsigned vae_exact_samples(const struct vae_head *head)
{
	return vae_has_alpha(head->geometry.tuple) +
	       (head->channels ? 0 : (unsigned)vae_colours(head->geometry.tuple));
}
/* These samples of the pixels that a row of cells covers. */
size_t vae_row_samples(const struct vae_head *head, uint32_t row);
/* Arrays for any `rows` rows of cells of these latents and the samples beside y, undefined;
 * *samples is NULL where there are none. */
int vae_latents_alloc(float **y, uint16_t **samples, const struct vae_head *head, uint32_t rows,
                      struct vae_error *error);

/* The pixels of a rectangle of cells: a rectangle of pixels with its sides cut at the picture's. */
struct vae_rect vae_cell_pixels(const struct vae_head *head, struct vae_rect cells);

/* The most bytes that a slice's payload can have: 8 for each symbol of its y and of a z of at most
 * 1024 channels, 64 more, and alpha; for exact samples their own and 64. */
uint64_t vae_slice_limit(const struct vae_codes *codes, uint32_t slice);

/* ---- samples --------------------------------------------------------------------------------- */

/* Samples are stored as PAM stores them: one byte each where maxval is below 256, else two, the
 * more significant first. */
size_t vae_sample_bytes(const struct vae_geometry *geometry);

void vae_samples_put(uint8_t *out, const struct vae_geometry *geometry, const uint16_t *sample,
                     size_t n);
/* VAE_EDATA where a sample exceeds maxval. */
int vae_samples_get(uint16_t *sample, const struct vae_geometry *geometry, const uint8_t *bytes,
                    size_t n, struct vae_error *error);

#endif
