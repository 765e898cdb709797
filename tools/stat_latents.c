/* stat_latents.c - latents: their geometry, and every channel's moments and entropy over a file. */
#include "stat.h"
#include "progress.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* Counts of the rounded values of each channel: an open-addressed table, doubled when half full. A
 * random number seeds the hash: the keys come from files, which must not be able to choose
 * collisions. */
struct tally {
	struct tally_entry {
		uint64_t key, count;
	} * entry; /* [size]; count 0: free */
	size_t size, used;
	uint64_t seed;
};

/* Statistics of the latents of one file, over all images and cells. */
struct channels {
	uint64_t model_id;
	uint32_t count;
	uint64_t cells;
	double *sum, *squares; /* [count] */
	struct tally tally;
};

static struct tally_entry *tally_find(const struct tally *t, uint64_t key)
{
	uint64_t at = key ^ t->seed;

	for (int i = 0; i < 2; i++) /* the finaliser of MurmurHash3 (Appleby 2011), with the seed added
	                               between its halves */
		at = ((at ^ at >> 33) + t->seed) * (i ? 0xc4ceb9fe1a85ec53u : 0xff51afd7ed558ccdu);
	at ^= at >> 33;

	for (;; at++)
		if (!t->entry[at & (t->size - 1)].count || t->entry[at & (t->size - 1)].key == key)
			return &t->entry[at & (t->size - 1)];
}

static bool tally_grow(struct tally *t)
{
	struct tally larger = {
		.size = t->size ? 2 * t->size : 1 << 12, .used = t->used, .seed = t->seed};

	if (!t->size && getrandom(&larger.seed, sizeof larger.seed, GRND_NONBLOCK) < 0)
		larger.seed = (uint64_t)(uintptr_t)t;
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
		status = channels_add(c->channels, y, (size_t)count * rows->head.columns, error);
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
			status = channels_add(c, y, columns, error);
	progress_end(&progress);
	free(y);
	return status;
}

static int by_key(const void *a, const void *b)
{
	const struct tally_entry *x = a, *y = b;

	return (x->key > y->key) - (x->key < y->key);
}

/* Computes bits[k], the entropy of channel k's rounded values in bits a value. The tally is sorted,
 * so that its seed does not affect the last bits of the sum. */
static void channels_entropy(const struct channels *c, double *bits)
{
	if (c->tally.size)
		qsort(c->tally.entry, c->tally.size, sizeof *c->tally.entry, by_key);
	for (size_t i = 0; i < c->tally.size; i++) {
		double share = (double)c->tally.entry[i].count / c->cells;

		if (share > 0)
			bits[c->tally.entry[i].key >> 32] -= share * log2(share);
	}
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

static int report_channels(struct run *run, const struct channels *c, const char *name, bool dense,
                           struct vae_error *error)
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
		status = report_channels(run, &channels, input_name(in), dense, error);
	channels_clear(&channels);
	return status;
}
