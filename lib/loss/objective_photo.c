#include "loss/objective.h"
#include "loss/ms_ssim.h"
#include "loss/vision.h"

#include <math.h>
#include <string.h>

/* MS-SSIM: fitted so that a quality takes about as many bits as with a model trained on MSE: 6 %
 * less to 11 % more from 0.17 to 1.7 bpp, 20 % more at 0.11. SSIMULACRA 2: fitted so that its sum
 * costs what squared error costs in pictures of photo-3 at every quality. */
double vae_metric_weight(int loss, double lambda)
{
	return loss == VAE_LOSS_MS_SSIM ? 4000 * pow(lambda, 1.06) : 6.4 * pow(lambda, 1.033);
}

/* Returns roughly the loss of a trained network, to weigh the samples. bpp + lambda 255^2 MSE: 0.2
 * at lambda 0.0008, 1 at 0.02, 3 at 0.2; with MS-SSIM: 0.24, 1.4, 4.7. */
static double typical_loss(int loss, double lambda)
{
	return loss == VAE_LOSS_MS_SSIM ? 11.3 * pow(lambda, 0.54) : 6.5 * pow(lambda, 0.48);
}

/* Returns the squared error of the synthesis against x; its gradient times scale goes to the
 * gradient of the synthesis's output. */
static double squared_error(struct vae_objective *o, float scale)
{
	struct vae_run *run = &o->run[VAE_SYNTHESIS];
	const float *output = vae_run_output(run, 0);
	vae_run_start_backward(run);
	float *gradient = vae_run_start_gradient(run, 0);
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

/* Returns the cost of the synthesis's output in bits a pixel; stores its gradient times weight in
 * the run and its parts in s. */
static double distortion(struct vae_objective *o, double lambda, double weight,
                         struct vae_objective_sums *s)
{
	struct vae_run *run = &o->run[VAE_SYNTHESIS];
	double samples = 3 * (double)(o->rows * o->columns);
	double of_error = (1 - o->share) * lambda * VAE_ERROR_UNITS,
		   of_metric = o->share * vae_metric_weight(o->loss, lambda);
	s->mse = squared_error(o, (float)(weight * of_error / samples)) / samples;
	if (!o->metric_room)
		return of_error * s->mse;
	s->metric = (o->loss == VAE_LOSS_MS_SSIM ? vae_ms_ssim_loss : vae_vision_loss)(
		o->x, vae_run_output(run, 0), o->rows, o->columns, weight * of_metric,
		run->gradient[run->net->output[0]], o->metric_room);
	return of_error * s->mse + of_metric * s->metric;
}

static const struct vae_choice *choice_at(struct vae_objective *o, struct vae_position at,
                                          uint16_t quality)
{
	float *here = o->choice.sensitivity;
	vae_position_lerp(here, o->sensitivity, o->nets->arch.y, at);
	vae_choice_set_quality(&o->choice, here, quality);
	return &o->choice;
}

static void forward(struct vae_objective *o, const struct vae_weights *weights,
                    struct vae_position at, uint16_t quality, bool training)
{
	struct vae_run *analysis = &o->run[VAE_ANALYSIS], *synthesis = &o->run[VAE_SYNTHESIS];
	struct vae_soft_rate *rate = &o->rate;
	size_t bytes = vae_soft_rate_size(rate) * sizeof(float);
	memcpy(vae_run_input(analysis, 0), o->x, o->rows * o->columns * 3 * sizeof(float));
	vae_net_forward(analysis, o->nets, weights, at);
	memcpy(rate->y, vae_run_output(analysis, 0), bytes);
	bool coded = training && o->sensitivity;
	rate->rounding = training && !coded ? VAE_ROUND_NOISE : VAE_ROUND;
	rate->choice = coded ? choice_at(o, at, quality) : NULL;
	rate->random = o->random;
	vae_soft_rate_forward(rate, weights, at);
	o->random = rate->random;
	memcpy(vae_run_input(synthesis, 0), rate->quantised, bytes);
	vae_net_forward(synthesis, o->nets, weights, at);
}

/* Runs backward from the gradient of the synthesis's output. */
static void backward(struct vae_objective *o, const struct vae_weights *weights,
                     struct vae_position at, float *gradient)
{
	struct vae_run *analysis = &o->run[VAE_ANALYSIS], *synthesis = &o->run[VAE_SYNTHESIS];
	vae_net_backward(synthesis, o->nets, weights, at, gradient);
	if (o->sensitivity)
		return;
	vae_run_start_backward(analysis);
	vae_soft_rate_backward(&o->rate, weights, at, synthesis->gradient[synthesis->net->input[0]],
	                       gradient, vae_run_start_gradient(analysis, 0));
	vae_net_backward(analysis, o->nets, weights, at, gradient);
}

void vae_objective_photo(struct vae_objective *o, const struct vae_weights *weights,
                         uint16_t quality, bool training, double weight, float *gradient,
                         struct vae_objective_sums *sums)
{
	struct vae_position at = vae_position_of(o->nets->arch.knots, quality);
	double lambda = vae_arch_lambda(&o->nets->arch, quality),
		   pixels = (double)(o->rows * o->columns), typical = typical_loss(o->loss, lambda);
	forward(o, weights, at, quality, training);

	double z_bits,
		y_bits = vae_soft_rate_bits(&o->rate, (float)(weight / typical / pixels), &z_bits);
	sums->samples = 1;
	sums->bpp = (y_bits + z_bits) / pixels;
	sums->z_bpp = z_bits / pixels;
	sums->loss = (sums->bpp + distortion(o, lambda, weight / typical, sums)) / typical;
	if (gradient)
		backward(o, weights, at, gradient);
}

double vae_objective_distortion(struct vae_objective *o, const struct vae_weights *weights,
                                uint16_t quality)
{
	struct vae_position at = vae_position_of(o->nets->arch.knots, quality);
	struct vae_run *synthesis = &o->run[VAE_SYNTHESIS];
	struct vae_objective_sums unused;
	vae_net_forward(synthesis, o->nets, weights, at);
	double bits = distortion(o, vae_arch_lambda(&o->nets->arch, quality), 1, &unused);
	vae_net_backward(synthesis, o->nets, weights, at, NULL);
	return bits;
}
