/* start.h - the weights before the first step. */
#ifndef VAE_TRAIN_START_H
#define VAE_TRAIN_START_H

#include "nn/net.h"
#include "train/data.h"

/* Sets the first weights. mlp: He-uniform, biases 0. photo: the same in the residual branches,
 * around a working block-transform codec: the patch embedding consists of the principal components
 * (KLT) of the data's 16 x 16 x 3 patches, the synthesis is its transpose, the step follows rate
 * theory, and the prior's deviations are those of the components. value is flat, all 0 on entry.
 * *psnr: in dB, of patches that keep only those components; infinity if they keep all; NAN for mlp.
 */
int vae_start(const struct vae_nets *nets, const struct vae_data *data, uint64_t seed, float *value,
              double *psnr, struct vae_error *error);

/* Returns the number of equal matrices that stand side by side in a parameter: outputs that share
 * only their input, such as means and log-scales, or the pixels of a cell. 1 for all other
 * parameters. */
int vae_start_parts(const struct vae_nets *nets, int param);

#endif
