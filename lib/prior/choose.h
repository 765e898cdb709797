/* choose.h - rate-distortion optimised rounding: which integer to code for a number, of those that are near it.
 *
 *     cost of r for the number d = y - mean:   bits(r) + s (r - w)^2,   w = d + 0.15 sqrt(bits(r0) - bits(0)), away from 0
 *
 * bits is what the symbol's own table says, and s, of each channel, is what a squared error of 1 costs, in bits: lambda times the squared
 * error of the picture that one of the symbol causes. No pixels are seen here; s comes from the model, which averaged it over pictures.
 * Candidates are r0 = round(d) and the numbers from there to zero, as far as `reach`.
 *
 * Why w is not d: the symbols around this one lost what they held of the same edge or texture when they were rounded to 0, and its own
 * amplitude makes up for some of that. The more a symbol surprises its prior, the more: in trained models the number that minimises the
 * picture's error, all others as they are, lies out from d by about 0.18 times the root of the bits that r0 takes beyond those of a 0,
 * the same for all rates and deviations.
 *
 * Exact, as all that makes streams: bits come from integers alone, in steps of 1/2048; then come, each rounded to binary32, the root, its
 * product, w, e = r - w, e e, s (e e), and the sum of bits and that. From the nearest integer on, the next is taken where its cost is less.
 */
#ifndef VAE_PRIOR_CHOOSE_H
#define VAE_PRIOR_CHOOSE_H

#include "prior/scales.h"

#include <stddef.h>

#define VAE_CHOICE_SHIFT 0.15f /* by trial, with the factor of train/sensitivity.c: 0.12 to 0.2 are within 0.1 % of bits */

struct vae_choice {
	const struct vae_scales *scales; /* borrowed */
	uint16_t *bits;                  /* [scales->entries] of each symbol of each table, escapes' digits apart, in 1/2048 bit; owned */
	float *sensitivity;              /* [channels] s above, not negative; owned */
	int reach;                       /* the most that a choice is nearer to zero than round(d); at least 1 */
};

/* Sensitivities are all 0, for the caller to fill. scales must outlive it. */
int vae_choice_init(struct vae_choice *choice, const struct vae_scales *scales, size_t channels, int reach, struct vae_error *error);
void vae_choice_clear(struct vae_choice *choice);

/* What a symbol costs under a table, escape digits included: vae_range_bits, in 1/2048 bit. */
uint32_t vae_choice_bits(const struct vae_choice *choice, uint8_t index, int32_t value);

/* n symbols of channels first, first + 1 and so on of one cell: value[i] holds round(target[i] - mean[i]) and is replaced by the choice. */
void vae_choose(const struct vae_choice *choice, size_t first, const uint8_t *index, const float *target, const float *mean, int32_t *value, size_t n);

#endif
