#include "train/recolour.h"

#include <math.h>

#define PIXEL(p, i) ((p) + 3 * (i))

static float held(float v) { return v > 0.5f ? 0.5f : v > -0.5f ? v : -0.5f; }

static float between(struct vae_random *random, float low, float high)
{
	return low + (high - low) * vae_random_uniform(random);
}

static float brightness(const float *p) { return 0.299f * p[0] + 0.587f * p[1] + 0.114f * p[2]; }

static void swap_channels(float *patch, size_t pixels, struct vae_random *random)
{
	static const int order[5][3] = {{0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
	const int *o = order[vae_random_below(random, 5)];
	for (size_t i = 0; i < pixels; i++) {
		float *p = PIXEL(patch, i), v[3] = {p[0], p[1], p[2]};
		for (int c = 0; c < 3; c++)
			p[c] = v[o[c]];
	}
}

static void negate(float *patch, size_t pixels)
{
	for (size_t i = 0; i < 3 * pixels; i++)
		patch[i] = -patch[i];
}

/* Keeps one channel; sets the other two to one level each, more often to black. */
static void keep_channel(float *patch, size_t pixels, struct vae_random *random)
{
	uint32_t kept = vae_random_below(random, 3);
	float level[3];
	for (int c = 0; c < 3; c++)
		level[c] = vae_random_below(random, 3) ? -0.5f : between(random, -0.5f, 0.5f);
	for (size_t i = 0; i < pixels; i++)
		for (uint32_t c = 0; c < 3; c++)
			if (c != kept)
				PIXEL(patch, i)[c] = level[c];
}

/* Turns the hue around the grey axis, scales saturation, and changes contrast around mid-grey. */
static void shift_hue(float *patch, size_t pixels, struct vae_random *random)
{
	float angle = between(random, 0, 6.2831853f), saturation = between(random, 0, 3),
		  contrast = expf(between(random, -0.5f, 0.9f));
	float along = cosf(angle) * saturation,
		  across = sinf(angle) * saturation * 0.57735027f; /* 1 / sqrt 3 */
	for (size_t i = 0; i < pixels; i++) {
		float *p = PIXEL(patch, i), mean = (p[0] + p[1] + p[2]) / 3,
			  d[3] = {p[0] - mean, p[1] - mean, p[2] - mean};
		for (int c = 0; c < 3; c++)
			p[c] =
				held(contrast * (mean + along * d[c] + across * (d[(c + 2) % 3] - d[(c + 1) % 3])));
	}
}

/* Draws each channel at one of its ends, or anywhere between. */
static void draw_colour(float colour[3], struct vae_random *random)
{
	bool plain = vae_random_below(random, 2);
	for (int c = 0; c < 3; c++)
		colour[c] =
			plain ? (vae_random_below(random, 2) ? 0.5f : -0.5f) : between(random, -0.5f, 0.5f);
}

/* Maps brightness to a mixture of two colours. steepness 1: linearly from the darkest to the
 * brightest; more: an edge in the middle. */
static void two_colours(float *patch, size_t pixels, float steepness, struct vae_random *random)
{
	float a[3], b[3], low = 1, high = -1;
	draw_colour(a, random);
	draw_colour(b, random);
	for (size_t i = 0; i < pixels; i++) {
		float v = brightness(PIXEL(patch, i));
		low = v < low ? v : low;
		high = v > high ? v : high;
	}
	float middle = (low + high) / 2, scale = steepness / (high - low > 1e-3f ? high - low : 1e-3f);
	for (size_t i = 0; i < pixels; i++) {
		float *p = PIXEL(patch, i), part = held((brightness(p) - middle) * scale) + 0.5f;
		for (int c = 0; c < 3; c++)
			p[c] = a[c] + (b[c] - a[c]) * part;
	}
}

void vae_recolour(float *patch, size_t pixels, struct vae_random *random)
{
	switch (vae_random_below(random, 6)) {
	case 0: swap_channels(patch, pixels, random); break;
	case 1: negate(patch, pixels); break;
	case 2: keep_channel(patch, pixels, random); break;
	case 3: shift_hue(patch, pixels, random); break;
	case 4: two_colours(patch, pixels, 1, random); break;
	default: two_colours(patch, pixels, expf(between(random, 1.5f, 4)), random); break;
	}
}
