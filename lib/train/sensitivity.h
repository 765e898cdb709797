/* sensitivity.h - what an error of one symbol costs the picture: the table that the encoder's
 * rounding goes by (prior/rdo.h). */
#ifndef VAE_TRAIN_SENSITIVITY_H
#define VAE_TRAIN_SENSITIVITY_H

#include "train/data.h"
#include "loss/objective.h"

/* One row of the table, [y]: what a squared error of 1 of a symbol of each channel is worth in bits
 * at that knot's quality, by the loss that o has. photo alone. o is one thread's; its rows and
 * columns are equal, and every picture of data holds such a patch. weights are packed for training.
 * The same seed gives the same row in whichever thread. Call under vae_fp_enter. */
void vae_sensitivity_row(float *row, int knot, struct vae_objective *o,
                         const struct vae_weights *weights, const struct vae_data *data,
                         uint64_t seed);

#endif
