#include "stream/geometry.h"
#include "base/minmax.h"
#include "image/image.h"

#define MOST_DEALT 256  /* threads among which slices are dealt out evenly */
#define BUSY       0.92 /* is even enough */
#define WORTH      0.05 /* more than this has to be won by a larger band */
#define ENOUGH     8    /* slices for each thread, side by side, are even anyway */

int vae_shape_check(const struct vae_head *head, uint64_t max_pixels, enum vae_err code, int *shift,
                    struct vae_error *error)
{
	const struct vae_geometry *g = &head->geometry;
	uint32_t rows = head->rows, columns = head->columns, channels = head->channels;
	int result = vae_geometry_check(g, max_pixels, code, error);
	if (result)
		return result;
	if (channels > VAE_MAX_CHANNELS || (head->mixed && !channels))
		return vae_fail(error, code, "%u latent channels: 1 to %d are possible", channels,
		                VAE_MAX_CHANNELS);
	int s = VAE_MIN_CELL;
	while (s <= VAE_MAX_CELL &&
	       (rows != vae_cells(g->height, s) || columns != vae_cells(g->width, s)))
		s++;
	if (s > (channels && !head->mixed ? VAE_MAX_CELL : VAE_MIN_CELL))
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

/* Returns the share of the threads' time that is work if so many rows of slices are dealt out one
 * after another, each slice to the first thread that is free. */
static double busy(uint32_t columns, uint32_t rows, uint32_t threads)
{
	uint64_t load[MOST_DEALT] = {0}, most = 0, sum = 0;
	for (uint32_t row = 0; row < rows; row++)
		for (uint32_t column = 0; column < columns; column += VAE_SLICE_CELLS) {
			uint32_t left = columns - column, first = 0;
			for (uint32_t i = 1; i < threads; i++)
				if (load[i] < load[first])
					first = i;
			uint64_t cells = left < VAE_SLICE_CELLS ? left : VAE_SLICE_CELLS;
			load[first] += cells;
			sum += cells;
			most = load[first] > most ? load[first] : most;
		}
	return (double)sum / ((double)most * threads);
}

uint32_t vae_slice_band(const struct vae_head *head, uint32_t threads)
{
	uint32_t whole = head->columns / VAE_SLICE_CELLS ? head->columns / VAE_SLICE_CELLS : 1;
	uint64_t least = ((uint64_t)threads + whole - 1) / whole, rows = least;
	double best = threads > 1 && threads <= MOST_DEALT && whole / threads < ENOUGH ? 0 : 1;
	for (uint64_t i = least; best < BUSY && i <= 2 * least; i++) {
		double share = busy(head->columns, (uint32_t)i, threads);
		if (share > best + WORTH) {
			best = share;
			rows = i;
		}
	}
	return rows * VAE_SLICE_CELLS < head->rows ? (uint32_t)rows * VAE_SLICE_CELLS : head->rows;
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
	       (c->head.channels && !c->coded_alpha ? vae_sample_bytes(&c->head.geometry) : 0);
}

uint64_t vae_slice_limit(const struct vae_codes *c, uint32_t slice)
{
	struct vae_rect p = vae_slice_at(&c->head, slice), px = vae_cell_pixels(&c->head, p);
	uint64_t exact = (uint64_t)px.rows * px.columns *
	                 (vae_exact_samples(&c->head) - c->head.mixed) *
	                 vae_sample_bytes(&c->head.geometry);
	if (!c->head.channels)
		return exact + 64;
	uint64_t z = (uint64_t)((p.rows + 3) / 4 * ((p.columns + 3) / 4)) * VAE_MAX_CHANNELS;
	return 8 * ((uint64_t)p.rows * p.columns * c->head.channels + z) + 64 + exact +
	       (c->head.mixed || c->coded_alpha ? 2048 : 0);
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
