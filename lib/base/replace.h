/* replace.h - files that are written completely or not at all. */
#ifndef VAE_BASE_REPLACE_H
#define VAE_BASE_REPLACE_H

#include "base/error.h"

/* A file being written that does not have its name yet. Where the file system allows it, the file
 * has no name at all until it is complete, and nothing remains however the process ends. Elsewhere
 * it has a unique temporary name. */
struct vae_replacement {
	FILE *file;      /* opened for writing */
	char *target;    /* the name that the file will take; owned */
	char *temporary; /* the name that it has now, in the same folder, or NULL; owned */
};

/* Begins a file that will replace `path`, or the file that `path` links to, if that is a regular
 * file or missing. The file gets the mode of the one it replaces. Returns 0, and vae_replace_commit
 * or vae_replace_abandon must follow; or VAE_EIO or VAE_EMEM, with nothing to release. */
int vae_replace_begin(struct vae_replacement *replacement, const char *path,
                      struct vae_error *error);
/* Waits until the file is on its disk, gives it its name, and releases everything. After a failure
 * (VAE_EIO) the old file still has the name. */
int vae_replace_commit(struct vae_replacement *replacement, struct vae_error *error);
/* Drops the file and releases everything. Preserves errno. */
void vae_replace_abandon(struct vae_replacement *replacement);

#endif
