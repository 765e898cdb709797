/* optimiser.h - the optimiser: Adam (Kingma and Ba 2015) or Muon, clipping, and the averaged
 * weights that are shipped.
 *
 * Muon (Jordan 2024): a matrix moves by its momentum with all singular values set to 1, so that
 * rare directions learn as fast as common ones. Its steps are scaled to the root mean square of
 * Adam's, about 0.2 of the rate (Liu et al. 2025). All other parameters use Adam. To halve the
 * cost, each matrix gets a new direction every second step, half of the matrices at even steps, the
 * others at odd ones. */
#ifndef VAE_TRAIN_OPTIMISER_H
#define VAE_TRAIN_OPTIMISER_H

#include "nn/net.h"

/* Columns of a parameter that Muon treats as a matrix. */
struct vae_muon_part {
	int param;
	size_t column, columns;
};

struct vae_optimiser {
	size_t size;    /* floats of every array: params->total */
	double *square; /* sums of squares of a gradient's chunks, for its norm; owned */
	/* Adam's moments, or Muon's momentum and last direction; the exponential average of the
	 * weights. Owned. */
	float *first, *second, *average;
	uint64_t step;              /* steps taken */
	struct vae_muon_part *part; /* [parts], owned; NULL for Adam */
	int parts;
	float *room; /* working memory of each of `threads` threads, room_floats each; owned */
	size_t room_floats;
	int threads;
};
int vae_optimiser_init(struct vae_optimiser *o, size_t size, struct vae_error *error);
/* Makes matrices use Muon, after init. parts: for each parameter, the number of matrices that stand
 * side by side in it, 1 or more, which divides its columns. Allocates memory for as many threads as
 * OpenMP has now. */
int vae_optimiser_use_muon(struct vae_optimiser *o, const struct vae_params *params,
                           const int *parts, struct vae_error *error);
void vae_optimiser_clear(struct vae_optimiser *o);

/* Adds gradients[1..count-1], each of o->size floats, to gradients[0], always in the same order.
 * Returns the norm of the sum (not finite if any element is not). */
double vae_optimiser_gather(const struct vae_optimiser *o, float *const *gradients, int count);
/* Takes one step; a gradient longer than `clip` is scaled to that norm (clip 0: never). ema: decay
 * of the average. bf16: Muon's products, NULL for float32. The same result with any number of
 * threads. */
void vae_optimiser_step(struct vae_optimiser *o, const struct vae_params *params, float *value,
                        const float *gradient, double norm, double clip, double rate, double ema,
                        const struct vae_bf16 *bf16);

#endif
