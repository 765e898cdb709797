/* minmax.h - the smaller and the larger of two sizes. */
#ifndef VAE_BASE_MINMAX_H
#define VAE_BASE_MINMAX_H

#include <stddef.h>

static inline size_t vae_min(size_t a, size_t b) { return a < b ? a : b; }
static inline size_t vae_max(size_t a, size_t b) { return a > b ? a : b; }
/* The same for sizes that may be negative. */
static inline ptrdiff_t vae_min_signed(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }
static inline ptrdiff_t vae_max_signed(ptrdiff_t a, ptrdiff_t b) { return a > b ? a : b; }

#endif
