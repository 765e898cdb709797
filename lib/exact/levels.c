#include "exact/levels.h"

#include <string.h>

/* Marks the values of n samples. */
static void mark(uint16_t *seen, const uint16_t *sample, size_t step, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		seen[sample[i * step]] = 1;
}

bool vae_exact_levels_find(struct vae_exact_levels *levels, const struct vae_exact_part *part)
{
	const struct vae_exact_tile *tile = part->tile;
	uint32_t count = 0, last = 0;
	memset(levels->number, 0, sizeof levels->number);
	for (uint32_t y = 0; y < tile->height; y++)
		for (uint32_t cell = 0, cells; (cells = vae_exact_run(tile, y / VAE_EXACT_CELL, &cell));
		     cell += cells) {
			uint32_t left = cell * VAE_EXACT_CELL, right = left + cells * VAE_EXACT_CELL;
			for (unsigned i = 0; i < part->planes; i++)
				mark(levels->number, vae_exact_sample(part, i, left, y),
				     tile->plane[part->first + i].step,
				     (right < tile->width ? right : tile->width) - left);
		}
	for (uint32_t v = 0; v <= tile->maxval; v++)
		if (levels->number[v]) {
			levels->number[v] = (uint16_t)count;
			if (count < VAE_EXACT_LEVELS)
				levels->value[count] = (uint16_t)v;
			count++;
			last = v;
		}
	bool good = count >= 2 && count <= VAE_EXACT_LEVELS && last - levels->value[0] >= count;
	levels->count = good ? count : 0;
	return good;
}

int vae_exact_levels_write(const struct vae_exact_levels *levels, struct vae_buffer *buffer,
                           struct vae_error *error)
{
	int rc = vae_exact_write(buffer, levels->count, error);
	for (uint32_t i = 0; i < levels->count && !rc; i++)
		rc = vae_exact_write(
			buffer, i ? levels->value[i] - levels->value[i - 1] - 1u : levels->value[0], error);
	return rc;
}

int vae_exact_levels_read(struct vae_exact_levels *levels, struct vae_exact_bytes *bytes,
                          uint32_t maxval, struct vae_error *error)
{
	uint32_t value = 0;
	levels->count = vae_exact_read(bytes);
	if (levels->count == 1 || levels->count > VAE_EXACT_LEVELS)
		return vae_fail(error, VAE_EDATA, "exact samples have %u levels", levels->count);
	for (uint32_t i = 0; i < levels->count; i++) {
		value += vae_exact_read(bytes) + (i > 0);
		if (value > maxval)
			return vae_fail(error, VAE_EDATA, "exact samples have a level of %u, and maxval %u",
			                value, maxval);
		levels->value[i] = (uint16_t)value;
	}
	return 0;
}
