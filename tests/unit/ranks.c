/* ranks.c - ranks of a cluster, here threads of this process: they stay bit-equal, learn what one
 * process learns, and write once. */
#include "vae_train.h"
#include "base/memory.h"
#include "base/random.h"
#include "tap.h"
#include "train/ranks.h"

#include <math.h>
#include <omp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RANKS    3
#define PICTURES 4
#define DIGITS   "mlp width=8 height=8 hidden1=12 hidden2=9 z=4"

/* ---- a cluster of threads -------------------------------------------------------------------- */

/* State shared by the threads: between barriers each sees the others' data. */
static struct {
	pthread_barrier_t barrier;
	void *data[RANKS];
} hall;

static void *meet(const struct vae_cluster *c, void *data)
{
	hall.data[c->rank] = data;
	pthread_barrier_wait(&hall.barrier);
	return hall.data[0];
}

static int sum_floats(void *context, float *array, size_t count, struct vae_error *error)
{
	const struct vae_cluster *c = context;
	float *sum = NULL;
	if (vae_alloc(&sum, count, sizeof *sum, error))
		return VAE_EIO;
	meet(c, array);
	for (int r = 0; r < c->size; r++)
		for (size_t i = 0; i < count; i++)
			sum[i] += ((const float *)hall.data[r])[i];
	pthread_barrier_wait(&hall.barrier);
	memcpy(array, sum, count * sizeof *sum);
	free(sum);
	return 0;
}

static int sum_doubles(void *context, double *array, size_t count, struct vae_error *error)
{
	const struct vae_cluster *c = context;
	double sum[16] = {0};
	(void)error;
	meet(c, array);
	for (int r = 0; r < c->size; r++)
		for (size_t i = 0; i < count; i++)
			sum[i] += ((const double *)hall.data[r])[i];
	pthread_barrier_wait(&hall.barrier);
	memcpy(array, sum, count * sizeof *sum);
	return 0;
}

static int share(void *context, void *data, size_t size_bytes, struct vae_error *error)
{
	const void *first = meet(context, data);
	(void)error;
	if (first != data)
		memcpy(data, first, size_bytes);
	pthread_barrier_wait(&hall.barrier);
	return 0;
}

/* ---- a training on it ------------------------------------------------------------------------ */

struct rank {
	struct vae_cluster cluster;
	struct vae_train_options options;
	struct vae_image *const *image; /* [PICTURES] */
	int result;
	struct vae_error error;
	char *model; /* written by vae_trainer_save; owned */
	size_t model_bytes;
	double loss; /* of the last validation */
	int reports;
};

static bool report(void *context, const struct vae_train_progress *p)
{
	struct rank *r = context;
	if (p->valid)
		r->loss = p->loss;
	r->reports++;
	return true;
}

static void *train(void *context)
{
	struct rank *r = context;
	struct vae_trainer *trainer = NULL;
	omp_set_num_threads(1);
	r->result = vae_trainer_new(&trainer, &r->options, &r->error);
	for (int i = 0; i < PICTURES && !r->result; i++)
		r->result = vae_trainer_add(trainer, r->image[i],
		                            i % 2 ? VAE_TRAIN_VALIDATION : VAE_TRAIN_LOSSLESS, &r->error);
	if (!r->result)
		r->result = vae_trainer_run(trainer, report, r, &r->error);
	FILE *file = open_memstream(&r->model, &r->model_bytes);
	if (!r->result && file)
		r->result = vae_trainer_save(trainer, file, &r->error);
	if (file)
		fclose(file);
	vae_trainer_free(trainer);
	return NULL;
}

/* other: the pictures of the last rank. */
static void run_on(struct rank *ranks, int count, const struct vae_train_options *options,
                   struct vae_image *const *image, struct vae_image *const *other)
{
	pthread_t thread[RANKS];
	pthread_barrier_init(&hall.barrier, NULL, (unsigned)count);
	for (int r = 0; r < count; r++) {
		ranks[r] = (struct rank){.cluster = {.rank = r,
		                                     .size = count,
		                                     .context = &ranks[r].cluster,
		                                     .sum_floats = sum_floats,
		                                     .sum_doubles = sum_doubles,
		                                     .share = share},
		                         .options = *options,
		                         .image = r < count - 1 ? image : other};
		ranks[r].options.cluster = count > 1 ? &ranks[r].cluster : NULL;
	}
	for (int r = 0; r < count; r++)
		pthread_create(&thread[r], NULL, train, &ranks[r]);
	for (int r = 0; r < count; r++)
		pthread_join(thread[r], NULL);
	pthread_barrier_destroy(&hall.barrier);
}

static void run(struct rank *ranks, int count, const struct vae_train_options *options,
                struct vae_image *const *image)
{
	run_on(ranks, count, options, image, image);
}

static void clear(struct rank *ranks, int count)
{
	for (int r = 0; r < count; r++)
		free(ranks[r].model);
}

static bool same_model(const struct rank *a, const struct rank *b)
{
	return !a->result && !b->result && a->model_bytes == b->model_bytes &&
	       !memcmp(a->model, b->model, a->model_bytes);
}

static struct vae_train_options options_of(int optimiser)
{
	struct vae_train_options o;
	vae_train_defaults(&o);
	o.arch = DIGITS;
	o.optimiser = optimiser;
	o.batch = 7;
	o.patch = 64;
	o.warmup = 2;
	o.decay = 0;
	o.steps = 6;
	o.precision = VAE_PRECISION_FLOAT32;
	return o;
}

/* Trains with a batch that does not divide evenly, on one rank and on three. init: a model to start
 * from, or NULL. */
static void check_equal(const char *init, int optimiser, struct vae_image *const *image)
{
	struct rank one[1], many[RANKS];
	struct vae_train_options o = options_of(optimiser);
	o.init = init;
	run(one, 1, &o, image);
	run(many, RANKS, &o, image);
	ok(same_model(&many[0], &many[1]) && same_model(&many[0], &many[2]),
	   "the ranks' models are equal");
	ok(fabs(many[0].loss - one->loss) < 1e-4 && one->loss > 0 && many[0].loss == many[2].loss,
	   "%d ranks come to a loss of %.6f, one to %.6f", RANKS, many[0].loss, one->loss);
	ok(many[0].reports == many[1].reports && many[0].reports == many[2].reports &&
	       many[0].reports > 0,
	   "they report alike");
	clear(one, 1);
	clear(many, RANKS);
}

static void check_resume(struct vae_image *const *image)
{
	struct rank whole[RANKS], part[RANKS];
	struct vae_train_options o = options_of(VAE_OPTIMISER_MUON);
	char path[] = "/tmp/vae-ranks-test-XXXXXX";
	int file = mkstemp(path);
	if (!ok(file >= 0, "a temporary file"))
		return;
	close(file);
	unlink(path);
	run(whole, RANKS, &o, image);
	o.checkpoint = path;
	o.resume = true;
	o.steps = 3;
	run(part, RANKS, &o, image);
	ok(!part[0].result && !access(path, R_OK), "a checkpoint after step 3");
	clear(part, RANKS);
	o.steps = 6;
	run(part, RANKS, &o, image);
	ok(same_model(&part[0], &whole[0]) && same_model(&part[2], &whole[0]),
	   "going on from it leads to the same");
	clear(part, RANKS);
	o.loss = VAE_LOSS_MSE;
	run(part, 1, &o, image);
	ok(part[0].result == VAE_EARG && strstr(part[0].error.text, "of loss bce, not mse"),
	   "not with another loss: %s", part[0].error.text);
	unlink(path);
	clear(part, 1);
	clear(whole, RANKS);
}

/* All ranks detect a difference in one. */
static void check_difference(struct vae_image *const *image)
{
	struct rank ranks[RANKS];
	struct vae_train_options o = options_of(VAE_OPTIMISER_ADAM);
	struct vae_image *other[PICTURES] = {image[0], image[1], image[1], image[3]};
	run_on(ranks, RANKS, &o, image, other);
	bool all = true;
	for (int r = 0; r < RANKS; r++)
		all = all && ranks[r].result == VAE_EDATA;
	ok(all, "every rank refuses: %s", ranks[0].error.text);
	clear(ranks, RANKS);
}

int main(void)
{
	struct vae_error e;
	struct vae_random rnd;
	struct vae_image *digit[PICTURES] = {0}, *photo[PICTURES] = {0};
	vae_random_init(&rnd, 2, 0, 0);
	for (int i = 0; i < PICTURES; i++) {
		struct vae_geometry small = {
			.width = 8, .height = 8, .maxval = 255, .format = VAE_PGM, .tuple = VAE_GRAYSCALE};
		struct vae_geometry large = {
			.width = 96, .height = 80, .maxval = 255, .format = VAE_PPM, .tuple = VAE_RGB};
		if (vae_image_new(&digit[i], &small, 0, &e) || vae_image_new(&photo[i], &large, 0, &e))
			return 1;
		for (size_t k = 0; k < 64; k++)
			digit[i]->colour[k] = (uint16_t)vae_random_below(&rnd, 256);
		for (size_t k = 0; k < 96 * 80 * 3; k++)
			photo[i]->colour[k] = (uint16_t)(128 + 100 * sin((double)(k % 600) / (20 + 9 * i)) +
			                                 vae_random_below(&rnd, 28));
	}
	check_equal(NULL, VAE_OPTIMISER_ADAM, digit);
	check_equal("tests/data/tiny.safetensors", VAE_OPTIMISER_MUON, photo);
	check_resume(digit);
	check_difference(digit);
	for (int i = 0; i < PICTURES; i++) {
		vae_image_free(digit[i]);
		vae_image_free(photo[i]);
	}
	return tap_done();
}
