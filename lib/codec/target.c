/* target.c - finds the quality at which a picture's file is as large as allowed, or the picture as
 * good as requested, by whole trials in memory.
 *
 * The size of a file rises with quality, except for steps of a few bytes. PSNR and the score of
 * SSIMULACRA 2 do so for photographs; text and drawings may be best in the middle of the scale. */
#include <math.h>
#include <stdlib.h>

#include "base/error.h"
#include "measure/ssimulacra2.h"
#include "vae.h"

#define STEP   16 /* of VAE_QUALITY_ONE: qualities this near are treated as equal */
#define COARSE 4  /* qualities between 0 and 100 tried first if a measure may not rise */
#define FINEST (VAE_QUALITY_ONE / 40)

/* For each kind of target: how near to the goal the search ends, and the promised distance of a
 * measure of the decoded picture. Sizes: of the logarithm, below the limit. */
static const struct {
	double close, bound;
} near[] = {
	[VAE_TARGET_BPP] = {0.0025, 0},
	[VAE_TARGET_BYTES] = {0.0025, 0},
	[VAE_TARGET_PSNR] = {0.03, 0.1},
	[VAE_TARGET_SCORE] = {0.1, 0.3},
};

struct search {
	const struct vae_model *model;
	const struct vae_image *image;
	enum vae_target_kind kind;
	bool mixed;
	double close, bound; /* of near */
	double goal;         /* dB, a score, or the logarithm of bytes */
};

static bool of_picture(enum vae_target_kind kind)
{
	return kind == VAE_TARGET_PSNR || kind == VAE_TARGET_SCORE;
}

/* A quality (0 to VAE_QUALITY_ONE) and its result: dB, a score, or the logarithm of bytes. */
struct trial {
	long quality;
	double value;
	bool mixed; /* cells are exact, or all of the picture */
};

/* Computes the logarithm of the bytes of the file. */
static int size_of(double *value, const struct search *s, const struct vae_codes *codes,
                   struct vae_error *error)
{
	(void)s;
	char *packed;
	size_t count;
	int rc = vae_codes_pack(&packed, &count, codes, VAE_LEVEL_DEFAULT, error);
	if (rc)
		return rc;
	free(packed);
	*value = log((double)count);
	return 0;
}

/* Computes the measure of the decoded picture. */
static int measure_of(double *value, const struct search *s, const struct vae_codes *codes,
                      struct vae_error *error)
{
	struct vae_latents *latents;
	struct vae_image *image = NULL;
	struct vae_distortion distortion;
	int rc = vae_dequantise(&latents, s->model, codes, error);
	if (rc)
		return rc;
	if (!(rc = vae_decode(&image, s->model, latents, error)) &&
	    !(rc = vae_compare(&distortion, image, s->image, error))) {
		*value = s->kind == VAE_TARGET_PSNR ? distortion.psnr : distortion.ssimulacra2;
		*value = *value < 200 ? *value : 200; /* equal pictures: a search needs a number */
	}
	vae_latents_free(latents);
	vae_image_free(image);
	return rc;
}

static int encode(struct vae_latents **latents, const struct search *s, double quality,
                  struct vae_error *error)
{
	struct vae_image_rows *pixels;
	struct vae_latents_rows *cells;
	if (!s->mixed)
		return vae_encode(latents, s->model, s->image, quality, error);
	int rc = vae_image_rows_new(&pixels, s->image, error);
	if (rc)
		return rc;
	rc = vae_encode_mixed_rows(&cells, s->model, pixels, quality, NULL, error);
	if (!rc) {
		rc = vae_latents_rows_collect(latents, cells, error);
		vae_latents_rows_free(cells);
	}
	vae_image_rows_free(pixels);
	return rc;
}

static int try_quality(struct trial *trial, const struct search *s, long quality,
                       struct vae_error *error)
{
	struct vae_latents *latents;
	struct vae_codes *codes = NULL;
	double value = 0;
	int rc = encode(&latents, s, (double)quality * 100 / VAE_QUALITY_ONE, error);
	if (rc)
		return rc;
	rc = vae_quantise(&codes, s->model, latents, VAE_METHOD_RANGE, VAE_EFFORT_DEFAULT, error);
	bool mixed = latents->head.mixed || !latents->head.channels;
	vae_latents_free(latents);
	if (!rc)
		rc = (of_picture(s->kind) ? measure_of : size_of)(&value, s, codes, error);
	vae_codes_free(codes);
	if (!rc)
		*trial = (struct trial){quality, value, mixed};
	return rc;
}

/* Returns whether a trial is near enough to the goal to end the search: a size not above it, a
 * measure on either side. */
static bool close_enough(const struct search *s, double value)
{
	return of_picture(s->kind) ? fabs(value - s->goal) <= s->close
	                           : value <= s->goal && value >= s->goal - s->close;
}

/* Searches between low, which gives less than the goal or just that, and high, which gives more.
 * Regula falsi, since both measures are nearly straight lines over quality; an end that stays twice
 * counts for less (the Illinois rule), and no step is under a hundredth of the way from an end. If
 * no quality comes near: low for a size, high for a measure. */
static int narrow(struct trial *found, const struct search *s, struct trial low, struct trial high,
                  struct vae_error *error)
{
	bool measure = of_picture(s->kind);
	double aim = measure ? s->goal : s->goal - s->close / 2, below = low.value - aim,
		   above = high.value - aim;
	for (int last = 0; high.quality - low.quality > STEP && !close_enough(s, low.value);) {
		struct trial middle;
		double part = below / (below - above);
		part = part > 0.01 ? part : 0.01; /* NaN, too */
		part = part < 0.99 ? part : 0.99;
		long next = low.quality + lround(part * (double)(high.quality - low.quality));
		next = next > low.quality ? next : low.quality + 1;
		next = next < high.quality ? next : high.quality - 1;
		int rc = try_quality(&middle, s, next, error);
		if (rc)
			return rc;
		int side = middle.value <= s->goal ? -1 : 1;
		if (measure && close_enough(s, middle.value)) {
			low = high = middle;
		} else if (side < 0) {
			low = middle;
			below = low.value - aim;
			above = last == side ? above / 2 : high.value - aim;
		} else {
			high = middle;
			above = high.value - aim;
			below = last == side ? below / 2 : low.value - aim;
		}
		last = side;
	}
	*found = measure && !close_enough(s, low.value) ? high : low;
	return 0;
}

/* Finds the best quality whose file is no larger than the goal. *jumped: the search ended at a step
 * of the size, where more cells become exact, or even quality 0 is too large for that reason. */
static int fit_size_once(struct trial *found, bool *jumped, const struct search *s,
                         struct vae_error *error)
{
	struct trial low, high;
	*jumped = false;
	int rc = try_quality(&high, s, VAE_QUALITY_ONE, error);
	if (rc)
		return rc;
	*found = high;
	if (high.value <= s->goal)
		return 0;
	if ((rc = try_quality(&low, s, 0, error)))
		return rc;
	*jumped = high.mixed;
	if (low.value > s->goal)
		return vae_fail(error, VAE_EARG,
		                "the smallest file that the model can make of this picture has %.0f bytes, "
		                "more than %.0f",
		                exp(low.value), exp(s->goal));
	rc = narrow(found, s, low, high, error);
	*jumped = *jumped && !close_enough(s, found->value);
	return rc;
}

/* Sets *value to the score of the decoded picture, or to its PSNR if it is small. */
static int judge(double *value, const struct search *s, long quality, struct vae_error *error)
{
	struct search one = *s;
	struct trial trial;
	const struct vae_geometry *g = &s->image->geometry;
	one.kind =
		g->width < VAE_S2_SIDE || g->height < VAE_S2_SIDE ? VAE_TARGET_PSNR : VAE_TARGET_SCORE;
	int rc = try_quality(&trial, &one, quality, error);
	if (!rc)
		*value = trial.value;
	return rc;
}

/* Finds the best quality whose file is no larger than the goal. If exact cells leave room that no
 * quality fills, searches without them, too, and takes what looks better; clears s->mixed then. */
static int fit_size(long *quality, struct search *s, struct vae_error *error)
{
	struct search plain = *s;
	struct trial found = {0}, other;
	double value, rival;
	bool jumped, ignored;
	plain.mixed = false;
	int rc = fit_size_once(&found, &jumped, s, error);
	bool fits = !rc;
	*quality = found.quality;
	if (!jumped || (rc && rc != VAE_EARG))
		return rc;
	rc = fit_size_once(&other, &ignored, &plain, error);
	if (rc)
		return fits && rc == VAE_EARG ? 0 : rc;
	if (fits && ((rc = judge(&value, s, found.quality, error)) ||
	             (rc = judge(&rival, &plain, other.quality, error)) || value >= rival))
		return rc;
	*quality = other.quality;
	s->mixed = false;
	return 0;
}

/* Sets *best to a trial that reaches the goal, or to the best one found, if that differs from the
 * given one. If the best of a few qualities is the highest one, the measure rises and nothing is
 * better; otherwise the steps to either side of the best are halved again and again. */
static int find_best(struct trial *best, const struct search *s, struct vae_error *error)
{
	long span = VAE_QUALITY_ONE / (COARSE + 1);
	struct trial trial;
	for (long quality = span; quality <= COARSE * span && best->value < s->goal; quality += span) {
		int rc = try_quality(&trial, s, quality, error);
		if (rc)
			return rc;
		if (trial.value > best->value)
			*best = trial;
	}
	for (span /= 2; best->quality < VAE_QUALITY_ONE && best->value < s->goal && span >= FINEST;
	     span /= 2)
		for (long middle = best->quality, side = -1; side <= 1 && best->value < s->goal;
		     side += 2) {
			if (middle + side * span < 0)
				continue;
			int rc = try_quality(&trial, s, middle + side * span, error);
			if (rc)
				return rc;
			if (trial.value > best->value)
				*best = trial;
		}
	return 0;
}

/* Reports the best result, and that the goal cannot be reached. */
static int out_of_reach(const struct search *s, const struct trial *best, struct vae_error *error)
{
	double quality = (double)best->quality * 100 / VAE_QUALITY_ONE;
	if (s->kind == VAE_TARGET_PSNR)
		return vae_fail(error, VAE_EARG,
		                "the best that the model can make of this picture is %.2f dB, at quality "
		                "%.4g: %.2f dB are out of reach",
		                best->value, quality, s->goal);
	return vae_fail(error, VAE_EARG,
	                "the best that the model can make of this picture is a score of %.2f, at "
	                "quality %.4g: %.2f is out of reach",
	                best->value, quality, s->goal);
}

static int fit_measure(long *quality, struct search *s, struct vae_error *error)
{
	struct trial low, high;
	int rc = try_quality(&low, s, 0, error);
	if (!rc && low.value >= s->goal) {
		*quality = 0;
		return 0;
	}
	if (rc || (rc = try_quality(&high, s, VAE_QUALITY_ONE, error)))
		return rc;
	if (high.value < s->goal) {
		high = low.value > high.value ? low : high;
		if ((rc = find_best(&high, s, error)))
			return rc;
	}
	if (high.value < s->goal - s->bound)
		return out_of_reach(s, &high, error);
	if (high.value > s->goal + s->close && (rc = narrow(&high, s, low, high, error)))
		return rc;
	*quality = high.quality;
	return 0;
}

int vae_target_quality(double *quality, bool *mixed, const struct vae_model *model,
                       const struct vae_image *image, const struct vae_target *target,
                       struct vae_error *error)
{
	const struct vae_geometry *g = &image->geometry;
	double pixels = (double)g->width * g->height;
	struct search s = {.model = model,
	                   .image = image,
	                   .kind = target->kind,
	                   .mixed = target->mixed,
	                   .close = near[target->kind].close,
	                   .bound = near[target->kind].bound,
	                   .goal = target->value};
	long found;
	if (!(target->value > 0 && target->value < 1e15))
		return vae_fail(error, VAE_EARG, "target %g is not a positive number", target->value);
	if (s.kind == VAE_TARGET_SCORE && (g->width < VAE_S2_SIDE || g->height < VAE_S2_SIDE))
		return vae_fail(error, VAE_EARG,
		                "%u x %u pixels are too few for a score: %d a side at least", g->width,
		                g->height, VAE_S2_SIDE);
	if (!of_picture(s.kind))
		s.goal = log(floor(s.kind == VAE_TARGET_BPP ? s.goal * pixels / 8 : s.goal));
	int rc = (of_picture(s.kind) ? fit_measure : fit_size)(&found, &s, error);
	if (!rc) {
		*quality = (double)found * 100 / VAE_QUALITY_ONE;
		*mixed = s.mixed;
	}
	return rc;
}
