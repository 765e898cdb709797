/* objective.h - the negative ELBO of one sample and its gradient, by one thread from forward to
 * backward.
 *
 * photo: L = bpp + (1 - share) lambda 255^2 MSE + share w(lambda) D, where D is 1 - MS-SSIM or the
 * weighted sum of SSIMULACRA 2
 *        (loss/vision.h) and share is 0 for squared error alone; the rate under additive uniform
 * noise, distortion and context under rounding with the gradient passed straight through (mixed
 * quantisation: Minnen and Singh 2020). mlp:   L = -log p(x|z) + KL(q(z|x) || N(0, I)), z = mean +
 * deviation x N(0, 1) (Kingma and Welling 2014). */
#ifndef VAE_LOSS_OBJECTIVE_H
#define VAE_LOSS_OBJECTIVE_H

#include "vae_train.h"
#include "loss/rate.h"

/* 255^2: lambda is the price of squared error in units of 8-bit samples; errors are computed on
 * samples from 0 to 1. */
#define VAE_ERROR_UNITS 65025

/* Sums over samples; divide by samples. */
struct vae_objective_sums {
	double samples,
		loss; /* loss as minimised: photo's divided by what its lambda typically costs */
	double bpp, z_bpp, mse; /* photo; mse of samples in 0..1 */
	double metric;          /* photo: D, where that has a share; else 0 */
	double elbo, kl;        /* mlp: negative ELBO and KL, nats a picture */
};
void vae_objective_add(struct vae_objective_sums *to, const struct vae_objective_sums *from);

/* One thread's networks with all their activations. */
struct vae_objective {
	const struct vae_nets *nets;
	int loss; /* VAE_LOSS_MSE, VAE_LOSS_BCE (mlp), VAE_LOSS_MS_SSIM or VAE_LOSS_VISION (photo) */
	double share; /* of the metric in the distortion, 0 to 1; set by the caller, 0 at first */
	size_t rows, columns; /* photo: of a patch, multiples of 64; mlp: room for so many samples, 1 */
	size_t samples;       /* mlp: how many of the rows are in use; set to rows at first */
	struct vae_run run[VAE_NETS]; /* analysis and synthesis */
	struct vae_soft_rate rate;    /* photo: the networks between them */
	float *x; /* the sample: rows x columns x 3, or rows x (width x height); owned, filled by the
	             caller */
	float *noise; /* mlp: N(0, 1) for each number of z, samples x z, see vae_objective_noise; and as
	                 much to work in; owned */
	float *metric_room;       /* working memory of the metric, owned; NULL where there is none */
	struct vae_random random; /* of the sample: set before each call */
	const float *sensitivity; /* see vae_objective_learn_synthesis; NULL: all networks learn */
	struct vae_choice choice; /* with sensitivity; owned */
};
int vae_objective_init(struct vae_objective *o, const struct vae_nets *nets, int loss, size_t rows,
                       size_t columns, struct vae_error *error);
void vae_objective_clear(struct vae_objective *o);
/* photo: from now on the synthesis learns alone, from latents that are rounded as vae-quant rounds
 * them by default; validation rounds to the nearest as ever. scales and sensitivity, knots x y, are
 * the model's (model/model.h), borrowed. */
int vae_objective_learn_synthesis(struct vae_objective *o, const struct vae_cdfs *scales,
                                  const float *sensitivity, struct vae_error *error);

/* mlp: the noise of one row of x, from o->random, so that each sample may have a stream of its own.
 * Before each call of vae_objective_pass. */
void vae_objective_noise(struct vae_objective *o, size_t row);

/* Forward, and, where gradient is not NULL, backward: adds weight x the gradient of the loss to
 * gradient (flat). training: noise and samples; false: rounded latents (photo) or still one sample
 * of z (mlp), for validation. Adds to sums. */
void vae_objective_pass(struct vae_objective *o, const struct vae_weights *weights,
                        uint16_t quality, bool training, double weight, float *gradient,
                        struct vae_objective_sums *sums);

/* photo: the distortion against x, in bits a pixel as in L above, of what the synthesis makes of
 * its input, vae_run_input; its gradient there is left in the run. */
double vae_objective_distortion(struct vae_objective *o, const struct vae_weights *weights,
                                uint16_t quality);

/* Returns the price of D, of VAE_LOSS_MS_SSIM or VAE_LOSS_VISION, in bits a pixel at the quality
 * whose price of 255^2 MSE is lambda: w(lambda) above. */
double vae_metric_weight(int loss, double lambda);

/* The two kinds, chosen by vae_objective_pass; sums are zero before, and of this pass alone after.
 */
void vae_objective_photo(struct vae_objective *o, const struct vae_weights *weights,
                         uint16_t quality, bool training, double weight, float *gradient,
                         struct vae_objective_sums *sums);
void vae_objective_mlp(struct vae_objective *o, const struct vae_weights *weights, bool training,
                       double weight, float *gradient, struct vae_objective_sums *sums);

#endif
