/* orthogonal.h - the approximate orthogonal factor of a matrix: U V^T of its singular value
 * decomposition U S V^T. */
#ifndef VAE_TRAIN_ORTHOGONAL_H
#define VAE_TRAIN_ORTHOGONAL_H

#include "kernel/kernel.h"

/* Returns the floats of `room` for a matrix of this size. */
size_t vae_orthogonal_room(size_t rows, size_t columns);

/* Replaces x, rows x columns without gaps, by about U V^T. Let s be the fourth root of the sum of
 * the singular values' fourth powers (the largest, or up to four times that for hundreds of equal
 * ones). Singular values from s / 100 on become 0.7 to 1.3; smaller ones stay below, at most 78
 * times their ratio to s. An x of norm 1e-30 or less becomes 0. Deterministic. Products are in bf16
 * if bf16 is not NULL. room: 64-byte aligned, undefined on entry and exit. */
void vae_orthogonal(float *x, size_t rows, size_t columns, float *room,
                    const struct vae_bf16 *bf16);

#endif
