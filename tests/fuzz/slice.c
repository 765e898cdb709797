/* slice.c - slices without checksums: the input is the content of codes (vae-codes(5)), whose
 * magic, model and checksums are ignored. A payload that the decoder accepts is the one
 * that the encoder makes of its symbols. */
#include "base/bytes.h"
#include "fuzz.h"
#include "stream/codes.h"
#include "stream/geometry.h"

#define HEADER_BYTES 34
#define MOST_SLICES  4

static bool read_head(struct vae_codes *c, const uint8_t *p)
{
	c->method = p[5] & 1 ? VAE_METHOD_ZSTD : VAE_METHOD_RANGE;
	c->head.model_id = vae_model_id(tiny());
	c->head.geometry =
		(struct vae_geometry){vae_get32(p + 16), vae_get32(p + 20), vae_get16(p + 24),
	                          (enum vae_format)(p[6] >> 4), (enum vae_tuple)(p[6] & 15)};
	c->head.quality = vae_get16(p + 26);
	c->head.channels = vae_get16(p + 28);
	c->head.mixed = p[4] > 1 && p[5] & VAE_CODES_MIXED;
	c->coded_alpha = p[4] > 1 && vae_has_alpha(c->head.geometry.tuple);
	c->head.rows = vae_cells(c->head.geometry.height, VAE_MIN_CELL);
	c->head.columns = vae_cells(c->head.geometry.width, VAE_MIN_CELL);
	if (vae_shape_check(&c->head, FUZZ_PIXELS, VAE_EDATA, NULL, NULL))
		return false;
	c->slices = (uint32_t)vae_slice_count(c->head.rows, c->head.columns);
	return c->slices <= MOST_SLICES;
}

/* Puts payloads on the heap, so that a byte read too many is detected. */
static bool read_slices(struct vae_codes *c, const uint8_t *data, size_t size)
{
	for (uint32_t i = 0; i < c->slices; i++) {
		if (size < 8)
			return false;
		uint32_t bytes = vae_get32(data);
		if (i + 1 == c->slices || bytes > size - 8)
			bytes = (uint32_t)size - 8;
		c->slice[i] = (struct vae_slice){.payload = malloc(bytes ? bytes : 1), .bytes = bytes};
		memcpy(c->slice[i].payload, data + 8, bytes);
		data += 8 + bytes;
		size -= 8 + bytes;
	}
	return true;
}

static void decode(const struct vae_codes *c)
{
	struct vae_error error;
	struct vae_latents *y;
	struct vae_image *image;
	struct vae_codes *again;
	if (failed(vae_dequantise(&y, tiny(), c, &error), &error))
		return;
	must(!vae_decode(&image, tiny(), y, &error), "latents from codes cannot be decoded");
	must(!vae_repack(&again, tiny(), c, c->method, &error), "what was decoded cannot be packed");
	must(c->method != VAE_METHOD_RANGE || same_codes(c, again),
	     "two payloads for the same symbols");
	vae_codes_free(again);
	vae_image_free(image);
	vae_latents_free(y);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vae_slice slice[MOST_SLICES] = {{0}};
	struct vae_codes codes = {.slice = slice};
	if (size >= HEADER_BYTES && read_head(&codes, data) &&
	    read_slices(&codes, data + HEADER_BYTES, size - HEADER_BYTES))
		decode(&codes);
	for (int i = 0; i < MOST_SLICES; i++)
		free(slice[i].payload);
	return 0;
}
