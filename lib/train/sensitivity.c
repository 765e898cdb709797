/* sensitivity.c - the diagonal of the distortion's Hessian H at rounded latents, by Hutchinson's
 * method (1989): for random signs v, E v_i (Hv)_i = H_ii, and Hv is the difference of two
 * gradients. Each patch draws its own v; the result is the mean over cells and patches. */
#include "train/sensitivity.h"
#include "stream/geometry.h"

#include <math.h>
#include <string.h>

#define PATCHES 48
/* to either side, a power of two; with 0.125 sensitivities double at low rates, where they are
 * certain otherwise */
#define STEP    0.015625f

/* Adds the slopes along (y - quantised) over the square of STEP; y is the synthesis's input. */
static void add_slopes(double *sum, struct vae_objective *o, const struct vae_weights *weights,
                       uint16_t quality, size_t n)
{
	struct vae_run *run = &o->run[VAE_SYNTHESIS];
	size_t channels = (size_t)o->nets->arch.y;
	vae_objective_distortion(o, weights, quality);
	const float *y = vae_run_input(run, 0), *slope = run->gradient[run->net->input[0]];
	for (size_t i = 0; i < n; i++)
		sum[i % channels] += (double)slope[i] * (y[i] - o->rate.quantised[i]) / (STEP * STEP);
}

void vae_sensitivity_row(float *row, int knot, struct vae_objective *o,
                         const struct vae_weights *weights, const struct vae_data *data,
                         uint64_t seed, struct vae_means *means)
{
	const struct vae_arch *a = &o->nets->arch;
	uint16_t quality = vae_knot_quality(a->knots, knot);
	size_t channels = (size_t)a->y, n = vae_soft_rate_size(&o->rate);
	struct vae_objective_sums unused = {0};
	double sum[VAE_MAX_CHANNELS];
	float *y = vae_run_input(&o->run[VAE_SYNTHESIS], 0);
	memset(sum, 0, channels * sizeof *sum);
	for (uint64_t i = 0; i < PATCHES; i++) {
		vae_random_init(&o->random, seed, VAE_STREAM_SENSITIVITY,
		                i); /* the same patches at every knot */
		vae_data_patch(data, &o->random, (uint32_t)o->rows, 0.5f, o->x);
		vae_objective_pass(o, weights, quality, false, 0, NULL, &unused);
		if (means)
			vae_means_see(means, &o->run[VAE_SYNTHESIS]);
		for (size_t k = 0; k < n; k++)
			y[k] += vae_random_u64(&o->random) >> 63 ? STEP : -STEP;
		add_slopes(sum, o, weights, quality, n);
		for (size_t k = 0; k < n; k++)
			y[k] = 2 * o->rate.quantised[k] - y[k];
		add_slopes(sum, o, weights, quality, n);
	}
	/* v H v was added twice; a squared error costs half of H; the distortion is a pixel's */
	double worth = (double)(o->rows * o->columns) / 4 / (double)(PATCHES * n / channels);
	for (size_t c = 0; c < channels; c++)
		row[c] = (float)fmax(worth * sum[c], 0);
}
