/* round.h - rounding that is the same on every machine. */
#ifndef VAE_BASE_ROUND_H
#define VAE_BASE_ROUND_H

#ifdef __FAST_MATH__
#error "rounding adds and subtracts 1.5 x 2^23: it cannot be compiled with -ffast-math"
#endif
_Static_assert(__FLT_EVAL_METHOD__ == 0, "binary32 must be evaluated in binary32");

/* Rounds |v| < 2^22 half to even. Between 2^23 and 2^24 every binary32 number is an integer:
 * adding 1.5 x 2^23 rounds, and subtracting it again is exact. Requires round to nearest, which
 * vae_fp_enter sets; calls nothing in libm. */
static inline float vae_round_half_even(float v) { return (v + 0x1.8p23f) - 0x1.8p23f; }

#endif
