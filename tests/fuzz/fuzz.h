/* fuzz.h - the common part of the fuzz targets. A target aborts on faults that no sanitizer sees: a
 * failure without a message, or two results that should be equal and are not. Run from the root of
 * the tree. */
#ifndef FUZZ_H
#define FUZZ_H

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "vae.h"

#define FUZZ_PIXELS 4096 /* limit set by every target, so that an execution is short */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size); /* libFuzzer's */

static inline void must(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "fuzz: %s\n", what);
	abort();
}

/* Returns whether rc is a failure; a failure fills the error with its own code and one line. */
static inline bool failed(int rc, const struct vae_error *error)
{
	if (rc >= 0)
		return false;
	must(error->code == (enum vae_err)rc, "the error has another code than the one returned");
	must(*error->text && !strchr(error->text, '\n'), "the error has not one line of text");
	return true;
}

static inline FILE *open_bytes(const uint8_t *data, size_t size)
{
	FILE *file = size ? fmemopen((void *)data, size, "rb") : fopen("/dev/null", "rb");
	must(file, "no file in memory");
	return file;
}

static inline const struct vae_model *tiny(void)
{
	static struct vae_model *model;
	struct vae_error error;
	if (!model) {
		omp_set_num_threads(1);
		must(!vae_model_load(&model, "tests/data/tiny.safetensors", &error),
		     "no tests/data/tiny.safetensors here");
	}
	return model;
}

static inline size_t pixels_of(const struct vae_geometry *g)
{
	return (size_t)g->width * g->height;
}

static inline bool same_geometry(const struct vae_geometry *a, const struct vae_geometry *b)
{
	return a->width == b->width && a->height == b->height && a->maxval == b->maxval &&
	       a->format == b->format && a->tuple == b->tuple;
}

static inline bool same_image(const struct vae_image *a, const struct vae_image *b)
{
	size_t pixels = pixels_of(&a->geometry);
	return same_geometry(&a->geometry, &b->geometry) && !a->alpha == !b->alpha &&
	       !memcmp(a->colour, b->colour,
	               pixels * (size_t)vae_colours(a->geometry.tuple) * sizeof *a->colour) &&
	       (!a->alpha || !memcmp(a->alpha, b->alpha, pixels * sizeof *a->alpha));
}

static inline bool same_latents(const struct vae_latents *a, const struct vae_latents *b)
{
	size_t beside = pixels_of(&a->head.geometry) *
	                (vae_has_alpha(a->head.geometry.tuple) +
	                 (a->head.channels ? 0 : (size_t)vae_colours(a->head.geometry.tuple)));
	return same_geometry(&a->head.geometry, &b->head.geometry) &&
	       a->head.model_id == b->head.model_id && a->head.quality == b->head.quality &&
	       a->head.rows == b->head.rows && a->head.columns == b->head.columns &&
	       a->head.channels == b->head.channels && !a->samples == !b->samples &&
	       !memcmp(a->y, b->y,
	               (size_t)a->head.rows * a->head.columns * a->head.channels * sizeof *a->y) &&
	       (!a->samples || !memcmp(a->samples, b->samples, beside * sizeof *a->samples));
}

static inline bool same_codes(const struct vae_codes *a, const struct vae_codes *b)
{
	bool same = same_geometry(&a->head.geometry, &b->head.geometry) &&
	            a->head.model_id == b->head.model_id && a->head.quality == b->head.quality &&
	            a->method == b->method && a->head.rows == b->head.rows &&
	            a->head.columns == b->head.columns && a->head.channels == b->head.channels &&
	            a->slices == b->slices;
	for (uint32_t i = 0; same && i < a->slices; i++)
		same = a->slice[i].bytes == b->slice[i].bytes &&
		       (!a->slice[i].bytes ||
		        !memcmp(a->slice[i].payload, b->slice[i].payload, a->slice[i].bytes));
	return same;
}

#endif
