/* optimiser.h - what turns gradients into weights: Adam (Kingma and Ba 2015) or Muon, clipping, and
 * the average that is shipped.
 *
 * Muon (Jordan 2024): a matrix moves by its momentum with all singular values made 1, so that rare
 * directions learn as fast as common ones. Its steps are scaled to the root mean square that Adam's
 * have, about 0.2 of the rate (Liu et al. 2025). All that is no matrix has Adam. To halve the cost
 * each matrix gets a new direction every second step, one half of them at even steps, the others at
 * odd ones. */
#ifndef VAE_TRAIN_OPTIMISER_H
#define VAE_TRAIN_OPTIMISER_H

#include "nn/net.h"

/* Some columns of a matrix, which Muon takes for a matrix of its own. */
struct vae_muon_part {
	int param;
	size_t column, columns;
};

struct vae_optimiser {
	size_t size;                     /* floats of every array: params->total */
	double *square;                  /* of the chunks of a gradient, for its norm; owned */
	float *first, *second, *average; /* Adam's moments, or Muon's momentum and last direction; the
	                                    exponential average of the weights; owned */
	uint64_t step;                   /* steps taken */
	struct vae_muon_part *part;      /* [parts], owned; Adam alone has none */
	int parts;
	float *room; /* for each of `threads` threads, room_floats to make a step in; owned */
	size_t room_floats;
	int threads;
};
int vae_optimiser_init(struct vae_optimiser *o, size_t size, struct vae_error *error);
/* After init: matrices have Muon from now on. parts: for each parameter, how many matrices stand
 * side by side in it; 1 or more, of which its columns are a multiple. Takes memory for as many
 * threads as OpenMP has now. */
int vae_optimiser_use_muon(struct vae_optimiser *o, const struct vae_params *params,
                           const int *parts, struct vae_error *error);
void vae_optimiser_clear(struct vae_optimiser *o);

/* Adds gradients[1..count-1], each of o->size floats, to gradients[0], always in the same order,
 * and returns the sum's norm (not finite where any element is not). */
double vae_optimiser_gather(const struct vae_optimiser *o, float *const *gradients, int count);
/* One step with the gradient scaled to norm `clip` where it is longer (clip 0: never). ema: decay
 * of the average. bf16: what Muon multiplies with, NULL for float32. The same for any number of
 * threads. */
void vae_optimiser_step(struct vae_optimiser *o, const struct vae_params *params, float *value,
                        const float *gradient, double norm, double clip, double rate, double ema,
                        const struct vae_bf16 *bf16);

#endif
