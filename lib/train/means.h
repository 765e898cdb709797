/* means.h - the map from y to means of blocks of pixels, fitted to the synthesis of training
 * pictures: for thumbnails without the synthesis (nn/net.h, vae_nets_means_new). */
#ifndef VAE_TRAIN_MEANS_H
#define VAE_TRAIN_MEANS_H

#include "nn/net.h"

/* Sums over cells, for one thread. */
struct vae_means {
	size_t channels, side; /* of y; of moment: channels + 1 + VAE_MEANS */
	/* side x side, borrowed: second moments of a cell's y (times its gain), of 1, and of the means
	 * of its blocks. */
	double *moment;
	float *work; /* of one patch; owned */
};
static inline size_t vae_means_side(size_t channels) { return channels + 1 + VAE_MEANS; }
/* cells: the largest number in a patch. moment is NULL until the caller sets it. */
int vae_means_init(struct vae_means *m, size_t channels, size_t cells, struct vae_error *error);
void vae_means_clear(struct vae_means *m);

/* Adds to moment the cells of a pass of a photo's synthesis over a patch of whole cells; the run
 * keeps all its slots. Call under vae_fp_enter. */
void vae_means_see(struct vae_means *m, const struct vae_run *synthesis);

/* Fits the map by least squares to the sum of `count` consecutive moments, which are overwritten.
 * means has channels x VAE_MEANS weights, then VAE_MEANS biases. At least one cell was counted. The
 * weights are shrunk a little, so that they are finite and small in any case. */
void vae_means_fit(float *means, double *moment, size_t count, size_t channels);

#endif
