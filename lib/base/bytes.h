/* bytes.h - little-endian numbers in byte strings, on machines of any byte order. */
#ifndef VAE_BASE_BYTES_H
#define VAE_BASE_BYTES_H

#include <stdint.h>
#include <string.h>

static inline void vae_put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}
static inline void vae_put32(uint8_t *p, uint32_t v)
{
	vae_put16(p, (uint16_t)v);
	vae_put16(p + 2, (uint16_t)(v >> 16));
}
static inline void vae_put64(uint8_t *p, uint64_t v)
{
	vae_put32(p, (uint32_t)v);
	vae_put32(p + 4, (uint32_t)(v >> 32));
}
static inline uint16_t vae_get16(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }
static inline uint32_t vae_get32(const uint8_t *p)
{
	return vae_get16(p) | (uint32_t)vae_get16(p + 2) << 16;
}
static inline uint64_t vae_get64(const uint8_t *p)
{
	return vae_get32(p) | (uint64_t)vae_get32(p + 4) << 32;
}

/* Return the bits of an IEEE-754 binary32 number, and the number of those bits. */
static inline uint32_t vae_float_bits(float f)
{
	uint32_t u;
	memcpy(&u, &f, 4);
	return u;
}
static inline float vae_bits_float(uint32_t u)
{
	float f;
	memcpy(&f, &u, 4);
	return f;
}
static inline void vae_put_float(uint8_t *p, float f) { vae_put32(p, vae_float_bits(f)); }
static inline float vae_get_float(const uint8_t *p) { return vae_bits_float(vae_get32(p)); }

/* Converts to IEEE-754 binary16, rounding half to even; a number out of range becomes infinity. */
uint16_t vae_half_from_float(float f);
/* Converts a finite binary16 number, exactly. A subnormal is computed as 2^-14 (1 + fraction) -
 * 2^-14, which needs no subnormal binary32 number on the way. */
static inline float vae_float_from_finite_half(uint16_t h)
{
	uint32_t magnitude = h & 0x7fff, bits = (magnitude << 13) + (112u << 23),
			 tiny = vae_float_bits(vae_bits_float((magnitude << 13) + (113u << 23)) - 0x1p-14f);
	return vae_bits_float((magnitude < 0x400 ? tiny : bits) | (uint32_t)(h & 0x8000) << 16);
}
float vae_float_from_half(uint16_t h);

#endif
