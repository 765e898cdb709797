#include "loss/rate.h"
#include "base/memory.h"
#include "prior/slice_prior.h"
#include "prior/z_mean.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int vae_soft_rate_init(struct vae_soft_rate *r, const struct vae_nets *nets, size_t rows,
                       size_t columns, bool training, struct vae_error *error)
{
	const struct vae_arch *a = &nets->arch;
	*r = (struct vae_soft_rate){.nets = nets,
	                            .rows = rows,
	                            .columns = columns,
	                            .cells = rows * columns,
	                            .hyper_columns = (columns + 3) / 4,
	                            .hyper_cells = (rows + 3) / 4 * ((columns + 3) / 4),
	                            .y_channels = (size_t)a->y,
	                            .z_channels = (size_t)a->z,
	                            .steps = a->steps,
	                            .training = training,
	                            .temperature = 1};
	float **y[] = {&r->y, &r->mean,  &r->log_scale, &r->residual,   &r->quantised,
	               &r->d, &r->slope, &r->dd,        &r->dlog_scale, &r->dresidual};
	float **z[] = {&r->z_d, &r->z_log_scale, &r->z_dd, &r->z_dlog_scale};
	size_t y_arrays = sizeof y / sizeof *y, z_arrays = sizeof z / sizeof *z,
		   y_size = r->cells * r->y_channels, z_size = r->hyper_cells * r->z_channels;
	int result = vae_alloc(&r->work, y_size * y_arrays + z_size * z_arrays, sizeof(float), error);
	for (int i = VAE_H_A; i < VAE_SYNTHESIS && !result; i++)
		result = vae_run_init(&r->run[i], &nets->net[i], 4, rows, columns, training, error);
	if (result) {
		vae_soft_rate_clear(r);
		return result;
	}
	float *next = r->work;
	for (size_t i = 0; i < y_arrays; i++, next += y_size)
		*y[i] = next;
	for (size_t i = 0; i < z_arrays; i++, next += z_size)
		*z[i] = next;
	return 0;
}

void vae_soft_rate_clear(struct vae_soft_rate *r)
{
	free(r->work);
	for (int i = 0; i < VAE_NETS; i++)
		vae_run_clear(&r->run[i]);
	memset(r, 0, sizeof *r);
}

static float *param_of(const struct vae_nets *nets, float *flat, const char *name)
{
	return flat + vae_param_offset(&nets->params, name);
}

static float noise(struct vae_soft_rate *r, float d)
{
	return r->rounding == VAE_ROUND_NOISE ? d + vae_random_uniform(&r->random) - 0.5f : rintf(d);
}

/* Draws a mixture of v's two neighbours (stochastic Gumbel annealing: Yang, Bamler, Mandt 2020): a
 * sample of the softmax over -atanh(distance) / t, by the Gumbel trick at temperature t. As t falls
 * the mixture becomes one of the two, more often the nearer one. The difference of two Gumbel
 * numbers is a logistic one; atanh(f) - atanh(1 - f) is half a logarithm. */
static float gumbel(struct vae_soft_rate *r, float v, float *slope)
{
	float low = floorf(v), f = v - low, t = r->temperature, u = vae_random_uniform(&r->random);
	f = f > 1e-4f ? f : 1e-4f;
	f = f < 1 - 1e-4f ? f : 1 - 1e-4f;
	u = u > 1e-7f ? u : 1e-7f;
	float logit = 0.5f / t * logf((1 + f) * f / ((1 - f) * (2 - f))),
		  up = 1 / (1 + expf(-(logit + logf(u / (1 - u))) / t));
	*slope = up * (1 - up) / (t * t) * (1 / (1 - f * f) + 1 / (f * (2 - f)));
	return low + up;
}

/* Rounds the symbols of one cell as the encoder does. */
static void choose(const struct vae_soft_rate *r, const struct vae_group_cell *at)
{
	for (size_t c = 0; c < at->n; c++) {
		uint8_t index = vae_scale_index(at->log_scale[c]);
		int32_t value = vae_round_symbol(at->target[c] - at->mean[c]);
		vae_rdo(r->choice, at->channel + c, &index, at->target + c, at->mean + c, &value, 1);
		at->residual[c] = (float)value;
	}
}

/* Rounds a group around its means. The rate sees z with noise. */
static int round_group(void *context, const struct vae_group *g, struct vae_error *error)
{
	struct vae_soft_rate *r = context;
	const float *first = g->step < 0 ? vae_run_input(&r->run[VAE_H_S], 0) : r->residual;
	(void)error;
	for (size_t cell = 0; cell < g->cells; cell++) {
		struct vae_group_cell at = vae_group_cell(g, cell);
		size_t k = (size_t)(at.residual - first);
		for (size_t c = 0; c < at.n; c++, k++) {
			float v = at.target[c] - at.mean[c];
			at.residual[c] = rintf(v);
			if (g->step < 0) {
				r->z_d[k] = noise(r, v);
				r->z_log_scale[k] = at.log_scale[c];
				continue;
			}
			r->mean[k] = at.mean[c];
			r->log_scale[k] = at.log_scale[c];
			r->slope[k] = 1;
			if (r->rounding == VAE_ROUND_GUMBEL)
				at.residual[c] = gumbel(r, v, &r->slope[k]);
		}
		if (r->choice && g->step >= 0)
			choose(r, &at);
	}
	return 0;
}

static void clear(float *p, size_t n) { memset(p, 0, n * sizeof *p); }

void vae_soft_rate_forward(struct vae_soft_rate *r, const struct vae_weights *weights,
                           struct vae_position at)
{
	size_t y_size = vae_soft_rate_size(r);
	struct vae_prior prior = {.nets = r->nets, .weights = weights, .at = at};
	struct vae_prior_pass pass = {.prior = &prior,
	                              .rows = r->rows,
	                              .columns = r->columns,
	                              .stride = r->columns * r->y_channels,
	                              .y = r->y,
	                              .out = r->quantised,
	                              .residual = r->residual,
	                              .run = r->run,
	                              .training = r->training,
	                              .decode_group = round_group,
	                              .context = r};
	(void)vae_prior_pass(&pass, NULL); /* all memory is there, and round_group does not fail */
	if (r->rounding != VAE_ROUND_NOISE)
		memcpy(r->d, r->residual, y_size * sizeof(float));
	else
		for (size_t k = 0; k < y_size; k++)
			r->d[k] = noise(r, r->y[k] - r->mean[k]);
}

double vae_soft_rate_bits(struct vae_soft_rate *r, float weight, double *z_bits)
{
	const struct vae_kernels *kernels = vae_kernels();
	size_t y_size = vae_soft_rate_size(r), z_size = r->hyper_cells * r->z_channels;
	clear(r->dd, y_size);
	clear(r->dlog_scale, y_size);
	clear(r->z_dd, z_size);
	clear(r->z_dlog_scale, z_size);
	double y_bits =
		kernels->gaussian_bits(r->d, r->log_scale, y_size, weight, r->dd, r->dlog_scale);
	*z_bits =
		kernels->gaussian_bits(r->z_d, r->z_log_scale, z_size, weight, r->z_dd, r->z_dlog_scale);
	return y_bits;
}

/* Computes the gradient of a step's (mean, log-scale), and of y. The gradient of r is the sum of
 * the rate's, of the later contexts' and of the synthesis's; dr/dmean = -dr/dy = -slope, and y^ = r
 * + mean. */
static void guess_gradient(const struct vae_soft_rate *r, int step, const float *dquantised,
                           float *dguess, float *dy)
{
	for (size_t i = 0; i < r->cells; i++) {
		size_t first = vae_order_first_channel(step, r->steps, i / r->columns, i % r->columns,
		                                       r->y_channels),
			   k = i * r->y_channels + first;
		float *dmean = dguess + i * 2 * r->y_channels + first, *dlog_scale = dmean + r->y_channels;
		for (size_t c = 0; c < r->y_channels / (size_t)r->steps; c++, k++) {
			float s = r->slope[k];
			dmean[c] += (1 - s) * dquantised[k] - s * r->dd[k];
			dmean[c] -= s * r->dresidual[k];
			dlog_scale[c] += r->dlog_scale[k];
			dy[k] = s * (dquantised[k] + r->dd[k]) + s * r->dresidual[k];
		}
	}
}

static const float *input_gradient(const struct vae_run *run, int i)
{
	return run->gradient[run->net->input[i]];
}

/* Adds the effect of cell i's mean through a neighbour that it took `share` of: z^ follows z, and
 * round(z - mean) + mean follows no mean. */
static void neighbour_gradient(const struct vae_soft_rate *r, const float *dd, size_t neighbour,
                               const float *share, const float *mean, float *dshare, float *dmean,
                               float *dz)
{
	const float *z = vae_run_input(&r->run[VAE_H_S], 0) + neighbour * r->z_channels;
	for (size_t c = 0; c < r->z_channels; c++) {
		dz[neighbour * r->z_channels + c] -= dd[c] * share[c];
		if (dshare) {
			dshare[c] -= dd[c] * (z[c] - mean[c]);
			dmean[c] += dd[c] * share[c];
		}
	}
}

/* Computes the gradient of z's density, and of z itself, from those of h_s and the rate. */
static void z_gradient(const struct vae_soft_rate *r, const struct vae_weights *weights,
                       struct vae_position at, float *gradient, float *dz)
{
	struct vae_z_mean near = vae_z_mean_of(&r->nets->params, weights->value);
	float *dmean = gradient ? param_of(r->nets, gradient, "prior.z.mean") : NULL;
	float *dleft = gradient ? param_of(r->nets, gradient, "prior.z.left") : NULL,
		  *dup = gradient ? param_of(r->nets, gradient, "prior.z.up") : NULL;
	float *dtable = gradient ? param_of(r->nets, gradient, "prior.z.log_scale") +
	                               (size_t)at.index * r->z_channels
	                         : NULL;
	memcpy(dz, input_gradient(&r->run[VAE_H_S], 0), r->hyper_cells * r->z_channels * sizeof(float));
	vae_kernels()->add(dz, r->z_dd, r->hyper_cells * r->z_channels);
	for (size_t i = 0; i < r->hyper_cells; i++) {
		const float *dd = r->z_dd + i * r->z_channels,
					*dlog_scale = r->z_dlog_scale + i * r->z_channels;
		if (i % r->hyper_columns)
			neighbour_gradient(r, dd, i - 1, near.left, near.mean, dleft, dmean, dz);
		if (i >= r->hyper_columns)
			neighbour_gradient(r, dd, i - r->hyper_columns, near.up, near.mean, dup, dmean, dz);
		for (size_t c = 0; gradient && c < r->z_channels; c++) {
			dmean[c] -= dd[c];
			dtable[c] += (1 - at.fraction) * dlog_scale[c];
			dtable[r->z_channels + c] += at.fraction * dlog_scale[c];
		}
	}
}

void vae_soft_rate_backward(struct vae_soft_rate *r, const struct vae_weights *weights,
                            struct vae_position at, const float *dquantised, float *gradient,
                            float *dy)
{
	const struct vae_kernels *kernels = vae_kernels();
	struct vae_run *h_a = &r->run[VAE_H_A], *h_s = &r->run[VAE_H_S];
	size_t y_size = vae_soft_rate_size(r), features = vae_run_size(h_s, h_s->net->output[0]);
	vae_run_start_backward(h_s);
	float *dfeatures = vae_run_start_gradient(h_s, 0), *dguess0 = vae_run_start_gradient(h_s, 1);
	clear(dfeatures, features);
	clear(dguess0, 2 * y_size);
	clear(r->dresidual, y_size);
	for (int step = r->steps - 1; step > 0; step--) {
		struct vae_run *context = &r->run[VAE_CONTEXT + step - 1];
		vae_run_start_backward(context);
		float *dguess = vae_run_start_gradient(context, 0);
		clear(dguess, 2 * y_size);
		guess_gradient(r, step, dquantised, dguess, dy);
		vae_net_backward(context, r->nets, weights, at, gradient);
		kernels->add(r->dresidual, input_gradient(context, 0), y_size);
		kernels->add(dfeatures, input_gradient(context, 1), features);
		kernels->add(dguess0, input_gradient(context, 2), 2 * y_size);
	}
	guess_gradient(r, 0, dquantised, dguess0, dy);
	vae_net_backward(h_s, r->nets, weights, at, gradient);

	vae_run_start_backward(h_a);
	z_gradient(r, weights, at, gradient, vae_run_start_gradient(h_a, 0));
	vae_net_backward(h_a, r->nets, weights, at, gradient);
	kernels->add(dy, input_gradient(h_a, 0), y_size);
}

void vae_soft_rate_backward_direct(const struct vae_soft_rate *r, const float *dquantised,
                                   float *dy)
{
	for (size_t k = 0; k < vae_soft_rate_size(r); k++)
		dy[k] = r->slope[k] * (dquantised[k] + r->dd[k]);
}
