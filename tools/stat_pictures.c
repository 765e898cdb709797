/* stat_pictures.c - pictures instead of a report: heat maps of codes, planes of latents. */
#include "stat.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define HEAT_BIT   16 /* steps of a heat map's sample for each bit */
#define PLANE_UNIT 4  /* steps of a plane's sample for each unit of y */
#define PLANE_ZERO 128

static int picture_new(struct vae_image **image, uint32_t width, uint32_t height, uint16_t maxval,
                       struct vae_error *error)
{
	struct vae_geometry g = {.width = width,
	                         .height = height,
	                         .maxval = maxval,
	                         .format = VAE_PGM,
	                         .tuple = VAE_GRAYSCALE};

	return vae_image_new(image, &g, UINT64_MAX, error);
}

static int write_picture(struct run *run, const struct vae_image *image, struct vae_error *error)
{
	int status = vae_image_write(image, run->pictures->file, error);

	return !status && fflush(run->pictures->file) ? fail(error, VAE_EIO, "%s", strerror(errno))
	                                              : status;
}

static int heatmap(struct run *run, const struct input *in, const struct vae_codes *codes,
                   struct vae_error *error)
{
	size_t cells = (size_t)codes->head.rows * codes->head.columns;
	const struct vae_model *model;
	struct vae_image *image = NULL;
	double *bits = NULL;
	int status = models_get(&run->models, &model, &codes->head, NULL, error);

	(void)in;
	if (!status && !(bits = calloc(cells, sizeof *bits)))
		status = fail(error, VAE_EMEM, "out of memory");
	if (!status && !(status = vae_rate_cells(bits, model, codes, error)) &&
	    !(status = picture_new(&image, codes->head.columns, codes->head.rows, 65535, error))) {
		for (size_t i = 0; i < cells; i++)
			image->colour[i] = (uint16_t)fmin(rint(HEAT_BIT * bits[i]), 65535);
		status = write_picture(run, image, error);
	}
	vae_image_free(image);
	free(bits);
	return status;
}

static int map(struct run *run, const struct input *in, const struct vae_codes *codes,
               struct vae_error *error)
{
	struct vae_geometry g = {.width = codes->head.columns,
	                         .height = codes->head.rows,
	                         .maxval = 1,
	                         .format = VAE_PBM,
	                         .tuple = VAE_BLACKANDWHITE};
	size_t cells = (size_t)g.width * g.height;
	struct vae_exact_share share;
	struct vae_image *image = NULL;
	uint8_t *exact = calloc(cells, 1);
	int status = exact ? vae_exact_shares(&share, exact, codes, error)
	                   : fail(error, VAE_EMEM, "out of memory");

	(void)in;
	if (!status && !(status = vae_image_new(&image, &g, UINT64_MAX, error))) {
		for (size_t i = 0; i < cells; i++)
			image->colour[i] = !exact[i];
		status = write_picture(run, image, error);
	}
	vae_image_free(image);
	free(exact);
	return status;
}

int stat_map(struct run *run, struct input *in, struct vae_error *error)
{
	return stat_each_codes(run, in, map, error);
}

int stat_heatmap(struct run *run, struct input *in, struct vae_error *error)
{
	return stat_each_codes(run, in, heatmap, error);
}

/* One channel of an image. */
struct plane {
	uint32_t channel;
	double sum, squares, variance;
	uint8_t *sample; /* [cells], owned by the first channel's */
};

static int by_variance(const void *a, const void *b)
{
	const struct plane *x = a, *y = b;

	return x->variance != y->variance ? (x->variance < y->variance) - (x->variance > y->variance)
	                                  : (x->channel > y->channel) - (x->channel < y->channel);
}

static int read_planes(struct plane *plane, struct vae_latents_rows *rows, struct vae_error *error)
{
	uint32_t channels = rows->head.channels;
	size_t line = (size_t)rows->head.columns * channels,
		   cells = (size_t)rows->head.rows * rows->head.columns, cell = 0;
	float *y = calloc(line, sizeof *y);
	int status = y ? 0 : fail(error, VAE_EMEM, "out of memory");

	while (!status && rows->row < rows->head.rows &&
	       !(status = rows->read(rows, 1, y, NULL, error)))
		for (size_t i = 0; i < line; cell += ++i % channels == 0) {
			struct plane *p = &plane[i % channels];

			p->sum += y[i];
			p->squares += (double)y[i] * y[i];
			p->sample[cell] =
				(uint8_t)fmax(0, fmin(255, rint(PLANE_ZERO + PLANE_UNIT * (double)y[i])));
		}
	for (uint32_t k = 0; !status && k < channels; k++)
		plane[k].variance =
			plane[k].squares / cells - plane[k].sum / cells * (plane[k].sum / cells);
	free(y);
	return status;
}

static int write_plane(struct run *run, struct vae_image *image, const struct plane *plane,
                       struct vae_error *error)
{
	for (size_t i = 0; i < (size_t)image->geometry.width * image->geometry.height; i++)
		image->colour[i] = plane->sample[i];
	return write_picture(run, image, error);
}

static int planes(struct run *run, const struct input *in, struct vae_latents_rows *rows,
                  struct vae_error *error)
{
	const struct vae_head *head = &rows->head;
	size_t cells = (size_t)head->rows * head->columns;
	struct plane *plane = calloc(head->channels, sizeof *plane);
	uint8_t *samples = calloc(head->channels, cells);
	struct vae_image *image = NULL;
	int status = !head->channels ? fail(error, VAE_EDATA, "an exact picture has no latents to show")
	             : plane && samples ? picture_new(&image, head->columns, head->rows, 255, error)
	                                : fail(error, VAE_EMEM, "out of memory");

	for (uint32_t k = 0; !status && k < head->channels; k++)
		plane[k] = (struct plane){.channel = k, .sample = samples + k * cells};
	if (!status && !(status = read_planes(plane, rows, error)))
		qsort(plane, head->channels, sizeof *plane, by_variance);
	for (uint32_t k = 0; !status && k < head->channels; k++) {
		status = write_plane(run, image, &plane[k], error);
		if (run->o->common.verbose)
			cli_note("%s: image %" PRIu64 ", plane %u is channel %u, deviation %.4f",
			         input_name(in), in->items + 1, k, plane[k].channel,
			         sqrt(fmax(0, plane[k].variance)));
	}
	vae_image_free(image);
	free(samples);
	free(plane);
	return status;
}

int stat_planes(struct run *run, struct input *in, struct vae_error *error)
{
	struct vae_latents_rows *rows;
	int status = 0;

	while (!status && (status = vae_latents_rows_open(&rows, in->file, run->o->common.max_pixels,
	                                                  error)) == 1) {
		status = planes(run, in, rows, error);
		vae_latents_rows_free(rows);
		if (!status)
			input_mark(in);
	}
	return status;
}
