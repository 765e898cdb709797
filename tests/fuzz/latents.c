/* latents.c - latents: reads, writes, and reads again; those of the small model are decoded, and
 * quantised and dequantised. */
#include "fuzz.h"

static void write_and_read(const struct vae_latents *latents)
{
	char *bytes = NULL;
	size_t count = 0;
	struct vae_error error;
	struct vae_latents *again = NULL;
	FILE *file = open_memstream(&bytes, &count);
	must(!vae_latents_write(latents, file, &error) && !fclose(file),
	     "latents that were read cannot be written");
	file = open_bytes((uint8_t *)bytes, count);
	must(vae_latents_read(&again, file, FUZZ_PIXELS, &error) == 1,
	     "latents that were written cannot be read");
	must(same_latents(latents, again), "latents that were written are others when read");
	must(!latents->model_hint == !again->model_hint &&
	         (!again->model_hint || !strcmp(again->model_hint, latents->model_hint)),
	     "another hint");
	vae_latents_free(again);
	fclose(file);
	free(bytes);
}

static void decode(const struct vae_latents *latents)
{
	struct vae_error error;
	struct vae_image *image;
	int rc = vae_decode(&image, tiny(), latents, &error);
	if (!failed(rc, &error))
		vae_image_free(image);
}

/* What can be coded comes back; coded again, it is the same. */
static void quantise(const struct vae_latents *latents, enum vae_method method, int effort)
{
	struct vae_error error;
	struct vae_codes *codes, *other;
	struct vae_latents *y, *again;
	if (failed(vae_quantise(&codes, tiny(), latents, method, effort, &error), &error))
		return;
	must(!vae_dequantise(&y, tiny(), codes, &error), "codes just made cannot be decoded");
	must(!vae_repack(&other, tiny(), codes, VAE_METHOD_RANGE + VAE_METHOD_ZSTD - method, &error),
	     "codes just made cannot be packed otherwise");
	must(!vae_dequantise(&again, tiny(), other, &error) && same_latents(y, again),
	     "the other method gives other latents");
	decode(y);
	vae_latents_free(y);
	vae_latents_free(again);
	vae_codes_free(codes);
	vae_codes_free(other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vae_error error;
	struct vae_latents *latents;
	FILE *file = open_bytes(data, size);
	int rc = 1;
	vae_kind_peek(file);
	while (rc == 1) {
		rc = vae_latents_read(&latents, file, FUZZ_PIXELS, &error);
		if (failed(rc, &error) || rc == 0)
			break;
		write_and_read(latents);
		decode(latents);
		quantise(latents, VAE_METHOD_RANGE, VAE_EFFORT_DEFAULT);
		quantise(latents, VAE_METHOD_ZSTD, 0);
		vae_latents_free(latents);
	}
	fclose(file);
	return 0;
}
