/* ms_ssim.h - the distortion 1 - MS-SSIM for training: as defined by lib/measure/compare.c, with
 * its gradient. */
#ifndef VAE_LOSS_MS_SSIM_H
#define VAE_LOSS_MS_SSIM_H

#include <stddef.h>

/* smallest side, which leaves a window of 11 samples at the fifth scale */
#define VAE_MS_SSIM_SIDE  176
/* smallest side of a training patch: a multiple of 64 */
#define VAE_MS_SSIM_PATCH 192

/* Returns the floats of working memory that vae_ms_ssim_loss needs. */
size_t vae_ms_ssim_room(size_t rows, size_t columns);

/* Returns 1 - MS-SSIM of y against x, the mean over the three colours; adds weight x its gradient
 * in y to gradient. x, y, gradient: rows x columns x 3, samples -0.5 (black) to 0.5 (white); y is
 * not clamped and may exceed them. rows and columns are VAE_MS_SSIM_SIDE or more; where a side is
 * odd, the next scale leaves out its last line (compare.c repeats it). A scale whose mean is under
 * 0.01 counts as 0.01, since negative numbers have no real power; its gradient is the one at 0.01,
 * so that training can leave that state. */
double vae_ms_ssim_loss(const float *x, const float *y, size_t rows, size_t columns, double weight,
                        float *gradient, float *room);

#endif
