/* order.h - which channels of y are coded in which step. Coding, decoding and training use the same
 * function.
 *
 * There are as many groups of channels, and as many classes of cells (fixed within the slice), as
 * steps. Each step codes a different group in each class, given the hyper-latent and all earlier
 * steps.
 *
 * 2 steps (the dual prior of Li, Li, Lu 2022, DCVC-HEM): a checkerboard.
 * 4 steps (their quadtree prior, 2023, DCVC-DC): the four cells of a square.
 *
 * Groups coded at the cells of a square:
 *
 *     step 0   step 1          step 0   step 1   step 2   step 3
 *      0 1      1 0             0 1      3 2      1 0      2 3
 *      1 0      0 1             2 3      1 0      3 2      0 1 */
#ifndef VAE_PRIOR_ORDER_H
#define VAE_PRIOR_ORDER_H

#include <stddef.h>

/* Returns the first of the channels/steps channels that step (0 to steps - 1) codes at a cell of
 * the slice. steps is 2 or 4 and divides channels. */
static inline size_t vae_order_first_channel(int step, int steps, size_t row, size_t column,
                                             size_t channels)
{
	static const unsigned char turn[4] = {0, 3, 1, 2};
	if (steps == 2)
		return ((row + column + (size_t)step) & 1) ? channels / 2 : 0;
	return (((row & 1) * 2 + (column & 1)) ^ turn[step]) * (channels / 4);
}

#endif
