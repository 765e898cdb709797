/* order.h - which half of y is coded first. Coding, decoding and training all ask here.
 *
 * The dual prior (Li, Li, Lu 2023, DCVC-DC, halved): channels in two groups, cells in a checkerboard that is fixed within the slice.
 * Step 0 codes group 0 on the even cells and group 1 on the odd ones, given the hyper-latent; step 1 the rest, given step 0 as well.
 */
#ifndef VAE_PRIOR_ORDER_H
#define VAE_PRIOR_ORDER_H

#include <stddef.h>

/* The first of the channels/2 channels that step (0 or 1) codes at a cell of the slice. channels is even. */
static inline size_t vae_order_first_channel(int step, size_t row, size_t column, size_t channels)
{
	return ((row + column + (size_t)step) & 1) ? channels / 2 : 0;
}

#endif
