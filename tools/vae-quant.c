/* vae-quant - p(y), the prior: latents in, codes out; and back with -d. */
#include "cli.h"
#include "inout.h"
#include "metadata.h"
#include "progress.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SMALL 4096 /* bytes */

struct options {
	struct cli_common common;
	bool decode, test;
	enum vae_method method;
	int level;  /* of zstd */
	int effort; /* of rounding */
	bool given; /* method or effort */
	bool strip;
	const char *attach[METADATA_KINDS]; /* files, NULL: none */
	struct metadata metadata;           /* the contents of these files */
};

enum { KEY_METHOD = CLI_LONG, KEY_LEVEL, KEY_EFFORT, KEY_ICC, KEY_EXIF, KEY_XMP, KEY_STRIP };

static const struct cli_option rows[] = {
	{'d', "decode", NULL, "read codes, write latents"},
	{'t', "test", NULL, "read codes and decode them, write nothing"},
	{KEY_METHOD, "method", "range|zstd", "how to pack symbols (default range)"},
	{KEY_EFFORT, "effort", "N", "search for cheaper symbols, 0 to 9 (default 1)"},
	{KEY_LEVEL, "level", "N", "effort of zstd, 1 to 19 (default 3)"},
	{KEY_ICC, "icc", "FILE", "attach a colour profile, to codes too"},
	{KEY_EXIF, "exif", "FILE", "attach Exif metadata, to codes too"},
	{KEY_XMP, "xmp", "FILE", "attach an XMP packet, to codes too"},
	{KEY_STRIP, "strip", NULL, "read codes, write them without their metadata"},
};

static const struct cli_program program = {
	.name = "vae-quant",
	.usage = "[OPTION]... [FILE]...",
	.about = "Reads latents, quantises and entropy-codes them under the model's prior, and\nwrites "
			 "codes (.lat). The stream names its model. Reads standard input if there\nis no FILE, "
			 "or FILE is -.",
	.options = rows,
	.count = sizeof rows / sizeof *rows,
};

/* Returns whether codes are accepted, too, to change their metadata. */
static bool attaches(const struct options *o)
{
	bool any = o->strip;

	for (int kind = 0; kind < METADATA_KINDS; kind++)
		any |= o->attach[kind] != NULL;
	return any;
}

static void parse_options(struct options *o, int argc, char **argv)
{
	int key;

	*o = (struct options){
		.method = VAE_METHOD_RANGE, .level = VAE_LEVEL_DEFAULT, .effort = VAE_EFFORT_DEFAULT};
	cli_begin(&program, &o->common, argc, argv);
	while ((key = cli_next()) != -1)
		switch (key) {
		case 'd': o->decode = true; break;
		case 't': o->test = true; break;
		case KEY_METHOD:
			o->method = cli_choice() ? VAE_METHOD_ZSTD : VAE_METHOD_RANGE;
			o->given = true;
			break;
		case KEY_EFFORT:
			o->effort = (int)cli_whole(0, VAE_EFFORT_MAX);
			o->given = true;
			break;
		case KEY_LEVEL: o->level = (int)cli_whole(1, 19); break;
		case KEY_ICC: o->attach[VAE_METADATA_ICC] = cli_text(); break;
		case KEY_EXIF: o->attach[VAE_METADATA_EXIF] = cli_text(); break;
		case KEY_XMP: o->attach[VAE_METADATA_XMP] = cli_text(); break;
		case KEY_STRIP: o->strip = true; break;
		}
	if ((o->decode || o->test) && attaches(o))
		cli_usage("--icc, --exif, --xmp and --strip are for writing codes");
	if (o->test && o->common.output)
		cli_usage("--output cannot be combined with --test, which writes nothing");
}

/* Checks that the stream has the kind that -d, or its absence, asks for. */
static int expect(struct input *in, bool decode, struct vae_error *error)
{
	enum vae_kind kind = vae_kind_peek(in->file);

	if (!decode && kind == VAE_KIND_CODES)
		return fail(error, VAE_EDATA, "these are codes; -d makes latents of them");
	if (decode && kind == VAE_KIND_LATENTS)
		return fail(error, VAE_EDATA, "these are latents already; -d reads codes");
	return input_expect(in, decode ? VAE_KIND_CODES : VAE_KIND_LATENTS, error);
}

static int report(const struct input *in, const struct vae_model *model, const struct vae_codes *c,
                  size_t bytes, struct vae_error *error)
{
	double pixels = (double)c->head.geometry.width * c->head.geometry.height;
	struct vae_rate rate;
	int status;

	if (!c->head.channels) {
		cli_note("%s: %ux%u, %zu bytes, %.4f bpp, exact", input_name(in), c->head.geometry.width,
		         c->head.geometry.height, bytes, 8 * bytes / pixels);
		return 0;
	}
	status = vae_rate_estimate(&rate, model, c, error);
	if (!status)
		cli_note("%s: %ux%u, %zu bytes, %.4f bpp, estimate %.0f bytes (z %.0f, y %.0f)",
		         input_name(in), c->head.geometry.width, c->head.geometry.height, bytes,
		         8 * bytes / pixels, (rate.z_bits + rate.y_bits) / 8, rate.z_bits / 8,
		         rate.y_bits / 8);
	return status;
}

/* Returns the size of the image's raw samples. */
static uint64_t raw_bytes(const struct vae_geometry *g)
{
	if (g->format == VAE_PBM)
		return ((uint64_t)g->width + 7) / 8 * g->height;
	return (uint64_t)g->width * g->height * (vae_colours(g->tuple) + vae_has_alpha(g->tuple)) *
	       (g->maxval > 255 ? 2 : 1);
}

/* Notes that the codes are larger than the samples, as for drawings, dithered pictures and noise,
 * even without -v; small files excepted. */
static void report_larger(const struct options *o, const struct input *in,
                          const struct vae_geometry *g, bool exact, size_t bytes)
{
	if (bytes > raw_bytes(g) && (o->common.verbose || bytes > SMALL))
		cli_note("%s: the codes have %zu bytes, the picture itself %" PRIu64 "%s", input_name(in),
		         bytes, raw_bytes(g), exact ? "" : ": vae-enc --lossless suits it better");
}

/* Quantises in memory, so that the size is known and the output has the image completely or not at
 * all. */
static int write_codes(const struct options *o, const struct input *in, struct output *out,
                       const struct vae_model *model, const struct vae_codes *codes,
                       struct vae_error *error)
{
	char *bytes;
	size_t count;
	int status = vae_codes_pack(&bytes, &count, codes, o->level, error);

	if (status < 0)
		return status;
	if (o->common.verbose)
		status = report(in, model, codes, count, error);
	report_larger(o, in, &codes->head.geometry, !codes->head.channels, count);
	if (!status) {
		fwrite(bytes, 1, count, out->file);
		status = metadata_write(&o->metadata, out->file, error);
	}
	if (!status)
		status = output_flush(out, error);
	free(bytes);
	return status;
}

static int quantise(const struct options *o, struct models *models, const struct input *in,
                    struct output *out, struct vae_latents_rows *latents, struct vae_error *error)
{
	const struct vae_model *model;
	struct vae_codes *codes;
	struct progress progress;
	int status = models_get(models, &model, &latents->head, latents->model_hint, error);

	if (status < 0)
		return status;
	progress_begin(&progress, latents, o->common.quiet);
	status = vae_quantise_rows(&codes, model, &progress.rows, o->method, o->effort, error);
	progress_end(&progress);
	if (status < 0)
		return status;
	status = write_codes(o, in, out, model, codes, error);
	vae_codes_free(codes);
	return status;
}

/* reader NULL: the codes are in memory. */
static int dequantise(const struct options *o, struct models *models, const struct input *in,
                      struct output *out, const struct vae_codes *codes,
                      struct vae_codes_reader *reader, struct vae_error *error)
{
	const struct vae_model *model;
	struct vae_latents_rows *latents;
	struct progress progress;
	int status = models_get(models, &model, &codes->head, NULL, error);

	if (!status)
		status = vae_dequantise_rows(&latents, model, codes, reader, NULL, error);
	if (status < 0)
		return status;
	progress_begin(&progress, latents, o->common.quiet);
	status = vae_latents_rows_write(&progress.rows, 0, out->file, error);
	progress_end(&progress);
	if (!status && o->common.verbose)
		cli_note("%s: %ux%u %s, good", input_name(in), codes->head.geometry.width,
		         codes->head.geometry.height, vae_tuple_name(codes->head.geometry.tuple));
	vae_latents_rows_free(latents);
	return status < 0 ? status : output_flush(out, error);
}

static int quantise_stream(const struct options *o, struct models *models, struct input *in,
                           struct output *out, struct vae_error *error)
{
	struct vae_latents_rows *latents;
	int status = expect(in, false, error);

	while (!status &&
	       (status = vae_latents_rows_open(&latents, in->file, o->common.max_pixels, error)) == 1) {
		status = quantise(o, models, in, out, latents, error);
		vae_latents_rows_free(latents);
		if (!status)
			input_mark(in);
	}
	return status;
}

/* State of editing the metadata that codes have already. */
struct editing {
	const struct options *o;
	const struct input *in;
	FILE *out;
};

/* Copies metadata, except of a kind that is replaced, and those that no image precedes. */
static int pass_on(void *context, const struct vae_codes_metadata *m, struct vae_error *error)
{
	struct editing *e = context;

	if (m->damaged && !e->o->strip)
		cli_note("%s: damaged metadata (%s) are left out", input_name(e->in),
		         vae_codes_metadata_name(m->kind));
	if (m->damaged || e->o->strip || e->o->attach[m->kind] || !e->in->items)
		return 0;
	return vae_codes_metadata_write(m, e->out, error);
}

/* Copies codes, each image in a frame of its own, and changes their metadata. */
static int edit_stream(const struct options *o, struct input *in, struct output *out,
                       struct vae_error *error)
{
	struct editing editing = {o, in, out->file};
	struct vae_codes_reader *reader;
	struct vae_codes *codes;
	int status = vae_codes_reader_new(&reader, in->file, o->common.max_pixels, error);

	if (status < 0)
		return status;
	vae_codes_reader_metadata(reader, pass_on, &editing);
	while (!status && (status = vae_codes_read(&codes, reader, error)) == 1) {
		status = vae_codes_write(codes, out->file, o->level, error);
		vae_codes_free(codes);
		if (!status)
			status = metadata_write(&o->metadata, out->file, error);
		if (!status)
			input_mark(in);
	}
	vae_codes_reader_free(reader);
	return status < 0 ? status : output_flush(out, error);
}

static int encode_stream(const struct options *o, struct models *models, struct input *in,
                         struct output *out, struct vae_error *error)
{
	if (attaches(o) && vae_kind_peek(in->file) == VAE_KIND_CODES)
		return o->given ? fail(error, VAE_EDATA,
		                       "these are codes; --method and --effort are for latents")
		                : edit_stream(o, in, out, error);
	return quantise_stream(o, models, in, out, error);
}

static int dequantise_stream(const struct options *o, struct models *models, struct input *in,
                             struct output *out, struct vae_error *error)
{
	struct vae_codes_reader *reader;
	struct vae_codes *codes;
	int status = expect(in, true, error);

	if (!status)
		status = vae_codes_reader_new(&reader, in->file, o->common.max_pixels, error);
	if (status < 0)
		return status;
	while (!status && (status = vae_codes_begin(&codes, reader, error)) == 1) {
		status = dequantise(o, models, in, out, codes, reader, error);
		vae_codes_free(codes);
		if (!status)
			input_mark(in);
	}
	vae_codes_reader_free(reader);
	return status;
}

struct tested {
	const struct input *in;
	bool bad;
};

/* Reports damaged metadata; they are an error. */
static int test_metadata(void *context, const struct vae_codes_metadata *m, struct vae_error *error)
{
	struct tested *t = context;

	(void)error;
	if (m->damaged) {
		cli_error("%s: damaged metadata (%s): their checksum is wrong", input_name(t->in),
		          vae_codes_metadata_name(m->kind));
		t->bad = true;
	}
	return 0;
}

/* Tests a stream. After a fault continues with the next image if the stream can still be followed,
 * else with the next file. */
static int test_stream(const struct options *o, struct models *models, struct input *in,
                       struct output *nothing)
{
	struct vae_error error = {0};
	struct vae_codes_reader *reader;
	struct vae_codes *codes;
	struct tested tested = {in, false};
	int status = input_expect(in, VAE_KIND_CODES, &error);

	if (!status)
		status = vae_codes_reader_new(&reader, in->file, o->common.max_pixels, &error);
	if (!status) {
		vae_codes_reader_metadata(reader, test_metadata, &tested);
		while ((status = vae_codes_read(&codes, reader, &error)) == 1) {
			if (dequantise(o, models, in, nothing, codes, NULL, &error) < 0) {
				input_report(in, &error);
				tested.bad = true;
			}
			vae_codes_free(codes);
			input_mark(in);
		}
		vae_codes_reader_free(reader);
	}
	if (!status && !in->failure && !in->items)
		status = fail(&error, VAE_EDATA, "empty input");
	if (status < 0 || in->failure)
		input_report(in, &error);
	return tested.bad || status < 0 || in->failure ? EXIT_FAILED : EXIT_DONE;
}

static int test_files(const struct options *o)
{
	const struct cli_common *c = &o->common;
	struct vae_error error = {0};
	struct models models;
	struct input in;
	struct output nothing = {.file = fopen("/dev/null", "w"), .name = "/dev/null"};
	int status = models_open(&models, c->model, &error), result = EXIT_DONE, i = 0;

	if (!status && !nothing.file)
		status = fail(&error, VAE_EIO, "/dev/null: %s", strerror(errno));
	do {
		if (!status)
			status = input_open(&in, c->operand + i, c->operands ? 1 : 0, &error);
		if (status < 0) {
			cli_error("%s", error.text);
			result = EXIT_FAILED;
			break;
		}
		if (test_stream(o, &models, &in, &nothing) != EXIT_DONE)
			result = EXIT_FAILED;
		input_close(&in);
	} while (++i < c->operands);
	if (nothing.file)
		fclose(nothing.file);
	models_close(&models);
	return result;
}

static int load_metadata(struct options *o, struct vae_error *error)
{
	int status = 0;

	for (int kind = VAE_METADATA_ICC; kind < METADATA_KINDS && !status; kind++)
		if (o->attach[kind])
			status =
				metadata_load(&o->metadata, (enum vae_metadata_kind)kind, o->attach[kind], error);
	return status;
}

int main(int argc, char **argv)
{
	struct vae_error error = {0};
	struct options o;
	struct models models;
	struct input in;
	struct output out;
	int status;

	parse_options(&o, argc, argv);
	if (o.test)
		return test_files(&o);
	if (inout_open(&in, &out, &o.common, &error) || load_metadata(&o, &error) ||
	    models_open(&models, o.common.model, &error))
		return inout_refuse(&in, &out, &error);
	status = o.decode ? dequantise_stream(&o, &models, &in, &out, &error)
	                  : encode_stream(&o, &models, &in, &out, &error);
	models_close(&models);
	metadata_clear(&o.metadata);
	return inout_finish(&in, &out, status, &error);
}
