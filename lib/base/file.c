#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Looks at the file before opening it, since opening some devices makes them act. O_NONBLOCK is for
 * a FIFO that takes the name between the two calls. */
int vae_file_open(struct vae_file *file, const char *path, struct vae_error *error)
{
	struct stat st;
	if (!stat(path, &st) && !S_ISREG(st.st_mode))
		return vae_fail(error, VAE_EIO, "not a regular file");
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return vae_fail(error, VAE_EIO, "%s", strerror(errno));
	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		close(fd);
		return vae_fail(error, VAE_EIO, "not a regular file");
	}
	*file = (struct vae_file){.fd = fd, .size = (uint64_t)st.st_size, .modified = st.st_mtim};
	return 0;
}

struct vae_file vae_file_memory(const void *bytes, size_t count)
{
	return (struct vae_file){.fd = -1, .memory = bytes, .size = count};
}

int vae_file_read(const struct vae_file *file, void *bytes, size_t size, uint64_t offset,
                  struct vae_error *error)
{
	uint8_t *to = bytes;
	if (file->memory) {
		if (offset > file->size || size > file->size - offset)
			return vae_fail(error, VAE_EDATA, "truncated");
		memcpy(to, file->memory + offset, size);
		return 0;
	}
	while (size) {
		ssize_t n = pread(file->fd, to, size, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return vae_fail(error, VAE_EIO, "cannot be read: %s", strerror(errno));
		if (n == 0)
			return vae_fail(error, VAE_EDATA, "truncated while it was in use");
		to += n;
		size -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

int vae_file_unchanged(const struct vae_file *file, struct vae_error *error)
{
	struct stat st;
	if (file->memory)
		return 0;
	if (fstat(file->fd, &st))
		return vae_fail(error, VAE_EIO, "cannot be read: %s", strerror(errno));
	if ((uint64_t)st.st_size == file->size && st.st_mtim.tv_sec == file->modified.tv_sec &&
	    st.st_mtim.tv_nsec == file->modified.tv_nsec)
		return 0;
	return vae_fail(error, VAE_EDATA, "changed while it was in use");
}

void vae_file_close(struct vae_file *file)
{
	if (!file->memory)
		close(file->fd);
}
