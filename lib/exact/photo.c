#include "exact/photo.h"

#include "exact/colour.h"
#include "exact/levels.h"
#include "exact/natural.h"

#include <stdlib.h>

enum { CHUNK = 65536 }; /* pixels */

/* The choices for a part, and its working memory. */
struct photo {
	const struct vae_exact_part *part;
	unsigned transform, grain;
	struct vae_natural_range range[VAE_NATURAL_PLANES];
	struct vae_exact_levels *levels; /* owned */
	int32_t *strip;                  /* planes x VAE_EXACT_CELL rows of the tile's width; owned */
	int32_t *value[VAE_NATURAL_PLANES]; /* the planes of strip */
	struct vae_natural *natural;        /* owned */
	struct vae_rans coder;
};

/* Reads n pixels from pixel (x, y) on into planes, and transforms them. */
static void load_row(const struct photo *photo, unsigned transform, uint32_t x, uint32_t y,
                     uint32_t n, int32_t *const planes[])
{
	const struct vae_exact_part *part = photo->part;
	for (unsigned i = 0; i < part->planes; i++) {
		const uint16_t *from = vae_exact_sample(part, i, x, y), *number = photo->levels->number;
		size_t step = part->tile->plane[part->first + i].step;
		for (uint32_t j = 0; j < n; j++)
			planes[i][j] = from[j * step];
		for (uint32_t j = 0; j < n && photo->levels->count; j++)
			planes[i][j] = number[planes[i][j]];
	}
	if (part->planes == 3)
		vae_exact_colour_forward(transform, n, planes);
}

/* Returns the largest sample, or the largest number of a level. */
static int32_t highest(const struct photo *photo)
{
	return (int32_t)(photo->levels->count ? photo->levels->count - 1 : photo->part->tile->maxval);
}

/* Reverses load_row. */
static void store_row(const struct photo *photo, uint32_t x, uint32_t y, uint32_t n,
                      int32_t *const planes[])
{
	const struct vae_exact_part *part = photo->part;
	if (part->planes == 3)
		vae_exact_colour_inverse(photo->transform, n, planes, highest(photo));
	for (unsigned i = 0; i < part->planes; i++) {
		uint16_t *to = vae_exact_sample(part, i, x, y);
		size_t step = part->tile->plane[part->first + i].step;
		for (uint32_t j = 0; j < n && photo->levels->count; j++)
			planes[i][j] = photo->levels->value[planes[i][j]];
		for (uint32_t j = 0; j < n; j++)
			to[j * step] = (uint16_t)planes[i][j];
	}
}

/* The place of a strip: a run of exact cells. */
struct run {
	uint32_t left, top, width, rows;
};

/* Finds the first run of cell row `row` at or after *cell, and moves *cell behind it. */
static bool next_run(const struct vae_exact_tile *tile, uint32_t row, uint32_t *cell,
                     struct run *run)
{
	uint32_t cells = vae_exact_run(tile, row, cell), right;
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

/* ---- choices of the encoder ----------------------------------------------------------------- */

/* Returns the sum of the errors of N + W - NW over n >= 1 pixels of two rows. */
static uint64_t misses(const int32_t *above, const int32_t *here, uint32_t n)
{
	uint64_t sum = 0;
	for (uint32_t i = 1; i < n; i++) {
		int32_t miss = here[i] - here[i - 1] - above[i] + above[i - 1];
		sum += (uint32_t)(miss < 0 ? -miss : miss);
	}
	return sum;
}

/* Computes the mean of such errors in each plane, times 16, over some rows of each run. */
static void estimate(struct photo *photo, unsigned transform, uint64_t mean[VAE_NATURAL_PLANES])
{
	const struct vae_exact_part *part = photo->part;
	uint64_t sum[VAE_NATURAL_PLANES] = {0}, count = 0;
	struct run run;
	for (uint32_t row = 0; row < cell_rows(part->tile); row++)
		for (uint32_t cell = 0; next_run(part->tile, row, &cell, &run);)
			for (uint32_t y = 1; y < run.rows; y += 8) {
				int32_t *here[VAE_NATURAL_PLANES] = {NULL};
				for (unsigned i = 0; i < part->planes; i++)
					here[i] = photo->value[i] + run.width;
				load_row(photo, transform, run.left, run.top + y - 1, run.width, photo->value);
				load_row(photo, transform, run.left, run.top + y, run.width, here);
				for (unsigned i = 0; i < part->planes; i++)
					sum[i] += misses(photo->value[i], here[i], run.width);
				count += run.width;
			}
	for (unsigned i = 0; i < part->planes; i++)
		mean[i] = count ? sum[i] * 16 / count : 0;
}

/* Returns 16 log2 of x > 0, rounded down except for its last bit or two. */
static unsigned log_of(uint64_t x)
{
	unsigned whole = 63 - (unsigned)__builtin_clzll(x);
	uint64_t part = whole > 31 ? x >> (whole - 31) : x << (31 - whole); /* 1 to 2, times 2^31 */
	for (int i = 0; i < 4; i++) {
		part = part * part >> 31;
		whole = 2 * whole + (part >> 32 ? 1 : 0);
		part >>= part >> 32;
	}
	return whole;
}

/* Chooses the transform by the smallest sum of means, and the grain. Returns about 16 times the
 * bits of a pixel. */
static unsigned choose_transform(struct photo *photo)
{
	uint64_t mean[VAE_NATURAL_PLANES], best = UINT64_MAX, widest = 0;
	unsigned bits = 0;
	for (unsigned t = 0; t < (photo->part->planes == 3 ? VAE_EXACT_TRANSFORMS : 1); t++) {
		uint64_t sum = 0, most = 0;
		estimate(photo, t, mean);
		for (unsigned i = 0; i < photo->part->planes; i++) {
			sum += mean[i];
			most = mean[i] > most ? mean[i] : most;
		}
		if (sum < best) {
			best = sum;
			widest = most;
			photo->transform = t;
			bits = 0;
			for (unsigned i = 0; i < photo->part->planes; i++)
				bits += log_of(mean[i] + 8);
		}
	}
	photo->grain = 0;
	while (widest >> photo->grain > 16 * 16 && photo->grain < 10)
		photo->grain++;
	return bits;
}

/* Chooses the transform, the grain, and levels if they save more than 16 bits each. */
static void choose(struct photo *photo)
{
	const struct vae_exact_tile *tile = photo->part->tile;
	bool candidate = vae_exact_levels_find(photo->levels, photo->part);
	uint32_t count = photo->levels->count;
	uint64_t with = candidate ? choose_transform(photo) : 0, pixels = 0;
	struct run run;
	photo->levels->count = 0;
	uint64_t without = choose_transform(photo);
	for (uint32_t row = 0; row < cell_rows(tile); row++)
		for (uint32_t cell = 0; next_run(tile, row, &cell, &run);)
			pixels += run.width * run.rows;
	if (candidate && without > with && (without - with) * pixels > (uint64_t)16 * 16 * count) {
		photo->levels->count = count;
		choose_transform(photo);
	}
}

static void find_ranges(struct photo *photo)
{
	const struct vae_exact_part *part = photo->part;
	struct run run;
	for (unsigned i = 0; i < VAE_NATURAL_PLANES; i++)
		photo->range[i] = (struct vae_natural_range){65535, -65535};
	for (uint32_t row = 0; row < cell_rows(part->tile); row++)
		for (uint32_t cell = 0; next_run(part->tile, row, &cell, &run);)
			for (uint32_t y = run.top; y < run.top + run.rows; y++) {
				load_row(photo, photo->transform, run.left, y, run.width, photo->value);
				for (unsigned i = 0; i < part->planes; i++) {
					const int32_t *v = photo->value[i];
					int32_t low = photo->range[i].low, high = photo->range[i].high;
					for (uint32_t j = 0; j < run.width; j++) {
						low = v[j] < low ? v[j] : low;
						high = v[j] > high ? v[j] : high;
					}
					photo->range[i] = (struct vae_natural_range){low, high};
				}
			}
	for (unsigned i = 0; i < part->planes; i++)
		if (photo->range[i].low > photo->range[i].high) /* no exact cell */
			photo->range[i] = (struct vae_natural_range){0, 0};
}

/* ---- strips ---------------------------------------------------------------------------------- */

static int open_photo(struct photo *photo, struct vae_error *error)
{
	size_t size = (size_t)VAE_EXACT_CELL * photo->part->tile->width;
	int rc = vae_alloc(&photo->levels, 1, sizeof *photo->levels, error);
	if (!rc)
		rc = vae_alloc(&photo->strip, photo->part->planes * size, sizeof *photo->strip, error);
	for (unsigned i = 0; i < photo->part->planes && !rc; i++)
		photo->value[i] = photo->strip + i * size;
	return rc;
}

static void close_photo(struct photo *photo)
{
	vae_natural_free(photo->natural);
	vae_rans_clear(&photo->coder);
	free(photo->strip);
	free(photo->levels);
}

/* Sets the planes of row y of a strip. */
static void row_of(const struct photo *photo, const struct run *run, uint32_t y,
                   int32_t *row[VAE_NATURAL_PLANES])
{
	for (unsigned i = 0; i < photo->part->planes; i++)
		row[i] = photo->value[i] + (size_t)y * run->width;
}

static void load_strip(struct photo *photo, const struct run *run)
{
	int32_t *row[VAE_NATURAL_PLANES];
	for (uint32_t y = 0; y < run->rows; y++) {
		row_of(photo, run, y, row);
		load_row(photo, photo->transform, run->left, run->top + y, run->width, row);
	}
}

static void store_strip(struct photo *photo, const struct run *run)
{
	int32_t *row[VAE_NATURAL_PLANES];
	for (uint32_t y = 0; y < run->rows; y++) {
		row_of(photo, run, y, row);
		for (unsigned i = 0; i < photo->part->planes; i++)
			for (uint32_t x = 0; x < run->width && photo->range[i].low == photo->range[i].high; x++)
				row[i][x] = photo->range[i].low;
		store_row(photo, run->left, run->top + y, run->width, row);
	}
}

static int code_strip(struct photo *photo, const struct run *run, bool decode,
                      struct vae_error *error)
{
	if (!decode)
		load_strip(photo, run);
	int rc = vae_natural_code(photo->natural, &photo->coder, decode, run->left, run->width,
	                          run->rows, photo->value, run->width, error);
	if (decode && !rc)
		store_strip(photo, run);
	return rc;
}

/* Ends a chunk of events; buffer: its destination when encoding. */
static int end_chunk(struct photo *photo, struct vae_buffer *buffer, bool decode,
                     struct vae_error *error)
{
	return decode ? vae_rans_end(&photo->coder, VAE_RANS_STATES, error)
	              : vae_rans_flush(&photo->coder, VAE_RANS_STATES, buffer, error);
}

/* Returns whether every plane has a single value: then there are no events. */
static bool constant(const struct photo *photo)
{
	bool constant = true;
	for (unsigned i = 0; i < photo->part->planes; i++)
		constant &= photo->range[i].low == photo->range[i].high;
	return constant;
}

/* Codes the strips. A chunk ends with the strip that brings its pixels to CHUNK or more, or with
 * the last strip. */
static int code_strips(struct photo *photo, struct vae_buffer *buffer, bool decode,
                       struct vae_error *error)
{
	const bool events = !constant(photo);
	struct run run;
	uint32_t pixels = 0;
	int rc = 0;
	for (uint32_t row = 0; row < cell_rows(photo->part->tile) && !rc; row++)
		for (uint32_t cell = 0; !rc && next_run(photo->part->tile, row, &cell, &run);) {
			if (decode && events && !pixels)
				rc = vae_rans_start(&photo->coder, VAE_RANS_STATES, error);
			if (!rc)
				rc = code_strip(photo, &run, decode, error);
			pixels += run.width * run.rows;
			if (!rc && events && pixels >= CHUNK) {
				rc = end_chunk(photo, buffer, decode, error);
				pixels = 0;
			}
		}
	return rc || !events || !pixels ? rc : end_chunk(photo, buffer, decode, error);
}

/* ---- parts ----------------------------------------------------------------------------------- */

static uint32_t folded(int32_t v) { return v < 0 ? (uint32_t)-v * 2 - 1 : (uint32_t)v * 2; }
static int32_t unfolded(uint32_t v) { return v & 1 ? -(int32_t)(v >> 1) - 1 : (int32_t)(v >> 1); }

int vae_exact_photo_encode(struct vae_buffer *buffer, const struct vae_exact_part *part,
                           struct vae_error *error)
{
	struct photo photo = {.part = part};
	int rc = open_photo(&photo, error);
	if (!rc) {
		choose(&photo);
		find_ranges(&photo);
		uint8_t mode = (uint8_t)(VAE_EXACT_NATURAL | photo.transform << 2);
		rc = vae_buffer_append(buffer, &mode, 1, error);
	}
	if (!rc)
		rc = vae_exact_write(buffer, photo.grain, error);
	if (!rc)
		rc = vae_exact_levels_write(photo.levels, buffer, error);
	for (unsigned i = 0; i < part->planes && !rc; i++) {
		rc = vae_exact_write(buffer, folded(photo.range[i].low), error);
		if (!rc)
			rc = vae_exact_write(buffer, (uint32_t)(photo.range[i].high - photo.range[i].low),
			                     error);
	}
	if (!rc)
		rc = vae_natural_new(&photo.natural, part->tile->width, part->planes, photo.range,
		                     photo.grain, error);
	if (!rc)
		rc = code_strips(&photo, buffer, false, error);
	close_photo(&photo);
	return rc;
}

/* Reads the range of a plane's values, within the possible range of samples or differences. */
static int read_range(struct vae_natural_range *range, int32_t maxval, bool difference,
                      struct vae_exact_bytes *bytes, struct vae_error *error)
{
	uint32_t low = vae_exact_read(bytes), size = vae_exact_read(bytes);
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
	struct photo photo = {.part = part, .transform = mode >> 2, .grain = vae_exact_read(bytes)};
	int rc;
	if (photo.grain > 10 || photo.transform >= (part->planes == 3 ? VAE_EXACT_TRANSFORMS : 1))
		return vae_fail(error, VAE_EDATA, "exact samples have transform %u and grain %u",
		                photo.transform, photo.grain);
	rc = open_photo(&photo, error);
	if (!rc)
		rc = vae_exact_levels_read(photo.levels, bytes, part->tile->maxval, error);
	for (unsigned i = 0; i < part->planes && !rc; i++)
		rc = read_range(&photo.range[i], highest(&photo),
		                i && photo.transform != VAE_EXACT_UNTRANSFORMED, bytes, error);
	if (!rc)
		rc = vae_natural_new(&photo.natural, part->tile->width, part->planes, photo.range,
		                     photo.grain, error);
	if (!rc)
		rc = vae_rans_open(&photo.coder, bytes->next, (size_t)(bytes->end - bytes->next), error);
	if (!rc)
		rc = code_strips(&photo, NULL, true, error);
	if (!rc)
		rc = vae_rans_close(&photo.coder, error);
	close_photo(&photo);
	return rc;
}
