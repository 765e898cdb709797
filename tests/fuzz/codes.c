/* codes.c - codes: reads, writes, and reads again; those of the small model are decoded in every
 * way. The mutator changes the content of zstd's frames and usually repairs the checksums. */
#include "content.h"

static void write_and_read(const struct vae_codes *codes)
{
	char *bytes = NULL;
	size_t count = 0;
	struct vae_error error;
	struct vae_codes_reader *reader;
	struct vae_codes *again = NULL;
	FILE *file = open_memstream(&bytes, &count);
	must(!vae_codes_write(codes, file, 1, &error) && !fclose(file),
	     "codes that were read cannot be written");
	file = open_bytes((uint8_t *)bytes, count);
	must(!vae_codes_reader_new(&reader, file, FUZZ_PIXELS, &error), "no reader");
	must(vae_codes_read(&again, reader, &error) == 1 && same_codes(codes, again),
	     "codes that were written are others when read");
	vae_codes_free(again);
	vae_codes_reader_free(reader);
	fclose(file);
	free(bytes);
}

static void repack(const struct vae_codes *codes, const struct vae_latents *y,
                   enum vae_method method)
{
	struct vae_error error;
	struct vae_codes *other;
	struct vae_latents *again;
	must(!vae_repack(&other, tiny(), codes, method, &error),
	     "codes that can be decoded cannot be packed");
	must(!vae_dequantise(&again, tiny(), other, &error) && same_latents(y, again),
	     "codes packed anew give other latents");
	/* a payload of the entropy coder has only one form */
	must(method != VAE_METHOD_RANGE || codes->method != method || same_codes(codes, other),
	     "two payloads for the same symbols");
	vae_latents_free(again);
	vae_codes_free(other);
}

/* Returns the picture, or NULL if it cannot be decoded. */
static struct vae_image *decode(const struct vae_codes *codes)
{
	struct vae_error error;
	struct vae_latents *y;
	struct vae_image *image = NULL;
	struct vae_rate rate;
	int rc = vae_dequantise(&y, tiny(), codes, &error);
	int estimated = vae_rate_estimate(
		&rate, tiny(), codes, &error); /* ignores alpha samples, which may be out of range */
	must(!failed(estimated, &error) || rc < 0, "what can be decoded can be estimated");
	if (rc < 0)
		return NULL;
	repack(codes, y, VAE_METHOD_RANGE);
	repack(codes, y, VAE_METHOD_ZSTD);
	must(!vae_decode(&image, tiny(), y, &error), "latents from codes cannot be decoded");
	vae_latents_free(y);
	return image;
}

/* Its middle, decoded from the stream, is the same. */
static void decode_window(const uint8_t *data, size_t size, const struct vae_image *image)
{
	const struct vae_geometry *g = &image->geometry;
	struct vae_rect window = {g->height / 3, g->width / 3, (g->height + 2) / 3, (g->width + 2) / 3};
	struct vae_error error;
	struct vae_codes_reader *reader;
	struct vae_codes *codes;
	struct vae_latents_rows *latents;
	struct vae_image_rows *rows;
	struct vae_image *part;
	size_t colours = (size_t)vae_colours(g->tuple);
	FILE *file = open_bytes(data, size);
	must(!vae_codes_reader_new(&reader, file, FUZZ_PIXELS, &error) &&
	         vae_codes_begin(&codes, reader, &error) == 1,
	     "a second reading differs");
	must(!vae_dequantise_rows(&latents, tiny(), codes, reader, &window, &error), "no rows");
	must(!vae_decode_rows(&rows, tiny(), latents, &window, &error) &&
	         !vae_image_rows_collect(&part, rows, &error),
	     "no window");
	for (uint32_t y = 0; y < window.rows; y++)
		must(
			!memcmp(part->colour + y * window.columns * colours,
		            image->colour + ((window.row + y) * (size_t)g->width + window.column) * colours,
		            window.columns * colours * sizeof *part->colour),
			"the window has other pixels");
	vae_image_free(part);
	vae_image_rows_free(rows);
	vae_latents_rows_free(latents);
	vae_codes_free(codes);
	vae_codes_reader_free(reader);
	fclose(file);
}

static void look_at_damage(void *context, const struct vae_damage *damage)
{
	must(damage->error.code && damage->error.text[0], "damage without a reason");
	(void)context;
}

static int look_at_metadata(void *context, const struct vae_codes_metadata *m,
                            struct vae_error *error)
{
	uint64_t *sum = context;
	must(m->bytes && m->bytes <= VAE_METADATA_MAX, "metadata of a size that they cannot have");
	must(m->damaged || strcmp(vae_codes_metadata_name(m->kind), "unknown"), "an unknown kind");
	for (size_t i = 0; i < m->bytes; i++)
		*sum += m->data[i];
	(void)error;
	return 0;
}

/* Decodes the images that salvage returns; returns their number. */
static uint64_t salvage(const uint8_t *data, size_t size)
{
	struct vae_error error;
	struct vae_salvage *salvage;
	struct vae_codes *codes;
	struct vae_latents *y;
	FILE *file = open_bytes(data, size);
	uint64_t images = 0;
	int rc;
	must(!vae_salvage_new(&salvage, file, FUZZ_PIXELS, look_at_damage, NULL, &error), "no salvage");
	while ((rc = vae_salvage_read(&codes, salvage, &error)) == 1) {
		images++;
		if (!failed(vae_salvage_check(codes, salvage, tiny(), &error), &error)) {
			must(!vae_dequantise(&y, tiny(), codes, &error), "what was salvaged cannot be decoded");
			vae_latents_free(y);
		}
		vae_codes_free(codes);
	}
	failed(rc, &error);
	vae_salvage_free(salvage);
	fclose(file);
	return images;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vae_error error;
	struct vae_codes_reader *reader;
	struct vae_codes *codes;
	FILE *file = open_bytes(data, size);
	uint64_t images = salvage(data, size), sum = 0;
	int rc = 1;
	vae_kind_peek(file);
	must(!vae_codes_reader_new(&reader, file, FUZZ_PIXELS, &error), "no reader");
	vae_codes_reader_metadata(reader, look_at_metadata, &sum);
	for (int i = 0; rc == 1; i++) {
		rc = vae_codes_read(&codes, reader, &error);
		if (failed(rc, &error) || rc == 0) {
			must(rc < 0 || images == (uint64_t)i,
			     "salvage finds other images in a stream that is whole");
			break;
		}
		write_and_read(codes);
		struct vae_image *image = decode(codes);
		if (image && i == 0)
			decode_window(data, size, image);
		vae_image_free(image);
		vae_codes_free(codes);
	}
	vae_codes_reader_free(reader);
	fclose(file);
	return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
	uint8_t content[CONTENT_BYTES];
	size_t bytes = seed % 8 ? unwrap(content, data, size) : 0;
	if (!bytes)
		return LLVMFuzzerMutate(data, size, max_size);
	bytes = LLVMFuzzerMutate(content, bytes, CONTENT_BYTES);
	if (seed % 4 && bytes >= HEADER_BYTES) {
		memcpy(content, "VAEC", 4);
		content[4] = content[4] == 2 ? 2 : 1;
		vae_put64(content + 8, content[4] == 2 ? 0 : vae_model_id(tiny()));
	}
	if (seed % 8 > 1)
		repair(content, bytes);
	size_t packed = wrap(data, max_size, content, bytes);
	return packed ? packed : LLVMFuzzerMutate(data, size, max_size);
}
