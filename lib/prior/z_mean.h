/* z_mean.h - the mean of a cell's z, predicted from the cells to the left and above, which are
 * coded before. For each channel:
 *
 *     mean + left (z^ of the left cell - mean) + up (z^ of the upper cell - mean)
 *
 * Cells outside the slice count as mean. The prediction costs two multiplications a symbol and
 * saves a tenth of z's bits. Exact: two roundings for the differences, and one chain of two fused
 * multiply-adds from mean. */
#ifndef VAE_PRIOR_Z_MEAN_H
#define VAE_PRIOR_Z_MEAN_H

#include "nn/net.h"

struct vae_z_mean {
	const float *mean, *left, *up; /* [channels] each, in the weights; borrowed */
};

static inline struct vae_z_mean vae_z_mean_of(const struct vae_params *params, const float *flat)
{
	return (struct vae_z_mean){flat + vae_param_offset(params, "prior.z.mean"),
	                           flat + vae_param_offset(params, "prior.z.left"),
	                           flat + vae_param_offset(params, "prior.z.up")};
}

/* Computes out, [channels]. z: z^ of the cells so far, row by row, channels last; cell: the next
 * one. */
static inline void vae_z_mean_mean(float *out, const struct vae_z_mean *near, const float *z,
                                   size_t cell, size_t columns, size_t channels)
{
	const float *left = cell % columns ? z + (cell - 1) * channels : NULL,
				*up = cell >= columns ? z + (cell - columns) * channels : NULL;
	for (size_t c = 0; c < channels; c++) {
		float mean = near->mean[c], v = mean;
		if (left)
			v = __builtin_fmaf(near->left[c], left[c] - mean, v);
		if (up)
			v = __builtin_fmaf(near->up[c], up[c] - mean, v);
		out[c] = v;
	}
}

#endif
