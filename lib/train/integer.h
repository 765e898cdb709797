/* integer.h - a trained network in integers (arith=int16 of vae-model(5)). */
#ifndef VAE_TRAIN_INTEGER_H
#define VAE_TRAIN_INTEGER_H

#include "model/model.h"
#include "train/data.h"

/* Fills value, flat as nets->params describes, from model's parameters. nets is its architecture in
 * integers. The factors admit the inputs of products on patches of data, patch_px a side, at each
 * knot, and half as much again; a column's integers are as large as 16 bits and its sum allow. The
 * same seed draws the same patches. Call under vae_fp_enter. */
int vae_integer(const struct vae_nets *nets, float *value, const struct vae_model *model,
                const struct vae_data *data, uint32_t patch_px, uint64_t seed,
                struct vae_error *error);

#endif
