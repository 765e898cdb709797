/* file.h - regular files, or the same in memory, that are read by position. */
#ifndef VAE_BASE_FILE_H
#define VAE_BASE_FILE_H

#include "base/error.h"

#include <time.h>

/* A file held open. Its bytes are copied, never mapped: if another process rewrites or truncates
 * the file, the reader gets an error instead of SIGBUS. */
struct vae_file {
	int fd;                   /* owned; unused where there is memory */
	const uint8_t *memory;    /* [size], not owned; NULL: the file is read */
	uint64_t size;            /* bytes, when it was opened */
	struct timespec modified; /* the time of its last change, when it was opened */
};

/* Opens a regular file; the caller calls vae_file_close. VAE_EIO: the file cannot be opened or is
 * not regular. */
int vae_file_open(struct vae_file *file, const char *path, struct vae_error *error);
/* Makes one of bytes in memory, which must outlive it. */
struct vae_file vae_file_memory(const void *bytes, size_t count);
/* Reads `size` bytes from `offset` on. VAE_EIO: reading failed; VAE_EDATA: the file is shorter. */
int vae_file_read(const struct vae_file *file, void *bytes, size_t size, uint64_t offset,
                  struct vae_error *error);
/* Returns VAE_EDATA if the file's size or time of last change is not that of vae_file_open. */
int vae_file_unchanged(const struct vae_file *file, struct vae_error *error);
void vae_file_close(struct vae_file *file);

#endif
