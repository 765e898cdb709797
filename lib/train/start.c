#include "train/start.h"
#include "train/eigen.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PATCH        16
#define PATCH_FLOATS (PATCH * PATCH * 3)
#define PATCHES      15000

static float *param_of(const struct vae_nets *nets, float *value, const char *name)
{
	return value + vae_param_offset(&nets->params, name);
}

static bool ends(const char *name, const char *tail)
{
	size_t n = strlen(name), m = strlen(tail);
	return n >= m && !strcmp(name + n - m, tail);
}

/* Returns whether a parameter belongs to a context; each step of y after the first has one. */
static bool of_context(const char *name, const char *tail)
{
	return !strncmp(name, "prior.ctx", 9) && ends(name, tail);
}

/* Returns whether a parameter starts at 0: the last product of every residual branch, so that a
 * block starts as the identity. */
static bool starts_at_zero(const char *name)
{
	return ends(name, ".w2.weight") || ends(name, ".w4.weight") ||
	       !strcmp(name, "dec.steer.weight") || !strcmp(name, "dec.feature.weight") ||
	       of_context(name, ".head.weight") || !strcmp(name, "dec.content.weight") ||
	       !strcmp(name, "dec.out.weight") || !strcmp(name, "enc.patch.weight") ||
	       !strcmp(name, "enc.to_y.weight");
}

/* Draws weights uniformly in +-bound: 1/sqrt(inputs) under a leaky or no activation, as in
 * deep-learning libraries. */
static void random_weights(const struct vae_nets *nets, uint64_t seed, float *value)
{
	for (int i = 0; i < nets->params.count; i++) {
		const struct vae_param *p = &nets->params.list[i];
		if (!ends(p->name, ".weight") ||
		    (nets->arch.kind == VAE_ARCH_PHOTO && starts_at_zero(p->name)))
			continue;
		struct vae_random random;
		vae_random_init(&random, seed, VAE_STREAM_START, (uint64_t)i);
		float bound = sqrtf((nets->arch.kind == VAE_ARCH_MLP ? 3.0f : 1.0f) / (float)p->rows);
		if (!strcmp(p->name, "prior.hs.head.weight"))
			bound *= 0.1f;
		for (size_t k = 0; k < p->rows * p->columns; k++)
			value[p->offset + k] = bound * (2 * vae_random_uniform(&random) - 1);
	}
}

static void fill(float *table, int rows, int columns, float v)
{
	for (int i = 0; i < rows * columns; i++)
		table[i] = v;
}

/* Returns entry k of a table over quality whose logarithm runs evenly from low to high. */
static double between(double low, double high, int k, int knots)
{
	return low + (high - low) * k / (knots - 1);
}

/* Computes the second moments of random patches around mid-grey, and their eigenvectors. */
static int components(const struct vae_data *data, uint64_t seed, double *values, double *vectors,
                      struct vae_error *error)
{
	double *moment;
	if (vae_alloc(&moment, PATCH_FLOATS * PATCH_FLOATS, sizeof(double), error))
		return VAE_EMEM;
	float(*block)[PATCH_FLOATS], sum[PATCH_FLOATS];
	if (vae_alloc(&block, 64, sizeof *block, error)) {
		free(moment);
		return VAE_EMEM;
	}
	struct vae_random random;
	vae_random_init(&random, seed, VAE_STREAM_START, UINT64_MAX);
	for (int n = 0; n < PATCHES; n += 64) {
		for (int i = 0; i < 64; i++)
			vae_data_patch(data, &random, PATCH, 0.5f, block[i]);
		for (size_t a = 0; a < PATCH_FLOATS; a++) {
			memset(sum, 0, sizeof sum);
			for (int i = 0; i < 64; i++)
				for (size_t b = 0; b <= a; b++)
					sum[b] += block[i][a] * block[i][b];
			for (size_t b = 0; b <= a; b++)
				moment[a * PATCH_FLOATS + b] += (double)sum[b] / PATCHES;
		}
	}
	for (size_t a = 0; a < PATCH_FLOATS; a++)
		for (size_t b = 0; b < a; b++)
			moment[b * PATCH_FLOATS + a] = moment[a * PATCH_FLOATS + b];
	int rc = vae_eigen(moment, PATCH_FLOATS, values, vectors, error);
	free(block);
	free(moment);
	return rc;
}

/* Returns the quantisation step at the middle quality. Rate theory: 768 orthonormal coefficients
 * for 256 pixels have a distortion of step^2 / 12 each, so that bpp + lambda 255^2 MSE is smallest
 * at 255^2 step^2 / 12 = 768 / (2 ln 2 256 lambda). */
static double middle_step(const struct vae_arch *a)
{
	double lambda = sqrt(a->lambda_min * a->lambda_max);
	return sqrt(12 * 768 / (2 * log(2) * 256 * lambda)) / 255;
}

int vae_start_parts(const struct vae_nets *nets, int param)
{
	const char *name = nets->params.list[param].name;
	if (!strcmp(name, "dec.steer.weight"))
		return 3 * nets->arch.grid_layers;
	if (!strcmp(name, "dec.content.weight") || !strcmp(name, "dec.feature.weight"))
		return 16;
	if (!strcmp(name, "prior.hs.up0.weight") || !strcmp(name, "prior.hs.up1.weight"))
		return 4;
	bool pairs = !strcmp(name, "enc.posterior.weight") ||
	             (!strncmp(name, "prior.", 6) && ends(name, ".head.weight"));
	return pairs ? 2 : 1;
}

static void transform_start(const struct vae_nets *nets, const double *values,
                            const double *vectors, float *value)
{
	const struct vae_arch *a = &nets->arch;
	double step = middle_step(a),
		   spread = log(a->lambda_max / a->lambda_min) / 4; /* the gain follows sqrt(lambda) */
	float *patch = param_of(nets, value, "enc.patch.weight"),
		  *to_y = param_of(nets, value, "enc.to_y.weight");
	float *content = param_of(nets, value, "dec.content.weight"),
		  *out = param_of(nets, value, "dec.out.weight");
	float *guess = param_of(nets, value, "prior.hs.head.bias");
	int kept = a->enc < a->y ? a->enc : a->y;
	for (int i = 0; i < a->enc && i < PATCH_FLOATS; i++)
		for (int k = 0; k < PATCH_FLOATS; k++)
			patch[k * a->enc + i] = (float)vectors[(size_t)i * PATCH_FLOATS + (size_t)k];
	for (int i = 0; i < kept; i++) {
		to_y[i * a->y + i] = (float)(1 / step);
		guess[a->y + i] = (float)log(fmin(fmax(sqrt(values[i]) / step, 0.12), 400));
		for (int y = 0; y < PATCH;
		     y++) /* pixel (y, x) is at (y%4, x%4) in the 4x4 patch of grid cell (y/4, x/4) */
			for (int x = 0; x < PATCH; x++)
				for (int c = 0; c < 3; c++)
					content[(i * 16 + y / 4 * 4 + x / 4) * a->grid + (y % 4 * 4 + x % 4) * 3 + c] =
						(float)vectors[i * PATCH_FLOATS + (y * PATCH + x) * 3 + c];
	}
	for (int k = 0; k < 48; k++)
		out[k * 48 + k] = 1;
	for (int k = 0; k < a->knots; k++) { /* all other gains stay at 2^0 */
		double gain = between(-spread, spread, k, a->knots);
		fill(param_of(nets, value, "enc.gain_y") + k * a->y, 1, a->y, (float)(gain / log(2)));
		fill(param_of(nets, value, "dec.gain_y") + k * a->y, 1, a->y,
		     (float)(log2(step) - gain / log(2)));
		fill(param_of(nets, value, "prior.hs.shift") + k * 2 * a->y + a->y, 1, a->y,
		     (float)gain); /* deviations follow the gain */
	}
}

/* Returns the PSNR without the components for which the latents have no channel. values are
 * descending. */
static double kept_psnr(const struct vae_arch *a, const double *values)
{
	double lost = 0;
	for (int i = a->enc < a->y ? a->enc : a->y; i < PATCH_FLOATS; i++)
		lost += fmax(values[i], 0);
	return -10 * log10(lost / PATCH_FLOATS);
}

static int start_photo(const struct vae_nets *nets, const struct vae_data *data, uint64_t seed,
                       float *value, double *psnr, struct vae_error *error)
{
	double *values, *vectors = NULL;
	if (vae_alloc(&values, PATCH_FLOATS, sizeof(double), error))
		return VAE_EMEM;
	int rc = vae_alloc(&vectors, PATCH_FLOATS * PATCH_FLOATS, sizeof(double), error);
	if (!rc)
		rc = components(data, seed, values, vectors, error);
	if (!rc) {
		transform_start(nets, values, vectors, value);
		*psnr = kept_psnr(&nets->arch, values);
	}
	free(values);
	free(vectors);
	return rc;
}

/* Starts the steps from 1 down to 1/16 of the prior's deviation: from a few bits a number to finer
 * than its posterior. */
static void start_mlp(const struct vae_nets *nets, float *value)
{
	const struct vae_arch *a = &nets->arch;
	for (int k = 0; k < a->knots; k++) {
		double log_gain = between(0, log(16), k, a->knots);
		fill(param_of(nets, value, "prior.gain") + k * a->y, 1, a->y, (float)exp(log_gain));
		fill(param_of(nets, value, "prior.log_scale") + k * a->y, 1, a->y, (float)log_gain);
	}
}

int vae_start(const struct vae_nets *nets, const struct vae_data *data, uint64_t seed, float *value,
              double *psnr, struct vae_error *error)
{
	*psnr = NAN;
	random_weights(nets, seed, value);
	if (nets->arch.kind == VAE_ARCH_PHOTO)
		return start_photo(nets, data, seed, value, psnr, error);
	start_mlp(nets, value);
	return 0;
}
