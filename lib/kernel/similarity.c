/* similarity.c - the constants of MS-SSIM: Wang, Simoncelli and Bovik 2003, "Multiscale structural
 * similarity for image quality assessment". */
#include "kernel/kernel.h"

#include <math.h>

const double vae_similarity_weight[VAE_SIMILARITY_SCALES] = {0.0448, 0.2856, 0.3001, 0.2363,
                                                             0.1333};

void vae_similarity_taps(float tap[VAE_WINDOW / 2 + 1])
{
	enum { RADIUS = VAE_WINDOW / 2 };
	double g[RADIUS + 1], sum = 0, rest = 1;
	for (int i = 0; i <= RADIUS; i++) {
		g[i] = exp(-i * i / (2 * 1.5 * 1.5));
		sum += i ? 2 * g[i] : g[i];
	}
	for (int i = 1; i <= RADIUS; i++) {
		tap[i] = (float)(g[i] / sum);
		rest -= 2.0 * tap[i];
	}
	tap[0] = (float)rest;
}
