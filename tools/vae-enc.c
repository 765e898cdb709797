/* vae-enc - q(y|x): images in, latents out. */
#include "cli.h"
#include "inout.h"
#include "progress.h"

#include <math.h>

#define SPARSE 8 /* images whose samples span less than an eighth of their range get a note */

struct options {
	struct cli_common common;
	double quality;           /* 0 to 100, negative: not given */
	struct vae_target target; /* value 0: none */
	uint32_t band;            /* rows of pixels, 0: the library's choice */
	int refine;               /* steps */
	bool keep_invisible;      /* colours under alpha 0 */
	bool lossless;            /* all samples are exact */
	bool mixed;               /* cells that are cheaper so are exact */
};

enum {
	KEY_BAND = CLI_LONG,
	KEY_REFINE,
	KEY_MAX_SIZE,
	KEY_TARGET_BPP,
	KEY_TARGET_PSNR,
	KEY_TARGET_SCORE,
	KEY_INVISIBLE,
	KEY_LOSSLESS,
	KEY_EXACT
};

static const struct cli_option rows[] = {
	{'q', "quality", "Q", "0 (smallest file) to 100 (best picture), default 55"},
	{KEY_MAX_SIZE, "max-size", "N[k|M]", "find the best quality of at most N bytes"},
	{KEY_TARGET_BPP, "target-bpp", "B", "find the best quality of at most B bits a pixel"},
	{KEY_TARGET_PSNR, "target-psnr", "DB", "find the quality that gives a PSNR of DB decibels"},
	{KEY_TARGET_SCORE, "target-score", "S", "find the quality that gives a SSIMULACRA 2 of S"},
	{KEY_LOSSLESS, "lossless", NULL, "keep every sample as it is, without a model"},
	{KEY_EXACT, "exact", "auto|none", "keep text and drawings as they are (auto), or nothing"},
	{KEY_REFINE, "refine", "N", "take N steps to a smaller file of equal quality"},
	{KEY_INVISIBLE, "keep-invisible", NULL, "keep colours under alpha 0 as they are"},
	{KEY_BAND, "band", "ROWS", "work on ROWS rows of pixels at a time"},
};

static const struct cli_program program = {
	.name = "vae-enc",
	.usage = "[OPTION]... [FILE]...",
	.about = "Reads PNM and PAM images, runs the analysis of a model, and writes latents\nfor "
			 "vae-quant. Reads standard input if there is no FILE, or FILE is -.",
	.options = rows,
	.count = sizeof rows / sizeof *rows,
};

static void set_target(struct options *o, enum vae_target_kind kind, double value)
{
	if (o->target.value)
		cli_usage("--max-size, --target-bpp, --target-psnr, --target-score: only one may be given");
	o->target = (struct vae_target){.kind = kind, .value = value};
}

static void parse_options(struct options *o, int argc, char **argv)
{
	int key;

	*o = (struct options){.quality = -1, .mixed = true};
	cli_begin(&program, &o->common, argc, argv);
	while ((key = cli_next()) != -1)
		switch (key) {
		case 'q': o->quality = cli_real(0, 100); break;
		case KEY_TARGET_BPP: set_target(o, VAE_TARGET_BPP, cli_real(1e-6, 1e6)); break;
		case KEY_MAX_SIZE:
			set_target(o, VAE_TARGET_BYTES, (double)cli_amount(1, (uint64_t)1 << 48));
			break;
		case KEY_TARGET_PSNR: set_target(o, VAE_TARGET_PSNR, cli_real(1, 200)); break;
		case KEY_TARGET_SCORE: set_target(o, VAE_TARGET_SCORE, cli_real(1, 100)); break;
		case KEY_REFINE: o->refine = (int)cli_whole(0, VAE_REFINE_MOST); break;
		case KEY_INVISIBLE: o->keep_invisible = true; break;
		case KEY_LOSSLESS: o->lossless = true; break;
		case KEY_EXACT: o->mixed = !cli_choice(); break;
		case KEY_BAND: o->band = (uint32_t)cli_whole(1, INT32_MAX); break;
		}
	if (o->lossless && (o->target.value || o->quality >= 0 || o->refine))
		cli_usage(
			"--lossless cannot be combined with --quality, --refine, --max-size or a --target");
	if (o->target.value && o->quality >= 0)
		cli_usage("--quality cannot be combined with --max-size or a --target");
	if (o->target.value && o->refine)
		cli_usage("--refine cannot be combined with --max-size or a --target");
	o->target.mixed = o->mixed;
	if (o->quality < 0)
		o->quality = VAE_QUALITY_DEFAULT;
}

static void report(const struct input *in, const struct vae_head *y, double quality, double seconds)
{
	char how[32] = "exact";

	if (y->channels)
		snprintf(how, sizeof how, "quality %g", quality);
	cli_note("%s: %ux%u %s, maxval %u, %s, %.2f s", input_name(in), y->geometry.width,
	         y->geometry.height, vae_tuple_name(y->geometry.tuple), y->geometry.maxval, how,
	         seconds);
}

static void report_step(void *context, const struct vae_refine_progress *p)
{
	char score[40] = "";
	if (isfinite(p->ssimulacra2))
		snprintf(score, sizeof score, ", SSIMULACRA 2 %.2f", p->ssimulacra2);
	else if (isfinite(p->ms_ssim))
		snprintf(score, sizeof score, ", MS-SSIM %.5f", p->ms_ssim);
	if (p->step % 10 == 0 || p->step == p->steps)
		cli_note("%s: step %d: %.4f bpp, %.3f dB%s, loss %.4f", input_name(context), p->step,
		         p->bpp, -10 * log10(p->mse), score, p->loss);
}

static int open_latents(struct vae_latents_rows **latents, const struct options *o,
                        const struct input *in, const struct vae_model *model,
                        struct vae_image_rows *image, double quality, struct vae_error *error)
{
	struct vae_refine_options refine = {.steps = o->refine,
	                                    .report = o->common.verbose ? report_step : NULL,
	                                    .context = (void *)in};

	if (o->lossless)
		return vae_encode_exact_rows(latents, image, error);
	if (o->mixed)
		return vae_encode_mixed_rows(latents, model, image, quality, o->refine ? &refine : NULL,
		                             error);
	if (!o->refine)
		return vae_encode_rows(latents, model, image, quality, error);
	return vae_refine_rows(latents, model, image, quality, &refine, error);
}

/* Encodes an image. start: when the work on it began. */
static int encode(const struct options *o, const struct input *in, struct output *out,
                  const struct vae_model *model, struct vae_image_rows *image, double quality,
                  double start, struct vae_error *error)
{
	struct vae_latents_rows *latents;
	struct progress progress;
	int status = open_latents(&latents, o, in, model, image, quality, error);

	if (status < 0)
		return status;
	progress_begin(&progress, latents, o->common.quiet);
	status = vae_latents_rows_write(&progress.rows, (o->band + 15) / 16, out->file, error);
	progress_end(&progress);
	if (!status && o->common.verbose)
		report(in, &latents->head, quality, seconds_now() - start);
	vae_latents_rows_free(latents);
	return status < 0 ? status : output_flush(out, error);
}

/* Encodes to a target, with the picture in memory: it is encoded again and again. */
static int encode_to_target(const struct options *o, const struct input *in, struct output *out,
                            const struct vae_model *model, struct vae_image_rows *pixels,
                            struct vae_error *error)
{
	struct options found = *o;
	struct vae_image *image;
	struct vae_image_rows *again = NULL;
	struct progress progress;
	double quality, start = seconds_now();
	int status = vae_image_rows_collect(&image, pixels, error);

	if (status)
		return status;
	progress_name(&progress, "searching the quality", o->common.quiet);
	status = vae_target_quality(&quality, &found.mixed, model, image, &o->target, error);
	progress_end(&progress);
	if (!status && !(status = vae_image_rows_new(&again, image, error)))
		status = encode(&found, in, out, model, again, quality, start, error);
	vae_image_rows_free(again);
	vae_image_free(image);
	return status;
}

/* Rows of an image, and the least and the greatest of their samples. */
struct range {
	struct vae_image_rows rows;
	struct vae_image_rows *from;
	uint16_t low, high;
};

static int range_read(struct vae_image_rows *self, uint32_t count, uint16_t *colour,
                      uint16_t *alpha, struct vae_error *error)
{
	struct range *r = (struct range *)self;
	size_t samples = (size_t)count * self->geometry.width * vae_colours(self->geometry.tuple);
	int status = r->from->read(r->from, count, colour, alpha, error);

	self->row = r->from->row;
	for (size_t i = 0; !status && i < samples; i++) {
		r->low = colour[i] < r->low ? colour[i] : r->low;
		r->high = colour[i] > r->high ? colour[i] : r->high;
	}
	return status;
}

/* Notes that the samples use a small part of their range: quality refers to the whole range, so
 * that such pictures come out coarse. */
static void report_range(const struct input *in, const struct range *r)
{
	unsigned white = r->rows.geometry.maxval, used = r->high - r->low;

	if (white > 255 && used && used < white / SPARSE)
		cli_note(
			"%s: samples lie between %u and %u of %u: relative to this range, errors are %u times "
			"as large; see vae-enc(1)",
			input_name(in), r->low, r->high, white, white / used);
}

static int encode_image(const struct options *o, const struct input *in, struct output *out,
                        const struct vae_model *model, struct vae_image_rows *image,
                        struct vae_error *error)
{
	struct vae_image_rows *filled = NULL;
	struct range range = {.rows = {.geometry = image->geometry, .read = range_read},
	                      .low = UINT16_MAX};
	int status = o->keep_invisible || o->lossless ? 0 : vae_image_rows_fill(&filled, image, error);

	range.from = filled ? filled : image;
	if (!status && o->target.value)
		status = encode_to_target(o, in, out, model, &range.rows, error);
	else if (!status)
		status = encode(o, in, out, model, &range.rows, o->quality, seconds_now(), error);
	if (!status && o->common.verbose && !o->lossless)
		report_range(in, &range);
	vae_image_rows_free(filled);
	return status;
}

int main(int argc, char **argv)
{
	struct vae_error error = {0};
	struct options o;
	struct vae_model *model = NULL;
	struct input in;
	struct output out;
	struct vae_image_rows *image;
	int status;

	parse_options(&o, argc, argv);
	if (inout_open(&in, &out, &o.common, &error) ||
	    (!o.lossless && vae_model_find(&model, o.common.model, &error)))
		return inout_refuse(&in, &out, &error);
	status = input_expect(&in, VAE_KIND_IMAGE, &error);
	while (!status &&
	       (status = vae_image_rows_open(&image, in.file, o.common.max_pixels, &error)) == 1) {
		status = encode_image(&o, &in, &out, model, image, &error);
		vae_image_rows_free(image);
		if (!status)
			input_mark(&in);
	}
	vae_model_free(model);
	return inout_finish(&in, &out, status, &error);
}
