#include "image/image.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"

#define TUPLES 7 /* values of enum vae_tuple, 3 among them, which is none */

static const char *const names[TUPLES] = {
	[VAE_BLACKANDWHITE] = "BLACKANDWHITE", [VAE_BLACKANDWHITE_ALPHA] = "BLACKANDWHITE_ALPHA",
	[VAE_GRAYSCALE] = "GRAYSCALE", [VAE_GRAYSCALE_ALPHA] = "GRAYSCALE_ALPHA",
	[VAE_RGB] = "RGB", [VAE_RGB_ALPHA] = "RGB_ALPHA",
};

const char *vae_tuple_name(enum vae_tuple tuple)
{
	return (unsigned)tuple < TUPLES && names[tuple] ? names[tuple] : "UNKNOWN";
}

int vae_tuple_find(const char *name)
{
	for (int i = 0; i < TUPLES; i++)
		if (names[i] && !strcmp(names[i], name))
			return i;
	return -1;
}

int vae_colours(enum vae_tuple tuple)
{
	return (tuple & 3) == VAE_RGB ? 3 : 1;
}

bool vae_has_alpha(enum vae_tuple tuple)
{
	return tuple & 4;
}

static bool format_suits(enum vae_format format, enum vae_tuple tuple)
{
	switch (format) {
	case VAE_PBM: return tuple == VAE_BLACKANDWHITE;
	case VAE_PGM: return tuple == VAE_GRAYSCALE;
	case VAE_PPM: return tuple == VAE_RGB;
	case VAE_PAM: return true;
	}
	return false;
}

int vae_geometry_check(const struct vae_geometry *g, uint64_t max_pixels, enum vae_err code, struct vae_error *error)
{
	uint64_t limit = max_pixels ? max_pixels : VAE_MAX_PIXELS;

	if (!g->width || !g->height || g->width > INT32_MAX || g->height > INT32_MAX)
		return vae_fail(error, code, "a picture of %u x %u pixels: sides are 1 to 2147483647", g->width, g->height);
	if (!g->maxval)
		return vae_fail(error, code, "a picture of maxval 0: maxval is 1 to 65535");
	if ((unsigned)g->tuple >= TUPLES || !names[g->tuple])
		return vae_fail(error, code, "%d is no tuple type", (int)g->tuple);
	if (!format_suits(g->format, g->tuple))
		return vae_fail(error, code, "format P%d does not hold tuples of type %s", (int)g->format, vae_tuple_name(g->tuple));
	if ((g->tuple & 3) == VAE_BLACKANDWHITE && g->maxval != 1)
		return vae_fail(error, code, "maxval %u does not suit tuple type %s, which has 1", g->maxval, vae_tuple_name(g->tuple));
	if ((uint64_t)g->width * g->height > limit)
		return vae_fail(error, VAE_ELIMIT, "a picture of %u x %u pixels exceeds the limit of %llu pixels", g->width, g->height,
		                (unsigned long long)limit);
	return 0;
}

int vae_image_new_raw(struct vae_image **image, const struct vae_geometry *geometry, uint64_t max_pixels, struct vae_error *error)
{
	struct vae_image *x = NULL;
	size_t samples;
	int rc = vae_geometry_check(geometry, max_pixels, VAE_EARG, error);
	if (rc)
		return rc;
	rc = vae_alloc(&x, 1, sizeof *x, error);
	if (rc)
		return rc;
	x->geometry = *geometry;
	rc = vae_multiply(&samples, geometry->width, geometry->height, (size_t)vae_colours(geometry->tuple), error);
	if (!rc)
		rc = vae_alloc_raw(&x->colour, samples, sizeof *x->colour, error);
	if (!rc && vae_has_alpha(geometry->tuple))
		rc = vae_alloc_raw(&x->alpha, (size_t)geometry->width * geometry->height, sizeof *x->alpha, error);
	if (rc) {
		vae_image_free(x);
		return rc;
	}
	*image = x;
	return 0;
}

int vae_image_new(struct vae_image **image, const struct vae_geometry *geometry, uint64_t max_pixels, struct vae_error *error)
{
	struct vae_image *x = NULL;
	int rc = vae_image_new_raw(&x, geometry, max_pixels, error);
	if (rc)
		return rc;
	size_t pixels = (size_t)geometry->width * geometry->height;
	memset(x->colour, 0, pixels * (size_t)vae_colours(geometry->tuple) * sizeof *x->colour);
	if (x->alpha)
		memset(x->alpha, 0, pixels * sizeof *x->alpha);
	*image = x;
	return 0;
}

void vae_image_free(struct vae_image *image)
{
	if (!image)
		return;
	free(image->colour);
	free(image->alpha);
	free(image);
}
