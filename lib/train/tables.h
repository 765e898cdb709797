/* tables.h - symbols of training pictures, counted: what a photo model's entropy tables are made of
 * (prior/cdf.h). */
#ifndef VAE_TRAIN_TABLES_H
#define VAE_TRAIN_TABLES_H

#include "loss/objective.h"
#include "prior/cdf.h"
#include "train/data.h"

/* What tables are made for, and where pictures come from. Borrowed. */
struct vae_tables_source {
	const struct vae_weights *weights; /* packed for float32; before their rounding to 16 bits,
	                                      which changes next to no symbol */
	const struct vae_cdfs *scales;     /* by which numbers are rounded while there are no others */
	const struct vae_data *data;
	uint64_t seed;
};

/* Adds the symbols, rounded as vae-quant does by default, of some patches at one knot's quality to
 * seen. sensitivity: that knot's row of the model's (train/sensitivity.h). o is one thread's; its
 * rows and columns are equal, and every picture of data holds such a patch. The same seed counts
 * the same symbols in whichever thread. Call under vae_fp_enter. */
int vae_tables_see(struct vae_cdfs_seen *seen, const struct vae_tables_source *source,
                   const float *sensitivity, int knot, struct vae_objective *o,
                   struct vae_error *error);

#endif
