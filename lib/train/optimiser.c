#include "train/optimiser.h"
#include "base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK 16384 /* floats; sums are made chunk by chunk, so they do not depend on the number of threads */

int vae_optimiser_init(struct vae_optimiser *o, size_t size, struct vae_error *error)
{
	memset(o, 0, sizeof *o);
	o->size = size;
	if (vae_alloc(&o->first, size, sizeof(float), error) || vae_alloc(&o->second, size, sizeof(float), error) ||
	    vae_alloc(&o->average, size, sizeof(float), error)) {
		vae_optimiser_clear(o);
		return VAE_EMEM;
	}
	return 0;
}

void vae_optimiser_clear(struct vae_optimiser *o)
{
	free(o->first);
	free(o->second);
	free(o->average);
	memset(o, 0, sizeof *o);
}

double vae_optimiser_gather(float *const *gradients, int count, size_t size)
{
	size_t chunks = (size + CHUNK - 1) / CHUNK;
	double square[chunks]; /* at most 264 KB: arch.c bounds every width */
#pragma omp parallel for schedule(static)
	for (size_t k = 0; k < chunks; k++) {
		size_t start = k * CHUNK, n = start + CHUNK < size ? CHUNK : size - start;
		float *sum = gradients[0] + start;
		for (int t = 1; t < count; t++)
			vae_kernels()->add(sum, gradients[t] + start, n);
		double s[8] = {0};
		for (size_t i = 0; i < n; i++)
			s[i & 7] += (double)sum[i] * sum[i];
		square[k] = ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
	}
	double total = 0;
	for (size_t k = 0; k < chunks; k++)
		total += square[k];
	return sqrt(total);
}

void vae_optimiser_step(struct vae_optimiser *o, const struct vae_params *params, const float *factor, float *value, const float *gradient, double norm,
                        double clip, double rate, double ema)
{
	const double b1 = 0.9, b2 = 0.999;
	double scale = clip > 0 && norm > clip ? clip / norm : 1, t = (double)++o->step;
	double corrected = rate * sqrt(1 - pow(b2, t)) / (1 - pow(b1, t));
	double follow = 1 - fmin(ema, (t + 1) / (t + 10)); /* the average starts fast */
#pragma omp parallel for schedule(dynamic)
	for (int i = 0; i < params->count; i++) {
		size_t start = params->list[i].offset, n = params->list[i].rows * params->list[i].columns;
		vae_kernels()->adam(value + start, o->first + start, o->second + start, o->average + start, gradient + start, n, (float)scale,
		                    (float)corrected * factor[i], (float)b1, (float)b2, 1e-8f, (float)follow);
	}
}
