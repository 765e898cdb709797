/* descent.h - the latents y of one slice, improved for one picture by gradient descent on
 * bits + distortion, which is the model's own: squared error, or partly SSIMULACRA 2; the weights
 * stay as they are.
 *
 *     +-----------------------------+   context: cells around the slice, as far as they
 *     |  . . . . . . . . . . . . .  |            and the slice share pixels; their y stands
 *     |  .  +-----------------+  .  |   .......  pixels that the slice's y reaches: they count
 *     |  .  |      slice      |  .  |
 *     |  .  +-----------------+  .  |
 *     |  . . . . . . . . . . . . .  |
 *     +-----------------------------+
 *
 * The prior sees the slice alone. The synthesis sees all of it, tile by tile, each with a halo of
 * its own; the gradients that the tiles give for a cell are added.
 */
#ifndef VAE_LOSS_DESCENT_H
#define VAE_LOSS_DESCENT_H

#include "loss/rate.h"
#include "nn/sweep.h"

/* A slice and what surrounds it, in cells; 16 pixels to a cell but at the picture's lower and right
 * edge. */
struct vae_refine_place {
	struct vae_block region; /* slice and context: twice vae_net_halo of the synthesis on each side,
	                            less at the picture's edges; its cells count in the picture */
	struct vae_rect slice;   /* counts from the region's first cell */
};

struct vae_refine_cost {
	double bits;          /* of z and y */
	double squared_error; /* over the slice's own samples in 0..1 */
	double vision;        /* S of each tile (loss/vision.h) times its pixels in the slice; NAN where
	                         S has no share */
	double distortion;    /* in bits, of the slice's own pixels */
	double loss;          /* bits + distortion of all the pixels that count */
};

struct vae_refine_tile;

struct vae_refine {
	const struct vae_nets *nets;
	const struct vae_weights *weights; /* what costs are counted with */
	const struct vae_weights *fast;    /* what gradients are taken with, packed_t too: the same
	                                      numbers, for products in bf16 perhaps */
	struct vae_position at;
	double lambda;
	double share; /* of S in the distortion, 0 to 1 */
	struct vae_refine_place place;
	struct vae_soft_rate rate; /* rate.y is the slice's y; filled by the caller, as are the next
	                              two; rounding is set by it too */
	float *y; /* of all cells of the region x channels: the context's y stands here; owned, as is
	             the next */
	float *x; /* height_px x width_px x 3 */
	float *dquantised, *dy; /* of the slice; owned */
	float *moment;          /* Adam's two moments; owned */
	size_t tiles, threads;
	struct vae_refine_tile *tile; /* [tiles]; owned */
	struct vae_run *run;          /* [threads], synthesis; owned */
	float **patch; /* [threads]: what S of a tile is taken in, NULL until used; owned */
};
/* share: of S (loss/vision.h) in the distortion, the rest is squared error; 0 to 1. S is taken of
 * each tile's counted pixels as of a picture, and weighs by them; a tile with a side of fewer than
 * 8 has squared error alone. weights and fast may be the same, and stay the caller's. */
int vae_refine_init(struct vae_refine *r, const struct vae_nets *nets,
                    const struct vae_weights *weights, const struct vae_weights *fast,
                    uint16_t quality, double share, const struct vae_refine_place *place,
                    struct vae_error *error);
void vae_refine_clear(struct vae_refine *r);

/* The cost of rate.y under rate.rounding. Threads: tiles are shared among OpenMP's. */
int vae_refine_cost(struct vae_refine *r, struct vae_refine_cost *cost, struct vae_error *error);
/* The same by `fast`, and its gradient, to dy, as if means and scales stood
 * (vae_soft_rate_backward_direct). */
int vae_refine_gradient(struct vae_refine *r, struct vae_refine_cost *cost,
                        struct vae_error *error);

/* `steps` steps from rate.y, which is left as the best rounded to: never worse than it was.
 * cost[steps + 1]: rounded at first and last, in between as the steps saw it. The same bits for any
 * number of threads. */
int vae_refine_descend(struct vae_refine *r, int steps, uint64_t seed, struct vae_refine_cost *cost,
                       struct vae_error *error);

#endif
