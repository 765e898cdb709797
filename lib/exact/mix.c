#include "exact/mix.h"

/* 32768 / (1 + exp(-(i - 32) / 4)) */
static const uint16_t logistic[33] = {11,   14,   18,    23,    30,    38,   49,   63,   81,
                                      104,  133,  171,   219,   281,   360,  461,  589,  753,
                                      961,  1223, 1554,  1969,  2486,  3124, 3906, 4851, 5978,
                                      7297, 8813, 10513, 12371, 14347, 16384};

/* The table's other half mirrors the first. */
static int32_t logistic_at(int i) { return i <= 32 ? logistic[i] : 32768 - logistic[64 - i]; }

void vae_logistic_init(struct vae_logistic *t)
{
	int next = 0;
	for (int i = 0; i < 4096; i++) {
		int x = i - 2048, part = i & 63;
		int32_t two =
			logistic_at(i >> 6) * (64 - part) + logistic_at((i >> 6) + 1) * part; /* times 64 */
		int32_t one = two >> 5;
		one = one < 32 ? 32 : one > 65504 ? 65504 : one;
		t->squash[i] = (uint16_t)one;
		for (; next < 4096 && next * 16 + 8 <= one; next++)
			t->stretch[next] = (int16_t)(x < -2047 ? -2047 : x);
	}
	while (next < 4096)
		t->stretch[next++] = 2047;
	for (int i = 0; i < VAE_ODDS_USES; i++)
		t->step[i] = (uint16_t)(131072 / (2 * i + 3));
}
