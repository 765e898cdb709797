/* output.c - standard output, or a file that gets its name only when it is complete. */
#include "output.h"
#include "cli.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINK_TRIES      100
#define PROC_PATH_BYTES 40

/* ---- files without a name -------------------------------------------------------------------- */

static char *unfinished; /* the named temporary file, while it exists */

/* Removes the temporary file at exit. Libraries may exit, too: OpenMP's does if it gets no memory
 * for its threads. */
static void remove_unfinished(void)
{
	if (unfinished)
		unlink(unfinished);
}

static void proc_path(char path[PROC_PATH_BYTES], int fd)
{
	snprintf(path, PROC_PATH_BYTES, "/proc/self/fd/%d", fd);
}

/* Returns the length of the folder in a path, with its slash; 0 for the current folder. */
static int folder_length(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? (int)(slash + 1 - path) : 0;
}

/* Opens a nameless file that link_file can name, or returns -1. */
static int open_nameless(const char *target)
{
	char *folder, path[PROC_PATH_BYTES];
	int fd;

	if (asprintf(&folder, "%.*s.", folder_length(target), target) < 0)
		return -1;
	fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0666);
	free(folder);
	if (fd < 0)
		return -1;
	proc_path(path, fd);
	if (!access(path, F_OK))
		return fd;
	close(fd);
	return -1;
}

/* Opens a temporary file in out->target's folder. Returns -1 with errno set. */
static int open_named(struct output *out)
{
	static bool watching;
	mode_t mask;
	int fd, folder = folder_length(out->target);

	/* names have 255 bytes at most */
	if (asprintf(&out->temporary, "%.*s.%.200s.XXXXXX", folder, out->target, out->target + folder) <
	    0) {
		out->temporary = NULL;
		return -1;
	}
	fd = mkostemp(out->temporary, O_CLOEXEC);
	if (fd < 0) {
		free(out->temporary);
		out->temporary = NULL;
		return -1;
	}
	if (!watching)
		atexit(remove_unfinished);
	watching = true;
	unfinished = out->temporary;
	mask = umask(0);
	umask(mask);
	fchmod(fd, 0666 & ~mask);
	return fd;
}

const char *output_scratch_folder(void)
{
	const char *folder = getenv("TMPDIR");

	return folder && *folder ? folder : "/tmp";
}

int output_scratch(void)
{
	char *path;
	int fd = open(output_scratch_folder(), O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);

	if (fd >= 0 || asprintf(&path, "%s/vae.XXXXXX", output_scratch_folder()) < 0)
		return fd;
	fd = mkostemp(path, O_CLOEXEC);
	if (fd >= 0)
		unlink(path);
	free(path);
	return fd;
}

/* ---- opening --------------------------------------------------------------------------------- */

/* Returns the descriptor that path is another name of, or -1. Opening such a path would write from
 * the start of its file, not from the offset of the shell's redirection. */
static int descriptor_of(const char *path, const struct stat *existing)
{
	static const char *const folder[] = {"/dev/fd/", "/proc/self/fd/"};
	struct stat standard;
	int flags;

	if (!strcmp(path, "/dev/stdout"))
		return STDOUT_FILENO;
	if (!strcmp(path, "/dev/stderr"))
		return STDERR_FILENO;
	for (size_t i = 0; i < sizeof folder / sizeof *folder; i++) {
		const char *digits = path + strlen(folder[i]);
		char *end;

		if (!strncmp(path, folder[i], strlen(folder[i])) && isdigit((unsigned char)*digits)) {
			long number = strtol(digits, &end, 10);

			return *end || number > INT32_MAX ? -1 : (int)number;
		}
	}
	flags = fcntl(STDOUT_FILENO, F_GETFL);
	if (!existing || flags < 0 || (flags & O_ACCMODE) == O_RDONLY ||
	    fstat(STDOUT_FILENO, &standard))
		return -1;
	return standard.st_dev == existing->st_dev && standard.st_ino == existing->st_ino
	           ? STDOUT_FILENO
	           : -1;
}

/* Duplicates the descriptor; the copy shares its offset. */
static FILE *open_descriptor(int fd)
{
	int copy;
	FILE *file;

	if (fd == STDOUT_FILENO)
		return stdout;
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	file = copy < 0 ? NULL : fdopen(copy, "w");
	if (copy >= 0 && !file)
		close(copy);
	return file;
}

/* Gives the new file the owner, if this user may, and the mode of the one that it will replace. */
static int take_after(int fd, const struct stat *existing)
{
	struct stat made;

	if (fstat(fd, &made))
		return -1;
	if ((made.st_uid != existing->st_uid || made.st_gid != existing->st_gid) &&
	    fchown(fd, existing->st_uid, existing->st_gid) && errno != EPERM)
		return -1;
	return fchmod(fd, existing->st_mode & 0777);
}

/* Opens the file that will become out->target, or be copied into it. existing: the file of that
 * name now, or NULL. */
static FILE *open_unfinished(struct output *out, const struct stat *existing)
{
	FILE *file = NULL;
	int fd;

	if (existing && faccessat(AT_FDCWD, out->target, W_OK, AT_EACCESS))
		return NULL;
	fd = open_nameless(out->target);
	if (fd < 0)
		fd = open_named(out);
	if (fd < 0 && existing) {
		int kept = errno;

		out->place = open(out->target, O_WRONLY | O_CLOEXEC);
		if (out->place < 0) {
			out->place = 0;
			errno = kept;
			return NULL;
		}
		fd = output_scratch();
	} else if (fd >= 0 && existing && take_after(fd, existing)) {
		close(fd);
		return NULL;
	}
	if (fd >= 0 && !(file = fdopen(fd, "w+")))
		close(fd);
	return file;
}

/* Frees everything, and removes a file that still has its temporary name. */
static void output_clear(struct output *out)
{
	int kept = errno;

	if (out->file && out->file != stdout)
		fclose(out->file);
	if (out->temporary)
		unlink(out->temporary);
	if (out->place)
		close(out->place);
	unfinished = NULL;
	free(out->buffer);
	free(out->temporary);
	free(out->target);
	*out = (struct output){.name = out->name};
	errno = kept;
}

static int output_failed(struct vae_error *error)
{
	return fail(error, VAE_EIO, "%s", strerror(errno));
}

static FILE *open_path(struct output *out, const char *path)
{
	struct stat status;
	bool exists = !stat(path, &status);
	int fd = descriptor_of(path, exists ? &status : NULL);

	if (fd >= 0)
		return open_descriptor(fd);
	if (exists && S_ISDIR(status.st_mode)) {
		errno = EISDIR;
		return NULL;
	}
	if (exists && !S_ISREG(status.st_mode))
		return fopen(path, "we");
	/* the file that a symbolic link names */
	out->target = exists ? realpath(path, NULL) : strdup(path);
	return out->target ? open_unfinished(out, exists ? &status : NULL) : NULL;
}

/* Gives a file a larger buffer than stdio's, which is a page; glibc takes a size only together with
 * memory. Without memory the smaller one stays. */
static void enlarge_buffer(struct output *out)
{
	static char standard[STREAM_BYTES];
	char *buffer = out->file == stdout ? standard : (out->buffer = malloc(STREAM_BYTES));

	if (buffer)
		setvbuf(out->file, buffer, _IOFBF, STREAM_BYTES);
}

int output_open(struct output *out, const char *path, bool binary, struct vae_error *error)
{
	if (path && !strcmp(path, "-"))
		path = NULL;
	*out = (struct output){.name = path ? path : "standard output"};
	out->file = path ? open_path(out, path) : stdout;
	if (!out->file) {
		output_clear(out);
		return fail(error, VAE_EIO, "%s: %s", out->name, strerror(errno));
	}
	if (binary && isatty(fileno(out->file))) {
		output_clear(out);
		return fail(error, VAE_EIO, "%s is a terminal; -f writes binary data to it anyway",
		            out->name);
	}
	if (binary)
		enlarge_buffer(out);
	return 0;
}

int output_check(const char *path, bool binary, struct vae_error *error)
{
	struct stat status;
	struct output out;

	if (path && !stat(path, &status) && !S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode))
		return 0; /* opening and closing a pipe would end it for its reader */
	if (output_open(&out, path, binary, error))
		return VAE_EIO;
	output_abandon(&out);
	return 0;
}

/* ---- the finished file ----------------------------------------------------------------------- */

int output_flush(struct output *out, struct vae_error *error)
{
	return fflush(out->file) || ferror(out->file) ? output_failed(error) : 0;
}

/* Waits until the file is on its disk, so that no power failure can leave a name without data. Some
 * file systems do not support that. */
static int sync_file(int fd)
{
	int status;

	do
		status = fsync(fd);
	while (status && errno == EINTR);
	return status && errno != EINVAL && errno != ENOSYS && errno != EROFS ? -1 : 0;
}

static int write_whole(int fd, const char *bytes, size_t count)
{
	while (count) {
		ssize_t put = write(fd, bytes, count);

		if (put < 0 && errno != EINTR)
			return -1;
		bytes += put > 0 ? put : 0;
		count -= put > 0 ? put : 0;
	}
	return 0;
}

/* Overwrites a file with another, as the shell's > does. */
static int overwrite(int to, int from)
{
	char block[1 << 14];
	off_t at = 0;
	ssize_t got;

	if (ftruncate(to, 0))
		return -1;
	while ((got = pread(from, block, sizeof block, at)) != 0) {
		if (got < 0 && errno != EINTR)
			return -1;
		if (got > 0 && write_whole(to, block, got))
			return -1;
		at += got > 0 ? got : 0;
	}
	return sync_file(to);
}

/* Gives a nameless file its name or, if that is taken, a temporary one, out->temporary, which
 * rename replaces it with. */
static int link_file(struct output *out, int fd)
{
	char path[PROC_PATH_BYTES];
	int status, folder = folder_length(out->target);

	proc_path(path, fd);
	status = linkat(AT_FDCWD, path, AT_FDCWD, out->target, AT_SYMLINK_FOLLOW);
	for (int i = 0; status && errno == EEXIST && i < LINK_TRIES; i++) {
		free(out->temporary);
		if (asprintf(&out->temporary, "%.*s.%.200s.%ld-%d", folder, out->target,
		             out->target + folder, (long)getpid(), i) < 0) {
			out->temporary = NULL;
			errno = ENOMEM;
			return -1;
		}
		status = linkat(AT_FDCWD, path, AT_FDCWD, out->temporary, AT_SYMLINK_FOLLOW);
	}
	if (status) {
		free(out->temporary);
		out->temporary = NULL;
	}
	return status;
}

static volatile sig_atomic_t deferred; /* last signal that came while signals were deferred, or 0 */

static void defer(int number) { deferred = number; }

/* Gives a nameless file the name of another file. It has a temporary name for a moment; signals
 * that would end the program and leave that name behind are deferred. */
static int link_and_rename(struct output *out, int fd)
{
	static const int deadly[] = {SIGINT,  SIGTERM, SIGHUP,  SIGQUIT,
	                             SIGALRM, SIGUSR1, SIGUSR2, SIGXCPU};
	enum { COUNT = sizeof deadly / sizeof *deadly };
	struct sigaction before[COUNT], now = {.sa_handler = defer, .sa_flags = SA_RESTART};
	int status, kept;

	deferred = 0;
	for (int i = 0; i < COUNT; i++)
		if (!sigaction(deadly[i], NULL, &before[i]) && before[i].sa_handler != SIG_IGN)
			sigaction(deadly[i], &now, NULL);
	status = link_file(out, fd);
	if (!status && out->temporary)
		status = rename(out->temporary, out->target);
	kept = errno;
	if (status && out->temporary)
		unlink(out->temporary);
	free(out->temporary);
	out->temporary = NULL;
	for (int i = 0; i < COUNT; i++)
		sigaction(deadly[i], &before[i], NULL);
	if (deferred)
		raise(deferred);
	errno = kept;
	return status;
}

/* Makes the file appear as out->target: under its name if possible, else by overwriting the file
 * that has it. */
static int publish(struct output *out, int fd)
{
	int kept, status;

	if (out->place)
		return overwrite(out->place, fd);
	if (sync_file(fd))
		return -1;
	status = out->temporary ? rename(out->temporary, out->target) : link_and_rename(out, fd);
	if (!status) {
		free(out->temporary);
		out->temporary = NULL;
		return 0;
	}
	if (errno != EBUSY && errno != EPERM && errno != EACCES)
		return -1;
	kept = errno;
	out->place = open(out->target, O_WRONLY | O_CLOEXEC); /* closed by output_clear */
	if (out->place >= 0)
		return overwrite(out->place, fd);
	out->place = 0;
	errno = kept;
	return -1;
}

/* Closes standard output's descriptor once, since some file systems report errors there; a
 * duplicate stays open, since diagnostics flush it. */
static int close_file(FILE *file)
{
	int copy;

	if (file != stdout)
		return fclose(file);
	copy = dup(STDOUT_FILENO);
	return copy < 0 ? -1 : close(copy);
}

int output_close(struct output *out, struct vae_error *error)
{
	int status = output_flush(out, error);
	FILE *file = out->file;

	if (!status && out->target && publish(out, fileno(file)))
		status = output_failed(error);
	out->file = NULL;
	if (close_file(file) && !status)
		status = output_failed(error);
	output_clear(out);
	return status;
}

void output_abandon(struct output *out)
{
	if (out->file == stdout)
		fflush(stdout);
	output_clear(out);
}
