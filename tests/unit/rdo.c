/* rdo.c - rate-distortion optimised rounding: the bits are the tables', and the choice is the
 * cheapest candidate. */
#include "base/cpu.h"
#include "base/random.h"
#include "prior/rdo.h"
#include "prior/coder.h"
#include "tap.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct vae_cdfs cdfs;
static struct vae_error error;

static void test_bits(const struct vae_choice *c)
{
	double worst = 0;
	bool alike = true;
	for (int i = 0; i < VAE_SCALES; i++)
		for (int32_t v = 0; v <= VAE_SYMBOL_LIMIT; v += v < cdfs.bound[i] + 3 ? 1 : v) {
			worsen(&worst, fabs(vae_choice_bits(c, (uint8_t)i, v) / 2048.0 -
			                    vae_coder_bits(&cdfs, (uint8_t)i, v)));
			alike &= v <= cdfs.bound[i] ||
			         vae_choice_bits(c, (uint8_t)i, v) == vae_choice_bits(c, (uint8_t)i, -v);
		}
	ok(worst < 0.51 / 2048 && alike, "bits of every symbol, %.6f off at most", worst);
}

/* Returns the cost as rdo.h states it, in doubles if that gives the same. */
static float cost_of(const struct vae_choice *c, uint8_t index, int32_t r, int32_t nearest, float d,
                     float s)
{
	double more = (double)vae_choice_bits(c, index, nearest) / 2048 -
	              (double)vae_choice_bits(c, index, 0) / 2048;
	float root = more > 0 ? (float)sqrt((float)more) : 0, shift = VAE_CHOICE_SHIFT * root,
		  wanted = nearest < 0 ? d - shift : d + shift;
	float e = (float)((double)r - wanted), square = e * e, distortion = s * square;
	return (float)vae_choice_bits(c, index, r) / 2048 + distortion;
}

static void test_choice(struct vae_choice *c, size_t channels)
{
	enum { TRIALS = 200000 };
	struct vae_random random;
	int wrong = 0, changed = 0, outward = 0;
	vae_random_init(&random, 5, 0, 0);
	for (int t = 0; t < TRIALS; t++) {
		size_t k = vae_random_below(&random, (uint32_t)channels);
		uint8_t index = (uint8_t)vae_random_below(&random, VAE_SCALES);
		float mean = (vae_random_uniform(&random) - 0.5f) * 8,
			  reach = ldexpf(1, (int)vae_random_below(&random, 12) - 1);
		float target = mean + (vae_random_uniform(&random) - 0.5f) * reach * 2, d = target - mean;
		int32_t nearest = vae_round_symbol(d), made = nearest, best = nearest;
		c->reach = 1 + (int)vae_random_below(&random, 9);
		vae_rdo(c, k, &index, &target, &mean, &made, 1);
		for (int32_t r = nearest, i = 0;
		     nearest && i <= c->reach && (nearest > 0 ? r >= 0 : r <= 0);
		     i++, r += nearest > 0 ? -1 : 1)
			if (cost_of(c, index, r, nearest, d, c->sensitivity[k]) <
			    cost_of(c, index, best, nearest, d, c->sensitivity[k]))
				best = r;
		wrong += made != best;
		changed += made != nearest;
		outward += abs(made) > abs(nearest);
	}
	ok(!wrong && !outward && changed > TRIALS / 100,
	   "the cheapest candidate, of %d draws in %d another than the nearest", TRIALS, changed);
}

static void test_ends(struct vae_choice *c)
{
	float target[4] = {NAN, 3e38f, -3e38f, 0.4f}, mean[4] = {0, -3e38f, 3e38f, 0};
	int32_t value[4], plain[4] = {0, VAE_SYMBOL_LIMIT, -VAE_SYMBOL_LIMIT, 0};
	uint8_t index[4] = {0, 0, 0, 63};
	c->reach = 1;
	for (int k = 0; k < 4; k++)
		value[k] = vae_round_symbol(target[k] - mean[k]);
	vae_rdo(c, 0, index, target, mean, value, 4);
	ok(!memcmp(value, plain, sizeof plain),
	   "what is not finite keeps its nearest symbol, and so does 0");
	int32_t far = 3, dear = 3;
	float three = 3.4f, zero = 0;
	c->reach = 9;
	c->sensitivity[0] = 0;
	c->sensitivity[1] = 1e6f;
	vae_rdo(c, 0, index, &three, &zero, &far, 1);
	vae_rdo(c, 1, index, &three, &zero, &dear, 1);
	ok(far == 0 && dear == 3, "errors that cost nothing are made, dear ones not");
}

int main(void)
{
	enum { CHANNELS = 12 };
	struct vae_choice c = {0};
	uint64_t state = vae_fp_enter();
	float sensitivity[CHANNELS];
	for (int k = 0; k < CHANNELS; k++)
		sensitivity[k] = ldexpf(0.07f, k - 4); /* at quality 0 ten times as much */
	if (!ok(!vae_cdfs_make(&cdfs, NULL, &error) &&
	            !vae_choice_init(&c, &cdfs, sensitivity, CHANNELS, 0, 1, &error),
	        "made"))
		return tap_done();
	test_bits(&c);
	test_choice(&c, CHANNELS);
	test_ends(&c);
	vae_choice_clear(&c);
	vae_cdfs_clear(&cdfs);
	vae_fp_leave(state);
	return tap_done();
}
