#include "stream/geometry.h"
#include "base/minmax.h"
#include "image/image.h"

int vae_shape_check(const struct vae_head *head, uint64_t max_pixels, enum vae_err code, int *shift,
                    struct vae_error *error)
{
	const struct vae_geometry *g = &head->geometry;
	uint32_t rows = head->rows, columns = head->columns, channels = head->channels;
	int result = vae_geometry_check(g, max_pixels, code, error);
	if (result)
		return result;
	if (channels > VAE_MAX_CHANNELS)
		return vae_fail(error, code, "%u latent channels: 1 to %d are possible", channels,
		                VAE_MAX_CHANNELS);
	int s = VAE_MIN_CELL;
	while (s <= VAE_MAX_CELL &&
	       (rows != vae_cells(g->height, s) || columns != vae_cells(g->width, s)))
		s++;
	if (s > (channels ? VAE_MAX_CELL : VAE_MIN_CELL))
		return vae_fail(error, code,
		                "%u x %u latent cells (rows x columns) do not suit a picture of %u x %u "
		                "pixels (width x height)",
		                rows, columns, g->width, g->height);
	uint64_t limit = max_pixels ? max_pixels : VAE_MAX_PIXELS, cells = (uint64_t)rows * columns;
	if (channels && cells > VAE_SPARE_CELLS && (cells - VAE_SPARE_CELLS) / 4 > limit / channels)
		return vae_fail(error, VAE_ELIMIT,
		                "%u x %u latent cells of %u channels are more than the limit of %llu "
		                "pixels leaves room for",
		                rows, columns, channels, (unsigned long long)limit);
	if (shift)
		*shift = s;
	return 0;
}

struct vae_rect vae_slice_at(const struct vae_head *head, size_t slice)
{
	size_t across = vae_cells(head->columns, 6);
	struct vae_rect p = {slice / across * VAE_SLICE_CELLS, slice % across * VAE_SLICE_CELLS,
	                     VAE_SLICE_CELLS, VAE_SLICE_CELLS};
	p.rows = p.row + p.rows > head->rows ? head->rows - p.row : p.rows;
	p.columns = p.column + p.columns > head->columns ? head->columns - p.column : p.columns;
	return p;
}

uint32_t vae_slice_band(const struct vae_head *head, uint32_t threads)
{
	uint32_t whole = head->columns / VAE_SLICE_CELLS ? head->columns / VAE_SLICE_CELLS : 1;
	uint64_t band = (uint64_t)(threads + whole - 1) / whole * VAE_SLICE_CELLS;
	return band < head->rows ? (uint32_t)band : head->rows;
}

struct vae_rect vae_cell_pixels(const struct vae_head *head, struct vae_rect cells)
{
	const struct vae_geometry *g = &head->geometry;
	int shift = VAE_MIN_CELL;
	while (shift < VAE_MAX_CELL && (head->rows != vae_cells(g->height, shift) ||
	                                head->columns != vae_cells(g->width, shift)))
		shift++;
	struct vae_rect p = {cells.row << shift, cells.column << shift,
	                     (cells.row + cells.rows) << shift,
	                     (cells.column + cells.columns) << shift};
	p.rows = vae_min(p.rows, g->height) - p.row;
	p.columns = vae_min(p.columns, g->width) - p.column;
	return p;
}

uint64_t vae_codes_alpha_bytes(const struct vae_codes *c, uint32_t slice)
{
	struct vae_rect p = vae_cell_pixels(&c->head, vae_slice_at(&c->head, slice));
	return (uint64_t)p.rows * p.columns * vae_has_alpha(c->head.geometry.tuple) *
	       (c->head.channels ? vae_sample_bytes(&c->head.geometry) : 0);
}

uint64_t vae_slice_limit(const struct vae_codes *c, uint32_t slice)
{
	struct vae_rect p = vae_slice_at(&c->head, slice);
	if (!c->head.channels) {
		struct vae_rect px = vae_cell_pixels(&c->head, p);
		return (uint64_t)px.rows * px.columns * vae_exact_samples(&c->head) *
		           vae_sample_bytes(&c->head.geometry) +
		       64;
	}
	uint64_t z = (uint64_t)((p.rows + 3) / 4 * ((p.columns + 3) / 4)) * VAE_MAX_CHANNELS;
	return 8 * ((uint64_t)p.rows * p.columns * c->head.channels + z) + 64 +
	       vae_codes_alpha_bytes(c, slice);
}

/* ---- samples --------------------------------------------------------------------------------- */

size_t vae_sample_bytes(const struct vae_geometry *g) { return g->maxval < 256 ? 1 : 2; }

void vae_samples_put(uint8_t *out, const struct vae_geometry *g, const uint16_t *sample, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (g->maxval >= 256)
			*out++ = (uint8_t)(sample[i] >> 8);
		*out++ = (uint8_t)sample[i];
	}
}

int vae_samples_get(uint16_t *sample, const struct vae_geometry *g, const uint8_t *bytes, size_t n,
                    struct vae_error *error)
{
	for (size_t i = 0; i < n; i++) {
		sample[i] = g->maxval >= 256 ? (uint16_t)(bytes[2 * i] << 8 | bytes[2 * i + 1]) : bytes[i];
		if (sample[i] > g->maxval)
			return vae_fail(error, VAE_EDATA, "a sample is %u, above maxval %u", sample[i],
			                g->maxval);
	}
	return 0;
}
