/* fuzz.h - the common part of the fuzz targets. A target aborts on faults that no sanitizer sees: a
 * failure without a message, or two results that should be equal and are not. Run from the root of
 * the tree. */
#ifndef FUZZ_H
#define FUZZ_H

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "same.h"
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

#endif
