/* beside.h - the exact samples in a slice's payload, beside the symbols of y.
 *
 * Exact picture: one tile of all its samples, colours and alpha. Otherwise, in this order:
 *  - mixed picture: the map of cells: a number, 0 if no cell is exact, 1 if all are,
 *    else the size of the coded map (exact/map.h), which follows; then, unless it was 0,
 *    the size of a tile as a number, and the tile of the exact cells' colours;
 *  - alpha: its samples unchanged or, if it is coded, the size of a tile as a number, and the tile.
 *
 * The packed symbols follow.
 *
 * The symbols of a cell are known to be 0 if the cell and its neighbours on all sides and corners
 * (within the slice) are exact: no pixel depends on them.
 *
 * In memory samples are as in latents (vae.h): vae_exact_samples for each pixel. */
#ifndef VAE_CODEC_BESIDE_H
#define VAE_CODEC_BESIDE_H

#include "base/memory.h"
#include "stream/geometry.h"

/* Appends the samples of a slice: those from its corner on, `stride` samples between rows. */
int vae_beside_encode(struct vae_buffer *buffer, const struct vae_codes *codes, size_t slice,
                      uint16_t *corner, size_t stride, struct vae_error *error);
/* Decodes them. VAE_EDATA if they are damaged; the error names the slice. */
int vae_beside_decode(const struct vae_codes *codes, size_t slice, const struct vae_slice *bytes,
                      uint16_t *corner, size_t stride, struct vae_error *error);

/* The cells of a slice, row by row. */
struct vae_cells {
	bool any;             /* some are exact */
	size_t exact_bytes;   /* bytes of the payload for the map and the colours of exact cells */
	size_t alpha_bytes;   /* bytes for alpha */
	size_t symbols_begin; /* offset of the packed symbols */
	uint8_t exact[VAE_SLICE_CELLS * VAE_SLICE_CELLS];      /* 0 or 1 */
	uint8_t known_zero[VAE_SLICE_CELLS * VAE_SLICE_CELLS]; /* 1 if the symbols are known to be 0 */
};
/* Fills all but the sizes from the samples of a slice of a mixed picture, whose shape is p's. */
void vae_cells_take(struct vae_cells *cells, const struct vae_head *head, const struct vae_rect *p,
                    const uint16_t *corner, size_t stride);
/* Reads only the map; codes without one have no exact cells. The codes are not exact ones. */
int vae_cells_read(struct vae_cells *cells, const struct vae_codes *codes, size_t slice,
                   const struct vae_slice *bytes, struct vae_error *error);

/* Converts mixed codes to exact ones if all cells of the picture are exact, or to codes without a
 * map if none is. */
void vae_codes_settle(struct vae_codes *codes);

#endif
