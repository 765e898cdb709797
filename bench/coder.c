/* coder.c - symbols a second through the entropy coder, both ways, on one thread.
 *
 * Symbols are drawn from the tables. "photo" has the deviations of a photograph's latents at a
 * medium quality: most are far below 1, a few are large. The others have one deviation. */
#include "base/random.h"
#include "prior/coder.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { COUNT = 1 << 20, ROUNDS = 8 };

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void draw(uint8_t *index, int32_t *value, double log_mean, double log_spread)
{
	struct vae_random r;
	vae_random_init(&r, 1, 2, 3);
	for (int i = 0; i < COUNT; i++) {
		double log_scale = log_mean + log_spread * vae_random_normal(&r);
		index[i] = vae_scale_index((float)log_scale);
		value[i] = vae_round_symbol((float)(exp(log_scale) * vae_random_normal(&r)));
	}
}

static int measure(const struct vae_cdfs *cdfs, const char *name, double log_mean,
                   double log_spread)
{
	static uint8_t index[COUNT];
	static int32_t value[COUNT], back[COUNT];
	struct vae_buffer payload = {0};
	struct vae_coder_decoder decoder;
	struct vae_error error;
	double encode = INFINITY, decode = INFINITY, bits = 0;
	draw(index, value, log_mean, log_spread);
	for (int i = 0; i < COUNT; i++)
		bits += vae_coder_bits(cdfs, index[i], value[i]);
	for (int round = 0; round < ROUNDS; round++) {
		double t = now();
		payload.size = 0;
		if (vae_coder_encode(&payload, cdfs, index, value, COUNT, &error))
			goto failed;
		encode = fmin(encode, now() - t);
		t = now();
		if (vae_coder_start(&decoder, cdfs, payload.data, payload.size, &error))
			goto failed;
		vae_coder_decode(&decoder, index, back, COUNT);
		decode = fmin(decode, now() - t);
		if (vae_coder_finish(&decoder, &error))
			goto failed;
	}
	if (memcmp(value, back, sizeof value)) {
		fprintf(stderr, "coder: %s does not come back\n", name);
		return 1;
	}
	printf("%-12s %7.3f bits/symbol  %+8.4f %% over the tables' own  encode %6.1f M/s  decode "
	       "%6.1f M/s\n",
	       name, bits / COUNT, 100 * (8 * (double)payload.size / bits - 1), COUNT / encode * 1e-6,
	       COUNT / decode * 1e-6);
	vae_buffer_clear(&payload);
	return 0;
failed:
	fprintf(stderr, "coder: %s: %s\n", name, error.text);
	vae_buffer_clear(&payload);
	return 1;
}

int main(void)
{
	struct vae_cdfs cdfs;
	struct vae_error error;
	if (vae_cdfs_make(&cdfs, NULL, &error)) {
		fprintf(stderr, "coder: %s\n", error.text);
		return 1;
	}
	int failed = measure(&cdfs, "photo", -1.5, 1.2);
	failed |= measure(&cdfs, "0.11", log(0.11), 0);
	failed |= measure(&cdfs, "0.3", log(0.3), 0);
	failed |= measure(&cdfs, "1", log(1), 0);
	failed |= measure(&cdfs, "10", log(10), 0);
	failed |= measure(&cdfs, "500", log(500), 0);
	failed |= measure(&cdfs, "any", 1.5, 3);
	vae_cdfs_clear(&cdfs);
	return failed;
}
