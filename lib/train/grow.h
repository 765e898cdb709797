/* grow.h - a larger network that starts as a smaller one. */
#ifndef VAE_TRAIN_GROW_H
#define VAE_TRAIN_GROW_H

#include "nn/net.h"
#include "vae.h"

/* Whether `to` differs from `from` by more blocks and layers alone: 0, or VAE_EARG. */
int vae_grow_check(const struct vae_arch *from, const struct vae_arch *to, struct vae_error *error);

/* Copies into value (flat, nets' parameters) what the model has of them, by their names. A matrix
 * of which the model has fewer columns keeps its own in the others. Where nets differ from the
 * model in the numbers of blocks and layers alone, and value is what vae_start makes, whose added
 * blocks are the identity, the network then gives what the model does, to the bit. nets have passed
 * vae_grow_check. */
int vae_grow(const struct vae_nets *nets, float *value, const struct vae_model *model,
             struct vae_error *error);

#endif
