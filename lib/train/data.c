#include "train/data.h"
#include "base/minmax.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* columns of a patch that are reduced together: the sums of their rows stay in the first-level
 * cache */
#define STRIP         64
#define STRIP_COLUMNS (STRIP * 16 + 2) /* of the picture, at VAE_REDUCE_LEAST */

static uint8_t to_byte(uint16_t sample, uint16_t maxval)
{
	return (uint8_t)((sample * 510u + maxval) / (2u * maxval));
}

int vae_data_add(struct vae_data *data, const struct vae_image *image, uint32_t size, double least,
                 double most, struct vae_error *error)
{
	const struct vae_geometry *g = &image->geometry;
	if (g->width < size || g->height < size)
		return vae_fail(error, VAE_EARG,
		                "a picture of %u x %u is smaller than the patch of %u x %u", g->width,
		                g->height, size, size);
	if (data->count == data->capacity) {
		size_t capacity = data->capacity ? 2 * data->capacity : 64;
		struct vae_data_picture *list = realloc(data->picture, capacity * sizeof *list);
		if (!list)
			return vae_fail(error, VAE_EMEM, "out of memory");
		data->picture = list;
		data->capacity = capacity;
	}
	size_t pixels = (size_t)g->width * g->height;
	int colours = vae_colours(g->tuple);
	struct vae_data_picture *p = &data->picture[data->count];
	if (vae_alloc_raw(&p->bytes, pixels, (size_t)data->channels, error))
		return VAE_EMEM;
	for (size_t i = 0; i < pixels; i++) {
		const uint16_t *s = image->colour + i * (size_t)colours;
		uint8_t *b = p->bytes + i * (size_t)data->channels;
		if (data->channels == 1)
			b[0] = colours == 1 ? to_byte(s[0], g->maxval)
			                    : to_byte((uint16_t)((s[0] + s[1] + s[2]) / 3), g->maxval);
		else
			for (int c = 0; c < 3; c++)
				b[c] = to_byte(s[colours == 3 ? c : 0], g->maxval);
	}
	p->width = g->width;
	p->height = g->height;
	p->least = least;
	p->most = most;
	p->first = data->weight;
	data->weight += (uint64_t)ceil((double)pixels * least * most);
	data->count++;
	return 0;
}

void vae_data_clear(struct vae_data *data)
{
	for (size_t i = 0; i < data->count; i++)
		free(data->picture[i].bytes);
	free(data->picture);
	*data = (struct vae_data){.channels = data->channels};
}

static uint64_t mix(uint64_t hash, uint64_t word)
{
	hash = (hash ^ word) * 0x9e3779b97f4a7c15;
	return hash ^ hash >> 29;
}

uint64_t vae_data_hash(const struct vae_data *data)
{
	uint64_t hash = mix(mix(1, data->count), data->weight);
	for (size_t i = 0; i < data->count; i++) {
		const struct vae_data_picture *p = &data->picture[i];
		size_t bytes = (size_t)p->width * p->height * (size_t)data->channels, k = 0;
		hash = mix(mix(mix(hash, p->width), p->height), p->first);
		for (uint64_t word; k + sizeof word <= bytes; k += sizeof word) {
			memcpy(&word, p->bytes + k, sizeof word);
			hash = mix(hash, word);
		}
		for (; k < bytes; k++)
			hash = mix(hash, p->bytes[k]);
	}
	return hash;
}

static const struct vae_data_picture *picture_at(const struct vae_data *data, uint64_t weight)
{
	size_t low = 0, high = data->count;
	while (high - low > 1) {
		size_t middle = (low + high) / 2;
		*(data->picture[middle].first <= weight ? &low : &high) = middle;
	}
	return &data->picture[low];
}

/* The mapping of a window to a patch: pixel (x, y) goes to at + x across + y down, which orients
 * it. */
struct turned {
	float *at;
	ptrdiff_t across, down;
};

static struct turned turn_patch(float *patch, uint32_t size, size_t channels, uint32_t turn)
{
	ptrdiff_t pixel = (ptrdiff_t)channels, line = pixel * (ptrdiff_t)size,
			  last = (ptrdiff_t)size - 1;
	bool flip_x = turn & 1, flip_y = turn & 2, swap = turn & 4;
	return (struct turned){.at = patch + (flip_x ? last * pixel : 0) + (flip_y ? last * line : 0),
	                       .across = swap     ? (flip_y ? -line : line)
	                                 : flip_x ? -pixel
	                                          : pixel,
	                       .down = swap     ? (flip_x ? -pixel : pixel)
	                               : flip_y ? -line
	                                        : line};
}

static void copy_window(const uint8_t *bytes, size_t stride, size_t channels, uint32_t size,
                        float offset, struct turned to)
{
	for (ptrdiff_t y = 0; y < (ptrdiff_t)size; y++)
		for (ptrdiff_t x = 0; x < (ptrdiff_t)size; x++)
			for (size_t c = 0; c < channels; c++)
				to.at[y * to.down + x * to.across + (ptrdiff_t)c] =
					(float)bytes[(size_t)y * stride + (size_t)x * channels + c] / 255.0f - offset;
}

/* An output of a box filter: output k covers [k span, (k + 1) span), the inputs first to last, of
 * which the outer two count in part. */
struct box {
	size_t first, last;
	float first_weight, last_weight; /* if first == last, first_weight alone counts */
};

static struct box box_of(size_t k, double span, size_t inputs)
{
	double from = (double)k * span, to = (double)(k + 1) * span;
	struct box b = {.first = (size_t)from};
	b.last = (size_t)ceil(to) - 1;
	if (b.last >= inputs)
		b.last = inputs - 1; /* the end of the window, despite rounding */
	b.first_weight = (float)(fmin(to, (double)(b.first + 1)) - from);
	b.last_weight = (float)(to - (double)b.last);
	return b;
}

/* Sums a box of rows: n sums of bytes that are stride apart. */
static void sum_rows(const uint8_t *bytes, size_t stride, struct box rows, size_t n, float *sum)
{
	const uint8_t *row = bytes + rows.first * stride;
#pragma omp simd
	for (size_t i = 0; i < n; i++)
		sum[i] = rows.first_weight * (float)row[i];
	for (size_t r = rows.first + 1; r <= rows.last; r++) {
		float weight = r == rows.last ? rows.last_weight : 1;
		row = bytes + r * stride;
#pragma omp simd
		for (size_t i = 0; i < n; i++)
			sum[i] += weight * (float)row[i];
	}
}

/* Computes the mean over a box of columns of sum_rows's sums, from column `origin` on; scale is 1 /
 * (255 x area). */
static void mean_columns(const float *sum, size_t origin, struct box columns, size_t channels,
                         float scale, float offset, float *to)
{
	const float *from = sum + (columns.first - origin) * channels,
				*end = sum + (columns.last - origin) * channels;
	float mean[3];
	for (size_t c = 0; c < channels; c++)
		mean[c] = columns.first_weight * from[c];
	if (from < end)
		for (size_t c = 0; c < channels; c++)
			mean[c] += columns.last_weight * end[c];
	for (from += channels; from < end; from += channels)
		for (size_t c = 0; c < channels; c++)
			mean[c] += from[c];
	for (size_t c = 0; c < channels; c++)
		to[c] = mean[c] * scale - offset;
}

/* Computes the exact area average of a window of size x span pixels a side (`side` whole pixels
 * contain it). Rows come first, since their sums are contiguous. */
static void reduce_window(const uint8_t *bytes, size_t stride, size_t channels, uint32_t size,
                          double span, size_t side, float offset, struct turned to)
{
	float sum[STRIP_COLUMNS * 3], scale = (float)(1 / (255 * span * span));
	for (size_t x0 = 0; x0 < size; x0 += STRIP) {
		size_t end = vae_min(x0 + STRIP, size);
		struct box columns[STRIP];
		for (size_t x = x0; x < end; x++)
			columns[x - x0] = box_of(x, span, side);
		size_t origin = columns[0].first, n = (columns[end - x0 - 1].last - origin + 1) * channels;
		for (size_t y = 0; y < size; y++) {
			float *line = to.at + (ptrdiff_t)y * to.down;
			sum_rows(bytes + origin * channels, stride, box_of(y, span, side), n, sum);
			for (size_t x = x0; x < end; x++)
				mean_columns(sum, origin, columns[x - x0], channels, scale, offset,
				             line + (ptrdiff_t)x * to.across);
		}
	}
}

/* Draws a factor between the picture's bounds; draws nothing if the bounds are equal. */
static double draw_factor(const struct vae_data_picture *p, struct vae_random *random,
                          uint32_t size)
{
	double fits = (double)size / (p->width < p->height ? p->width : p->height),
		   least = fmax(p->least, fits), most = fmax(p->most, fits);
	return least < most ? fmin(most, least * pow(most / least, vae_random_uniform(random))) : most;
}

void vae_data_patch(const struct vae_data *data, struct vae_random *random, uint32_t size,
                    float offset, float *patch)
{
	const struct vae_data_picture *p = picture_at(data, vae_random_u64(random) % data->weight);
	uint32_t shorter = p->width < p->height ? p->width : p->height;
	double factor = draw_factor(p, random, size), window = fmin(size / factor, shorter);
	uint32_t side = (uint32_t)ceil(window);
	size_t channels = (size_t)data->channels, stride = p->width * channels;
	uint32_t x0 = vae_random_below(random, p->width - side + 1),
			 y0 = vae_random_below(random, p->height - side + 1);
	struct turned to = turn_patch(patch, size, channels, vae_random_below(random, 8));
	const uint8_t *bytes = p->bytes + y0 * stride + x0 * channels;
	if (side == size)
		copy_window(bytes, stride, channels, size, offset, to);
	else
		reduce_window(bytes, stride, channels, size, window / size, side, offset, to);
}

void vae_data_middle(const struct vae_data *data, size_t i, uint32_t width, uint32_t height,
                     float offset, float *patch)
{
	const struct vae_data_picture *p = &data->picture[i];
	size_t channels = (size_t)data->channels, x0 = (p->width - width) / 2,
		   y0 = (p->height - height) / 2;
	for (size_t y = 0; y < height; y++)
		for (size_t k = 0; k < width * channels; k++)
			*patch++ = (float)p->bytes[((y0 + y) * p->width + x0) * channels + k] / 255.0f - offset;
}
