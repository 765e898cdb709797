/* content.h - the content of zstd's frames, with checksums repaired after a change. Random changes
 * of a file fail at zstd's checksum or at those of header and slices; these functions let them
 * reach the code behind. */
#ifndef FUZZ_CONTENT_H
#define FUZZ_CONTENT_H

#include <xxhash.h>
#include <zstd.h>

#include "base/bytes.h"
#include "fuzz.h"
#include "stream/geometry.h"

#define CONTENT_BYTES    65536
#define HEADER_BYTES     34
#define SLICE_HEAD_BYTES 8

/* Decompresses the frames as far as they are good. */
static inline size_t unwrap(uint8_t content[CONTENT_BYTES], const uint8_t *data, size_t size)
{
	ZSTD_DCtx *zstd = ZSTD_createDCtx();
	ZSTD_inBuffer in = {data, size, 0};
	ZSTD_outBuffer out = {content, CONTENT_BYTES, 0};
	size_t before = 1;
	while ((in.pos < in.size || out.pos > before) && out.pos < out.size) {
		before = out.pos;
		if (ZSTD_isError(ZSTD_decompressStream(zstd, &out, &in)))
			break;
	}
	ZSTD_freeDCtx(zstd);
	return out.pos;
}

/* Makes one frame with a checksum; 0 if it does not fit. */
static inline size_t wrap(uint8_t *data, size_t room, const uint8_t *content, size_t size)
{
	ZSTD_CCtx *zstd = ZSTD_createCCtx();
	ZSTD_CCtx_setParameter(zstd, ZSTD_c_compressionLevel, 1);
	ZSTD_CCtx_setParameter(zstd, ZSTD_c_checksumFlag, 1);
	size_t bytes = ZSTD_compress2(zstd, data, room, content, size);
	ZSTD_freeCCtx(zstd);
	return ZSTD_isError(bytes) ? 0 : bytes;
}

static inline uint32_t low_hash(const void *data, size_t bytes)
{
	return (uint32_t)XXH64(data, bytes, 0);
}

/* Repairs one slice of at most `size` bytes; returns its length. The last one takes all remaining
 * bytes, since some may have been added or removed. */
static inline size_t repair_slice(uint8_t *slice, size_t size, bool last)
{
	size_t room = size - SLICE_HEAD_BYTES, bytes = vae_get32(slice);
	if (last || bytes > room) {
		bytes = room;
		vae_put32(slice, (uint32_t)bytes);
	}
	vae_put32(slice + 4, low_hash(slice + SLICE_HEAD_BYTES, bytes));
	return SLICE_HEAD_BYTES + bytes;
}

/* Repairs the checksums of one image, and lengths that do not fit. */
static inline void repair(uint8_t *content, size_t size)
{
	if (size < HEADER_BYTES)
		return;
	int cell = content[7];
	vae_put32(content + 30, low_hash(content, 30));
	if (cell < VAE_MIN_CELL || cell > VAE_MAX_CELL)
		return;
	uint64_t slices = vae_slice_count(vae_cells(vae_get32(content + 20), cell),
	                                  vae_cells(vae_get32(content + 16), cell));
	size_t at = HEADER_BYTES;
	for (uint64_t i = 0; i < slices && size - at >= SLICE_HEAD_BYTES; i++)
		at += repair_slice(content + at, size - at, i + 1 == slices);
}

#endif
