/* Codes: their parts in bytes, beside what the model estimates and what the other method makes of the same symbols. */
#include "stat.h"
#include "progress.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

/* What codes take as a frame of their own. */
static int frame_size(const struct vae_codes *codes, uint64_t *bytes, struct vae_error *error)
{
	char *packed;
	size_t count;
	int status = vae_codes_pack(&packed, &count, codes, VAE_LEVEL_DEFAULT, error);

	if (status < 0)
		return status;
	free(packed);
	*bytes = count;
	return 0;
}

/* Bytes of the same symbols packed by the other method. */
static int other_method(const struct vae_model *model, const struct vae_codes *codes, uint64_t *bytes, struct vae_error *error)
{
	enum vae_method other = codes->method == VAE_METHOD_RANGE ? VAE_METHOD_ZSTD : VAE_METHOD_RANGE;
	struct vae_codes *packed = NULL;
	int status = vae_repack(&packed, model, codes, other, error);

	if (!status)
		status = frame_size(packed, bytes, error);
	vae_codes_free(packed);
	return status;
}

static uint64_t slice_bytes(const struct vae_codes *codes)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < codes->slices; i++)
		sum += codes->slice[i].bytes;
	return sum;
}

static void report_geometry(struct report *r, const struct vae_codes *codes)
{
	report_count(r, "width", codes->geometry.width);
	report_count(r, "height", codes->geometry.height);
	report_text(r, "tuple", vae_tuple_name(codes->geometry.tuple));
	report_count(r, "maxval", codes->geometry.maxval);
	report_real(r, "quality", 100.0 * codes->quality / VAE_QUALITY_ONE, 2);
	report_count(r, "rows", codes->rows);
	report_count(r, "columns", codes->columns);
	report_count(r, "channels", codes->channels);
}

/* A model that is missing leaves its figures out, and is an error all the same. */
static int report_codes(struct run *run, const struct input *in, const struct vae_codes *codes, struct vae_error *error)
{
	struct report *r = &run->report;
	uint64_t bytes = ftello(in->file) - in->item; /* of the image's frame */
	double pixels = (double)codes->geometry.width * codes->geometry.height;
	uint64_t content = vae_codes_content_bytes(codes), other = 0, slices = slice_bytes(codes);
	uint64_t alpha = 0;
	struct vae_rate rate = { NAN, NAN, NAN, 0 };
	const struct vae_model *model = NULL;
	struct progress progress;
	char name[64], id[17];
	int status = models_get(&run->models, &model, codes->model_id, NULL, error);

	for (uint32_t i = 0; i < codes->slices; i++)
		alpha += vae_codes_alpha_bytes(codes, i);
	slices -= alpha;
	progress_start(&progress, NULL, run->o->common.quiet);
	if (!status)
		status = vae_rate_estimate(&rate, model, codes, error);
	if (!status)
		status = other_method(model, codes, &other, error);
	progress_end(&progress);
	snprintf(id, sizeof id, "%016" PRIx64, codes->model_id);
	report_open(r, "codes", input_name(in), true);
	report_count(r, "image", in->items + 1);
	report_text(r, "model", model ? model_name(model, name, sizeof name) : NULL);
	report_text(r, "model_id", id);
	report_geometry(r, codes);
	report_text(r, "method", codes->method == VAE_METHOD_RANGE ? "range" : "zstd");
	report_count(r, "file_bytes", bytes);
	report_real(r, "bpp", 8 * bytes / pixels, 4);
	report_count(r, "content_bytes", content);
	report_count(r, "header_bytes", content - alpha - slices);
	report_count(r, "alpha_bytes", alpha);
	report_count(r, "slices", codes->slices);
	report_count(r, "slice_bytes", slices);
	report_real(r, "z_estimate_bytes", rate.z_bits / 8, 1);
	report_real(r, "y_estimate_bytes", rate.y_bits / 8, 1);
	report_real(r, "estimate_bytes", (rate.z_bits + rate.y_bits) / 8, 1);
	report_real(r, "y_float_bytes", rate.y_float_bits / 8, 1);
	report_text(r, "other_method", codes->method == VAE_METHOD_RANGE ? "zstd" : "range");
	report_real(r, "other_method_bytes", status ? NAN : (double)other, 0);
	report_put(r);
	return status;
}

int stat_codes(struct run *run, struct input *in, struct vae_error *error)
{
	return stat_each_codes(run, in, report_codes, error);
}

int stat_each_codes(struct run *run, struct input *in,
                    int (*act)(struct run *run, const struct input *in, const struct vae_codes *codes, struct vae_error *error),
                    struct vae_error *error)
{
	struct vae_codes_reader *reader;
	struct vae_codes *codes;
	int status = vae_codes_reader_new(&reader, in->file, run->o->common.max_pixels, error);

	if (status < 0)
		return status;
	while (!status && (status = vae_codes_read(&codes, reader, error)) == 1) {
		status = act(run, in, codes, error);
		vae_codes_free(codes);
		if (!status)
			input_mark(in);
	}
	vae_codes_reader_free(reader);
	return status;
}
