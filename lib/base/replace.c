#include "base/replace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRIES 100 /* temporary names to try */

/* Returns the length of the folder in a path, with its slash; 0 for the current folder. */
static int folder_length(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? (int)(slash + 1 - path) : 0;
}

/* Formats the entry in /proc through which a nameless file can be linked. */
static void proc_path(char path[40], int fd) { snprintf(path, 40, "/proc/self/fd/%d", fd); }

/* Opens a nameless file in the target's folder; -1 if the file system has no such files. */
static int open_nameless(const char *target)
{
	char *folder, entry[40];
	if (asprintf(&folder, "%.*s.", folder_length(target), target) < 0)
		return -1;
	int fd = open(folder, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
	free(folder);
	if (fd < 0)
		return -1;
	proc_path(entry, fd);
	if (!access(entry, F_OK))
		return fd;
	close(fd);
	return -1;
}

/* Puts a file under a new name in the target's folder: links `fd` there or, if that is -1, creates
 * a file. Follows no link of that name. Returns the descriptor, or -1 with errno set; r->temporary
 * is the name. */
static int take_name(struct vae_replacement *r, int fd)
{
	char entry[40];
	int folder = folder_length(r->target);
	for (int i = 0; i < TRIES; i++) {
		if (asprintf(&r->temporary, "%.*s.%.200s.%ld-%d", folder, r->target, r->target + folder,
		             (long)getpid(), i) < 0) {
			r->temporary = NULL;
			errno = ENOMEM;
			return -1;
		}
		proc_path(entry, fd);
		int rc = fd < 0 ? open(r->temporary, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666)
		                : linkat(AT_FDCWD, entry, AT_FDCWD, r->temporary, AT_SYMLINK_FOLLOW);
		if (rc >= 0)
			return fd < 0 ? rc : fd;
		free(r->temporary);
		r->temporary = NULL;
		if (errno != EEXIST)
			break;
	}
	return -1;
}

static int failed(struct vae_replacement *r, struct vae_error *error)
{
	vae_fail(error, VAE_EIO, "%s", strerror(errno));
	vae_replace_abandon(r);
	return VAE_EIO;
}

int vae_replace_begin(struct vae_replacement *r, const char *path, struct vae_error *error)
{
	struct stat st;
	bool exists = !stat(path, &st);
	*r = (struct vae_replacement){0};
	if (exists && !S_ISREG(st.st_mode))
		return vae_fail(error, VAE_EIO, "not a regular file");
	if (!(r->target = exists ? realpath(path, NULL) : strdup(path)))
		return failed(r, error);
	int fd = open_nameless(r->target);
	if (fd < 0)
		fd = take_name(r, -1);
	if (fd < 0)
		return failed(r, error);
	if ((exists && fchmod(fd, st.st_mode & 0777)) || !(r->file = fdopen(fd, "wb"))) {
		int saved = errno;
		close(fd);
		errno = saved;
		return failed(r, error);
	}
	return 0;
}

int vae_replace_commit(struct vae_replacement *r, struct vae_error *error)
{
	int fd = fileno(r->file);
	if (ferror(r->file) || fflush(r->file) || fsync(fd) || (!r->temporary && take_name(r, fd) < 0))
		return failed(r, error);
	FILE *file = r->file;
	r->file = NULL;
	if (fclose(file) || rename(r->temporary, r->target))
		return failed(r, error);
	free(r->temporary);
	free(r->target);
	return 0;
}

void vae_replace_abandon(struct vae_replacement *r)
{
	int saved = errno;
	if (r->file)
		fclose(r->file);
	if (r->temporary)
		unlink(r->temporary);
	free(r->temporary);
	free(r->target);
	errno = saved;
}
