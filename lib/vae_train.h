/* vae_train.h - the trainer of libvae: from pictures to a model. vae.h has everything else. */
#ifndef VAE_TRAIN_H
#define VAE_TRAIN_H

#include "vae.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- training -------------------------------------------------------------------------------- */

/* Processes that train one model together, each on its share of every step's samples; the caller
 * implements their communication, for example by MPI. All are given the same options and the same
 * pictures in the same order, and call the same functions below. Only rank 0 reads and writes the
 * checkpoint and the log, and its clock counts. The three functions are collective: every rank
 * calls the same one with the same count, from one thread, and has its result on return. They
 * return 0, or VAE_EIO with *error filled. A rank on which a function below fails must end the
 * others, which may be waiting for it. */
struct vae_cluster {
	int rank, size; /* 0 <= rank < size */
	void *context;  /* passed to the functions */
	int (*sum_floats)(void *context, float *array, size_t count,
	                  struct vae_error *error); /* in place; to the same bits on each rank */
	int (*sum_doubles)(void *context, double *array, size_t count,
	                   struct vae_error *error); /* the same */
	int (*share)(void *context, void *data, size_t size_bytes,
	             struct vae_error *error); /* what rank 0 has in data goes to all */
};

/* Options of a training run: start with vae_train_defaults. Strings must outlive the trainer.
 * vae_trainer_new returns VAE_EARG for values out of range. */
struct vae_train_options {
	/* Architecture string, vae-model(5); default "photo", the network of the newest photo model.
	 * Ignored if init or resume gives one. */
	const char *arch;
	const char *init; /* model file to start from, or NULL for a fresh start */
	/* Keys of arch, KEY=N ..., with more blocks and layers than init has: the new ones start as the
	 * identity. NULL: init's network. Ignored if resume finds a checkpoint. */
	const char *grow;
	/* Round the products of init's decoder to integers, arith=int16 of vae-model(5), scaled by the
	 * training pictures. Needs init in float32, and steps 0. */
	bool int16;
	/* File written every checkpoint_minutes, at a stop and at the end; NULL: none. */
	const char *checkpoint;
	bool resume; /* start from the checkpoint if that file exists */
	/* Between checkpoints, and between validations, 0 or more; default 10. */
	double checkpoint_minutes;
	const char *log; /* TSV file, appended to on resume; NULL: none */
	/* The model's metadata "licence": UTF-8, at most 16384 bytes; NULL: empty, or the initial
	 * model's if no step is taken. */
	const char *licence;
	/* The model's metadata "training": a sentence on the data, which follows steps and figures;
	 * bounds as for licence. */
	const char *summary;
	/* Last step, counted from the first run; 0: minutes is the only limit; without it, init is only
	 * measured. */
	uint64_t steps;
	double minutes; /* of this run; 0 or less: steps is the only limit */
	/* Count minutes, and those of checkpoints, in processor time for each thread instead of wall
	 * clock time. */
	bool cpu_clock;
	int batch; /* samples a step; 0: 8 for photo, 128 for mlp */
	int patch; /* pixels a side, a multiple of 64, 64 to 4096, default 256; photo only */
	/* Bounds of the factor by which a patch is reduced, 1/16 to 1, default 1; photo only; see enum
	 * vae_train_use. */
	double reduce_min, reduce_max;
	int optimiser; /* VAE_OPTIMISER_*; VAE_EARG if the checkpoint has another */
	/* Above 0, below 1, default 1e-3. Adam's rate after the warm-up; Muon's steps are scaled to the
	 * size of Adam's, and tolerate twice the rate or more. */
	double lr;
	uint64_t warmup; /* steps in which the rate rises linearly, default 200 */
	/* 0 to 1, default 0.2: the last fraction of steps or minutes, in which the rate falls linearly
	 * to 1 %. */
	double decay;
	double clip; /* limit of the gradient's norm; 0: none; negative: 1 for photo, none for mlp */
	double ema;  /* decay of the averaged weights for each step, 0 up to but not 1, default 0.999 */
	/* Of a fresh photo model, at qualities 0 and 100; default 0 and 0: as in arch. On mean squared
	 * error in 255^2 units, whatever the loss. */
	double lambda_min, lambda_max;
	/* VAE_LOSS_*; default: the loss of init or the checkpoint, else mse for photo, bce for mlp. */
	int loss;
	/* Share of ms-ssim or vision in the distortion, above 0 to 1; the rest is squared error.
	 * Negative (default): the share of init or the checkpoint with the same loss, else 1 of
	 * ms-ssim, VAE_VISION_SHARE of vision. */
	double share;
	/* Share of the training patches that get random colours, 0 to 1, default 0; photo only. */
	double recolour;
	/* The synthesis learns alone, from latents rounded as vae-quant rounds them; needs init, of a
	 * photo model, also to resume. */
	bool synthesis;
	int precision; /* VAE_PRECISION_* */
	uint64_t seed; /* of all random sequences, default 1; a resumed run keeps its own */
	const struct vae_cluster *cluster; /* not owned; NULL: this process trains alone */
};
/* bce: mlp only. ms-ssim: photo only, with patches of 192 pixels or more; its weight, 4000
 * lambda^1.06, gives about the bits that lambda gives on mean squared error. vision: photo only;
 * the weighted sum of SSIMULACRA 2, whose weight is 6.4 lambda^1.033. */
enum { VAE_LOSS_DEFAULT, VAE_LOSS_MSE, VAE_LOSS_BCE, VAE_LOSS_MS_SSIM, VAE_LOSS_VISION };
#define VAE_VISION_SHARE 0.8 /* models/README.md, trials */
/* Muon: the nearest orthogonal matrix to the momentum, for the matrices of 1x1 convolutions and
 * dense layers; Adam for all other parameters. */
enum { VAE_OPTIMISER_ADAM, VAE_OPTIMISER_MUON };
/* Precision of training's matrix products. bf16: operands rounded to 8 bits of mantissa; sums,
 * weights, moments and activations stay float32. It needs a CPU with AVX512-BF16 (else VAE_EARG),
 * and is fastest with AMX; auto is bf16 on such a CPU and float32 elsewhere. Validation is always
 * float32. To use AMX the library asks Linux for its registers, which the process then keeps
 * (vae_refine_rows does so, too): each signal's frame takes 8 KB more. */
enum { VAE_PRECISION_AUTO, VAE_PRECISION_FLOAT32, VAE_PRECISION_BF16 };

/* Passed to the caller about once a second and at the end. Means since the last report, with equal
 * weight for each sample; NaN if all steps were skipped. */
struct vae_train_progress {
	uint64_t step, steps; /* done, and the last; steps: 0 if unlimited */
	/* The training loss. photo: each sample's loss divided by the typical one at its lambda; mlp:
	 * nats a picture. */
	double loss;
	double bpp, z_bpp; /* photo: bits a pixel of everything, and of the hyper-latent */
	double psnr;       /* photo: dB, of the mean squared error over all samples; mlp: NaN */
	double ms_ssim;    /* -10 log10(1 - MS-SSIM) if that is the loss, else NaN */
	/* The score of the mean of the patches' weighted sums, if vision is the loss, else NaN. */
	double ssimulacra2;
	/* mlp: negative ELBO and its KL part, nats a picture; with mse without the Gaussian's constant,
	 * log(2 pi) / 2 a pixel. */
	double elbo, kl;
	double images_per_second; /* samples (patches) trained on; 0 if valid */
	/* To the end of the run, by the limit that comes first; infinity if unknown. */
	double seconds_left;
	double lr, gradient_norm; /* of the last step, the norm before clipping; 0 if valid */
	uint64_t skipped;         /* steps with NaN or infinity so far */
	bool valid; /* bpp and psnr (elbo, kl) are those of the validation set, with rounded latents */
};
/* Returns false to stop after this step. In a cluster every rank is called, after the same steps
 * with the same figures, and all must return the same. */
typedef bool vae_train_report(void *context, const struct vae_train_progress *progress);

struct vae_trainer; /* weights, moments and pictures; opaque; used by one thread at a time */
void vae_train_defaults(struct vae_train_options *options);
/* Makes a trainer. Copies options, but not their strings. Loads init, or the checkpoint if resume
 * finds one (VAE_EDATA: damaged), and opens the log. If a log or checkpoint cannot be written, this
 * function fails, or vae_trainer_run where the disk is full later. */
int vae_trainer_new(struct vae_trainer **trainer, const struct vae_train_options *options,
                    struct vae_error *error);
/* Uses of a picture. Random reduction removes what lossy compression left in it, and shows its
 * contents in more sizes. */
enum vae_train_use {
	VAE_TRAIN_LOSSY,     /* training, reduced by reduce_min to reduce_max */
	VAE_TRAIN_LOSSLESS,  /* training, reduced by reduce_min to 1 */
	VAE_TRAIN_FULL,      /* training, unreduced: text and pixel art, which reduction would blur */
	VAE_TRAIN_VALIDATION /* validation, unreduced */
};
/* Adds a picture (copied, in 8 bits a sample; alpha is dropped, and grey becomes RGB or RGB grey,
 * as the network needs). VAE_EARG: smaller than a patch, or for mlp not of its size. A run needs at
 * least one training picture. */
int vae_trainer_add(struct vae_trainer *trainer, const struct vae_image *image,
                    enum vae_train_use use, struct vae_error *error);
/* Runs to the last step, the time limit, or the report's stop (VAE_ESTOP after writing the
 * checkpoint). report (may be NULL) is called on the caller's thread. VAE_ESTOP also if training
 * diverged; the checkpoint is then the last good one. */
int vae_trainer_run(struct vae_trainer *trainer, vae_train_report *report, void *context,
                    struct vae_error *error);
/* Returns the PSNR in dB that a fresh photo network starts from without quantisation: that of the
 * first principal components of the training patches, as many as y has channels. Training does not
 * lift quality 100 far above it. Known to rank 0 from the first report on; NAN for mlp, and for a
 * run that continues from a model or a checkpoint. */
double vae_trainer_start_psnr(const struct vae_trainer *trainer);
/* Writes the model of the averaged weights (vae-model(5)), at any time between two runs. Not
 * collective: any rank can do it, and one is enough. VAE_EARG before the first run, unless init or
 * a checkpoint brought weights. */
int vae_trainer_save(struct vae_trainer *trainer, FILE *file, struct vae_error *error);
void vae_trainer_free(struct vae_trainer *trainer);

#ifdef __cplusplus
}
#endif
#endif
