/* cdf.h - the integer tables of the prior: one for each of 64 log-spaced deviations.
 *
 * Table i codes an integer symbol r, -bound[i] <= r <= bound[i], of deviation scale_i, and an
 * escape for all other values. Its probabilities are those of a rounded Gaussian or of symbols
 * counted in training pictures; the latter have a sharper peak and longer tails, which saves half a
 * per cent of the bytes. The counts are integers with a sum of 2^16. Training computes them once,
 * with libm, and the model stores them, so that no two machines can disagree. Deviations are 0.11 x
 * (512 / 0.11)^(i / 63). */
#ifndef VAE_PRIOR_CDF_H
#define VAE_PRIOR_CDF_H

#include "base/error.h"
#include "base/round.h"

#include <stddef.h>
#include <stdint.h>

#define VAE_SCALES       64
#define VAE_SCALE_BITS   16
#define VAE_BOUND_LIMIT  4095 /* of any table */
/* symbols are clamped to +- this before coding; escapes carry no more */
#define VAE_SYMBOL_LIMIT ((1 << 20) - 1)

struct vae_cdfs {
	int32_t bound[VAE_SCALES];  /* 1 to VAE_BOUND_LIMIT */
	uint32_t first[VAE_SCALES]; /* where table i starts in cumulative; derived */
	uint32_t entries;           /* of all tables; derived */
	/* Table i has 2 bound + 2 symbols in the order -bound .. bound, escape. cumulative[first + s]
	 * is the sum of the counts before symbol s; the first is 0, and the end, 65536, is not stored.
	 * Every symbol has a count of at least 1. In memory, not in files, a 0 follows the last table,
	 * so that every count is the difference to the next entry modulo 2^16. Owned. */
	uint16_t *cumulative;
	/* For decoding: where the search for a symbol starts, by the upper 8 bits of its place.
	 * Derived; owned. */
	uint16_t (*start)[256];
};

/* Counts of symbols of each magnitude under each table; the last place counts all beyond
 * VAE_BOUND_LIMIT. */
struct vae_cdfs_seen {
	uint64_t count[VAE_SCALES][VAE_BOUND_LIMIT + 2];
};
void vae_cdfs_see(struct vae_cdfs_seen *seen, const uint8_t *index, const int32_t *value, size_t n);

/* Computes the tables with libm; only training does. seen NULL: from Gaussians. Otherwise from the
 * counted symbols, both signs alike, mixed with enough symbols of the Gaussian that a table with
 * few counts is nearly Gaussian. */
int vae_cdfs_make(struct vae_cdfs *cdfs, const struct vae_cdfs_seen *seen, struct vae_error *error);
/* Loads tables as stored in a model: checks every bound, order and count, and derives the rest.
 * VAE_EMODEL tells the fault. cumulative is copied. */
int vae_cdfs_load(struct vae_cdfs *cdfs, const int32_t *bound, const uint16_t *cumulative,
                  size_t entries, struct vae_error *error);
void vae_cdfs_clear(struct vae_cdfs *cdfs);

/* Returns the symbol of a table, 0 to 2 bound + 1 (the escape), whose counts contain this place, 0
 * to 65535. */
static inline int32_t vae_cdfs_find(const struct vae_cdfs *cdfs, uint8_t index, uint32_t place)
{
	const uint16_t *c = cdfs->cumulative + cdfs->first[index];
	int32_t s = cdfs->start[index][place >> 8];
	while ((uint16_t)(c[s + 1] - 1) <
	       place) /* c[s + 1] <= place; false at the end, where 0 stands for 65536 */
		s++;
	return s;
}

/* Returns the table of a log-scale (natural logarithm of the deviation): clamped to [ln 0.11, ln
 * 512], then the nearest, halves to even. NaN gives 0. One subtraction and one multiplication, each
 * rounded once in binary32: the same on every machine. */
static inline uint8_t vae_scale_index(float log_scale)
{
	const float low = -0x1.1a87fcp+1f;           /* ln 0.11 */
	const float high = 0x1.8f40b6p+2f;           /* ln 512 */
	const float steps = 0x1.dd688cp+2f;          /* 63 / ln(512 / 0.11) */
	float v = log_scale > low ? log_scale : low; /* NaN, too */
	v = v < high ? v : high;
	return (uint8_t)vae_round_half_even((v - low) * steps);
}
/* Returns round(v) half to even, after clamping v to +-VAE_SYMBOL_LIMIT; NaN gives 0. */
static inline int32_t vae_round_symbol(float v)
{
	const float limit = VAE_SYMBOL_LIMIT;
	v = v == v ? v : 0;
	v = v > -limit ? v : -limit;
	v = v < limit ? v : limit;
	return (int32_t)vae_round_half_even(v);
}

#endif
