/* A part as a photograph: colours are transformed, strips go through natural.h. */
#include "exact/colour.h"
#include "exact/natural.h"
#include "exact/part.h"

#include <stdlib.h>

/* What is chosen for a part, and its working memory. */
struct photo {
	const struct vae_exact_part *part;
	unsigned transform, grain;
	struct vae_natural_range range[VAE_NATURAL_PLANES];
	int32_t *strip; /* planes x VAE_EXACT_CELL rows of the tile's width; owned */
	int32_t *value[VAE_NATURAL_PLANES]; /* the planes of strip */
	struct vae_natural *natural;        /* owned */
	struct vae_rans coder;
};

static uint16_t *sample_at(const struct vae_exact_part *part, unsigned plane, uint32_t x,
                           uint32_t y)
{
	const struct vae_exact_plane *p = &part->tile->plane[part->first + plane];
	return p->sample + y * p->stride + x * p->step;
}

static void forward(const struct vae_exact_part *part, unsigned transform, uint32_t x, uint32_t y,
                    int32_t *out)
{
	uint16_t in[VAE_NATURAL_PLANES];
	for (unsigned i = 0; i < part->planes; i++)
		in[i] = *sample_at(part, i, x, y);
	if (part->planes == 3)
		vae_exact_colour_forward(transform, in, out);
	else
		for (unsigned i = 0; i < part->planes; i++)
			out[i] = in[i];
}

/* A strip's place: a run of exact cells. */
struct run {
	uint32_t left, top, width, rows;
};

/* Finds the first run at *cell of cell row `row` or after it, and moves *cell behind it. */
static bool next_run(const struct vae_exact_tile *tile, uint32_t row, uint32_t *cell,
                     struct run *run)
{
	uint32_t cells = vae_exact_part_run(tile, row, cell), right;
	if (!cells)
		return false;
	run->left = *cell * VAE_EXACT_CELL;
	run->top = row * VAE_EXACT_CELL;
	*cell += cells;
	right = *cell * VAE_EXACT_CELL < tile->width ? *cell * VAE_EXACT_CELL : tile->width;
	run->width = right - run->left;
	run->rows = tile->height - run->top < VAE_EXACT_CELL ? tile->height - run->top : VAE_EXACT_CELL;
	return true;
}

static uint32_t cell_rows(const struct vae_exact_tile *tile)
{
	return (tile->height + VAE_EXACT_CELL - 1) / VAE_EXACT_CELL;
}

/* ---- what the encoder chooses ---------------------------------------------------------------- */

/* Mean size of what N + W - NW misses in each plane, on every fourth row of each run, times 16. */
static void estimate(const struct vae_exact_part *part, unsigned transform,
                     uint64_t mean[VAE_NATURAL_PLANES])
{
	uint64_t sum[VAE_NATURAL_PLANES] = {0}, count = 0;
	struct run run;
	for (uint32_t row = 0; row < cell_rows(part->tile); row++)
		for (uint32_t cell = 0; next_run(part->tile, row, &cell, &run);)
			for (uint32_t y = run.top + 1; y < run.top + run.rows; y += 4) {
				int32_t nw[VAE_NATURAL_PLANES], w[VAE_NATURAL_PLANES], n[VAE_NATURAL_PLANES],
					c[VAE_NATURAL_PLANES];
				forward(part, transform, run.left, y - 1, nw);
				forward(part, transform, run.left, y, w);
				for (uint32_t x = run.left + 1; x < run.left + run.width; x++) {
					forward(part, transform, x, y - 1, n);
					forward(part, transform, x, y, c);
					for (unsigned i = 0; i < part->planes; i++) {
						sum[i] += (uint64_t)labs((long)c[i] - n[i] - w[i] + nw[i]);
						nw[i] = n[i];
						w[i] = c[i];
					}
				}
				count += run.width - 1;
			}
	for (unsigned i = 0; i < part->planes; i++)
		mean[i] = count ? sum[i] * 16 / count : 0;
}

static void choose(struct photo *photo)
{
	uint64_t mean[VAE_NATURAL_PLANES], best = UINT64_MAX, widest = 0;
	for (unsigned t = 0; t < (photo->part->planes == 3 ? VAE_EXACT_TRANSFORMS : 1); t++) {
		uint64_t sum = 0, most = 0;
		estimate(photo->part, t, mean);
		for (unsigned i = 0; i < photo->part->planes; i++) {
			sum += mean[i];
			most = mean[i] > most ? mean[i] : most;
		}
		if (sum < best) {
			best = sum;
			widest = most;
			photo->transform = t;
		}
	}
	while (widest >> photo->grain > 16 * 16 && photo->grain < 12)
		photo->grain++;
}

static void find_ranges(struct photo *photo)
{
	struct run run;
	int32_t v[VAE_NATURAL_PLANES];
	for (unsigned i = 0; i < VAE_NATURAL_PLANES; i++)
		photo->range[i] = (struct vae_natural_range){65535, -65535};
	for (uint32_t row = 0; row < cell_rows(photo->part->tile); row++)
		for (uint32_t cell = 0; next_run(photo->part->tile, row, &cell, &run);)
			for (uint32_t y = run.top; y < run.top + run.rows; y++)
				for (uint32_t x = run.left; x < run.left + run.width; x++) {
					forward(photo->part, photo->transform, x, y, v);
					for (unsigned i = 0; i < photo->part->planes; i++) {
						struct vae_natural_range *r = &photo->range[i];
						r->low = v[i] < r->low ? v[i] : r->low;
						r->high = v[i] > r->high ? v[i] : r->high;
					}
				}
}

/* ---- strips ---------------------------------------------------------------------------------- */

static int open_photo(struct photo *photo, struct vae_error *error)
{
	const struct vae_exact_part *part = photo->part;
	uint32_t width = part->tile->width;
	int rc = vae_alloc(&photo->strip, (size_t)part->planes * VAE_EXACT_CELL * width,
	                   sizeof *photo->strip, error);
	if (rc)
		return rc;
	for (unsigned i = 0; i < part->planes; i++)
		photo->value[i] = photo->strip + (size_t)i * VAE_EXACT_CELL * width;
	return vae_natural_new(&photo->natural, width, part->planes, photo->range, photo->grain, error);
}

static void close_photo(struct photo *photo)
{
	vae_natural_free(photo->natural);
	vae_rans_clear(&photo->coder);
	free(photo->strip);
}

static void load_strip(struct photo *photo, const struct run *run)
{
	int32_t v[VAE_NATURAL_PLANES];
	for (uint32_t y = 0; y < run->rows; y++)
		for (uint32_t x = 0; x < run->width; x++) {
			forward(photo->part, photo->transform, run->left + x, run->top + y, v);
			for (unsigned i = 0; i < photo->part->planes; i++)
				photo->value[i][y * run->width + x] = v[i];
		}
}

static void store_strip(struct photo *photo, const struct run *run)
{
	const struct vae_exact_part *part = photo->part;
	for (uint32_t y = 0; y < run->rows; y++)
		for (uint32_t x = 0; x < run->width; x++) {
			int32_t v[VAE_NATURAL_PLANES];
			uint16_t out[VAE_NATURAL_PLANES];
			for (unsigned i = 0; i < part->planes; i++) {
				bool constant = photo->range[i].low == photo->range[i].high;
				v[i] = constant ? photo->range[i].low : photo->value[i][y * run->width + x];
				out[i] = (uint16_t)v[i];
			}
			if (part->planes == 3)
				vae_exact_colour_inverse(photo->transform, v, (uint16_t)part->tile->maxval, out);
			for (unsigned i = 0; i < part->planes; i++)
				*sample_at(part, i, run->left + x, run->top + y) = out[i];
		}
}

static int code_strips(struct photo *photo, bool decode, struct vae_error *error)
{
	struct run run;
	int rc = 0;
	for (uint32_t row = 0; row < cell_rows(photo->part->tile) && !rc; row++)
		for (uint32_t cell = 0; !rc && next_run(photo->part->tile, row, &cell, &run);) {
			if (!decode)
				load_strip(photo, &run);
			rc = vae_natural_code(photo->natural, &photo->coder, decode, run.left, run.width,
			                      run.rows, photo->value, run.width, error);
			if (decode && !rc)
				store_strip(photo, &run);
		}
	return rc;
}

/* ---- parts ----------------------------------------------------------------------------------- */

static uint32_t folded(int32_t v) { return v < 0 ? (uint32_t)-v * 2 - 1 : (uint32_t)v * 2; }
static int32_t unfolded(uint32_t v) { return v & 1 ? -(int32_t)(v >> 1) - 1 : (int32_t)(v >> 1); }

int vae_exact_photo_encode(struct vae_buffer *buffer, const struct vae_exact_part *part,
                           struct vae_error *error)
{
	struct photo photo = {.part = part};
	uint8_t mode;
	choose(&photo);
	find_ranges(&photo);
	mode = (uint8_t)(VAE_EXACT_NATURAL | photo.transform << 2);
	int rc = vae_buffer_append(buffer, &mode, 1, error);
	if (!rc)
		rc = vae_exact_part_write(buffer, photo.grain, error);
	for (unsigned i = 0; i < part->planes && !rc; i++) {
		rc = vae_exact_part_write(buffer, folded(photo.range[i].low), error);
		if (!rc)
			rc = vae_exact_part_write(buffer, (uint32_t)(photo.range[i].high - photo.range[i].low),
			                          error);
	}
	if (!rc)
		rc = open_photo(&photo, error);
	if (!rc)
		rc = code_strips(&photo, false, error);
	if (!rc)
		rc = vae_rans_finish(&photo.coder, VAE_RANS_STATES, buffer, error);
	close_photo(&photo);
	return rc;
}

/* The limits of a plane's values: those of a difference where it can be one. */
static int read_range(struct vae_natural_range *range, int32_t maxval, bool difference,
                      struct vae_exact_bytes *bytes, struct vae_error *error)
{
	uint32_t low = vae_exact_part_read(bytes), size = vae_exact_part_read(bytes);
	int32_t least = difference ? -maxval : 0;
	range->low = unfolded(low);
	if (bytes->failed || range->low < least || range->low > maxval ||
	    size > (uint32_t)(maxval - range->low))
		return vae_fail(error, VAE_EDATA, "exact samples have an impossible range");
	range->high = range->low + (int32_t)size;
	return 0;
}

int vae_exact_photo_decode(const struct vae_exact_part *part, unsigned mode,
                           struct vae_exact_bytes *bytes, struct vae_error *error)
{
	struct photo photo = {
		.part = part, .transform = mode >> 2, .grain = vae_exact_part_read(bytes)};
	int rc = 0;
	if (photo.grain > 12 || photo.transform >= (part->planes == 3 ? VAE_EXACT_TRANSFORMS : 1))
		return vae_fail(error, VAE_EDATA, "exact samples have transform %u and grain %u",
		                photo.transform, photo.grain);
	for (unsigned i = 0; i < part->planes && !rc; i++)
		rc = read_range(&photo.range[i], (int32_t)part->tile->maxval, i && photo.transform != 3,
		                bytes, error);
	if (!rc)
		rc = open_photo(&photo, error);
	if (!rc)
		rc = vae_rans_start(&photo.coder, VAE_RANS_STATES, bytes->next,
		                    (size_t)(bytes->end - bytes->next), error);
	if (!rc)
		rc = code_strips(&photo, true, error);
	if (!rc)
		rc = vae_rans_check(&photo.coder, error);
	if (!rc)
		rc = vae_rans_end(&photo.coder, VAE_RANS_STATES, error);
	close_photo(&photo);
	return rc;
}
