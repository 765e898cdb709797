#include "exact/colour.h"

void vae_exact_colour_forward(unsigned transform, const uint16_t rgb[3], int32_t out[3])
{
	int32_t r = rgb[0], g = rgb[1], b = rgb[2];
	if (transform == 2) {
		int32_t t = (r + b) >> 1;
		out[0] = (g + t) >> 1;
		out[1] = g - t;
		out[2] = r - b;
		return;
	}
	out[0] = g;
	out[1] = transform == 3 ? r : r - g;
	out[2] = transform == 3 ? b : transform == 1 ? b - ((r + g) >> 1) : b - g;
}

static uint16_t limited(int32_t v, uint16_t maxval)
{
	return (uint16_t)(v < 0 ? 0 : v > maxval ? maxval : v);
}

void vae_exact_colour_inverse(unsigned transform, const int32_t in[3], uint16_t maxval,
                              uint16_t rgb[3])
{
	int32_t g = in[0], r = in[1], b = in[2];
	if (transform == 2) {
		int32_t t = in[0] - (in[1] >> 1);
		g = in[1] + t;
		b = t - (in[2] >> 1);
		r = in[2] + b;
	} else if (transform != 3) {
		r += g;
		b += transform == 1 ? (r + g) >> 1 : g;
	}
	rgb[0] = limited(r, maxval);
	rgb[1] = limited(g, maxval);
	rgb[2] = limited(b, maxval);
}
