#include "train/means.h"
#include "base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define RIDGE 1e-4 /* added to the diagonal of the moments, relative to its mean */

int vae_means_init(struct vae_means *m, size_t channels, size_t cells, struct vae_error *error)
{
	size_t side = vae_means_side(channels), product = (side * side + 15) / 16 * 16;
	*m = (struct vae_means){.channels = channels, .side = side};
	return vae_alloc_raw(&m->work,
	                     VAE_GEMM_ROOM + vae_packed_size(cells, side) + product + cells * side,
	                     sizeof *m->work, error);
}

void vae_means_clear(struct vae_means *m)
{
	free(m->work);
	*m = (struct vae_means){0};
}

/* Computes the mean of a block of a picture with `width` pixels a row, as it will be shown. */
static void block_mean(float mean[3], const float *x, size_t width)
{
	for (int c = 0; c < 3; c++) {
		float sum = 0;
		for (size_t row = 0; row < VAE_MEANS_PX; row++)
			for (size_t column = 0; column < VAE_MEANS_PX; column++)
				sum += x[(row * width + column) * 3 + (size_t)c];
		sum /= VAE_MEANS_PX * VAE_MEANS_PX;
		mean[c] = sum > -0.5f ? sum : -0.5f;
		mean[c] = mean[c] < 0.5f ? mean[c] : 0.5f;
	}
}

void vae_means_see(struct vae_means *m, const struct vae_run *synthesis)
{
	const struct vae_layer *gain = &synthesis->net->layer[0];
	const float *y = synthesis->value[gain->dst], *x = vae_run_output(synthesis, 0);
	size_t columns = synthesis->columns[4], cells = synthesis->rows[4] * columns, side = m->side;
	size_t cell_px = 2 * VAE_MEANS_PX, width = synthesis->columns[0];
	float *packed = m->work + VAE_GEMM_ROOM, *product = packed + vae_packed_size(cells, side),
		  *seen = product + (side * side + 15) / 16 * 16;
	for (size_t cell = 0; cell < cells; cell++) {
		float *row = seen + cell * side;
		memcpy(row, y + cell * m->channels, m->channels * sizeof *row);
		row += m->channels;
		*row++ = 1;
		for (size_t block = 0; block < 4; block++, row += 3)
			block_mean(row,
			           x + ((cell / columns * cell_px + block / 2 * VAE_MEANS_PX) * width +
			                cell % columns * cell_px + block % 2 * VAE_MEANS_PX) *
			                   3,
			           width);
	}
	vae_pack(packed, seen, cells, side, side, 1);
	vae_kernels()->gemm(&(struct vae_gemm){.m = side,
	                                       .n = side,
	                                       .k = cells,
	                                       .a = seen,
	                                       .a_row = 1,
	                                       .a_step = side,
	                                       .b = packed,
	                                       .slope = 1,
	                                       .c = product,
	                                       .c_row = side,
	                                       .room = m->work});
	for (size_t i = 0; i < side * side; i++)
		m->moment[i] += (double)product[i];
}

/* Factorises A = L L^T; L replaces the lower half of the first n rows and columns. */
static void factorise(double *a, size_t n, size_t side)
{
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j <= i; j++) {
			double sum = a[i * side + j];
			for (size_t k = 0; k < j; k++)
				sum -= a[i * side + k] * a[j * side + k];
			a[i * side + j] = i == j ? sqrt(sum) : sum / a[j * side + j];
		}
}

void vae_means_fit(float *means, double *moment, size_t count, size_t channels)
{
	size_t n = channels + 1, side = vae_means_side(channels);
	double *a = moment, ridge = 0;
	for (size_t k = 1; k < count; k++)
		for (size_t i = 0; i < side * side; i++)
			a[i] += a[k * side * side + i];
	for (size_t i = 0; i < n; i++)
		ridge += RIDGE * a[i * side + i] / (double)n;
	for (size_t i = 0; i < n; i++)
		a[i * side + i] += ridge;
	factorise(a, n, side);
	for (size_t c = 0; c < VAE_MEANS; c++) {
		double *v = a + n + c; /* a column of the right-hand sides, which the solution replaces */
		for (size_t i = 0; i < n; i++) {
			for (size_t k = 0; k < i; k++)
				v[i * side] -= a[i * side + k] * v[k * side];
			v[i * side] /= a[i * side + i];
		}
		for (size_t i = n; i--;) {
			for (size_t k = i + 1; k < n; k++)
				v[i * side] -= a[k * side + i] * v[k * side];
			v[i * side] /= a[i * side + i];
			means[i * VAE_MEANS + c] = (float)v[i * side];
		}
	}
}
