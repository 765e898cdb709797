#include "image/image.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"

#define TUPLES 7 /* values of enum vae_tuple; 3 is unused */

static const char *const names[TUPLES] = {
	[VAE_BLACKANDWHITE] = "BLACKANDWHITE",
	[VAE_BLACKANDWHITE_ALPHA] = "BLACKANDWHITE_ALPHA",
	[VAE_GRAYSCALE] = "GRAYSCALE",
	[VAE_GRAYSCALE_ALPHA] = "GRAYSCALE_ALPHA",
	[VAE_RGB] = "RGB",
	[VAE_RGB_ALPHA] = "RGB_ALPHA",
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

int vae_colours(enum vae_tuple tuple) { return (tuple & 3) == VAE_RGB ? 3 : 1; }

bool vae_has_alpha(enum vae_tuple tuple) { return tuple & 4; }

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

int vae_geometry_check(const struct vae_geometry *g, uint64_t max_pixels, enum vae_err code,
                       struct vae_error *error)
{
	uint64_t limit = max_pixels ? max_pixels : VAE_MAX_PIXELS;

	if (!g->width || !g->height || g->width > INT32_MAX || g->height > INT32_MAX)
		return vae_fail(error, code, "a picture of %u x %u pixels: sides are 1 to 2147483647",
		                g->width, g->height);
	if (!g->maxval)
		return vae_fail(error, code, "a picture of maxval 0: maxval is 1 to 65535");
	if ((unsigned)g->tuple >= TUPLES || !names[g->tuple])
		return vae_fail(error, code, "unknown tuple type %d", (int)g->tuple);
	if (!format_suits(g->format, g->tuple))
		return vae_fail(error, code, "format P%d does not hold tuples of type %s", (int)g->format,
		                vae_tuple_name(g->tuple));
	if ((g->tuple & 3) == VAE_BLACKANDWHITE && g->maxval != 1)
		return vae_fail(error, code, "maxval %u does not suit tuple type %s, which has 1",
		                g->maxval, vae_tuple_name(g->tuple));
	if ((uint64_t)g->width * g->height > limit)
		return vae_fail(error, VAE_ELIMIT,
		                "a picture of %u x %u pixels exceeds the limit of %llu pixels", g->width,
		                g->height, (unsigned long long)limit);
	return 0;
}

int vae_image_alloc(uint16_t **colour, uint16_t **alpha, const struct vae_geometry *geometry,
                    uint32_t rows, struct vae_error *error)
{
	size_t samples;
	int rc =
		vae_multiply(&samples, geometry->width, rows, (size_t)vae_colours(geometry->tuple), error);
	if (rc || (rc = vae_alloc_huge(colour, samples, sizeof **colour, error)))
		return rc;
	*alpha = NULL;
	if (vae_has_alpha(geometry->tuple) &&
	    (rc = vae_alloc_raw(alpha, (size_t)geometry->width * rows, sizeof **alpha, error))) {
		free(*colour);
		*colour = NULL;
	}
	return rc;
}

/* Does what vae_image_new does, with undefined samples. Their memory is not touched: a page takes
 * memory only once it is written. */
static int new_raw(struct vae_image **image, const struct vae_geometry *geometry,
                   uint64_t max_pixels, struct vae_error *error)
{
	struct vae_image *x = NULL;
	int rc = vae_geometry_check(geometry, max_pixels, VAE_EARG, error);
	if (rc || (rc = vae_alloc(&x, 1, sizeof *x, error)))
		return rc;
	x->geometry = *geometry;
	if ((rc = vae_image_alloc(&x->colour, &x->alpha, geometry, geometry->height, error)))
		free(x);
	else
		*image = x;
	return rc;
}

int vae_image_new(struct vae_image **image, const struct vae_geometry *geometry,
                  uint64_t max_pixels, struct vae_error *error)
{
	struct vae_image *x = NULL;
	int rc = new_raw(&x, geometry, max_pixels, error);
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

/* ---- rows of a picture in memory ------------------------------------------------------------- */

struct memory_rows {
	struct vae_image_rows rows;
	const struct vae_image *image;
};

static int read_memory(struct vae_image_rows *rows, uint32_t count, uint16_t *colour,
                       uint16_t *alpha, struct vae_error *error)
{
	const struct vae_image *image = ((struct memory_rows *)rows)->image;
	size_t line = (size_t)rows->geometry.width * (size_t)vae_colours(rows->geometry.tuple),
		   width = rows->geometry.width;
	(void)error;
	memcpy(colour, image->colour + rows->row * line, count * line * sizeof *colour);
	if (image->alpha)
		memcpy(alpha, image->alpha + rows->row * width, count * width * sizeof *alpha);
	rows->row += count;
	return 0;
}

static void release_memory(struct vae_image_rows *rows) { free(rows); }

int vae_image_rows_new(struct vae_image_rows **rows, const struct vae_image *image,
                       struct vae_error *error)
{
	struct memory_rows *r;
	int rc = vae_geometry_check(&image->geometry, UINT64_MAX, VAE_EARG, error);
	if (rc)
		return rc;
	if (vae_has_alpha(image->geometry.tuple) != !!image->alpha)
		return vae_fail(error, VAE_EARG, "a picture of tuple type %s with%s alpha samples",
		                vae_tuple_name(image->geometry.tuple), image->alpha ? "" : "out");
	if ((rc = vae_alloc(&r, 1, sizeof *r, error)))
		return rc;
	*r = (struct memory_rows){{image->geometry, 0, read_memory, release_memory}, image};
	*rows = &r->rows;
	return 0;
}

void vae_image_rows_free(struct vae_image_rows *rows)
{
	if (rows)
		rows->release(rows);
}

int vae_image_rows_collect(struct vae_image **image, struct vae_image_rows *rows,
                           struct vae_error *error)
{
	struct vae_image *x;
	int rc = new_raw(&x, &rows->geometry, UINT64_MAX, error);
	if (rc)
		return rc;
	rc = rows->read(rows, rows->geometry.height, x->colour, x->alpha, error);
	if (rc)
		vae_image_free(x);
	else
		*image = x;
	return rc;
}
