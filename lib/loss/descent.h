/* descent.h - gradient descent on the latents y of one slice: improves them for one picture under
 * the model's own loss, bits + distortion (squared error, or a metric with a share in it). The
 * weights stay as they are.
 *
 *     +-----------------------------+   context: cells around the slice, as far as they
 *     |  . . . . . . . . . . . . .  |            and the slice share pixels; their y is fixed
 *     |  .  +-----------------+  .  |   .......  pixels that depend on the slice's y: they count
 *     |  .  |      slice      |  .  |
 *     |  .  +-----------------+  .  |
 *     |  . . . . . . . . . . . . .  |
 *     +-----------------------------+
 *
 * The prior sees the slice alone. The synthesis sees the whole region, tile by tile, each tile with
 * a halo of its own; the gradients that several tiles give for a cell are added. */
#ifndef VAE_LOSS_DESCENT_H
#define VAE_LOSS_DESCENT_H

#include "loss/rate.h"
#include "nn/sweep.h"

/* A slice and its surroundings, in cells of 16x16 pixels; cells at the picture's lower and right
 * edges may be smaller. */
struct vae_refine_place {
	/* Slice and context: twice vae_net_halo of the synthesis on each side, less at the picture's
	 * edges. Its cells are counted from the picture's first cell. */
	struct vae_block region;
	struct vae_rect slice; /* counted from the region's first cell */
};

struct vae_refine_cost {
	double bits;          /* of z and y */
	double squared_error; /* over the slice's own samples in 0..1 */
	/* The metric D of each tile (loss/objective.h) times its pixels in the slice; NAN if it has no
	 * share. */
	double metric;
	double distortion; /* in bits, of the slice's own pixels */
	double loss;       /* bits + distortion of all counted pixels */
};

struct vae_refine_tile;

struct vae_refine {
	const struct vae_nets *nets;
	const struct vae_weights *weights; /* used for costs */
	/* Used for gradients, with packed_t: the same numbers, perhaps packed for products in bf16. */
	const struct vae_weights *fast;
	struct vae_position at;
	double lambda;
	int loss;     /* VAE_LOSS_*: which metric has a share */
	double share; /* of the metric in the distortion, 0 to 1 */
	struct vae_refine_place place;
	/* rate.y is the slice's y. The caller fills it, y and x, and sets rate.rounding. */
	struct vae_soft_rate rate;
	float *y; /* of all cells of the region x channels; the context's y is here; owned */
	float *x; /* height_px x width_px x 3; owned */
	float *dquantised, *dy; /* of the slice; owned */
	float *moment;          /* Adam's two moments; owned */
	size_t tiles, threads;
	struct vae_refine_tile *tile; /* [tiles]; owned */
	struct vae_run *run;          /* [threads], synthesis; owned */
	float **patch; /* [threads]: memory for the metric of a tile, NULL until used; owned */
};
/* share: the share of the loss's metric (VAE_LOSS_MS_SSIM or VAE_LOSS_VISION) in the distortion, 0
 * to 1; the rest is squared error. The metric is computed over each tile's counted pixels as if
 * they were a picture, and weighted by their number; a tile that is too small for it has squared
 * error alone. weights and fast may be the same, and stay the caller's. */
int vae_refine_init(struct vae_refine *r, const struct vae_nets *nets,
                    const struct vae_weights *weights, const struct vae_weights *fast,
                    uint16_t quality, int loss, double share, const struct vae_refine_place *place,
                    struct vae_error *error);
void vae_refine_clear(struct vae_refine *r);

/* Computes the cost of rate.y under rate.rounding. Tiles are shared among OpenMP's threads. */
int vae_refine_cost(struct vae_refine *r, struct vae_refine_cost *cost, struct vae_error *error);
/* Computes the cost by `fast`, and stores its gradient in dy, with means and scales held constant
 * (vae_soft_rate_backward_direct). */
int vae_refine_gradient(struct vae_refine *r, struct vae_refine_cost *cost,
                        struct vae_error *error);

/* Takes `steps` steps from rate.y, and leaves in rate.y the best latents by their rounded cost:
 * never worse than the first. cost[steps + 1]: the first and last rounded, the others as the steps
 * saw them. The same bits with any number of threads. */
int vae_refine_descend(struct vae_refine *r, int steps, uint64_t seed, struct vae_refine_cost *cost,
                       struct vae_error *error);

#endif
