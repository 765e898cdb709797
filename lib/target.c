/* target.c - the quality at which a picture's file has a given size, or the picture a given PSNR: whole trials in memory. */
#include <math.h>
#include <stdlib.h>

#include "base/error.h"
#include "vae.h"

#define CLOSE 0.005     /* of the logarithm of the size: a quarter of what is promised */
#define CLOSE_DB 0.03
#define BOUND 0.02      /* what is promised */
#define BOUND_DB 0.1

struct search {
	const struct vae_model *model;
	const struct vae_image *image;
	const struct vae_target *target;
	double pixels;
};

static int size_of(double *bytes, const struct vae_codes *codes, struct vae_error *error)
{
	char *packed;
	size_t count;
	int rc = vae_codes_pack(&packed, &count, codes, VAE_LEVEL_DEFAULT, error);
	if (rc)
		return rc;
	free(packed);
	*bytes = (double)count;
	return 0;
}

static int psnr_of(double *db, const struct search *s, const struct vae_codes *codes, struct vae_error *error)
{
	struct vae_latents *latents;
	struct vae_image *image = NULL;
	struct vae_distortion distortion;
	int rc = vae_dequantise(&latents, s->model, codes, error);
	if (rc)
		return rc;
	if (!(rc = vae_decode(&image, s->model, latents, error)) && !(rc = vae_compare(&distortion, image, s->image, error)))
		*db = distortion.psnr < 200 ? distortion.psnr : 200; /* equal pictures: a search needs a number */
	vae_latents_free(latents);
	vae_image_free(image);
	return rc;
}

/* What a quality (0 to VAE_QUALITY_ONE) gives: ln bytes, or dB. */
static int try_quality(double *value, const struct search *s, long quality, struct vae_error *error)
{
	struct vae_latents *latents;
	struct vae_codes *codes = NULL;
	int rc = vae_encode(&latents, s->model, s->image, (double)quality * 100 / VAE_QUALITY_ONE, error);
	if (rc)
		return rc;
	rc = vae_quantise(&codes, s->model, latents, VAE_METHOD_RANGE, VAE_EFFORT_DEFAULT, error);
	vae_latents_free(latents);
	if (!rc)
		rc = s->target->kind == VAE_TARGET_PSNR ? psnr_of(value, s, codes, error) : size_of(value, codes, error);
	vae_codes_free(codes);
	if (!rc && s->target->kind != VAE_TARGET_PSNR)
		*value = log(*value);
	return rc;
}

static const char *unit_of(const struct search *s)
{
	static const char *const units[] = {[VAE_TARGET_BPP] = "bpp", [VAE_TARGET_BYTES] = "bytes", [VAE_TARGET_PSNR] = "dB"};
	return units[s->target->kind];
}

static double shown(const struct search *s, double value)
{
	return s->target->kind == VAE_TARGET_PSNR ? value : s->target->kind == VAE_TARGET_BPP ? exp(value) * 8 / s->pixels : exp(value);
}

static int out_of_reach(const struct search *s, double low, double high, struct vae_error *error)
{
	return vae_fail(error, VAE_EARG, "the model cannot reach %g %s with this picture: it comes from %.5g to %.5g", s->target->value, unit_of(s),
	                shown(s, low), shown(s, high));
}

/* Between low, which gives less, and high, which gives more: regula falsi, both nearly straight lines over quality; an end that stays twice counts for
 * less (the Illinois rule), and the step is never under a hundredth of the way from an end. */
static int narrow(long *quality, const struct search *s, double goal, double low_value, double high_value, double close, double bound,
                  struct vae_error *error)
{
	long low = 0, high = VAE_QUALITY_ONE;
	double below = low_value - goal, above = high_value - goal, value;
	for (int last = 0; high - low > 1;) {
		double part = below / (below - above);
		part = part > 0.01 ? part : 0.01;
		part = part < 0.99 ? part : 0.99;
		long middle = low + lround(part * (double)(high - low));
		middle = middle > low ? middle : low + 1;
		middle = middle < high ? middle : high - 1;
		int rc = try_quality(&value, s, middle, error);
		if (rc)
			return rc;
		if (fabs(value - goal) <= (high - low < 64 ? bound : close)) { /* no finer than the picture's own steps */
			*quality = middle;
			return 0;
		}
		int side = value < goal ? -1 : 1;
		if (side < 0) {
			low = middle;
			low_value = value;
			below = value - goal;
			above = last == side ? above / 2 : high_value - goal;
		} else {
			high = middle;
			high_value = value;
			above = value - goal;
			below = last == side ? below / 2 : low_value - goal;
		}
		last = side;
	}
	return vae_fail(error, VAE_EARG, "no quality comes near %g %s with this picture: neighbours give %.5g and %.5g", s->target->value, unit_of(s),
	                shown(s, low_value), shown(s, high_value));
}

int vae_target_quality(double *quality, const struct vae_model *model, const struct vae_image *image, const struct vae_target *target,
                       struct vae_error *error)
{
	struct search s = {model, image, target, (double)image->geometry.width * image->geometry.height};
	bool psnr = target->kind == VAE_TARGET_PSNR;
	double low, high, close = psnr ? CLOSE_DB : CLOSE, bound = psnr ? BOUND_DB : BOUND;
	long found = 0;
	if (!(target->value > 0 && target->value < 1e15))
		return vae_fail(error, VAE_EARG, "a target of %g", target->value);
	double goal = psnr ? target->value : log(target->kind == VAE_TARGET_BPP ? target->value * s.pixels / 8 : target->value);
	int rc = try_quality(&low, &s, 0, error);
	if (rc || (rc = try_quality(&high, &s, VAE_QUALITY_ONE, error)))
		return rc;
	if (goal < low - bound || goal > high + bound)
		return out_of_reach(&s, low, high, error);
	if (goal >= high)
		found = VAE_QUALITY_ONE;
	else if (goal > low && (rc = narrow(&found, &s, goal, low, high, close, bound, error)))
		return rc;
	*quality = (double)found * 100 / VAE_QUALITY_ONE;
	return 0;
}
