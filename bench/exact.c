/* exact.c - exact samples of pictures: bits a sample, and megabytes of samples a second both ways,
 * on one thread.
 *
 *     exact PICTURE...     each a PNM or PAM; a line for each, then one for all
 *
 * Times are CPU time of the thread. A picture is divided into tiles of VAE_EXACT_SIDE; 4 bytes for
 * each tile are added, as a stream would need for its length. */
#include "exact/exact.h"
#include "vae.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct total {
	double samples, bytes, encode, decode;
};

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void tile_of(struct vae_exact_tile *tile, const struct vae_image *image, uint16_t *colour,
                    uint16_t *alpha, uint32_t left, uint32_t top)
{
	const struct vae_geometry *g = &image->geometry;
	unsigned colours = (unsigned)vae_colours(g->tuple);
	*tile = (struct vae_exact_tile){
		.width = g->width - left < VAE_EXACT_SIDE ? g->width - left : VAE_EXACT_SIDE,
		.height = g->height - top < VAE_EXACT_SIDE ? g->height - top : VAE_EXACT_SIDE,
		.planes = colours + (alpha != NULL),
		.maxval = g->maxval};
	for (unsigned i = 0; i < colours; i++)
		tile->plane[i] =
			(struct vae_exact_plane){colour + ((size_t)top * g->width + left) * colours + i,
		                             colours, (size_t)g->width * colours};
	if (alpha)
		tile->plane[colours] =
			(struct vae_exact_plane){alpha + (size_t)top * g->width + left, 1, g->width};
}

static int measure_tile(struct total *sum, const struct vae_image *image, uint32_t left,
                        uint32_t top, struct vae_error *error)
{
	const struct vae_geometry *g = &image->geometry;
	size_t pixels = (size_t)g->width * g->height, colours = (unsigned)vae_colours(g->tuple);
	uint16_t *colour = calloc(pixels * colours, sizeof *colour),
			 *alpha = image->alpha ? calloc(pixels, sizeof *alpha) : NULL;
	struct vae_exact_tile from, to;
	struct vae_buffer buffer = {0};
	int rc = colour && (alpha || !image->alpha) ? 0 : VAE_EMEM;
	tile_of(&from, image, image->colour, image->alpha, left, top);
	tile_of(&to, image, colour, alpha, left, top);
	double t = now();
	if (!rc)
		rc = vae_exact_encode(&buffer, &from, error);
	sum->encode += now() - t;
	t = now();
	if (!rc)
		rc = vae_exact_decode(&to, buffer.data, buffer.size, error);
	sum->decode += now() - t;
	for (unsigned p = 0; p < from.planes && !rc; p++)
		for (uint32_t y = 0; y < from.height; y++)
			for (uint32_t x = 0; x < from.width; x++)
				if (from.plane[p].sample[y * from.plane[p].stride + x * from.plane[p].step] !=
				    to.plane[p].sample[y * to.plane[p].stride + x * to.plane[p].step]) {
					fprintf(stderr, "exact: sample %u of pixel %u,%u differs\n", p, left + x,
					        top + y);
					exit(1);
				}
	sum->samples += (double)from.width * from.height * from.planes;
	sum->bytes += (double)buffer.size + 4;
	vae_buffer_clear(&buffer);
	free(colour);
	free(alpha);
	return rc;
}

static void report(const char *name, const struct total *t)
{
	printf("%-32s %9.0f bytes  %7.4f bits a sample  %6.1f MB/s in  %6.1f MB/s out\n", name,
	       t->bytes, 8 * t->bytes / t->samples, t->samples / t->encode / 1e6,
	       t->samples / t->decode / 1e6);
}

int main(int argc, char **argv)
{
	struct vae_error error = {0};
	struct total all = {0};
	for (int i = 1; i < argc; i++) {
		struct vae_image *image = NULL;
		struct total one = {0};
		FILE *in = fopen(argv[i], "rb");
		if (!in || vae_image_read(&image, in, 0, &error) != 1) {
			fprintf(stderr, "exact: %s: %s\n", argv[i], in ? error.text : "cannot be opened");
			return 1;
		}
		fclose(in);
		for (uint32_t y = 0; y < image->geometry.height; y += VAE_EXACT_SIDE)
			for (uint32_t x = 0; x < image->geometry.width; x += VAE_EXACT_SIDE)
				if (measure_tile(&one, image, x, y, &error)) {
					fprintf(stderr, "exact: %s: %s\n", argv[i], error.text);
					return 1;
				}
		const char *name = strrchr(argv[i], '/');
		report(name ? name + 1 : argv[i], &one);
		all.samples += one.samples;
		all.bytes += one.bytes;
		all.encode += one.encode;
		all.decode += one.decode;
		vae_image_free(image);
	}
	report("all", &all);
	return 0;
}
