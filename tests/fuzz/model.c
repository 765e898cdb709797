/* model.c - model files. An input that begins with a brace is only a header, up to its end or a
 * NUL; the tensors behind it are those of the small model, or of mnist-1 if the header is an mlp's,
 * changed by the bytes after the NUL: five each, place and value. Any other input is a whole file.
 * A model that loads is used: encode, quantise, and back. */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bytes.h"
#include "fuzz.h"

struct tensors {
	uint8_t *data;
	size_t size;
};

static struct tensors tensors_of(const char *path)
{
	struct tensors t = {0};
	uint8_t head[8];
	FILE *file = fopen(path, "rb");
	must(file && fread(head, 8, 1, file) == 1 && !fseek(file, (long)vae_get64(head), SEEK_CUR),
	     path);
	t.data = malloc(1 << 20);
	t.size = fread(t.data, 1, 1 << 20, file);
	fclose(file);
	return t;
}

static void put(int fd, const void *data, size_t size)
{
	must(write(fd, data, size) == (ssize_t)size, "write");
}

/* Writes a header with tensors. */
static void put_recipe(int fd, const uint8_t *data, size_t size)
{
	static struct tensors photo, mlp;
	if (!photo.data) {
		photo = tensors_of("tests/data/tiny.safetensors");
		mlp = tensors_of("models/mnist-1.safetensors");
	}
	size_t length = strnlen((const char *)data, size);
	const struct tensors *t = memmem(data, length, "\"mlp", 4) ? &mlp : &photo;
	uint8_t head[8], *changed = malloc(t->size);
	memcpy(changed, t->data, t->size);
	for (size_t at = length + 1; at + 5 <= size; at += 5)
		changed[vae_get32(data + at) % t->size] = data[at + 4];
	vae_put64(head, length);
	put(fd, head, 8);
	put(fd, data, length);
	put(fd, changed, t->size);
	free(changed);
}

static struct vae_image *ramp(const struct vae_model *model)
{
	struct vae_geometry g = {19, 11, 255, VAE_PPM, VAE_RGB};
	struct vae_image *x;
	struct vae_error error;
	if (!strncmp(vae_model_arch(model), "mlp ", 4)) {
		unsigned width, height;
		must(sscanf(vae_model_arch(model), "mlp width=%u height=%u", &width, &height) == 2,
		     "an mlp of no size");
		g = (struct vae_geometry){width, height, 255, VAE_PGM, VAE_GRAYSCALE};
	}
	must(!vae_image_new(&x, &g, 0, &error), "no picture");
	for (size_t i = 0; i < pixels_of(&g) * (size_t)vae_colours(g.tuple); i++)
		x->colour[i] = (uint16_t)(i * 7 % 256);
	return x;
}

/* What the model quantises it can dequantise. */
static void quantise(const struct vae_model *model, const struct vae_latents *y,
                     enum vae_method method)
{
	struct vae_error error;
	struct vae_codes *codes;
	struct vae_latents *back;
	struct vae_image *image;
	if (failed(vae_quantise(&codes, model, y, method, VAE_EFFORT_DEFAULT, &error), &error))
		return;
	int rc = vae_dequantise(&back, model, codes, &error);
	must(!rc, "codes just made cannot be decoded");
	if (!failed(vae_decode(&image, model, back, &error), &error))
		vae_image_free(image);
	vae_latents_free(back);
	vae_codes_free(codes);
}

static void use(const struct vae_model *model)
{
	struct vae_error error;
	struct vae_image *x = ramp(model);
	struct vae_latents *y;
	struct vae_latents_rows *sample;
	struct vae_sample_options options = {
		.width = strncmp(vae_model_arch(model), "photo", 5) ? 0 : 40, .quality = 30, .seed = 1};
	struct vae_part parts[16];
	must(vae_model_parts(model, parts, 16) > 0, "a model without parts");
	failed(vae_model_verify(model, &error), &error);
	vae_model_metadata(model, "licence");
	options.height = options.width;
	if (!failed(vae_sample_rows(&sample, model, &options, &error), &error)) {
		if (!failed(vae_latents_rows_collect(&y, sample, &error), &error))
			vae_latents_free(y);
		vae_latents_rows_free(sample);
	}
	if (!failed(vae_encode(&y, model, x, 30, &error), &error)) {
		quantise(model, y, VAE_METHOD_RANGE);
		quantise(model, y, VAE_METHOD_ZSTD);
		vae_latents_free(y);
	}
	vae_image_free(x);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[64];
	struct vae_error error;
	struct vae_model *model;
	int fd = memfd_create("model", MFD_CLOEXEC);
	must(fd >= 0, "no memfd");
	omp_set_num_threads(1);
	if (size && *data == '{')
		put_recipe(fd, data, size);
	else
		put(fd, data, size);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	int rc = vae_model_load(&model, path, &error);
	close(fd);
	if (failed(rc, &error))
		return 0;
	use(model);
	vae_model_free(model);
	return 0;
}

/* ---- the mutator: one word or number of the header, or the bytes behind it ------------------- */

static bool is_word(uint8_t c)
{
	return c >= '0' && c != ':' && c != '[' && c != ']' && c != '{' && c != '}' && c != ',';
}

/* Changes `part` bytes at `at` of data in place, by at most 64 bytes more. */
static size_t mutate_part(uint8_t *data, size_t size, size_t max_size, size_t at, size_t part)
{
	uint8_t piece[256];
	size_t room = part + 64 < sizeof piece ? part + 64 : sizeof piece;
	part = part < room ? part : room;
	if (size - part + room > max_size)
		room = max_size - (size - part);
	if (!room)
		return size;
	memcpy(piece, data + at, part);
	size_t new = LLVMFuzzerMutate(piece, part, room);
	memmove(data + at + new, data + at + part, size - at - part);
	memcpy(data + at, piece, new);
	return size - part + new;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
	bool recipe = size && *data == '{';
	size_t head = recipe ? 0 : 8, length = recipe     ? strnlen((char *)data, size)
	                                       : size < 8 ? 0
	                                                  : (size_t)vae_get64(data);
	if (seed % 4 == 0 || size < 64 || length < 32 || length > size - head)
		return LLVMFuzzerMutate(data, size, max_size);
	if (seed % 4 == 1) { /* the tensors */
		size_t behind = size - head - length, at = behind ? seed / 4 % behind : 0,
			   part = behind - at < 64 ? behind - at : 64;
		return mutate_part(data, size, max_size, head + length + at, part);
	}
	size_t at = head + seed / 4 % length, end = at + 1;
	while (at > head && is_word(data[at - 1]))
		at--;
	while (end < head + length && is_word(data[end]))
		end++;
	size_t new = mutate_part(data, size, max_size, at, end - at);
	if (!recipe)
		vae_put64(data, length + new - size);
	return new;
}
