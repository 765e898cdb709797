/* vae-enc - q(y|x): images in, latents out. */
#include "cli.h"
#include "inout.h"

struct options {
	struct cli_common common;
	double quality; /* 0 to 100 */
};

static const struct cli_option rows[] = {
	{ 'q', "quality", "Q", "0 (smallest file) to 100 (best picture), default 50" },
};

static const struct cli_program program = {
	.name = "vae-enc",
	.usage = "[OPTION]... [FILE]...",
	.about = "Reads PNM and PAM images, runs the analysis of a model, and writes latents\nfor vae-quant. Without FILE, or where it is -, reads standard input.",
	.options = rows,
	.count = sizeof rows / sizeof *rows,
};

static void parse_options(struct options *o, int argc, char **argv)
{
	int key;

	*o = (struct options){ .quality = 50 };
	cli_begin(&program, &o->common, argc, argv);
	while ((key = cli_next()) != -1)
		switch (key) {
		case 'q': o->quality = cli_real(0, 100); break;
		}
}

static void report(const struct input *in, const struct vae_latents *y, double quality, double seconds)
{
	cli_note("%s: %ux%u %s, maxval %u, quality %g, %.2f s", input_name(in), y->geometry.width, y->geometry.height,
		vae_tuple_name(y->geometry.tuple), y->geometry.maxval, quality, seconds);
}

static int encode(const struct options *o, const struct input *in, struct output *out, const struct vae_model *model,
	const struct vae_image *image, struct vae_error *error)
{
	double start = seconds_now();
	struct vae_latents *latents;
	int status = vae_encode(&latents, model, image, o->quality, error);

	if (status < 0)
		return status;
	if (o->common.verbose)
		report(in, latents, o->quality, seconds_now() - start);
	status = vae_latents_write(latents, out->file, error);
	vae_latents_free(latents);
	return status < 0 ? status : output_flush(out, error);
}

int main(int argc, char **argv)
{
	struct vae_error error = { 0 };
	struct options o;
	struct vae_model *model = NULL;
	struct input in;
	struct output out;
	struct vae_image *image;
	int status;

	parse_options(&o, argc, argv);
	if (inout_open(&in, &out, &o.common, &error) || vae_model_find(&model, o.common.model, &error))
		return inout_refuse(&in, &out, &error);
	status = input_expect(&in, VAE_KIND_IMAGE, &error);
	while (!status && (status = vae_image_read(&image, in.file, o.common.max_pixels, &error)) == 1) {
		status = encode(&o, &in, &out, model, image, &error);
		vae_image_free(image);
		if (!status)
			input_mark(&in);
	}
	vae_model_free(model);
	return inout_finish(&in, &out, status, &error);
}
