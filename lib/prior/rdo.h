/* rdo.h - rate-distortion optimised rounding: chooses the integer to code for a number among those
 * near it.
 *
 *     cost of r for the number d = y - mean:   bits(r) + f s (r - w)^2
 *     w = d + 0.04 sqrt(bits(r0) - bits(0)), away from 0
 *
 * bits is the cost of a symbol by its own table. s, of each channel, is the cost in bits of a
 * squared error of 1 if no other symbol has an error: lambda times the distortion of the picture.
 * No pixels are seen here; s comes from the model, which averaged it over pictures. f falls from 10
 * at quality 0 to 3 at 100: the errors of neighbouring symbols rounded towards zero add up in the
 * picture, most where most become 0. Candidates are r0 = round(d) and the numbers from there
 * towards zero, as far as `reach`.
 *
 * Why w differs from d: the symbols around this one lost their share of the same edge or texture
 * when they were rounded to 0, and this symbol's amplitude compensates some of that loss; the less
 * probable the symbol, the more.
 *
 * f and 0.04 were found by trial: seven qualities of ten held-out photographs, BD-rate against
 * plain rounding: photo-2 -0.85 %, a model trained on MS-SSIM -1.0 %. With f from 2.2 to 1.3, and
 * 0.15, it is +0.5 % (and photo-2's MS-SSIM -3.5 instead of -2.5 %); 6 to 3 and 0.08: -0.8; 14 to 4
 * and 0: +0.3.
 *
 * Exact, as everything that makes streams. Bits are computed in integers, in steps of 1/2048. Then
 * follow, each rounded to binary32: the root, its product, w, e = r - w, e e, (f s) (e e), and the
 * sum of bits and that. Starting with the nearest integer, the next is taken if its cost is less.
 */
#ifndef VAE_PRIOR_RDO_H
#define VAE_PRIOR_RDO_H

#include "prior/cdf.h"

#include <stddef.h>

#define VAE_CHOICE_SHIFT 0.04f

struct vae_choice {
	const struct vae_cdfs *cdfs; /* borrowed */
	size_t channels;             /* of y */
	/* [cdfs->entries]: the cost of each symbol of each table without an escape's digits, in
	 * 1/2048 bit; owned. */
	uint16_t *bits;
	float *sensitivity; /* [channels] f s above, not negative; owned */
	int reach;          /* largest distance of a choice from round(d), towards zero; at least 1 */
};

/* sensitivity: s above, of each channel, at this quality. cdfs must outlive it. */
int vae_choice_init(struct vae_choice *choice, const struct vae_cdfs *cdfs,
                    const float *sensitivity, size_t channels, uint16_t quality, int reach,
                    struct vae_error *error);
/* Changes the quality. sensitivity: at the new quality; it may be choice->sensitivity. */
void vae_choice_set_quality(struct vae_choice *choice, const float *sensitivity, uint16_t quality);
void vae_choice_clear(struct vae_choice *choice);

/* Returns the cost of a symbol by a table, escape digits included: vae_coder_bits, in 1/2048 bit.
 */
uint32_t vae_choice_bits(const struct vae_choice *choice, uint8_t index, int32_t value);

/* Chooses n symbols, of channels first, first + 1 and so on of one cell: value[i] holds
 * round(target[i] - mean[i]) and is replaced by the choice. */
void vae_rdo(const struct vae_choice *choice, size_t first, const uint8_t *index,
             const float *target, const float *mean, int32_t *value, size_t n);

#endif
