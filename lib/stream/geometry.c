#include "stream/geometry.h"
#include "base/memory.h"
#include "image/image.h"

#include <stdlib.h>

int vae_shape_check(const struct vae_geometry *g, uint32_t rows, uint32_t columns, uint32_t channels, uint64_t max_pixels, enum vae_err code,
                    int *shift, struct vae_error *error)
{
	int result = vae_geometry_check(g, max_pixels, code, error);
	if (result)
		return result;
	if (channels < 1 || channels > VAE_MAX_CHANNELS)
		return vae_fail(error, code, "%u latent channels: 1 to %d are possible", channels, VAE_MAX_CHANNELS);
	for (int s = VAE_MIN_CELL; s <= VAE_MAX_CELL; s++)
		if (rows == vae_cells(g->height, s) && columns == vae_cells(g->width, s)) {
			if (shift)
				*shift = s;
			return 0;
		}
	return vae_fail(error, code, "%u x %u latent cells (rows x columns) do not suit a picture of %u x %u pixels (width x height)", rows, columns,
	                g->width, g->height);
}

uint64_t vae_slice_limit(uint32_t rows, uint32_t columns, uint32_t channels, uint32_t slice)
{
	uint32_t across = vae_cells(columns, 6), top = slice / across * VAE_SLICE_CELLS, left = slice % across * VAE_SLICE_CELLS;
	uint64_t r = rows - top < VAE_SLICE_CELLS ? rows - top : VAE_SLICE_CELLS, c = columns - left < VAE_SLICE_CELLS ? columns - left : VAE_SLICE_CELLS;
	return 8 * (r * c * channels + (r + 3) / 4 * ((c + 3) / 4) * VAE_MAX_CHANNELS) + 64;
}

/* ---- alpha ------------------------------------------------------------------------------------------------------------- */

static size_t sample_bytes(const struct vae_geometry *g) { return g->maxval < 256 ? 1 : 2; }

uint64_t vae_alpha_bytes(const struct vae_geometry *g)
{
	return vae_has_alpha(g->tuple) ? (uint64_t)g->width * g->height * sample_bytes(g) : 0;
}

size_t vae_alpha_put(uint8_t *out, const struct vae_geometry *g, const uint16_t *alpha, size_t first, size_t n)
{
	uint8_t *p = out;
	for (size_t i = first; i < first + n; i++) {
		if (sample_bytes(g) == 2)
			*p++ = (uint8_t)(alpha[i] >> 8);
		*p++ = (uint8_t)alpha[i];
	}
	return (size_t)(p - out);
}

int vae_alpha_read(uint16_t **alpha, const struct vae_geometry *g, struct vae_source *source, struct vae_error *error)
{
	enum { CHUNK = 32768 };
	uint8_t bytes[CHUNK * 2];
	struct vae_buffer samples = {0};
	size_t width = sample_bytes(g), count = (size_t)(vae_alpha_bytes(g) / width);
	int result = 0;
	for (size_t first = 0; first < count; first += CHUNK) {
		size_t n = count - first < CHUNK ? count - first : CHUNK;
		int64_t start = source->offset;
		if ((result = source->read(source, bytes, n * width, error)))
			goto out;
		uint16_t *out = (uint16_t *)(void *)vae_buffer_extend(&samples, n * sizeof *out, error);
		if (!out) {
			result = VAE_EMEM;
			goto out;
		}
		for (size_t i = 0; i < n; i++) {
			out[i] = width == 2 ? (uint16_t)(bytes[2 * i] << 8 | bytes[2 * i + 1]) : bytes[i];
			if (out[i] > g->maxval) {
				result = vae_fail_at(error, VAE_EDATA, start, "alpha sample %zu is %u, above maxval %u", first + i, out[i], g->maxval);
				goto out;
			}
		}
	}
	*alpha = (uint16_t *)(void *)samples.data;
	samples.data = NULL;
out:
	vae_buffer_clear(&samples);
	return result;
}
