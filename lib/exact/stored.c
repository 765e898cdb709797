/* stored.c - a part as stored samples: those of exact cells in raster order, plane by plane within
 * a pixel, each in as many bits as maxval has, lowest bit first; the last byte is filled with
 * zeros. This limits the size of a tile by that of its samples. */
#include "exact/part.h"

static unsigned bits_of(uint32_t maxval)
{
	unsigned bits = 0;
	while (maxval >> bits)
		bits++;
	return bits;
}

size_t vae_exact_stored_size(const struct vae_exact_part *part)
{
	const struct vae_exact_tile *tile = part->tile;
	size_t pixels = 0;
	for (uint32_t y = 0; y < tile->height; y++)
		for (uint32_t x = 0; x < tile->width; x++)
			pixels += vae_exact_is(tile, x, y);
	return 1 + (pixels * part->planes * bits_of(tile->maxval) + 7) / 8;
}

int vae_exact_stored_encode(struct vae_buffer *buffer, const struct vae_exact_part *part,
                            struct vae_error *error)
{
	const struct vae_exact_tile *tile = part->tile;
	uint8_t *to = vae_buffer_extend(buffer, vae_exact_stored_size(part), error);
	unsigned bits = bits_of(tile->maxval), held = 0;
	uint32_t hold = 0;
	if (!to)
		return VAE_EMEM;
	*to++ = VAE_EXACT_STORED;
	for (uint32_t y = 0; y < tile->height; y++)
		for (uint32_t x = 0; x < tile->width; x++)
			for (unsigned i = 0; i < part->planes && vae_exact_is(tile, x, y); i++) {
				hold |= (uint32_t)*vae_exact_sample(part, i, x, y) << held;
				for (held += bits; held >= 8; held -= 8, hold >>= 8)
					*to++ = (uint8_t)hold;
			}
	if (held)
		*to = (uint8_t)hold;
	return 0;
}

int vae_exact_stored_decode(const struct vae_exact_part *part, struct vae_exact_bytes *bytes,
                            struct vae_error *error)
{
	const struct vae_exact_tile *tile = part->tile;
	unsigned bits = bits_of(tile->maxval), held = 0;
	uint32_t hold = 0;
	if ((size_t)(bytes->end - bytes->next) != vae_exact_stored_size(part) - 1)
		return vae_fail(error, VAE_EDATA, "stored samples have a wrong size");
	for (uint32_t y = 0; y < tile->height; y++)
		for (uint32_t x = 0; x < tile->width; x++)
			for (unsigned i = 0; i < part->planes && vae_exact_is(tile, x, y); i++) {
				for (; held < bits; held += 8)
					hold |= (uint32_t)*bytes->next++ << held;
				uint32_t value = hold & ((1u << bits) - 1);
				*vae_exact_sample(part, i, x, y) =
					(uint16_t)(value > tile->maxval ? tile->maxval : value);
				hold >>= bits;
				held -= bits;
			}
	return 0;
}
