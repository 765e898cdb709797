/* arch.h - the description of a network as one line of text: "photo enc=320 enc_blocks=4 ...". The
 * line is part of the model's id. vae-model(5) lists the keys. */
#ifndef VAE_NN_ARCH_H
#define VAE_NN_ARCH_H

#include "base/error.h"

#define VAE_ARCH_TEXT  320 /* enough for any architecture line */
#define VAE_MAX_BLOCKS 8   /* of one kind in a network */
#define VAE_MAX_Z      512 /* channels of a photo's z */

enum vae_arch_kind { VAE_ARCH_PHOTO, VAE_ARCH_MLP };
enum vae_arith { VAE_ARITH_FLOAT32, VAE_ARITH_INT16 }; /* of products in decoding */

struct vae_arch {
	enum vae_arch_kind kind;
	int knots; /* gain vectors over quality, 2 to 64 */
	int y;     /* channels of the latent: photo y=, mlp z= */
	/* photo: widths in channels */
	int enc, enc_blocks;           /* analysis at 1/16: width, residual blocks */
	int hyper, z;                  /* prior: hidden width, channels of the hyper-latent at 1/64 */
	int steps;                     /* coding steps of y, 2 or 4; all but the first have a context */
	int ctx, ctx_blocks;           /* each context step: width, residual blocks */
	int dec, dec_blocks;           /* synthesis body at 1/16 */
	int grid, grid_layers;         /* renderer on the 1/4 grid: width, gated layers */
	enum vae_arith arith;          /* the line has arith=int16, or nothing */
	double lambda_min, lambda_max; /* quality 0 and 100, on mean squared error in 255^2 units */
	/* mlp */
	int width, height;    /* of its only picture size, in pixels; grey */
	int hidden1, hidden2; /* widths of the dense layers next to the image and next to z */
};

/* Reads a line; missing keys have their defaults. VAE_EARG: an unknown word, or a value out of
 * range. */
int vae_arch_parse(struct vae_arch *arch, const char *text, struct vae_error *error);
/* Changes the keys in text, KEY=VALUE .... VAE_EARG as above; arch is then unchanged. */
int vae_arch_change(struct vae_arch *arch, const char *text, struct vae_error *error);
/* Writes the line with every key, in a fixed order: the canonical form. */
void vae_arch_format(const struct vae_arch *arch, char text[VAE_ARCH_TEXT]);

/* Converts a stored quality (0 to VAE_QUALITY_ONE) to lambda, evenly in its logarithm. Not used for
 * decoding. */
double vae_arch_lambda(const struct vae_arch *arch, uint16_t quality);

/* The position of a quality among the knots: value = fma(fraction, knot[index + 1] - knot[index],
 * knot[index]). */
struct vae_position {
	int index;
	float fraction;
};
struct vae_position vae_position_of(int knots, uint16_t quality);
/* Returns the quality of a knot, 0 to 65535. */
static inline uint16_t vae_knot_quality(int knots, int knot)
{
	return (uint16_t)(VAE_QUALITY_ONE * knot / (knots - 1));
}
/* Interpolates a knots x channels table at a position: out[c]. */
void vae_position_lerp(float *out, const float *table, int channels, struct vae_position at);
/* Computes v = 2^v, v clamped to +-30, within 2e-7: 2^n for the nearest integer n (halves to even),
 * times the first seven terms of the exponential series for the rest, in one chain of fused
 * multiply-adds. Exact in the sense of vae(7). */
void vae_position_power(float *v, int channels);

#endif
