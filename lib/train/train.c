/* train.c - vae_trainer: the loop that draws samples, sums gradients, steps, reports and saves. */
#include "vae_train.h"
#include "base/cpu.h"
#include "base/memory.h"
#include "base/minmax.h"
#include "base/parallel.h"
#include "base/text.h"
#include "loss/ms_ssim.h"
#include "loss/objective.h"
#include "measure/ssimulacra2.h"
#include "model/model.h"
#include "nn/sweep.h"
#include "train/checkpoint.h"
#include "train/data.h"
#include "train/grow.h"
#include "train/integer.h"
#include "train/means.h"
#include "train/ranks.h"
#include "train/recolour.h"
#include "train/sensitivity.h"
#include "train/start.h"
#include "train/tables.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define HALT_SKIPS      50     /* steps in a row without a finite gradient that mean divergence */
#define OFTEN_LOW       0.0015 /* lambda: about 0.15 bpp */
#define OFTEN_HIGH      0.1    /* about 1.5 bpp */
#define VALID_QUALITIES 5      /* qualities of validation, evenly spaced from 0 to 100 */
#define LOG_LINE        4096   /* bytes that a line of the log never has */

struct worker {
	struct vae_objective objective;
	struct vae_objective_sums sums;
	size_t first, samples; /* of a batch: patches for photo, rows for mlp */
};

struct vae_trainer {
	struct vae_train_options options;
	struct vae_model *init; /* model that the weights started from, or NULL */
	struct vae_nets *nets;
	struct vae_weights weights;
	struct vae_optimiser optimiser;
	struct vae_data data, validation;
	struct worker *worker;
	float **gradient;     /* [workers], of all parameters, one for each worker; owned */
	int workers, threads; /* a worker is a thread that has samples */
	bool started; /* whether the weights are set: from a model, a checkpoint, or the first step */
	double earlier_seconds; /* of training before this run */
	double run_seconds;     /* of this run, by rank 0's clock */
	uint64_t skipped;
	double start_psnr; /* see vae_trainer_start_psnr */
	FILE *log;         /* rank 0's, or NULL */
	struct vae_objective_sums last_valid;
};

void vae_train_defaults(struct vae_train_options *o)
{
	*o = (struct vae_train_options){.arch = "photo",
	                                .checkpoint_minutes = 10,
	                                .patch = 256,
	                                .lr = 1e-3,
	                                .share = -1,
	                                .warmup = 200,
	                                .decay = 0.2,
	                                .clip = -1,
	                                .reduce_min = 1,
	                                .reduce_max = 1,
	                                .ema = 0.999,
	                                .seed = 1};
}

/* Reads the clock that minutes are counted by: rank 0's, so that all ranks stop, report and save
 * after the same step. */
static int now(const struct vae_trainer *trainer, double *seconds, struct vae_error *error)
{
	bool cpu = trainer->options.cpu_clock;
	struct timespec t;
	clock_gettime(cpu ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
	*seconds = ((double)t.tv_sec + 1e-9 * (double)t.tv_nsec) / (cpu ? trainer->threads : 1);
	return vae_ranks_share(trainer->options.cluster, seconds, sizeof *seconds, error);
}

static const char *optimiser_name(const struct vae_trainer *t)
{
	return t->options.optimiser == VAE_OPTIMISER_MUON ? "Muon" : "Adam";
}

static const char *const loss_name[] = {[VAE_LOSS_MSE] = "mse",
                                        [VAE_LOSS_BCE] = "bce",
                                        [VAE_LOSS_MS_SSIM] = "ms-ssim",
                                        [VAE_LOSS_VISION] = "vision"};
#define LAST_LOSS VAE_LOSS_VISION

/* Returns the default loss: the checkpoint's, else the initial model's, else the network kind's. */
static int default_loss(const struct vae_checkpoint_head *head, const struct vae_model *init,
                        bool photo)
{
	const char *name = init ? vae_model_metadata(init, "loss") : NULL;
	int loss = head && head->loss <= LAST_LOSS ? (int)head->loss : VAE_LOSS_DEFAULT;
	for (int i = VAE_LOSS_MSE; name && i <= LAST_LOSS; i++)
		if (!strcmp(name, loss_name[i]))
			loss = i;
	return loss != VAE_LOSS_DEFAULT ? loss : photo ? VAE_LOSS_MSE : VAE_LOSS_BCE;
}

static bool has_metric(int loss) { return loss == VAE_LOSS_MS_SSIM || loss == VAE_LOSS_VISION; }

/* Returns the default share of the metric in the distortion, once the loss is known. */
static double default_share(const struct vae_checkpoint_head *head, const struct vae_model *init,
                            int loss)
{
	const char *name = init ? vae_model_metadata(init, "loss") : NULL,
			   *share = init ? vae_model_metadata(init, "share") : NULL;
	if (head && head->loss == (uint32_t)loss && head->share > 0)
		return head->share;
	double of_init =
		!head && name && share && !strcmp(name, loss_name[loss]) ? vae_text_real(share, NULL) : 0;
	if (of_init > 0 && of_init <= 1)
		return of_init;
	return loss == VAE_LOSS_VISION ? VAE_VISION_SHARE : 1;
}

static double decibels(double distortion) { return -10 * log10(distortion); }

/* Returns whether this process writes: it is alone, or rank 0. */
static bool leads(const struct vae_train_options *o) { return vae_rank(o->cluster) == 0; }

static bool is_photo(const struct vae_trainer *t) { return t->nets->arch.kind == VAE_ARCH_PHOTO; }

/* ---- setting up ------------------------------------------------------------------------------ */

static int check_options(const struct vae_train_options *o, struct vae_error *error)
{
	int rc = vae_isa_check(error);
	if (rc)
		return rc;
	if (o->batch < 0 || o->batch > 65536)
		return vae_fail(error, VAE_EARG, "batch %d is not 1 to 65536", o->batch);
	if (o->patch < 64 || o->patch > 4096 || o->patch % 64)
		return vae_fail(error, VAE_EARG, "patch %d is not a multiple of 64, 64 to 4096", o->patch);
	if (!(o->reduce_min >= VAE_REDUCE_LEAST && o->reduce_min <= o->reduce_max &&
	      o->reduce_max <= 1))
		return vae_fail(error, VAE_EARG, "reduction by %g to %g is not within %g to 1",
		                o->reduce_min, o->reduce_max, VAE_REDUCE_LEAST);
	if (!o->steps && !(o->minutes > 0) && !o->init)
		return vae_fail(error, VAE_EARG, "neither steps nor minutes say when to end");
	if (!(o->lr > 0 && o->lr < 1) || !(o->decay >= 0 && o->decay <= 1) ||
	    !(o->ema >= 0 && o->ema < 1) || isnan(o->clip))
		return vae_fail(error, VAE_EARG, "the rate, decay, ema or clip is out of range");
	if (o->optimiser != VAE_OPTIMISER_ADAM && o->optimiser != VAE_OPTIMISER_MUON)
		return vae_fail(error, VAE_EARG, "optimiser %d is neither Adam nor Muon", o->optimiser);
	if (o->loss < VAE_LOSS_DEFAULT || o->loss > LAST_LOSS)
		return vae_fail(error, VAE_EARG, "unknown loss %d", o->loss);
	if (o->share == 0 || o->share > 1 || isnan(o->share))
		return vae_fail(error, VAE_EARG, "share %g is not above 0 to 1", o->share);
	if (!(o->recolour >= 0 && o->recolour <= 1))
		return vae_fail(error, VAE_EARG, "recolour %g is not 0 to 1", o->recolour);
	if (o->synthesis && (!o->init || o->grow))
		return vae_fail(error, VAE_EARG, "a synthesis learns alone from an initial model as it is");
	if (o->grow && !o->init)
		return vae_fail(error, VAE_EARG, "only an initial model can grow");
	if (o->int16 && (!o->init || o->grow || o->resume))
		return vae_fail(error, VAE_EARG,
		                "only an initial model, as it stands, is rounded to integers");
	if (o->precision < VAE_PRECISION_AUTO || o->precision > VAE_PRECISION_BF16)
		return vae_fail(error, VAE_EARG, "unknown precision %d", o->precision);
	if (!(o->checkpoint_minutes >= 0) || isnan(o->minutes) || !(o->lambda_min >= 0) ||
	    !(o->lambda_max >= 0))
		return vae_fail(error, VAE_EARG, "minutes or lambdas are not numbers from 0 on");
	if (o->precision == VAE_PRECISION_BF16 && !vae_bf16())
		return vae_fail(error, VAE_EARG,
		                "no products in bf16 here: they need a CPU with AVX512-BF16");
	if (o->resume && !o->checkpoint)
		return vae_fail(error, VAE_EARG, "resuming needs a checkpoint file");
	rc = o->licence ? vae_metadata_check("licence", o->licence, error) : 0;
	return !rc && o->summary ? vae_metadata_check("summary", o->summary, error) : rc;
}

/* Chooses what the network's products are made of. An initial model of integers is trained as the
 * network in float32 that it stands for. */
static int choose_arith(struct vae_arch *arch, const struct vae_train_options *o, bool initial,
                        struct vae_error *error)
{
	bool integers = arch->arith == VAE_ARITH_INT16;
	if (o->int16 && (arch->kind != VAE_ARCH_PHOTO || integers))
		return vae_fail(error, VAE_EARG, "only a photo network in float32 is rounded to integers");
	if (o->int16)
		arch->arith = VAE_ARITH_INT16;
	else if (integers && (o->steps || o->minutes > 0 || o->grow)) {
		if (!initial)
			return vae_fail(error, VAE_EARG,
			                "a network is trained in float32, and then rounded to integers");
		arch->arith = VAE_ARITH_FLOAT32;
	}
	return 0;
}

/* Checks what depends on the kind of the network and on the loss, once they are known. */
static int check_network(const struct vae_train_options *o, bool photo, struct vae_error *error)
{
	if (photo && o->loss == VAE_LOSS_BCE)
		return vae_fail(error, VAE_EARG, "a photo network is trained on mse, ms-ssim or vision");
	if (!photo && has_metric(o->loss))
		return vae_fail(error, VAE_EARG, "a dense network is trained on bce or mse");
	if (o->loss == VAE_LOSS_MS_SSIM && o->patch < VAE_MS_SSIM_PATCH)
		return vae_fail(error, VAE_EARG,
		                "patch %d is too small for ms-ssim, whose five scales take more than 160 "
		                "pixels a side: %d at least",
		                o->patch, VAE_MS_SSIM_PATCH);
	if (!photo && (o->reduce_min < 1 || o->recolour > 0))
		return vae_fail(error, VAE_EARG, "a dense network takes pictures as they stand, not %s",
		                o->reduce_min < 1 ? "reduced" : "recoloured");
	if (!photo && o->lambda_max > 0)
		return vae_fail(error, VAE_EARG, "a dense network has no lambda");
	return 0;
}

/* Chooses the architecture: the checkpoint's, else the initial model's, else the options'. */
static int choose_arch(struct vae_trainer *t, const struct vae_checkpoint_head *head,
                       const struct vae_model *init, struct vae_error *error)
{
	struct vae_arch arch;
	char line[VAE_ARCH_TEXT];
	const struct vae_train_options *o = &t->options;
	if (vae_arch_parse(&arch,
	                   head   ? head->arch
	                   : init ? init->arch
	                          : o->arch,
	                   error) ||
	    (!head && o->grow &&
	     (vae_arch_change(&arch, o->grow, error) ||
	      vae_grow_check(&init->nets->arch, &arch, error))))
		return VAE_EARG;
	int rc = choose_arith(&arch, o, init && !head, error);
	if (rc)
		return rc;
	if (!head && !init && o->lambda_max > 0) {
		arch.lambda_min = o->lambda_min;
		arch.lambda_max = o->lambda_max;
	}
	vae_arch_format(&arch, line);
	/* Parse the line as every reader of the model will: lambda in nine digits and within bounds. */
	if (vae_arch_parse(&arch, line, error))
		return VAE_EARG;
	bool photo = arch.kind == VAE_ARCH_PHOTO;
	if (t->options.loss == VAE_LOSS_DEFAULT)
		t->options.loss = default_loss(head, init, photo);
	if (!has_metric(o->loss) && o->share >= 0)
		return vae_fail(error, VAE_EARG, "share %g: loss %s has no metric that takes a share",
		                o->share, loss_name[o->loss]);
	if (!has_metric(t->options.loss))
		t->options.share = 0;
	else if (t->options.share < 0)
		t->options.share = default_share(head, init, t->options.loss);
	if (!t->options.batch)
		t->options.batch = photo ? 8 : 128;
	if (t->options.clip < 0)
		t->options.clip = photo ? 1 : 0;
	rc = check_network(o, photo, error);
	return rc ? rc : vae_nets_new(&t->nets, &arch, error);
}

/* Looks for the checkpoint on rank 0 and tells all ranks the result: 1, 0 for none, or an error. */
static int find_checkpoint(const struct vae_train_options *o, struct vae_checkpoint_head *head,
                           struct vae_error *error)
{
	memset(head, 0, sizeof *head);
	int found = leads(o) ? vae_checkpoint_head_read(o->checkpoint, head, error) : 0;
	if (found < 0)
		return found;
	int rc = vae_ranks_share(o->cluster, &found, sizeof found, error);
	if (!rc)
		rc = vae_ranks_share(o->cluster, head, sizeof *head, error);
	return rc ? rc : found;
}

static int load_start(struct vae_trainer *t, const struct vae_checkpoint_head *head,
                      const struct vae_model *init, struct vae_error *error)
{
	if (head) {
		if (head->floats != t->optimiser.size)
			return vae_fail(error, VAE_EDATA, "checkpoint %s: not of this architecture",
			                t->options.checkpoint);
		if (head->optimiser != (uint32_t)t->options.optimiser)
			return vae_fail(error, VAE_EARG, "checkpoint %s: of another optimiser than %s",
			                t->options.checkpoint, optimiser_name(t));
		if (head->loss && head->loss != (uint32_t)t->options.loss)
			return vae_fail(
				error, VAE_EARG, "checkpoint %s: of loss %s, not %s", t->options.checkpoint,
				head->loss <= LAST_LOSS ? loss_name[head->loss] : "?", loss_name[t->options.loss]);
		if (head->share > 0 && has_metric(t->options.loss) && head->share != t->options.share)
			return vae_fail(error, VAE_EARG,
			                "checkpoint %s: of a share of %g of the metric, not %g",
			                t->options.checkpoint, head->share, t->options.share);
		int rc = leads(&t->options) ? vae_checkpoint_read(t->options.checkpoint, head,
		                                                  t->weights.value, &t->optimiser, error)
		                            : 0;
		if (rc)
			return rc;
		t->options.seed = head->seed;
		t->earlier_seconds = head->seconds;
		t->skipped = head->skipped;
		t->started = leads(&t->options); /* the other ranks receive them in begin */
	} else if (init && !t->options.grow && !t->options.int16) {
		bool same = init->nets->arch.arith == t->nets->arch.arith;
		int rc = same ? vae_model_values(init, t->weights.value, error)
		              : vae_grow(t->nets, t->weights.value, init, error);
		if (rc)
			return rc;
		memcpy(t->optimiser.average, t->weights.value, t->optimiser.size * sizeof(float));
		t->started = true;
	}
	return 0;
}

static int new_optimiser(struct vae_trainer *t, struct vae_error *error)
{
	const struct vae_params *params = &t->nets->params;
	int parts[VAE_MAX_PARAMS];
	for (int i = 0; i < params->count; i++)
		parts[i] = vae_start_parts(t->nets, i);
	int rc = vae_optimiser_init(&t->optimiser, params->total, error);
	if (!rc && t->options.optimiser == VAE_OPTIMISER_MUON)
		rc = vae_optimiser_use_muon(&t->optimiser, params, parts, error);
	return rc;
}

static int new_workers(struct vae_trainer *t, struct vae_error *error)
{
	const struct vae_train_options *o = &t->options;
	size_t rank = vae_rank(o->cluster), ranks = vae_ranks(o->cluster), batch = (size_t)o->batch;
	size_t first = vae_share_start(batch, rank, ranks),
		   samples = vae_share_start(batch, rank + 1, ranks) - first;
	size_t threads = (size_t)(t->threads = omp_get_max_threads());
	if (batch < ranks)
		return vae_fail(error, VAE_EARG, "batch %d leaves some of %zu ranks without a sample",
		                o->batch, ranks);
	t->workers = (int)(threads < samples ? threads : samples);
	if (vae_alloc(&t->worker, (size_t)t->workers, sizeof *t->worker, error) ||
	    vae_alloc(&t->gradient, (size_t)t->workers, sizeof *t->gradient, error))
		return VAE_EMEM;
	for (int i = 0; i < t->workers; i++) {
		struct worker *w = &t->worker[i];
		w->first = first + vae_share_start(samples, (size_t)i, (size_t)t->workers);
		w->samples = first + vae_share_start(samples, (size_t)i + 1, (size_t)t->workers) - w->first;
		size_t rows = is_photo(t) ? (size_t)o->patch : w->samples,
			   columns = is_photo(t) ? (size_t)o->patch : 1;
		if (vae_objective_init(&w->objective, t->nets, o->loss, rows, columns, error) ||
		    vae_alloc(&t->gradient[i], t->optimiser.size, sizeof(float), error))
			return VAE_EMEM;
		w->objective.share = o->share;
		if (o->synthesis && vae_objective_learn_synthesis(&w->objective, &t->init->cdfs,
		                                                  t->init->sensitivity, error))
			return VAE_EMEM;
	}
	return 0;
}

/* Prepares the initial model's parts that rounding needs, for training of the synthesis alone. A
 * checkpoint must be of the same network, apart from the numbers of its products. */
static int load_rounding(const struct vae_trainer *t, struct vae_error *error)
{
	char line[VAE_ARCH_TEXT], of_init[VAE_ARCH_TEXT];
	if (!t->options.synthesis)
		return 0;
	if (!is_photo(t))
		return vae_fail(error, VAE_EARG, "a dense network has no synthesis that learns alone");
	struct vae_arch arch = t->init->nets->arch;
	arch.arith = t->nets->arch.arith;
	vae_arch_format(&arch, of_init);
	vae_arch_format(&t->nets->arch, line);
	if (strcmp(line, of_init) != 0)
		return vae_fail(error, VAE_EARG, "checkpoint %s: of another architecture than model %s",
		                t->options.checkpoint, t->options.init);
	int rc = vae_model_prepare(t->init, 1u << VAE_H_A | 1u << VAE_H_S, error);
	return rc || t->init->sensitivity
	           ? rc
	           : vae_fail(error, VAE_EARG,
	                      "model %s: without sensitivities, by which codes are rounded",
	                      t->options.init);
}

/* Chooses the best kind of bf16 products that all ranks have: Muon uses them too, and its results
 * must be equal everywhere. */
static int choose_products(struct vae_trainer *t, struct vae_error *error)
{
	const struct vae_bf16 *mine = t->options.precision != VAE_PRECISION_FLOAT32 ? vae_bf16() : NULL;
	for (int kind = 0; kind < VAE_BF16_KINDS; kind++) {
		bool all = mine && (int)mine->kind <= kind;
		int rc = vae_ranks_all(t->options.cluster, &all, error);
		if (rc)
			return rc;
		if (all) {
			t->weights.bf16 = vae_bf16_for((enum vae_bf16_kind)kind);
			break;
		}
	}
	return 0;
}

/* Returns the bytes of the file's whole lines: a full disk may have broken the last one off.
 * Returns size if that is not to be seen. */
static off_t whole_lines(const char *path, off_t size)
{
	char end[LOG_LINE];
	size_t n = size < LOG_LINE ? (size_t)size : LOG_LINE;
	FILE *file = fopen(path, "rb");
	bool good = file && !fseek(file, -(long)n, SEEK_END) && fread(end, 1, n, file) == n;
	if (file)
		fclose(file);
	for (size_t i = n; good && i > 0; i--)
		if (end[i - 1] == '\n')
			return size - (off_t)(n - i);
	return good && n < LOG_LINE ? 0 : size;
}

/* Opens the log and writes the names of its columns, unless lines of an earlier run are there to
 * append to, or may be: on a device. */
static int open_log(struct vae_trainer *t, bool append, struct vae_error *error)
{
	struct stat st;
	off_t lines = 0;
	t->log = fopen(t->options.log, append ? "a" : "w");
	bool good = t->log && !fstat(fileno(t->log), &st);
	if (good && S_ISREG(st.st_mode) && st.st_size > 0) {
		lines = whole_lines(t->options.log, st.st_size);
		good = lines == st.st_size || !ftruncate(fileno(t->log), lines);
	}
	if (good && !lines && !(append && S_ISCHR(st.st_mode)))
		good = fputs("step\tminutes\tset\tloss\tbpp\tz_bpp\tpsnr\telbo\tkl\tlr\tgradient_"
		             "norm\timages_per_second\tskipped\tms_ssim\tssimulacra2\n",
		             t->log) >= 0 &&
		       !fflush(t->log);
	return good ? 0 : vae_fail_errno(error, "log %s", t->options.log);
}

int vae_trainer_new(struct vae_trainer **out, const struct vae_train_options *options,
                    struct vae_error *error)
{
	struct vae_trainer *t = NULL;
	struct vae_checkpoint_head *head = NULL, found;
	int rc = check_options(options, error);
	if (!rc)
		rc = vae_alloc(&t, 1, sizeof *t, error);
	if (rc)
		goto out;
	t->options = *options;
	t->start_psnr = NAN;
	if (options->resume) {
		rc = find_checkpoint(options, &found, error);
		if (rc < 0)
			goto out;
		head = rc ? &found : NULL;
	}
	if ((!head || options->synthesis) && options->init &&
	    (rc = vae_model_load(&t->init, options->init, error)))
		goto out;
	if ((rc = choose_arch(t, head, head ? NULL : t->init, error)))
		goto out;
	t->data.channels = t->validation.channels = is_photo(t) ? 3 : 1;
	if ((rc = vae_weights_init(&t->weights, &t->nets->params, true, error)) ||
	    (rc = new_optimiser(t, error)) || (rc = load_start(t, head, t->init, error)) ||
	    (rc = load_rounding(t, error)) || (rc = new_workers(t, error)))
		goto out;
	if ((rc = choose_products(t, error)))
		goto out;
	if (options->checkpoint && leads(options))
		rc = vae_checkpoint_check(options->checkpoint, error);
	if (!rc && options->log && leads(options))
		rc = open_log(t, head, error);
out:
	if (rc)
		vae_trainer_free(t);
	else
		*out = t;
	return rc;
}

int vae_trainer_add(struct vae_trainer *t, const struct vae_image *image, enum vae_train_use use,
                    struct vae_error *error)
{
	const struct vae_arch *a = &t->nets->arch;
	const struct vae_train_options *o = &t->options;
	bool valid = use == VAE_TRAIN_VALIDATION;
	if (!is_photo(t) && (image->geometry.width != (uint32_t)a->width ||
	                     image->geometry.height != (uint32_t)a->height))
		return vae_fail(error, VAE_EARG, "a picture of %u x %u; the network takes only %d x %d",
		                image->geometry.width, image->geometry.height, a->width, a->height);
	return vae_data_add(valid ? &t->validation : &t->data, image,
	                    is_photo(t) ? (uint32_t)o->patch : 1,
	                    valid || use == VAE_TRAIN_FULL ? 1 : o->reduce_min,
	                    use == VAE_TRAIN_LOSSY ? o->reduce_max : 1, error);
}

void vae_trainer_free(struct vae_trainer *t)
{
	if (!t)
		return;
	for (int i = 0; t->worker && i < t->workers; i++)
		vae_objective_clear(&t->worker[i].objective);
	for (int i = 0; t->gradient && i < t->workers; i++)
		free(t->gradient[i]);
	free(t->worker);
	free(t->gradient);
	vae_data_clear(&t->data);
	vae_data_clear(&t->validation);
	vae_optimiser_clear(&t->optimiser);
	vae_weights_clear(&t->weights);
	vae_nets_free(t->nets);
	vae_model_free(t->init);
	if (t->log)
		fclose(t->log);
	free(t);
}

double vae_trainer_start_psnr(const struct vae_trainer *t) { return t->start_psnr; }

/* ---- one step -------------------------------------------------------------------------------- */

/* Draws a quality evenly in log lambda: three times out of four between OFTEN_LOW and OFTEN_HIGH,
 * the range of most stored pictures, else anywhere. */
static uint16_t draw_quality(struct vae_random *random, const struct vae_arch *a)
{
	double span = log(a->lambda_max / a->lambda_min), low = log(OFTEN_LOW / a->lambda_min) / span,
		   high = log(OFTEN_HIGH / a->lambda_min) / span;
	uint32_t first = (uint32_t)(fmin(fmax(low, 0), 1) * VAE_QUALITY_ONE),
			 last = (uint32_t)(fmin(fmax(high, 0), 1) * VAE_QUALITY_ONE);
	if (vae_random_below(random, 4) == 0 || first >= last) {
		first = 0;
		last = VAE_QUALITY_ONE;
	}
	return (uint16_t)(first + vae_random_below(random, last - first + 1));
}

/* Processes the samples of worker i. Each sample draws from its own stream (seed, step, number in
 * the batch), so that any worker computes the same. */
static void work(struct vae_trainer *t, int i, uint64_t step)
{
	struct worker *w = &t->worker[i];
	struct vae_objective *o = &w->objective;
	const struct vae_train_options *options = &t->options;
	double weight = 1.0 / options->batch;
	memset(t->gradient[i], 0, t->optimiser.size * sizeof(float));
	if (is_photo(t)) {
		for (size_t k = 0; k < w->samples; k++) {
			vae_random_init(&o->random, options->seed, step, w->first + k);
			vae_data_patch(&t->data, &o->random, (uint32_t)options->patch, 0.5f, o->x);
			if (options->recolour > 0 && vae_random_uniform(&o->random) < (float)options->recolour)
				vae_recolour(o->x, o->rows * o->columns, &o->random);
			uint16_t quality = draw_quality(&o->random, &t->nets->arch);
			vae_objective_pass(o, &t->weights, quality, true, weight, t->gradient[i], &w->sums);
		}
		return;
	}
	size_t floats = (size_t)(t->nets->arch.width * t->nets->arch.height);
	for (size_t k = 0; k < w->samples; k++) { /* unturned: digits have an orientation */
		vae_random_init(&o->random, options->seed, step, w->first + k);
		vae_data_middle(&t->data, vae_random_below(&o->random, (uint32_t)t->data.count),
		                (uint32_t)t->nets->arch.width, (uint32_t)t->nets->arch.height, 0,
		                o->x + k * floats);
		vae_objective_noise(o, k);
	}
	vae_objective_pass(o, &t->weights, 0, true, weight, t->gradient[i], &w->sums);
}

/* Sums over all workers of all ranks. */
static int drain(struct vae_trainer *t, struct vae_objective_sums *sums, struct vae_error *error)
{
	*sums = (struct vae_objective_sums){0};
	for (int i = 0; i < t->workers; i++) {
		vae_objective_add(sums, &t->worker[i].sums);
		t->worker[i].sums = (struct vae_objective_sums){0};
	}
	_Static_assert(sizeof *sums % sizeof(double) == 0, "nothing but doubles");
	return vae_ranks_sum(t->options.cluster, (double *)sums, sizeof *sums / sizeof(double), error);
}

/* Returns the factor of the rate: 1 until the last `decay` of the run, then linearly down to 1 %.
 * Progress counts in steps or minutes, whichever is further. */
static double schedule(const struct vae_trainer *t, double seconds)
{
	const struct vae_train_options *o = &t->options;
	double step = (double)t->optimiser.step, done = o->steps ? step / (double)o->steps : 0,
		   left = 1;
	if (o->minutes > 0)
		done = fmax(done, seconds / (60 * o->minutes));
	if (o->decay > 0 && done > 1 - o->decay)
		left = fmax(0.01, (1 - done) / o->decay);
	return o->lr * left * fmin(1, (step + 1) / ((double)o->warmup + 1));
}

/* Sums the gradients of all workers of all ranks in t->gradient[0]; *norm is their norm. */
static int gather(struct vae_trainer *t, double *norm, struct vae_error *error)
{
	*norm = vae_optimiser_gather(&t->optimiser, t->gradient, t->workers);
	if (!t->options.cluster)
		return 0;
	int rc = vae_ranks_sum_floats(t->options.cluster, t->gradient[0], t->optimiser.size, error);
	*norm = vae_optimiser_gather(&t->optimiser, t->gradient, 1);
	return rc;
}

/* Returns 1 after a step, 0 if the gradient was not finite and no step was taken, or an error. */
static int one_step(struct vae_trainer *t, double rate, struct vae_objective_sums *sums,
                    double *norm, struct vae_error *error)
{
	struct vae_objective_sums batch;
#pragma omp parallel for schedule(static, 1) num_threads(t->workers)
	for (int i = 0; i < t->workers; i++) {
		uint64_t state = vae_fp_enter();
		work(t, i, t->optimiser.step + t->skipped);
		vae_fp_leave(state);
	}
	if (gather(t, norm, error) || drain(t, &batch, error))
		return VAE_EIO;
	if (!isfinite(*norm) || !isfinite(batch.loss)) {
		t->skipped++;
		return 0;
	}
	vae_objective_add(sums, &batch);
	vae_optimiser_step(&t->optimiser, &t->nets->params, t->weights.value, t->gradient[0], *norm,
	                   t->options.clip, rate, t->options.ema, t->weights.bf16);
	vae_weights_pack(&t->weights, &t->nets->params);
	return 1;
}

/* ---- validation, reports, saving ------------------------------------------------------------- */

/* Puts the averaged weights, which are shipped (after rounding to 16 bits), in place of the live
 * ones, in float32. Returns the live ones, for use_live. */
static struct vae_weights use_average(struct vae_trainer *t)
{
	struct vae_weights live = t->weights;
	t->weights.value = t->optimiser.average;
	t->weights.bf16 = NULL;
	vae_weights_pack(&t->weights, &t->nets->params);
	return live;
}

static void use_live(struct vae_trainer *t, struct vae_weights live)
{
	t->weights = live;
	vae_weights_pack(&t->weights, &t->nets->params);
}

static int validate(struct vae_trainer *t, struct vae_objective_sums *sums, struct vae_error *error)
{
	struct vae_weights live = use_average(t);
	uint32_t width = is_photo(t) ? (uint32_t)t->options.patch : (uint32_t)t->nets->arch.width;
	uint32_t height = is_photo(t) ? width : (uint32_t)t->nets->arch.height;
	size_t floats = (size_t)width * height,
		   pictures = t->validation.count; /* photo: one picture at a time */
	size_t rank = vae_rank(t->options.cluster), ranks = vae_ranks(t->options.cluster);
	size_t from = vae_share_start(pictures, rank, ranks),
		   count = vae_share_start(pictures, rank + 1, ranks) - from;
	float offset = is_photo(t) ? 0.5f : 0;
#pragma omp parallel for schedule(static, 1) num_threads(t->workers)
	for (int i = 0; i < t->workers; i++) {
		struct vae_objective *o = &t->worker[i].objective;
		uint64_t state = vae_fp_enter();
		size_t group = is_photo(t) ? 1 : o->rows,
			   end = from + vae_share_start(count, (size_t)i + 1,
		                                    (size_t)t->workers); /* groups may differ in size */
		for (size_t p = from + vae_share_start(count, (size_t)i, (size_t)t->workers); p < end;
		     p += group) {
			o->samples = vae_min(group, end - p);
			for (size_t k = 0; k < o->samples; k++) {
				vae_random_init(&o->random, t->options.seed, VAE_STREAM_VALIDATION, p + k);
				vae_data_middle(&t->validation, p + k, width, height, offset, o->x + k * floats);
				if (!is_photo(t))
					vae_objective_noise(o, k);
			}
			for (int q = 0; q < (is_photo(t) ? VALID_QUALITIES : 1); q++)
				vae_objective_pass(o, &t->weights,
				                   (uint16_t)(VAE_QUALITY_ONE * q / (VALID_QUALITIES - 1)), false,
				                   0, NULL, &t->worker[i].sums);
		}
		o->samples = o->rows;
		vae_fp_leave(state);
	}
	use_live(t, live);
	return drain(t, sums, error);
}

static struct vae_train_progress progress_of(const struct vae_trainer *t,
                                             const struct vae_objective_sums *s, bool valid)
{
	double n = s->samples > 0 ? s->samples : NAN;
	const struct vae_train_options *o = &t->options;
	double left = o->minutes > 0 ? 60 * o->minutes - t->run_seconds : INFINITY;
	return (struct vae_train_progress){
		.step = t->optimiser.step,
		.steps = o->steps,
		.loss = s->loss / n,
		.bpp = s->bpp / n,
		.z_bpp = s->z_bpp / n,
		.psnr = is_photo(t) ? decibels(s->mse / n) : NAN,
		.ms_ssim = o->loss == VAE_LOSS_MS_SSIM ? decibels(s->metric / n) : NAN,
		.ssimulacra2 = o->loss == VAE_LOSS_VISION ? vae_s2_score(s->metric / n) : NAN,
		.elbo = s->elbo / n,
		.kl = s->kl / n,
		.skipped = t->skipped,
		.valid = valid,
		.seconds_left = left};
}

static int write_log(const struct vae_trainer *t, const struct vae_train_progress *p,
                     struct vae_error *error)
{
	if (!t->log)
		return 0;
	int n = vae_text_write(
		t->log,
		"%llu\t%.2f\t%s\t%.5f\t%.5f\t%.5f\t%.3f\t%.3f\t%.3f\t%.3g\t%.3g\t%.1f\t%llu\t%.3f\t%.3f\n",
		(unsigned long long)p->step, (t->earlier_seconds + t->run_seconds) / 60,
		p->valid ? "valid" : "train", p->loss, p->bpp, p->z_bpp, p->psnr, p->elbo, p->kl, p->lr,
		p->gradient_norm, p->images_per_second, (unsigned long long)p->skipped, p->ms_ssim,
		p->ssimulacra2);
	return n < 0 || fflush(t->log) ? vae_fail_errno(error, "log %s", t->options.log) : 0;
}

static int write_checkpoint(const struct vae_trainer *t, struct vae_error *error)
{
	if (!t->options.checkpoint || !leads(&t->options))
		return 0;
	struct vae_checkpoint_head head = {.seed = t->options.seed,
	                                   .step = t->optimiser.step,
	                                   .floats = t->optimiser.size,
	                                   .skipped = t->skipped,
	                                   .optimiser = (uint32_t)t->options.optimiser,
	                                   .loss = (uint32_t)t->options.loss,
	                                   .share = t->options.share,
	                                   .seconds = t->earlier_seconds + t->run_seconds};
	vae_arch_format(&t->nets->arch, head.arch);
	return vae_checkpoint_write(t->options.checkpoint, &head, t->weights.value, &t->optimiser,
	                            error);
}

/* Writes the checkpoint unless the ranks differ, by an error of a machine or the network. */
static int save_checkpoint(const struct vae_trainer *t, struct vae_error *error)
{
	const struct vae_cluster *c = t->options.cluster;
	int rc = c ? vae_ranks_same(c, vae_checkpoint_hash(t->weights.value, &t->optimiser), "weights",
	                            error)
	           : 0;
	return rc ? rc : write_checkpoint(t, error);
}

/* The state of a run's loop. */
struct run {
	vae_train_report *report;
	void *context;
	bool go_on;                     /* false: the report asked to stop */
	struct vae_objective_sums sums; /* since the last report */
	uint64_t report_step;
	double report_time, save_time, rate, norm;
};

static int say(const struct vae_trainer *t, struct run *r, const struct vae_train_progress *p,
               struct vae_error *error)
{
	r->go_on = (!r->report || r->report(r->context, p)) && r->go_on;
	return write_log(t, p, error);
}

static int report_valid(struct vae_trainer *t, struct run *r, struct vae_error *error)
{
	struct vae_objective_sums sums;
	int rc = t->validation.count ? validate(t, &sums, error) : 0;
	if (rc || !t->validation.count || sums.samples == 0)
		return rc;
	t->last_valid = sums;
	struct vae_train_progress p = progress_of(t, &sums, true);
	return say(t, r, &p, error);
}

static int report_train(struct vae_trainer *t, struct run *r, double time, struct vae_error *error)
{
	struct vae_train_progress p = progress_of(t, &r->sums, false);
	double steps = (double)(t->optimiser.step - r->report_step), seconds = time - r->report_time;
	p.images_per_second = steps * t->options.batch / seconds;
	if (t->options.steps && steps > 0)
		p.seconds_left =
			fmin(p.seconds_left, (double)(t->options.steps - t->optimiser.step) * seconds / steps);
	p.lr = r->rate;
	p.gradient_norm = r->norm;
	r->sums = (struct vae_objective_sums){0};
	r->report_time = time;
	r->report_step = t->optimiser.step;
	return say(t, r, &p, error);
}

static bool finished(const struct vae_trainer *t)
{
	const struct vae_train_options *o = &t->options;
	bool endless = !o->steps && o->minutes > 0; /* apart from the minutes */
	return (!endless && t->optimiser.step >= o->steps) ||
	       (o->minutes > 0 && t->run_seconds >= 60 * o->minutes);
}

/* Makes the weights of a network that is new, larger than the initial model, or in integers. */
static int first_weights(struct vae_trainer *t, struct vae_error *error)
{
	if (t->options.int16)
		return vae_integer(t->nets, t->weights.value, t->init, &t->data, (uint32_t)t->options.patch,
		                   t->options.seed, error);
	int rc = vae_start(t->nets, &t->data, t->options.seed, t->weights.value, &t->start_psnr, error);
	return !rc && t->init ? vae_grow(t->nets, t->weights.value, t->init, error) : rc;
}

/* Makes or reads the first weights on rank 0, and sends its whole state to all ranks. */
static int begin(struct vae_trainer *t, struct vae_error *error)
{
	const struct vae_cluster *c = t->options.cluster;
	struct vae_optimiser *o = &t->optimiser;
	struct {
		uint64_t seed, step, skipped;
		double earlier_seconds;
	} state = {t->options.seed, o->step, t->skipped, t->earlier_seconds};
	float *array[] = {t->weights.value, o->first, o->second, o->average};
	int rc = c ? vae_ranks_same(c, vae_data_hash(&t->data) ^ 3 * vae_data_hash(&t->validation),
	                            "pictures", error)
	           : 0;
	if (!rc && !t->started && leads(&t->options)) {
		rc = first_weights(t, error);
		memcpy(o->average, t->weights.value, o->size * sizeof(float));
	}
	if (!rc)
		rc = vae_ranks_share(c, &state, sizeof state, error);
	for (size_t i = 0; i < sizeof array / sizeof *array && !rc; i++)
		rc = vae_ranks_share(c, array[i], o->size * sizeof(float), error);
	if (rc)
		return rc;
	t->options.seed = state.seed;
	o->step = state.step;
	t->skipped = state.skipped;
	t->earlier_seconds = state.earlier_seconds;
	t->started = true;
	vae_weights_pack(&t->weights, &t->nets->params);
	return 0;
}

static int run_steps(struct vae_trainer *t, struct run *r, struct vae_error *error)
{
	double start, time;
	int rc = now(t, &start, error);
	r->report_time = r->save_time = start;
	for (int skips = 0; !rc && r->go_on && !finished(t);) {
		r->rate = schedule(t, t->run_seconds);
		int taken = one_step(t, r->rate, &r->sums, &r->norm, error);
		if (taken < 0 || now(t, &time, error))
			return VAE_EIO;
		skips = taken ? 0 : skips + 1;
		t->run_seconds = time - start;
		if (skips >= HALT_SKIPS)
			return vae_fail(error, VAE_ESTOP,
			                "diverged at step %llu: %d steps in a row gave NaN or infinity; lower "
			                "the rate, or resume from an "
			                "earlier checkpoint",
			                (unsigned long long)t->optimiser.step, skips);
		if (time - r->report_time >= 1 || finished(t))
			rc = report_train(t, r, time, error);
		if (!rc && time - r->save_time >= 60 * t->options.checkpoint_minutes && !finished(t)) {
			if ((rc = save_checkpoint(t, error)))
				return rc;
			rc = report_valid(t, r, error);
			r->save_time = time;
		}
	}
	if (rc)
		write_checkpoint(t, NULL); /* a log that cannot be written must not cost the training */
	return rc;
}

int vae_trainer_run(struct vae_trainer *t, vae_train_report *report, void *context,
                    struct vae_error *error)
{
	if (!t->data.count)
		return vae_fail(error, VAE_EARG, "no picture to train on");
	struct run r = {.report = report, .context = context, .go_on = true};
	int rc = begin(t, error);
	r.report_step = t->optimiser.step;
	if (!rc)
		rc = run_steps(t, &r, error);
	if (!rc)
		rc = save_checkpoint(t, error);
	if (!rc && !r.go_on)
		rc = vae_fail(error, VAE_ESTOP, "stopped at step %llu",
		              (unsigned long long)t->optimiser.step);
	return rc ? rc : report_valid(t, &r, error);
}

/* ---- the model ------------------------------------------------------------------------------- */

/* Formats the figures of the run, in ASCII. */
static int print_figures(const struct vae_trainer *t, char *text, size_t room)
{
	const struct vae_train_options *o = &t->options;
	char ranks[32] = "";
	if (vae_ranks(o->cluster) > 1)
		snprintf(ranks, sizeof ranks, "%zu ranks of ", vae_ranks(o->cluster));
	int n = vae_text(
		text, room,
		"%llu steps of %d samples in %.0f minutes on %s%d threads in %s, %s %g, loss %s, seed %llu",
		(unsigned long long)t->optimiser.step, o->batch, (t->earlier_seconds + t->run_seconds) / 60,
		ranks, t->threads, t->weights.bf16 ? "bf16" : "float32", optimiser_name(t), o->lr,
		loss_name[o->loss], (unsigned long long)o->seed);
	const struct vae_objective_sums *v = &t->last_valid;
	if (!(v->samples > 0 && n > 0 && (size_t)n < room))
		return n;
	if (!is_photo(t))
		return n + vae_text(text + n, room - (size_t)n,
		                    "; validation negative ELBO %.2f nats, KL %.2f", v->elbo / v->samples,
		                    v->kl / v->samples);
	n += vae_text(text + n, room - (size_t)n, "; validation loss %.4f, %.4f bpp, %.2f dB",
	              v->loss / v->samples, v->bpp / v->samples, decibels(v->mse / v->samples));
	if (o->loss == VAE_LOSS_MS_SSIM && (size_t)n < room)
		n += vae_text(text + n, room - (size_t)n, ", MS-SSIM %.2f dB",
		              decibels(v->metric / v->samples));
	if (o->loss == VAE_LOSS_VISION && (size_t)n < room)
		n += vae_text(text + n, room - (size_t)n, ", SSIMULACRA 2 %.2f",
		              vae_s2_score(v->metric / v->samples));
	return n;
}

/* Describes a trained model. Its training, *text, which the caller frees, is the figures and the
 * caller's summary; share is working memory of 32 bytes. The entries borrow both. */
static int describe(struct vae_metadata *m, char **text, char *share, const struct vae_trainer *t,
                    struct vae_error *error)
{
	char figures[600];
	const struct vae_train_options *o = &t->options;
	const char *summary = o->summary ? o->summary : "";
	print_figures(t, figures, sizeof figures);
	size_t room = strlen(figures) + strlen(summary) + 3;
	int rc = vae_alloc_raw(text, room, 1, error);
	if (rc)
		return rc;
	snprintf(*text, room, "%s%s%s", figures, *summary ? "; " : "", summary);
	vae_text(share, 32, "%g", o->share);
	*m = (struct vae_metadata){.count = has_metric(o->loss) ? 4 : 3,
	                           .key = {"licence", "loss", "training", "share"},
	                           .value = {(char *)(o->licence ? o->licence : ""),
	                                     (char *)loss_name[o->loss], *text, share}};
	return 0;
}

/* The measured part of a photo model: the sensitivity to rounding errors, the counts for the
 * entropy tables, and the map to means of blocks. */
struct measure {
	struct vae_trainer *trainer;
	struct vae_tables_source source;
	float *sensitivity;         /* knots x y */
	struct vae_cdfs_seen *seen; /* [workers] */
	struct vae_means *means;    /* [workers] */
	double *moment;             /* of means, for each knot, so that workers do not matter */
};

/* Measures a worker's share of the knots. */
static int measure_knots(void *context, size_t i, int thread, struct vae_error *error)
{
	const struct measure *m = context;
	struct vae_trainer *t = m->trainer;
	int rc = 0;
	(void)thread;
	for (int k = (int)i; k < t->nets->arch.knots && !rc; k += t->workers) {
		float *row = m->sensitivity + (size_t)k * (size_t)t->nets->arch.y;
		struct vae_means *means = &m->means[i];
		means->moment = m->moment + (size_t)k * means->side * means->side;
		vae_sensitivity_row(row, k, &t->worker[i].objective, &t->weights, &t->data, t->options.seed,
		                    means);
		rc = vae_tables_see(&m->seen[i], &m->source, row, k, &t->worker[i].objective, error);
	}
	return rc;
}

static int measure_init(struct measure *m, struct vae_error *error)
{
	const struct vae_trainer *t = m->trainer;
	size_t side = (size_t)t->options.patch / VAE_CELL_PX, channels = (size_t)t->nets->arch.y,
		   row = vae_means_side(channels);
	int rc = vae_alloc(&m->seen, (size_t)t->workers, sizeof *m->seen, error);
	if (!rc)
		rc = vae_alloc(&m->means, (size_t)t->workers, sizeof *m->means, error);
	for (int i = 0; !rc && i < t->workers; i++)
		rc = vae_means_init(&m->means[i], channels, side * side, error);
	if (!rc)
		rc = vae_alloc(&m->moment, (size_t)t->nets->arch.knots * row * row, sizeof *m->moment,
		               error);
	return rc;
}

static void measure_clear(struct measure *m)
{
	for (int i = 0; m->means && i < m->trainer->workers; i++)
		vae_means_clear(&m->means[i]);
	free(m->means);
	free(m->moment);
	free(m->seen);
}

/* Adds up what the workers saw, and replaces cdfs. */
static int measure_end(struct measure *m, float *means, struct vae_cdfs *cdfs,
                       struct vae_error *error)
{
	const struct vae_arch *a = &m->trainer->nets->arch;
	for (int i = 1; i < m->trainer->workers; i++)
		for (int table = 0; table < VAE_SCALES; table++)
			for (int r = 0; r < VAE_BOUND_LIMIT + 2; r++)
				m->seen[0].count[table][r] += m->seen[i].count[table][r];
	vae_means_fit(means, m->moment, (size_t)a->knots, (size_t)a->y);
	vae_cdfs_clear(cdfs);
	return vae_cdfs_make(cdfs, m->seen, error);
}

/* Measures sensitivity, means and cdfs. cdfs: Gaussian ones on entry, replaced by those that
 * were counted. */
static int measure(struct vae_trainer *t, float *sensitivity, float *means, struct vae_cdfs *cdfs,
                   struct vae_error *error)
{
	struct measure m = {.trainer = t,
	                    .source = {&t->weights, cdfs, &t->data, t->options.seed},
	                    .sensitivity = sensitivity};
	int rc = measure_init(&m, error);
	if (rc)
		goto out;
	struct vae_weights live = use_average(t);
	rc = vae_parallel((size_t)t->workers, measure_knots, &m, error);
	use_live(t, live);
	if (!rc)
		rc = measure_end(&m, means, cdfs, error);
out:
	measure_clear(&m);
	return rc;
}

/* Sets an entry; value is borrowed. */
static int metadata_set(struct vae_metadata *m, const char *key, const char *value,
                        struct vae_error *error)
{
	int i = 0;
	while (i < m->count && strcmp(m->key[i], key) != 0)
		i++;
	if (i == VAE_METADATA_ENTRIES)
		return vae_fail(error, VAE_EARG, "the initial model has %d entries: no room for %s", i,
		                key);
	m->count = i < m->count ? m->count : i + 1;
	m->key[i] = (char *)key;
	m->value[i] = (char *)value;
	return 0;
}

/* Describes a model that took no step: as the initial one, with the licence of the options if there
 * is one; its training, *text, which the caller frees, adds what was done and their summary. */
static int describe_kept(struct vae_metadata *m, char **text, const struct vae_trainer *t,
                         const char *done, struct vae_error *error)
{
	const struct vae_train_options *o = &t->options;
	const char *part[] = {vae_model_metadata(t->init, "training"), done, o->summary};
	enum { PARTS = sizeof part / sizeof *part };
	size_t room = 1, n = 0;
	for (int i = 0; i < PARTS; i++)
		room += part[i] ? strlen(part[i]) + 2 : 0;
	int rc = vae_alloc(text, room, 1, error);
	for (int i = 0; i < PARTS && !rc; i++)
		if (part[i] && *part[i])
			n += (size_t)snprintf(*text + n, room - n, "%s%s", n ? "; " : "", part[i]);
	*m = t->init->metadata;
	if (!rc && n)
		rc = metadata_set(m, "training", *text, error);
	return !rc && o->licence ? metadata_set(m, "licence", o->licence, error) : rc;
}

/* Writes the integers made of init with what init holds besides weights. */
static int save_integers(const struct vae_trainer *t, FILE *file, struct vae_error *error)
{
	const struct vae_model *init = t->init;
	struct vae_metadata metadata;
	const struct vae_objective_sums *v = &t->last_valid;
	char done[120] = "rounded to integers", *text = NULL;
	float *means = NULL;
	if (v->samples > 0)
		vae_text(done, sizeof done, "rounded to integers, validation loss %.4f, %.4f bpp, %.2f dB",
		         v->loss / v->samples, v->bpp / v->samples, decibels(v->mse / v->samples));
	int rc = vae_model_prepare(init, 1u << VAE_H_S | 1u << VAE_H_A, error);
	if (!rc && init->means &&
	    !(rc = vae_alloc_raw(&means, ((size_t)t->nets->arch.y + 1) * VAE_MEANS, sizeof *means,
	                         error)))
		rc = vae_model_means(init, means, error);
	if (!rc && !(rc = describe_kept(&metadata, &text, t, done, error)))
		rc = vae_model_write(file, t->nets, t->optimiser.average, &init->cdfs, NULL,
		                     init->sensitivity, means, &metadata, error);
	free(means);
	free(text);
	return rc;
}

int vae_trainer_save(struct vae_trainer *t, FILE *file, struct vae_error *error)
{
	struct vae_metadata metadata;
	char *text = NULL, share[32];
	struct vae_cdfs cdfs = {0};
	float *sigmoid = NULL, *sensitivity = NULL, *means = NULL;
	if (!t->started)
		return vae_fail(error, VAE_EARG, "nothing was trained yet: there are no weights to save");
	if (t->options.int16)
		return save_integers(t, file, error);
	int rc = vae_cdfs_make(&cdfs, NULL, error);
	if (!rc && !is_photo(t) && !(rc = vae_alloc(&sigmoid, VAE_SIGMOID_KNOTS, sizeof(float), error)))
		vae_sigmoid_make(sigmoid);
	size_t channels = (size_t)t->nets->arch.y;
	if (!rc && is_photo(t) && t->data.count &&
	    !(rc = vae_alloc(&sensitivity, (size_t)t->nets->arch.knots * channels, sizeof(float),
	                     error)) &&
	    !(rc = vae_alloc(&means, (channels + 1) * VAE_MEANS, sizeof(float), error)))
		rc = measure(t, sensitivity, means, &cdfs, error);
	if (!rc)
		rc = t->init && !t->optimiser.step ? describe_kept(&metadata, &text, t, "", error)
		                                   : describe(&metadata, &text, share, t, error);
	if (!rc)
		rc = vae_model_write(file, t->nets, t->optimiser.average, &cdfs, sigmoid, sensitivity,
		                     means, &metadata, error);
	vae_cdfs_clear(&cdfs);
	free(sigmoid);
	free(sensitivity);
	free(means);
	free(text);
	return rc;
}
