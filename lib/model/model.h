/* model.h - the model file: weights, tables and description in the safetensors layout. vae-model(5)
 * is its specification. */
#ifndef VAE_STREAM_MODEL_H
#define VAE_STREAM_MODEL_H

#include "nn/net.h"
#include "prior/cdf.h"

#define VAE_MODEL_VERSION "1"  /* of the format */
#define VAE_SIGMOID_KNOTS 4097 /* of the stored logistic function, even over [-16, 16] */

#define VAE_MODEL_HEADER_BYTES \
	(1 << 18) /* the longest JSON header that is read: parsed, it may take 80 times its size */

#define VAE_METADATA_ENTRIES 32
struct vae_metadata { /* __metadata__: strings by key, in file order */
	int count;
	char *key[VAE_METADATA_ENTRIES],
		*value[VAE_METADATA_ENTRIES]; /* owned; the fixed ones ("id", "architecture",
	                                     "format_version") are among them after loading */
};

struct vae_model_file; /* the open file of a model */

/* Loading checks the header and every size, and takes nothing else from the file; weights, scales
 * and sigmoid are filled part by part by vae_model_prepare. In a model made in memory (file NULL)
 * everything is there from the start. */
struct vae_model {
	struct vae_nets *nets;      /* owned */
	struct vae_weights weights; /* of the parts prepared: value holds vectors and tables, packed the
	                               matrices */
	struct vae_cdfs scales;     /* with VAE_H_S */
	float *sigmoid;     /* with VAE_SYNTHESIS: VAE_SIGMOID_KNOTS values of 1 / (1 + e^-v), mlp only,
	                       else NULL; owned */
	float *sensitivity; /* with VAE_H_A: knots x y, what a symbol's squared error of 1 costs in bits
	                       (prior/rdo.h); NULL where the model has none; owned */
	struct vae_model_file *file; /* where the rest comes from, or NULL; owned */
	struct vae_metadata metadata;
	char arch[VAE_ARCH_TEXT]; /* canonical line */
	uint64_t id; /* XXH64, seed 0, over the canonical architecture line (no newline), then every
	                tensor's bytes in file order */
	char *path;  /* absolute, owned; NULL for a model that is not from a file */
	bool by_path;
};

#define VAE_METADATA_BYTES                                                                        \
	(1 << 14) /* of one text that a trainer is given: two of them, escaped, fit the header beside \
	             the tensors */

/* Checks a text that is to become the metadata entry `key`, so that it is refused before hours of
 * training and not after. VAE_EARG: it is not UTF-8, or longer than VAE_METADATA_BYTES. */
int vae_metadata_check(const char *key, const char *text, struct vae_error *error);

/* Writes a model: the networks' parameters (matrices as F16, tables and vectors as F32), then the
 * prior's integer tables ("prior.scales.bound" I32 [64], "prior.scales.cumulative" U16 [entries])
 * and, for mlp, "dec.sigmoid" F32, for photo, unless it is NULL, "prior.sensitivity" F32 [knots,
 * y]. values is flat as params describes. Matrices are rounded to 16 bits here; every value must be
 * finite (VAE_EMODEL otherwise). metadata entries are added to the fixed ones (id, architecture,
 * format_version). */
int vae_model_write(FILE *file, const struct vae_nets *nets, const float *values,
                    const struct vae_cdfs *scales, const float *sigmoid, const float *sensitivity,
                    const struct vae_metadata *metadata, struct vae_error *error);

/* Makes parts (bits 1 << VAE_ANALYSIS and so on) ready for use: whoever runs a network, or the
 * coder, asks for it first. VAE_H_S brings what the coder itself reads: the density of z, an mlp's
 * prior, the integer tables. A part is converted and checked once; later calls cost nothing.
 * Threads may call it on one model at the same time. VAE_EMODEL where a number is not finite, or a
 * table is none. */
int vae_model_prepare(const struct vae_model *model, unsigned parts, struct vae_error *error);

/* All parameters, flat as params describes; what lies between them is left as it is. VAE_EMODEL as
 * above. */
int vae_model_values(const struct vae_model *model, float *values, struct vae_error *error);

/* Loads a file if its header claims the id: 1. 0 for another's file, or none. The error of a file
 * that claims it but does not load. */
int vae_model_load_id(struct vae_model **model, const char *path, uint64_t id,
                      struct vae_error *error);

/* Fills VAE_SIGMOID_KNOTS values with libm; for the trainer. */
void vae_sigmoid_make(float *knots);

#endif
