/* draw.h - samples of the prior: symbols drawn from the tables that would code them. Integers only.
 */
#ifndef VAE_PRIOR_DRAW_H
#define VAE_PRIOR_DRAW_H

#include "base/random.h"
#include "prior/slice_prior.h"

struct vae_draw {
	const struct vae_cdfs *cdfs;
	struct vae_random random;
};
/* Context: a struct vae_draw. Draws each symbol with the probability that its table gives it,
 * without the escape: |symbol| <= bound. */
vae_symbol_source vae_draw_symbols;

#endif
