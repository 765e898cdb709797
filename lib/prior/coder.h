/* coder.h - the entropy coder: rANS (Duda 2013) over the tables of cdf.h. Integers only.
 *
 * rANS decodes first what was encoded last. The encoder therefore takes all symbols of a slice at
 * once, last to first; the decoder is a stream: it decodes some symbols, and the next ones when
 * their context has been computed. */
#ifndef VAE_PRIOR_CODER_H
#define VAE_PRIOR_CODER_H

#include "base/memory.h"
#include "prior/cdf.h"

/* Instead of a table: the symbol is known to be 0. It keeps its place, and takes no bits. */
#define VAE_CODER_KNOWN 255

/* Appends the coded form of count symbols to buffer. index[i] < VAE_SCALES is symbol i's table, or
 * VAE_CODER_KNOWN, |value[i]| <= VAE_SYMBOL_LIMIT. */
int vae_coder_encode(struct vae_buffer *buffer, const struct vae_cdfs *cdfs, const uint8_t *index,
                     const int32_t *value, size_t count, struct vae_error *error);

struct vae_coder_decoder {
	const struct vae_cdfs *cdfs;
	const uint8_t *data, *end; /* the bytes not read yet; borrowed */
	/* Symbol n uses state n mod 2: two chains that the processor can overlap. */
	uint64_t state[2];
	size_t position; /* symbols decoded so far */
	bool failed;     /* read past the end, or met an impossible escape: sticky */
};
/* Starts on a payload. VAE_EDATA if it is too short. */
int vae_coder_start(struct vae_coder_decoder *decoder, const struct vae_cdfs *cdfs,
                    const uint8_t *data, size_t bytes, struct vae_error *error);
/* Decodes count symbols with tables index[]. After a failure values are 0 and decoder->failed is
 * set. */
void vae_coder_decode(struct vae_coder_decoder *decoder, const uint8_t *index, int32_t *value,
                      size_t count);
/* Checks, after the last symbol, that all bytes are used and the states are back at their start:
 * else VAE_EDATA. This detects truncation and almost all damage, but is no checksum. */
int vae_coder_finish(const struct vae_coder_decoder *decoder, struct vae_error *error);

/* Returns the cost of a symbol in bits by its table, escape digits included. For reports, not for
 * coding. */
double vae_coder_bits(const struct vae_cdfs *cdfs, uint8_t index, int32_t value);

#endif
