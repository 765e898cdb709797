/* vae-train - the ELBO: images in, a model out. */
#include "vae_train.h"
#include "cli.h"
#include "cluster.h"
#include "inout.h"
#include "progress.h"

#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ARCH_BYTES     512
#define SPARSE_SECONDS 30  /* between progress lines, if stderr is no terminal */
#define MEAN_STEPS     200 /* steps that the figures of a progress line average */
#define LOW_PSNR       40  /* dB: a network that starts below this is noted without -v */

struct options {
	struct cli_common common;
	const char *init;      /* NULL: a fresh start */
	char arch[ARCH_BYTES]; /* the architecture line of a fresh start */
	char **valid;          /* [valids] */
	int valids;
	char **lossless; /* [losslesses] */
	int losslesses;
	char **full; /* [fulls] */
	int fulls;
	struct vae_train_options train;
};

enum {
	KEY_ARCH = CLI_LONG,
	KEY_STEPS,
	KEY_MINUTES,
	KEY_BATCH,
	KEY_PATCH,
	KEY_LR,
	KEY_WARMUP,
	KEY_DECAY,
	KEY_CLIP,
	KEY_EMA,
	KEY_LAMBDA,
	KEY_LOSS,
	KEY_PRECISION,
	KEY_SEED,
	KEY_VALID,
	KEY_CHECKPOINT,
	KEY_CHECKPOINT_MINUTES,
	KEY_RESUME,
	KEY_LOG,
	KEY_LICENCE,
	KEY_SUMMARY,
	KEY_REDUCE,
	KEY_LOSSLESS,
	KEY_CLOCK,
	KEY_OPTIMISER,
	KEY_SHARE,
	KEY_RECOLOUR,
	KEY_SYNTHESIS,
	KEY_GROW,
	KEY_ARITH,
	KEY_FULL,
	KEY_SIZE /* the first of the network's sizes; the others count from here */
};

/* Sizes of the networks, by their keys in the architecture string, vae-model(5). */
static const struct {
	const char *option, *key, *arch;
} sizes[] = {
	{"enc", "enc", "photo"},
	{"enc-blocks", "enc_blocks", "photo"},
	{"latent", "y", "photo"},
	{"hyper", "hyper", "photo"},
	{"dec", "dec", "photo"},
	{"dec-blocks", "dec_blocks", "photo"},
	{"grid", "grid", "photo"},
	{"grid-layers", "grid_layers", "photo"},
	{"width", "width", "mlp"},
	{"height", "height", "mlp"},
	{"hidden1", "hidden1", "mlp"},
	{"hidden2", "hidden2", "mlp"},
	{"z", "z", NULL},
	{"knots", "knots", NULL},
};

static const struct cli_option rows[] = {
	{'m', "init", "NAME|FILE", "start from this model"},
	{KEY_GROW, "grow", "KEYS", NULL},
	{KEY_ARITH, "arith", "float32|int16", "add blocks, KEY=N; round a decoder's products"},
	{KEY_ARCH, "arch", "ARCH", "photo (default), mlp, or a whole architecture line"},
	{KEY_SIZE + 0, "enc", "N", NULL},
	{KEY_SIZE + 1, "enc-blocks", "N", NULL},
	{KEY_SIZE + 2, "latent", "N", NULL},
	{KEY_SIZE + 3, "hyper", "N", NULL},
	{KEY_SIZE + 4, "dec", "N", NULL},
	{KEY_SIZE + 5, "dec-blocks", "N", NULL},
	{KEY_SIZE + 6, "grid", "N", NULL},
	{KEY_SIZE + 7, "grid-layers", "N", "sizes of photo: channels, blocks, layers"},
	{KEY_SIZE + 8, "width", "N", NULL},
	{KEY_SIZE + 9, "height", "N", NULL},
	{KEY_SIZE + 10, "hidden1", "N", NULL},
	{KEY_SIZE + 11, "hidden2", "N", "sizes of mlp: pixels, widths"},
	{KEY_SIZE + 12, "z", "N", NULL},
	{KEY_SIZE + 13, "knots", "N", "sizes of both: channels of z, knots"},
	{KEY_STEPS, "steps", "N", NULL},
	{KEY_MINUTES, "minutes", "X", "stop after step N, or after X minutes"},
	{KEY_CLOCK, "clock", "wall|cpu", "measure minutes by wall clock or CPU time a thread"},
	{KEY_BATCH, "batch", "N", NULL},
	{KEY_PATCH, "patch", "N", "samples in a step, pixels on a side of each"},
	{KEY_REDUCE, "reduce", "MIN:MAX", NULL},
	{KEY_LOSSLESS, "lossless", "FILE", "reduce at random; FILE by MIN:1 instead"},
	{KEY_FULL, "full", "FILE", "more images, never reduced"},
	{KEY_RECOLOUR, "recolour", "X", "give this share of samples random colours"},
	{KEY_SYNTHESIS, "synthesis", NULL, "train the synthesis alone, from real codes"},
	{KEY_OPTIMISER, "optimiser", "adam|muon", "the optimiser (default adam)"},
	{KEY_LR, "lr", "X", NULL},
	{KEY_WARMUP, "warmup", "N", NULL},
	{KEY_DECAY, "decay", "X", "learning rate, steps of rise, final share of fall"},
	{KEY_CLIP, "clip", "X", NULL},
	{KEY_EMA, "ema", "X", "limit of the gradient's norm; decay of the average"},
	{KEY_LAMBDA, "lambda", "MIN:MAX", NULL},
	{KEY_LOSS, "loss", "mse|bce|ms-ssim|vision", "weight and kind of the distortion"},
	{KEY_SHARE, "share", "X", "share of ms-ssim or vision in it; rest: mse"},
	{KEY_PRECISION, "precision", "auto|float32|bf16",
     "precision of products; auto: bf16 if the CPU has it"},
	{KEY_SEED, "seed", "S", "seed of all random sequences (default 1)"},
	{KEY_VALID, "valid", "FILE", "validate with these images; may be repeated"},
	{KEY_CHECKPOINT, "checkpoint", "FILE", NULL},
	{KEY_CHECKPOINT_MINUTES, "checkpoint-minutes", "X", "save the run in FILE, every X minutes"},
	{KEY_RESUME, "resume", NULL, "continue from the checkpoint if it exists"},
	{KEY_LOG, "log", "FILE", "write a line of TSV for each progress report"},
	{KEY_LICENCE, "licence", "TEXT", NULL},
	{KEY_SUMMARY, "summary", "TEXT", "texts to keep in the model"},
	{'v', "verbose", NULL, "report the number of images to train on"},
};

static const struct cli_program program = {
	.name = "vae-train",
	.usage = "[OPTION]... [FILE]...",
	.about = "Reads PNM and PAM images, trains a model on them, and writes the model. "
			 "Reads\nstandard input if there is no FILE, or FILE is -.",
	.options = rows,
	.count = sizeof rows / sizeof *rows,
	.without = "mv",
};

static void append_size(struct options *o, int which, uint64_t value)
{
	size_t length = strlen(o->arch);

	if (length + 32 > sizeof o->arch)
		cli_usage("the architecture line with --%s is longer than %zu bytes", sizes[which].option,
		          sizeof o->arch - 1);
	snprintf(o->arch + length, sizeof o->arch - length, " %s=%" PRIu64, sizes[which].key, value);
}

/* Appends the sizes to the architecture line, after all options are read: they may come in any
 * order. */
static void finish_arch(struct options *o, const char *arch, const uint64_t size[])
{
	size_t length = strcspn(arch, " ");

	if (!(length == 5 && !memcmp(arch, "photo", 5)) && !(length == 3 && !memcmp(arch, "mlp", 3)))
		cli_usage("--arch: '%s' begins with neither photo nor mlp", arch);
	if (strlen(arch) + 1 > sizeof o->arch)
		cli_usage("--arch: longer than %zu bytes", sizeof o->arch - 1);
	strcpy(o->arch, arch);
	for (int i = 0; i < (int)(sizeof sizes / sizeof *sizes); i++) {
		if (!size[i])
			continue;
		if (sizes[i].arch && strncmp(arch, sizes[i].arch, strlen(sizes[i].arch)))
			cli_usage("--%s is a size of %s, not of %.*s", sizes[i].option, sizes[i].arch,
			          (int)length, arch);
		append_size(o, i, size[i]);
	}
}

/* Parses an option of struct vae_train_options; returns whether key is one. */
static bool parse_train(struct vae_train_options *t, int key)
{
	switch (key) {
	case KEY_STEPS: t->steps = cli_whole(0, UINT64_MAX); break;
	case KEY_MINUTES: t->minutes = cli_real(0.001, 1e7); break;
	case KEY_CLOCK: t->cpu_clock = cli_choice(); break;
	case KEY_BATCH: t->batch = (int)cli_whole(1, 65536); break;
	case KEY_PATCH: t->patch = (int)cli_whole(64, 4096); break;
	case KEY_REDUCE: cli_range(&t->reduce_min, &t->reduce_max); break;
	case KEY_OPTIMISER: t->optimiser = cli_choice(); break;
	case KEY_LR: t->lr = cli_real(1e-9, 0.999); break;
	case KEY_WARMUP: t->warmup = cli_whole(0, UINT64_MAX); break;
	case KEY_DECAY: t->decay = cli_real(0, 1); break;
	case KEY_CLIP: t->clip = cli_real(0, 1e9); break;
	case KEY_EMA: t->ema = cli_real(0, 0.999999999); break;
	case KEY_LAMBDA: cli_range(&t->lambda_min, &t->lambda_max); break;
	case KEY_LOSS: t->loss = VAE_LOSS_MSE + cli_choice(); break; /* in the order of the enum */
	case KEY_SHARE: t->share = cli_real(1e-6, 1); break;
	case KEY_RECOLOUR: t->recolour = cli_real(0, 1); break;
	case KEY_SYNTHESIS: t->synthesis = true; break;
	case KEY_GROW: t->grow = cli_text(); break;
	case KEY_ARITH: t->int16 = cli_choice(); break;
	case KEY_PRECISION: t->precision = cli_choice(); break;
	case KEY_SEED: t->seed = cli_whole(0, UINT64_MAX); break;
	case KEY_CHECKPOINT: t->checkpoint = cli_text(); break;
	case KEY_CHECKPOINT_MINUTES: t->checkpoint_minutes = cli_real(0, 1e6); break;
	case KEY_RESUME: t->resume = true; break;
	case KEY_LOG: t->log = cli_text(); break;
	case KEY_LICENCE: t->licence = cli_text(); break;
	case KEY_SUMMARY: t->summary = cli_text(); break;
	default: return false;
	}
	return true;
}

/* Removes the default of the limit that was not given, if the other one was. */
static void finish_train(struct vae_train_options *t, const struct options *o, bool steps,
                         bool minutes)
{
	if (minutes && !steps)
		t->steps = 0;
	if (steps && !minutes)
		t->minutes = 0;
	if (!t->steps && !t->minutes && !(steps && o->init))
		cli_usage(steps ? "--steps 0 needs --init MODEL" : "--steps N or --minutes X is required");
	if (t->int16 && (!o->init || t->steps || t->minutes > 0))
		cli_usage("--arith int16 needs --init MODEL and --steps 0");
	if (t->resume && !t->checkpoint)
		cli_usage("--resume needs --checkpoint FILE");
	if (t->patch % 64)
		cli_usage("--patch: %d is not a multiple of 64", t->patch);
}

static void parse_options(struct options *o, int argc, char **argv)
{
	const char *arch = NULL;
	uint64_t size[sizeof sizes / sizeof *sizes] = {0};
	bool steps = false, minutes = false, sized = false;
	int key;

	*o = (struct options){0};
	vae_train_defaults(&o->train);
	cli_begin(&program, &o->common, argc, argv);
	o->valid = cli_names();
	o->lossless = cli_names();
	o->full = cli_names();
	while ((key = cli_next()) != -1) {
		steps |= key == KEY_STEPS;
		minutes |= key == KEY_MINUTES;
		sized |= key == KEY_LAMBDA;
		if (parse_train(&o->train, key))
			continue;
		if (key == 'm') {
			o->init = cli_text();
		} else if (key == KEY_ARCH) {
			arch = cli_text();
		} else if (key == KEY_VALID) {
			o->valid[o->valids++] = (char *)cli_text();
		} else if (key == KEY_LOSSLESS) {
			o->lossless[o->losslesses++] = (char *)cli_text();
		} else if (key == KEY_FULL) {
			o->full[o->fulls++] = (char *)cli_text();
		} else if (key == 'v') {
			o->common.verbose = true;
		} else if (key >= KEY_SIZE) {
			size[key - KEY_SIZE] = cli_whole(1, 65536);
			sized = true;
		}
	}
	if (o->train.grow && !o->init)
		cli_usage("--grow needs --init MODEL");
	if (o->train.synthesis && (!o->init || o->train.grow))
		cli_usage("--synthesis needs --init MODEL, and cannot be combined with --grow");
	if (o->init && (arch || sized))
		cli_usage("--arch, --lambda and sizes cannot be combined with --init");
	finish_arch(o, arch ? arch : "photo", size);
	finish_train(&o->train, o, steps, minutes);
}

/* ---- progress -------------------------------------------------------------------------------- */

struct watch {
	struct progress start; /* until the first report */
	bool silent, terminal;
	double said;                    /* seconds_now of the last line */
	uint64_t step;                  /* the last one reported */
	uint64_t counted;               /* steps in the mean */
	struct vae_train_progress mean; /* loss and its parts, over about the last MEAN_STEPS steps */
	const struct vae_trainer *trainer;
	bool verbose;
	const struct vae_cluster *cluster;
	bool stop; /* a signal asked this process, or another rank, to stop */
};

static volatile sig_atomic_t stop_asked;

static void ask_to_stop(int number)
{
	(void)number;
	stop_asked = 1;
}

/* Makes the first of these signals end the run in good order, and the second at once. An ignored
 * HUP (nohup) stays ignored. INT is obeyed even if a shell script started the run in the background
 * and had it ignored, since hours of work depend on it. */
static void watch_signals(void)
{
	struct sigaction now, then = {.sa_handler = ask_to_stop, .sa_flags = SA_RESETHAND | SA_RESTART};

	sigaction(SIGINT, &then, NULL);
	sigaction(SIGTERM, &then, NULL);
	if (!sigaction(SIGHUP, NULL, &now) && now.sa_handler != SIG_IGN)
		sigaction(SIGHUP, &then, NULL);
}

static void print_time(char *text, size_t room, double seconds)
{
	uint64_t s = seconds > 0 && seconds < 1e9 ? (uint64_t)seconds : 0;

	snprintf(text, room, "%" PRIu64 ":%02d:%02d", s / 3600, (int)(s / 60 % 60), (int)(s % 60));
}

/* Appends to text, as far as there is room: numbers of a run that diverges are long. */
static void __attribute__((format(printf, 3, 4)))
append(char *text, size_t room, const char *format, ...)
{
	size_t at = strlen(text);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text + at, room - at, format, arguments);
	va_end(arguments);
}

static void print_progress(char *text, size_t room, const struct vae_train_progress *p)
{
	char left[32];

	snprintf(text, room, "step %" PRIu64, p->step);
	if (p->steps)
		append(text, room, "/%" PRIu64, p->steps);
	if (p->valid)
		append(text, room, ", validation");
	if (isfinite(p->loss))
		append(text, room, ", loss %.4f", p->loss);
	if (isfinite(p->elbo) && p->elbo != 0)
		append(text, room, ", ELBO -%.2f nats (KL %.2f)", p->elbo, p->kl);
	else
		append(text, room, ", %.4f bpp (z %.4f), %.2f dB", p->bpp, p->z_bpp, p->psnr);
	if (isfinite(p->ms_ssim))
		append(text, room, ", MS-SSIM %.2f dB", p->ms_ssim);
	if (isfinite(p->ssimulacra2))
		append(text, room, ", SSIMULACRA 2 %.2f", p->ssimulacra2);
	if (p->skipped)
		append(text, room, ", %" PRIu64 " skipped", p->skipped);
	if (!p->valid)
		append(text, room, ", %.1f images/s", p->images_per_second);
	if (!p->valid && isfinite(p->seconds_left)) {
		print_time(left, sizeof left, p->seconds_left);
		append(text, room, ", %s left", left);
	}
}

/* Returns mean, moved by `share` of the way to value. */
static double blend(double mean, double value, double share)
{
	return mean + share * (value - mean);
}

/* Does the same for decibels: blends the errors. */
static double blend_db(double mean, double db, double share)
{
	return -10 * log10(blend(pow(10, -mean / 10), pow(10, -db / 10), share));
}

/* Returns p with means over about the last MEAN_STEPS steps: a report covers one second, which has
 * so few samples that its loss jumps. The second report replaces the first, which covers an unknown
 * number of steps after a resume. */
static struct vae_train_progress with_means(struct watch *w, const struct vae_train_progress *p)
{
	struct vae_train_progress *m = &w->mean, mean = *p;
	uint64_t steps = m->step ? p->step - m->step : 0;
	double share = steps ? steps / fmin(w->counted += steps, MEAN_STEPS) : 1;

	if (!isfinite(p->loss))
		return mean;
	share = fmin(share, 1);
	mean.loss = blend(m->loss, p->loss, share);
	mean.bpp = blend(m->bpp, p->bpp, share);
	mean.z_bpp = blend(m->z_bpp, p->z_bpp, share);
	mean.psnr = blend_db(m->psnr, p->psnr, share);
	mean.ms_ssim = blend_db(m->ms_ssim, p->ms_ssim, share);
	mean.ssimulacra2 = blend(m->ssimulacra2, p->ssimulacra2, share);
	mean.elbo = blend(m->elbo, p->elbo, share);
	mean.kl = blend(m->kl, p->kl, share);
	*m = mean;
	return mean;
}

/* Notes the start of a fresh photo network, before the first line. */
static void note_start(const struct watch *w)
{
	double psnr = vae_trainer_start_psnr(w->trainer);

	if (isfinite(psnr) && (w->verbose || psnr < LOW_PSNR))
		cli_note(
			"the principal components, as many as --latent, represent the images with %.1f dB, "
			"from which quality 100 starts%s",
			psnr, psnr < LOW_PSNR ? "; a greater --latent and --enc raise it" : "");
}

/* Reports: on a terminal in one line that is overwritten, elsewhere in a line now and then. */
static bool report(void *context, const struct vae_train_progress *p)
{
	struct watch *w = context;
	struct vae_train_progress shown = p->valid ? *p : with_means(w, p);
	double now = seconds_now();
	char text[256];

	w->stop = cluster_any(w->cluster, stop_asked);
	progress_end(&w->start);
	if (!w->step)
		note_start(w);
	w->step = p->step;
	if (w->silent || !(w->terminal || p->valid || now - w->said >= SPARSE_SECONDS))
		return !w->stop;
	print_progress(text, sizeof text, &shown);
	if (w->terminal && !p->valid)
		cli_line(text);
	else
		cli_note("%s", text);
	if (!p->valid)
		w->said = now;
	return !w->stop;
}

/* ---- the run --------------------------------------------------------------------------------- */

static bool reads_stdin(char **name, int names)
{
	bool reads = false;

	for (int i = 0; i < names; i++)
		reads |= !strcmp(name[i], "-");
	return reads;
}

/* Joins the ranks of an MPI job: rank 0 writes and reports, the others only print errors. */
static void join(struct options *o)
{
	const struct vae_cluster *cluster = cluster_join();
	static char prefix[32];

	o->train.cluster = cluster;
	if (!cluster)
		return;
	snprintf(prefix, sizeof prefix, "rank %d: ", cluster->rank);
	cli_prefix(prefix);
	o->common.quiet |= cluster->rank > 0;
	if (!o->common.operands || reads_stdin(o->common.operand, o->common.operands) ||
	    reads_stdin(o->valid, o->valids) || reads_stdin(o->lossless, o->losslesses) ||
	    reads_stdin(o->full, o->fulls))
		cli_usage("the ranks of an MPI job cannot read standard input; name the images as files");
}

/* Reads every picture of the operands into the trainer. One that does not suit the training is left
 * out. */
static int add_images(struct vae_trainer *trainer, const struct options *o, char **name, int names,
                      enum vae_train_use use)
{
	struct vae_error error = {0};
	struct vae_image *image;
	struct progress progress;
	struct input in;
	uint64_t unfit = 0;
	int status = input_open(&in, name, names, &error);

	progress_start(&progress, "images", o->common.quiet);
	if (!status)
		status = input_expect(&in, VAE_KIND_IMAGE, &error);
	while (!status &&
	       (status = vae_image_read(&image, in.file, o->common.max_pixels, &error)) == 1) {
		status = vae_trainer_add(trainer, image, use, &error);
		vae_image_free(image);
		if (status == VAE_EARG) {
			if (!unfit++)
				cli_note("%s: left out: %s", input_name(&in), error.text);
			status = 0;
		}
		if (!status)
			input_mark(&in);
		progress_count(&progress, in.items);
	}
	progress_end(&progress);
	if (!status && in.failure)
		status = VAE_EIO;
	else if (!status && !in.items)
		status = fail(&error, VAE_EDATA, "empty input");
	if (unfit > 1)
		cli_note("%" PRIu64 " images were left out; the first is named above", unfit);
	if (status < 0)
		input_report(&in, &error);
	else if (o->common.verbose)
		cli_note("%" PRIu64 " images to %s", in.items - unfit,
		         use == VAE_TRAIN_VALIDATION ? "validate with" : "train on");
	input_close(&in);
	return status;
}

static int save(struct vae_trainer *trainer, const struct options *o, const char *checkpoint)
{
	struct vae_error error = {0};
	struct output out;
	struct progress progress;
	int status = output_open(&out, o->common.output, !o->common.force, &error);

	if (status < 0) {
		cli_error("%s", error.text);
		return EXIT_FAILED;
	}
	progress_name(&progress, "measuring the model for its tables", o->common.quiet);
	status = vae_trainer_save(trainer, out.file, &error);
	progress_end(&progress);
	if (!status)
		status = output_close(&out, &error);
	if (status < 0) {
		cli_error("%s: %s", out.name, error.text);
		if (checkpoint)
			cli_note("the training is saved in %s; --resume writes the model", checkpoint);
		output_abandon(&out);
	}
	return status < 0 ? EXIT_FAILED : EXIT_DONE;
}

static int run(struct vae_trainer *trainer, const struct options *o,
               const struct vae_train_options *t)
{
	struct watch watch = {.silent = o->common.quiet,
	                      .terminal = isatty(STDERR_FILENO),
	                      .said = seconds_now(),
	                      .cluster = t->cluster,
	                      .trainer = trainer,
	                      .verbose = o->common.verbose};
	struct vae_error error = {0};
	bool leads = !t->cluster || t->cluster->rank == 0,
		 saved = t->checkpoint && !access(t->checkpoint, F_OK), resumed = t->resume && saved;
	bool fresh = !t->init && !resumed && !strncmp(t->arch, "photo", 5);
	int status;

	if (saved && !resumed && leads)
		cli_note("%s exists and will be replaced; --resume would continue from it", t->checkpoint);
	watch_signals();
	progress_name(&watch.start, fresh ? "principal components, first steps" : "first steps",
	              o->common.quiet);
	status = vae_trainer_run(trainer, report, &watch, &error);
	progress_end(&watch.start);
	cli_line(NULL);
	if (status == VAE_ESTOP && watch.stop) {
		if (t->checkpoint)
			cli_note("stopped at step %" PRIu64 "; --resume goes on from %s", watch.step,
			         t->checkpoint);
		else if (leads)
			cli_error("stopped at step %" PRIu64 "; nothing is kept without --checkpoint",
			          watch.step);
		return t->checkpoint ? EXIT_DONE : EXIT_FAILED;
	}
	if (status < 0) {
		cli_error("%s", error.text);
		return EXIT_FAILED;
	}
	return leads ? save(trainer, o, t->checkpoint) : EXIT_DONE;
}

/* Chooses what the training starts from: a model found by name or path, or an architecture. */
static const struct vae_train_options *choose(struct options *o, struct vae_model *init)
{
	struct vae_train_options *t = &o->train;

	t->init = init ? vae_model_path(init) : NULL;
	t->arch = init ? vae_model_arch(init) : o->arch;
	return t;
}

int main(int argc, char **argv)
{
	struct vae_error error = {0};
	struct options o;
	const struct vae_train_options *t;
	struct vae_model *init = NULL;
	struct vae_trainer *trainer = NULL;
	int result = EXIT_FAILED;
	bool leads;

	parse_options(&o, argc, argv);
	join(&o);
	leads = !o.train.cluster || o.train.cluster->rank == 0;
	if ((leads && output_check(o.common.output, !o.common.force, &error)) ||
	    (o.init && vae_model_find(&init, o.init, &error))) {
		cli_error("%s", error.text);
		goto out;
	}
	t = choose(&o, init);
	if (vae_trainer_new(&trainer, t, &error)) {
		if (error.code == VAE_EARG)
			cli_usage("%s", error.text);
		cli_error("%s", error.text);
		goto out;
	}
	if (add_images(trainer, &o, o.common.operand, o.common.operands, VAE_TRAIN_LOSSY) ||
	    (o.losslesses && add_images(trainer, &o, o.lossless, o.losslesses, VAE_TRAIN_LOSSLESS)) ||
	    (o.fulls && add_images(trainer, &o, o.full, o.fulls, VAE_TRAIN_FULL)) ||
	    (o.valids && add_images(trainer, &o, o.valid, o.valids, VAE_TRAIN_VALIDATION)))
		goto out;
	result = run(trainer, &o, t);
out:
	vae_trainer_free(trainer);
	vae_model_free(init);
	free(o.valid);
	free(o.lossless);
	free(o.full);
	return result;
}
