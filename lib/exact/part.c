#include "exact/part.h"

uint32_t vae_exact_read(struct vae_exact_bytes *bytes)
{
	uint32_t number = 0;
	for (unsigned shift = 0; shift < 28 && bytes->next < bytes->end; shift += 7) {
		uint8_t byte = *bytes->next++;
		number |= (uint32_t)(byte & 127) << shift;
		if (byte < 128)
			return number;
	}
	bytes->failed = true;
	return 0;
}

int vae_exact_write(struct vae_buffer *buffer, uint32_t number, struct vae_error *error)
{
	uint8_t byte[5];
	unsigned bytes = 0;
	for (; number > 127; number >>= 7)
		byte[bytes++] = (uint8_t)(number | 128);
	byte[bytes++] = (uint8_t)number;
	return vae_buffer_append(buffer, byte, bytes, error);
}

uint32_t vae_exact_run(const struct vae_exact_tile *tile, uint32_t row, uint32_t *cell)
{
	uint32_t columns = (tile->width + VAE_EXACT_CELL - 1) / VAE_EXACT_CELL, first;
	const uint8_t *cells = tile->cells ? tile->cells + (size_t)row * columns : NULL;
	while (cells && *cell < columns && !cells[*cell])
		++*cell;
	first = *cell;
	uint32_t end = cells ? first : columns;
	while (end < columns && cells[end])
		end++;
	return end - first;
}
