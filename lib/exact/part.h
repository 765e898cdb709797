/* part.h - a part of a tile: planes that are coded together in one mode. Each mode writes itself
 * after the part's first byte. */
#ifndef VAE_EXACT_PART_H
#define VAE_EXACT_PART_H

#include "exact/exact.h"

enum { VAE_EXACT_STORED = 0, VAE_EXACT_NATURAL = 1, VAE_EXACT_GRAPHIC = 2 };

struct vae_exact_part {
	const struct vae_exact_tile *tile;
	unsigned first, planes; /* planes first to first + planes - 1 of the tile */
};

/* What may be read of a part. */
struct vae_exact_bytes {
	const uint8_t *next, *end; /* borrowed */
	bool failed;               /* ran past the end, or met a number that does not fit: sticky */
};
/* Reads a number; 0 after a failure. */
uint32_t vae_exact_part_read(struct vae_exact_bytes *bytes);
int vae_exact_part_write(struct vae_buffer *buffer, uint32_t number, struct vae_error *error);

/* The run of exact cells of cell row `row` that begins at cell *cell or after it: *cell is where,
 * and the number of cells is returned; 0 where there is none. */
uint32_t vae_exact_part_run(const struct vae_exact_tile *tile, uint32_t row, uint32_t *cell);

/* Samples as they are: stored.c. The size is of all bytes of the part. */
size_t vae_exact_stored_size(const struct vae_exact_part *part);
int vae_exact_stored_encode(struct vae_buffer *buffer, const struct vae_exact_part *part,
                            struct vae_error *error);
int vae_exact_stored_decode(const struct vae_exact_part *part, struct vae_exact_bytes *bytes,
                            struct vae_error *error);

/* Photographs: natural.h over colours that were transformed. `mode` is the part's first byte. */
int vae_exact_photo_encode(struct vae_buffer *buffer, const struct vae_exact_part *part,
                           struct vae_error *error);
int vae_exact_photo_decode(const struct vae_exact_part *part, unsigned mode,
                           struct vae_exact_bytes *bytes, struct vae_error *error);

/* Graphics: graphic.h. */
int vae_exact_graphic_encode(struct vae_buffer *buffer, const struct vae_exact_part *part,
                             struct vae_error *error);
int vae_exact_graphic_decode(const struct vae_exact_part *part, struct vae_exact_bytes *bytes,
                             struct vae_error *error);

#endif
