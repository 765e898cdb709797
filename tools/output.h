/* output.h - standard output, or a file that gets its name only when it is complete.
 *
 * The file is written without a name (O_TMPFILE) in its future folder. output_close flushes it to
 * the disk and links it under its name, replacing the file that had it. However the program ends
 * before that, even by SIGKILL or a power failure, nothing of it remains and the older file is
 * unchanged. Two cases differ:
 *
 *     no O_TMPFILE in the file system   The file has a temporary name, .NAME.XXXXXX, which a
 *                                       signal may leave behind.
 *     NAME cannot be replaced           Its folder is not writable, or it is a mount point. The
 *                                       data wait in $TMPDIR, or /tmp, and output_close copies
 *                                       them into NAME, as > would write them.
 *
 * Pipes and devices are written directly. So is a descriptor that is already open (/dev/stdout,
 * /dev/fd/3), at its offset. */
#ifndef VAE_TOOLS_OUTPUT_H
#define VAE_TOOLS_OUTPUT_H

#include "vae.h"

#define STREAM_BYTES (1 << 16) /* buffer of an operand, and of a binary output */

struct output {
	FILE *file;
	const char *name; /* for diagnostics */
	/* private */
	char *buffer;    /* of file, owned, or NULL */
	char *target;    /* name of the finished file, owned; NULL: file is written directly */
	char *temporary; /* name of the unfinished file, owned, or NULL */
	int place;       /* descriptor of a target that will be overwritten; 0: none */
};

/* Opens the file `path`, or standard output if path is NULL or "-". binary: refuses a terminal.
 * VAE_EIO. The error's text names the file here, but not in the calls below. */
int output_open(struct output *out, const char *path, bool binary, struct vae_error *error);
/* Returns what output_open would return, and leaves nothing behind; for a program with hours of
 * work to do first. */
int output_check(const char *path, bool binary, struct vae_error *error);
int output_flush(struct output *out, struct vae_error *error);
/* Makes the file appear. On failure nothing is left behind. VAE_EIO. */
int output_close(struct output *out, struct vae_error *error);
/* Drops the file. May follow output_close. */
void output_abandon(struct output *out);

/* Opens a nameless file in $TMPDIR, or /tmp; its space is freed when it is closed. Returns a
 * descriptor to read and write, or -1 with errno set. */
int output_scratch(void);
/* Returns the folder that output_scratch uses, owned by the environment. */
const char *output_scratch_folder(void);

#endif
