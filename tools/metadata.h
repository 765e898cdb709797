/* metadata.h - files of metadata, which vae-quant attaches to codes and vae-stat extracts. */
#ifndef VAE_TOOLS_METADATA_H
#define VAE_TOOLS_METADATA_H

#include "inout.h"

enum { METADATA_KINDS = VAE_METADATA_XMP + 1 }; /* arrays are indexed by enum vae_metadata_kind */

/* Metadata of one picture, at most one of each kind. */
struct metadata {
	struct vae_codes_metadata of[METADATA_KINDS]; /* bytes 0: none of this kind; data are owned */
};

/* Reads a file of one kind, "-" for standard input; Exif may begin with "Exif\0\0", as in a JPEG
 * file. The error names the file. VAE_EIO; VAE_EARG for other data; VAE_ELIMIT. */
int metadata_load(struct metadata *m, enum vae_metadata_kind kind, const char *path,
                  struct vae_error *error);
/* Keeps a copy, unless there is one of this kind already, or it is damaged. VAE_EMEM. */
int metadata_keep(struct metadata *m, const struct vae_codes_metadata *found,
                  struct vae_error *error);
/* Writes the metadata to a stream of codes, after an image. */
int metadata_write(const struct metadata *m, FILE *file, struct vae_error *error);
void metadata_clear(struct metadata *m);

#endif
