/* beside.h - what a slice's payload holds beside the symbols of y: exact samples.
 *
 * Of a picture that is exact, one tile of all its samples, colours and alpha. Else, in this order:
 *  - where the picture is mixed the map of cells: a number (exact/exact.h), 0 where no cell is
 *    exact, 1 where all are, or else the bytes of the coded map (exact/map.h), which follow; then,
 *    unless it was 0, the bytes of a tile, as a number, and the tile of the exact cells' colours;
 *  - where there is alpha, its samples as they are, or, where it is coded, the bytes of a tile, as
 *    a number, and the tile.
 * The packed symbols are behind that.
 *
 * The symbols of a cell that is exact, as are its neighbours on all sides and corners (of those
 * that the slice has), are known to be 0: the pixels that y tells of there are nobody's.
 *
 * In memory samples stand as in latents (vae.h): vae_exact_samples for each pixel. */
#ifndef VAE_CODEC_BESIDE_H
#define VAE_CODEC_BESIDE_H

#include "base/memory.h"
#include "stream/geometry.h"

/* Appends the samples of a slice: the picture's from its corner on, whose next row is `stride`
 * samples further. */
int vae_beside_encode(struct vae_buffer *buffer, const struct vae_codes *codes, size_t slice,
                      uint16_t *corner, size_t stride, struct vae_error *error);
/* Reads them. VAE_EDATA where they are damaged; the error names the slice. */
int vae_beside_decode(const struct vae_codes *codes, size_t slice, const struct vae_slice *bytes,
                      uint16_t *corner, size_t stride, struct vae_error *error);

/* The cells of a slice, row by row. */
struct vae_cells {
	bool any;             /* some are exact */
	size_t exact_bytes;   /* of the payload, for the map and the colours of exact cells */
	size_t alpha_bytes;   /* for alpha */
	size_t symbols_begin; /* where the packed symbols are */
	uint8_t exact[VAE_SLICE_CELLS * VAE_SLICE_CELLS];      /* 0 or 1 */
	uint8_t known_zero[VAE_SLICE_CELLS * VAE_SLICE_CELLS]; /* 1 where symbols are known to be 0 */
};
/* Fills all but bytes from the samples of a slice of a mixed picture, the shape of which is p's. */
void vae_cells_take(struct vae_cells *cells, const struct vae_head *head, const struct vae_rect *p,
                    const uint16_t *corner, size_t stride);
/* Reads no more than the map; codes without one have no exact cells. They are not exact codes. */
int vae_cells_read(struct vae_cells *cells, const struct vae_codes *codes, size_t slice,
                   const struct vae_slice *bytes, struct vae_error *error);

/* Makes mixed codes exact ones, where all cells of the picture are, or such without a map, where
 * none is. */
void vae_codes_settle(struct vae_codes *codes);

#endif
