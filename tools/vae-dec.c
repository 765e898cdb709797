/* vae-dec - p(x|y), synthesis: latents or codes in, images out. */
#include "cli.h"
#include "inout.h"
#include "progress.h"

#include <inttypes.h>

struct options {
	struct cli_common common;
	bool crop; /* decode only the window */
	struct vae_rect window;
	int reduce;       /* 0, 4 or 8 */
	bool salvage;     /* decode the intact parts of damaged codes */
	uint32_t band;    /* rows of pixels, 0: the library's choice */
	uint64_t samples; /* 0: decode; else the number of pictures drawn from the prior */
	struct vae_sample_options sample;
};

enum {
	KEY_BAND = CLI_LONG,
	KEY_CROP,
	KEY_REDUCE,
	KEY_SALVAGE,
	KEY_SAMPLE,
	KEY_SEED,
	KEY_SIZE,
	KEY_QUALITY
};

static const struct cli_option rows[] = {
	{KEY_CROP, "crop", "X,Y,W,H", "decode only W x H pixels at column X, row Y"},
	{KEY_REDUCE, "reduce", "4|8", "decode to 1/4 or 1/8 of the size, by block means"},
	{KEY_SALVAGE, "salvage", NULL, "decode damaged codes; lost slices become grey"},
	{KEY_BAND, "band", "ROWS", "work on ROWS rows of pixels at a time"},
	{KEY_SAMPLE, "sample", "N", "read nothing; decode N latents drawn from the prior"},
	{KEY_SEED, "seed", "S", "seed of --sample (default 1)"},
	{KEY_SIZE, "size", "WxH", "size of the images of --sample (default 512x512)"},
	{KEY_QUALITY, "quality", "Q", "quality of --sample, 0 to 100 (default 50)"},
};

static const struct cli_program program = {
	.name = "vae-dec",
	.usage = "[OPTION]... [FILE]...",
	.about = "Reads codes (.lat) or latents, runs the synthesis of the model, and writes\nimages: "
			 "PNM or PAM, as the originals were. The stream names its model. Reads\nstandard input "
			 "if there is no FILE, or FILE is -.",
	.options = rows,
	.count = sizeof rows / sizeof *rows,
};

static void parse_options(struct options *o, int argc, char **argv)
{
	const char *only = NULL; /* an option that requires --sample */
	int key;

	*o = (struct options){.sample = {.seed = 1, .quality = 50}};
	cli_begin(&program, &o->common, argc, argv);
	while ((key = cli_next()) != -1)
		switch (key) {
		case KEY_CROP:
			cli_window(&o->window);
			o->crop = true;
			break;
		case KEY_REDUCE: o->reduce = cli_choice() ? 8 : 4; break;
		case KEY_SALVAGE: o->salvage = true; break;
		case KEY_BAND: o->band = (uint32_t)cli_whole(1, INT32_MAX); break;
		case KEY_SAMPLE: o->samples = cli_whole(1, (uint64_t)1 << 32); break;
		case KEY_SEED:
			o->sample.seed = cli_whole(0, UINT64_MAX);
			only = "seed";
			break;
		case KEY_SIZE:
			cli_size(&o->sample.width, &o->sample.height);
			only = "size";
			break;
		case KEY_QUALITY:
			o->sample.quality = cli_real(0, 100);
			only = "quality";
			break;
		}
	if (only && !o->samples)
		cli_usage("--%s needs --sample N", only);
	if (o->crop && o->reduce)
		cli_usage("--crop cannot be combined with --reduce");
	if (o->salvage && (o->crop || o->reduce || o->samples))
		cli_usage("--%s cannot be combined with --salvage", o->crop     ? "crop"
		                                                    : o->reduce ? "reduce"
		                                                                : "sample");
	if (o->samples && (o->crop || o->reduce))
		cli_usage("--%s cannot be combined with --sample", o->crop ? "crop" : "reduce");
	if (o->samples && o->common.operands)
		cli_usage("--sample reads no input, but '%s' was given", o->common.operand[0]);
}

/* Makes the image that the options ask for. */
static int synthesise(struct vae_image_rows **image, const struct options *o,
                      const struct vae_model *model, struct vae_latents_rows *latents,
                      struct vae_error *error)
{
	if (o->reduce)
		return vae_decode_reduced_rows(image, model, latents, o->reduce, error);
	return vae_decode_rows(image, model, latents, o->crop ? &o->window : NULL, error);
}

/* Decodes and writes an image. in: NULL if latents are samples. salvaged: the codes of the latents,
 * if slices of them may be lost, or NULL. */
static int decode(const struct options *o, const struct vae_model *model, const struct input *in,
                  struct output *out, struct vae_latents_rows *latents,
                  const struct vae_codes *salvaged, struct vae_error *error)
{
	double start = seconds_now();
	struct vae_image_rows *image, *painted = NULL;
	struct progress progress;
	char name[64];
	int status;

	progress_begin(&progress, latents, o->common.quiet);
	status = synthesise(&image, o, model, &progress.rows, error);
	if (status < 0) {
		progress_end(&progress);
		return status;
	}
	if (salvaged)
		status = vae_salvage_paint(&painted, image, salvaged, error);
	if (!status)
		status = vae_image_rows_write(painted ? painted : image, o->band, out->file, error);
	progress_end(&progress);
	if (!status && o->common.verbose)
		cli_note("%s: %ux%u %s, maxval %u, %s%s, %.2f s", in ? input_name(in) : "sample",
		         image->geometry.width, image->geometry.height,
		         vae_tuple_name(image->geometry.tuple), image->geometry.maxval,
		         model ? "model " : "exact", model ? model_name(model, name, sizeof name) : "",
		         seconds_now() - start);
	vae_image_rows_free(painted);
	vae_image_rows_free(image);
	return status < 0 ? status : output_flush(out, error);
}

static int decode_codes(const struct options *o, struct models *models, const struct input *in,
                        struct output *out, const struct vae_codes *codes,
                        struct vae_codes_reader *reader, struct vae_error *error)
{
	const struct vae_model *model;
	struct vae_latents_rows *latents;
	int status = models_get(models, &model, &codes->head, NULL, error);

	if (!status)
		status =
			vae_dequantise_rows(&latents, model, codes, reader, o->crop ? &o->window : NULL, error);
	if (status < 0)
		return status;
	status = decode(o, model, in, out, latents, NULL, error);
	vae_latents_rows_free(latents);
	return status;
}

/* Reports the metadata of the previous image. */
static int report_metadata(void *context, const struct vae_codes_metadata *m,
                           struct vae_error *error)
{
	const struct input *in = context;

	(void)error;
	if (m->damaged)
		cli_note("%s: metadata (%s) are damaged", input_name(in), vae_codes_metadata_name(m->kind));
	else
		cli_note("%s: with %s metadata, %zu bytes", input_name(in),
		         vae_codes_metadata_name(m->kind), m->bytes);
	return 0;
}

static int codes_stream(const struct options *o, struct models *models, struct input *in,
                        struct output *out, struct vae_error *error)
{
	struct vae_codes_reader *reader;
	struct vae_codes *codes;
	int status = input_expect(in, VAE_KIND_CODES, error);

	if (!status)
		status = vae_codes_reader_new(&reader, in->file, o->common.max_pixels, error);
	if (status < 0)
		return status;
	if (o->common.verbose)
		vae_codes_reader_metadata(reader, report_metadata, in);
	while (!status && (status = vae_codes_begin(&codes, reader, error)) == 1) {
		status = decode_codes(o, models, in, out, codes, reader, error);
		vae_codes_free(codes);
		if (!status)
			input_mark(in);
	}
	vae_codes_reader_free(reader);
	return status;
}

static int latents_stream(const struct options *o, struct models *models, struct input *in,
                          struct output *out, struct vae_error *error)
{
	const struct vae_model *model;
	struct vae_latents_rows *latents;
	int status = vae_kind_peek(in->file) == VAE_KIND_UNKNOWN
	                 ? input_unknown(in, "neither codes nor latents", error)
	                 : input_expect(in, VAE_KIND_LATENTS, error);

	while (!status &&
	       (status = vae_latents_rows_open(&latents, in->file, o->common.max_pixels, error)) == 1) {
		status = models_get(models, &model, &latents->head, latents->model_hint, error);
		if (!status)
			status = decode(o, model, in, out, latents, NULL, error);
		vae_latents_rows_free(latents);
		if (!status)
			input_mark(in);
	}
	return status;
}

struct salvage {
	const struct input *in;
	uint64_t damages;
};

/* Reports damage of a stream as it is found: "image 2, slice in row 0, column 1 (76 x 1024 pixels
 * from 1024,0 on): its checksum is wrong". */
static void report_damage(void *context, const struct vae_damage *damage)
{
	struct salvage *s = context;
	const struct vae_rect *w = &damage->pixels;
	struct vae_error error = damage->error;
	char where[160] = "between images";

	if (damage->image && w->columns)
		snprintf(where, sizeof where,
		         "image %" PRIu64 ", slice in row %u, column %u (%zu x %zu pixels from %zu,%zu on)",
		         damage->image, damage->row, damage->column, w->columns, w->rows, w->column,
		         w->row);
	else if (damage->image)
		snprintf(where, sizeof where, "image %" PRIu64, damage->image);
	fail(&error, damage->error.code, "%s: %.200s", where, damage->error.text);
	error.offset = damage->error.offset;
	input_report(s->in, &error);
	s->damages++;
}

/* Decodes the intact images. An image whose model is missing, or does not suit it, is lost, too. */
static int salvage_codes(const struct options *o, struct models *models, struct salvage *s,
                         struct input *in, struct output *out, struct vae_codes *codes,
                         struct vae_salvage *salvage, struct vae_error *error)
{
	const struct vae_model *model;
	struct vae_latents_rows *latents;
	int status;

	in->item = vae_salvage_start(salvage);
	status = models_get(models, &model, &codes->head, NULL, error);
	if (!status)
		status = vae_salvage_check(codes, salvage, model, error);
	if (!status)
		status = vae_dequantise_rows(&latents, model, codes, NULL, NULL, error);
	if (status == VAE_EMODEL || status == VAE_EDATA) {
		input_report(in, error);
		s->damages++;
		return 0;
	}
	if (status < 0)
		return status;
	status = decode(o, model, in, out, latents, codes, error);
	vae_latents_rows_free(latents);
	in->items++;
	return status;
}

static int salvage_stream(const struct options *o, struct models *models, struct input *in,
                          struct output *out, struct salvage *s, struct vae_error *error)
{
	struct vae_salvage *salvage;
	struct vae_codes *codes;
	int status = vae_salvage_new(&salvage, in->file, o->common.max_pixels, report_damage, s, error);

	if (status < 0)
		return status;
	while (!status && (status = vae_salvage_read(&codes, salvage, error)) == 1) {
		status = salvage_codes(o, models, s, in, out, codes, salvage, error);
		vae_codes_free(codes);
	}
	vae_salvage_free(salvage);
	return status || in->items || !s->damages ? status
	                                          : fail(error, VAE_EDATA, "nothing could be salvaged");
}

static int sample(const struct options *o, struct output *out, struct vae_error *error)
{
	struct vae_sample_options options = o->sample;
	struct vae_model *model;
	int status = vae_model_find(&model, o->common.model, error);

	if (status < 0)
		return status;
	options.max_pixels = o->common.max_pixels;
	for (options.index = 0; options.index < o->samples && !status; options.index++) {
		struct vae_latents_rows *latents;

		status = vae_sample_rows(&latents, model, &options, error);
		if (status < 0)
			break;
		status = decode(o, model, NULL, out, latents, NULL, error);
		vae_latents_rows_free(latents);
	}
	vae_model_free(model);
	return status;
}

/* Runs --sample: there is no input to name, only the output. */
static int sample_and_finish(const struct options *o)
{
	struct vae_error error = {0};
	struct output out;
	int status = output_open(&out, o->common.output, !o->common.force, &error);

	if (!status)
		status = sample(o, &out, &error);
	if (status < 0 && !(out.file && ferror(out.file)))
		cli_error("%s", error.text);
	else if (status < 0 || (status = output_close(&out, &error)) < 0)
		cli_error("%s: %s", out.name, error.text);
	output_abandon(&out);
	return status < 0 ? EXIT_FAILED : EXIT_DONE;
}

int main(int argc, char **argv)
{
	struct vae_error error = {0};
	struct options o;
	struct models models;
	struct input in;
	struct output out;
	struct salvage salvage = {.in = &in};
	int status;

	parse_options(&o, argc, argv);
	if (o.samples)
		return sample_and_finish(&o);
	if (inout_open(&in, &out, &o.common, &error) || models_open(&models, o.common.model, &error))
		return inout_refuse(&in, &out, &error);
	in.either = true;
	status = o.salvage ? salvage_stream(&o, &models, &in, &out, &salvage, &error)
	         : vae_kind_peek(in.file) == VAE_KIND_CODES
	             ? codes_stream(&o, &models, &in, &out, &error)
	             : latents_stream(&o, &models, &in, &out, &error);
	models_close(&models);
	status = inout_finish(&in, &out, status, &error);
	return salvage.damages ? EXIT_FAILED : status;
}
