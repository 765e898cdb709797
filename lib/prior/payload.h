/* payload.h - the bytes of one slice: its symbols, packed by one of two methods.
 *
 * VAE_METHOD_RANGE: all symbols in coding order, entropy-coded (prior/coder.h).
 * VAE_METHOD_ZSTD:  one byte w: 1, 2 or 4, the least that holds every symbol; then w bytes a
 * symbol, little-endian two's complement: z channel by channel, each cell by cell, rows from the
 * top; then y in the same way. zstd compresses them. */
#ifndef VAE_PRIOR_PAYLOAD_H
#define VAE_PRIOR_PAYLOAD_H

#include "base/memory.h"
#include "prior/slice_prior.h"
#include "prior/coder.h"

/* Appends the packed symbols to buffer. method: RANGE or ZSTD. */
int vae_payload_write(struct vae_buffer *buffer, const struct vae_symbols *symbols,
                      const struct vae_cdfs *cdfs, enum vae_method method, struct vae_error *error);

/* Unpacks a payload: the context of a vae_symbol_source. */
struct vae_payload {
	enum vae_method method;
	struct vae_coder_decoder range;
	int32_t *planes; /* ZSTD: all symbols in coding order; owned */
	size_t count, taken;
};
/* Starts on a payload. symbols gives their number and order; data is borrowed until
 * vae_payload_finish. VAE_EDATA if length or width is wrong. */
int vae_payload_start(struct vae_payload *payload, const struct vae_symbols *symbols,
                      const struct vae_cdfs *cdfs, enum vae_method method, const uint8_t *data,
                      size_t bytes, struct vae_error *error);
vae_symbol_source vae_payload_take; /* context: the struct vae_payload */
/* Checks, after the last symbol, that no bytes are left: else VAE_EDATA. */
int vae_payload_finish(const struct vae_payload *payload, struct vae_error *error);
void vae_payload_clear(struct vae_payload *payload);

#endif
