/* tables.h - counts of symbols in training pictures, from which a photo model's entropy tables are
 * made (prior/cdf.h). */
#ifndef VAE_TRAIN_TABLES_H
#define VAE_TRAIN_TABLES_H

#include "loss/objective.h"
#include "prior/cdf.h"
#include "train/data.h"

/* The model, and the pictures. Borrowed. */
struct vae_tables_source {
	/* Packed for float32, before rounding to 16 bits, which changes almost no symbol. */
	const struct vae_weights *weights;
	const struct vae_cdfs *cdfs; /* for rounding, while there are no others */
	const struct vae_data *data;
	uint64_t seed;
};

/* Counts in `seen` the symbols of some patches at one knot's quality, rounded as vae-quant rounds
 * by default. sensitivity: that knot's row of the model's table (train/sensitivity.h). o belongs to
 * one thread; its rows and columns are equal, and every picture of data contains such a patch. The
 * same seed counts the same symbols in any thread. Call under vae_fp_enter. */
int vae_tables_see(struct vae_cdfs_seen *seen, const struct vae_tables_source *source,
                   const float *sensitivity, int knot, struct vae_objective *o,
                   struct vae_error *error);

#endif
