/* draw.h - symbols that nobody coded: drawn from the tables that would code them. Integers only. */
#ifndef VAE_PRIOR_DRAW_H
#define VAE_PRIOR_DRAW_H

#include "base/random.h"
#include "prior/slice_prior.h"

struct vae_draw {
	const struct vae_cdfs *scales;
	struct vae_random random;
};
/* Context: a struct vae_draw. Each symbol has the probability that its count has among those of its
 * table, without the escape: |symbol| <= bound. */
vae_symbol_source vae_draw_symbols;

#endif
