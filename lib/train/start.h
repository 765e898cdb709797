/* start.h - the weights before the first step. */
#ifndef VAE_TRAIN_START_H
#define VAE_TRAIN_START_H

#include "nn/net.h"
#include "train/data.h"

/* mlp: He-uniform weights, biases 0. photo: the same in the residual branches, around a working
 * block-transform codec: the patch embedding is the principal components (KLT) of 16 x 16 x 3
 * patches of the data, the synthesis its transpose, the step follows rate theory and the prior's
 * deviations are those of the components. value is flat, all 0 on entry. *psnr: the dB of patches
 * of which those components alone are kept, infinity where all are; NAN for mlp. */
int vae_start(const struct vae_nets *nets, const struct vae_data *data, uint64_t seed, float *value,
              double *psnr, struct vae_error *error);

/* How many matrices of the same size stand side by side in one: outputs that have nothing to do
 * with each other but their input, such as means and log-scales, or the pixels of a cell. 1 for all
 * others. */
int vae_start_parts(const struct vae_nets *nets, int param);

#endif
