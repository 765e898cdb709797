/* random.h - random numbers that are the same on every machine: integers, and doubles that need
 * only + - x / and sqrt. */
#ifndef VAE_BASE_RANDOM_H
#define VAE_BASE_RANDOM_H

#include <stdint.h>

/* State of xoshiro256** (Blackman and Vigna 2018). Numbers name a stream, so that step s of sample
 * i draws the same numbers whatever was drawn before: resuming needs no saved state. */
struct vae_random {
	uint64_t s[4];
};

/* Starts the stream (seed, a, b), for example (seed, step, sample). */
void vae_random_init(struct vae_random *r, uint64_t seed, uint64_t a, uint64_t b);
uint64_t vae_random_u64(struct vae_random *r);
uint32_t vae_random_below(struct vae_random *r, uint32_t bound); /* 0 to bound - 1; bound > 0 */
float vae_random_uniform(struct vae_random *r);                  /* [0, 1), a multiple of 2^-24 */
double vae_random_normal(struct vae_random *r); /* N(0, 1), Marsaglia's polar method */

#endif
