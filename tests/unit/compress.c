/* Memory to memory: the bytes are those of the stages called one by one, and come back as the
 * samples that these make, whatever the layout; models and codes from memory. */
#include "vae.h"
#include "tap.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define WIDTH  70
#define HEIGHT 50
#define MODEL  "tests/data/tiny.safetensors"

static struct vae_error error;

/* A smooth picture with some of everything, in an array with `gap` bytes behind each row. */
static struct vae_pixels picture_of(uint32_t width, uint32_t height, int channels, int bits,
                                    unsigned maxval, size_t gap)
{
	size_t row = (size_t)width * (size_t)channels * (size_t)bits / 8;
	struct vae_pixels p = {.width = width,
	                       .height = height,
	                       .channels = channels,
	                       .bits = bits,
	                       .maxval = (uint16_t)maxval,
	                       .stride = gap ? row + gap : 0,
	                       .samples = calloc(height, row + gap)};
	for (size_t y = 0; y < height; y++)
		for (size_t x = 0; x < width; x++)
			for (int c = 0; c < channels; c++) {
				uint16_t s =
					(uint16_t)((x * 3 + y * (unsigned)(c + 1)) * maxval / 500 % (maxval + 1));
				if (c == channels - 1 && channels % 2 == 0)
					s = x < 20 ? 0 : (uint16_t)maxval;
				uint8_t *to = (uint8_t *)p.samples + y * (row + gap) +
				              (x * (size_t)channels + (size_t)c) * (size_t)bits / 8;
				if (bits == 8)
					*to = (uint8_t)s;
				else
					memcpy(to, &s, 2);
			}
	return p;
}

static struct vae_pixels picture(int channels, int bits, unsigned maxval, size_t gap)
{
	return picture_of(WIDTH, HEIGHT, channels, bits, maxval, gap);
}

static unsigned sample(const struct vae_pixels *p, size_t y, size_t x, int c)
{
	size_t each = (size_t)p->bits / 8, row = p->width * (size_t)p->channels * each;
	const uint8_t *from = (const uint8_t *)p->samples + y * (p->stride ? p->stride : row) +
	                      (x * (size_t)p->channels + (size_t)c) * each;
	uint16_t s = *from;
	if (p->bits == 16)
		memcpy(&s, from, 2);
	return s;
}

static bool same(const struct vae_pixels *a, const struct vae_pixels *b)
{
	bool equal = a->width == b->width && a->height == b->height && a->channels == b->channels;
	for (size_t y = 0; equal && y < a->height; y++)
		for (size_t x = 0; equal && x < a->width; x++)
			for (int c = 0; equal && c < a->channels; c++)
				equal = sample(a, y, x, c) == sample(b, y, x, c);
	return equal;
}

/* The same picture as the other functions have it. */
static struct vae_image *image_of(const struct vae_pixels *p)
{
	static const enum vae_tuple tuple[] = {VAE_GRAYSCALE, VAE_GRAYSCALE_ALPHA, VAE_RGB,
	                                       VAE_RGB_ALPHA};
	struct vae_geometry g = {.width = p->width,
	                         .height = p->height,
	                         .maxval = p->maxval,
	                         .tuple = tuple[p->channels - 1],
	                         .format = p->channels == 1   ? VAE_PGM
	                                   : p->channels == 3 ? VAE_PPM
	                                                      : VAE_PAM};
	struct vae_image *image = NULL;
	if (vae_image_new(&image, &g, 0, &error))
		return NULL;
	int colours = vae_colours(g.tuple);
	for (size_t i = 0; i < (size_t)p->width * p->height; i++)
		for (int c = 0; c < p->channels; c++) {
			uint16_t s = (uint16_t)sample(p, i / p->width, i % p->width, c);
			if (c < colours)
				image->colour[i * (size_t)colours + (size_t)c] = s;
			else
				image->alpha[i] = s;
		}
	return image;
}

static bool matches(const struct vae_image *image, const struct vae_pixels *p)
{
	struct vae_geometry g = image->geometry;
	int colours = vae_colours(g.tuple);
	bool equal = g.width == p->width && g.height == p->height && g.maxval == p->maxval &&
	             p->channels == colours + (image->alpha != NULL);
	for (size_t i = 0; equal && i < (size_t)p->width * p->height; i++)
		for (int c = 0; equal && c < p->channels; c++)
			equal =
				sample(p, i / p->width, i % p->width, c) ==
				(c < colours ? image->colour[i * (size_t)colours + (size_t)c] : image->alpha[i]);
	return equal;
}

/* Codes and picture by the stages, one by one. */
static int by_stages(char **bytes, size_t *count, struct vae_image **decoded,
                     const struct vae_model *m, const struct vae_image *image)
{
	struct vae_image_rows *rows = NULL, *filled = NULL;
	struct vae_latents_rows *y = NULL;
	struct vae_latents *back = NULL;
	struct vae_codes *codes = NULL;
	int rc;
	if (!(rc = vae_image_rows_new(&rows, image, &error)) &&
	    !(rc = vae_image_rows_fill(&filled, rows, &error)) &&
	    !(rc = vae_encode_mixed_rows(&y, m, filled, VAE_QUALITY_DEFAULT, NULL, &error)) &&
	    !(rc = vae_quantise_rows(&codes, m, y, VAE_METHOD_RANGE, VAE_EFFORT_DEFAULT, &error)) &&
	    !(rc = vae_codes_pack(bytes, count, codes, VAE_LEVEL_DEFAULT, &error)) &&
	    !(rc = vae_dequantise(&back, m, codes, &error)))
		rc = vae_decode(decoded, m, back, &error);
	vae_latents_free(back);
	vae_codes_free(codes);
	vae_latents_rows_free(y);
	vae_image_rows_free(filled);
	vae_image_rows_free(rows);
	return rc;
}

static void check_lossy(const struct vae_model *m, int channels, int bits, unsigned maxval,
                        size_t gap)
{
	struct vae_pixels p = picture(channels, bits, maxval, gap), back = {0};
	struct vae_image *image = image_of(&p), *decoded = NULL;
	char *expected = NULL;
	uint8_t *bytes = NULL;
	size_t expected_count = 0, count = 0;
	ok(image && !by_stages(&expected, &expected_count, &decoded, m, image) &&
	       !vae_compress(&bytes, &count, m, &p, NULL, &error) && count == expected_count &&
	       !memcmp(bytes, expected, count),
	   "%d channels of %d bits up to %u, gaps of %zu: the bytes of the stages (%s)", channels, bits,
	   maxval, gap, error.text);
	ok(!vae_decompress(&back, m, bytes, count, NULL, &error) && decoded && matches(decoded, &back),
	   "and their picture (%s)", error.text);
	struct vae_pixels wide = picture(channels, 16, maxval, 6);
	ok(!vae_decompress(&wide, m, bytes, count, NULL, &error) && same(&wide, &back) &&
	       wide.maxval == maxval,
	   "in a wider array of the caller's, too (%s)", error.text);
	vae_image_free(decoded);
	vae_image_free(image);
	free(wide.samples);
	free(back.samples);
	free(p.samples);
	free(expected);
	free(bytes);
}

static void check_lossless(int channels, int bits, unsigned maxval, size_t gap)
{
	struct vae_pixels p = picture(channels, bits, maxval, gap), back = {0}, shape;
	struct vae_compress_options o;
	struct vae_head head;
	uint8_t *bytes = NULL;
	size_t count = 0;
	vae_compress_defaults(&o);
	o.lossless = true;
	ok(!vae_compress(&bytes, &count, NULL, &p, &o, &error) &&
	       !vae_decompress(&back, NULL, bytes, count, NULL, &error) && same(&p, &back),
	   "lossless: %d channels of %d bits up to %u, gaps of %zu (%s)", channels, bits, maxval, gap,
	   error.text);
	ok(!vae_codes_describe(&head, &shape, bytes, count, 0, &error) && head.channels == 0 &&
	       shape.channels == channels && shape.bits == (maxval > 255 ? 16 : 8) &&
	       shape.width == WIDTH && shape.height == HEIGHT && shape.maxval == maxval &&
	       !shape.samples,
	   "and what they say first");
	free(back.samples);
	free(p.samples);
	free(bytes);
}

/* ---- callbacks ------------------------------------------------------------------------------- */

struct steps {
	int count, stop_at;
	double last;
	bool rises;
};

static bool step(void *context, double share)
{
	struct steps *s = context;
	s->rises = s->rises && share > s->last;
	s->last = share;
	return ++s->count != s->stop_at;
}

static int found(void *context, const struct vae_codes_metadata *m, struct vae_error *e)
{
	(void)e;
	*(int *)context += m->kind == VAE_METADATA_XMP && m->bytes == 4 && !memcmp(m->data, "<x/>", 4);
	return 0;
}

static void check_callbacks(const struct vae_model *m)
{
	struct vae_pixels p = picture(3, 8, 255, 0), back = {0};
	struct vae_codes_metadata xmp = {VAE_METADATA_XMP, (const uint8_t *)"<x/>", 4, false};
	struct steps steps = {.rises = true}, stop = {.stop_at = 1};
	struct vae_compress_options o;
	struct vae_decompress_options d = {.progress = step, .context = &steps};
	uint8_t *bytes = NULL, *one = NULL, *none = NULL;
	size_t count = 0, one_count = 0, none_count = 7;
	int threads = omp_get_max_threads(), met = 0;
	vae_compress_defaults(&o);
	o.progress = step;
	o.context = &steps;
	o.metadata = &xmp;
	o.metadata_count = 1;
	ok(!vae_compress(&bytes, &count, m, &p, &o, &error) && steps.count && steps.rises &&
	       steps.last == 1,
	   "progress of compression rises to 1");
	steps = (struct steps){.rises = true};
	d.metadata = found;
	d.metadata_context = &met;
	ok(!vae_decompress(&back, NULL, bytes, count, &d, &error) && steps.count && steps.rises &&
	       steps.last == 1,
	   "and that of decompression, with the model that the codes name (%s)", error.text);
	ok(met == 1, "metadata come back");
	o.context = &stop;
	ok(vae_compress(&none, &none_count, m, &p, &o, &error) == VAE_ESTOP && !none && none_count == 7,
	   "compression is stopped: %s", error.text);
	struct vae_pixels empty = {0};
	stop.count = 0;
	d.context = &stop;
	ok(vae_decompress(&empty, m, bytes, count, &d, &error) == VAE_ESTOP && !empty.samples,
	   "decompression is stopped");
	o = (struct vae_compress_options){
		.quality = VAE_QUALITY_DEFAULT, .effort = VAE_EFFORT_DEFAULT, .threads = threads + 1};
	ok(!vae_compress(&one, &one_count, m, &p, &o, &error) && one_count < count &&
	       !memcmp(one, bytes, one_count) && omp_get_max_threads() == threads,
	   "threads change neither the bytes nor the caller's number of them");
	free(one);
	free(bytes);
	free(back.samples);
	free(p.samples);
}

/* A picture of several bands, with alpha, which travels beside the latents. */
static void check_bands(const struct vae_model *m)
{
	struct vae_pixels p = picture_of(1100, 2100, 2, 8, 255, 0), back = {0};
	struct vae_image *image = image_of(&p), *decoded = NULL;
	struct steps steps = {.rises = true}, stop = {.stop_at = 2};
	struct vae_compress_options o;
	struct vae_decompress_options d = {.progress = step, .context = &steps};
	char *expected = NULL;
	uint8_t *bytes = NULL, *none = NULL;
	size_t expected_count = 0, count = 0;
	vae_compress_defaults(&o);
	o.progress = step;
	o.context = &steps;
	ok(image && !by_stages(&expected, &expected_count, &decoded, m, image) &&
	       !vae_compress(&bytes, &count, m, &p, &o, &error) && count == expected_count &&
	       !memcmp(bytes, expected, count),
	   "bands change no byte (%s)", error.text);
	ok(steps.count > 1 && steps.rises && steps.last == 1, "%d steps", steps.count);
	o.context = &stop;
	ok(vae_compress(&none, &count, m, &p, &o, &error) == VAE_ESTOP && stop.count == 2 && !none,
	   "it is stopped in the middle");
	steps = (struct steps){.rises = true};
	ok(!vae_decompress(&back, m, bytes, expected_count, &d, &error) && decoded &&
	       matches(decoded, &back) && steps.count > 1 && steps.rises && steps.last == 1,
	   "and back");
	vae_image_free(decoded);
	vae_image_free(image);
	free(back.samples);
	free(p.samples);
	free(expected);
	free(bytes);
}

/* ---- what is refused ------------------------------------------------------------------------- */

static void check_refusals(const struct vae_model *m)
{
	struct vae_pixels p = picture(3, 8, 255, 0), bad = p, other = picture(1, 8, 255, 0);
	uint8_t *bytes = NULL, *two = NULL;
	size_t count = 0, none;
	if (vae_compress(&bytes, &count, m, &p, NULL, &error))
		return;
	bad.channels = 5;
	ok(vae_compress(&two, &none, m, &bad, NULL, &error) == VAE_EARG, "%s", error.text);
	bad = p, bad.bits = 12;
	ok(vae_compress(&two, &none, m, &bad, NULL, &error) == VAE_EARG, "%s", error.text);
	bad = p, bad.stride = 3 * WIDTH - 1;
	ok(vae_compress(&two, &none, m, &bad, NULL, &error) == VAE_EARG, "%s", error.text);
	bad = p, bad.maxval = 100;
	ok(vae_compress(&two, &none, m, &bad, NULL, &error) == VAE_EARG, "%s", error.text);
	bad = p, bad.width = 0;
	ok(vae_compress(&two, &none, m, &bad, NULL, &error) == VAE_EARG, "%s", error.text);
	ok(vae_compress(&two, &none, NULL, &p, NULL, &error) == VAE_EARG, "%s", error.text);
	struct vae_decompress_options d = {.reduce = 3};
	ok(vae_decompress(&p, m, bytes, count, &d, &error) == VAE_EARG, "%s", error.text);
	d = (struct vae_decompress_options){.threads = -1};
	ok(vae_decompress(&p, m, bytes, count, &d, &error) == VAE_EARG, "%s", error.text);
	d = (struct vae_decompress_options){.max_pixels = 3};
	ok(vae_decompress(&p, m, bytes, count, &d, &error) == VAE_ELIMIT, "%s", error.text);
	ok(vae_decompress(&other, m, bytes, count, NULL, &error) == VAE_EARG, "%s", error.text);
	struct vae_pixels back = {0};
	ok(vae_decompress(&back, m, bytes, count - 5, NULL, &error) == VAE_EDATA && !back.samples, "%s",
	   error.text);
	ok(vae_decompress(&back, m, bytes, 0, NULL, &error) == VAE_EDATA, "%s", error.text);
	two = malloc(2 * count);
	memcpy(two, bytes, count);
	memcpy(two + count, bytes, count);
	ok(vae_decompress(&back, m, two, 2 * count, NULL, &error) == VAE_EDATA && !back.samples, "%s",
	   error.text);
	free(two);
	free(bytes);
	free(other.samples);
	free(p.samples);
}

/* ---- models and codes from memory ------------------------------------------------------------ */

static uint8_t *slurp(size_t *count, const char *name)
{
	FILE *file = fopen(name, "rb");
	uint8_t *bytes = malloc(1 << 20);
	*count = file ? fread(bytes, 1, 1 << 20, file) : 0;
	if (file)
		fclose(file);
	return bytes;
}

static void check_memory(const struct vae_model *m)
{
	struct vae_pixels p = picture(3, 8, 255, 0);
	struct vae_model *again = NULL, *cut = NULL;
	struct vae_codes *codes = NULL;
	uint8_t *bytes = NULL, *expected = NULL;
	char *packed = NULL;
	size_t count = 0, expected_count = 0, packed_count = 0, size;
	uint8_t *model = slurp(&size, MODEL);
	ok(!vae_model_load_memory(&again, model, size, &error) &&
	       vae_model_id(again) == vae_model_id(m) && !vae_model_path(again) &&
	       !vae_model_verify(again, &error),
	   "a model from memory (%s)", error.text);
	ok(again && !vae_compress(&bytes, &count, again, &p, NULL, &error) &&
	       !vae_compress(&expected, &expected_count, m, &p, NULL, &error) &&
	       count == expected_count && !memcmp(bytes, expected, count),
	   "makes the same codes");
	ok(vae_model_load_memory(&cut, model, size - 1, &error) == VAE_EMODEL &&
	       !strncmp(error.text, "model in memory: ", 17),
	   "%s", error.text);
	ok(vae_model_load_memory(&cut, model, 3, &error) == VAE_EMODEL, "%s", error.text);
	ok(!vae_codes_unpack(&codes, bytes, count, 0, &error) &&
	       !vae_codes_pack(&packed, &packed_count, codes, VAE_LEVEL_DEFAULT, &error) &&
	       packed_count == count && !memcmp(packed, bytes, count),
	   "codes from memory are the codes that were packed");
	struct vae_codes *none = NULL;
	ok(vae_codes_unpack(&none, bytes, count / 2, 0, &error) == VAE_EDATA && !none, "%s",
	   error.text);
	ok(vae_codes_unpack(&none, bytes, 0, 0, &error) == VAE_EDATA && !none, "%s", error.text);
	vae_codes_free(codes);
	vae_model_free(again);
	free(packed);
	free(expected);
	free(bytes);
	free(model);
	free(p.samples);
}

/* A child of fork compresses, too, though OpenMP had threads before; then so does the parent. */
static void check_fork(const struct vae_model *m)
{
	struct vae_pixels p = picture_of(1100, 1100, 3, 8, 255, 0);
	struct vae_compress_options o;
	uint8_t *bytes = NULL, *again = NULL;
	size_t count = 0, count_again = 0;
	int status = -1;
	vae_compress_defaults(&o);
	o.threads = 3;
	o.no_exact = true;
	bool good = !vae_compress(&bytes, &count, m, &p, &o, &error);
	fflush(stdout);
	pid_t child = good ? fork() : -1;
	if (!child) {
		alarm(120);
		good = !vae_compress(&again, &count_again, m, &p, &o, &error) && count_again == count &&
		       !memcmp(again, bytes, count);
		_exit(!good);
	}
	good = child > 0 && waitpid(child, &status, 0) == child && !status;
	ok(good, "a child of fork compresses to the same bytes: status %d", status);
	ok(!vae_compress(&again, &count_again, m, &p, &o, &error) && count_again == count &&
	       !memcmp(again, bytes, count),
	   "and so does its parent, afterwards (%s)", error.text);
	free(again);
	free(bytes);
	free(p.samples);
}

int main(void)
{
	struct vae_model *m;
	setenv("VAE_MODEL_PATH", "tests/data", 1);
	if (!ok(!vae_model_load(&m, MODEL, &error), "the small model (%s)", error.text))
		return tap_done();
	check_lossy(m, 1, 8, 255, 0);
	check_lossy(m, 3, 8, 255, 5);
	check_lossy(m, 4, 8, 255, 0);
	check_lossy(m, 2, 16, 1023, 3);
	check_lossy(m, 3, 16, 65535, 0);
	check_lossless(1, 8, 3, 0);
	check_lossless(4, 8, 255, 1);
	check_lossless(2, 16, 4095, 0);
	check_lossless(3, 16, 65535, 7);
	check_callbacks(m);
	check_bands(m);
	check_refusals(m);
	check_memory(m);
	check_fork(m);
	vae_model_free(m);
	return tap_done();
}
