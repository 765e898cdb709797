/* parallel.h - one loop over independent pieces of work, on OpenMP's threads. */
#ifndef VAE_BASE_PARALLEL_H
#define VAE_BASE_PARALLEL_H

#include <stddef.h>

#include "base/error.h"

/* Does piece i of the work. thread: 0 to omp_get_max_threads() - 1, an index of memory that a
 * thread reuses. */
typedef int vae_piece(void *context, size_t i, int thread, struct vae_error *error);

/* Runs pieces 0 to count - 1, each in the floating-point state that exact arithmetic needs. After a
 * failure the later pieces are skipped. Returns the failure of the lowest piece, and its *error,
 * with any number of threads. */
int vae_parallel(size_t count, vae_piece *piece, void *context, struct vae_error *error);

#endif
