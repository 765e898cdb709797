/* codes.c - vae-codes(5): a picture's slices in a zstd frame. All numbers are little-endian.
 *
 *     header    "VAEC", version 1, method 1, format and tuple 1, cell 1, model 8, width 4,
 *               height 4, maxval 2, quality 2, channels 2, checksum of these 4
 *     slices    each: length 4, checksum 4, payload
 *
 * A payload consists of the alpha samples of its pixels, if there are any, and packed symbols
 * (version 1), of a tile of exact samples (version 2 without channels), or of coded cells and
 * alpha, and packed symbols (version 2).
 *
 * The number of slices, the shape of y and the number of alpha samples follow from the header. A
 * checksum is the low half of XXH64, seed 0. The reader sees ONE decompressed stream: the limits of
 * zstd's frames mean nothing to it. */
#include "stream/codes.h"

#include "base/bytes.h"
#include "base/memory.h"
#include "base/minmax.h"
#include "stream/checksum.h"
#include "stream/geometry.h"
#include "stream/metadata.h"

#include <stdlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#define NEWEST              2  /* version */
#define WINDOW_LOG_MAX      27 /* 128 MiB: zstd refuses larger windows by default */
#define CHUNK               65536
#define LEVEL_PLAIN         3
#define LEVEL_FLAT_ALPHA    13
#define LEVEL_SOFT_ALPHA    19
/* The largest model takes 12 bytes a pixel: symbols of 4 bytes. */
#define PAYLOAD_PIXEL_BYTES 16
#define PAYLOAD_SPARE_BYTES ((uint64_t)1 << 24)

static void header_put(uint8_t *p, const struct vae_codes *c, int cell)
{
	memcpy(p, VAE_CODES_MAGIC, 4);
	p[4] = c->head.channels && !c->head.mixed && !c->coded_alpha ? 1 : 2;
	p[5] = (uint8_t)((int)c->method | (c->head.mixed ? VAE_CODES_MIXED : 0));
	p[6] = (uint8_t)((int)c->head.geometry.format << 4 | (int)c->head.geometry.tuple);
	p[7] = (uint8_t)cell;
	vae_put64(p + 8, c->head.model_id);
	vae_put32(p + 16, c->head.geometry.width);
	vae_put32(p + 20, c->head.geometry.height);
	vae_put16(p + 24, c->head.geometry.maxval);
	vae_put16(p + 26, c->head.quality);
	vae_put16(p + 28, (uint16_t)c->head.channels);
	vae_put32(p + 30, vae_checksum(p, 30));
}

int vae_codes_header_get(struct vae_codes *c, const uint8_t *p, int64_t offset, uint64_t max_pixels,
                         struct vae_error *error)
{
	if (memcmp(p, VAE_CODES_MAGIC, 4))
		return vae_fail_at(
			error, VAE_EDATA, offset,
			"not codes: what is compressed here does not start with " VAE_CODES_MAGIC);
	if (p[4] < 1 || p[4] > NEWEST)
		return vae_fail_at(error, VAE_EDATA, offset,
		                   "codes of %sformat version %u; this program reads versions 1 to %d",
		                   p[4] ? "the newer " : "", p[4], NEWEST);
	if (vae_get32(p + 30) != vae_checksum(p, 30))
		return vae_fail_at(error, VAE_EDATA, offset, "damaged: the header's checksum is wrong");
	unsigned mixed = p[4] > 1 ? p[5] & VAE_CODES_MIXED : 0, method = p[5] ^ mixed;
	if (method != VAE_METHOD_RANGE && method != VAE_METHOD_ZSTD)
		return vae_fail_at(error, VAE_EDATA, offset,
		                   "codes of method %u, which this program does not know", p[5]);
	if (p[7] < VAE_MIN_CELL || p[7] > VAE_MAX_CELL)
		return vae_fail_at(error, VAE_EDATA, offset, "cells of 2^%u pixels: %d to %d are possible",
		                   p[7], VAE_MIN_CELL, VAE_MAX_CELL);
	c->method = (enum vae_method)method;
	c->head.mixed = mixed;
	c->head.model_id = vae_get64(p + 8);
	c->head.geometry =
		(struct vae_geometry){vae_get32(p + 16), vae_get32(p + 20), vae_get16(p + 24),
	                          (enum vae_format)(p[6] >> 4), (enum vae_tuple)(p[6] & 15)};
	c->head.quality = vae_get16(p + 26);
	c->head.channels = vae_get16(p + 28);
	c->head.rows = vae_cells(c->head.geometry.height, p[7]);
	c->head.columns = vae_cells(c->head.geometry.width, p[7]);
	c->coded_alpha = p[4] == 2 && vae_has_alpha(c->head.geometry.tuple);
	bool exact = !mixed && !method && !c->head.model_id && !c->head.quality && !c->head.channels;
	if (p[4] == 2 ? !exact && !(c->head.channels && (mixed || c->coded_alpha)) : !c->head.channels)
		return vae_fail_at(error, VAE_EDATA, offset,
		                   "%u latent channels, quality %u, method %u and model %016llx do not go "
		                   "with format version %u",
		                   c->head.channels, c->head.quality, p[5],
		                   (unsigned long long)c->head.model_id, p[4]);
	return vae_shape_check(&c->head, max_pixels, VAE_EDATA, NULL, error);
}

/* ---- reading --------------------------------------------------------------------------------- */

struct vae_codes_reader {
	FILE *file;
	int64_t offset; /* of the next byte of the compressed input, for messages */
	uint64_t max_pixels;
	ZSTD_DCtx *zstd;
	ZSTD_inBuffer input; /* src is owned */
	/* wanted: the bytes zstd asks for, so that a pipe is never read further than needed */
	size_t input_room, wanted;
	size_t frame_start; /* the value of wanted at the start of a frame */
	uint8_t *output;    /* owned */
	size_t output_room, output_pos, output_size;
	bool in_frame, ended;
	uint64_t payload_room; /* bytes left for this image's payloads */
	struct vae_metadata_tap metadata;
	struct vae_error failure; /* code is not 0 after a failure: sticky */
};

static int refill(struct vae_codes_reader *r, struct vae_error *error)
{
	size_t n = vae_min(r->wanted, r->input_room);
	r->input.pos = 0;
	r->input.size = fread((void *)r->input.src, 1, n, r->file);
	if (r->input.size < n && ferror(r->file))
		return vae_fail_errno(error, "cannot read codes");
	if (r->input.size == 0 && r->in_frame)
		return vae_fail_at(error, VAE_EDATA, r->offset, "codes: truncated");
	r->ended = r->input.size == 0;
	return 0;
}

/* Decompresses, once the output is used up, until there is output or a frame or the input ends. The
 * output has room for any block (ZSTD_DStreamOutSize) and the input holds one at most, so that zstd
 * never withholds output. */
static int decompress(struct vae_codes_reader *r, struct vae_error *error)
{
	r->output_pos = r->output_size = 0;
	for (;;) {
		int result = 0;
		if (r->input.pos == r->input.size && ((result = refill(r, error)) || r->ended))
			return result;
		ZSTD_outBuffer out = {r->output, r->output_room, 0};
		size_t before = r->input.pos, code = ZSTD_decompressStream(r->zstd, &out, &r->input);
		r->offset += (int64_t)(r->input.pos - before);
		if (ZSTD_isError(code) && !r->in_frame &&
		    ZSTD_getErrorCode(code) == ZSTD_error_prefix_unknown)
			return vae_fail_at(error, VAE_EDATA, r->offset, "not codes: no zstd frame begins here");
		if (ZSTD_isError(code))
			return vae_fail_at(error, VAE_EDATA, r->offset, "codes: zstd: %s",
			                   ZSTD_getErrorName(code));
		r->in_frame = code != 0;
		r->wanted = code ? code : r->frame_start;
		r->output_size = out.pos;
		result = vae_metadata_tap(&r->metadata, (const uint8_t *)r->input.src + before,
		                          r->input.pos - before, !code, error);
		if (result || out.pos || !code)
			return result;
	}
}

static int take(struct vae_codes_reader *r, void *data, size_t bytes, struct vae_error *error)
{
	for (uint8_t *p = data; bytes;) {
		size_t n = r->output_size - r->output_pos;
		if (n > bytes)
			n = bytes;
		if (n) {
			memcpy(p, r->output + r->output_pos, n);
			r->output_pos += n;
			p += n;
			bytes -= n;
			continue;
		}
		if (r->ended)
			return vae_fail_at(error, VAE_EDATA, r->offset,
			                   "codes: truncated: zstd's frames end inside an image");
		int result = decompress(r, error);
		if (result)
			return result;
	}
	return 0;
}

/* Reads a payload. Memory grows with the bytes that are really there, whatever the length says. */
static int read_payload(struct vae_slice *slice, uint32_t bytes, struct vae_codes_reader *r,
                        struct vae_error *error)
{
	struct vae_buffer payload = {0};
	int result = 0;
	for (uint32_t first = 0; first < bytes && !result; first += CHUNK) {
		size_t n = vae_min(bytes - first, CHUNK);
		uint8_t *p = vae_buffer_extend(&payload, n, error);
		result = p ? take(r, p, n, error) : VAE_EMEM;
	}
	if (result) {
		vae_buffer_clear(&payload);
		return result;
	}
	*slice = (struct vae_slice){.payload = payload.data, .bytes = bytes};
	return 0;
}

static int read_slice(struct vae_slice *slice, const struct vae_codes *c, uint32_t i,
                      struct vae_codes_reader *r, struct vae_error *error)
{
	uint8_t head[8];
	int result = take(r, head, sizeof head, error);
	if (result)
		return result;
	uint32_t bytes = vae_get32(head);
	if (bytes > vae_slice_limit(c, i) || bytes < vae_codes_alpha_bytes(c, i))
		return vae_fail_at(error, VAE_EDATA, r->offset,
		                   "damaged: slice %u of %u claims %u bytes, which it cannot have", i + 1,
		                   c->slices, bytes);
	if (bytes > r->payload_room)
		return vae_fail_at(
			error, VAE_ELIMIT, r->offset,
			"slices of more bytes together than a picture within the limit of pixels may take");
	r->payload_room -= bytes;
	if ((result = read_payload(slice, bytes, r, error)))
		return result;
	if (vae_checksum(slice->payload, bytes) != vae_get32(head + 4))
		result = vae_fail_at(error, VAE_EDATA, r->offset,
		                     "damaged: the checksum of slice %u of %u is wrong", i + 1, c->slices);
	else if (i == c->slices - 1 && r->in_frame && r->output_pos == r->output_size)
		result = decompress(r, error); /* zstd checks its checksum if the frame ends here */
	if (result)
		free(slice->payload);
	return result;
}

int vae_codes_slices_new(struct vae_codes *c, struct vae_error *error)
{
	uint64_t slices = vae_slice_count(c->head.rows, c->head.columns);
	if (slices > UINT32_MAX)
		return vae_fail(error, VAE_ELIMIT, "codes: %llu slices are more than a picture can have",
		                (unsigned long long)slices);
	int result = vae_alloc(&c->slice, (size_t)slices, sizeof *c->slice, error);
	if (!result)
		c->slices = (uint32_t)slices;
	return result;
}

uint64_t vae_codes_payload_room(uint64_t max_pixels)
{
	uint64_t pixels = max_pixels ? max_pixels : VAE_MAX_PIXELS;
	return pixels < UINT64_MAX / (2 * PAYLOAD_PIXEL_BYTES)
	           ? pixels * PAYLOAD_PIXEL_BYTES + PAYLOAD_SPARE_BYTES
	           : UINT64_MAX;
}

static int read_head(struct vae_codes **codes, struct vae_codes_reader *r, struct vae_error *error)
{
	uint8_t head[VAE_CODES_HEADER_BYTES];
	struct vae_codes *c;
	int result = vae_alloc(&c, 1, sizeof *c, error);
	if (result)
		return result;
	if ((result = take(r, head, sizeof head, error)) ||
	    (result = vae_codes_header_get(c, head, r->offset, r->max_pixels, error)))
		goto out;
	if ((result = vae_codes_slices_new(c, error)))
		goto out;
	r->payload_room = vae_codes_payload_room(r->max_pixels);
	*codes = c;
	c = NULL;
out:
	vae_codes_free(c);
	return result;
}

/* Stores a failure; every later call returns it. */
static int keep(struct vae_codes_reader *r, int result, const struct vae_error *why,
                struct vae_error *error)
{
	if (result >= 0)
		return result;
	r->failure = *why;
	if (error)
		*error = *why;
	return result;
}

int vae_codes_begin(struct vae_codes **codes, struct vae_codes_reader *r, struct vae_error *error)
{
	struct vae_error why = r->failure;
	int result = why.code;
	while (!result && !r->ended && r->output_pos == r->output_size)
		result = decompress(r, &why);
	if (!result && r->output_pos == r->output_size)
		return 0;
	if (!result && !(result = read_head(codes, r, &why)))
		return 1;
	return keep(r, result, &why, error);
}

int vae_codes_next(struct vae_slice *slice, const struct vae_codes *codes, uint32_t i,
                   struct vae_codes_reader *r, struct vae_error *error)
{
	struct vae_error why = r->failure;
	return keep(r, why.code ? (int)why.code : read_slice(slice, codes, i, r, &why), &why, error);
}

int vae_codes_read(struct vae_codes **codes, struct vae_codes_reader *r, struct vae_error *error)
{
	struct vae_codes *c;
	int result = vae_codes_begin(&c, r, error);
	if (result != 1)
		return result;
	for (uint32_t i = 0; i < c->slices; i++)
		if ((result = vae_codes_next(&c->slice[i], c, i, r, error))) {
			c->slice[i].payload = NULL;
			vae_codes_free(c);
			return result;
		}
	*codes = c;
	return 1;
}

int vae_codes_reader_new(struct vae_codes_reader **reader, FILE *file, uint64_t max_pixels,
                         struct vae_error *error)
{
	struct vae_codes_reader *r;
	off_t here = ftello(file);
	if (vae_alloc(&r, 1, sizeof *r, error))
		return VAE_EMEM;
	void *input = malloc(ZSTD_DStreamInSize());
	*r = (struct vae_codes_reader){.file = file,
	                               .offset = here < 0 ? 0 : here,
	                               .max_pixels = max_pixels,
	                               .zstd = ZSTD_createDCtx(),
	                               .input = {input, 0, 0},
	                               .input_room = ZSTD_DStreamInSize(),
	                               .output = malloc(ZSTD_DStreamOutSize()),
	                               .output_room = ZSTD_DStreamOutSize()};
	if (!r->zstd || !input || !r->output) {
		vae_codes_reader_free(r);
		return vae_fail(error, VAE_EMEM, "out of memory");
	}
	r->wanted = r->frame_start = ZSTD_initDStream(r->zstd);
	ZSTD_DCtx_setParameter(r->zstd, ZSTD_d_windowLogMax, WINDOW_LOG_MAX);
	*reader = r;
	return 0;
}

int vae_codes_unpack(struct vae_codes **codes, const void *bytes, size_t count, uint64_t max_pixels,
                     struct vae_error *error)
{
	struct vae_codes_reader *reader;
	FILE *file = count ? fmemopen((void *)bytes, count, "rb") : NULL;
	if (!file)
		return count ? vae_fail_errno(error, "cannot read memory")
		             : vae_fail(error, VAE_EDATA, "no codes in 0 bytes");
	int rc = vae_codes_reader_new(&reader, file, max_pixels, error);
	if (!rc) {
		rc = vae_codes_read(codes, reader, error);
		vae_codes_reader_free(reader);
		if (rc == 0)
			rc = vae_fail(error, VAE_EDATA, "no codes in %zu bytes", count);
	}
	fclose(file);
	return rc < 0 ? rc : 0;
}

void vae_codes_reader_metadata(struct vae_codes_reader *r, vae_codes_metadata_found *found,
                               void *context)
{
	r->metadata.found = found;
	r->metadata.context = context;
}

void vae_codes_reader_free(struct vae_codes_reader *r)
{
	if (!r)
		return;
	ZSTD_freeDCtx(r->zstd);
	vae_metadata_tap_clear(&r->metadata);
	free((void *)r->input.src);
	free(r->output);
	free(r);
}

/* ---- writing --------------------------------------------------------------------------------- */

struct writer {
	FILE *file;
	ZSTD_CCtx *zstd;
	uint8_t *output; /* owned */
	size_t room;
};

/* Compresses bytes and writes the output. upto: ZSTD_e_flush also closes the block, ZSTD_e_end the
 * frame. */
static int feed(struct writer *w, const void *data, size_t bytes, ZSTD_EndDirective upto,
                struct vae_error *error)
{
	ZSTD_inBuffer in = {data, bytes, 0};
	for (;;) {
		ZSTD_outBuffer out = {w->output, w->room, 0};
		size_t left = ZSTD_compressStream2(w->zstd, &out, &in, upto);
		if (ZSTD_isError(left))
			return vae_fail(error, VAE_EMEM, "zstd: %s", ZSTD_getErrorName(left));
		if (out.pos && fwrite(w->output, 1, out.pos, w->file) != out.pos)
			return vae_fail_errno(error, "cannot write codes");
		if (upto == ZSTD_e_continue ? in.pos == in.size : !left)
			return 0;
	}
}

static int check(const struct vae_codes *c, int level, int *cell, struct vae_error *error)
{
	int result = vae_shape_check(&c->head, UINT64_MAX, VAE_EARG, cell, error);
	if (result)
		return result;
	if (c->method != VAE_METHOD_RANGE && c->method != VAE_METHOD_ZSTD)
		return vae_fail(error, VAE_EARG, "codes: no method %d", (int)c->method);
	if (level < 0 || level > 19)
		return vae_fail(error, VAE_EARG, "zstd level %d is not 1 to 19", level);
	if (c->slices != vae_slice_count(c->head.rows, c->head.columns))
		return vae_fail(error, VAE_EARG, "codes: %u slices, where the picture has %llu", c->slices,
		                (unsigned long long)vae_slice_count(c->head.rows, c->head.columns));
	for (uint32_t i = 0; i < c->slices; i++)
		if (c->slice[i].lost || c->slice[i].bytes > vae_slice_limit(c, i) ||
		    c->slice[i].bytes < vae_codes_alpha_bytes(c, i))
			return vae_fail(error, VAE_EARG, "codes: slice %u has %u bytes, which it cannot have",
			                i + 1, c->slice[i].bytes);
	return 0;
}

uint64_t vae_codes_content_bytes(const struct vae_codes *c)
{
	uint64_t bytes = VAE_CODES_HEADER_BYTES;
	for (uint32_t i = 0; i < c->slices; i++)
		bytes += 8 + (uint64_t)c->slice[i].bytes;
	return bytes;
}

/* Writes a slice. alpha: bytes at the payload's start, which get blocks of their own. The other
 * bytes keep theirs, so that damage to alpha spares the symbols, and the reverse. */
static int write_slice(struct writer *w, const struct vae_slice *s, size_t alpha, bool last,
                       struct vae_error *error)
{
	uint8_t head[8];
	ZSTD_EndDirective upto = alpha ? ZSTD_e_flush : ZSTD_e_continue;
	vae_put32(head, s->bytes);
	vae_put32(head + 4, vae_checksum(s->payload, s->bytes));
	int result = feed(w, head, sizeof head, upto, error);
	if (!result && alpha)
		result = feed(w, s->payload, alpha, upto, error);
	const uint8_t *symbols = alpha ? s->payload + alpha : s->payload; /* NULL if there are none */
	return result ? result : feed(w, symbols, s->bytes - alpha, last ? ZSTD_e_end : upto, error);
}

/* Writes the frame of codes that have been checked. */
static int write_frame(const struct vae_codes *c, FILE *file, int cell, int level,
                       struct vae_error *error)
{
	uint8_t head[VAE_CODES_HEADER_BYTES];
	int result;
	struct writer w = {file, ZSTD_createCCtx(), malloc(ZSTD_CStreamOutSize()),
	                   ZSTD_CStreamOutSize()};
	if (!w.zstd || !w.output ||
	    ZSTD_isError(ZSTD_CCtx_setParameter(w.zstd, ZSTD_c_compressionLevel, level)) ||
	    ZSTD_isError(ZSTD_CCtx_setParameter(w.zstd, ZSTD_c_checksumFlag, 1)) ||
	    ZSTD_isError(ZSTD_CCtx_setPledgedSrcSize(w.zstd, vae_codes_content_bytes(c)))) {
		result = vae_fail(error, VAE_EMEM, "zstd: out of memory");
		goto out;
	}
	header_put(head, c, cell);
	if ((result = feed(&w, head, sizeof head, ZSTD_e_continue, error)))
		goto out;
	for (uint32_t i = 0; i < c->slices && !result; i++)
		result = write_slice(&w, &c->slice[i], (size_t)vae_codes_alpha_bytes(c, i),
		                     i + 1 == c->slices, error);
out:
	ZSTD_freeCCtx(w.zstd);
	free(w.output);
	return result;
}

static int pack_frame(char **bytes, size_t *count, const struct vae_codes *codes, int cell,
                      int level, struct vae_error *error)
{
	char *packed = NULL;
	size_t size = 0;
	FILE *file = open_memstream(&packed, &size);
	int rc = file ? write_frame(codes, file, cell, level, error)
	              : vae_fail(error, VAE_EMEM, "out of memory");
	/* If glibc cannot shrink the memory at the end, it gives NULL and no error. */
	if (file && (fclose(file) || !packed) && !rc)
		rc = vae_fail(error, VAE_EMEM, "out of memory");
	if (rc) {
		free(packed);
		return rc;
	}
	*bytes = packed;
	*count = size;
	return 0;
}

/* Packs at both levels that suit alpha and keeps the smaller result: soft edges need the long
 * search of the higher level, which spends more bits on offsets in flat areas. */
static int pack_alpha(char **bytes, size_t *count, const struct vae_codes *codes, int cell,
                      struct vae_error *error)
{
	char *flat, *soft;
	size_t flat_size, soft_size;
	int rc = pack_frame(&flat, &flat_size, codes, cell, LEVEL_FLAT_ALPHA, error);
	if (rc)
		return rc;
	if ((rc = pack_frame(&soft, &soft_size, codes, cell, LEVEL_SOFT_ALPHA, error))) {
		free(flat);
		return rc;
	}
	free(soft_size < flat_size ? flat : soft);
	*bytes = soft_size < flat_size ? soft : flat;
	*count = soft_size < flat_size ? soft_size : flat_size;
	return 0;
}

int vae_codes_pack(char **bytes, size_t *count, const struct vae_codes *codes, int level,
                   struct vae_error *error)
{
	int cell, rc = check(codes, level, &cell, error);
	if (rc)
		return rc;
	if (level == VAE_LEVEL_DEFAULT && vae_codes_alpha_bytes(codes, 0))
		return pack_alpha(bytes, count, codes, cell, error);
	return pack_frame(bytes, count, codes, cell, level ? level : LEVEL_PLAIN, error);
}

int vae_codes_write(const struct vae_codes *codes, FILE *file, int level, struct vae_error *error)
{
	char *bytes;
	size_t count;
	int cell, rc = check(codes, level, &cell, error);
	if (rc)
		return rc;
	if (level || !vae_codes_alpha_bytes(codes, 0))
		return write_frame(codes, file, cell, level ? level : LEVEL_PLAIN, error);
	if ((rc = vae_codes_pack(&bytes, &count, codes, level, error)))
		return rc;
	if (fwrite(bytes, 1, count, file) != count)
		rc = vae_fail_errno(error, "cannot write codes");
	free(bytes);
	return rc;
}

void vae_codes_free(struct vae_codes *codes)
{
	if (!codes)
		return;
	for (uint32_t i = 0; i < codes->slices; i++)
		free(codes->slice[i].payload);
	free(codes->slice);
	free(codes);
}
