/* same.h - whether two of the library's objects are equal, sample by sample. */
#ifndef SAME_H
#define SAME_H

#include <string.h>

#include "vae.h"

static inline bool same_geometry(const struct vae_geometry *a, const struct vae_geometry *b)
{
	return a->width == b->width && a->height == b->height && a->maxval == b->maxval &&
	       a->format == b->format && a->tuple == b->tuple;
}

static inline bool same_head(const struct vae_head *a, const struct vae_head *b)
{
	return same_geometry(&a->geometry, &b->geometry) && a->model_id == b->model_id &&
	       a->quality == b->quality && a->rows == b->rows && a->columns == b->columns &&
	       a->channels == b->channels && a->mixed == b->mixed;
}

/* Compares n samples; either pointer may be NULL. */
static inline bool same_samples(const uint16_t *a, const uint16_t *b, size_t n)
{
	return a && b ? !memcmp(a, b, n * sizeof *a) : a == b;
}

static inline bool same_image(const struct vae_image *a, const struct vae_image *b)
{
	size_t pixels = (size_t)a->geometry.width * a->geometry.height,
		   colours = (size_t)vae_colours(a->geometry.tuple);
	return same_geometry(&a->geometry, &b->geometry) &&
	       same_samples(a->colour, b->colour, pixels * colours) &&
	       same_samples(a->alpha, b->alpha, pixels);
}

static inline bool same_latents(const struct vae_latents *a, const struct vae_latents *b)
{
	const struct vae_head *h = &a->head;
	size_t pixels = (size_t)h->geometry.width * h->geometry.height,
		   colours = (size_t)vae_colours(h->geometry.tuple),
		   beside = h->mixed + vae_has_alpha(h->geometry.tuple) +
	                (h->channels && !h->mixed ? 0 : colours);
	return same_head(h, &b->head) &&
	       !memcmp(a->y, b->y, (size_t)h->rows * h->columns * h->channels * sizeof *a->y) &&
	       same_samples(a->samples, b->samples, pixels * beside) &&
	       (a->model_hint && b->model_hint ? !strcmp(a->model_hint, b->model_hint)
	                                       : a->model_hint == b->model_hint);
}

static inline bool same_codes(const struct vae_codes *a, const struct vae_codes *b)
{
	bool same = same_head(&a->head, &b->head) && a->method == b->method &&
	            a->coded_alpha == b->coded_alpha && a->slices == b->slices;
	for (uint32_t i = 0; same && i < a->slices; i++)
		same = a->slice[i].bytes == b->slice[i].bytes && a->slice[i].lost == b->slice[i].lost &&
		       (!a->slice[i].bytes ||
		        !memcmp(a->slice[i].payload, b->slice[i].payload, a->slice[i].bytes));
	return same;
}

#endif
