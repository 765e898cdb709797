/* vision.h - the distortion of the loss "vision": the weighted sum of SSIMULACRA 2 before its
 * polynomial (measure/ssimulacra2.h), and its gradient. */
#ifndef VAE_LOSS_VISION_H
#define VAE_LOSS_VISION_H

#include <stddef.h>

/* Returns the floats of working memory that vae_vision_loss needs. */
size_t vae_vision_room(size_t rows, size_t columns);

/* Returns the weighted sum S of y against x, and adds weight x dS/dy to gradient. Weights of the
 * sum below 0.01 are left out: they change it by less than a thousandth and cost as much time as
 * the others. x, y, gradient: rows x columns x 3, samples -0.5 (black) to 0.5 (white); y may exceed
 * them. rows and columns are at least VAE_S2_SIDE (measure/ssimulacra2.h). A scale with a side
 * below VAE_S2_SIDE pixels is left out; where a side is odd, the last line is repeated for the next
 * scale. room: vae_vision_room floats, aligned to a cache line. */
double vae_vision_loss(const float *x, const float *y, size_t rows, size_t columns, double weight,
                       float *gradient, float *room);

#endif
