/* train.c - the objective's gradient against finite differences, eigenvectors, Adam and Muon,
 * checkpoints, and patches. */
#include "vae_train.h"
#include "base/memory.h"
#include "prior/order.h"
#include "prior/slice_prior.h"
#include "model/model.h"
#include "tap.h"
#include "train/recolour.h"
#include "train/checkpoint.h"
#include "train/data.h"
#include "train/eigen.h"
#include "loss/objective.h"
#include "train/orthogonal.h"
#include "train/sensitivity.h"
#include "train/start.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A photo network that takes no time. */
#define SMALL_PHOTO                                                                                \
	"photo enc=16 enc_blocks=1 y=6 hyper=16 ctx=16 z=3 dec=16 dec_blocks=1 grid=48 grid_layers=1 " \
	"knots=3"

static struct vae_random rnd;

static struct vae_image *noise_picture(uint32_t width, uint32_t height);
static float centred(void) { return 2 * vae_random_uniform(&rnd) - 1; }

/* ---- the objective --------------------------------------------------------------------------- */

/* Draws the same noise each time. */
static void same_noise(struct vae_objective *o)
{
	vae_random_init(&o->random, 7, 0, 0);
	for (size_t k = 0; o->noise && k < o->samples; k++)
		vae_objective_noise(o, k);
}

static double loss_of(struct vae_objective *o, struct vae_weights *w)
{
	struct vae_objective_sums sums = {0};
	vae_weights_pack(w, &o->nets->params);
	same_noise(o);
	vae_objective_pass(o, w, 40000, true, 1, NULL, &sums);
	return sums.loss;
}

/* Returns whether a parameter reaches the loss without passing a rounding, so that finite
 * differences exist. Of the heads that give means and log-scales, only the columns of log-scales
 * are smooth. */
static bool smooth(const struct vae_nets *nets, const char *name, size_t column)
{
	if (nets->arch.kind == VAE_ARCH_MLP)
		return true;
	if (!strncmp(name, "dec.", 4) || !strcmp(name, "prior.z.log_scale"))
		return true;
	bool head = !strcmp(name, "prior.hs.head.bias") || !strcmp(name, "prior.hs.shift") ||
	            !strcmp(name, "prior.ctx.head.weight") || !strcmp(name, "prior.ctx.head.bias");
	return head && column >= (size_t)nets->arch.y;
}

static bool slope_matches(struct vae_objective *o, struct vae_weights *w, float *number,
                          double gradient, double scale)
{
	static const float widths[] = {1e-2f, 1e-3f, 3e-2f};
	for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
		float kept = *number;
		*number = kept + widths[i];
		double up = loss_of(o, w), h = *number;
		*number = kept - widths[i];
		double slope = (up - loss_of(o, w)) / (h - (double)*number);
		*number = kept;
		if (fabs(slope - gradient) <= 0.02 * fabs(gradient) + 0.03 * scale)
			return true;
	}
	return false;
}

/* Draws weights that preserve the size of activations; contrast: the distance of the synthesis from
 * its bias. */
static void draw_weights(struct vae_weights *w, const struct vae_nets *nets, float contrast)
{
	for (int i = 0; i < nets->params.count; i++) {
		const struct vae_param *p = &nets->params.list[i];
		float bound = p->matrix ? 1.2f / sqrtf((float)p->rows) : 0.3f,
			  centre = !strcmp(p->name, "prior.gain") ? 1 : 0;
		if (!strncmp(p->name, "dec.out", 7))
			bound *= contrast;
		for (size_t k = 0; k < p->rows * p->columns; k++)
			w->value[p->offset + k] = centre + bound * centred();
	}
	vae_weights_pack(w, &nets->params);
}

static void check_objective(const char *line, int loss, size_t rows, size_t columns)
{
	struct vae_error e;
	struct vae_arch arch;
	struct vae_nets *nets = NULL;
	struct vae_weights w;
	struct vae_objective o;
	float contrast = loss == VAE_LOSS_MS_SSIM
	                     ? 0.03f
	                     : 1; /* unrelated pictures are still similar if both are nearly flat */
	if (!ok(!vae_arch_parse(&arch, line, &e) && !vae_nets_new(&nets, &arch, &e) &&
	            !vae_weights_init(&w, &nets->params, true, &e) &&
	            !vae_objective_init(&o, nets, loss, rows, columns, &e),
	        "%s", line))
		return;
	o.share = loss == VAE_LOSS_MS_SSIM ? 1 : loss == VAE_LOSS_VISION ? 0.8 : 0;
	draw_weights(&w, nets, contrast);
	size_t x =
		rows * columns * (arch.kind == VAE_ARCH_PHOTO ? 3 : (size_t)(arch.width * arch.height));
	for (size_t k = 0; k < x; k++)
		o.x[k] = arch.kind == VAE_ARCH_PHOTO ? contrast * centred() / 2 : vae_random_uniform(&rnd);
	float *gradient = calloc(nets->params.total, sizeof(float));
	struct vae_objective_sums sums = {0};
	vae_weights_pack(&w, &nets->params);
	same_noise(&o);
	vae_objective_pass(&o, &w, 40000, true, 1, gradient, &sums);
	ok(sums.loss == loss_of(&o, &w) && isfinite(sums.loss),
	   "the loss, %g, does not depend on the backward pass", sums.loss);
	int bad = 0, tried = 0;
	for (int i = 0; i < nets->params.count; i++) {
		const struct vae_param *p = &nets->params.list[i];
		size_t n = p->rows * p->columns;
		double square = 0;
		for (size_t k = 0; k < n; k++)
			square += (double)gradient[p->offset + k] * gradient[p->offset + k];
		for (int t = 0; t < 4; t++) {
			size_t k = vae_random_below(&rnd, (uint32_t)n);
			if (!smooth(nets, p->name, k % p->columns))
				continue;
			tried++;
			if (!slope_matches(&o, &w, &w.value[p->offset + k], gradient[p->offset + k],
			                   sqrt(square / (double)n)) &&
			    ++bad < 5)
				printf("# %s[%zu]: %g\n", p->name, k, gradient[p->offset + k]);
		}
	}
	ok(!bad && tried > 30, "gradients of %d numbers", tried);
	free(gradient);
	vae_objective_clear(&o);
	vae_weights_clear(&w);
	vae_nets_free(nets);
}

/* Compares with the second derivatives of the distortion, by finite differences. */
static void check_sensitivity(void)
{
	enum { Y = 6, SIDE = 64, CELLS = SIDE / 16 * (SIDE / 16), PIXELS = SIDE * SIDE };
	struct vae_error e;
	struct vae_arch arch;
	struct vae_nets *nets = NULL;
	struct vae_weights w;
	struct vae_objective o;
	struct vae_data data = {.channels = 3};
	struct vae_image *image = noise_picture(SIDE, SIDE);
	if (vae_arch_parse(&arch, SMALL_PHOTO, &e) || vae_nets_new(&nets, &arch, &e) ||
	    vae_weights_init(&w, &nets->params, true, &e) ||
	    vae_objective_init(&o, nets, VAE_LOSS_MSE, SIDE, SIDE, &e) ||
	    vae_data_add(&data, image, SIDE, 1, 1, &e)) {
		ok(0, "%s", e.text);
		return;
	}
	draw_weights(&w, nets, 1);
	float row[Y], again[Y];
	const uint16_t quality = VAE_QUALITY_ONE / 2; /* knot 1 of 3 */
	vae_sensitivity_row(row, 1, &o, &w, &data, 3, NULL);

	float *y = vae_run_input(&o.run[VAE_SYNTHESIS], 0),
		  *slope = o.run[VAE_SYNTHESIS].gradient[o.run[VAE_SYNTHESIS].net->input[0]];
	double worst = 0;
	memcpy(y, o.rate.quantised, CELLS * Y * sizeof *y); /* the latents of the last patch */
	for (int c = 0; c < Y; c++) {
		double sum = 0;
		for (int i = c; i < CELLS * Y; i += Y)
			for (int sign = -1; sign <= 1; sign += 2) {
				y[i] += sign * 0.01f;
				vae_objective_distortion(&o, &w, quality);
				sum += sign * slope[i] / 0.01;
				y[i] = o.rate.quantised[i];
			}
		worsen(&worst, fabs(log(row[c] / (PIXELS * sum / 4 / CELLS))));
	}
	ok(worst < 0.25, "sensitivities are second derivatives, to %.3f of themselves", worst);
	vae_sensitivity_row(again, 1, &o, &w, &data, 3, NULL);
	ok(!memcmp(row, again, sizeof row), "the same each time");
	vae_image_free(image);
	vae_data_clear(&data);
	vae_objective_clear(&o);
	vae_weights_clear(&w);
	vae_nets_free(nets);
}

/* A synthesis whose blocks are linear in y gives that map back. */
static void check_means(void)
{
	enum { Y = 6, SIDE = 64, CELLS = SIDE / 16 * (SIDE / 16), WEIGHTS = (Y + 1) * VAE_MEANS };
	struct vae_error e;
	struct vae_arch arch;
	struct vae_nets *nets = NULL;
	struct vae_run run;
	struct vae_means means = {0};
	struct vae_random r;
	enum { SIDES = (Y + 1 + VAE_MEANS) * (Y + 1 + VAE_MEANS) };
	double moment[2 * SIDES] = {0};
	float map[WEIGHTS], fitted[WEIGHTS];
	vae_random_init(&r, 5, 0, 0);
	for (int i = 0; i < WEIGHTS; i++)
		map[i] = (vae_random_uniform(&r) - 0.5f) / 4;
	if (vae_arch_parse(&arch, SMALL_PHOTO, &e) || vae_nets_new(&nets, &arch, &e) ||
	    vae_run_init(&run, &nets->net[VAE_SYNTHESIS], 0, SIDE, SIDE, true, &e) ||
	    vae_means_init(&means, Y, CELLS, &e)) {
		ok(0, "%s", e.text);
		return;
	}
	for (int patch = 0; patch < 12; patch++) {
		float *y = run.value[run.net->layer[0].dst], *x = vae_run_output(&run, 0);
		for (int i = 0; i < CELLS * Y; i++)
			y[i] = vae_random_uniform(&r) - 0.5f;
		for (int i = 0; i < SIDE * SIDE * 3; i++) {
			int row = i / 3 / SIDE, column = i / 3 % SIDE;
			const float *cell = y + (row / 16 * (SIDE / 16) + column / 16) * Y;
			int out = (row / 8 % 2 * 2 + column / 8 % 2) * 3 + i % 3;
			x[i] = map[Y * VAE_MEANS + out] + ((row + column) % 2 ? 0.25f : -0.25f);
			for (int k = 0; k < Y; k++)
				x[i] += cell[k] * map[k * VAE_MEANS + out];
		}
		means.moment = moment + (patch & 1) * SIDES;
		vae_means_see(&means, &run);
	}
	vae_means_fit(fitted, moment, 2, Y);
	double worst = 0;
	for (int i = 0; i < WEIGHTS; i++)
		worsen(&worst, fabs((double)fitted[i] - map[i]));
	ok(worst < 2e-3, "a linear map to means is found, to %.2g", worst);
	vae_means_clear(&means);
	vae_run_clear(&run);
	vae_nets_free(nets);
}

/* Training of the synthesis alone sees the symbols that the encoder codes, and changes nothing
 * else. */
static void check_synthesis_alone(void)
{
	enum { Y = 6, SIDE = 128, CELLS = SIDE / 16 * (SIDE / 16), KNOTS = 3 };
	struct vae_error e;
	struct vae_arch arch;
	struct vae_nets *nets = NULL;
	struct vae_weights w;
	struct vae_objective o;
	struct vae_cdfs cdfs;
	struct vae_symbols symbols = {.keep = VAE_KEEP_ANSWERS};
	float sensitivity[KNOTS * Y];
	const uint16_t quality = 40000;
	for (size_t k = 0; k < sizeof sensitivity / sizeof *sensitivity; k++)
		sensitivity[k] = 0.01f * (float)(k + 1);
	if (vae_arch_parse(&arch, SMALL_PHOTO, &e) || vae_nets_new(&nets, &arch, &e) ||
	    vae_weights_init(&w, &nets->params, true, &e) ||
	    vae_objective_init(&o, nets, VAE_LOSS_MSE, SIDE, SIDE, &e) ||
	    vae_cdfs_make(&cdfs, NULL, &e) ||
	    vae_objective_learn_synthesis(&o, &cdfs, sensitivity, &e) ||
	    vae_symbols_fit(&symbols, nets, SIDE / 16, SIDE / 16, &e)) {
		ok(0, "%s", e.text);
		return;
	}
	draw_weights(&w, nets, 1);
	for (size_t k = 0; k < (size_t)SIDE * SIDE * 3; k++)
		o.x[k] = centred() / 2;
	float *gradient = calloc(nets->params.total, sizeof(float));
	struct vae_objective_sums sums = {0};
	vae_objective_pass(&o, &w, quality, true, 1, gradient, &sums);
	bool alone = true, learns = false;
	for (int i = 0; i < nets->params.count; i++) {
		const struct vae_param *p = &nets->params.list[i];
		bool any = false;
		for (size_t k = 0; k < p->rows * p->columns; k++)
			any |= gradient[p->offset + k] != 0;
		alone &= !any || !strncmp(p->name, "dec.", 4);
		learns |= any;
	}
	ok(alone && learns, "the synthesis alone has a gradient");

	struct vae_prior prior = {nets, &w, vae_position_of(KNOTS, quality), &o.choice};
	int wrong = vae_prior_quantise(&symbols, &prior, o.rate.y, SIDE / 16 * Y, &e), chosen = 0;
	for (size_t cell = 0; cell < CELLS; cell++)
		for (size_t c = 0; c < Y; c++) {
			size_t k = cell * Y + c, at = vae_symbols_place(&symbols, cell, c);
			wrong += o.rate.residual[k] != (float)symbols.value[at];
			chosen += symbols.value[at] != vae_round_symbol(o.rate.y[k] - symbols.mean[at]);
		}
	ok(!wrong && chosen, "its latents are those of the encoder, %d by RDO", chosen);
	free(gradient);
	vae_symbols_clear(&symbols);
	vae_cdfs_clear(&cdfs);
	vae_objective_clear(&o);
	vae_weights_clear(&w);
	vae_nets_free(nets);
}

/* Mistakes of a calling program, one field at a time. */
static void check_refused(void)
{
	static char endless[VAE_METADATA_BYTES + 2];
	struct vae_train_options bad[22];
	struct vae_trainer *trainer;
	struct vae_error e;
	int n = 0, refused = 0;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		vae_train_defaults(&bad[i]);
		bad[i].steps = 1;
	}
	bad[n++].loss = VAE_LOSS_VISION + 1;
	bad[n++].share = 0;
	bad[n++].share = 1.5;
	bad[n++].recolour = -0.1;
	bad[n++].grow = "dec_blocks=3";
	bad[n++].synthesis = true;
	bad[n++].loss = -1;
	bad[n++].precision = VAE_PRECISION_BF16 + 1;
	bad[n++].optimiser = 2;
	bad[n++].checkpoint_minutes = -1;
	bad[n++].checkpoint_minutes = NAN;
	bad[n++].minutes = NAN;
	bad[n++].lambda_max = NAN;
	bad[n++].lr = NAN;
	bad[n++].ema = 1;
	bad[n++].decay = 1.5;
	bad[n++].batch = -1;
	bad[n++].patch = 100;
	bad[n++].steps = 0;
	bad[n++].licence = "caf\351";
	bad[n++].summary = "a good sentence \303";
	bad[n++].summary = memset(endless, 'x', sizeof endless - 1);
	for (int i = 0; i < n; i++)
		refused += vae_trainer_new(&trainer, &bad[i], &e) == VAE_EARG;
	ok(refused == n, "%d of %d options out of range are refused", refused, n);
}

/* A trainer has nothing to save before it ran, unless it started from a model. */
static void check_save(void)
{
	struct vae_train_options o;
	struct vae_trainer *t = NULL;
	struct vae_error e = {0};
	char path[] = "/tmp/vae-test-save-XXXXXX";
	int fd = mkstemp(path);
	FILE *file = fd < 0 ? NULL : fdopen(fd, "wb");
	vae_train_defaults(&o);
	o.arch = "mlp width=8 height=8 hidden1=4 hidden2=4 z=2";
	o.steps = 1;
	struct vae_geometry g = {
		.width = 8, .height = 8, .maxval = 255, .format = VAE_PGM, .tuple = VAE_GRAYSCALE};
	struct vae_image *image = NULL;
	if (!file || vae_image_new(&image, &g, 0, &e) || vae_trainer_new(&t, &o, &e) ||
	    vae_trainer_add(t, image, VAE_TRAIN_LOSSY, &e)) {
		ok(0, "a trainer: %s", e.text);
		return;
	}
	ok(vae_trainer_save(t, file, &e) == VAE_EARG && ftell(file) == 0,
	   "nothing to save before the first run: %s", e.text);
	ok(!vae_trainer_run(t, NULL, NULL, &e) && !vae_trainer_save(t, file, &e) && !fclose(file),
	   "saved behind it");
	vae_trainer_free(t);
	o.init = path;
	t = NULL;
	file = tmpfile();
	ok(!vae_trainer_new(&t, &o, &e) && !vae_trainer_save(t, file, &e) && ftell(file) > 0,
	   "a model that it starts from can be saved at once");
	vae_trainer_free(t);
	vae_image_free(image);
	fclose(file);
	unlink(path);
}

static void check_order(void)
{
	for (int steps = 2; steps <= 4; steps += 2) {
		bool once = true;
		for (size_t cell = 0; cell < 9; cell++) {
			unsigned seen = 0;
			for (int step = 0; step < steps; step++)
				seen |= 1u << vae_order_first_channel(step, steps, cell / 3, cell % 3, 8) *
				                  (unsigned)steps / 8;
			once = once && seen == (1u << steps) - 1;
		}
		ok(once, "%d steps code every channel of every cell once", steps);
	}
}

/* ---- the rest -------------------------------------------------------------------------------- */

static void check_eigen(void)
{
	enum { N = 60 };
	static double a[N * N], kept[N * N], values[N], vectors[N * N];
	for (int i = 0; i < N; i++)
		for (int j = 0; j <= i; j++)
			a[i * N + j] = a[j * N + i] = exp(-0.1 * (i - j)) + (i == j ? 0.01 * (i % 7) : 0);
	memcpy(kept, a, sizeof a);
	struct vae_error e;
	int result = vae_eigen(a, N, values, vectors, &e);
	double worst = 0;
	bool descending = true;
	for (int i = 0; i < N; i++) {
		descending = descending && (i == 0 || values[i] <= values[i - 1]);
		for (int j = 0; j < N; j++) {
			double image = 0, product = 0;
			for (int k = 0; k < N; k++) {
				image += kept[j * N + k] * vectors[i * N + k];
				product += vectors[i * N + k] * vectors[j * N + k];
			}
			worsen(&worst, fabs(image - values[i] * vectors[i * N + j]));
			worsen(&worst, fabs(product - (i == j)));
		}
	}
	ok(!result && descending && worst < 1e-12, "eigenvectors: residual %g", worst);
	static double zero[9], zero_values[3], zero_vectors[9];
	ok(!vae_eigen(zero, 3, zero_values, zero_vectors, &e) && zero_values[0] == 0 &&
	       zero_vectors[0] == 1,
	   "the zero matrix");
}

static size_t read_file(const char *path, uint8_t *bytes, size_t room)
{
	FILE *file = fopen(path, "rb");
	size_t n = file ? fread(bytes, 1, room, file) : 0;
	if (file)
		fclose(file);
	return n;
}

static void write_file(const char *path, const void *bytes, size_t size)
{
	FILE *file = fopen(path, "wb");
	fwrite(bytes, 1, size, file);
	fclose(file);
}

/* No bit of a checkpoint can change undetected; version 2, which has neither share nor a hash of
 * its head, is read. The file is left as it was. */
static void check_head(const char *path, const struct vae_checkpoint_head *head, const float *value,
                       struct vae_optimiser *o)
{
	static uint8_t bytes[4096], old[4096];
	struct vae_checkpoint_head back;
	struct vae_optimiser again;
	struct vae_error e;
	float value_again[48];
	size_t n = read_file(path, bytes, sizeof bytes), accepted = 0,
		   before = offsetof(struct vae_checkpoint_head, share);
	if (vae_optimiser_init(&again, o->size, &e))
		return;
	for (size_t i = 0; i < n; i += i < sizeof back ? 1 : 37) {
		bytes[i] ^= 1 << i % 8;
		write_file(path, bytes, n);
		accepted += vae_checkpoint_head_read(path, &back, &e) == 1 &&
		            !vae_checkpoint_read(path, &back, value_again, &again, &e);
		bytes[i] ^= 1 << i % 8;
	}
	ok(n > sizeof back && accepted == 0, "flipped bits in a checkpoint of %zu bytes: %zu accepted",
	   n, accepted);
	memcpy(old, bytes, before);
	memcpy(old, "VAECKPT2", 8);
	memcpy(old + before, bytes + sizeof back, n - sizeof back);
	write_file(path, old, n - sizeof back + before);
	ok(vae_checkpoint_head_read(path, &back, &e) == 1 && back.step == head->step &&
	       !vae_checkpoint_read(path, &back, value_again, &again, &e) &&
	       !memcmp(value, value_again, sizeof value_again),
	   "a checkpoint of version 2 is read");
	write_file(path, bytes, n);
	vae_optimiser_clear(&again);
}

/* A checkpoint is written beside the user's other files, through a link, never over a device, with
 * the mode of the one before. */
static void check_places(const struct vae_checkpoint_head *head, const float *value,
                         const struct vae_optimiser *o)
{
	char folder[] = "/tmp/vae-train-test-XXXXXX", command[200];
	uint8_t text[16] = {0};
	struct stat st;
	struct vae_error e;
	if (!mkdtemp(folder) || chdir(folder))
		return;
	write_file("c.tmp", "mine", 4);
	write_file("target", "target", 6);
	chmod("target", 0600);
	int rc = symlink("c.tmp", "d.tmp") || symlink("target", "link");
	rc = rc || vae_checkpoint_write("c", head, value, o, &e) ||
	     vae_checkpoint_write("d", head, value, o, &e) ||
	     vae_checkpoint_write("link", head, value, o, &e);
	ok(!rc && read_file("c.tmp", text, sizeof text) == 4 && !memcmp(text, "mine", 4),
	   "a file c.tmp, and one that d.tmp links to, are left alone");
	ok(!lstat("link", &st) && S_ISLNK(st.st_mode) && !stat("target", &st) && st.st_size > 1000 &&
	       (st.st_mode & 0777) == 0600,
	   "a link is followed to its file, which keeps its mode");
	mkfifo("fifo", 0600);
	ok(vae_checkpoint_write("fifo", head, value, o, &e) == VAE_EIO && !lstat("fifo", &st) &&
	       S_ISFIFO(st.st_mode),
	   "no FIFO is replaced: %s", e.text);
	snprintf(command, sizeof command,
	         "test \"$(ls -A | xargs)\" = 'c c.tmp d d.tmp fifo link target'");
	ok(!system(command), "nothing else is left");
	snprintf(command, sizeof command, "rm -r %s", folder);
	if (chdir("/") || system(command))
		printf("# %s is left\n", folder);
}

/* Adam's first step is the rate in the direction of the sign, whatever the gradient's size; the
 * average starts fast. */
static void check_optimiser(void)
{
	struct vae_error e;
	struct vae_optimiser o;
	static struct vae_params params;
	params = (struct vae_params){.count = 2, .total = 48};
	params.list[0] = (struct vae_param){.rows = 1, .columns = 20};
	params.list[1] = (struct vae_param){.rows = 1, .columns = 16, .offset = 32};
	float value[48] = {0}, first[48], second[48];
	for (int i = 0; i < 48; i++) {
		first[i] = (float)(i + 1);
		second[i] = (float)-2 * (float)(i + 1);
	}
	float *const gradients[] = {first, second};
	if (vae_optimiser_init(&o, 48, &e))
		return;
	double norm = vae_optimiser_gather(&o, gradients, 2), expected = sqrt(48.0 * 49 * 97 / 6);
	ok(fabs(norm - expected) < 1e-6 * expected && first[3] == -4, "the gathered gradient, norm %g",
	   norm);
	vae_optimiser_step(&o, &params, value, first, norm, 1, 0.01, 0.9, NULL);
	ok(fabsf(value[0] - 0.01f) < 1e-5f && fabsf(value[19] - 0.01f) < 1e-5f &&
	       fabsf(value[40] - 0.01f) < 1e-5f && value[25] == 0,
	   "the first step: %g and %g", value[0], value[40]);
	ok(fabsf(o.average[0] - value[0] * (1 - 2 / 11.0f)) < 1e-6f, "the average follows");
	first[5] = NAN;
	ok(!isfinite(vae_optimiser_gather(&o, gradients, 1)), "NaN shows in the norm");

	char path[] = "/tmp/vae-train-test-XXXXXX";
	int file = mkstemp(path);
	close(file);
	struct vae_checkpoint_head head = {.arch = "x", .seed = 3, .step = 1, .floats = 48}, back;
	struct vae_optimiser again;
	float value_again[48];
	vae_optimiser_init(&again, 48, &e);
	ok(!vae_checkpoint_write(path, &head, value, &o, &e) &&
	       vae_checkpoint_head_read(path, &back, &e) == 1 && back.seed == 3 &&
	       !vae_checkpoint_read(path, &back, value_again, &again, &e) &&
	       !memcmp(value, value_again, sizeof value) &&
	       !memcmp(o.second, again.second, 48 * sizeof(float)) && again.step == 1,
	   "a checkpoint comes back");
	check_head(path, &head, value, &o);
	ok(truncate(path, 1000) == 0 &&
	       vae_checkpoint_read(path, &back, value_again, &again, &e) == VAE_EDATA,
	   "truncated: %s", e.text);
	unlink(path);
	ok(vae_checkpoint_head_read(path, &back, &e) == 0, "no checkpoint is no error");
	ok(vae_checkpoint_write("/nonexistent/x", &head, value, &o, &e) == VAE_EIO,
	   "nowhere to write: %s", e.text);
	check_places(&head, value, &o);
	vae_optimiser_clear(&o);
	vae_optimiser_clear(&again);
}

/* Computes the singular values of x, descending: roots of the eigenvalues of x x^T or x^T x,
 * whichever is smaller. */
static void singular_values(const float *x, size_t rows, size_t columns, double *values)
{
	size_t n = rows < columns ? rows : columns, m = rows < columns ? columns : rows,
		   along = rows < columns ? 1 : columns;
	size_t across = rows < columns ? columns : 1;
	double *product = calloc(n * n, sizeof *product), *vectors = calloc(n * n, sizeof *vectors);
	struct vae_error e;
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < n; j++)
			for (size_t k = 0; k < m; k++)
				product[i * n + j] += (double)x[i * across + k * along] * x[j * across + k * along];
	if (vae_eigen(product, n, values, vectors, &e))
		values[0] = NAN;
	for (size_t i = 0; i < n; i++)
		values[i] = sqrt(fmax(values[i], 0));
	free(product);
	free(vectors);
}

/* A random matrix whose columns, or rows, become smaller and smaller. */
static void check_orthogonal(size_t rows, size_t columns, const struct vae_bf16 *bf16)
{
	struct vae_error e;
	size_t n = rows < columns ? rows : columns;
	double before[200], after[200], along = 0, sum = 0;
	float *x, *y, *room;
	if (vae_alloc(&x, rows * columns, sizeof *x, &e) ||
	    vae_alloc(&y, rows * columns, sizeof *y, &e) ||
	    vae_alloc(&room, vae_orthogonal_room(rows, columns), sizeof *room, &e))
		return;
	for (size_t i = 0; i < rows * columns; i++)
		x[i] = y[i] =
			1e-12f * centred() / (1 + (float)(rows < columns ? i / columns : i % columns) / 10);
	singular_values(x, rows, columns, before);
	vae_orthogonal(y, rows, columns, room, bf16);
	singular_values(y, rows, columns, after);
	for (size_t i = 0; i < n; i++)
		sum += before[i];
	for (size_t i = 0; i < rows * columns; i++)
		along += (double)x[i] *
		         y[i]; /* the sum, if y is orthogonal in x's directions; less in any others */
	ok(after[0] < 1.31 && after[n - 1] > 0.66 && along > 0.75 * sum && along < 1.3 * sum,
	   "%zu x %zu%s: singular values of %.3f to 1 become %.3f to %.3f, in the same directions",
	   rows, columns, bf16 ? " in bf16" : "", before[n - 1] / before[0], after[n - 1], after[0]);
	for (size_t i = 0; i < rows * columns; i++)
		x[i] *= 1e-30f;
	vae_orthogonal(x, rows, columns, room, bf16);
	singular_values(x, rows, columns, after);
	ok(after[0] == 0, "next to nothing becomes nothing");
	free(x);
	free(y);
	free(room);
}

/* A quadratic bowl, 100 times steeper along the first row than along the last, and a separate
 * vector: training descends to about the last rate's steps. Three threads give the same bits as
 * one. */
static void check_muon(const struct vae_bf16 *bf16)
{
	enum { ROWS = 48, COLUMNS = 192, TOTAL = ROWS * COLUMNS + 16, STEPS = 300 };
	struct vae_error e;
	static struct vae_params params;
	static float value[2][TOTAL], gradient[TOTAL], goal[TOTAL];
	const int parts[2] = {4, 1};
	double loss[2] = {0}, before = 0;
	params = (struct vae_params){.count = 2, .total = TOTAL};
	params.list[0] = (struct vae_param){.rows = ROWS, .columns = COLUMNS, .matrix = true};
	params.list[1] = (struct vae_param){.rows = 1, .columns = 16, .offset = ROWS * COLUMNS};
	for (int i = 0; i < TOTAL; i++) {
		goal[i] = centred();
		before += (double)goal[i] * goal[i];
	}
	for (int run = 0; run < 2; run++) {
		struct vae_optimiser o;
		omp_set_num_threads(run ? 3 : 1);
		if (!ok(!vae_optimiser_init(&o, TOTAL, &e) &&
		            !vae_optimiser_use_muon(&o, &params, parts, &e) && o.parts == 4,
		        "Muon on four quarters"))
			return;
		memset(value[run], 0, sizeof value[run]);
		for (int step = 0; step < STEPS; step++) {
			for (int i = 0; i < TOTAL; i++)
				gradient[i] = (value[run][i] - goal[i]) * powf(100, -(float)(i / COLUMNS) / ROWS);
			vae_optimiser_step(&o, &params, value[run], gradient, 1, 0,
			                   0.2 * (1 - (double)step / STEPS), 0, bf16);
		}
		for (int i = 0; i < TOTAL; i++)
			loss[run] += (double)(value[run][i] - goal[i]) * (value[run][i] - goal[i]);
		double apart = 0; /* a + (w - a) is not always w */
		for (int i = 0; i < TOTAL; i++)
			worsen(&apart, fabsf(o.average[i] - value[run][i]));
		ok(apart < 1e-7, "an average of decay 0 is the weights, but for %.2g", apart);
		vae_optimiser_clear(&o);
	}
	omp_set_num_threads(1);
	ok(loss[0] < 1e-3 * before && !memcmp(value[0], value[1], sizeof value[0]),
	   "Muon%s goes from %.3g to %.3g, and to the same on three threads", bf16 ? " in bf16" : "",
	   before, loss[0]);
}

static void check_data(void)
{
	struct vae_error e;
	struct vae_image *image;
	struct vae_geometry g = {
		.width = 40, .height = 30, .maxval = 255, .format = VAE_PPM, .tuple = VAE_RGB};
	struct vae_data data = {.channels = 3};
	if (vae_image_new(&image, &g, 0, &e))
		return;
	for (size_t i = 0; i < 40 * 30 * 3; i++)
		image->colour[i] = (uint16_t)(i % 3 == 0 ? i / 3 % 40 : i % 3 == 1 ? i / 3 / 40 : 200);
	ok(!vae_data_add(&data, image, 16, 1, 1, &e) &&
	       vae_data_add(&data, image, 31, 1, 1, &e) == VAE_EARG,
	   "too small: %s", e.text);
	int seen[8] = {0};
	for (int n = 0; n < 200; n++) { /* red is x and green is y: their differences along the patch
		                               show the orientation */
		float patch[16 * 16 * 3];
		vae_data_patch(&data, &rnd, 16, 0, patch);
		float right = (patch[3] - patch[0]) * 255, right_green = (patch[4] - patch[1]) * 255,
			  down = (patch[48] - patch[0]) * 255, down_green = (patch[49] - patch[1]) * 255;
		bool turned = fabsf(right) < 0.5f;
		int kind =
			turned ? 4 + (right_green > 0) * 2 + (down > 0) : (right > 0) * 2 + (down_green > 0);
		seen[kind]++;
		if (fabsf(patch[2] * 255 - 200) > 1e-3f)
			seen[0] = -1000;
	}
	bool all = true;
	for (int i = 0; i < 8; i++)
		all = all && seen[i] > 0;
	ok(all, "patches come in eight orientations");
	vae_data_clear(&data);
	vae_image_free(image);
}

/* Makes a picture of noise, of which data keeps its own copy. */
static struct vae_image *noise_picture(uint32_t width, uint32_t height)
{
	struct vae_error e;
	struct vae_image *image;
	struct vae_geometry g = {
		.width = width, .height = height, .maxval = 255, .format = VAE_PPM, .tuple = VAE_RGB};
	if (vae_image_new(&image, &g, 0, &e))
		return NULL;
	for (size_t i = 0; i < (size_t)width * height * 3; i++)
		image->colour[i] = (uint16_t)vae_random_below(&rnd, 256);
	return image;
}

/* Returns the mean of a rectangle of real corners by the definition: pixel by pixel in doubles,
 * unlike the code under test. */
static double area_mean(const struct vae_image *image, double left, double top, double side, int c)
{
	double sum = 0;
	for (int y = (int)top; y < top + side; y++)
		for (int x = (int)left; x < left + side; x++)
			sum += image->colour[((size_t)y * image->geometry.width + (size_t)x) * 3 + (size_t)c] *
			       (fmin(y + 1, top + side) - fmax(y, top)) *
			       (fmin(x + 1, left + side) - fmax(x, left));
	return sum / (side * side * 255);
}

/* Returns the greatest distance of a patch from the window of side x size pixels at (0, 0), in the
 * orientation that fits best. */
static double patch_distance(const struct vae_image *image, const float *patch, int size,
                             double side)
{
	double best = INFINITY;
	for (int turn = 0; turn < 8; turn++) {
		double worst = 0;
		for (int y = 0; y < size; y++)
			for (int x = 0; x < size; x++) {
				int u = turn & 1 ? size - 1 - x : x, v = turn & 2 ? size - 1 - y : y;
				for (int c = 0; c < 3; c++)
					worsen(&worst, fabs(patch[(y * size + x) * 3 + c] -
					                    area_mean(image, (turn & 4 ? v : u) * side,
					                              (turn & 4 ? u : v) * side, side, c)));
			}
		best = fmin(best, worst);
	}
	return best;
}

/* The window is the whole picture: only the orientation is random. */
static void check_reduction(uint32_t side, uint32_t size)
{
	struct vae_error e;
	struct vae_data data = {.channels = 3};
	struct vae_image *image = noise_picture(side, side);
	float *patch = calloc((size_t)size * size * 3, sizeof *patch);
	double factor = (double)size / side, worst = 0;
	if (!ok(image && patch && !vae_data_add(&data, image, size, VAE_REDUCE_LEAST, factor, &e),
	        "%u to %u", side, size))
		return;
	data.picture[0].least = factor;
	for (int n = 0; n < 12; n++) {
		vae_data_patch(&data, &rnd, size, 0, patch);
		worsen(&worst, patch_distance(image, patch, (int)size, (double)side / size));
	}
	ok(worst < 2e-6, "from %u to %u pixels a side each is the mean of its area, but for %.2g", side,
	   size, worst);
	free(patch);
	vae_data_clear(&data);
	vae_image_free(image);
}

/* Factors are drawn between the bounds; pictures too small for them are reduced as far as they
 * allow. */
static void check_factors(void)
{
	struct vae_error e;
	struct vae_data data = {.channels = 3};
	struct vae_image *image;
	struct vae_geometry g = {
		.width = 150, .height = 100, .maxval = 255, .format = VAE_PPM, .tuple = VAE_RGB};
	if (vae_image_new(&image, &g, 0, &e))
		return;
	for (size_t i = 0; i < 150 * 100 * 3; i++)
		image->colour[i] = (uint16_t)(i % 3 == 0 ? i / 3 % 150 : i % 3 == 1 ? i / 3 / 150 : 200);
	vae_data_add(&data, image, 64, 0.5, 0.8, &e);
	double least = 9, most = 0, flat = 0;
	float patch[64 * 64 * 3];
	for (int n = 0; n < 300; n++) { /* red and green rise by 1 / factor a pixel, up to steps: one
		                               along, the other across */
		vae_data_patch(&data, &rnd, 64, 0.5f, patch);
		double slope =
			fmax(fabsf(patch[63 * 3] - patch[0]), fabsf(patch[63 * 3 + 1] - patch[1])) * 255 / 63;
		least = fmin(least, 1 / slope);
		worsen(&most, 1 / slope);
		for (size_t k = 2; k < 64 * 64 * 3; k += 3)
			worsen(&flat, fabs(patch[k] + 0.5 - 200 / 255.0));
	}
	ok(least > 0.63 && least < 0.65 && most > 0.78 && most < 0.81,
	   "factors are %.4f to %.4f, where 0.64 still fits the picture", least, most);
	ok(flat < 1e-6, "a flat colour stays flat, but for %.2g", flat);
	vae_data_clear(&data);
	vae_image_free(image);
}

/* At factor 1, and if a picture is no larger than the patch, samples are the picture's own, bit for
 * bit. */
static void check_plain(void)
{
	struct vae_error e;
	struct vae_data plain = {.channels = 3}, bounded = {.channels = 3};
	struct vae_image *image = noise_picture(64, 64);
	float a[64 * 64 * 3], b[64 * 64 * 3];
	if (!image || vae_data_add(&plain, image, 64, 1, 1, &e) ||
	    vae_data_add(&bounded, image, 64, 0.5, 0.7, &e))
		return;
	struct vae_random r = rnd, s = rnd;
	vae_data_patch(&plain, &r, 64, 0, a);
	vae_data_patch(&bounded, &s, 64, 0, b);
	ok(patch_distance(image, b, 64, 1) < 1e-7 && !memcmp(a, b, sizeof a),
	   "a picture of the patch's size is not reduced");
	vae_data_clear(&plain);
	vae_data_clear(&bounded);
	vae_image_free(image);
}

/* Each kind of change keeps samples within bounds; equal random numbers give equal patches. */
static void check_recolour(void)
{
	enum { PIXELS = 500, PATCHES = 200 };
	float first[3 * PIXELS], patch[3 * PIXELS], again[3 * PIXELS];
	int inside = 1, same = 1, changed = 0;
	for (uint64_t n = 0; n < PATCHES; n++) {
		struct vae_random random;
		for (int k = 0; k < 3 * PIXELS; k++)
			first[k] = patch[k] = again[k] = centred() / 2;
		vae_random_init(&random, 1, n, 0);
		vae_recolour(patch, PIXELS, &random);
		vae_random_init(&random, 1, n, 0);
		vae_recolour(again, PIXELS, &random);
		for (int k = 0; k < 3 * PIXELS; k++)
			inside &= patch[k] >= -0.5f && patch[k] <= 0.5f;
		same &= !memcmp(patch, again, sizeof patch);
		changed += memcmp(patch, first, sizeof patch) != 0;
	}
	ok(inside && same && changed == PATCHES,
	   "random colours stay within black and white, and can be drawn again");
}

int main(void)
{
	omp_set_num_threads(1);
	vae_random_init(&rnd, 2, 0, 0);
	check_order();
	check_objective(SMALL_PHOTO, VAE_LOSS_MSE, 64, 128);
	check_objective("photo enc=16 enc_blocks=1 y=8 hyper=16 z=3 dec=16 dec_blocks=1 grid=48 "
	                "grid_layers=1 knots=3 steps=4 ctx=18",
	                VAE_LOSS_MSE, 64, 128);
	check_objective("mlp width=6 height=5 hidden1=12 hidden2=9 z=4", VAE_LOSS_BCE, 5, 1);
	check_objective("mlp width=6 height=5 hidden1=12 hidden2=9 z=4", VAE_LOSS_MSE, 5, 1);
	check_eigen();
	check_optimiser();
	for (int kind = -1; kind < VAE_BF16_KINDS; kind++) { /* -1: float32 */
		const struct vae_bf16 *bf16 = kind < 0 ? NULL : vae_bf16_for((enum vae_bf16_kind)kind);
		if (kind >= 0 && !bf16) {
			tap_lacks("Muon in bf16", kind == VAE_BF16_AMX ? "AMX-BF16" : "AVX512-BF16");
			continue;
		}
		check_orthogonal(150, 400, bf16);
		check_orthogonal(200, 100, bf16);
		check_orthogonal(33, 77, bf16);
		check_orthogonal(70, 7, bf16);
		check_muon(bf16);
	}
	check_data();
	check_reduction(32, 16);
	check_reduction(64, 64);
	check_reduction(41, 16);
	check_reduction(333, 130);
	check_reduction(160, 10);
	check_plain();
	check_factors();
	check_objective(SMALL_PHOTO, VAE_LOSS_MS_SSIM, 192, 256);
	check_objective(SMALL_PHOTO, VAE_LOSS_VISION, 64, 128);
	check_recolour();
	check_sensitivity();
	check_means();
	check_synthesis_alone();
	check_refused();
	check_save();
	return tap_done();
}
