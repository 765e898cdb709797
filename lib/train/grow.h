/* grow.h - a larger network that starts as a smaller one. */
#ifndef VAE_TRAIN_GROW_H
#define VAE_TRAIN_GROW_H

#include "nn/net.h"
#include "vae.h"

/* Checks that `to` differs from `from` only by more blocks and layers: 0, or VAE_EARG. */
int vae_grow_check(const struct vae_arch *from, const struct vae_arch *to, struct vae_error *error);

/* Copies the model's parameters into value (flat, nets' parameters), by their names. If a matrix of
 * the model has fewer columns, the others keep their values. If nets have only more blocks and
 * layers than the model, and value comes from vae_start, whose added blocks are the identity, then
 * the network computes what the model does, to the bit; if the model is one of integers, nearly, in
 * float32. nets have passed vae_grow_check, or have the model's layers. */
int vae_grow(const struct vae_nets *nets, float *value, const struct vae_model *model,
             struct vae_error *error);

#endif
