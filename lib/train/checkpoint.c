#include "train/checkpoint.h"
#include "base/replace.h"

#include <errno.h>
#include <string.h>

/* Version 2 lacks share and head_hash. */
static const char magic[8] = "VAECKPT3", magic2[8] = "VAECKPT2";

static uint64_t hash_word(uint64_t hash, uint32_t word)
{
	hash = (hash ^ word) * 0x9e3779b97f4a7c15;
	return hash ^ hash >> 29;
}

/* Hashes word by word; any damaged bit changes the hash. */
static uint64_t hash_floats(uint64_t hash, const float *array, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint32_t word;
		memcpy(&word, array + i, sizeof word);
		hash = hash_word(hash, word);
	}
	return hash;
}

/* Hashes everything before head_hash. */
static uint64_t hash_head(const struct vae_checkpoint_head *head)
{
	uint64_t hash = 1;
	for (size_t at = 0; at < offsetof(struct vae_checkpoint_head, head_hash);
	     at += sizeof(uint32_t)) {
		uint32_t word;
		memcpy(&word, (const char *)head + at, sizeof word);
		hash = hash_word(hash, word);
	}
	return hash;
}

static bool is_version2(const struct vae_checkpoint_head *head)
{
	return !memcmp(head->magic, magic2, sizeof magic2);
}

/* Returns the size of the head in the file, in bytes. */
static size_t head_bytes(const struct vae_checkpoint_head *head)
{
	return is_version2(head) ? offsetof(struct vae_checkpoint_head, share) : sizeof *head;
}

uint64_t vae_checkpoint_hash(const float *value, const struct vae_optimiser *o)
{
	uint64_t hash = hash_floats(1, value, o->size);
	hash = hash_floats(hash, o->first, o->size);
	hash = hash_floats(hash, o->second, o->size);
	return hash_floats(hash, o->average, o->size);
}

static bool write_arrays(FILE *file, const float *value, const struct vae_optimiser *o)
{
	const float *array[] = {value, o->first, o->second, o->average};
	bool good = true;
	for (size_t i = 0; i < sizeof array / sizeof *array; i++)
		good = good && fwrite(array[i], sizeof(float), o->size, file) == o->size;
	return good;
}

static bool read_arrays(FILE *file, float *value, struct vae_optimiser *o)
{
	float *array[] = {value, o->first, o->second, o->average};
	bool good = true;
	for (size_t i = 0; i < sizeof array / sizeof *array; i++)
		good = good && fread(array[i], sizeof(float), o->size, file) == o->size;
	return good && fgetc(file) == EOF;
}

static int begin(struct vae_replacement *r, const char *path, struct vae_error *error)
{
	struct vae_error why;
	int rc = vae_replace_begin(r, path, &why);
	return rc ? vae_fail(error, VAE_EIO, "checkpoint %s: %s", path, why.text) : 0;
}

int vae_checkpoint_check(const char *path, struct vae_error *error)
{
	struct vae_replacement r;
	int rc = begin(&r, path, error);
	if (!rc)
		vae_replace_abandon(&r);
	return rc;
}

int vae_checkpoint_write(const char *path, const struct vae_checkpoint_head *head,
                         const float *value, const struct vae_optimiser *o, struct vae_error *error)
{
	struct vae_replacement r;
	struct vae_checkpoint_head h = *head;
	struct vae_error why;
	memcpy(h.magic, magic, sizeof magic);
	h.hash = vae_checkpoint_hash(value, o);
	h.head_hash = hash_head(&h);
	int rc = begin(&r, path, error);
	if (rc)
		return rc;
	if (fwrite(&h, sizeof h, 1, r.file) != 1 || !write_arrays(r.file, value, o)) {
		vae_replace_abandon(&r);
		return vae_fail_errno(error, "checkpoint %s", path);
	}
	rc = vae_replace_commit(&r, &why);
	return rc ? vae_fail(error, VAE_EIO, "checkpoint %s: %s", path, why.text) : 0;
}

int vae_checkpoint_head_read(const char *path, struct vae_checkpoint_head *head,
                             struct vae_error *error)
{
	const size_t common = offsetof(struct vae_checkpoint_head, share);
	FILE *file = fopen(path, "rb");
	if (!file)
		return errno == ENOENT ? 0 : vae_fail_errno(error, "checkpoint %s", path);
	memset(head, 0, sizeof *head);
	bool good = fread(head, common, 1, file) == 1, old = good && is_version2(head);
	good = good && (old || (!memcmp(head->magic, magic, sizeof magic) &&
	                        fread(&head->share, sizeof *head - common, 1, file) == 1));
	fclose(file);
	if (!good)
		return vae_fail(error, VAE_EDATA, "checkpoint %s: not a checkpoint of this program", path);
	if ((!old && head->head_hash != hash_head(head)) || !memchr(head->arch, 0, sizeof head->arch))
		return vae_fail(error, VAE_EDATA, "checkpoint %s: damaged", path);
	return 1;
}

int vae_checkpoint_read(const char *path, const struct vae_checkpoint_head *head, float *value,
                        struct vae_optimiser *o, struct vae_error *error)
{
	FILE *file = fopen(path, "rb");
	if (!file)
		return vae_fail_errno(error, "checkpoint %s", path);
	bool good = !fseek(file, (long)head_bytes(head), SEEK_SET) && read_arrays(file, value, o);
	fclose(file);
	if (!good || vae_checkpoint_hash(value, o) != head->hash)
		return vae_fail(error, VAE_EDATA, "checkpoint %s: truncated or damaged", path);
	o->step = head->step;
	return 0;
}
