/* vae_train.h - the trainer of libvae: pictures in, a model out. vae.h has all else. */
#ifndef VAE_TRAIN_H
#define VAE_TRAIN_H

#include "vae.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- training -------------------------------------------------------------------------------- */

/* Processes that train one model together, each on its share of every step's samples: the caller's
 * way to reach the others, MPI for one. All of them are given the same options and the same
 * pictures in the same order, and call the same functions below. Rank 0 alone reads and writes the
 * checkpoint and the log, and its clock counts. The three functions are collective: every rank
 * calls the same one with the same count, from one thread, and has its result on return. They
 * return 0, or VAE_EIO with *error filled. A rank that a function below failed on must end the
 * others, which may be waiting for it. */
struct vae_cluster {
	int rank, size; /* 0 <= rank < size */
	void *context;  /* handed to the functions */
	int (*sum_floats)(void *context, float *array, size_t count,
	                  struct vae_error *error); /* in place; to the same bits on each rank */
	int (*sum_doubles)(void *context, double *array, size_t count,
	                   struct vae_error *error); /* the same */
	int (*share)(void *context, void *data, size_t size_bytes,
	             struct vae_error *error); /* what rank 0 has in data goes to all */
};

/* What a training run is told; vae_train_defaults, then changes. Strings must outlive the trainer.
 * What is out of range is VAE_EARG from vae_trainer_new. */
struct vae_train_options {
	const char *arch; /* architecture string, vae-model(5), default "photo", which is the network of
	                     the newest photo model; ignored where init or resume gives one */
	const char *init; /* model file to start from, or NULL for a fresh start */
	const char *grow; /* keys of arch, KEY=N ..., for numbers of blocks and layers above init's:
	                   * what is added starts as the identity; NULL: the network is init's; ignored
	                   * where resume finds a checkpoint */
	const char *checkpoint; /* file written every checkpoint_minutes, at a stop and at the end; NULL
	                           for none */
	bool resume;            /* start from the checkpoint if that file exists */
	double checkpoint_minutes; /* between checkpoints, and validations, 0 or more; default 10 */
	const char *log;           /* TSV file, appended on resume; NULL for none */
	const char *licence; /* metadata "licence" of the model, UTF-8, 16384 bytes at most; NULL: empty
	                      */
	const char *summary; /* metadata "training": a sentence on the data, which follows steps and
	                        figures; bounds as for licence */
	uint64_t steps;      /* last step, counted from the first run on; 0: no limit but minutes, and
	                        without either init is only measured */
	double minutes;      /* of this run; 0 or less: no limit but steps */
	bool cpu_clock; /* minutes, and those of checkpoints, are processor time for each thread, not
	                   what a clock on the wall shows */
	int batch;      /* samples a step; 0: 8 for photo, 128 for mlp */
	int patch;      /* pixels a side, a multiple of 64, 64 to 4096, default 256; photo only */
	double reduce_min, reduce_max; /* bounds of the factor that a patch is reduced by, 1/16 to 1,
	                                  default 1; photo only; see enum vae_train_use */
	int optimiser;                 /* VAE_OPTIMISER_*; VAE_EARG where a checkpoint is of another */
	double lr; /* above 0, below 1, default 1e-3. Adam's rate after the warm-up; Muon's steps are
	            * scaled to the size of Adam's, and bear twice the rate or more */
	uint64_t warmup; /* steps in which the rate rises linearly, default 200 */
	double decay;    /* 0 to 1, default 0.2: the last fraction of steps or minutes in which the rate
	                    falls linearly to 1 % */
	double clip; /* bound on the gradient's norm; 0: none; negative: 1 for photo, none for mlp */
	double ema;  /* decay of the averaged weights for each step, 0 up to but not 1, default 0.999 */
	double lambda_min, lambda_max; /* of the fresh photo model, at qualities 0 and 100, instead of
	                                * what arch says; default 0 and 0: as arch says; on mean squared
	                                * error in 255^2 units, whatever the loss */
	int loss;     /* VAE_LOSS_*; default: what init or the checkpoint was learned by, else mse for
	                 photo, bce for mlp */
	double share; /* of ms-ssim or vision in the distortion, above 0 to 1, the rest is squared
	               * error; negative (default): what init or the checkpoint was learned by with the
	               * same loss, else 1 of ms-ssim, VAE_VISION_SHARE of vision */
	double recolour; /* share of the training patches that get random colours, 0 to 1, default 0;
	                    photo only */
	bool synthesis;  /* the synthesis learns alone, from latents rounded as vae-quant rounds them;
	                    needs init, of a photo model, and cannot be resumed */
	int precision;   /* VAE_PRECISION_* */
	uint64_t seed;   /* of all that is random, default 1; a checkpoint is resumed with its own */
	const struct vae_cluster *cluster; /* not owned; NULL: this process trains alone */
};
/* bce: mlp alone. ms-ssim: photo alone, and patches of 192 pixels or more; its weight, 4000
 * lambda^1.06, gives about the bits that lambda gives on mean squared error. vision: photo alone;
 * the weighted sum of SSIMULACRA 2, whose weight is 6.4 lambda^1.033. */
enum { VAE_LOSS_DEFAULT, VAE_LOSS_MSE, VAE_LOSS_BCE, VAE_LOSS_MS_SSIM, VAE_LOSS_VISION };
#define VAE_VISION_SHARE 0.8 /* models/README.md, trials */
/* Muon: for the matrices of 1x1 convolutions and dense layers, the momentum's nearest orthogonal
 * matrix; Adam for all else. */
enum { VAE_OPTIMISER_ADAM, VAE_OPTIMISER_MUON };
/* Of the matrix products of training. bf16: operands rounded to 8 bits of mantissa; sums, weights,
 * moments and activations stay float32. It needs a CPU with AVX512-BF16 (VAE_EARG where there is
 * none), and is fastest on one with AMX; auto is bf16 there and float32 elsewhere. Validation is
 * float32 always. To use AMX the library asks Linux for its registers, which the process then keeps
 * (so does vae_refine_rows): each signal's frame takes 8 KB more. */
enum { VAE_PRECISION_AUTO, VAE_PRECISION_FLOAT32, VAE_PRECISION_BF16 };

/* Handed to the caller about once a second and at the end. Means since the last report, each sample
 * counting the same; NaN where all steps were skipped. */
struct vae_train_progress {
	uint64_t step, steps; /* done, and the last; steps: 0 if unlimited */
	double loss; /* what is descended: photo, each sample's loss over what is typical of its lambda;
	                mlp, nats a picture */
	double bpp, z_bpp;  /* photo: bits a pixel in all, and of the hyper-latent */
	double psnr;        /* photo: dB, of the mean squared error over all samples; mlp: NaN */
	double ms_ssim;     /* -10 log10(1 - MS-SSIM) where that is the loss, else NaN */
	double ssimulacra2; /* the score of the mean of patches' weighted sums, where vision is the
	                       loss, else NaN */
	double elbo, kl;    /* mlp: negative ELBO and its KL part, nats a picture */
	double images_per_second; /* samples (patches) trained on; 0 where valid */
	double seconds_left; /* to the end of the run, by the limit that comes first; infinity where
	                        that is not known */
	double lr, gradient_norm; /* of the last step, the norm before clipping; 0 where valid */
	uint64_t skipped;         /* steps with NaN or infinity so far */
	bool valid; /* true: bpp and psnr (elbo, kl) are of the validation set, rounded latents */
};
/* false stops after this step. Of a cluster every rank is called, after the same steps with the
 * same figures, and all must return the same. */
typedef bool vae_train_report(void *context, const struct vae_train_progress *progress);

struct vae_trainer; /* weights, moments and pictures; opaque; used by one thread at a time */
void vae_train_defaults(struct vae_train_options *options);
/* Options are copied, their strings are not. Loads init, or the checkpoint where resume finds one
 * (VAE_EDATA: damaged), and opens the log. A log, or a checkpoint, that cannot be written is a
 * failure here or in vae_trainer_run. */
int vae_trainer_new(struct vae_trainer **trainer, const struct vae_train_options *options,
                    struct vae_error *error);
/* What a picture is for. Random reduction takes away what lossy compression left in it, and makes
 * more sizes of what it shows. */
enum vae_train_use {
	VAE_TRAIN_LOSSY,    /* to train on, reduced by reduce_min to reduce_max */
	VAE_TRAIN_LOSSLESS, /* to train on, reduced by reduce_min to 1 */
	VAE_TRAIN_FULL, /* to train on, as it stands: what reduction would blur, text and pixel art */
	VAE_TRAIN_VALIDATION /* to validate with, as it stands */
};
/* Adds a picture (copied, in 8 bits a sample; alpha is dropped, grey becomes RGB or RGB grey, as
 * the network needs). VAE_EARG: smaller than a patch, or for mlp not of its size. At least one
 * training picture must be there to run. */
int vae_trainer_add(struct vae_trainer *trainer, const struct vae_image *image,
                    enum vae_train_use use, struct vae_error *error);
/* Runs to the last step, the time limit, or the report's stop (VAE_ESTOP after writing the
 * checkpoint). report (may be NULL) is called in the caller's thread. VAE_ESTOP also where training
 * diverged, and the checkpoint is then the last good one. */
int vae_trainer_run(struct vae_trainer *trainer, vae_train_report *report, void *context,
                    struct vae_error *error);
/* Returns the PSNR, in dB, that a fresh photo network starts from where nothing is quantised: that
 * of the training patches' first principal components, as many as there are channels of y. No
 * training lifts quality 100 far above it. Known from the first report on, to rank 0; NAN for mlp,
 * and for a run that goes on from a model or a checkpoint. */
double vae_trainer_start_psnr(const struct vae_trainer *trainer);
/* Writes the model of the averaged weights (vae-model(5)), at any time between two runs. Not
 * collective: any rank can, and one is enough. VAE_EARG before the first run, unless init or a
 * checkpoint brought weights. */
int vae_trainer_save(struct vae_trainer *trainer, FILE *file, struct vae_error *error);
void vae_trainer_free(struct vae_trainer *trainer);

#ifdef __cplusplus
}
#endif
#endif
