/* optimiser.h - what turns gradients into weights: Adam (Kingma and Ba 2015), clipping, and the average that is shipped. */
#ifndef VAE_TRAIN_OPTIMISER_H
#define VAE_TRAIN_OPTIMISER_H

#include "nn/net.h"

struct vae_optimiser {
	size_t size;                      /* floats of every array: params->total */
	float *first, *second, *average;  /* Adam's moments, the exponential average of the weights; owned */
	uint64_t step;                    /* steps taken */
};
int vae_optimiser_init(struct vae_optimiser *o, size_t size, struct vae_error *error);
void vae_optimiser_clear(struct vae_optimiser *o);

/* Adds gradients[1..count-1] to gradients[0], always in the same order, and returns the sum's norm (not finite where any element is not). */
double vae_optimiser_gather(float *const *gradients, int count, size_t size);
/* One step with the gradient scaled to norm `clip` where it is longer (clip 0: never). ema: decay of the average.
 * factor[i] multiplies the rate for parameter i. */
void vae_optimiser_step(struct vae_optimiser *o, const struct vae_params *params, const float *factor, float *value, const float *gradient, double norm,
                        double clip, double rate, double ema);

#endif
