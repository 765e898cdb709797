/* sensitivity.c - the mean squared norm of the columns of the synthesis' Jacobian J, by Hutchinson's trick (1989): for random signs v at the
 * pixels, E (J'v)_c^2 = sum over pixels p of J_pc^2, and J'v is one backward pass. Each patch draws its own v; cells and patches average. */
#include "train/sensitivity.h"

#include <math.h>
#include <string.h>

#define PATCHES 24

/* Above 1, since what rounding towards zero takes from neighbouring symbols adds up in the picture, and most where most become 0. */
double vae_sensitivity_factor(uint16_t quality) { return 2.2 * pow(1.3 / 2.2, quality / (double)VAE_QUALITY_ONE); }

static void random_signs(float *out, size_t n, struct vae_random *random)
{
	uint64_t bits = 0;
	for (size_t i = 0; i < n; i++, bits >>= 1) {
		if (i % 64 == 0)
			bits = vae_random_u64(random);
		out[i] = bits & 1 ? 1 : -1;
	}
}

static void add_squares(double *sum, const float *gradient, size_t cells, size_t channels)
{
	for (size_t i = 0; i < cells; i++)
		for (size_t c = 0; c < channels; c++, gradient++)
			sum[c] += (double)*gradient * *gradient;
}

void vae_sensitivity_row(float *row, int knot, struct vae_objective *o, const struct vae_weights *weights, const struct vae_data *data, uint64_t seed,
                         float *gradient)
{
	const struct vae_arch *a = &o->nets->arch;
	uint16_t quality = (uint16_t)(VAE_QUALITY_ONE * knot / (a->knots - 1));
	struct vae_run *run = &o->run[VAE_SYNTHESIS];
	int output = run->net->output[0], input = run->net->input[0];
	size_t channels = (size_t)a->y, cells = o->rows / 16 * (o->columns / 16);
	struct vae_objective_sums unused = {0};
	double sum[channels];
	memset(sum, 0, sizeof sum);
	for (uint64_t i = 0; i < PATCHES; i++) {
		vae_random_init(&o->random, seed, UINT64_MAX - 2, i); /* the same patches at every knot */
		vae_data_patch(data, &o->random, (uint32_t)o->rows, 0.5f, o->x);
		vae_objective_pass(o, weights, quality, false, 0, NULL, &unused);
		vae_run_start_backward(run);
		run->has_gradient[output] = true;
		random_signs(run->gradient[output], o->rows * o->columns * 3, &o->random);
		vae_net_backward(run, o->nets, weights, vae_position_of(a->knots, quality), gradient);
		add_squares(sum, run->gradient[input], cells, channels);
	}
	/* the loss takes the mean of three samples a pixel */
	double worth = vae_sensitivity_factor(quality) * vae_arch_lambda(a, quality) * 65025 / 3 / (double)(PATCHES * cells);
	for (size_t c = 0; c < channels; c++)
		row[c] = (float)(worth * sum[c]);
}
