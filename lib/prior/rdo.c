#include "prior/rdo.h"

#include "base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define UNIT_BITS 11
#define UNIT      (1.0f / (1 << UNIT_BITS)) /* a power of two: products with it are exact */

/* Returns log2 of n, 1 to 65535, in units of 2^-UNIT_BITS, rounded to the nearest within 2^-16:
 * repeated squaring yields the digits of a logarithm. */
static uint32_t log2_units(uint32_t n)
{
	uint32_t whole = 31 - (uint32_t)__builtin_clz(n), result = whole;
	uint64_t x = (uint64_t)n << (31 - whole); /* 1 to 2, of which 1 is 2^31 */
	for (int i = 0; i < 16; i++) {
		x = x * x >> 31;
		result = result << 1 | (uint32_t)(x >> 32);
		x >>= x >> 32;
	}
	return (result + (1u << (15 - UNIT_BITS))) >> (16 - UNIT_BITS);
}

/* Returns f at a quality of 0 to 65535. */
static float factor(uint16_t quality) { return (10.0f * 65535 - 7.0f * quality) / 65535; }

int vae_choice_init(struct vae_choice *choice, const struct vae_cdfs *cdfs,
                    const float *sensitivity, size_t channels, uint16_t quality, int reach,
                    struct vae_error *error)
{
	struct vae_choice c = {.cdfs = cdfs, .channels = channels, .reach = reach};
	int rc;
	if ((rc = vae_alloc_raw(&c.bits, cdfs->entries, sizeof *c.bits, error)) ||
	    (rc = vae_alloc_raw(&c.sensitivity, channels, sizeof *c.sensitivity, error))) {
		vae_choice_clear(&c);
		return rc;
	}
	for (uint32_t i = 0; i < cdfs->entries; i++) {
		uint16_t count = (uint16_t)(cdfs->cumulative[i + 1] - cdfs->cumulative[i]);
		c.bits[i] = (uint16_t)(((uint32_t)VAE_SCALE_BITS << UNIT_BITS) - log2_units(count));
	}
	vae_choice_set_quality(&c, sensitivity, quality);
	*choice = c;
	return 0;
}

void vae_choice_set_quality(struct vae_choice *choice, const float *sensitivity, uint16_t quality)
{
	for (size_t i = 0; i < choice->channels; i++)
		choice->sensitivity[i] = sensitivity[i] * factor(quality);
}

void vae_choice_clear(struct vae_choice *choice)
{
	free(choice->bits);
	free(choice->sensitivity);
	memset(choice, 0, sizeof *choice);
}

uint32_t vae_choice_bits(const struct vae_choice *choice, uint8_t index, int32_t value)
{
	int32_t bound = choice->cdfs->bound[index], magnitude = value < 0 ? -value : value;
	const uint16_t *bits = choice->bits + choice->cdfs->first[index];
	if (magnitude <= bound)
		return bits[value + bound];
	uint32_t length = 32 - (uint32_t)__builtin_clz((uint32_t)(magnitude - bound));
	return bits[2 * bound + 1] + (2 * length << UNIT_BITS);
}

static inline float cost(const struct vae_choice *choice, uint8_t index, int32_t value,
                         float wanted, float sensitivity)
{
	float e = (float)value - wanted, square = e * e, distortion = sensitivity * square;
	return (float)vae_choice_bits(choice, index, value) * UNIT + distortion;
}

/* Returns w: the best number for the picture, judged by the average picture. */
static inline float wanted_for(const struct vae_choice *choice, uint8_t index, int32_t nearest,
                               float d)
{
	uint32_t bits = vae_choice_bits(choice, index, nearest),
			 zero = vae_choice_bits(choice, index, 0);
	float shift = bits > zero ? VAE_CHOICE_SHIFT * sqrtf((float)(bits - zero) * UNIT) : 0;
	return nearest < 0 ? d - shift : d + shift;
}

void vae_rdo(const struct vae_choice *choice, size_t first, const uint8_t *index,
             const float *target, const float *mean, int32_t *value, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int32_t nearest = value[i], towards = nearest < 0 ? 1 : -1;
		if (!nearest)
			continue;
		float sensitivity = choice->sensitivity[first + i],
			  wanted = wanted_for(choice, index[i], nearest, target[i] - mean[i]);
		float least = cost(choice, index[i], nearest, wanted, sensitivity);
		int32_t r = nearest;
		for (int step = 0; r && step < choice->reach; step++) {
			r += towards;
			float here = cost(choice, index[i], r, wanted, sensitivity);
			if (here < least) {
				least = here;
				value[i] = r;
			}
		}
	}
}
