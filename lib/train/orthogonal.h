/* orthogonal.h - the orthogonal factor of a matrix: U V^T of its singular value decomposition U S
 * V^T, about. */
#ifndef VAE_TRAIN_ORTHOGONAL_H
#define VAE_TRAIN_ORTHOGONAL_H

#include "kernel/kernel.h"

/* Floats of `room` for a matrix of these sizes. */
size_t vae_orthogonal_room(size_t rows, size_t columns);

/* x, rows x columns, row by row without gaps, becomes about U V^T. With s the fourth root of the
 * sum of its singular values' fourth powers (the largest, or up to four times that for hundreds of
 * equal ones): those from s / 100 on come out between 0.7 and 1.3, smaller ones below, as 78 times
 * what they are of s, or less. An x of norm 1e-30 or less becomes 0. Deterministic. Products are in
 * bf16 where bf16 is not NULL. room: 64-byte aligned, undefined on entry and exit. */
void vae_orthogonal(float *x, size_t rows, size_t columns, float *room,
                    const struct vae_bf16 *bf16);

#endif
