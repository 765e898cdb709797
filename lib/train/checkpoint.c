#include "train/checkpoint.h"
#include "base/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char magic[8] = "VAECKPT2";

/* A word-wise sum that any damaged bit changes. */
static uint64_t hash_floats(uint64_t hash, const float *array, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint32_t word;
		memcpy(&word, array + i, sizeof word);
		hash = (hash ^ word) * 0x9e3779b97f4a7c15;
		hash ^= hash >> 29;
	}
	return hash;
}

uint64_t vae_checkpoint_hash(const float *value, const struct vae_optimiser *o)
{
	uint64_t hash = hash_floats(1, value, o->size);
	hash = hash_floats(hash, o->first, o->size);
	hash = hash_floats(hash, o->second, o->size);
	return hash_floats(hash, o->average, o->size);
}

int vae_checkpoint_write(const char *path, const struct vae_checkpoint_head *head, const float *value, const struct vae_optimiser *o, struct vae_error *error)
{
	struct vae_buffer name = {0};
	struct vae_checkpoint_head h = *head;
	memcpy(h.magic, magic, sizeof magic);
	h.hash = vae_checkpoint_hash(value, o);
	int result = VAE_EMEM;
	FILE *file = NULL;
	if (vae_buffer_append(&name, path, strlen(path), error) || vae_buffer_append(&name, ".tmp", 5, error))
		goto out;
	const char *temporary = (const char *)name.data;
	file = fopen(temporary, "wb");
	size_t n = o->size;
	bool good = file && fwrite(&h, sizeof h, 1, file) == 1 && fwrite(value, sizeof(float), n, file) == n &&
	            fwrite(o->first, sizeof(float), n, file) == n && fwrite(o->second, sizeof(float), n, file) == n &&
	            fwrite(o->average, sizeof(float), n, file) == n && fflush(file) == 0 && fsync(fileno(file)) == 0;
	if (file && fclose(file))
		good = false;
	result = good && rename(temporary, path) == 0 ? 0 : vae_fail_errno(error, "checkpoint %s", path);
	if (result && file) {
		int saved = errno;
		unlink(temporary);
		errno = saved;
	}
out:
	vae_buffer_clear(&name);
	return result;
}

int vae_checkpoint_head_read(const char *path, struct vae_checkpoint_head *head, struct vae_error *error)
{
	FILE *file = fopen(path, "rb");
	if (!file)
		return errno == ENOENT ? 0 : vae_fail_errno(error, "checkpoint %s", path);
	bool good = fread(head, sizeof *head, 1, file) == 1 && !memcmp(head->magic, magic, sizeof magic) && memchr(head->arch, 0, sizeof head->arch);
	fclose(file);
	return good ? 1 : vae_fail(error, VAE_EDATA, "checkpoint %s: not a checkpoint of this program", path);
}

int vae_checkpoint_read(const char *path, const struct vae_checkpoint_head *head, float *value, struct vae_optimiser *o, struct vae_error *error)
{
	FILE *file = fopen(path, "rb");
	if (!file)
		return vae_fail_errno(error, "checkpoint %s", path);
	size_t n = o->size;
	bool good = !fseek(file, sizeof *head, SEEK_SET) && fread(value, sizeof(float), n, file) == n && fread(o->first, sizeof(float), n, file) == n &&
	            fread(o->second, sizeof(float), n, file) == n && fread(o->average, sizeof(float), n, file) == n && fgetc(file) == EOF;
	fclose(file);
	if (!good || vae_checkpoint_hash(value, o) != head->hash)
		return vae_fail(error, VAE_EDATA, "checkpoint %s: truncated or damaged", path);
	o->step = head->step;
	return 0;
}
