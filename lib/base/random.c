#include "base/random.h"

#include <math.h>

static uint64_t splitmix(uint64_t *x)
{
	uint64_t z = (*x += 0x9e3779b97f4a7c15);
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

void vae_random_init(struct vae_random *r, uint64_t seed, uint64_t a, uint64_t b)
{
	uint64_t x = seed;
	x = splitmix(&x) ^ a;
	x = splitmix(&x) ^ b;
	for (int i = 0; i < 4; i++)
		r->s[i] = splitmix(&x);
}

static uint64_t rotate(uint64_t x, int k) { return x << k | x >> (64 - k); }

uint64_t vae_random_u64(struct vae_random *r)
{
	uint64_t *s = r->s, result = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;
	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotate(s[3], 45);
	return result;
}

uint32_t vae_random_below(struct vae_random *r, uint32_t bound)
{
	return (
		uint32_t)((vae_random_u64(r) >> 32) * bound >>
	              32); /* Lemire's multiply; the bias below 2^-32 x bound does not matter here */
}

float vae_random_uniform(struct vae_random *r)
{
	return (float)(vae_random_u64(r) >> 40) * 0x1p-24f;
}

/* Returns ln x for 0 < x <= 1, as 2 artanh((m - 1) / (m + 1)) with m in [sqrt(1/2), sqrt 2). It
 * uses only operations that IEEE 754 rounds exactly, so no libm. */
static double logarithm(double x)
{
	int e = 0;
	while (x < 0.70710678118654752) {
		x *= 2;
		e--;
	}
	double u = (x - 1) / (x + 1), u2 = u * u, sum = 0;
	for (int k = 23; k >= 1; k -= 2)
		sum = sum * u2 + 1.0 / k;
	return 2 * u * sum + e * 0.69314718055994531;
}

double vae_random_normal(struct vae_random *r)
{
	for (;;) {
		double a = (double)(vae_random_u64(r) >> 11) * 0x1p-52 - 1,
			   b = (double)(vae_random_u64(r) >> 11) * 0x1p-52 - 1;
		double q = a * a + b * b;
		if (q > 0 && q < 1)
			return a * sqrt(-2 * logarithm(q) / q);
	}
}
