#include "prior/order.h"
#include "train/objective.h"
#include "train/ms_ssim.h"

#include <math.h>
#include <string.h>

/* The latents of one pass. y and z arrays are cells x channels. d is the distance from the mean that the rate is taken at. */
struct latents {
	size_t cells, hyper_cells, columns, y_channels, z_channels;
	int steps;
	float *mean, *log_scale, *d, *dd, *dlog_scale, *residual, *dresidual, *dy, *quantised;   /* y */
	float *z_d, *z_log_scale, *z_dd, *z_dlog_scale, *z_row;                     /* z */
};

static struct latents latents_of(const struct vae_objective *o)
{
	const struct vae_arch *a = &o->nets->arch;
	struct latents l = {.cells = o->rows / 16 * (o->columns / 16), .hyper_cells = o->rows / 64 * (o->columns / 64), .columns = o->columns / 16,
	                    .y_channels = (size_t)a->y, .z_channels = (size_t)a->z, .steps = a->steps};
	float *next = o->work, **y[] = {&l.mean, &l.log_scale, &l.d, &l.dd, &l.dlog_scale, &l.residual, &l.dresidual, &l.dy, &l.quantised};
	float **z[] = {&l.z_d, &l.z_log_scale, &l.z_dd, &l.z_dlog_scale, &l.z_row};
	for (size_t i = 0; i < sizeof y / sizeof *y; i++, next += l.cells * l.y_channels)
		*y[i] = next;
	for (size_t i = 0; i < sizeof z / sizeof *z; i++, next += l.hyper_cells * l.z_channels)
		*z[i] = next;
	return l;
}

static float *param_of(const struct vae_nets *nets, float *flat, const char *name)
{
	return flat + nets->params.list[vae_param_find(&nets->params, name)].offset;
}

static float noise(struct vae_objective *o, bool training, float d)
{
	return training ? d + vae_random_uniform(&o->random) - 0.5f : rintf(d);
}

/* z rounded about its mean goes on to h_s; z with noise pays. */
static void quantise_z(struct vae_objective *o, const struct latents *l, const struct vae_weights *weights, struct vae_position at, bool training)
{
	const float *z = vae_run_output(&o->run[VAE_H_A], 0), *mean = param_of(o->nets, weights->value, "prior.z.mean");
	float *rounded = vae_run_input(&o->run[VAE_H_S], 0);
	vae_position_lerp(l->z_row, param_of(o->nets, weights->value, "prior.z.log_scale"), (int)l->z_channels, at);
	for (size_t i = 0; i < l->hyper_cells; i++)
		for (size_t c = 0; c < l->z_channels; c++) {
			size_t k = i * l->z_channels + c;
			float d = z[k] - mean[c];
			rounded[k] = rintf(d) + mean[c];
			l->z_d[k] = noise(o, training, d);
			l->z_log_scale[k] = l->z_row[c];
		}
}

/* Takes over the means and log-scales that a step coded with, and rounds y about them: residual is what the context sees. */
static void quantise_step(const struct latents *l, int step, const float *y, const float *guess)
{
	for (size_t i = 0; i < l->cells; i++) {
		size_t first = vae_order_first_channel(step, l->steps, i / l->columns, i % l->columns, l->y_channels), k = i * l->y_channels + first;
		const float *mean = guess + i * 2 * l->y_channels + first, *log_scale = mean + l->y_channels;
		for (size_t c = 0; c < l->y_channels / (size_t)l->steps; c++, k++) {
			l->mean[k] = mean[c];
			l->log_scale[k] = log_scale[c];
			l->residual[k] = rintf(y[k] - mean[c]);
			l->quantised[k] = l->residual[k] + mean[c];
		}
	}
}

/* The gradient of a step's (mean, log-scale): the rate's, and for means what comes back from later contexts
 * through the residual (d residual / d mean = -1). */
static void guess_gradient(const struct latents *l, int step, float *dguess)
{
	for (size_t i = 0; i < l->cells; i++) {
		size_t first = vae_order_first_channel(step, l->steps, i / l->columns, i % l->columns, l->y_channels), k = i * l->y_channels + first;
		float *dmean = dguess + i * 2 * l->y_channels + first, *dlog_scale = dmean + l->y_channels;
		for (size_t c = 0; c < l->y_channels / (size_t)l->steps; c++, k++) {
			dmean[c] -= l->dd[k];
			dlog_scale[c] += l->dlog_scale[k];
			dmean[c] -= l->dresidual[k];
			l->dy[k] += l->dresidual[k];
		}
	}
}

/* The weight of 1 - MS-SSIM at the quality whose weight of 255^2 MSE is lambda: fitted so that a quality takes about as many bits as of a model
 * trained on MSE: 6 % less to 11 % more from 0.17 to 1.7 bpp, 20 % more at 0.11. */
static double ms_ssim_lambda(double lambda) { return 4000 * pow(lambda, 1.06); }

/* What the loss comes to for a trained network, roughly. bpp + lambda 255^2 MSE: 0.2 at lambda 0.0008, 1 at 0.02, 3 at 0.2; with MS-SSIM: 0.24, 1.4, 4.7.
 * Only weighs the samples. */
static double typical_loss(int loss, double lambda)
{
	return loss == VAE_LOSS_MS_SSIM ? 11.3 * pow(lambda, 0.54) : 6.5 * pow(lambda, 0.48);
}

static float *start_gradient(struct vae_run *run, int output)
{
	int slot = run->net->output[output];
	run->has_gradient[slot] = true;
	return run->gradient[slot];
}

static void clear(float *p, size_t n) { memset(p, 0, n * sizeof *p); }

static void forward(struct vae_objective *o, const struct latents *l, const struct vae_weights *weights, struct vae_position at, bool training)
{
	struct vae_run *run = o->run;
	size_t y_size = l->cells * l->y_channels;
	memcpy(vae_run_input(&run[VAE_ANALYSIS], 0), o->x, o->rows * o->columns * 3 * sizeof(float));
	vae_net_forward(&run[VAE_ANALYSIS], o->nets, weights, at);
	const float *y = vae_run_output(&run[VAE_ANALYSIS], 0);
	memcpy(vae_run_input(&run[VAE_H_A], 0), y, y_size * sizeof(float));
	vae_net_forward(&run[VAE_H_A], o->nets, weights, at);
	quantise_z(o, l, weights, at, training);
	vae_net_forward(&run[VAE_H_S], o->nets, weights, at);

	clear(l->residual, y_size);
	quantise_step(l, 0, y, vae_run_output(&run[VAE_H_S], 1));
	for (int step = 1; step < l->steps; step++) {
		struct vae_run *context = &run[VAE_CONTEXT + step - 1];
		memcpy(vae_run_input(context, 0), l->residual, y_size * sizeof(float));
		memcpy(vae_run_input(context, 1), vae_run_output(&run[VAE_H_S], 0), vae_run_size(&run[VAE_H_S], run[VAE_H_S].net->output[0]) * sizeof(float));
		memcpy(vae_run_input(context, 2), vae_run_output(&run[VAE_H_S], 1), 2 * y_size * sizeof(float));
		vae_net_forward(context, o->nets, weights, at);
		quantise_step(l, step, y, vae_run_output(context, 0));
	}
	for (size_t k = 0; k < y_size; k++)
		l->d[k] = noise(o, training, y[k] - l->mean[k]);

	memcpy(vae_run_input(&run[VAE_SYNTHESIS], 0), l->quantised, y_size * sizeof(float));
	vae_net_forward(&run[VAE_SYNTHESIS], o->nets, weights, at);
}

static void backward(struct vae_objective *o, const struct latents *l, const struct vae_weights *weights, struct vae_position at, float *gradient)
{
	struct vae_run *run = o->run;
	const struct vae_kernels *kernels = vae_kernels();
	size_t y_size = l->cells * l->y_channels;
	vae_net_backward(&run[VAE_SYNTHESIS], o->nets, weights, at, gradient); /* its output's gradient is in place */
	memcpy(l->dy, run[VAE_SYNTHESIS].gradient[run[VAE_SYNTHESIS].net->input[0]], y_size * sizeof(float));
	kernels->add(l->dy, l->dd, y_size);

	vae_run_start_backward(&run[VAE_H_S]);
	float *dfeatures = start_gradient(&run[VAE_H_S], 0), *dguess0 = start_gradient(&run[VAE_H_S], 1);
	size_t features = vae_run_size(&run[VAE_H_S], run[VAE_H_S].net->output[0]);
	clear(dfeatures, features);
	clear(dguess0, 2 * y_size);
	clear(l->dresidual, y_size);
	for (int step = l->steps - 1; step > 0; step--) {
		struct vae_run *context = &run[VAE_CONTEXT + step - 1];
		vae_run_start_backward(context);
		float *dguess = start_gradient(context, 0);
		clear(dguess, 2 * y_size);
		guess_gradient(l, step, dguess);
		vae_net_backward(context, o->nets, weights, at, gradient);
		kernels->add(l->dresidual, context->gradient[context->net->input[0]], y_size);
		kernels->add(dfeatures, context->gradient[context->net->input[1]], features);
		kernels->add(dguess0, context->gradient[context->net->input[2]], 2 * y_size);
	}
	guess_gradient(l, 0, dguess0);
	vae_net_backward(&run[VAE_H_S], o->nets, weights, at, gradient);

	vae_run_start_backward(&run[VAE_H_A]);
	float *dz = start_gradient(&run[VAE_H_A], 0), *dmean = param_of(o->nets, gradient, "prior.z.mean");
	float *dtable = param_of(o->nets, gradient, "prior.z.log_scale") + (size_t)at.index * l->z_channels;
	memcpy(dz, run[VAE_H_S].gradient[run[VAE_H_S].net->input[0]], l->hyper_cells * l->z_channels * sizeof(float));
	for (size_t i = 0; i < l->hyper_cells; i++)
		for (size_t c = 0; c < l->z_channels; c++) {
			size_t k = i * l->z_channels + c;
			dz[k] += l->z_dd[k];
			dmean[c] -= l->z_dd[k];
			dtable[c] += (1 - at.fraction) * l->z_dlog_scale[k];
			dtable[l->z_channels + c] += at.fraction * l->z_dlog_scale[k];
		}
	vae_net_backward(&run[VAE_H_A], o->nets, weights, at, gradient);

	vae_run_start_backward(&run[VAE_ANALYSIS]);
	float *dy = start_gradient(&run[VAE_ANALYSIS], 0);
	memcpy(dy, run[VAE_H_A].gradient[run[VAE_H_A].net->input[0]], y_size * sizeof(float));
	kernels->add(dy, l->dy, y_size);
	vae_net_backward(&run[VAE_ANALYSIS], o->nets, weights, at, gradient);
}

/* Squared error of the synthesis against x, and its gradient times scale into the synthesis's output. */
static double squared_error(struct vae_objective *o, float scale)
{
	struct vae_run *run = &o->run[VAE_SYNTHESIS];
	const float *output = vae_run_output(run, 0);
	vae_run_start_backward(run);
	float *gradient = start_gradient(run, 0);
	double sum = 0;
	size_t line = o->columns * 3;
	for (size_t r = 0; r < o->rows; r++) {
		float row = 0;
		for (size_t k = r * line; k < (r + 1) * line; k++) {
			float e = output[k] - o->x[k];
			row += e * e;
			gradient[k] = 2 * scale * e;
		}
		sum += row;
	}
	return sum;
}

/* 1 - MS-SSIM of the synthesis against x, and its gradient times weight in the place of that of squared_error. */
static double ms_ssim_loss(struct vae_objective *o, double weight)
{
	struct vae_run *run = &o->run[VAE_SYNTHESIS];
	return vae_ms_ssim_loss(o->x, vae_run_output(run, 0), o->rows, o->columns, weight, run->gradient[run->net->output[0]], o->ms_ssim_room);
}

void vae_objective_photo(struct vae_objective *o, const struct vae_weights *weights, uint16_t quality, bool training, double weight, float *gradient,
                         struct vae_objective_sums *sums)
{
	const struct vae_kernels *kernels = vae_kernels();
	struct latents l = latents_of(o);
	struct vae_position at = vae_position_of(o->nets->arch.knots, quality);
	double lambda = vae_arch_lambda(&o->nets->arch, quality), pixels = (double)(o->rows * o->columns), typical = typical_loss(o->loss, lambda);
	size_t y_size = l.cells * l.y_channels, z_size = l.hyper_cells * l.z_channels;
	forward(o, &l, weights, at, training);

	float bit_weight = (float)(weight / typical / pixels);
	clear(l.dd, y_size);
	clear(l.dlog_scale, y_size);
	clear(l.z_dd, z_size);
	clear(l.z_dlog_scale, z_size);
	double y_bits = kernels->gaussian_bits(l.d, l.log_scale, y_size, bit_weight, l.dd, l.dlog_scale);
	double z_bits = kernels->gaussian_bits(l.z_d, l.z_log_scale, z_size, bit_weight, l.z_dd, l.z_dlog_scale);
	double mse = squared_error(o, (float)(weight / typical * lambda * 65025 / (3 * pixels))) / (3 * pixels), ms_ssim = 0;
	if (o->loss == VAE_LOSS_MS_SSIM)
		ms_ssim = ms_ssim_loss(o, weight / typical * ms_ssim_lambda(lambda));
	if (gradient)
		backward(o, &l, weights, at, gradient);

	struct vae_objective_sums s = {.samples = 1, .bpp = (y_bits + z_bits) / pixels, .z_bpp = z_bits / pixels, .mse = mse, .ms_ssim = ms_ssim};
	s.loss = (s.bpp + (o->loss == VAE_LOSS_MS_SSIM ? ms_ssim_lambda(lambda) * ms_ssim : lambda * 65025 * mse)) / typical;
	vae_objective_add(sums, &s);
}
