/* rate.h - the bits of a latent y under the photo prior, and their gradient.
 *
 * forward: a pass through the prior (prior/slice_prior.h) gives means, log-scales, y^ and distances
 * d. bits: the bits of z and y, with their slopes. backward: from dL/dy^ of a synthesis to dL/dy. A
 * rounding passes the gradient straight through, or with the slope of a softer rounding. */
#ifndef VAE_LOSS_RATE_H
#define VAE_LOSS_RATE_H

#include "base/random.h"
#include "nn/net.h"
#include "prior/rdo.h"

enum vae_rounding {
	VAE_ROUND, /* r = round(v), for the rate too */
	/* r = round(v); the rate sees v, and z, with uniform noise (mixed quantisation: Minnen and
	   Singh 2020). */
	VAE_ROUND_NOISE,
	VAE_ROUND_GUMBEL /* r between the two integers around v (vae_rate.temperature); z is rounded */
};

/* One thread's prior with all activations, over one slice or patch of rows x columns cells. Arrays
 * of y and z are cells x channels. */
struct vae_soft_rate {
	const struct vae_nets *nets;
	size_t rows, columns, cells, hyper_columns, hyper_cells, y_channels, z_channels;
	int steps;
	bool training;                /* vae_soft_rate_backward may be called */
	struct vae_run run[VAE_NETS]; /* from VAE_H_A to the last context */
	enum vae_rounding rounding;   /* VAE_ROUND at first; the caller sets it and the next three */
	float temperature;            /* VAE_ROUND_GUMBEL: above 0 */
	/* VAE_ROUND: RDO's choice of y, as in vae-quant; NULL (at first): the nearest; borrowed. */
	const struct vae_choice *choice;
	struct vae_random random;    /* source of the noise, z's first, then y's */
	float *y;                    /* filled by the caller */
	float *mean, *log_scale;     /* the prior's means and log-scales of y */
	float *residual, *quantised; /* r and y^ */
	float *d, *slope;            /* the distances from the means that the rate sees; dr/dv */
	float *dd, *dlog_scale, *dresidual;
	float *z_d, *z_log_scale, *z_dd, *z_dlog_scale;
	float *work; /* memory of the arrays above; owned */
};
/* training: vae_soft_rate_backward may be called. */
int vae_soft_rate_init(struct vae_soft_rate *r, const struct vae_nets *nets, size_t rows,
                       size_t columns, bool training, struct vae_error *error);
void vae_soft_rate_clear(struct vae_soft_rate *r);

static inline size_t vae_soft_rate_size(const struct vae_soft_rate *r)
{
	return r->cells * r->y_channels;
} /* floats of y */

/* Computes y^ from y. */
void vae_soft_rate_forward(struct vae_soft_rate *r, const struct vae_weights *weights,
                           struct vae_position at);
/* Returns the bits of y and stores those of z in *z_bits; keeps `weight` times their gradient for
 * the backward pass. */
double vae_soft_rate_bits(struct vae_soft_rate *r, float weight, double *z_bits);
/* Computes dy = dL/dy from dquantised = dL/dy^. Adds the parameters' gradients to gradient (flat;
 * NULL: not wanted). */
void vae_soft_rate_backward(struct vae_soft_rate *r, const struct vae_weights *weights,
                            struct vae_position at, const float *dquantised, float *gradient,
                            float *dy);
/* Computes dy with means and log-scales held constant: the effect of y on them through z and the
 * contexts is left out. */
void vae_soft_rate_backward_direct(const struct vae_soft_rate *r, const float *dquantised,
                                   float *dy);

#endif
