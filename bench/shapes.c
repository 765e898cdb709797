/* shapes.c - a hash of a model's results on random pictures: builds and machines that agree print
 * the same number.
 *
 *     shapes MODEL [COUNT]      COUNT pictures (default 50) of random size, type, maxval, quality
 *                               and content, each with 1 to 8 threads
 *
 * The floating-point state is one that a host may have left behind: flush-to-zero, denormals as
 * zero, rounding towards zero. */
#include "base/bytes.h"
#include "base/random.h"
#include "image/image.h"
#include "vae.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define MOST_PX 96

static void spoil_state(void)
{
#if defined __x86_64__
	__builtin_ia32_ldmxcsr(0x1f80 | 0x8000 | 0x0040 | 0x6000);
#elif defined __aarch64__
	__asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)3 << 22 | (uint64_t)1 << 24));
#endif
}

static int stop(const struct vae_error *error)
{
	fprintf(stderr, "shapes: %s\n", error->text);
	return 1;
}

/* Makes a picture: smooth or rough, dark or bright; small sizes more often. */
static struct vae_image *picture(struct vae_random *r, const struct vae_model *model)
{
	static const enum vae_tuple tuples[] = {
		VAE_RGB, VAE_RGB, VAE_GRAYSCALE, VAE_RGB_ALPHA, VAE_GRAYSCALE_ALPHA, VAE_BLACKANDWHITE};
	static const uint16_t maxvals[] = {255, 255, 1023, 65535, 7};
	struct vae_geometry g = {1 + vae_random_below(r, 1 + vae_random_below(r, MOST_PX)),
	                         1 + vae_random_below(r, 1 + vae_random_below(r, MOST_PX)),
	                         maxvals[vae_random_below(r, 5)], VAE_PAM,
	                         tuples[vae_random_below(r, 6)]};
	struct vae_image *x;
	struct vae_error error;
	int width, height;
	if (sscanf(vae_model_arch(model), "mlp width=%d height=%d", &width, &height) == 2) {
		g.width = (uint32_t)width;
		g.height = (uint32_t)height;
		g.tuple = VAE_GRAYSCALE;
	}
	if ((g.tuple & 3) == VAE_BLACKANDWHITE)
		g.maxval = 1;
	if (vae_image_new(&x, &g, 0, &error))
		exit(stop(&error));
	size_t pixels = (size_t)g.width * g.height, samples = pixels * (size_t)vae_colours(g.tuple);
	uint32_t rough = 1 + vae_random_below(r, g.maxval),
			 level = vae_random_below(r, (uint32_t)g.maxval + 1);
	for (size_t i = 0; i < samples; i++) {
		level += vae_random_below(r, rough) - rough / 2;
		x->colour[i] = (uint16_t)(level % ((uint32_t)g.maxval + 1));
	}
	for (size_t i = 0; x->alpha && i < pixels; i++)
		x->alpha[i] = (uint16_t)vae_random_below(r, (uint32_t)g.maxval + 1);
	return x;
}

static void hash_samples(XXH64_state_t *hash, const uint16_t *samples, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint8_t bytes[2];
		vae_put16(bytes, samples[i]);
		XXH64_update(hash, bytes, 2);
	}
}

static void hash_image(XXH64_state_t *hash, const struct vae_image *x)
{
	size_t pixels = (size_t)x->geometry.width * x->geometry.height;
	hash_samples(hash, x->colour, pixels * (size_t)vae_colours(x->geometry.tuple));
	if (x->alpha)
		hash_samples(hash, x->alpha, pixels);
}

static int travel(XXH64_state_t *hash, const struct vae_model *model, struct vae_random *r,
                  struct vae_error *error)
{
	struct vae_image *x = picture(r, model), *back = NULL;
	struct vae_latents *y = NULL, *quantised = NULL;
	struct vae_codes *codes = NULL;
	double quality = vae_random_below(r, 1001) / 10.0;
	omp_set_num_threads(1 + (int)vae_random_below(r, 8));
	int rc = vae_encode(&y, model, x, quality, error);
	if (!rc)
		rc = vae_quantise(&codes, model, y, VAE_METHOD_RANGE, VAE_EFFORT_DEFAULT, error);
	if (!rc)
		rc = vae_dequantise(&quantised, model, codes, error);
	if (!rc)
		rc = vae_decode(&back, model, quantised, error);
	if (!rc) {
		for (uint32_t i = 0; i < codes->slices; i++)
			XXH64_update(hash, codes->slice[i].payload, codes->slice[i].bytes);
		hash_image(hash, back);
	}
	vae_image_free(x);
	vae_image_free(back);
	vae_latents_free(y);
	vae_latents_free(quantised);
	vae_codes_free(codes);
	return rc;
}

int main(int argc, char **argv)
{
	struct vae_error error = {0};
	struct vae_model *model;
	struct vae_random r;
	XXH64_state_t *hash = XXH64_createState();
	int count = argc > 2 ? atoi(argv[2]) : 50;
	if (argc < 2 || argc > 3 || count < 1) {
		fprintf(stderr, "usage: shapes MODEL [COUNT]\n");
		return 2;
	}
	if (!hash || vae_model_load(&model, argv[1], &error))
		return stop(&error);
	XXH64_reset(hash, 0);
	vae_random_init(&r, 1, 0, 0);
	for (int i = 0; i < count; i++) {
		spoil_state();
		if (travel(hash, model, &r, &error))
			return stop(&error);
	}
	printf("%016llx\n", (unsigned long long)XXH64_digest(hash));
	XXH64_freeState(hash);
	vae_model_free(model);
	return 0;
}
