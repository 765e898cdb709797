/* checkpoint.h - everything that a run needs to continue bit by bit: weights, moments, average,
 * steps. A checkpoint is written completely or not at all. Its format is private to the build that
 * wrote it (native byte order); it is checked against damage, not against malice. */
#ifndef VAE_TRAIN_CHECKPOINT_H
#define VAE_TRAIN_CHECKPOINT_H

#include "train/optimiser.h"

struct vae_checkpoint_head {
	char magic[8];
	char arch[VAE_ARCH_TEXT];
	uint64_t seed, step, floats, skipped;
	uint32_t optimiser; /* VAE_OPTIMISER_*: one cannot use another's moments */
	/* VAE_LOSS_*. Older files have VAE_LOSS_DEFAULT, which is 0: not known. */
	uint32_t loss;
	double seconds; /* of training, over all runs so far */
	uint64_t hash;  /* of everything behind the head */
	/* Heads of version 2, which are still read, end here. */
	double share;       /* of the metric in the distortion; 0: not known, or no metric */
	uint64_t head_hash; /* of everything before it */
};

/* Returns the hash of everything behind the head. */
uint64_t vae_checkpoint_hash(const float *value, const struct vae_optimiser *o);
/* Checks that a file can be made beside PATH and take its place; leaves nothing. */
int vae_checkpoint_check(const char *path, struct vae_error *error);
/* Writes the checkpoint and replaces PATH once it is complete and on its disk (base/replace.h).
 * Sets magic, hash and head_hash itself. */
int vae_checkpoint_write(const char *path, const struct vae_checkpoint_head *head,
                         const float *value, const struct vae_optimiser *o,
                         struct vae_error *error);
/* Reads the head alone. Returns 1, 0 if there is no such file, or an error; VAE_EDATA if the head
 * is damaged. */
int vae_checkpoint_head_read(const char *path, struct vae_checkpoint_head *head,
                             struct vae_error *error);
/* Reads the arrays. o->size must be the head's. */
int vae_checkpoint_read(const char *path, const struct vae_checkpoint_head *head, float *value,
                        struct vae_optimiser *o, struct vae_error *error);

#endif
