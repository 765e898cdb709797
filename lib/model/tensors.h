/* tensors.h - what a model file holds behind its header: which tensors, in which order and form. */
#ifndef VAE_STREAM_TENSORS_H
#define VAE_STREAM_TENSORS_H

#include "nn/net.h"

#define VAE_TENSOR_SENSITIVITY "prior.sensitivity"

enum vae_dtype { VAE_F16, VAE_F32, VAE_I32, VAE_U16 };
extern const struct vae_dtypes {
	const char *name;
	size_t bytes;
} vae_dtypes[]; /* as the header names them; bytes of an element */

struct vae_tensor {
	const char *name; /* borrowed: of the networks, or a constant */
	enum vae_dtype dtype;
	int rank; /* 1 or 2 */
	size_t shape[2];
	uint64_t count;      /* elements */
	uint64_t begin, end; /* bytes from the start of the data */
	void *data; /* floats for F16 and F32, else the type itself; only read where a model is written;
	               borrowed */
};

struct vae_tensors {
	int count;
	int sensitivity; /* which of them it is, -1 for none */
	struct vae_tensor tensor[VAE_MAX_PARAMS + 3];
	uint64_t bytes; /* of all */
};

/* Parameters in the order in which data flows through them, then the integer tables (of so many
 * entries), then mlp's logistic function, or photo's sensitivities where there are any. Without
 * data. */
void vae_tensors_init(struct vae_tensors *tensors, const struct vae_nets *nets, size_t entries,
                      bool sensitivity);

/* Elements [first, first + n) of t->data as they stand in the file, little-endian. Returns how many
 * are finite before the first that is not. */
size_t vae_tensor_put(uint8_t *out, const struct vae_tensor *t, size_t first, size_t n);
/* The inverse, of a whole tensor into `out` (floats for F16 and F32, else the type itself),
 * returning the same. */
size_t vae_tensor_get(void *out, const struct vae_tensor *t, const uint8_t *in);

#endif
