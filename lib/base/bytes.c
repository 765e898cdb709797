#include "base/bytes.h"

#include <math.h>

float vae_float_from_half(uint16_t h)
{
	if ((h & 0x7c00) == 0x7c00) /* infinity, NaN */
		return vae_bits_float((uint32_t)(h & 0x8000) << 16 | 0x7f800000 | (h & 1023u) << 13);
	return vae_float_from_finite_half(h);
}

uint16_t vae_half_from_float(float f)
{
	uint32_t bits = vae_float_bits(f), sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
	if (magnitude > 0x7f800000)
		return (uint16_t)(sign | 0x7e00); /* NaN */
	if (magnitude >= 0x477ff000)
		return (uint16_t)(sign | 0x7c00); /* 65520 and above round to infinity */
	if (magnitude < 0x38800000) { /* below 2^-14: count in steps of 2^-24, rounded half to even */
		float steps = vae_bits_float(magnitude) * 0x1p24f;
		return (uint16_t)(sign | (uint32_t)nearbyintf(steps));
	}
	uint32_t rounded = magnitude + 0xfff + (magnitude >> 13 & 1);
	return (uint16_t)(sign | (rounded - 0x38000000) >> 13);
}
