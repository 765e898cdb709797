/* ranks.h - collective operations of a cluster's ranks. Without a cluster (NULL) each leaves its
 * data unchanged and returns 0. */
#ifndef VAE_TRAIN_RANKS_H
#define VAE_TRAIN_RANKS_H

#include "vae_train.h"
#include "base/error.h"

int vae_ranks_sum_floats(const struct vae_cluster *c, float *array, size_t count,
                         struct vae_error *error);
int vae_ranks_sum(const struct vae_cluster *c, double *array, size_t count,
                  struct vae_error *error);
int vae_ranks_share(const struct vae_cluster *c, void *data, size_t size_bytes,
                    struct vae_error *error);
/* Sets *flag to false unless it is true on every rank. */
int vae_ranks_all(const struct vae_cluster *c, bool *flag, struct vae_error *error);
/* Returns VAE_EDATA on every rank if any rank's number differs from rank 0's. what: for the
 * message, such as "pictures". */
int vae_ranks_same(const struct vae_cluster *c, uint64_t number, const char *what,
                   struct vae_error *error);

/* Returns where share `one` of `of` begins when n items are dealt out; it ends where the next one
 * begins. */
static inline size_t vae_share_start(size_t n, size_t one, size_t of)
{
	return (size_t)((uint64_t)n * one / of);
}
static inline size_t vae_rank(const struct vae_cluster *c) { return c ? (size_t)c->rank : 0; }
static inline size_t vae_ranks(const struct vae_cluster *c) { return c ? (size_t)c->size : 1; }

#endif
