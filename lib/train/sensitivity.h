/* sensitivity.h - the cost of an error in one symbol: the table that rate-distortion optimised
 * rounding uses (prior/rdo.h). */
#ifndef VAE_TRAIN_SENSITIVITY_H
#define VAE_TRAIN_SENSITIVITY_H

#include "train/data.h"
#include "train/means.h"
#include "loss/objective.h"

/* Computes one row of the table, [y]: for each channel, the bits that a squared error of 1 in a
 * symbol is worth at that knot's quality, by o's loss. photo only. o belongs to one thread; its
 * rows and columns are equal, and every picture of data contains such a patch. weights are packed
 * for training. The same seed gives the same row in any thread. means (may be NULL) sees what the
 * synthesis makes of the same patches, rounded. Call under vae_fp_enter. */
void vae_sensitivity_row(float *row, int knot, struct vae_objective *o,
                         const struct vae_weights *weights, const struct vae_data *data,
                         uint64_t seed, struct vae_means *means);

#endif
