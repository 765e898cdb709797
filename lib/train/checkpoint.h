/* checkpoint.h - everything a run needs to go on bit by bit: weights, moments, average, steps.
 * Written whole or not at all. The format is private to the build that wrote it (native byte order)
 * and checked against damage, not against malice. */
#ifndef VAE_TRAIN_CHECKPOINT_H
#define VAE_TRAIN_CHECKPOINT_H

#include "train/optimiser.h"

struct vae_checkpoint_head {
	char magic[8];
	char arch[VAE_ARCH_TEXT];
	uint64_t seed, step, floats, skipped;
	uint32_t optimiser; /* VAE_OPTIMISER_*: their moments are not each other's */
	uint32_t loss;  /* VAE_LOSS_*; VAE_LOSS_DEFAULT, which is 0, in files from before it was kept:
	                   not known */
	double seconds; /* of training so far, over all runs */
	uint64_t hash;  /* of all that follows the head */
	/* Heads of version 2, which are still read, end here. */
	double share;       /* of the metric in the distortion; 0: not known, or no metric */
	uint64_t head_hash; /* of all before it */
};

/* Returns the hash of all that follows the head. */
uint64_t vae_checkpoint_hash(const float *value, const struct vae_optimiser *o);
/* Writes the checkpoint and puts it in the place of PATH once it is whole and on its disk
 * (base/replace.h). Sets magic, hash and head_hash itself. */
int vae_checkpoint_write(const char *path, const struct vae_checkpoint_head *head,
                         const float *value, const struct vae_optimiser *o,
                         struct vae_error *error);
/* Reads the head alone. Returns 1, 0 where there is no such file, or an error; VAE_EDATA where it
 * is damaged. */
int vae_checkpoint_head_read(const char *path, struct vae_checkpoint_head *head,
                             struct vae_error *error);
/* Reads the arrays, whose sizes are o->size as the head said. */
int vae_checkpoint_read(const char *path, const struct vae_checkpoint_head *head, float *value,
                        struct vae_optimiser *o, struct vae_error *error);

#endif
