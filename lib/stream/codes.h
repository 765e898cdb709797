/* codes.h - what readers of vae-codes(5) share. */
#ifndef VAE_STREAM_CODES_H
#define VAE_STREAM_CODES_H

#include "base/error.h"

#define VAE_CODES_MAGIC        "VAEC"
#define VAE_CODES_HEADER_BYTES 34
#define VAE_CODES_SLICE_BYTES  8 /* in front of each payload: its length and its checksum */

/* The low half of XXH64, seed 0. */
uint32_t vae_codes_checksum(const void *data, size_t bytes);

/* All of *codes but the slices, out of a header, with every check that needs no more than the
 * header. offset: for messages. */
int vae_codes_header_get(struct vae_codes *codes, const uint8_t *header, int64_t offset,
                         uint64_t max_pixels, struct vae_error *error);
/* Then the array of slices, empty. VAE_ELIMIT, VAE_EMEM. */
int vae_codes_slices_new(struct vae_codes *codes, struct vae_error *error);
/* What the payloads of one image may take together: zstd puts 32 KB into a byte, so that the limit
 * of each is no bound on memory. */
uint64_t vae_codes_payload_room(uint64_t max_pixels);

#endif
