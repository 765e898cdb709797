/* rate.h - the bits of a latent y under the photo prior, and their gradient.
 *
 * forward: a pass through the prior (prior/slice_prior.h) to means, log-scales, y^ and distances d;
 * bits: of z and y, with their slopes; backward: from dL/dy^ of a synthesis to dL/dy. A rounding
 * passes the gradient straight through, or with the slope of a softer one.
 */
#ifndef VAE_LOSS_RATE_H
#define VAE_LOSS_RATE_H

#include "base/random.h"
#include "nn/net.h"
#include "prior/rdo.h"

enum vae_rounding {
	VAE_ROUND,       /* r = round(v), which pays too */
	VAE_ROUND_NOISE, /* r = round(v); what pays is v, and z, with uniform noise (mixed quantisation:
	                    Minnen and Singh 2020) */
	VAE_ROUND_GUMBEL /* r between the two integers about v (vae_rate.temperature); z is rounded */
};

/* One thread's prior with all activations, over one slice, or patch, of rows x columns cells. y and
 * z arrays are cells x channels. */
struct vae_soft_rate {
	const struct vae_nets *nets;
	size_t rows, columns, cells, hyper_columns, hyper_cells, y_channels, z_channels;
	int steps;
	bool training;                /* vae_soft_rate_backward may be called */
	struct vae_run run[VAE_NETS]; /* those from VAE_H_A to the last context */
	enum vae_rounding rounding;   /* VAE_ROUND at first; set by the caller, as are the next three */
	float temperature;            /* VAE_ROUND_GUMBEL: above 0 */
	const struct vae_choice *choice; /* VAE_ROUND: RDO's choice of y, as vae-quant's; NULL (at
	                                    first): the nearest integer; borrowed */
	struct vae_random random;        /* where noise comes from, z's first, then y's */
	float *y;                        /* what it is the cost of: filled by the caller */
	float *mean, *log_scale;         /* what the prior said of y */
	float *residual, *quantised;     /* r and y^ */
	float *d, *slope;                /* the distance from the mean that pays; dr/dv */
	float *dd, *dlog_scale, *dresidual;
	float *z_d, *z_log_scale, *z_dd, *z_dlog_scale;
	float *work; /* behind all of these, owned */
};
/* training: vae_soft_rate_backward may be called. */
int vae_soft_rate_init(struct vae_soft_rate *r, const struct vae_nets *nets, size_t rows,
                       size_t columns, bool training, struct vae_error *error);
void vae_soft_rate_clear(struct vae_soft_rate *r);

static inline size_t vae_soft_rate_size(const struct vae_soft_rate *r)
{
	return r->cells * r->y_channels;
} /* floats of y */

/* From y to y^. */
void vae_soft_rate_forward(struct vae_soft_rate *r, const struct vae_weights *weights,
                           struct vae_position at);
/* Bits of z (*z_bits) and y (returned); `weight` times their gradient waits for the backward pass.
 */
double vae_soft_rate_bits(struct vae_soft_rate *r, float weight, double *z_bits);
/* dquantised is dL/dy^, dy = dL/dy. Adds the parameters' gradients to gradient (flat; NULL: nobody
 * asks for them). */
void vae_soft_rate_backward(struct vae_soft_rate *r, const struct vae_weights *weights,
                            struct vae_position at, const float *dquantised, float *gradient,
                            float *dy);
/* dy as if means and log-scales stood: what y does to them by way of z and the contexts is left
 * out. */
void vae_soft_rate_backward_direct(const struct vae_soft_rate *r, const float *dquantised,
                                   float *dy);

#endif
