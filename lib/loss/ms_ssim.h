/* ms_ssim.h - the distortion 1 - MS-SSIM as training sees it: the definition of
 * lib/measure/compare.c, and its gradient. */
#ifndef VAE_LOSS_MS_SSIM_H
#define VAE_LOSS_MS_SSIM_H

#include <stddef.h>

#define VAE_MS_SSIM_PATCH                                                                      \
	192 /* the least side of a patch: a multiple of 64 that leaves windows at the fifth scale, \
	       more than 160 */

/* Floats of working memory. */
size_t vae_ms_ssim_room(size_t rows, size_t columns);

/* 1 - MS-SSIM of y against x, the mean over the three colours; adds weight x its gradient in y to
 * gradient. x, y, gradient: rows x columns x 3, samples -0.5 (black) to 0.5 (white), y also beyond
 * them, as it is not clamped; rows and columns are multiples of 64, VAE_MS_SSIM_PATCH at least. A
 * scale whose mean is under 0.01 counts as 0.01, as negative numbers have no power; its gradient is
 * that at 0.01, which leads out of there. */
double vae_ms_ssim_loss(const float *x, const float *y, size_t rows, size_t columns, double weight,
                        float *gradient, float *room);

#endif
