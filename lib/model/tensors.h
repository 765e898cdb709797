/* tensors.h - the tensors of a model file: their order and form. */
#ifndef VAE_MODEL_TENSORS_H
#define VAE_MODEL_TENSORS_H

#include "nn/net.h"

#define VAE_TENSOR_SENSITIVITY "prior.sensitivity"
#define VAE_TENSOR_MEANS       "dec.means.weight"

#define VAE_SIGMOID_KNOTS 4097 /* of the stored logistic function, even over [-16, 16] */

enum vae_dtype { VAE_F16, VAE_F32, VAE_I16, VAE_I32, VAE_U16 };
extern const struct vae_dtypes {
	const char *name;
	size_t bytes;
} vae_dtypes[]; /* types as the header names them; bytes of an element */

struct vae_tensor {
	const char *name; /* borrowed: from the networks, or a constant */
	enum vae_dtype dtype;
	int rank; /* 1 or 2 */
	size_t shape[2];
	uint64_t count;      /* elements */
	uint64_t begin, end; /* bytes from the start of the data */
	/* Floats for F16, F32 and I16, else the type itself; used only for writing; borrowed. */
	void *data;
};

struct vae_tensors {
	int count;
	int sensitivity; /* index of the sensitivities, -1 if there are none */
	int means;       /* the same of dec.means' weight, which its bias follows */
	struct vae_tensor tensor[VAE_MAX_PARAMS + 5];
	uint64_t bytes; /* of all tensors */
};

/* Lists the tensors: parameters in the order of data flow, then the integer tables (of `entries`
 * entries), then mlp's logistic function, or photo's sensitivities and map to means if there are
 * any. Without data. */
void vae_tensors_init(struct vae_tensors *tensors, const struct vae_nets *nets, size_t entries,
                      bool sensitivity, bool means);

/* Converts elements [first, first + n) of t->data to the file's form, little-endian. Returns how
 * many are finite before the first that is not. */
size_t vae_tensor_put(uint8_t *out, const struct vae_tensor *t, size_t first, size_t n);
/* Converts a whole tensor from the file's form to `out` (floats for F16, F32 and I16, else
 * the type itself). Returns the same. */
size_t vae_tensor_get(void *out, const struct vae_tensor *t, const uint8_t *in);

#endif
