/* model_write.c - writes a model to a file. */
#include "base/bytes.h"
#include "base/memory.h"
#include "base/minmax.h"
#include "model/model.h"
#include "model/tensors.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define CHUNK 4096 /* elements converted at a time */

static void bind_data(struct vae_tensors *l, const struct vae_nets *nets, const float *values,
                      const int32_t *bound, const uint16_t *cumulative, const float *sigmoid,
                      const float *sensitivity, const float *means)
{
	struct vae_tensor *t = l->tensor;
	for (int i = 0; i < nets->params.count; i++)
		t++->data = (void *)(values + nets->params.list[i].offset);
	t++->data = (void *)bound;
	t++->data = (void *)cumulative;
	if (nets->arch.kind == VAE_ARCH_MLP)
		t++->data = (void *)sigmoid;
	if (l->sensitivity >= 0)
		t++->data = (void *)sensitivity;
	if (l->means >= 0) {
		t++->data = (void *)means;
		t++->data = (void *)(means + nets->arch.y * VAE_MEANS);
	}
}

/* Passes all tensor bytes in file order to a hash, or a file, or both. */
static int emit(const struct vae_tensors *l, XXH64_state_t *hash, FILE *file,
                struct vae_error *error)
{
	uint8_t bytes[CHUNK * 4];
	for (const struct vae_tensor *t = l->tensor; t < l->tensor + l->count; t++)
		for (size_t first = 0; first < t->count; first += CHUNK) {
			size_t n = vae_min(t->count - first, CHUNK), good = vae_tensor_put(bytes, t, first, n),
				   size = n * vae_dtypes[t->dtype].bytes;
			if (good < n)
				return vae_fail(error, VAE_EMODEL,
				                "tensor %s: number %zu is not finite, or too large for %s", t->name,
				                first + good, vae_dtypes[t->dtype].name);
			if (hash)
				XXH64_update(hash, bytes, size);
			if (file && fwrite(bytes, 1, size, file) != size)
				return vae_fail_errno(error, "cannot write the model");
		}
	return 0;
}

static int compute_id(uint64_t *id, const struct vae_tensors *l, const char *arch,
                      struct vae_error *error)
{
	XXH64_state_t *hash = XXH64_createState();
	if (!hash)
		return vae_fail(error, VAE_EMEM, "out of memory");
	XXH64_reset(hash, 0);
	XXH64_update(hash, arch, strlen(arch));
	int rc = emit(l, hash, NULL, error);
	if (!rc)
		*id = XXH64_digest(hash);
	XXH64_freeState(hash);
	return rc;
}

static bool is_fixed_key(const char *key)
{
	return !strcmp(key, "format_version") || !strcmp(key, "architecture") || !strcmp(key, "id");
}

/* Returns the header as an object, or NULL: memory is exhausted, a string is not UTF-8, or there
 * are too many. */
static json_t *header_new(const struct vae_tensors *l, const char *arch, uint64_t id,
                          const struct vae_metadata *metadata)
{
	char hex[17];
	snprintf(hex, sizeof hex, "%016llx", (unsigned long long)id);
	json_t *fixed = json_pack("{s:s, s:s, s:s}", "format_version", VAE_MODEL_VERSION,
	                          "architecture", arch, "id", hex);
	json_t *root = json_pack("{s:o}", "__metadata__", fixed);
	bool good = root != NULL;
	/* The metadata of a loaded model include the fixed three. */
	for (int i = 0; good && metadata && i < metadata->count; i++)
		if (!is_fixed_key(metadata->key[i]))
			good = !json_object_set_new(fixed, metadata->key[i], json_string(metadata->value[i]));
	for (const struct vae_tensor *t = l->tensor; good && t < l->tensor + l->count; t++) {
		json_t *shape = t->rank == 1
		                    ? json_pack("[I]", (json_int_t)t->shape[0])
		                    : json_pack("[I,I]", (json_int_t)t->shape[0], (json_int_t)t->shape[1]);
		good = !json_object_set_new(
			root, t->name,
			json_pack("{s:s, s:o, s:[I,I]}", "dtype", vae_dtypes[t->dtype].name, "shape", shape,
		              "data_offsets", (json_int_t)t->begin, (json_int_t)t->end));
	}
	if (good && json_object_size(fixed) <= VAE_METADATA_ENTRIES)
		return root;
	json_decref(root);
	return NULL;
}

/* Lets jansson check the text, as header_new does; jansson reports no lack of memory. */
int vae_metadata_check(const char *key, const char *text, struct vae_error *error)
{
	if (strlen(text) > VAE_METADATA_BYTES)
		return vae_fail(error, VAE_EARG, "the %s has %zu bytes, more than %d", key, strlen(text),
		                VAE_METADATA_BYTES);
	errno = 0;
	json_t *string = json_string(text);
	if (!string)
		return errno == ENOMEM ? vae_fail(error, VAE_EMEM, "out of memory")
		                       : vae_fail(error, VAE_EARG, "the %s is not UTF-8 text", key);
	json_decref(string);
	return 0;
}

int vae_model_write(FILE *file, const struct vae_nets *nets, const float *values,
                    const struct vae_cdfs *cdfs, const float *sigmoid, const float *sensitivity,
                    const float *means, const struct vae_metadata *metadata,
                    struct vae_error *error)
{
	int rc = VAE_EMEM;
	struct vae_tensors *l = NULL;
	json_t *root = NULL;
	char *text = NULL, arch[VAE_ARCH_TEXT];
	uint64_t id = 0;
	if (vae_alloc(&l, 1, sizeof *l, error))
		goto out;
	vae_tensors_init(l, nets, cdfs->entries, sensitivity != NULL, means != NULL);
	bind_data(l, nets, values, cdfs->bound, cdfs->cumulative, sigmoid, sensitivity, means);
	vae_arch_format(&nets->arch, arch);
	if ((rc = compute_id(&id, l, arch, error)))
		goto out;
	if (!(root = header_new(l, arch, id, metadata)) || !(text = json_dumps(root, JSON_COMPACT))) {
		rc = vae_fail(
			error, VAE_EARG,
			"the model's description is not UTF-8 text, has too many entries, or memory is short");
		goto out;
	}
	size_t length = strlen(text), padding = -length & 7;
	if (length + padding > VAE_MODEL_HEADER_BYTES) {
		rc = vae_fail(error, VAE_EARG, "the model's description is longer than %d bytes",
		              VAE_MODEL_HEADER_BYTES);
		goto out;
	}
	uint8_t head[8];
	vae_put64(head, length + padding);
	if (fwrite(head, 1, 8, file) != 8 || fwrite(text, 1, length, file) != length ||
	    fprintf(file, "%*s", (int)padding, "") < 0)
		rc = vae_fail_errno(error, "cannot write the model");
	else
		rc = emit(l, NULL, file, error);
out:
	free(text);
	json_decref(root);
	free(l);
	return rc;
}

void vae_sigmoid_make(float *knots)
{
	for (int i = 0; i < VAE_SIGMOID_KNOTS; i++)
		knots[i] = (float)(1 / (1 + exp(-(-16 + 32.0 * i / (VAE_SIGMOID_KNOTS - 1)))));
}
