/* compress.c - compresses samples in the caller's memory to the bytes of codes, and decompresses
 * them. */
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "image/image.h"
#include "stream/geometry.h"
#include "stream/metadata.h"

#define BAND_PIXELS  ((size_t)1 << 20) /* about as many between two calls of progress */
#define MOST_THREADS 1024

/* ---- samples in the caller's array ----------------------------------------------------------- */

static size_t sample_bytes(const struct vae_pixels *p) { return (size_t)p->bits / 8; }

static size_t row_bytes(const struct vae_pixels *p)
{
	return (size_t)p->width * (size_t)p->channels * sample_bytes(p);
}

static uint8_t *row_at(const struct vae_pixels *p, size_t row)
{
	return (uint8_t *)p->samples + row * (p->stride ? p->stride : row_bytes(p));
}

/* Checks the caller's description of samples and converts it to a geometry. */
static int geometry_of(struct vae_geometry *g, const struct vae_pixels *p, struct vae_error *error)
{
	static const enum vae_tuple tuple[] = {VAE_GRAYSCALE, VAE_GRAYSCALE_ALPHA, VAE_RGB,
	                                       VAE_RGB_ALPHA};
	static const enum vae_format format[] = {VAE_PGM, VAE_PAM, VAE_PPM, VAE_PAM};
	if (p->channels < 1 || p->channels > 4)
		return vae_fail(error, VAE_EARG, "%d channels: 1 to 4 are possible", p->channels);
	if (p->bits != 8 && p->bits != 16)
		return vae_fail(error, VAE_EARG, "samples of %d bits: 8 and 16 are possible", p->bits);
	unsigned most = p->bits == 8 ? UINT8_MAX : UINT16_MAX;
	if (p->maxval > most)
		return vae_fail(error, VAE_EARG, "maxval %u in samples of %d bits", p->maxval, p->bits);
	*g = (struct vae_geometry){.width = p->width,
	                           .height = p->height,
	                           .maxval = p->maxval ? p->maxval : (uint16_t)most,
	                           .format = format[p->channels - 1],
	                           .tuple = tuple[p->channels - 1]};
	int rc = vae_geometry_check(g, UINT64_MAX, VAE_EARG, error);
	if (!rc && p->stride && p->stride < row_bytes(p))
		rc = vae_fail(error, VAE_EARG, "a stride of %zu bytes, where a row has %zu", p->stride,
		              row_bytes(p));
	return rc;
}

/* Describes a picture to the caller: samples packed, none there yet. */
static struct vae_pixels pixels_of(const struct vae_geometry *g)
{
	struct vae_pixels p = {.width = g->width,
	                       .height = g->height,
	                       .channels = vae_colours(g->tuple) + vae_has_alpha(g->tuple),
	                       .bits = g->maxval > UINT8_MAX ? 16 : 8,
	                       .maxval = g->maxval};
	p.stride = row_bytes(&p);
	return p;
}

/* Separates one row of samples; returns the largest. */
static uint16_t take_row(uint16_t *colour, uint16_t *alpha, const struct vae_pixels *p, size_t row)
{
	const uint8_t *from = row_at(p, row);
	int colours = p->channels - (alpha != NULL);
	uint16_t s = 0, greatest = 0;
	for (size_t x = 0; x < p->width; x++)
		for (int c = 0; c < p->channels; c++) {
			if (p->bits == 8)
				s = *from;
			else
				memcpy(&s, from, sizeof s);
			from += sample_bytes(p);
			greatest = s > greatest ? s : greatest;
			if (c < colours)
				*colour++ = s;
			else
				*alpha++ = s;
		}
	return greatest;
}

/* Joins one row of samples. */
static void put_row(const struct vae_pixels *p, size_t row, const uint16_t *colour,
                    const uint16_t *alpha)
{
	uint8_t *to = row_at(p, row);
	int colours = p->channels - (alpha != NULL);
	for (size_t x = 0; x < p->width; x++)
		for (int c = 0; c < p->channels; c++) {
			uint16_t s = c < colours ? *colour++ : *alpha++;
			if (p->bits == 8)
				*to = (uint8_t)s;
			else
				memcpy(to, &s, sizeof s);
			to += sample_bytes(p);
		}
}

struct pixel_rows {
	struct vae_image_rows rows;
	const struct vae_pixels *pixels;
};

static int read_pixels(struct vae_image_rows *self, uint32_t rows, uint16_t *colour,
                       uint16_t *alpha, struct vae_error *error)
{
	const struct vae_pixels *p = ((struct pixel_rows *)self)->pixels;
	size_t colours = (size_t)vae_colours(self->geometry.tuple);
	for (; rows; rows--, self->row++, colour += colours * p->width) {
		uint16_t greatest = take_row(colour, alpha, p, self->row);
		if (greatest > self->geometry.maxval)
			return vae_fail(error, VAE_EARG, "a sample of %u in row %u, where maxval is %u",
			                greatest, self->row, self->geometry.maxval);
		alpha = alpha ? alpha + p->width : NULL;
	}
	return 0;
}

static void release_nothing(struct vae_image_rows *self) { (void)self; }

/* ---- progress -------------------------------------------------------------------------------- */

static int tell(vae_progress *progress, void *context, double share, struct vae_error *error)
{
	return progress && !progress(context, share)
	           ? vae_fail(error, VAE_ESTOP, "the caller stopped it")
	           : 0;
}

/* Returns the rows of a band, at least 1, given the pixels of each. */
static uint32_t band_of(size_t pixels)
{
	return pixels < BAND_PIXELS ? (uint32_t)(BAND_PIXELS / pixels) : 1;
}

/* Latents between analysis and quantiser, computed a band at a time. */
struct watched_rows {
	struct vae_latents_rows rows;
	struct vae_latents_rows *from;
	const struct vae_compress_options *options;
};

static int read_watched(struct vae_latents_rows *self, uint32_t rows, float *y, uint16_t *samples,
                        struct vae_error *error)
{
	const struct watched_rows *w = (struct watched_rows *)self;
	const struct vae_head *head = &self->head;
	const struct vae_compress_options *o = w->options;
	uint32_t band = band_of((size_t)16 * head->geometry.width);
	int rc = 0;
	while (rows && !rc) {
		uint32_t n = rows < band ? rows : band, end = self->row + n;
		rc = w->from->read(w->from, n, y, samples, error);
		for (; samples && self->row < end; self->row++)
			samples += vae_row_samples(head, self->row);
		y = y ? y + (size_t)n * head->columns * head->channels : NULL;
		self->row = end;
		rows -= n;
		rc = rc ? rc : tell(o->progress, o->context, (double)end / head->rows, error);
	}
	return rc;
}

/* Sets the threads of this thread's parallel regions, 0: unchanged; the caller restores *before. */
static int enter_threads(int *before, int threads, struct vae_error *error)
{
	if (threads < 0 || threads > MOST_THREADS)
		return vae_fail(error, VAE_EARG, "%d threads: 0 to %d are possible", threads, MOST_THREADS);
	*before = omp_get_max_threads();
	if (threads)
		omp_set_num_threads(threads);
	return 0;
}

/* ---- samples to bytes ------------------------------------------------------------------------ */

void vae_compress_defaults(struct vae_compress_options *options)
{
	*options =
		(struct vae_compress_options){.quality = VAE_QUALITY_DEFAULT, .effort = VAE_EFFORT_DEFAULT};
}

static int encode(struct vae_codes **codes, const struct vae_model *model,
                  struct vae_image_rows *image, const struct vae_compress_options *o,
                  struct vae_error *error)
{
	struct vae_image_rows *filled = NULL;
	struct vae_latents_rows *latents = NULL;
	int rc = 0;
	if (!o->lossless && !o->keep_invisible)
		rc = vae_image_rows_fill(&filled, image, error);
	struct vae_image_rows *from = filled ? filled : image;
	if (!rc)
		rc = o->lossless   ? vae_encode_exact_rows(&latents, from, error)
		     : o->no_exact ? vae_encode_rows(&latents, model, from, o->quality, error)
		                   : vae_encode_mixed_rows(&latents, model, from, o->quality, NULL, error);
	if (!rc) {
		struct watched_rows w = {
			.rows = {.head = latents->head, .read = read_watched}, .from = latents, .options = o};
		rc = vae_quantise_rows(codes, model, &w.rows, VAE_METHOD_RANGE, o->effort, error);
	}
	vae_latents_rows_free(latents);
	vae_image_rows_free(filled);
	return rc;
}

/* Packs codes and their metadata. */
static int pack(uint8_t **bytes, size_t *count, const struct vae_codes *codes,
                const struct vae_compress_options *o, struct vae_error *error)
{
	char *frame;
	size_t size;
	int rc = vae_codes_pack(&frame, &size, codes, VAE_LEVEL_DEFAULT, error);
	if (rc)
		return rc;
	struct vae_buffer all = {.data = (uint8_t *)frame, .size = size, .capacity = size};
	for (int i = 0; i < o->metadata_count && !rc; i++)
		rc = vae_metadata_append(&all, &o->metadata[i], error);
	if (rc) {
		vae_buffer_clear(&all);
		return rc;
	}
	*bytes = all.data;
	*count = all.size;
	return 0;
}

int vae_compress(uint8_t **bytes, size_t *count, const struct vae_model *model,
                 const struct vae_pixels *pixels, const struct vae_compress_options *options,
                 struct vae_error *error)
{
	struct vae_compress_options o;
	struct pixel_rows image = {{.read = read_pixels, .release = release_nothing}, pixels};
	struct vae_codes *codes = NULL;
	int before = 0, rc = geometry_of(&image.rows.geometry, pixels, error);
	vae_compress_defaults(&o);
	o = options ? *options : o;
	for (int i = 0; i < o.metadata_count && !rc; i++)
		rc = vae_codes_metadata_check(&o.metadata[i], error);
	if (!rc && !model && !o.lossless)
		rc = vae_fail(error, VAE_EARG, "no model, which only lossless codes do without");
	if (rc || (rc = enter_threads(&before, o.threads, error)))
		return rc;
	if (!(rc = encode(&codes, model, &image.rows, &o, error)))
		rc = pack(bytes, count, codes, &o, error);
	omp_set_num_threads(before);
	vae_codes_free(codes);
	return rc;
}

/* ---- bytes to samples ------------------------------------------------------------------------ */

/* The open objects while one picture is decoded from memory; NULL until opened. */
struct decoding {
	FILE *file;
	struct vae_codes_reader *reader;
	struct vae_codes *codes;
	struct vae_model *found; /* by the id in the codes */
	struct vae_latents_rows *latents;
	struct vae_image_rows *image;
};

static void decoding_clear(struct decoding *d)
{
	vae_image_rows_free(d->image);
	vae_latents_rows_free(d->latents);
	vae_model_free(d->found);
	vae_codes_free(d->codes);
	vae_codes_reader_free(d->reader);
	if (d->file)
		fclose(d->file);
}

/* Reads the header of the codes. */
static int decoding_begin(struct decoding *d, const void *bytes, size_t count, uint64_t max_pixels,
                          struct vae_error *error)
{
	if (count == 0)
		return vae_fail(error, VAE_EDATA, "no codes in 0 bytes");
	if (!(d->file = fmemopen((void *)bytes, count, "rb")))
		return vae_fail_errno(error, "cannot read memory");
	int rc = vae_codes_reader_new(&d->reader, d->file, max_pixels, error);
	if (!rc)
		rc = vae_codes_begin(&d->codes, d->reader, error);
	if (rc == 0)
		rc = vae_fail(error, VAE_EDATA, "no codes in %zu bytes", count);
	return rc < 0 ? rc : 0;
}

/* Opens the stages up to the image. */
static int decoding_stages(struct decoding *d, const struct vae_model *model, int reduce,
                           struct vae_error *error)
{
	int rc = 0;
	if (reduce != 0 && reduce != 1 && reduce != 4 && reduce != 8)
		return vae_fail(error, VAE_EARG, "reduced by %d: 1, 4 and 8 are possible", reduce);
	if (!model && d->codes->head.channels &&
	    !(rc = vae_model_find_id(&d->found, d->codes->head.model_id, NULL, error)))
		model = d->found;
	if (!rc)
		rc = vae_dequantise_rows(&d->latents, model, d->codes, d->reader, NULL, error);
	if (!rc)
		rc = reduce > 1 ? vae_decode_reduced_rows(&d->image, model, d->latents, reduce, error)
		                : vae_decode_rows(&d->image, model, d->latents, NULL, error);
	return rc;
}

/* Fits *to to what the caller gave: room for the samples of a picture, or NULL, for which it
 * allocates. */
static int fit(struct vae_pixels *to, const struct vae_pixels *given, const struct vae_geometry *g,
               struct vae_error *error)
{
	struct vae_pixels wanted = pixels_of(g);
	struct vae_geometry room;
	size_t bytes;
	uint8_t *samples;
	int rc;
	if (!given->samples) {
		if ((rc = vae_multiply(&bytes, wanted.stride, wanted.height, 1, error)) ||
		    (rc = vae_alloc_raw(&samples, bytes, 1, error)))
			return rc;
		*to = wanted;
		to->samples = samples;
		return 0;
	}
	if ((rc = geometry_of(&room, given, error)))
		return rc;
	if (given->width != wanted.width || given->height != wanted.height ||
	    given->channels != wanted.channels || given->bits < wanted.bits)
		return vae_fail(error, VAE_EARG,
		                "room for %ux%u pixels, %d channels of %d bits: the picture has %ux%u, %d "
		                "of %d",
		                given->width, given->height, given->channels, given->bits, wanted.width,
		                wanted.height, wanted.channels, wanted.bits);
	*to = *given;
	to->maxval = g->maxval;
	return 0;
}

static int put_image(const struct vae_pixels *to, struct vae_image_rows *image,
                     const struct vae_decompress_options *o, struct vae_error *error)
{
	const struct vae_geometry *g = &image->geometry;
	size_t colours = (size_t)vae_colours(g->tuple) * g->width;
	uint32_t band = band_of((size_t)16 * g->width) * 16; /* whole cells */
	uint16_t *colour, *alpha;
	int rc = vae_image_alloc(&colour, &alpha, g, band = band < g->height ? band : g->height, error);
	if (rc)
		return rc;
	for (uint32_t row = 0; row < g->height && !rc; row = image->row) {
		uint32_t n = g->height - row < band ? g->height - row : band;
		if ((rc = image->read(image, n, colour, alpha, error)))
			break;
		for (uint32_t i = 0; i < n; i++)
			put_row(to, row + i, colour + i * colours, alpha ? alpha + (size_t)i * g->width : NULL);
		rc = tell(o->progress, o->context, (double)image->row / g->height, error);
	}
	free(colour);
	free(alpha);
	return rc;
}

/* Reads what follows the image: metadata, and nothing but codes. */
static int decoding_end(struct decoding *d, struct vae_error *error)
{
	struct vae_codes *second;
	int rc = vae_codes_begin(&second, d->reader, error);
	if (rc != 1)
		return rc;
	vae_codes_free(second);
	return vae_fail(error, VAE_EDATA, "more than one image: vae_codes_read reads them all");
}

static int decompress(struct vae_pixels *to, const struct vae_pixels *given, struct decoding *d,
                      const struct vae_model *model, const struct vae_decompress_options *o,
                      struct vae_error *error)
{
	int rc = decoding_stages(d, model, o->reduce, error);
	if (rc || (rc = fit(to, given, &d->image->geometry, error)))
		return rc;
	if (!(rc = put_image(to, d->image, o, error)))
		rc = decoding_end(d, error);
	if (rc && !given->samples)
		free(to->samples);
	return rc;
}

int vae_decompress(struct vae_pixels *pixels, const struct vae_model *model, const void *bytes,
                   size_t count, const struct vae_decompress_options *options,
                   struct vae_error *error)
{
	static const struct vae_decompress_options defaults;
	const struct vae_decompress_options *o = options ? options : &defaults;
	struct decoding d = {0};
	struct vae_pixels to;
	int before = 0, rc = enter_threads(&before, o->threads, error);
	if (rc)
		return rc;
	if (!(rc = decoding_begin(&d, bytes, count, o->max_pixels, error))) {
		vae_codes_reader_metadata(d.reader, o->metadata, o->metadata_context);
		rc = decompress(&to, pixels, &d, model, o, error);
	}
	decoding_clear(&d);
	omp_set_num_threads(before);
	if (!rc)
		*pixels = to;
	return rc;
}

int vae_codes_describe(struct vae_head *head, struct vae_pixels *pixels, const void *bytes,
                       size_t count, uint64_t max_pixels, struct vae_error *error)
{
	struct decoding d = {0};
	int rc = decoding_begin(&d, bytes, count, max_pixels, error);
	if (!rc && head)
		*head = d.codes->head;
	if (!rc && pixels)
		*pixels = pixels_of(&d.codes->head.geometry);
	decoding_clear(&d);
	return rc;
}
