#include "train/optimiser.h"
#include "base/memory.h"
#include "base/minmax.h"
#include "train/orthogonal.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

/* floats; sums are computed chunk by chunk, so they do not depend on the number of threads */
#define CHUNK      16384
/* steps between new directions of a matrix; its momentum turns more slowly, over 20 steps */
#define MUON_STEPS 2

static size_t chunks_of(size_t size) { return (size + CHUNK - 1) / CHUNK; }

int vae_optimiser_init(struct vae_optimiser *o, size_t size, struct vae_error *error)
{
	memset(o, 0, sizeof *o);
	o->size = size;
	if (vae_alloc(&o->first, size, sizeof(float), error) ||
	    vae_alloc(&o->second, size, sizeof(float), error) ||
	    vae_alloc(&o->average, size, sizeof(float), error) ||
	    vae_alloc(&o->square, chunks_of(size), sizeof *o->square, error)) {
		vae_optimiser_clear(o);
		return VAE_EMEM;
	}
	return 0;
}

void vae_optimiser_clear(struct vae_optimiser *o)
{
	free(o->first);
	free(o->second);
	free(o->average);
	free(o->square);
	free(o->part);
	free(o->room);
	memset(o, 0, sizeof *o);
}

/* Returns the floats for a part: the part itself, first in a thread's memory, and the working
 * memory of orthogonal.h. */
static size_t part_floats(const struct vae_params *params, const struct vae_muon_part *part)
{
	return (params->list[part->param].rows * part->columns + 15) / 16 * 16;
}

int vae_optimiser_use_muon(struct vae_optimiser *o, const struct vae_params *params,
                           const int *parts, struct vae_error *error)
{
	int count = 0;
	for (int i = 0; i < params->count; i++)
		count += params->list[i].matrix ? parts[i] : 0;
	if (vae_alloc(&o->part, (size_t)count, sizeof *o->part, error))
		return VAE_EMEM;
	for (int i = 0; i < params->count; i++) {
		const struct vae_param *p = &params->list[i];
		for (int k = 0; p->matrix && k < parts[i]; k++) {
			struct vae_muon_part *part = &o->part[o->parts++];
			*part = (struct vae_muon_part){i, p->columns / (size_t)parts[i] * (size_t)k,
			                               p->columns / (size_t)parts[i]};
			o->room_floats =
				vae_max(o->room_floats,
			            part_floats(params, part) + vae_orthogonal_room(p->rows, part->columns));
		}
	}
	o->threads = omp_get_max_threads();
	return vae_alloc(&o->room, o->room_floats * (size_t)o->threads, sizeof(float), error);
}

double vae_optimiser_gather(const struct vae_optimiser *o, float *const *gradients, int count)
{
	size_t size = o->size, chunks = chunks_of(size);
	double *square = o->square;
#pragma omp parallel for schedule(static)
	for (size_t k = 0; k < chunks; k++) {
		size_t start = k * CHUNK, n = start + CHUNK < size ? CHUNK : size - start;
		float *sum = gradients[0] + start;
		for (int t = 1; t < count; t++)
			vae_kernels()->add(sum, gradients[t] + start, n);
		double s[8] = {0};
		for (size_t i = 0; i < n; i++)
			s[i & 7] += (double)sum[i] * sum[i];
		square[k] = ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
	}
	double total = 0;
	for (size_t k = 0; k < chunks; k++)
		total += square[k];
	return sqrt(total);
}

/* The numbers of one step, the same for all parameters. */
struct step {
	const struct vae_optimiser *o;
	const struct vae_params *params;
	float *value;
	const float *gradient;
	float scale, follow; /* factor of the gradient; how far the average moves */
	double rate;
	const struct vae_bf16 *bf16;
};

/* Adds the gradient to the momentum; x receives Nesterov's extrapolation, row by row. */
static void gather_momentum(const struct step *s, const struct vae_muon_part *part, float *x)
{
	const struct vae_param *p = &s->params->list[part->param];
	for (size_t r = 0; r < p->rows; r++) {
		size_t at = p->offset + r * p->columns + part->column;
		vae_kernels()->momentum(x + r * part->columns, s->o->first + at, s->gradient + at,
		                        part->columns, s->scale, 0.95f);
	}
}

/* Moves a matrix along the orthogonal factor, scaled to a root mean square of 0.2 of the rate; the
 * factor itself has 1 / sqrt(the larger side). If no new direction is due, the last one is used. */
static void muon_step(const struct step *s, const struct vae_muon_part *part, bool due, float *room)
{
	const struct vae_param *p = &s->params->list[part->param];
	float rate = (float)(0.2 * s->rate * sqrt((double)vae_max(p->rows, part->columns)));
	gather_momentum(s, part, room);
	if (due)
		vae_orthogonal(room, p->rows, part->columns, room + part_floats(s->params, part), s->bf16);
	for (size_t r = 0; r < p->rows; r++) {
		size_t at = p->offset + r * p->columns + part->column;
		if (due)
			memcpy(s->o->second + at, room + r * part->columns, part->columns * sizeof(float));
		vae_kernels()->descend(s->value + at, s->o->average + at, s->o->second + at, part->columns,
		                       rate, s->follow);
	}
}

void vae_optimiser_step(struct vae_optimiser *o, const struct vae_params *params, float *value,
                        const float *gradient, double norm, double clip, double rate, double ema,
                        const struct vae_bf16 *bf16)
{
	const double b1 = 0.9, b2 = 0.999;
	double t = (double)++o->step;
	struct step s = {.o = o,
	                 .params = params,
	                 .value = value,
	                 .gradient = gradient,
	                 .scale = clip > 0 && norm > clip ? (float)(clip / norm) : 1,
	                 .follow = (float)(1 - fmin(ema, (t + 1) / (t + 10))),
	                 .rate = rate,
	                 .bf16 = bf16}; /* the average is fast at first */
	double corrected = rate * sqrt(1 - pow(b2, t)) / (1 - pow(b1, t));
#pragma omp parallel for schedule(dynamic)
	for (int i = 0; i < params->count; i++) {
		size_t start = params->list[i].offset, n = params->list[i].rows * params->list[i].columns;
		if (!o->parts || !params->list[i].matrix)
			vae_kernels()->adam(value + start, o->first + start, o->second + start,
			                    o->average + start, gradient + start, n, s.scale, (float)corrected,
			                    (float)b1, (float)b2, 1e-8f, s.follow);
	}
#pragma omp parallel for schedule(dynamic) num_threads(o->threads > 0 ? o->threads : 1)
	for (int i = 0; i < o->parts; i++)
		muon_step(&s, &o->part[i], o->step == 1 || (o->step + (uint64_t)i) % MUON_STEPS == 0,
		          o->room + o->room_floats * (size_t)omp_get_thread_num());
}
