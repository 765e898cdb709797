/* geometry.h - the common part of latents and codes: a picture's geometry with the shape of its y,
 * and the samples that are stored exactly beside y. */
#ifndef VAE_STREAM_GEOMETRY_H
#define VAE_STREAM_GEOMETRY_H

#include "base/error.h"

#define VAE_MAX_CHANNELS 1024 /* of y, in any model */
#define VAE_MIN_CELL     4    /* a cell of y is a square of 2^shift pixels a side, shift 4 to 31 */
#define VAE_MAX_CELL     31

/* Checks the head's geometry (as vae_geometry_check, with the same `code`) and that y's shape suits
 * a picture of that size: ceil(height / 2^shift) x ceil(width / 2^shift) cells with one shift for
 * both, and 1 to VAE_MAX_CHANNELS channels; or 0 channels, with all samples exact and shift
 * VAE_MIN_CELL, which mixed pictures have, too. *shift (may be NULL) is the smallest that fits.
 * VAE_ELIMIT also if y has more than 4 floats for each of max_pixels pixels and for those of
 * VAE_SPARE_CELLS cells: the cells of a picture one pixel high take 16 times the memory of whole
 * ones. */
#define VAE_SPARE_CELLS 16384
int vae_shape_check(const struct vae_head *head, uint64_t max_pixels, enum vae_err code, int *shift,
                    struct vae_error *error);

/* Returns ceil(extent / 2^shift). */
static inline uint32_t vae_cells(uint32_t extent, int shift)
{
	return (uint32_t)(((uint64_t)extent + ((uint64_t)1 << shift) - 1) >> shift);
}

/* The largest side of a slice in cells of y: a multiple of 4, which a cell of z has. */
#define VAE_SLICE_CELLS 64

/* Returns the number of slices of y. Slices are numbered row by row; each is a square of
 * VAE_SLICE_CELLS cells a side, those at the right and the bottom are smaller. */
static inline uint64_t vae_slice_count(uint32_t rows, uint32_t columns)
{
	return (uint64_t)vae_cells(rows, 6) * vae_cells(columns, 6);
}
_Static_assert(VAE_SLICE_CELLS == 1 << 6, "vae_slice_count");
/* Returns the cells of a slice. */
struct vae_rect vae_slice_at(const struct vae_head *head, size_t slice);
/* Returns the number of rows of y to hold at once: those of one row of slices, or enough that every
 * thread has a whole slice, or up to twice as many if the threads then have equal work. */
uint32_t vae_slice_band(const struct vae_head *head, uint32_t threads);

/* Returns the number of samples of a pixel stored beside y: whether it is exact, if the picture is
 * mixed; the colours, if it is, or if there is no y (channels 0); alpha, if there is one. */
static inline unsigned vae_exact_samples(const struct vae_head *head)
{
	return head->mixed + vae_has_alpha(head->geometry.tuple) +
	       (head->channels && !head->mixed ? 0 : (unsigned)vae_colours(head->geometry.tuple));
}
enum { VAE_MIXED_SAMPLES = 5 }; /* at most */
/* Returns the number of these samples in the pixels of a row of cells. */
size_t vae_row_samples(const struct vae_head *head, uint32_t row);
/* Allocates arrays for any `rows` rows of cells of these latents and of the samples beside y,
 * undefined; *samples is NULL if there are none. */
int vae_latents_alloc(float **y, uint16_t **samples, const struct vae_head *head, uint32_t rows,
                      struct vae_error *error);

/* Returns the pixels of a rectangle of cells, cut at the picture's edges. */
struct vae_rect vae_cell_pixels(const struct vae_head *head, struct vae_rect cells);

/* Returns the largest possible size of a slice's payload: 8 bytes for each symbol of its y and of a
 * z of at most 1024 channels, 64 more, and alpha; if alpha is coded, or cells may be exact, 2048
 * and the bytes of all their samples; for exact samples, their own bytes and 64. */
uint64_t vae_slice_limit(const struct vae_codes *codes, uint32_t slice);

/* ---- samples --------------------------------------------------------------------------------- */

/* Samples are stored as in PAM: one byte each if maxval is below 256, else two, the more
 * significant first. */
size_t vae_sample_bytes(const struct vae_geometry *geometry);

void vae_samples_put(uint8_t *out, const struct vae_geometry *geometry, const uint16_t *sample,
                     size_t n);
/* VAE_EDATA if a sample exceeds maxval. */
int vae_samples_get(uint16_t *sample, const struct vae_geometry *geometry, const uint8_t *bytes,
                    size_t n, struct vae_error *error);

#endif
