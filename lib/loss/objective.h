/* objective.h - the negative ELBO of one sample and its gradient, computed forward and backward by
 * one thread.
 *
 * photo: L = bpp + (1 - share) lambda 255^2 MSE + share w(lambda) D
 *        D is 1 - MS-SSIM or the weighted sum of SSIMULACRA 2 (loss/vision.h); share is 0 for
 *        squared error alone. Mixed quantisation (Minnen and Singh 2020): the rate sees uniform
 *        noise; distortion and context see rounding, and the gradient passes straight through.
 * mlp:   L = -log p(x|z) + KL(q(z|x) || N(0, I)), z = mean + deviation x N(0, 1) (Kingma and
 *        Welling 2014). */
#ifndef VAE_LOSS_OBJECTIVE_H
#define VAE_LOSS_OBJECTIVE_H

#include "vae_train.h"
#include "loss/rate.h"

/* 255^2: lambda is the price of squared error in units of 8-bit samples; errors are computed on
 * samples from 0 to 1. */
#define VAE_ERROR_UNITS 65025

/* Sums over samples; divide by samples. */
struct vae_objective_sums {
	double samples, loss; /* loss as minimised; photo: divided by the typical loss at its lambda */
	double bpp, z_bpp, mse; /* photo; mse of samples in 0..1 */
	double metric;          /* photo: D, if it has a share; else 0 */
	double elbo, kl;        /* mlp: negative ELBO and KL, nats a picture */
};
void vae_objective_add(struct vae_objective_sums *to, const struct vae_objective_sums *from);

/* One thread's networks with all their activations. */
struct vae_objective {
	const struct vae_nets *nets;
	int loss; /* VAE_LOSS_MSE, VAE_LOSS_BCE (mlp), VAE_LOSS_MS_SSIM or VAE_LOSS_VISION (photo) */
	double share; /* of the metric in the distortion, 0 to 1; set by the caller, 0 at first */
	/* photo: the size of a patch, multiples of 64. mlp: room for `rows` samples; columns is 1. */
	size_t rows, columns;
	size_t samples;               /* mlp: rows in use; set to rows at first */
	struct vae_run run[VAE_NETS]; /* analysis and synthesis */
	struct vae_soft_rate rate;    /* photo: the networks between them */
	/* The sample: rows x columns x 3, or rows x (width x height). Owned; the caller fills it. */
	float *x;
	/* mlp: N(0, 1) for each number of z, samples x z, see vae_objective_noise; then as much working
	 * memory. Owned. */
	float *noise;
	float *metric_room;       /* working memory of the metric, or NULL; owned */
	struct vae_random random; /* of the sample: set before each call */
	const float *sensitivity; /* see vae_objective_learn_synthesis; NULL: all networks learn */
	struct vae_choice choice; /* with sensitivity; owned */
};
int vae_objective_init(struct vae_objective *o, const struct vae_nets *nets, int loss, size_t rows,
                       size_t columns, struct vae_error *error);
void vae_objective_clear(struct vae_objective *o);
/* photo: from now on the synthesis learns alone, from latents that are rounded as vae-quant rounds
 * them by default; validation rounds to the nearest as always. cdfs and sensitivity, knots x y, are
 * the model's (model/model.h), borrowed. */
int vae_objective_learn_synthesis(struct vae_objective *o, const struct vae_cdfs *cdfs,
                                  const float *sensitivity, struct vae_error *error);

/* Draws the noise of one row of x from o->random (mlp), so that each sample may have a stream of
 * its own. Call it before each vae_objective_pass. */
void vae_objective_noise(struct vae_objective *o, size_t row);

/* Runs forward and, if gradient is not NULL, backward: adds weight x the gradient of the loss to
 * gradient (flat). training: noise and samples; false: for validation, rounded latents (photo) or
 * still one sample of z (mlp). Adds to sums. */
void vae_objective_pass(struct vae_objective *o, const struct vae_weights *weights,
                        uint16_t quality, bool training, double weight, float *gradient,
                        struct vae_objective_sums *sums);

/* Returns the distortion of the synthesis's output against x, in bits a pixel as in L above
 * (photo). The synthesis reads vae_run_input; the gradient there is left in the run. */
double vae_objective_distortion(struct vae_objective *o, const struct vae_weights *weights,
                                uint16_t quality);

/* Returns w(lambda) above: the price of D, for VAE_LOSS_MS_SSIM or VAE_LOSS_VISION, in bits a pixel
 * at the quality whose price of 255^2 MSE is lambda. */
double vae_metric_weight(int loss, double lambda);

/* Run a pass of each kind for vae_objective_pass; they overwrite zeroed sums with its own. */
void vae_objective_photo(struct vae_objective *o, const struct vae_weights *weights,
                         uint16_t quality, bool training, double weight, float *gradient,
                         struct vae_objective_sums *sums);
void vae_objective_mlp(struct vae_objective *o, const struct vae_weights *weights, bool training,
                       double weight, float *gradient, struct vae_objective_sums *sums);

#endif
