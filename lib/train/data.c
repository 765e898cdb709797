#include "train/data.h"

#include <stdlib.h>

static uint8_t to_byte(uint16_t sample, uint16_t maxval) { return (uint8_t)((sample * 510u + maxval) / (2u * maxval)); }

int vae_data_add(struct vae_data *data, const struct vae_image *image, uint32_t least, struct vae_error *error)
{
	const struct vae_geometry *g = &image->geometry;
	if (g->width < least || g->height < least)
		return vae_fail(error, VAE_EARG, "a picture of %u x %u is smaller than the patch of %u x %u", g->width, g->height, least, least);
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
			b[0] = colours == 1 ? to_byte(s[0], g->maxval) : to_byte((uint16_t)((s[0] + s[1] + s[2]) / 3), g->maxval);
		else
			for (int c = 0; c < 3; c++)
				b[c] = to_byte(s[colours == 3 ? c : 0], g->maxval);
	}
	p->width = g->width;
	p->height = g->height;
	p->first = data->pixels;
	data->pixels += pixels;
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

static const struct vae_data_picture *picture_at(const struct vae_data *data, uint64_t pixel)
{
	size_t low = 0, high = data->count;
	while (high - low > 1) {
		size_t middle = (low + high) / 2;
		*(data->picture[middle].first <= pixel ? &low : &high) = middle;
	}
	return &data->picture[low];
}

void vae_data_patch(const struct vae_data *data, struct vae_random *random, uint32_t size, float offset, float *patch)
{
	const struct vae_data_picture *p = picture_at(data, vae_random_u64(random) % data->pixels);
	uint32_t x0 = vae_random_below(random, p->width - size + 1), y0 = vae_random_below(random, p->height - size + 1);
	uint32_t turn = vae_random_below(random, 8);
	size_t channels = (size_t)data->channels;
	for (uint32_t y = 0; y < size; y++)
		for (uint32_t x = 0; x < size; x++) {
			uint32_t sx = turn & 1 ? size - 1 - x : x, sy = turn & 2 ? size - 1 - y : y;
			if (turn & 4) {
				uint32_t t = sx;
				sx = sy;
				sy = t;
			}
			const uint8_t *b = p->bytes + ((size_t)(y0 + sy) * p->width + x0 + sx) * channels;
			for (size_t c = 0; c < channels; c++)
				*patch++ = (float)b[c] / 255.0f - offset;
		}
}

void vae_data_middle(const struct vae_data *data, size_t i, uint32_t width, uint32_t height, float offset, float *patch)
{
	const struct vae_data_picture *p = &data->picture[i];
	size_t channels = (size_t)data->channels, x0 = (p->width - width) / 2, y0 = (p->height - height) / 2;
	for (size_t y = 0; y < height; y++)
		for (size_t k = 0; k < width * channels; k++)
			*patch++ = (float)p->bytes[((y0 + y) * p->width + x0) * channels + k] / 255.0f - offset;
}
