/* networks.c - the networks alone, in one process: each part of a photo model over a picture of
 * random numbers, without the coder and the files.
 *
 *     networks MODEL [WIDTH HEIGHT [THREADS [RUNS]]]      default 1920 1088 1 10
 *
 * Prints for each part its multiply-accumulates a pixel, seconds of the fastest run by the wall
 * clock, GFLOP/s and pixels a second. */
#include "base/cpu.h"
#include "base/memory.h"
#include "base/random.h"
#include "nn/sweep.h"
#include "model/model.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct picture {
	size_t width, height, columns; /* pixels; cells */
	size_t channels;               /* of y */
	bool analysis;
	float *in, *out;
};

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Returns where a block's row of pixels or of cells begins. */
static size_t pixel_at(const struct picture *p, const struct vae_block *b, size_t row)
{
	return ((b->cells.row * VAE_CELL_PX + row) * p->width + b->cells.column * VAE_CELL_PX) * 3;
}

static size_t cell_at(const struct picture *p, const struct vae_block *b, size_t row)
{
	return ((b->cells.row + row) * p->columns + b->cells.column) * p->channels;
}

static void load(void *context, const struct vae_block *b, float *x)
{
	const struct picture *p = context;
	size_t rows = p->analysis ? b->height_px : b->cells.rows,
		   line = p->analysis ? b->width_px * 3 : b->cells.columns * p->channels;
	for (size_t row = 0; row < rows; row++)
		memcpy(x + row * line, p->in + (p->analysis ? pixel_at(p, b, row) : cell_at(p, b, row)),
		       line * sizeof *x);
}

static int store(void *context, const struct vae_block *b, const float *y, struct vae_error *error)
{
	const struct picture *p = context;
	size_t rows = p->analysis ? b->cells.rows : b->height_px,
		   line = p->analysis ? b->cells.columns * p->channels : b->width_px * 3;
	(void)error;
	for (size_t row = 0; row < rows; row++)
		memcpy(p->out + (p->analysis ? cell_at(p, b, row) : pixel_at(p, b, row)), y + row * line,
		       line * sizeof *y);
	return 0;
}

static int fail(const struct vae_error *error)
{
	fprintf(stderr, "networks: %s\n", error->text);
	return 1;
}

static int time_part(struct picture *p, const struct vae_model *m, int part, size_t threads,
                     int runs)
{
	struct vae_error error;
	struct vae_sweep_work work = {.nets = m->nets,
	                              .weights = &m->weights,
	                              .part = part,
	                              .load = load,
	                              .store = store,
	                              .at = vae_position_of(m->nets->arch.knots, 32768),
	                              .context = p};
	double best = 1e9, kmac = vae_net_macs_pixel(&m->nets->net[part]) / 1000,
		   megapixels = (double)p->width * (double)p->height * 1e-6;
	p->analysis = part == VAE_ANALYSIS;
	for (int i = 0; i < runs; i++) {
		struct vae_sweep *sweep;
		double start = now();
		if (vae_sweep_new(&sweep, &work, p->height, p->width, NULL, threads, &error) ||
		    vae_sweep_run(sweep, (p->height + VAE_CELL_PX - 1) / VAE_CELL_PX, &error))
			return fail(&error);
		vae_sweep_free(sweep);
		double seconds = now() - start;
		best = seconds < best ? seconds : best;
	}
	printf("%-10s %6.2f kMAC/pixel %8.4f s %7.1f GFLOP/s %7.2f Mpixel/s\n", m->nets->net[part].name,
	       kmac, best, 2 * kmac * megapixels / best, megapixels / best);
	return 0;
}

int main(int argc, char **argv)
{
	struct vae_error error;
	struct vae_model *m;
	struct vae_random random;
	struct picture p = {.width = argc > 3 ? (size_t)atol(argv[2]) : 1920,
	                    .height = argc > 3 ? (size_t)atol(argv[3]) : 1088};
	int threads = argc > 4 ? atoi(argv[4]) : 1, runs = argc > 5 ? atoi(argv[5]) : 10;
	if (argc < 2 || !p.width || !p.height || threads < 1 || runs < 1) {
		fprintf(stderr, "usage: networks MODEL [WIDTH HEIGHT [THREADS [RUNS]]]\n");
		return 2;
	}
	omp_set_num_threads(threads);
	if (vae_model_load(&m, argv[1], &error) ||
	    vae_model_prepare(m, 1u << VAE_ANALYSIS | 1u << VAE_SYNTHESIS, &error))
		return fail(&error);
	p.columns = (p.width + VAE_CELL_PX - 1) / VAE_CELL_PX;
	p.channels = (size_t)m->nets->arch.y;
	size_t floats = (p.width + VAE_CELL_PX) * (p.height + VAE_CELL_PX) *
	                (3 + p.channels / (VAE_CELL_PX * VAE_CELL_PX) + 1);
	if (m->nets->arch.kind != VAE_ARCH_PHOTO || vae_alloc(&p.in, floats, sizeof *p.in, &error) ||
	    vae_alloc(&p.out, floats, sizeof *p.out, &error))
		return 1;
	vae_random_init(&random, 1, 0, 0);
	for (size_t i = 0; i < floats; i++)
		p.in[i] = vae_random_uniform(&random) - 0.5f;
	uint64_t state = vae_fp_enter();
	int failed = time_part(&p, m, VAE_ANALYSIS, (size_t)threads, runs) ||
	             time_part(&p, m, VAE_SYNTHESIS, (size_t)threads, runs);
	vae_fp_leave(state);
	free(p.in);
	free(p.out);
	vae_model_free(m);
	return failed;
}
