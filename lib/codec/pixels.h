/* pixels.h - conversion of samples to the input of photo networks. */
#ifndef VAE_PIXELS_H
#define VAE_PIXELS_H

#include <stddef.h>
#include <stdint.h>

/* Converts n pixels to x in -0.5 .. 0.5, grey as three equal colours: one rounded division, one
 * rounded subtraction. */
static inline void vae_pixels_load(float *x, const uint16_t *in, size_t n, size_t colours,
                                   float maxval)
{
	if (colours == 3)
		for (size_t i = 0; i < 3 * n; i++)
			x[i] = (float)in[i] / maxval - 0.5f;
	else
		for (size_t i = 0; i < n; i++)
			x[3 * i] = x[3 * i + 1] = x[3 * i + 2] = (float)in[i] / maxval - 0.5f;
}

/* Returns sum / n, rounded half to even. */
static inline uint16_t vae_mean_of(size_t sum, size_t n)
{
	size_t mean = sum / n, rest = 2 * (sum % n);
	return (uint16_t)(mean + (rest > n || (rest == n && mean & 1)));
}

#endif
