/* mix.h - probabilities of bits that adapt, and their mixing in the logistic domain (Mahoney 2005).
 * Integers; >> rounds down. vae-codes(5) has the rules.
 *
 * The logistic domain holds x = 256 ln(p / (1 - p)), limited to +-2047, by two tables: squash makes
 * probabilities of it, stretch the reverse.
 */
#ifndef VAE_EXACT_MIX_H
#define VAE_EXACT_MIX_H

#include "exact/rans.h"

/* A bit's probability in one context. */
struct vae_odds {
	uint16_t one;  /* probability, 32 to 65504 */
	uint16_t uses; /* how often it was moved, up to its limit */
};

enum { VAE_ODDS_USES = 256 };

/* The tables of this file. */
struct vae_logistic {
	int16_t stretch[4096];        /* x of probability 16 i + 8 */
	uint16_t squash[4096];        /* probability of x = i - 2048 */
	uint16_t step[VAE_ODDS_USES]; /* 131072 / (2 i + 3) */
};
void vae_logistic_init(struct vae_logistic *tables);

/* Moves p towards bit by 1 / (uses + 1.5); uses are counted up to `most` < VAE_ODDS_USES. */
static inline void vae_odds_adapt(const struct vae_logistic *tables, struct vae_odds *p,
                                  unsigned bit, unsigned most)
{
	int32_t aim = bit ? 65535 : 0,
			now = p->one + (((aim - p->one) * (tables->step[p->uses] >> 1)) >> 15);
	p->uses = (uint16_t)(p->uses + (p->uses < most));
	p->one = (uint16_t)(now < 32 ? 32 : now > 65504 ? 65504 : now);
}

/* Codes a bit of probability one / 65536 by the coder's 15 bits. */
static inline unsigned vae_odds_code(struct vae_rans *c, uint32_t one, unsigned bit,
                                     const bool decode)
{
	uint32_t zero = (65536 - one) >> 1;
	return vae_rans_bit(c, 0,
	                    zero < 1                  ? 1
	                    : zero > VAE_RANS_ONE - 1 ? VAE_RANS_ONE - 1
	                                              : zero,
	                    bit, decode);
}

/* Codes a bit in one context, and adapts it. */
static inline unsigned vae_odds_bit(struct vae_rans *c, const struct vae_logistic *tables,
                                    struct vae_odds *p, unsigned bit, unsigned most,
                                    const bool decode)
{
	bit = vae_odds_code(c, p->one, bit, decode);
	vae_odds_adapt(tables, p, bit, most);
	return bit;
}

enum { VAE_MIX_INPUTS = 5 };

/* Weights of one context of a mixer, 65536 being 1. */
struct vae_mixer {
	int32_t weight[VAE_MIX_INPUTS];
};

/* Codes a bit by the probabilities of VAE_MIX_INPUTS contexts, and adapts them and the weights. */
static inline unsigned vae_mix_bit(struct vae_rans *c, const struct vae_logistic *tables,
                                   struct vae_mixer *m, struct vae_odds *const odds[VAE_MIX_INPUTS],
                                   unsigned bit, unsigned most, const bool decode)
{
	int32_t x[VAE_MIX_INPUTS], sum = 0;
	for (int i = 0; i < VAE_MIX_INPUTS; i++) {
		x[i] = tables->stretch[odds[i]->one >> 4];
		sum += (m->weight[i] >> 4) * x[i];
	}
	sum >>= 12;
	sum = sum < -2047 ? -2047 : sum > 2047 ? 2047 : sum;
	uint32_t one = tables->squash[sum + 2048];
	bit = vae_odds_code(c, one, bit, decode);
	int32_t miss = (int32_t)(bit << 16) - (int32_t)one;
	for (int i = 0; i < VAE_MIX_INPUTS; i++) {
		int32_t w = m->weight[i] + ((x[i] * (miss >> 4) + (1 << 9)) >> 10);
		m->weight[i] = w < -524288 ? -524288 : w > 524288 ? 524288 : w;
		vae_odds_adapt(tables, odds[i], bit, most);
	}
	return bit;
}

#endif
