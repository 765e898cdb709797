/* stat_models.c - models: their parts and the cost of each. */
#include "stat.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MODEL_BYTES ((int64_t)1 << 30) /* largest model that is read from a pipe */

/* Returns the share of the metric in the distortion; NaN if the model has none. */
static double share_of(const struct vae_model *model)
{
	const char *text = vae_model_metadata(model, "share");
	char *end;
	double share;

	if (!text)
		return NAN;
	share = strtod(text, &end);
	return !*end && share > 0 && share <= 1 ? share : NAN;
}

static void report_model(struct run *run, const struct vae_model *model, const char *name)
{
	struct report *r = &run->report;
	struct vae_part part[16];
	int parts = vae_model_parts(model, part, 16);
	uint64_t parameters = 0;
	double cost[2] = {0, 0};
	char id[17];

	for (int i = 0; i < parts; i++) {
		parameters += part[i].parameters;
		cost[part[i].decoder] += part[i].kmac_pixel;
	}
	snprintf(id, sizeof id, "%016" PRIx64, vae_model_id(model));
	if (run->brief) {
		report_open(r, "model", name, false);
		report_text(r, "id", id);
		report_count(r, "parameters", parameters);
		report_real(r, "encoder_kmac_pixel", cost[0], 3);
		report_real(r, "decoder_kmac_pixel", cost[1], 3);
		report_put(r);
		return;
	}
	report_open(r, "model", name, true);
	report_text(r, "id", id);
	report_text(r, "architecture", vae_model_arch(model));
	report_count(r, "parameters", parameters);
	report_real(r, "encoder_kmac_pixel", cost[0], 3);
	report_real(r, "decoder_kmac_pixel", cost[1], 3);
	report_text(r, "licence", vae_model_metadata(model, "licence"));
	report_text(r, "loss", vae_model_metadata(model, "loss"));
	report_real(r, "share", share_of(model), 3);
	report_text(r, "training", vae_model_metadata(model, "training"));
	report_put(r);
	for (int i = 0; i < parts; i++) {
		report_open(r, "part", name, false);
		report_text(r, "part", part[i].name);
		report_flag(r, "decoder", part[i].decoder);
		report_real(r, "kmac_pixel", part[i].kmac_pixel, 3);
		report_count(r, "parameters", part[i].parameters);
		report_put(r);
	}
}

/* Copies the rest of the stream to a nameless file, of which nothing remains after the program. */
static FILE *spool(struct input *in, struct vae_error *error)
{
	const char *folder = output_scratch_folder();
	int fd = output_scratch();
	FILE *copy = fd < 0 ? NULL : fdopen(fd, "w");
	char block[1 << 14];
	int64_t bytes = 0;
	size_t got;

	if (fd >= 0 && !copy)
		close(fd);
	if (!copy) {
		fail(error, VAE_EIO, "%s: %s", folder, strerror(errno));
		return NULL;
	}
	while ((got = fread(block, 1, sizeof block, in->file)) && (bytes += got) <= MODEL_BYTES)
		if (fwrite(block, 1, got, copy) != got)
			break;
	if (bytes > MODEL_BYTES)
		fail(error, VAE_ELIMIT, "the file is larger than any model, %" PRId64 " bytes",
		     MODEL_BYTES);
	else if (fflush(copy) || ferror(copy))
		fail(error, VAE_EIO, "%s: %s", folder, strerror(errno));
	else if (!in->failure)
		return copy;
	fclose(copy);
	return NULL;
}

/* Loads a model by its path; the stream of a pipe is first copied to a file. */
static int load_model(struct vae_model **model, struct input *in, struct vae_error *error)
{
	const char *path = input_path(in);
	struct stat file;
	FILE *copy;
	char spooled[32];
	int status;

	if (path && !stat(path, &file) && S_ISREG(file.st_mode))
		return vae_model_load(model, path, error);
	copy = spool(in, error);
	if (!copy)
		return VAE_EIO;
	snprintf(spooled, sizeof spooled, "/proc/self/fd/%d", fileno(copy));
	status = vae_model_load(model, spooled, error);
	fclose(copy);
	return status;
}

int stat_model(struct run *run, struct input *in, struct vae_error *error)
{
	struct vae_model *model;
	int status = load_model(&model, in, error);

	if (status < 0)
		return status;
	report_model(run, model, input_name(in));
	status = vae_model_verify(model, error);
	vae_model_free(model);
	if (!status)
		input_mark(in);
	return status;
}
