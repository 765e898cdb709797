#include "loss/objective.h"

#include <math.h>
#include <string.h>

/* Returns -log p(x|z) given the logits, and stores its gradient. Bernoulli: softplus(l) - x l. MSE:
 * a unit-variance Gaussian around sigmoid(l), without its constant of log(2 pi) / 2 a pixel. */
static double likelihood(int loss, const float *logit, const float *x, size_t n, float weight,
                         float *gradient)
{
	double sum = 0;
	for (size_t i = 0; i < n; i++) {
		float v = logit[i], e = expf(-fabsf(v)), s = v > 0 ? 1 / (1 + e) : e / (1 + e);
		if (loss == VAE_LOSS_BCE) {
			sum += (v > 0 ? v : 0) + log1pf(e) - x[i] * v;
			gradient[i] = weight * (s - x[i]);
		} else {
			sum += 0.5 * (s - x[i]) * (s - x[i]);
			gradient[i] = weight * (s - x[i]) * s * (1 - s);
		}
	}
	return sum;
}

void vae_objective_noise(struct vae_objective *o, size_t row)
{
	size_t n = (size_t)o->nets->arch.y;
	for (size_t c = 0; c < n; c++)
		o->noise[row * n + c] = (float)vae_random_normal(&o->random);
}

void vae_objective_mlp(struct vae_objective *o, const struct vae_weights *weights, bool training,
                       double weight, float *gradient, struct vae_objective_sums *sums)
{
	struct vae_run *analysis = &o->run[VAE_ANALYSIS], *synthesis = &o->run[VAE_SYNTHESIS];
	struct vae_position nowhere = {0, 0};
	size_t n = (size_t)(o->nets->arch.width * o->nets->arch.height),
		   z_channels = (size_t)o->nets->arch.y;
	float *epsilon = o->noise, *deviation = epsilon + o->rows * z_channels;
	sums->samples = (double)o->samples;
	(void)training; /* the ELBO is a mean over samples of z, even in validation */

	memcpy(vae_run_input(analysis, 0), o->x, o->samples * n * sizeof(float));
	vae_net_forward(analysis, o->nets, weights, nowhere);
	const float *posterior = vae_run_output(analysis, 0);
	float *z = vae_run_input(synthesis, 0);
	for (size_t i = 0; i < o->samples; i++)
		for (size_t c = 0; c < z_channels; c++) {
			float mean = posterior[i * 2 * z_channels + c],
				  log_variance = posterior[(i * 2 + 1) * z_channels + c];
			size_t k = i * z_channels + c;
			deviation[k] = expf(0.5f * log_variance);
			z[k] = mean + deviation[k] * epsilon[k];
			sums->kl += 0.5 * (mean * mean + deviation[k] * deviation[k] - 1 - log_variance);
		}
	vae_net_forward(synthesis, o->nets, weights, nowhere);
	vae_run_start_backward(synthesis);
	sums->elbo = sums->kl + likelihood(o->loss, vae_run_output(synthesis, 0), o->x, o->samples * n,
	                                   (float)weight, vae_run_start_gradient(synthesis, 0));
	sums->loss = sums->elbo;
	if (!gradient)
		return; /* with a gradient all rows are in use */

	vae_net_backward(synthesis, o->nets, weights, nowhere, gradient);
	const float *dz = synthesis->gradient[synthesis->net->input[0]];
	vae_run_start_backward(analysis);
	float *dposterior = vae_run_start_gradient(analysis, 0);
	for (size_t i = 0; i < o->samples; i++)
		for (size_t c = 0; c < z_channels; c++) {
			size_t k = i * z_channels + c, m = i * 2 * z_channels + c;
			dposterior[m] = dz[k] + (float)weight * posterior[m];
			dposterior[m + z_channels] = 0.5f * (dz[k] * epsilon[k] * deviation[k] +
			                                     (float)weight * (deviation[k] * deviation[k] - 1));
		}
	vae_net_backward(analysis, o->nets, weights, nowhere, gradient);
}
