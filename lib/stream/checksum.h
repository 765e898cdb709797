/* checksum.h - the checksum of vae-codes(5). */
#ifndef VAE_STREAM_CHECKSUM_H
#define VAE_STREAM_CHECKSUM_H

#include <stdint.h>
#include <xxhash.h>

/* Returns the low half of XXH64, seed 0. */
static inline uint32_t vae_checksum(const void *data, size_t bytes)
{
	return (uint32_t)XXH64(data, bytes, 0);
}

#endif
