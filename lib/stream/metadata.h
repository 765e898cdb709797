/* metadata.h - collects the metadata of a picture while a reader skips over it. */
#ifndef VAE_STREAM_METADATA_H
#define VAE_STREAM_METADATA_H

#include "base/memory.h"

/* Collects skippable frames that hold metadata from the bytes that a reader of zstd frames
 * consumes. Zero it to start; vae_metadata_tap_clear releases it. */
struct vae_metadata_tap {
	vae_codes_metadata_found *found; /* NULL: nothing is collected */
	void *context;                   /* handed to found */
	struct vae_buffer frame;         /* from its start on, as long as it may be metadata; owned */
	bool other;                      /* the frame is something else */
};

/* Takes the next bytes of a frame; ends: they are its last. Calls found for metadata. Returns
 * found's result, or VAE_EMEM. */
int vae_metadata_tap(struct vae_metadata_tap *tap, const uint8_t *data, size_t bytes, bool ends,
                     struct vae_error *error);
void vae_metadata_tap_clear(struct vae_metadata_tap *tap);

/* Appends a frame of metadata to *frames. Fails as vae_codes_metadata_check does. */
int vae_metadata_append(struct vae_buffer *frames, const struct vae_codes_metadata *metadata,
                        struct vae_error *error);

#endif
