/* stat_images.c - images: their geometry, and their distortion against a reference. */
#include "stat.h"
#include "progress.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Rows of a stream, and the error of reading them. */
struct source {
	struct vae_image_rows rows; /* read by the library */
	struct vae_image_rows *from;
	struct progress *progress; /* receives each row, or NULL */
	int status;
	struct vae_error error;
};

static int source_read(struct vae_image_rows *rows, uint32_t count, uint16_t *colour,
                       uint16_t *alpha, struct vae_error *error)
{
	struct source *s = (struct source *)rows;

	s->status = s->from->read(s->from, count, colour, alpha, &s->error);
	s->rows.row = s->from->row;
	if (s->progress)
		progress_share(s->progress, (double)s->rows.row / s->rows.geometry.height);
	if (s->status)
		*error = s->error;
	return s->status;
}

static struct source source_of(struct vae_image_rows *from)
{
	return (struct source){.rows = {.geometry = from->geometry, .read = source_read}, .from = from};
}

/* Skips the remaining rows, and returns the result of reading all of them. */
static int source_end(struct source *s)
{
	const struct vae_geometry *g = &s->rows.geometry;
	size_t colours = (size_t)g->width * vae_colours(g->tuple);
	struct vae_error ignored;
	uint16_t *row = NULL;

	if (!s->status && s->rows.row < g->height &&
	    !(row = malloc((colours + g->width) * sizeof *row)))
		s->status = fail(&s->error, VAE_EMEM, "out of memory");
	while (!s->status && s->rows.row < g->height)
		source_read(&s->rows, 1, row, vae_has_alpha(g->tuple) ? row + colours : NULL, &ignored);
	free(row);
	return s->status;
}

/* Returns whether the references can be opened and read again. */
static bool can_repeat(const struct options *o)
{
	struct stat file;

	for (int i = 0; i < o->references; i++)
		if (!strcmp(o->reference[i], "-") || stat(o->reference[i], &file) || !S_ISREG(file.st_mode))
			return false;
	return true;
}

/* Opens the single reference again. */
static int repeat_reference(struct run *run, struct vae_image_rows **rows, struct vae_error *error)
{
	const struct options *o = run->o;
	int status;

	if (run->kept)
		return vae_image_rows_new(rows, run->kept, error);
	input_close(&run->reference_in);
	status = input_open(&run->reference_in, o->reference, o->references, error);
	if (!status)
		status = vae_image_rows_open(rows, run->reference_in.file, o->common.max_pixels, error);
	return status < 0 ? status : status ? 0 : fail(error, VAE_EDATA, "empty input");
}

/* Keeps the first reference, which may serve all images. */
static int keep_reference(struct run *run, struct vae_image_rows **rows, struct vae_error *error)
{
	struct vae_image_rows *from = *rows;
	int status = vae_image_rows_collect(&run->kept, from, error);

	vae_image_rows_free(from);
	return status ? status : vae_image_rows_new(rows, run->kept, error);
}

static int open_reference(struct run *run, struct vae_image_rows **rows, struct vae_error *error)
{
	struct input *in = &run->reference_in;
	int got = input_expect(in, VAE_KIND_IMAGE, error);

	if (!got)
		got = vae_image_rows_open(rows, in->file, run->o->common.max_pixels, error);
	if (got < 0 || (!got && in->failure))
		return VAE_EDATA;
	if (!got)
		return run->references == 1
		           ? repeat_reference(run, rows, error)
		           : fail(error, VAE_EDATA,
		                  run->references ? "more images than references (%" PRIu64 ")"
		                                  : "empty input",
		                  run->references);
	vae_image_free(run->kept);
	run->kept = NULL;
	if (!run->references++ && !can_repeat(run->o))
		return keep_reference(run, rows, error);
	return 0;
}

/* Reports a bad reference, once; images cannot be compared with it. */
static int no_reference(struct run *run, const struct vae_error *why, struct vae_error *error)
{
	if (why && run->reference_in.names)
		input_report(&run->reference_in, why);
	else if (why)
		cli_error("%s", why->text);
	run->ran_out = true;
	return fail(error, VAE_EDATA, "there is no reference for it");
}

static int next_reference(struct run *run, struct source *reference, struct vae_error *error)
{
	struct vae_image_rows *rows;
	struct vae_error why;

	if (run->ran_out)
		return no_reference(run, NULL, error);
	if (open_reference(run, &rows, &why))
		return no_reference(run, &why, error);
	*reference = source_of(rows);
	return 0;
}

static int compare(struct run *run, struct vae_distortion *d, struct source *image,
                   struct vae_error *error)
{
	struct source reference;
	int status;

	*d = STAT_NO_DISTORTION;
	if (!run->o->references)
		return 0;
	status = next_reference(run, &reference, error);
	if (status)
		return status;
	status = vae_compare_rows(d, &image->rows, &reference.rows, 0, error);
	if (source_end(&reference))
		status = no_reference(run, &reference.error, error);
	else
		input_mark(&run->reference_in);
	vae_image_rows_free(reference.from);
	if (status)
		return status;
	run->mse += d->mse;
	run->psnr += d->psnr;
	run->ms_ssim += d->ms_ssim;
	run->ssimulacra2 += d->ssimulacra2;
	run->compared++;
	return 0;
}

void stat_report_distortion(struct run *run, const struct vae_distortion *d)
{
	if (!run->o->references)
		return;
	report_real(&run->report, "mse", d->mse, 6);
	report_real(&run->report, "psnr_db", d->psnr, 3);
	report_real(&run->report, "ms_ssim", d->ms_ssim, 5);
	report_real(&run->report, "ssimulacra2", d->ssimulacra2, 3);
}

static void report_image(struct run *run, const struct input *in, const struct vae_geometry *g,
                         const struct vae_distortion *d)
{
	struct report *r = &run->report;

	report_open(r, "image", input_name(in), false);
	report_count(r, "image", in->items + 1);
	report_count(r, "width", g->width);
	report_count(r, "height", g->height);
	report_text(r, "tuple", vae_tuple_name(g->tuple));
	report_count(r, "depth", vae_colours(g->tuple) + vae_has_alpha(g->tuple));
	report_count(r, "maxval", g->maxval);
	stat_report_distortion(run, d);
	report_put(r);
}

int stat_images(struct run *run, struct input *in, struct vae_error *error)
{
	struct vae_image_rows *rows;
	int status = 0;

	while (!status &&
	       (status = vae_image_rows_open(&rows, in->file, run->o->common.max_pixels, error)) == 1) {
		struct source image = source_of(rows);
		struct vae_distortion d;
		struct progress progress;
		int bad;

		progress_start(&progress, NULL, run->o->common.quiet);
		image.progress = &progress;
		status = compare(run, &d, &image, error);
		bad = source_end(&image);
		progress_end(&progress);
		if (bad) {
			*error = image.error;
			status = image.status;
		} else {
			report_image(run, in, &rows->geometry, &d);
		}
		vae_image_rows_free(rows);
		if (!status)
			input_mark(in);
	}
	return status;
}

void stat_average(struct run *run)
{
	double n = (double)run->compared;
	struct vae_distortion d = {run->mse / n, run->psnr / n, run->ms_ssim / n, run->ssimulacra2 / n};

	report_open(&run->report, "average", "average", false);
	report_count(&run->report, "images", run->compared);
	stat_report_distortion(run, &d);
	report_put(&run->report);
}

int stat_compare_decoded(struct run *run, struct vae_distortion *d, const struct vae_model *model,
                         struct vae_latents_rows *latents, struct vae_error *error)
{
	struct vae_image_rows *rows;
	struct source image;
	int status;

	*d = STAT_NO_DISTORTION;
	if (!run->o->references)
		return 0;
	status = vae_decode_rows(&rows, model, latents, NULL, error);
	if (status < 0)
		return status;
	image = source_of(rows);
	status = compare(run, d, &image, error);
	if (source_end(&image)) {
		*error = image.error;
		status = image.status;
	}
	if (status)
		*d = STAT_NO_DISTORTION;
	vae_image_rows_free(rows);
	return status;
}

bool stat_references_left(struct run *run)
{
	struct input *in = &run->reference_in;
	struct vae_image_rows *rows;
	struct vae_error error;
	int got;

	if (!run->o->references || run->ran_out)
		return false;
	got = vae_image_rows_open(&rows, in->file, run->o->common.max_pixels, &error);
	if (got == 1) {
		vae_image_rows_free(rows);
		cli_error("%s: more references than images", input_name(in));
	} else if (got < 0 || in->failure) {
		input_report(in, &error);
	}
	return got || in->failure;
}

void stat_skip_reference(struct run *run, uint64_t taken_before, uint64_t items)
{
	struct vae_error error = {0};
	struct source reference;

	if (!run->o->references || run->ran_out || run->references != taken_before + items ||
	    next_reference(run, &reference, &error))
		return;
	if (source_end(&reference))
		no_reference(run, &reference.error, &error);
	vae_image_rows_free(reference.from);
}
