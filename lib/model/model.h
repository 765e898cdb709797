/* model.h - the model file: weights, tables and description in the safetensors layout. vae-model(5)
 * is its specification. */
#ifndef VAE_MODEL_MODEL_H
#define VAE_MODEL_MODEL_H

#include "model/tensors.h"
#include "nn/net.h"
#include "prior/cdf.h"

#define VAE_MODEL_VERSION "1" /* of the format */

/* the longest JSON header that is read: parsed, it may take 80 times its size */
#define VAE_MODEL_HEADER_BYTES (1 << 18)

#define VAE_METADATA_ENTRIES 32
struct vae_metadata { /* __metadata__: strings by key, in file order */
	int count;
	/* Owned; after loading they include "id", "architecture" and "format_version". */
	char *key[VAE_METADATA_ENTRIES], *value[VAE_METADATA_ENTRIES];
};

struct vae_model_file; /* the open file of a model */

/* A model in memory. Loading checks the header and every size, and reads nothing else from the
 * file; vae_model_prepare fills weights, cdfs and sigmoid part by part. A model made in memory
 * (file NULL) is complete from the start. */
struct vae_model {
	struct vae_nets *nets; /* owned */
	/* Of the prepared parts: value holds vectors and tables, packed the matrices. */
	struct vae_weights weights;
	struct vae_cdfs cdfs; /* with VAE_H_S */
	/* With VAE_SYNTHESIS: VAE_SIGMOID_KNOTS values of 1 / (1 + e^-v); mlp, else NULL; owned. */
	float *sigmoid;
	/* With VAE_H_A: knots x y, the cost in bits of a squared error of 1 in a symbol (prior/rdo.h);
	 * NULL if the model has none; owned. */
	float *sensitivity;
	/* With VAE_PART_MEANS: from y to means of blocks (nn/net.h), and its weights; NULL if the model
	 * has none; owned. */
	struct vae_nets *means;
	struct vae_weights means_weights;
	struct vae_model_file *file; /* source of the parts, or NULL; owned */
	struct vae_metadata metadata;
	char arch[VAE_ARCH_TEXT]; /* canonical line */
	/* XXH64, seed 0, over the canonical architecture line (no newline), then every tensor's bytes
	 * in file order. */
	uint64_t id;
	char *path; /* absolute, owned; NULL for a model that is not from a file */
	bool by_path;
};

/* of each text that a trainer is given: two of them, escaped, fit the header beside the tensors */
#define VAE_METADATA_BYTES (1 << 14)

/* Checks a text for the metadata entry `key`, so that it is refused before hours of training rather
 * than after. VAE_EARG: it is not UTF-8, or longer than VAE_METADATA_BYTES. */
int vae_metadata_check(const char *key, const char *text, struct vae_error *error);

/* Writes a model: the networks' parameters (matrices as F16, tables and vectors as F32); then the
 * prior's integer tables ("prior.scales.bound" I32 [64], "prior.scales.cumulative" U16 [entries]);
 * then for mlp "dec.sigmoid" F32, and for photo, unless they are NULL, "prior.sensitivity" F32
 * [knots, y] and "dec.means" (y x VAE_MEANS weights, then VAE_MEANS biases). values is flat as
 * params describes. Matrices are rounded to 16 bits here; every value must be finite (VAE_EMODEL
 * otherwise). metadata entries are added to the fixed ones (id, architecture, format_version). */
int vae_model_write(FILE *file, const struct vae_nets *nets, const float *values,
                    const struct vae_cdfs *cdfs, const float *sigmoid, const float *sensitivity,
                    const float *means, const struct vae_metadata *metadata,
                    struct vae_error *error);

#define VAE_PART_MEANS VAE_NETS /* the part of a model's means, of a model that has them */
/* Makes parts (bits 1 << VAE_ANALYSIS and so on) ready for use; call it before running a network or
 * the coder. VAE_H_S includes what the coder reads: the density of z, an mlp's prior, the integer
 * tables. A part is converted and checked once; later calls cost nothing. Threads may call it on
 * one model at the same time. VAE_EMODEL if a number is not finite or a table is not valid. */
int vae_model_prepare(const struct vae_model *model, unsigned parts, struct vae_error *error);

/* Copies all parameters, flat as params describes; gaps between them keep their values. VAE_EMODEL
 * as above. */
int vae_model_values(const struct vae_model *model, float *values, struct vae_error *error);
/* Copies dec.means of a model that has them and is from a file, in the form of vae_model_write.
 * VAE_EMODEL as above. */
int vae_model_means(const struct vae_model *model, float *means, struct vae_error *error);

/* Loads a file if its header claims the id. Returns 1; 0 for another id, or no file; or the error
 * of a file that claims the id but does not load. */
int vae_model_load_id(struct vae_model **model, const char *path, uint64_t id,
                      struct vae_error *error);

/* Fills VAE_SIGMOID_KNOTS values with libm; for the trainer. */
void vae_sigmoid_make(float *knots);

#endif
