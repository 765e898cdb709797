#include "loss/ms_ssim.h"
#include "kernel/kernel.h"

#include <math.h>

#define SCALES  VAE_SIMILARITY_SCALES
#define COLOURS 3
#define LEAST   0.01 /* smallest mean of a scale */

/* One colour of both pictures at one scale, and the gradient in y of the scale's mean similarity:
 * rows x columns each. */
struct scale {
	size_t rows, columns;
	float *x, *y, *slope;
	double factor; /* of the slope, in the loss */
};

/* Five scales together have fewer than 4/3 of the samples of the first, in three planes. */
size_t vae_ms_ssim_room(size_t rows, size_t columns) { return 4 * rows * columns; }

static void take_plane(float *plane, const float *samples, size_t n)
{
	for (size_t i = 0; i < n; i++)
		plane[i] = samples[i * COLOURS];
}

static void halve(const struct scale *to, const struct scale *from)
{
	const struct vae_kernels *k = vae_kernels();
	for (size_t r = 0; r < to->rows; r++) {
		const float *x = from->x + 2 * r * from->columns, *y = from->y + 2 * r * from->columns;
		k->halve(to->x + r * to->columns, x, x + from->columns, to->columns);
		k->halve(to->y + r * to->columns, y, y + from->columns, to->columns);
	}
}

/* Returns the similarity of one colour; sets the factors with which the slopes of all scales add up
 * to d(similarity)/dy x weight. */
static double similarity(struct scale scale[SCALES], double weight)
{
	float tap[VAE_WINDOW / 2 + 1];
	double product = 1;
	vae_similarity_taps(tap);
	for (int i = 0; i < SCALES; i++) {
		struct scale *s = &scale[i];
		double windows = (double)((s->rows - VAE_WINDOW + 1) * (s->columns - VAE_WINDOW + 1));
		double mean = vae_kernels()->similarity_backward(&(struct vae_similarity_backward){
						  s->rows, s->columns, s->x, s->y, tap, i == SCALES - 1, s->slope}) /
		              windows;
		mean = mean > LEAST || isnan(mean) ? mean : LEAST;
		product *= pow(mean, vae_similarity_weight[i]);
		s->factor = weight * vae_similarity_weight[i] / mean / windows;
	}
	for (int i = 0; i < SCALES; i++)
		scale[i].factor *= product;
	return product;
}

/* Computes slope = factor x slope + a quarter of the coarser scale's slope, since each coarser
 * sample is the mean of four. */
static void gather(const struct scale *s, const struct scale *coarser)
{
	float factor = (float)s->factor;
	for (size_t r = 0; r < s->rows; r++) {
		float *slope = s->slope + r * s->columns;
		for (size_t i = 0; i < s->columns; i++)
			slope[i] *= factor;
		if (!coarser || r / 2 == coarser->rows)
			continue;
		const float *coarse = coarser->slope + r / 2 * coarser->columns;
		for (size_t i = 0; i < 2 * coarser->columns; i++)
			slope[i] += 0.25f * coarse[i / 2];
	}
}

double vae_ms_ssim_loss(const float *x, const float *y, size_t rows, size_t columns, double weight,
                        float *gradient, float *room)
{
	struct scale scale[SCALES];
	double mean = 0;
	for (int i = 0; i < SCALES; i++) {
		size_t r = rows >> i, c = columns >> i;
		scale[i] = (struct scale){
			.rows = r, .columns = c, .x = room, .y = room + r * c, .slope = room + 2 * r * c};
		room += 3 * r * c;
	}
	for (size_t colour = 0; colour < COLOURS; colour++) {
		take_plane(scale[0].x, x + colour, rows * columns);
		take_plane(scale[0].y, y + colour, rows * columns);
		for (int i = 1; i < SCALES; i++)
			halve(&scale[i], &scale[i - 1]);
		mean += similarity(scale, -weight / COLOURS) / COLOURS;
		for (int i = SCALES - 1; i >= 0; i--)
			gather(&scale[i], i + 1 < SCALES ? &scale[i + 1] : NULL);
		for (size_t i = 0; i < rows * columns; i++)
			gradient[i * COLOURS + colour] += scale[0].slope[i];
	}
	return 1 - mean;
}
