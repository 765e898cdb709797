/* part.h - a part of a tile: planes that are coded together in one mode. */
#ifndef VAE_EXACT_PART_H
#define VAE_EXACT_PART_H

#include "exact/tile.h"

enum { VAE_EXACT_STORED, VAE_EXACT_NATURAL, VAE_EXACT_GRAPHIC }; /* modes: the first byte mod 4 */
enum { VAE_EXACT_PART_PLANES = 3 };

struct vae_exact_part {
	const struct vae_exact_tile *tile;
	unsigned first, planes; /* planes first to first + planes - 1 of the tile; 1 or 3 */
};

/* The unread bytes of a part. */
struct vae_exact_bytes {
	const uint8_t *next, *end; /* borrowed */
	bool failed;               /* read past the end, or met a number that does not fit: sticky */
};
/* Reads a number below 2^28; 0 after a failure. */
uint32_t vae_exact_read(struct vae_exact_bytes *bytes);
/* Appends a number. */
int vae_exact_write(struct vae_buffer *buffer, uint32_t number, struct vae_error *error);

/* Finds the first run of exact cells at or after cell *cell of cell row `row`: sets *cell to its
 * start and returns its number of cells, 0 if there is none. */
uint32_t vae_exact_run(const struct vae_exact_tile *tile, uint32_t row, uint32_t *cell);

static inline bool vae_exact_is(const struct vae_exact_tile *tile, uint32_t x, uint32_t y)
{
	uint32_t columns = (tile->width + VAE_EXACT_CELL - 1) / VAE_EXACT_CELL;
	return !tile->cells || tile->cells[y / VAE_EXACT_CELL * columns + x / VAE_EXACT_CELL];
}

static inline uint16_t *vae_exact_sample(const struct vae_exact_part *part, unsigned plane,
                                         uint32_t x, uint32_t y)
{
	const struct vae_exact_plane *p = &part->tile->plane[part->first + plane];
	return p->sample + y * p->stride + x * p->step;
}

/* Returns a pixel's samples as one number: the sum of plane i's times 2^(16 i). */
static inline uint64_t vae_exact_colour(const struct vae_exact_part *part, uint32_t x, uint32_t y)
{
	uint64_t colour = 0;
	for (unsigned i = 0; i < part->planes; i++)
		colour |= (uint64_t)*vae_exact_sample(part, i, x, y) << 16 * i;
	return colour;
}

/* Append a part as stored samples; decode one after its first byte: stored.c. VAE_EDATA for a wrong
 * size. */
size_t vae_exact_stored_size(const struct vae_exact_part *part);
int vae_exact_stored_encode(struct vae_buffer *buffer, const struct vae_exact_part *part,
                            struct vae_error *error);
int vae_exact_stored_decode(const struct vae_exact_part *part, struct vae_exact_bytes *bytes,
                            struct vae_error *error);

#endif
