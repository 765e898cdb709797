/* build.h - constructs a network: each call appends one layer and returns the slot that it writes.
 * Used only by photo_nets.c and mlp.c. */
#ifndef VAE_NN_BUILD_H
#define VAE_NN_BUILD_H

#include "nn/net.h"

/* Names of parameters are PREFIX.WORD; a name used twice is the same parameter. */
struct vae_builder {
	struct vae_params *params;
	struct vae_net *net;
	size_t knots;  /* of the tables of integer products */
	bool integer;  /* whether new layers are integer: see struct vae_layer */
	bool rounded;  /* whether new matrices are: see struct vae_param */
	bool overflow; /* a table was too small: checked once at the end */
};

#define VAE_LEAK 0.1f /* slope of the leaky ReLU */

int vae_build_input(struct vae_builder *b, int level, int channels);
void vae_build_output(struct vae_builder *b, int slot);
/* act(W src + bias) + residual; residual -1 for none, slope 1 for no activation. */
int vae_build_linear(struct vae_builder *b, const char *name, int src, int out, float slope,
                     int residual);
int vae_build_depthwise(struct vae_builder *b, const char *name, int src, int taps);
int vae_build_space_to_depth(struct vae_builder *b, int src, int shift);
int vae_build_depth_to_space(struct vae_builder *b, int src, int shift);
int vae_build_gain(struct vae_builder *b, const char *name, int src, int knots);
int vae_build_shift(struct vae_builder *b, const char *name, int src, int knots);
int vae_build_concat(struct vae_builder *b, int src, int aux);
int vae_build_modulate(struct vae_builder *b, int src, int aux, int first);
int vae_build_gate(struct vae_builder *b, int src, int third, int aux, int first);
/* x += W2 dw3x3(act(W1 x)); x += W4 act(W3 x): 6 C^2 + 9 C multiply-accumulates a cell (the DCB of
 * DCVC-RT, widening 2). */
int vae_build_block(struct vae_builder *b, const char *name, int src);

/* Adds a parameter that no layer reads. */
void vae_build_table(struct vae_builder *b, const char *name, int rows, int columns);

void vae_build_photo(struct vae_nets *nets, struct vae_builder *b);
void vae_build_mlp(struct vae_nets *nets, struct vae_builder *b);
void vae_build_means(struct vae_nets *nets, struct vae_builder *b); /* photo only */

#endif
