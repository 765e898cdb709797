/* codes.h - functions that the readers of vae-codes(5) share. */
#ifndef VAE_STREAM_CODES_H
#define VAE_STREAM_CODES_H

#include "base/error.h"

#define VAE_CODES_MAGIC        "VAEC"
#define VAE_CODES_HEADER_BYTES 34
#define VAE_CODES_MIXED        16 /* in the byte of the method: cells may be exact */
#define VAE_CODES_SLICE_BYTES  8  /* before each payload: its length and its checksum */

/* Reads all of *codes but the slices from a header, with every check that the header alone permits.
 * offset: for messages. */
int vae_codes_header_get(struct vae_codes *codes, const uint8_t *header, int64_t offset,
                         uint64_t max_pixels, struct vae_error *error);
/* Then allocates the array of empty slices. VAE_ELIMIT, VAE_EMEM. */
int vae_codes_slices_new(struct vae_codes *codes, struct vae_error *error);
/* Returns the limit of one image's payloads together: zstd expands a byte to 32 KB, so that the
 * limit of each payload does not bound memory. */
uint64_t vae_codes_payload_room(uint64_t max_pixels);

#endif
