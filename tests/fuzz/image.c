/* image.c - pictures: one that was read is written and read again as the same. */
#include "fuzz.h"

static void write_and_read(const struct vae_image *image)
{
	char *bytes = NULL;
	size_t count = 0;
	struct vae_error error;
	struct vae_image *again = NULL;
	FILE *file = open_memstream(&bytes, &count);
	must(!vae_image_write(image, file, &error) && !fclose(file),
	     "a picture that was read cannot be written");
	file = open_bytes((uint8_t *)bytes, count);
	must(vae_image_read(&again, file, FUZZ_PIXELS, &error) == 1,
	     "a picture that was written cannot be read");
	must(same_image(image, again), "a picture that was written is another when read");
	vae_image_free(again);
	must(vae_image_read(&again, file, FUZZ_PIXELS, &error) == 0,
	     "something is left behind a picture that was written");
	fclose(file);
	free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vae_error error;
	struct vae_image *image;
	FILE *file = open_bytes(data, size);
	int rc = 1;
	vae_kind_peek(file);
	while (rc == 1) {
		rc = vae_image_read(&image, file, FUZZ_PIXELS, &error);
		if (failed(rc, &error) || rc == 0)
			break;
		write_and_read(image);
		vae_image_free(image);
	}
	fclose(file);
	return 0;
}
