/* locale.c - numbers are read and written the same under a locale with a decimal comma. */
#include "vae_train.h"
#include "base/error.h"
#include "base/text.h"
#include "nn/arch.h"
#include "tap.h"

#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[] = "/tmp/vae-test-locale-XXXXXX";

/* Makes the locale and enters it. */
static bool enter_german(void)
{
	char command[200];
	const char *order = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? "--big-endian" : "--little-endian";
	if (!mkdtemp(folder))
		return false;
	snprintf(command, sizeof command, "localedef --no-archive %s -i de_DE -f UTF-8 %s/de_DE.UTF-8",
	         order, folder);
	return !system(command) && !setenv("LOCPATH", folder, 1) && setlocale(LC_ALL, "de_DE.UTF-8") &&
	       !strcmp(localeconv()->decimal_point, ",");
}

static void check_arch(void)
{
	static const char line[] = "photo enc=16 enc_blocks=1 y=8 hyper=16 z=4 steps=2 ctx=16 "
							   "ctx_blocks=1 dec=16 dec_blocks=1 grid=48 grid_layers=1 knots=2 "
							   "lambda=0.0015:0.25";
	struct vae_arch arch;
	struct vae_error error = {0};
	char text[VAE_ARCH_TEXT];
	ok(!vae_arch_parse(&arch, line, &error) && arch.lambda_min == 0.0015 && arch.lambda_max == 0.25,
	   "an architecture is read (%s)", error.text);
	vae_arch_format(&arch, text);
	ok(!strcmp(text, line), "and written: %s", text);
	ok(vae_arch_parse(&arch, "photo lambda=0,0015:0,25", &error) == VAE_EARG,
	   "with a comma it is none");
}

static void check_models(void)
{
	struct vae_model *m = NULL;
	struct vae_image *image = NULL;
	struct vae_latents *y = NULL;
	struct vae_error error = {0};
	struct vae_geometry g = {
		.width = 16, .height = 16, .maxval = 255, .format = VAE_PPM, .tuple = VAE_RGB};
	ok(!vae_model_find(&m, "tests/data/tiny.safetensors", &error), "a photo model is loaded (%s)",
	   error.text);
	ok(!vae_image_new(&image, &g, 0, &error) && m &&
	       vae_encode(&y, m, image, 100.5, &error) == VAE_EARG &&
	       strstr(error.text, "quality 100.5 is"),
	   "messages have points: %s", error.text);
	vae_image_free(image);
	vae_model_free(m);
}

/* Returns the model's file as text, with spaces for NULs. */
static char *trained(struct vae_trainer *t, char *text, size_t room)
{
	struct vae_error error;
	FILE *file = tmpfile();
	memset(text, 0, room);
	if (vae_trainer_run(t, NULL, NULL, &error) || vae_trainer_save(t, file, &error))
		printf("# %s\n", error.text);
	rewind(file);
	size_t n = fread(text, 1, room - 1, file);
	for (size_t i = 0; i < n; i++)
		text[i] = text[i] ? text[i] : ' ';
	fclose(file);
	return text;
}

static void check_training(void)
{
	static char model[1 << 16], log[4096], name[100];
	struct vae_geometry g = {
		.width = 8, .height = 8, .maxval = 255, .format = VAE_PGM, .tuple = VAE_GRAYSCALE};
	struct vae_image *image;
	struct vae_trainer *t = NULL;
	struct vae_train_options o;
	struct vae_error error = {0};
	snprintf(name, sizeof name, "%s/log", folder);
	vae_train_defaults(&o);
	o.arch = "mlp width=8 height=8 hidden1=4 hidden2=4 z=2";
	o.steps = 2;
	o.batch = 2;
	o.log = name;
	if (vae_image_new(&image, &g, 0, &error) || vae_trainer_new(&t, &o, &error) ||
	    vae_trainer_add(t, image, VAE_TRAIN_LOSSY, &error)) {
		ok(0, "%s", error.text);
		return;
	}
	ok(strstr(trained(t, model, sizeof model), "Adam 0.001, loss") != NULL,
	   "a model's description has points");
	vae_trainer_free(t);
	vae_image_free(image);
	FILE *file = fopen(name, "r");
	size_t n = file ? fread(log, 1, sizeof log - 1, file) : 0;
	ok(n > 150 && strstr(log, "\ttrain\t") && strchr(log, '.') && !strchr(log, ','),
	   "a log has points");
	if (file)
		fclose(file);
}

int main(void)
{
	char command[100];
	if (!ok(enter_german(), "de_DE.UTF-8 has a decimal comma"))
		return tap_done();
	char *end;
	ok(vae_text_real("1.5:", &end) == 1.5 && *end == ':', "a number is read");
	check_arch();
	check_models();
	check_training();
	snprintf(command, sizeof command, "%g", 1.5);
	ok(!strcmp(command, "1,5"), "the caller's locale is still its own");
	snprintf(command, sizeof command, "rm -r %s", folder);
	if (system(command))
		printf("# %s is left\n", folder);
	return tap_done();
}
