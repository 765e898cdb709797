/* vae-stat - measures images, latents, codes and models, which it tells apart. */
#include "cli.h"
#include "inout.h"
#include "progress.h"
#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MODEL_BYTES ((int64_t)1 << 30) /* of a model that comes through a pipe */

struct options {
	struct cli_common common;
	char **reference; /* [references] */
	int references;
	enum report_layout layout;
	bool heatmap, planes; /* pictures instead of a report */
};

enum { KEY_TSV = CLI_LONG, KEY_JSON, KEY_HEATMAP, KEY_PLANES };

static const struct cli_option known[] = {
	{ 'r', "reference", "FILE", "compare images with those of FILE, pair by pair" },
	{ KEY_TSV, "tsv", NULL, "tab-separated values, a header line for each kind" },
	{ KEY_JSON, "json", NULL, "one array of flat objects" },
	{ KEY_HEATMAP, "heatmap", NULL, "of codes: a PGM of the bits that each cell takes" },
	{ KEY_PLANES, "planes", NULL, "of latents: a PGM of each channel, strongest first" },
};

static const struct cli_program program = {
	.name = "vae-stat",
	.usage = "[OPTION]... [FILE]...",
	.about = "Reads images, latents, codes or models, tells which they are, and reports on\n"
		 "each FILE: images with PSNR and MS-SSIM against a reference, latents channel by\n"
		 "channel, codes part by part, models with their cost. Without FILE, or where it\nis -, reads standard input.",
	.options = known,
	.count = sizeof known / sizeof *known,
};

static void parse_options(struct options *o, int argc, char **argv)
{
	int key;

	*o = (struct options){ .layout = REPORT_PEOPLE };
	cli_begin(&program, &o->common, argc, argv);
	o->reference = cli_names();
	while ((key = cli_next()) != -1)
		switch (key) {
		case 'r': o->reference[o->references++] = (char *)cli_text(); break;
		case KEY_TSV: o->layout = REPORT_TSV; break;
		case KEY_JSON: o->layout = REPORT_JSON; break;
		case KEY_HEATMAP: o->heatmap = true; break;
		case KEY_PLANES: o->planes = true; break;
		}
	if (o->heatmap && o->planes)
		cli_usage("--heatmap and --planes do not go together");
	if ((o->heatmap || o->planes) && (o->references || o->layout != REPORT_PEOPLE))
		cli_usage("--%s writes pictures: no report is made, nor a comparison", o->heatmap ? "heatmap" : "planes");
}

/* Everything that a run carries from file to file. */
struct run {
	const struct options *o;
	struct report report;
	FILE *pictures; /* where they go, or NULL: the report is made */
	struct models models;
	/* pictures to compare with: a single one serves for all */
	struct input reference_in;
	struct vae_image *kept; /* that single one where its stream cannot be read again */
	uint64_t references;
	bool ran_out; /* of references, or they are bad: said once */
	/* sums over what was compared */
	double mse, psnr, ms_ssim;
	uint64_t compared;
};

/* ---- images ------------------------------------------------------------------------------------------------------------ */

/* Rows of a stream, and what went wrong with them. */
struct source {
	struct vae_image_rows rows;  /* what the library reads */
	struct vae_image_rows *from;
	struct progress *progress;   /* told of each row, or NULL */
	int status;
	struct vae_error error;
};

static int source_read(struct vae_image_rows *rows, uint32_t count, uint16_t *colour, uint16_t *alpha, struct vae_error *error)
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
	return (struct source){ .rows = { .geometry = from->geometry, .read = source_read }, .from = from };
}

/* Passes over the rows that are left, and says how reading went, from the first row to the last. */
static int source_end(struct source *s)
{
	const struct vae_geometry *g = &s->rows.geometry;
	size_t colours = (size_t)g->width * vae_colours(g->tuple);
	struct vae_error ignored;
	uint16_t *row = NULL;

	if (!s->status && s->rows.row < g->height && !(row = malloc((colours + g->width) * sizeof *row)))
		s->status = fail(&s->error, VAE_EMEM, "out of memory");
	while (!s->status && s->rows.row < g->height)
		source_read(&s->rows, 1, row, row + colours, &ignored);
	free(row);
	return s->status;
}

/* Whether the references can be opened and read once more. */
static bool can_repeat(const struct options *o)
{
	struct stat file;

	for (int i = 0; i < o->references; i++)
		if (!strcmp(o->reference[i], "-") || stat(o->reference[i], &file) || !S_ISREG(file.st_mode))
			return false;
	return true;
}

/* The single reference once more. */
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

/* The first reference, which may serve for all. */
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
	int got = vae_image_rows_open(rows, in->file, run->o->common.max_pixels, error);

	if (got < 0 || (!got && in->failure))
		return VAE_EDATA;
	if (!got)
		return run->references == 1 ? repeat_reference(run, rows, error) :
			fail(error, VAE_EDATA, run->references ? "only %" PRIu64 " images to compare with" : "empty input", run->references);
	vae_image_free(run->kept);
	run->kept = NULL;
	if (!run->references++ && !can_repeat(run->o))
		return keep_reference(run, rows, error);
	return 0;
}

/* The reference is bad, which is said once; what was to be compared with it cannot be. */
static int no_reference(struct run *run, const struct vae_error *why, struct vae_error *error)
{
	if (why && run->reference_in.names)
		input_report(&run->reference_in, why);
	else if (why)
		cli_error("%s", why->text);
	run->ran_out = true;
	return fail(error, VAE_EDATA, "no reference to compare with");
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

static int compare(struct run *run, struct vae_distortion *d, struct source *image, struct vae_error *error)
{
	struct source reference;
	int status;

	*d = (struct vae_distortion){ NAN, NAN, NAN };
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
	run->compared++;
	return 0;
}

static void report_distortion(struct run *run, const struct vae_distortion *d)
{
	if (!run->o->references)
		return;
	report_real(&run->report, "mse", d->mse, 6);
	report_real(&run->report, "psnr_db", d->psnr, 3);
	report_real(&run->report, "ms_ssim", d->ms_ssim, 5);
}

static void report_image(struct run *run, const struct input *in, const struct vae_geometry *g, const struct vae_distortion *d)
{
	struct report *r = &run->report;

	report_open(r, "image", input_name(in), false);
	report_count(r, "image", in->items + 1);
	report_count(r, "width", g->width);
	report_count(r, "height", g->height);
	report_text(r, "tuple", vae_tuple_name(g->tuple));
	report_count(r, "depth", vae_colours(g->tuple) + vae_has_alpha(g->tuple));
	report_count(r, "maxval", g->maxval);
	report_distortion(run, d);
	report_put(r);
}

static int stat_images(struct run *run, struct input *in, struct vae_error *error)
{
	struct vae_image_rows *rows;
	int status = 0;

	while (!status && (status = vae_image_rows_open(&rows, in->file, run->o->common.max_pixels, error)) == 1) {
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

static void report_average(struct run *run)
{
	struct vae_distortion d = { run->mse / run->compared, run->psnr / run->compared, run->ms_ssim / run->compared };

	report_open(&run->report, "average", "average", false);
	report_count(&run->report, "images", run->compared);
	report_distortion(run, &d);
	report_put(&run->report);
}

/* ---- latents ----------------------------------------------------------------------------------------------------------- */

/* How often each channel took each rounded value: an open-addressed table, doubled when half full. */
struct tally {
	struct tally_entry { uint64_t key, count; } *entry; /* [size]; count 0: free */
	size_t size, used;
};

/* Statistics of the latents of one file, over all its images and cells. */
struct channels {
	uint64_t model_id;
	uint32_t count;
	uint64_t cells;
	double *sum, *squares; /* [count] */
	struct tally tally;
};

static struct tally_entry *tally_find(const struct tally *t, uint64_t key)
{
	size_t at = ((key ^ key >> 32) * 0x9e3779b97f4a7c15u) >> 32;

	for (;; at++)
		if (!t->entry[at & (t->size - 1)].count || t->entry[at & (t->size - 1)].key == key)
			return &t->entry[at & (t->size - 1)];
}

static bool tally_grow(struct tally *t)
{
	struct tally larger = { .size = t->size ? 2 * t->size : 1 << 12, .used = t->used };

	larger.entry = calloc(larger.size, sizeof *larger.entry);
	if (!larger.entry)
		return false;
	for (size_t i = 0; i < t->size; i++)
		if (t->entry[i].count)
			*tally_find(&larger, t->entry[i].key) = t->entry[i];
	free(t->entry);
	*t = larger;
	return true;
}

static bool tally_add(struct tally *t, uint32_t channel, int32_t value)
{
	uint64_t key = (uint64_t)channel << 32 | (uint32_t)value;
	struct tally_entry *e;

	if (2 * t->used >= t->size && !tally_grow(t))
		return false;
	e = tally_find(t, key);
	if (!e->count++) {
		e->key = key;
		t->used++;
	}
	return true;
}

static void channels_clear(struct channels *c)
{
	free(c->sum);
	free(c->squares);
	free(c->tally.entry);
	*c = (struct channels){ 0 };
}

/* The channels of these latents, which must be those of all before them. */
static int channels_suit(struct channels *c, const struct vae_latents *head, struct vae_error *error)
{
	if (c->count)
		return c->model_id == head->model_id && c->count == head->channels ? 0 :
			fail(error, VAE_EDATA, "latents of another model follow; their channels do not compare");
	c->sum = calloc(head->channels, sizeof *c->sum);
	c->squares = calloc(head->channels, sizeof *c->squares);
	if (!c->sum || !c->squares)
		return fail(error, VAE_EMEM, "out of memory");
	c->count = head->channels;
	c->model_id = head->model_id;
	return 0;
}

static int channels_add(struct channels *c, const float *y, size_t cells, struct vae_error *error)
{
	for (size_t i = 0; i < cells; i++)
		for (uint32_t k = 0; k < c->count; k++) {
			float value = *y++;
			float bounded = value < -1e9f ? -1e9f : value > 1e9f ? 1e9f : value;

			c->sum[k] += value;
			c->squares[k] += (double)value * value;
			if (!tally_add(&c->tally, k, (int32_t)lrintf(bounded)))
				return fail(error, VAE_EMEM, "out of memory");
		}
	c->cells += cells;
	return 0;
}

/* Row by row of cells. */
static int channels_read(struct channels *c, struct vae_latents_rows *rows, bool quiet, struct vae_error *error)
{
	size_t columns = rows->head.columns;
	float *y = calloc(columns * c->count, sizeof *y);
	struct progress progress;
	int status = y ? 0 : fail(error, VAE_EMEM, "out of memory");

	progress_begin(&progress, rows, quiet);
	while (!status && rows->row < rows->head.rows)
		if (!(status = progress.rows.read(&progress.rows, 1, y, NULL, error)))
			status = channels_add(c, y, columns, error);
	progress_end(&progress);
	free(y);
	return status;
}

/* bits[k]: entropy of channel k's rounded values, in bits a value. */
static void channels_entropy(const struct channels *c, double *bits)
{
	for (size_t i = 0; i < c->tally.size; i++) {
		double share = (double)c->tally.entry[i].count / c->cells;

		if (share > 0)
			bits[c->tally.entry[i].key >> 32] -= share * log2(share);
	}
}

/* KL(N(mean, deviation^2) || N(0, 1)) in nats: how far a channel is from the prior that a dense VAE samples from. */
static double kl_to_normal(double mean, double variance)
{
	return variance > 0 ? (mean * mean + variance - 1 - log(variance)) / 2 : INFINITY;
}

static bool is_dense(struct run *run, uint64_t id, const char *hint)
{
	struct vae_error ignored;
	const struct vae_model *model;

	return !models_get(&run->models, &model, id, hint, &ignored) && !strncmp(vae_model_arch(model), "mlp", 3);
}

static int report_channels(struct run *run, const struct channels *c, const char *name, bool dense, struct vae_error *error)
{
	struct report *r = &run->report;
	double *bits = calloc(c->count, sizeof *bits);

	if (!bits)
		return fail(error, VAE_EMEM, "out of memory");
	channels_entropy(c, bits);
	for (uint32_t k = 0; k < c->count; k++) {
		double mean = c->sum[k] / c->cells, variance = c->squares[k] / c->cells - mean * mean;

		variance = variance > 0 ? variance : 0;
		report_open(r, "channel", name, false);
		report_count(r, "channel", k);
		report_real(r, "mean", mean, 4);
		report_real(r, "deviation", sqrt(variance), 4);
		report_real(r, "entropy_bits", bits[k], 4);
		if (dense)
			report_real(r, "kl_nats", c->cells > 1 ? kl_to_normal(mean, variance) : NAN, 4);
		report_put(r);
	}
	free(bits);
	return 0;
}

static void report_latents(struct run *run, const struct vae_latents *y, const char *name, uint64_t image, char *model)
{
	struct report *r = &run->report;

	report_open(r, "latents", name, false);
	report_count(r, "image", image);
	report_count(r, "width", y->geometry.width);
	report_count(r, "height", y->geometry.height);
	report_text(r, "tuple", vae_tuple_name(y->geometry.tuple));
	report_count(r, "maxval", y->geometry.maxval);
	report_text(r, "model_id", model);
	report_real(r, "quality", 100.0 * y->quality / VAE_QUALITY_ONE, 2);
	report_count(r, "rows", y->rows);
	report_count(r, "columns", y->columns);
	report_count(r, "channels", y->channels);
	report_put(r);
}

/* Latents of another model are read to their end and reported; that their channels do not suit is said then. */
static int stat_latents_rows(struct run *run, struct input *in, struct channels *channels, struct vae_latents_rows *rows,
                             struct vae_error *error)
{
	const struct vae_latents *head = &rows->head;
	struct vae_error mismatch;
	int misfit = channels_suit(channels, head, &mismatch);
	int status = misfit ? rows->read(rows, head->rows, NULL, NULL, error) : channels_read(channels, rows, run->o->common.quiet, error);
	char id[17];

	if (status)
		return status;
	snprintf(id, sizeof id, "%016" PRIx64, head->model_id);
	report_latents(run, head, input_name(in), in->items + 1, id);
	if (misfit)
		*error = mismatch;
	return misfit;
}

static int stat_latents(struct run *run, struct input *in, struct vae_error *error)
{
	struct channels channels = { 0 };
	struct vae_latents_rows *rows;
	bool dense = false;
	int status = 0;

	while (!status && (status = vae_latents_rows_open(&rows, in->file, run->o->common.max_pixels, error)) == 1) {
		status = stat_latents_rows(run, in, &channels, rows, error);
		if (!status && !in->items)
			dense = is_dense(run, rows->head.model_id, rows->head.model_hint);
		vae_latents_rows_free(rows);
		if (!status)
			input_mark(in);
	}
	if (!status && channels.cells)
		status = report_channels(run, &channels, input_name(in), dense, error);
	channels_clear(&channels);
	return status;
}

/* ---- codes ------------------------------------------------------------------------------------------------------------- */

/* What codes take as a frame of their own. */
static int frame_size(const struct vae_codes *codes, uint64_t *bytes, struct vae_error *error)
{
	char *frame = NULL;
	size_t count = 0;
	FILE *memory = open_memstream(&frame, &count);
	int status = memory ? vae_codes_write(codes, memory, 3, error) : fail(error, VAE_EMEM, "out of memory");

	if (memory && (fclose(memory) || !frame) && !status) /* see vae-quant's write_codes */
		status = fail(error, VAE_EMEM, "out of memory");
	if (!status)
		*bytes = count;
	free(frame);
	return status;
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

/* bytes: of the image's frame in the file. A model that is missing leaves its figures out, and is an error all the same. */
static int report_codes(struct run *run, const struct input *in, const struct vae_codes *codes, uint64_t bytes, struct vae_error *error)
{
	struct report *r = &run->report;
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

static int stat_codes(struct run *run, struct input *in, struct vae_error *error)
{
	struct vae_codes_reader *reader;
	struct vae_codes *codes;
	int status = vae_codes_reader_new(&reader, in->file, run->o->common.max_pixels, error);

	if (status < 0)
		return status;
	while (!status && (status = vae_codes_read(&codes, reader, error)) == 1) {
		status = report_codes(run, in, codes, ftello(in->file) - in->item, error);
		vae_codes_free(codes);
		if (!status)
			input_mark(in);
	}
	vae_codes_reader_free(reader);
	return status;
}

/* ---- pictures of codes and latents ------------------------------------------------------------------------------------- */

#define HEAT_BIT 16    /* steps of a heat map's sample to a bit */
#define PLANE_UNIT 4   /* steps of a plane's sample to a unit of y */
#define PLANE_ZERO 128

static int picture_new(struct vae_image **image, uint32_t width, uint32_t height, uint16_t maxval, struct vae_error *error)
{
	struct vae_geometry g = { .width = width, .height = height, .maxval = maxval, .format = VAE_PGM, .tuple = VAE_GRAYSCALE };

	return vae_image_new(image, &g, UINT64_MAX, error);
}

static int write_picture(struct run *run, const struct vae_image *image, struct vae_error *error)
{
	int status = vae_image_write(image, run->pictures, error);

	return !status && fflush(run->pictures) ? fail(error, VAE_EIO, "%s", strerror(errno)) : status;
}

static int heatmap(struct run *run, const struct vae_codes *codes, struct vae_error *error)
{
	size_t cells = (size_t)codes->rows * codes->columns;
	const struct vae_model *model;
	struct vae_image *image = NULL;
	double *bits = NULL;
	int status = models_get(&run->models, &model, codes->model_id, NULL, error);

	if (!status && !(bits = calloc(cells, sizeof *bits)))
		status = fail(error, VAE_EMEM, "out of memory");
	if (!status && !(status = vae_rate_cells(bits, model, codes, error)) &&
	    !(status = picture_new(&image, codes->columns, codes->rows, 65535, error))) {
		for (size_t i = 0; i < cells; i++)
			image->colour[i] = (uint16_t)fmin(rint(HEAT_BIT * bits[i]), 65535);
		status = write_picture(run, image, error);
	}
	vae_image_free(image);
	free(bits);
	return status;
}

static int heatmap_stream(struct run *run, struct input *in, struct vae_error *error)
{
	struct vae_codes_reader *reader;
	struct vae_codes *codes;
	int status = vae_codes_reader_new(&reader, in->file, run->o->common.max_pixels, error);

	if (status < 0)
		return status;
	while (!status && (status = vae_codes_read(&codes, reader, error)) == 1) {
		status = heatmap(run, codes, error);
		vae_codes_free(codes);
		if (!status)
			input_mark(in);
	}
	vae_codes_reader_free(reader);
	return status;
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

	return x->variance != y->variance ? (x->variance < y->variance) - (x->variance > y->variance) :
		(x->channel > y->channel) - (x->channel < y->channel);
}

static int read_planes(struct plane *plane, struct vae_latents_rows *rows, struct vae_error *error)
{
	uint32_t channels = rows->head.channels;
	size_t line = (size_t)rows->head.columns * channels, cells = (size_t)rows->head.rows * rows->head.columns, cell = 0;
	float *y = calloc(line, sizeof *y);
	int status = y ? 0 : fail(error, VAE_EMEM, "out of memory");

	while (!status && rows->row < rows->head.rows && !(status = rows->read(rows, 1, y, NULL, error)))
		for (size_t i = 0; i < line; cell += ++i % channels == 0) {
			struct plane *p = &plane[i % channels];

			p->sum += y[i];
			p->squares += (double)y[i] * y[i];
			p->sample[cell] = (uint8_t)fmax(0, fmin(255, rint(PLANE_ZERO + PLANE_UNIT * (double)y[i])));
		}
	for (uint32_t k = 0; !status && k < channels; k++)
		plane[k].variance = plane[k].squares / cells - plane[k].sum / cells * (plane[k].sum / cells);
	free(y);
	return status;
}

static int write_plane(struct run *run, struct vae_image *image, const struct plane *plane, struct vae_error *error)
{
	for (size_t i = 0; i < (size_t)image->geometry.width * image->geometry.height; i++)
		image->colour[i] = plane->sample[i];
	return write_picture(run, image, error);
}

static int planes(struct run *run, const struct input *in, struct vae_latents_rows *rows, struct vae_error *error)
{
	const struct vae_latents *head = &rows->head;
	size_t cells = (size_t)head->rows * head->columns;
	struct plane *plane = calloc(head->channels, sizeof *plane);
	uint8_t *samples = calloc(head->channels, cells);
	struct vae_image *image = NULL;
	int status = plane && samples ? picture_new(&image, head->columns, head->rows, 255, error) : fail(error, VAE_EMEM, "out of memory");

	for (uint32_t k = 0; !status && k < head->channels; k++)
		plane[k] = (struct plane){ .channel = k, .sample = samples + k * cells };
	if (!status && !(status = read_planes(plane, rows, error)))
		qsort(plane, head->channels, sizeof *plane, by_variance);
	for (uint32_t k = 0; !status && k < head->channels; k++) {
		status = write_plane(run, image, &plane[k], error);
		if (run->o->common.verbose)
			cli_note("%s: image %" PRIu64 ", plane %u is channel %u, deviation %.4f", input_name(in), in->items + 1, k,
				plane[k].channel, sqrt(fmax(0, plane[k].variance)));
	}
	vae_image_free(image);
	free(samples);
	free(plane);
	return status;
}

static int planes_stream(struct run *run, struct input *in, struct vae_error *error)
{
	struct vae_latents_rows *rows;
	int status = 0;

	while (!status && (status = vae_latents_rows_open(&rows, in->file, run->o->common.max_pixels, error)) == 1) {
		status = planes(run, in, rows, error);
		vae_latents_rows_free(rows);
		if (!status)
			input_mark(in);
	}
	return status;
}

/* ---- models ------------------------------------------------------------------------------------------------------------ */

static void report_model(struct run *run, const struct vae_model *model, const char *name)
{
	struct report *r = &run->report;
	struct vae_part part[16];
	int parts = vae_model_parts(model, part, 16);
	uint64_t parameters = 0;
	double cost[2] = { 0, 0 };
	char id[17];

	for (int i = 0; i < parts; i++) {
		parameters += part[i].parameters;
		cost[part[i].decoder] += part[i].kmac_pixel;
	}
	snprintf(id, sizeof id, "%016" PRIx64, vae_model_id(model));
	report_open(r, "model", name, true);
	report_text(r, "id", id);
	report_text(r, "architecture", vae_model_arch(model));
	report_count(r, "parameters", parameters);
	report_real(r, "encoder_kmac_pixel", cost[0], 3);
	report_real(r, "decoder_kmac_pixel", cost[1], 3);
	report_text(r, "licence", vae_model_metadata(model, "licence"));
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

/* Copies the rest of the stream to a new file that has no name, so that nothing of it is left however this ends. */
static FILE *spool(struct input *in, struct vae_error *error)
{
	const char *folder = getenv("TMPDIR");
	FILE *copy = NULL;
	char path[4096], block[1 << 14];
	int64_t bytes = 0;
	size_t got;
	int fd;

	folder = folder && *folder ? folder : "/tmp";
	snprintf(path, sizeof path, "%s/vae-stat.XXXXXX", folder);
	fd = mkostemp(path, O_CLOEXEC);
	if (fd >= 0 && (unlink(path) || !(copy = fdopen(fd, "w"))))
		close(fd);
	if (!copy) {
		fail(error, VAE_EIO, "%s: %s", folder, strerror(errno));
		return NULL;
	}
	while ((got = fread(block, 1, sizeof block, in->file)) && (bytes += got) <= MODEL_BYTES)
		if (fwrite(block, 1, got, copy) != got)
			break;
	if (bytes > MODEL_BYTES)
		fail(error, VAE_ELIMIT, "no model is larger than %" PRId64 " bytes", MODEL_BYTES);
	else if (fflush(copy) || ferror(copy))
		fail(error, VAE_EIO, "%s: %s", folder, strerror(errno));
	else if (!in->failure)
		return copy;
	fclose(copy);
	return NULL;
}

/* A model is loaded by its path; one that has none, as it comes through a pipe, is laid down for that moment. */
static int load_model(struct vae_model **model, struct input *in, struct vae_error *error)
{
	const char *name = input_name(in);
	struct stat file;
	FILE *copy;
	char path[32];
	int status;

	if (!stat(name, &file) && S_ISREG(file.st_mode))
		return vae_model_load(model, name, error);
	copy = spool(in, error);
	if (!copy)
		return VAE_EIO;
	snprintf(path, sizeof path, "/proc/self/fd/%d", fileno(copy));
	status = vae_model_load(model, path, error);
	fclose(copy);
	return status;
}

static int stat_model(struct run *run, struct input *in, struct vae_error *error)
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

/* ---- files ------------------------------------------------------------------------------------------------------------- */

static int stat_stream(struct run *run, struct input *in, struct vae_error *error)
{
	static const char *const name[] = {
		[VAE_KIND_IMAGE] = "images", [VAE_KIND_LATENTS] = "latents", [VAE_KIND_CODES] = "codes", [VAE_KIND_MODEL] = "a model",
	};
	enum vae_kind kind = vae_kind_peek(in->file);
	int status;

	if (run->pictures && kind != VAE_KIND_END) {
		status = kind == VAE_KIND_UNKNOWN ? fail(error, VAE_EDATA, "neither image, latents, codes nor a model")
			: input_expect(in, run->o->planes ? VAE_KIND_LATENTS : VAE_KIND_CODES, error);
		if (!status)
			status = run->o->planes ? planes_stream(run, in, error) : heatmap_stream(run, in, error);
		return !status && in->failure ? VAE_EIO : status;
	}
	if (run->o->common.verbose && kind != VAE_KIND_END && kind != VAE_KIND_UNKNOWN)
		cli_note("%s: %s", input_name(in), name[kind]);

	switch (kind) {
	case VAE_KIND_IMAGE: status = stat_images(run, in, error); break;
	case VAE_KIND_LATENTS: status = stat_latents(run, in, error); break;
	case VAE_KIND_CODES: status = stat_codes(run, in, error); break;
	case VAE_KIND_MODEL: status = stat_model(run, in, error); break;
	case VAE_KIND_END: status = in->failure ? VAE_EIO : fail(error, VAE_EDATA, "empty input"); break;
	default: status = fail(error, VAE_EDATA, "neither image, latents, codes nor a model");
	}
	return !status && in->failure ? VAE_EIO : status;
}

/* The image that could not be read had a reference too: passes it by, so that the pairs that follow stay together. */
static void skip_reference(struct run *run, uint64_t taken_before, uint64_t items)
{
	struct vae_error error = { 0 };
	struct source reference;

	if (!run->o->references || run->ran_out || run->references != taken_before + items || next_reference(run, &reference, &error))
		return;
	if (source_end(&reference))
		no_reference(run, &reference.error, &error);
	vae_image_rows_free(reference.from);
}

/* A file that is bad is reported, and the next one is taken. */
static bool stat_files(struct run *run)
{
	const struct cli_common *c = &run->o->common;
	struct vae_error error = { 0 };
	struct input in;
	bool good = true;
	int i = 0;

	do {
		uint64_t taken = run->references;

		if (input_open(&in, c->operand + i, c->operands ? 1 : 0, &error)) {
			cli_error("%s", error.text);
			return false;
		}
		if (stat_stream(run, &in, &error) < 0) {
			input_report(&in, &error);
			skip_reference(run, taken, in.items);
			good = false;
		}
		input_close(&in);
	} while (++i < c->operands);
	return good;
}

int main(int argc, char **argv)
{
	struct vae_error error = { 0 };
	struct options o;
	struct run run = { .o = &o };
	struct output out = { 0 };
	bool good, pictures;

	mallopt(M_MMAP_THRESHOLD, 1 << 20); /* large blocks go back to the system one by one; else 100 MB linger while codes are packed anew */
	parse_options(&o, argc, argv);
	pictures = o.heatmap || o.planes;
	if (output_open(&out, o.common.output, pictures && !o.common.force, &error) || models_open(&run.models, o.common.model, &error)
	    || input_open(&run.reference_in, o.reference, o.references, &error)) {
		cli_error("%s", error.text);
		good = false;
	} else if (pictures) {
		run.pictures = out.file;
		good = stat_files(&run);
	} else {
		report_begin(&run.report, out.file, o.layout);
		good = stat_files(&run);
		if (run.compared > 1)
			report_average(&run);
		report_end(&run.report);
	}
	if (good && output_close(&out, &error)) {
		cli_error("%s: %s", out.name, error.text);
		good = false;
	}
	output_abandon(&out);
	input_close(&run.reference_in);
	vae_image_free(run.kept);
	models_close(&run.models);
	free(o.reference);
	return good ? EXIT_DONE : EXIT_FAILED;
}
