#include "prior/draw.h"

int vae_draw_symbols(void *context, const uint8_t *index, int32_t *value, size_t n,
                     struct vae_error *error)
{
	struct vae_draw *d = context;
	(void)error;
	for (size_t i = 0; i < n; i++) {
		int32_t bound = d->cdfs->bound[index[i]];
		uint32_t escape = d->cdfs->cumulative[d->cdfs->first[index[i]] + 2 * (uint32_t)bound + 1];
		value[i] = vae_cdfs_find(d->cdfs, index[i], vae_random_below(&d->random, escape)) - bound;
	}
	return 0;
}
