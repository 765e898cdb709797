/* model.h - the model file: weights, tables and description in the safetensors layout. vae-model(5) is its specification. */
#ifndef VAE_STREAM_MODEL_H
#define VAE_STREAM_MODEL_H

#include "nn/net.h"
#include "prior/scales.h"

#define VAE_SIGMOID_KNOTS 4097 /* of the stored logistic function, even over [-16, 16] */

#define VAE_MODEL_HEADER_BYTES (1 << 20) /* the longest JSON header that is read */

#define VAE_METADATA_ENTRIES 32
struct vae_metadata {          /* __metadata__: strings by key, in file order */
	int count;
	char *key[VAE_METADATA_ENTRIES], *value[VAE_METADATA_ENTRIES]; /* owned; the fixed ones ("id", "architecture", "format_version") are among them after loading */
};

struct vae_model {
	struct vae_nets *nets;     /* owned */
	struct vae_weights weights;/* packed for inference after loading */
	struct vae_scales scales;
	float *sigmoid;            /* VAE_SIGMOID_KNOTS values of 1 / (1 + e^-v), mlp only, else NULL; owned */
	struct vae_metadata metadata;
	char arch[VAE_ARCH_TEXT];  /* canonical line */
	uint64_t id;               /* XXH64, seed 0, over the canonical architecture line (no newline), then every tensor's bytes in file order */
	char *path;                /* absolute, owned; NULL for a model that is not from a file */
	bool by_path;
};

/* Writes a model: the networks' parameters (matrices as F16, tables and vectors as F32), then the prior's integer tables
 * ("prior.scales.bound" I32 [64], "prior.scales.cumulative" U16 [entries]) and, for mlp, "dec.sigmoid" F32.
 * values is flat as params describes. Matrices are rounded to 16 bits here; every value must be finite (VAE_EMODEL otherwise).
 * metadata entries are added to the fixed ones (id, architecture, format_version). */
int vae_model_write(FILE *file, const struct vae_nets *nets, const float *values, const struct vae_scales *scales, const float *sigmoid,
                    const struct vae_metadata *metadata, struct vae_error *error);

/* Computes the id again from what is in memory (the bytes are those of the file) and compares. VAE_EMODEL where it differs. */
int vae_model_verify(const struct vae_model *model, struct vae_error *error);

/* The id that a model file claims, read from its header alone; the rest is not looked at. VAE_EMODEL for anything but a regular file
 * with a readable header. */
int vae_model_peek_id(uint64_t *id, const char *path, struct vae_error *error);

/* Fills VAE_SIGMOID_KNOTS values with libm; for the trainer. */
void vae_sigmoid_make(float *knots);

#endif
