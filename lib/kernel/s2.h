/* s2.h - the row kernels of SSIMULACRA 2: colour, Gaussian filter, error maps, and their gradients.
 *
 * The metric (measure/ssimulacra2.c) and the training loss (loss/vision.c) use them. Forward
 * kernels give the same bits in every build: each multiplication and addition is rounded by itself,
 * in the order that s2.c states. Backward kernels are for training only.
 *
 * A row is n floats of one channel. Channels are X, Y, B - Y in this order. Samples are centred at
 * zero: -1/2 is black, 1/2 is white. Rows that the filter reads along have VAE_S2_REACH zeros
 * before the first sample and after the last. No kernel allocates or fails; the rows of a call must
 * not overlap. */
#ifndef VAE_KERNEL_S2_H
#define VAE_KERNEL_S2_H

#include <stddef.h>

#include "base/cpu.h"

#define VAE_S2_CHANNELS 3
#define VAE_S2_REACH    4 /* samples that the filter reads on either side */
#define VAE_S2_TAPS     (2 * VAE_S2_REACH + 1)
#define VAE_S2_CHAINS   8 /* chains of a row's sum: sample i goes to chain i mod 8 */

enum vae_s2_moment { VAE_S2_MEAN1, VAE_S2_MEAN2, VAE_S2_SQUARES, VAE_S2_PRODUCT, VAE_S2_MOMENTS };
enum vae_s2_map { VAE_S2_SSIM, VAE_S2_RINGING, VAE_S2_BLUR, VAE_S2_MAPS };

/* Sums over a row of each map and of its fourth power. */
struct vae_s2_sums {
	double first[VAE_S2_MAPS], fourth[VAE_S2_MAPS];
};

/* One row of one channel: a of the original, b of the distorted picture. */
struct vae_s2_row {
	size_t n;
	const float *a, *b;
	/* The moments of a and b along VAE_S2_TAPS rows, from four above to four below. */
	const float *moment[VAE_S2_MOMENTS][VAE_S2_TAPS];
	const float *tap; /* VAE_S2_REACH + 1: the taps at distance 0 to VAE_S2_REACH */
	/* n: the moments filtered both ways, for slopes; all NULL: not kept. */
	float *kept[VAE_S2_MOMENTS];
};

/* The derivative of the loss in a map at one sample: first + fourth x map^3. */
struct vae_s2_slopes {
	float first[VAE_S2_MAPS], fourth[VAE_S2_MAPS];
};

/* The gradient of one row in the filtered moments of b, and in b itself: n floats each, written. */
struct vae_s2_gradient {
	float *mean, *squares, *product, *direct;
};

struct vae_s2_kernels {
	/* Writes linear light of sRGB samples; IEC 61966-2-1. */
	void (*linear)(float *out, const float *samples, size_t n);
	/* Multiplies gradient, dL/d(linear), by the slope of the curve at each sample. */
	void (*linear_backward)(float *gradient, const float *samples, size_t n);
	/* Writes X, Y and B - Y of linear R, G and B. */
	void (*xyb)(float *const out[3], const float *const rgb[3], size_t n);
	/* Adds to gradient, dL/d(rgb), the effect of dxyb, dL/d(xyb). */
	void (*xyb_backward)(float *const gradient[3], const float *const dxyb[3],
	                     const float *const rgb[3], size_t n);
	/* Filters a, b, a^2 + b^2 and ab along the row. */
	void (*moments)(float *const out[VAE_S2_MOMENTS], const float *a, const float *b, size_t n,
	                const float *tap);
	/* Filters the moments down the rows, and sums the three error maps. */
	void (*maps)(struct vae_s2_sums *sums, const struct vae_s2_row *row);
	/* Writes the gradient from a row's kept moments. */
	void (*slopes)(const struct vae_s2_gradient *out, const struct vae_s2_row *row,
	               const struct vae_s2_slopes *slopes);
	/* Filters along a row between zeros; down VAE_S2_TAPS rows. */
	void (*along)(float *out, const float *in, size_t n, const float *tap);
	void (*down)(float *out, const float *const in[VAE_S2_TAPS], size_t n, const float *tap);
};

/* Returns the table of the instruction set that vae_kernels() chose (kernel.h). */
const struct vae_s2_kernels *vae_s2_kernels(void);
/* Returns the table of one instruction set, or NULL if this build or machine cannot run it. */
const struct vae_s2_kernels *vae_s2_kernels_for(enum vae_isa isa);

#endif
