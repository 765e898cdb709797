#include "exact/colour.h"

void vae_exact_colour_forward(unsigned transform, size_t n, int32_t *const p[3])
{
	int32_t *restrict first = p[0], *restrict second = p[1], *restrict third = p[2];
	for (size_t i = 0; i < n; i++) {
		int32_t r = first[i], g = second[i], b = third[i];
		first[i] = g;
		second[i] = transform == 2 ? r : r - g;
		third[i] = transform == 2 ? b : transform == 1 ? b - ((r + g) >> 1) : b - g;
	}
}

static inline int32_t limited(int32_t v, int32_t maxval)
{
	return v < 0 ? 0 : v > maxval ? maxval : v;
}

void vae_exact_colour_inverse(unsigned transform, size_t n, int32_t *const p[3], int32_t maxval)
{
	int32_t *restrict first = p[0], *restrict second = p[1], *restrict third = p[2];
	for (size_t i = 0; i < n; i++) {
		int32_t g = first[i], y = second[i], z = third[i];
		int32_t r = transform == 2 ? y : y + g;
		int32_t b = transform == 2 ? z : transform == 1 ? z + ((r + g) >> 1) : z + g;
		first[i] = limited(r, maxval);
		second[i] = limited(g, maxval);
		third[i] = limited(b, maxval);
	}
}
