/* recolour.h - random colours for training patches, so that a network handles what photographs
 * seldom have: saturated edges, two flat colours, a single channel. */
#ifndef VAE_TRAIN_RECOLOUR_H
#define VAE_TRAIN_RECOLOUR_H

#include <stdbool.h>
#include <stddef.h>

#include "base/random.h"

/* Changes a patch, pixels x 3, samples -0.5 to 0.5, in one of six ways drawn at random: permuted
 * channels; a negative; one channel alone; hue, saturation and contrast; brightness mapped from one
 * colour to another; two colours with a sharp edge between them. Samples stay within -0.5 to 0.5.
 */
void vae_recolour(float *patch, size_t pixels, struct vae_random *random);

#endif
