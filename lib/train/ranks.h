/* ranks.h - what the ranks of a cluster do together. Collective; without a cluster (NULL) each
 * leaves its data as they are and returns 0. */
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
/* *flag stays true where it is true on every rank. */
int vae_ranks_all(const struct vae_cluster *c, bool *flag, struct vae_error *error);
/* VAE_EDATA on every rank where the number of any is not rank 0's; what: "pictures", for the
 * message. */
int vae_ranks_same(const struct vae_cluster *c, uint64_t number, const char *what,
                   struct vae_error *error);

/* Where the share of one of `of` begins that n things are dealt to: its end is where the next one's
 * begins. */
static inline size_t vae_deal(size_t n, size_t one, size_t of)
{
	return (size_t)((uint64_t)n * one / of);
}
static inline size_t vae_rank(const struct vae_cluster *c) { return c ? (size_t)c->rank : 0; }
static inline size_t vae_ranks(const struct vae_cluster *c) { return c ? (size_t)c->size : 1; }

#endif
