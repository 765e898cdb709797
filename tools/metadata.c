/* metadata.c - reads files of metadata. */
#include "metadata.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define EXIF_PREFIX "Exif\0" /* the literal's own 0 is the sixth byte */

static int keep_bytes(struct metadata *m, enum vae_metadata_kind kind, const void *data,
                      size_t bytes, struct vae_error *error)
{
	uint8_t *copy = malloc(bytes ? bytes : 1);

	if (!copy)
		return fail(error, VAE_EMEM, "out of memory");
	memcpy(copy, data, bytes);
	free((void *)m->of[kind].data);
	m->of[kind] = (struct vae_codes_metadata){.kind = kind, .data = copy, .bytes = bytes};
	return 0;
}

/* Reads a file; one byte more than is allowed shows that it is too large. */
static int read_file(uint8_t **data, size_t *bytes, const char *path, struct vae_error *error)
{
	bool standard = !strcmp(path, "-");
	FILE *file = standard ? stdin : fopen(path, "rb");
	int status = 0;

	*data = malloc(VAE_METADATA_MAX + 1);
	if (!*data)
		status = fail(error, VAE_EMEM, "out of memory");
	else if (!file)
		status = fail(error, VAE_EIO, "%.200s: %s", path, strerror(errno));
	else if (*bytes = fread(*data, 1, VAE_METADATA_MAX + 1, file), ferror(file))
		status = fail(error, VAE_EIO, "%.200s: %s", path, strerror(errno));
	if (file && !standard)
		fclose(file);
	if (status < 0)
		free(*data);
	return status;
}

int metadata_load(struct metadata *m, enum vae_metadata_kind kind, const char *path,
                  struct vae_error *error)
{
	struct vae_error why;
	struct vae_codes_metadata read = {.kind = kind};
	uint8_t *data;
	size_t bytes = 0;
	int status = read_file(&data, &bytes, path, error);

	if (status < 0)
		return status;
	read.data = data;
	read.bytes = bytes;
	if (kind == VAE_METADATA_EXIF && bytes > sizeof EXIF_PREFIX &&
	    !memcmp(data, EXIF_PREFIX, sizeof EXIF_PREFIX)) {
		read.data += sizeof EXIF_PREFIX;
		read.bytes -= sizeof EXIF_PREFIX;
	}
	status = vae_codes_metadata_check(&read, &why);
	if (status < 0)
		fail(error, why.code, "%.200s: %.150s", path, why.text);
	else
		status = keep_bytes(m, kind, read.data, read.bytes, error);
	free(data);
	return status;
}

int metadata_keep(struct metadata *m, const struct vae_codes_metadata *found,
                  struct vae_error *error)
{
	if (found->damaged || m->of[found->kind].bytes)
		return 0;
	return keep_bytes(m, found->kind, found->data, found->bytes, error);
}

int metadata_write(const struct metadata *m, FILE *file, struct vae_error *error)
{
	int status = 0;

	for (int kind = VAE_METADATA_ICC; kind < METADATA_KINDS && !status; kind++)
		if (m->of[kind].bytes)
			status = vae_codes_metadata_write(&m->of[kind], file, error);
	return status;
}

void metadata_clear(struct metadata *m)
{
	for (int kind = 0; kind < METADATA_KINDS; kind++)
		free((void *)m->of[kind].data);
	*m = (struct metadata){0};
}
