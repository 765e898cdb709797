/* random.h - random numbers that are the same on every machine: integers, and doubles made with + -
 * x / sqrt alone. */
#ifndef VAE_BASE_RANDOM_H
#define VAE_BASE_RANDOM_H

#include <stdint.h>

/* xoshiro256** (Blackman and Vigna 2018). A stream is named by numbers, not by history, so that
 * step s of sample i draws the same whatever ran before: resuming needs no generator state. */
struct vae_random {
	uint64_t s[4];
};

/* Starts the stream (seed, a, b), e.g. (seed, step, sample). */
void vae_random_init(struct vae_random *r, uint64_t seed, uint64_t a, uint64_t b);
uint64_t vae_random_u64(struct vae_random *r);
uint32_t vae_random_below(struct vae_random *r, uint32_t bound); /* 0 to bound - 1; bound > 0 */
float vae_random_uniform(struct vae_random *r);                  /* [0, 1), a multiple of 2^-24 */
double vae_random_normal(struct vae_random *r); /* N(0, 1), Marsaglia's polar method */

#endif
