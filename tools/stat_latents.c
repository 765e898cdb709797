/* stat_latents.c - latents: their geometry, and every channel's moments and entropy over a file. */
#include "stat.h"
#include "progress.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define VALUES 8192 /* that a channel may round to; beyond them it is counted at the ends */

/* Statistics of the latents of one file, over all images and cells. */
struct channels {
	uint64_t model_id;
	uint32_t count;
	uint64_t cells;
	double *sum, *squares; /* [count] */
	uint64_t *tally;       /* [count][VALUES], how often each rounded value occurs */
};

static void channels_clear(struct channels *c)
{
	free(c->sum);
	free(c->squares);
	free(c->tally);
	*c = (struct channels){0};
}

/* Checks that these latents have the channels of all before them. */
static int channels_suit(struct channels *c, const struct vae_head *head, struct vae_error *error)
{
	if (c->count)
		return c->model_id == head->model_id && c->count == head->channels
		           ? 0
		           : fail(error, VAE_EDATA,
		                  "latents of another model follow; channels of two models cannot be "
		                  "averaged");
	c->sum = calloc(head->channels, sizeof *c->sum);
	c->squares = calloc(head->channels, sizeof *c->squares);
	c->tally = calloc((size_t)head->channels * VALUES, sizeof *c->tally);
	if (!c->sum || !c->squares || !c->tally)
		return fail(error, VAE_EMEM, "out of memory");
	c->count = head->channels;
	c->model_id = head->model_id;
	return 0;
}

static void channels_add(struct channels *c, const float *y, size_t cells)
{
	for (size_t i = 0; i < cells; i++)
		for (uint32_t k = 0; k < c->count; k++) {
			float value = *y++;
			float bounded = fmaxf(-VALUES / 2, fminf(value, VALUES / 2 - 1));

			c->sum[k] += value;
			c->squares[k] += (double)value * value;
			c->tally[(size_t)k * VALUES + (size_t)(lrintf(bounded) + VALUES / 2)]++;
		}
	c->cells += cells;
}

/* Latents that are counted while they are read. */
struct counted {
	struct vae_latents_rows rows;
	struct vae_latents_rows *from;
	struct channels *channels; /* NULL: not counted */
	bool failed;               /* reading failed */
};

static int read_counted(struct vae_latents_rows *rows, uint32_t count, float *y, uint16_t *alpha,
                        struct vae_error *error)
{
	struct counted *c = (struct counted *)rows;
	int status = c->from->read(c->from, count, y, alpha, error);

	rows->row = c->from->row;
	c->failed = status != 0;
	if (!status && c->channels && y)
		channels_add(c->channels, y, (size_t)count * rows->head.columns);
	return status;
}

/* Reads one row of cells after another. */
static int channels_read(struct channels *c, struct vae_latents_rows *rows, bool quiet,
                         struct vae_error *error)
{
	size_t columns = rows->head.columns;
	float *y = calloc(columns * c->count, sizeof *y);
	struct progress progress;
	int status = y ? 0 : fail(error, VAE_EMEM, "out of memory");

	progress_begin(&progress, rows, quiet);
	while (!status && rows->row < rows->head.rows)
		if (!(status = progress.rows.read(&progress.rows, 1, y, NULL, error)))
			channels_add(c, y, columns);
	progress_end(&progress);
	free(y);
	return status;
}

/* Returns the entropy of channel k's rounded values in bits a value. */
static double channel_entropy(const struct channels *c, uint32_t k)
{
	double bits = 0;

	for (size_t i = 0; i < VALUES; i++) {
		double share = (double)c->tally[(size_t)k * VALUES + i] / c->cells;

		if (share > 0)
			bits -= share * log2(share);
	}
	return bits;
}

/* Returns KL(N(mean, deviation^2) || N(0, 1)) in nats: the distance of a channel from the prior
 * that a dense VAE samples from. */
static double kl_to_normal(double mean, double variance)
{
	return variance > 0 ? (mean * mean + variance - 1 - log(variance)) / 2 : INFINITY;
}

static bool is_dense(struct run *run, const struct vae_latents_rows *rows)
{
	struct vae_error ignored;
	const struct vae_model *model;

	return rows->head.channels &&
	       !models_get(&run->models, &model, &rows->head, rows->model_hint, &ignored) &&
	       !strncmp(vae_model_arch(model), "mlp", 3);
}

static void report_channels(struct run *run, const struct channels *c, const char *name, bool dense)
{
	struct report *r = &run->report;

	for (uint32_t k = 0; k < c->count; k++) {
		double mean = c->sum[k] / c->cells, variance = c->squares[k] / c->cells - mean * mean;

		variance = variance > 0 ? variance : 0;
		report_open(r, "channel", name, false);
		report_count(r, "channel", k);
		report_real(r, "mean", mean, 4);
		report_real(r, "deviation", sqrt(variance), 4);
		report_real(r, "entropy_bits", channel_entropy(c, k), 4);
		if (dense)
			report_real(r, "kl_nats", c->cells > 1 ? kl_to_normal(mean, variance) : NAN, 4);
		report_put(r);
	}
}

static void report_latents(struct run *run, const struct vae_head *y, const char *name,
                           uint64_t image, const struct vae_distortion *distortion)
{
	char model[17];

	struct report *r = &run->report;

	snprintf(model, sizeof model, "%016" PRIx64, y->model_id);
	report_open(r, "latents", name, false);
	report_count(r, "image", image);
	report_count(r, "width", y->geometry.width);
	report_count(r, "height", y->geometry.height);
	report_text(r, "tuple", vae_tuple_name(y->geometry.tuple));
	report_count(r, "maxval", y->geometry.maxval);
	report_text(r, "model_id", y->channels ? model : NULL);
	stat_report_quality(r, y->channels, y->quality);
	report_count(r, "rows", y->rows);
	report_count(r, "columns", y->columns);
	report_count(r, "channels", y->channels);
	stat_report_distortion(run, distortion);
	report_put(r);
}

/* Reads the remaining rows; channels NULL: does not count them. */
static int read_rest(struct channels *channels, struct vae_latents_rows *rows, bool quiet,
                     struct vae_error *error)
{
	return channels ? channels_read(channels, rows, quiet, error)
	                : rows->read(rows, rows->head.rows - rows->row, NULL, NULL, error);
}

/* Reads latents to their end, decodes them if there are references, and counts their channels
 * unless channels is NULL. */
static int read_latents(struct run *run, struct vae_latents_rows *rows, struct channels *channels,
                        struct vae_distortion *distortion, struct vae_error *error)
{
	const struct vae_head *head = &rows->head;
	struct counted counted = {.rows = *rows, .from = rows, .channels = channels};
	const struct vae_model *model;
	struct progress progress;
	int status, read = 0;

	if (!run->o->references)
		return read_rest(channels, rows, run->o->common.quiet, error);
	status = models_get(&run->models, &model, head, rows->model_hint, error);
	counted.rows.read = read_counted;
	progress_begin(&progress, &counted.rows, run->o->common.quiet);
	if (!status)
		status = stat_compare_decoded(run, distortion, model, &progress.rows, error);
	progress_end(&progress);
	if (!counted.failed && rows->row < head->rows)
		read = read_rest(channels, rows, true, error);
	return read ? read : status;
}

/* Reports latents. Those of another model are read to their end and reported before their channels
 * are refused. */
static int stat_latents_rows(struct run *run, struct input *in, struct channels *channels,
                             struct vae_latents_rows *rows, struct vae_error *error)
{
	const struct vae_head *head = &rows->head;
	struct vae_error mismatch;
	struct vae_distortion distortion = STAT_NO_DISTORTION;
	bool counted = !run->brief && head->channels;
	int misfit = counted ? channels_suit(channels, head, &mismatch) : 0;
	int status = read_latents(run, rows, counted && !misfit ? channels : NULL, &distortion, error);

	if (status && rows->row < head->rows)
		return status;
	report_latents(run, head, input_name(in), in->items + 1, &distortion);
	if (misfit && !status)
		*error = mismatch;
	return status ? status : misfit;
}

int stat_latents(struct run *run, struct input *in, struct vae_error *error)
{
	struct channels channels = {0};
	struct vae_latents_rows *rows;
	bool dense = false;
	int status = 0;

	while (!status && (status = vae_latents_rows_open(&rows, in->file, run->o->common.max_pixels,
	                                                  error)) == 1) {
		uint32_t before = channels.count;

		status = stat_latents_rows(run, in, &channels, rows, error);
		if (!status && channels.count != before)
			dense = is_dense(run, rows);
		vae_latents_rows_free(rows);
		if (!status)
			input_mark(in);
	}
	if (!status && channels.cells)
		report_channels(run, &channels, input_name(in), dense);
	channels_clear(&channels);
	return status;
}
