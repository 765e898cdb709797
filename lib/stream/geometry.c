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
	int s = VAE_MIN_CELL;
	while (s <= VAE_MAX_CELL && (rows != vae_cells(g->height, s) || columns != vae_cells(g->width, s)))
		s++;
	if (s > VAE_MAX_CELL)
		return vae_fail(error, code, "%u x %u latent cells (rows x columns) do not suit a picture of %u x %u pixels (width x height)", rows,
		                columns, g->width, g->height);
	uint64_t limit = max_pixels ? max_pixels : VAE_MAX_PIXELS, cells = (uint64_t)rows * columns;
	if (cells > VAE_SPARE_CELLS && (cells - VAE_SPARE_CELLS) / 4 > limit / channels)
		return vae_fail(error, VAE_ELIMIT, "%u x %u latent cells of %u channels are more than the limit of %llu pixels leaves room for", rows,
		                columns, channels, (unsigned long long)limit);
	if (shift)
		*shift = s;
	return 0;
}

struct vae_slice_place vae_slice_at(uint32_t rows, uint32_t columns, size_t slice)
{
	size_t across = vae_cells(columns, 6);
	struct vae_slice_place p = {slice / across * VAE_SLICE_CELLS, slice % across * VAE_SLICE_CELLS, VAE_SLICE_CELLS, VAE_SLICE_CELLS};
	p.rows = p.row + p.rows > rows ? rows - p.row : p.rows;
	p.columns = p.column + p.columns > columns ? columns - p.column : p.columns;
	return p;
}

uint64_t vae_slice_limit(uint32_t rows, uint32_t columns, uint32_t channels, uint32_t slice)
{
	struct vae_slice_place p = vae_slice_at(rows, columns, slice);
	return 8 * ((uint64_t)p.rows * p.columns * channels + (uint64_t)((p.rows + 3) / 4 * ((p.columns + 3) / 4)) * VAE_MAX_CHANNELS) + 64;
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
