/* replace.h - files that are written whole or not at all. */
#ifndef VAE_BASE_REPLACE_H
#define VAE_BASE_REPLACE_H

#include "base/error.h"

/* A file that is being written and has not yet its name. Where the file system can, it has no name
 * at all until it is complete and leaves nothing behind however the process ends; elsewhere its
 * temporary name is one that no other file has. */
struct vae_replacement {
	FILE *file;      /* to write to */
	char *target;    /* the name that it will take; owned */
	char *temporary; /* the name that it has now, beside the target, or NULL; owned */
};

/* Begins a file that will replace `path`, or what that links to, if that is a regular file or not
 * there. Returns 0, or VAE_EIO or VAE_EMEM with nothing to release; else vae_replace_commit or
 * vae_replace_abandon must follow. The file gets the mode of the one it replaces. */
int vae_replace_begin(struct vae_replacement *replacement, const char *path,
                      struct vae_error *error);
/* Waits until the file is on its disk, gives it its name, and releases everything. After a failure,
 * VAE_EIO, what had the name still has it. */
int vae_replace_commit(struct vae_replacement *replacement, struct vae_error *error);
/* Drops the file, and releases everything. Leaves errno alone. */
void vae_replace_abandon(struct vae_replacement *replacement);

#endif
