/* stat_codes.c - codes: the bytes of their parts, the model's estimate, and the size with the other
 * method. */
#include "stat.h"
#include "progress.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Computes the size of codes in a frame of their own. */
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

static enum vae_method other_than(enum vae_method method)
{
	return method == VAE_METHOD_RANGE ? VAE_METHOD_ZSTD : VAE_METHOD_RANGE;
}

/* Computes the size of the same symbols packed by the other method. */
static int other_method(const struct vae_model *model, const struct vae_codes *codes,
                        uint64_t *bytes, struct vae_error *error)
{
	struct vae_codes *packed = NULL;
	int status = vae_repack(&packed, model, codes, other_than(codes->method), error);

	if (!status)
		status = frame_size(packed, bytes, error);
	vae_codes_free(packed);
	return status;
}

/* Computes the packed bytes of alpha in a file of `bytes` bytes: the coded ones, or their
 * difference to a frame without alpha. */
static int packed_alpha(const struct vae_codes *codes, uint64_t bytes, uint64_t coded,
                        uint64_t *packed, struct vae_error *error)
{
	struct vae_codes bare = *codes;
	uint64_t rest = bytes;
	int status = 0;

	*packed = coded;
	if (!vae_codes_alpha_bytes(codes, 0))
		return 0;
	bare.head.geometry.tuple &= ~VAE_BLACKANDWHITE_ALPHA;
	bare.slice = calloc(codes->slices, sizeof *bare.slice);
	if (!bare.slice)
		return fail(error, VAE_EMEM, "out of memory");
	for (uint32_t i = 0; i < codes->slices; i++) {
		uint32_t alpha = (uint32_t)vae_codes_alpha_bytes(codes, i);

		bare.slice[i].payload = codes->slice[i].payload + alpha;
		bare.slice[i].bytes = codes->slice[i].bytes - alpha;
	}
	status = frame_size(&bare, &rest, error);
	free(bare.slice);
	*packed = bytes > rest ? bytes - rest : 0;
	return status;
}

static uint64_t slice_bytes(const struct vae_codes *codes)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < codes->slices; i++)
		sum += codes->slice[i].bytes;
	return sum;
}

/* Figures of one image's codes. */
struct figures {
	uint64_t bytes;                /* of the image's frame */
	uint64_t packed_alpha;         /* the part of alpha in them; 0 if not wanted */
	const struct vae_model *model; /* NULL: missing */
	struct vae_rate rate;          /* NAN if not wanted */
	struct vae_exact_share exact;
	double other_bytes; /* packed by the other method; NAN if not wanted */
	struct vae_distortion distortion;
};

static double bits_a_pixel(double bytes, double pixels) { return 8 * bytes / pixels; }

static double pixels_of(const struct vae_codes *codes)
{
	return (double)codes->head.geometry.width * codes->head.geometry.height;
}

static int compare(struct run *run, struct figures *f, const struct vae_codes *codes,
                   struct vae_error *error)
{
	struct vae_latents_rows *latents;
	int status;

	if (!run->o->references)
		return 0;
	status = vae_dequantise_rows(&latents, f->model, codes, NULL, NULL, error);
	if (status < 0)
		return status;
	status = stat_compare_decoded(run, &f->distortion, f->model, latents, error);
	vae_latents_rows_free(latents);
	return status;
}

/* Measures codes. A missing model leaves its figures out, and is an error. */
static int measure(struct run *run, struct figures *f, const struct vae_codes *codes,
                   struct vae_error *error)
{
	uint64_t other;
	int status = vae_exact_shares(&f->exact, NULL, codes, error);

	if (!status)
		status = models_get(&run->models, &f->model, &codes->head, NULL, error);
	if (!status && !run->brief)
		status = vae_rate_estimate(&f->rate, f->model, codes, error);
	if (!status && !run->brief)
		status = packed_alpha(codes, f->bytes, f->exact.alpha_bytes, &f->packed_alpha, error);
	if (!status && run->o->common.verbose && codes->head.channels &&
	    !(status = other_method(f->model, codes, &other, error)))
		f->other_bytes = (double)other;
	return status ? status : compare(run, f, codes, error);
}

static void report_geometry(struct report *r, const struct vae_codes *codes)
{
	report_count(r, "width", codes->head.geometry.width);
	report_count(r, "height", codes->head.geometry.height);
	report_text(r, "tuple", vae_tuple_name(codes->head.geometry.tuple));
	report_count(r, "maxval", codes->head.geometry.maxval);
	stat_report_quality(r, codes->head.channels, codes->head.quality);
	report_count(r, "rows", codes->head.rows);
	report_count(r, "columns", codes->head.columns);
	report_count(r, "channels", codes->head.channels);
}

static const char *method_name(enum vae_method method)
{
	return method == VAE_METHOD_RANGE ? "range" : "zstd";
}

/* Returns the name of the codes' packing. */
static const char *packing(const struct vae_codes *codes)
{
	return codes->head.channels ? method_name(codes->method) : "exact";
}

static void report_line(struct run *run, const struct vae_codes *codes, const struct figures *f)
{
	struct report *r = &run->report;

	report_count(r, "file_bytes", f->bytes);
	report_real(r, "bpp", bits_a_pixel(f->bytes, pixels_of(codes)), 4);
	report_count(r, "width", codes->head.geometry.width);
	report_count(r, "height", codes->head.geometry.height);
	report_text(r, "tuple", vae_tuple_name(codes->head.geometry.tuple));
	stat_report_quality(r, codes->head.channels, codes->head.quality);
	report_text(r, "method", packing(codes));
	stat_report_distortion(run, &f->distortion);
	report_text(r, "model", f->model ? model_name(f->model, run->name, sizeof run->name) : NULL);
}

static void report_whole(struct run *run, const struct vae_codes *codes, const struct figures *f,
                         uint64_t image)
{
	struct report *r = &run->report;
	uint64_t content = vae_codes_content_bytes(codes), alpha = f->exact.alpha_bytes,
			 slices = slice_bytes(codes) - alpha;

	snprintf(run->id, sizeof run->id, "%016" PRIx64, codes->head.model_id);
	report_count(r, "image", image);
	report_text(r, "model", f->model ? model_name(f->model, run->name, sizeof run->name) : NULL);
	report_text(r, "model_id", codes->head.channels ? run->id : NULL);
	report_geometry(r, codes);
	report_text(r, "method", packing(codes));
	report_count(r, "file_bytes", f->bytes);
	report_real(r, "bpp", bits_a_pixel(f->bytes, pixels_of(codes)), 4);
	report_count(r, "content_bytes", content);
	report_count(r, "header_bytes", content - alpha - slices);
	report_count(r, "alpha_bytes", alpha);
	report_count(r, "alpha_packed_bytes", f->packed_alpha);
	report_count(r, "slices", codes->slices);
	report_count(r, "slice_bytes", slices);
	report_count(r, "exact_cells", f->exact.cells);
	report_count(r, "exact_bytes", f->exact.bytes);
	report_real(r, "z_estimate_bytes", f->rate.z_bits / 8, 1);
	report_real(r, "y_estimate_bytes", f->rate.y_bits / 8, 1);
	report_real(r, "estimate_bytes", (f->rate.z_bits + f->rate.y_bits) / 8, 1);
	report_real(r, "y_float_bytes", f->rate.y_float_bits / 8, 1);
	if (run->o->common.verbose) {
		report_text(r, "other_method",
		            codes->head.channels ? method_name(other_than(codes->method)) : NULL);
		report_real(r, "other_method_bytes", f->other_bytes, 0);
	}
	stat_report_distortion(run, &f->distortion);
}

/* Prints the open record of an image, if there is one: all its metadata have been read. */
static void finish_record(struct run *run)
{
	if (run->open) {
		report_count(&run->report, "metadata_bytes", run->metadata_bytes);
		report_put(&run->report);
	}
	run->all_metadata_bytes += run->metadata_bytes;
	run->metadata_bytes = 0;
	run->open = false;
}

static int report_codes(struct run *run, const struct input *in, const struct vae_codes *codes,
                        struct vae_error *error)
{
	struct figures f = {.bytes = ftello(in->file) - in->item,
	                    .rate = {NAN, NAN, NAN, 0},
	                    .other_bytes = NAN,
	                    .distortion = STAT_NO_DISTORTION};
	struct progress progress;
	int status;

	finish_record(run);
	progress_name(&progress, "measuring codes", run->o->common.quiet);
	status = measure(run, &f, codes, error);
	progress_end(&progress);
	report_open(&run->report, "codes", input_name(in), !run->brief);
	if (run->brief)
		report_line(run, codes, &f);
	else
		report_whole(run, codes, &f, in->items + 1);
	run->open = true;
	run->codes++;
	run->codes_bytes += f.bytes;
	run->codes_pixels += pixels_of(codes);
	return status;
}

void stat_total(struct run *run)
{
	report_open(&run->report, "total", "total", false);
	report_count(&run->report, "images", run->codes);
	report_count(&run->report, "file_bytes", run->codes_bytes);
	report_real(&run->report, "bpp", bits_a_pixel(run->codes_bytes, run->codes_pixels), 4);
	report_count(&run->report, "metadata_bytes", run->all_metadata_bytes);
	report_put(&run->report);
}

void stat_report_quality(struct report *r, uint32_t channels, uint16_t quality)
{
	double value = 100.0 * quality / VAE_QUALITY_ONE, unit = 1, rounded;
	int decimals = 0;

	while ((rounded = rint(value * unit) / unit,
	        (uint16_t)(rounded / 100 * VAE_QUALITY_ONE + 0.5) != quality)) { /* as when encoded */
		unit *= 10;
		decimals++;
	}
	report_real(r, "quality", channels ? rounded : NAN, decimals);
}

int stat_codes(struct run *run, struct input *in, struct vae_error *error)
{
	int status = stat_each_codes(run, in, report_codes, error);

	finish_record(run);
	return status;
}

static const char *const kind_name[METADATA_KINDS] = {
	[VAE_METADATA_ICC] = "ICC profile",
	[VAE_METADATA_EXIF] = "Exif metadata",
	[VAE_METADATA_XMP] = "XMP packet",
};

struct found {
	struct run *run;
	struct input *in;
};

/* Counts the bytes of metadata, which are no part of the next image; keeps the wanted ones of the
 * first image. */
static int pass_over(void *context, const struct vae_codes_metadata *m, struct vae_error *error)
{
	struct found *f = context;
	off_t position = ftello(f->in->file);

	if (position >= 0) {
		f->run->metadata_bytes += position - f->in->item;
		f->in->item = position;
	}
	if (m->damaged)
		cli_note("%s: metadata (%s) are damaged", input_name(f->in),
		         vae_codes_metadata_name(m->kind));
	if (m->damaged || f->run->codes != 1 || !f->run->o->take[m->kind])
		return 0;
	return metadata_keep(&f->run->metadata, m, error);
}

static int count_codes(struct run *run, const struct input *in, const struct vae_codes *codes,
                       struct vae_error *error)
{
	(void)codes;
	(void)error;
	if (!run->codes++)
		run->first = input_name(in);
	return 0;
}

int stat_metadata(struct run *run, struct input *in, struct vae_error *error)
{
	return stat_each_codes(run, in, count_codes, error);
}

/* Writes metadata to a file; reports what fails. */
static bool save(const char *path, const struct vae_codes_metadata *m)
{
	struct vae_error error;
	struct output out;
	int status = output_open(&out, path, false, &error);

	if (status < 0) {
		cli_error("%s", error.text);
		return false;
	}
	if (fwrite(m->data, 1, m->bytes, out.file) == m->bytes)
		status = output_close(&out, &error);
	else
		status = fail(&error, VAE_EIO, "%s", strerror(errno));
	if (status < 0)
		cli_error("%s: %s", out.name, error.text);
	output_abandon(&out);
	return !status;
}

bool stat_metadata_save(struct run *run)
{
	bool good = true;

	for (int kind = VAE_METADATA_ICC; kind < METADATA_KINDS; kind++) {
		const struct vae_codes_metadata *m = &run->metadata.of[kind];

		if (!run->o->take[kind])
			continue;
		if (!m->bytes)
			cli_error("%s: the first image carries no %s", run->first, kind_name[kind]);
		good = m->bytes && save(run->o->take[kind], m) && good;
	}
	return good;
}

int stat_each_codes(struct run *run, struct input *in,
                    int (*act)(struct run *run, const struct input *in,
                               const struct vae_codes *codes, struct vae_error *error),
                    struct vae_error *error)
{
	struct found found = {run, in};
	struct vae_codes_reader *reader;
	struct vae_codes *codes;
	int status = vae_codes_reader_new(&reader, in->file, run->o->common.max_pixels, error);

	if (status < 0)
		return status;
	vae_codes_reader_metadata(reader, pass_over, &found);
	while (!status && (status = vae_codes_read(&codes, reader, error)) == 1) {
		status = act(run, in, codes, error);
		vae_codes_free(codes);
		if (!status)
			input_mark(in);
	}
	vae_codes_reader_free(reader);
	return status;
}
