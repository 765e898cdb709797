#include "nn/tiles.h"

#include <omp.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/parallel.h"

#define TILE_BYTES ((size_t)64 << 20)
#define LEAST_SIDE 8 /* cells: a smaller tile would be mostly margin, which more threads cannot make up for */

static size_t least(size_t a, size_t b) { return a < b ? a : b; }
static size_t quotient_up(size_t a, size_t b) { return (a + b - 1) / b; }

/* Slots share memory, and about three of the largest are alive at once. */
static size_t cell_bytes(const struct vae_net *net)
{
	size_t most = 1;
	for (int i = 0; i < net->slots; i++) {
		size_t side = net->slot[i].level < 4 ? (size_t)VAE_CELL_PX >> net->slot[i].level : 1;
		size_t floats = side * side * (size_t)net->slot[i].channels;
		most = floats > most ? floats : most;
	}
	return 3 * most * sizeof(float);
}

/* The longer side of a tile is halved, thirded and so on until the tile is small enough and every thread has as much to do. */
void vae_tiles_cut(struct vae_tiles *tiles, const struct vae_net *net, size_t height_px, size_t width_px, const struct vae_area *area,
                   size_t threads, size_t bytes)
{
	struct vae_tiles t = {.height_px = height_px, .width_px = width_px, .rows = quotient_up(height_px, VAE_CELL_PX),
	                      .columns = quotient_up(width_px, VAE_CELL_PX), .halo = vae_net_halo(net)};
	t.area = area ? *area : (struct vae_area){0, 0, t.rows, t.columns};
	size_t cells = (bytes ? bytes : TILE_BYTES) / cell_bytes(net), down = 1, across = 1;
	for (;;) {
		t.down = quotient_up(t.area.rows, down);
		t.across = quotient_up(t.area.columns, across);
		size_t count = vae_tiles_count(&t), side = t.down > t.across ? t.down : t.across;
		bool small = least(t.down + 2 * t.halo, t.rows) * least(t.across + 2 * t.halo, t.columns) <= cells;
		bool even = count % threads == 0 || count >= 4 * threads || side < 2 * LEAST_SIDE;
		if ((small && even) || side == 1)
			break;
		if (t.down > t.across)
			down++;
		else
			across++;
	}
	*tiles = t;
}

size_t vae_tiles_count(const struct vae_tiles *t)
{
	return quotient_up(t->area.rows, t->down) * quotient_up(t->area.columns, t->across);
}

/* One axis of a tile: [start, end) is written; *from and *count are what is read of the `cells` in all. */
static size_t span(size_t start, size_t end, size_t halo, size_t cells, size_t *from, size_t *count)
{
	*from = start - least(start, halo);
	*count = least(end + halo, cells) - *from;
	return end - start;
}

struct vae_tile vae_tiles_at(const struct vae_tiles *t, size_t i)
{
	const struct vae_area *a = &t->area;
	size_t wide = quotient_up(a->columns, t->across);
	struct vae_tile tile = {.row = a->row + i / wide * t->down, .column = a->column + i % wide * t->across};
	size_t bottom = least(tile.row + t->down, a->row + a->rows), right = least(tile.column + t->across, a->column + a->columns);
	tile.rows = span(tile.row, bottom, t->halo, t->rows, &tile.top, &tile.height);
	tile.columns = span(tile.column, right, t->halo, t->columns, &tile.left, &tile.width);
	tile.height_px = least((tile.top + tile.height) * VAE_CELL_PX, t->height_px) - tile.top * VAE_CELL_PX;
	tile.width_px = least((tile.left + tile.width) * VAE_CELL_PX, t->width_px) - tile.left * VAE_CELL_PX;
	return tile;
}

struct job {
	const struct vae_tiles *tiles;
	const struct vae_tile_work *work;
	struct vae_run *run; /* one a thread, kept while tiles are of one size */
};

static int run_tile(void *context, size_t i, int thread, struct vae_error *error)
{
	struct job *job = context;
	const struct vae_tile_work *w = job->work;
	struct vae_run *run = &job->run[thread];
	struct vae_tile tile = vae_tiles_at(job->tiles, i);
	if (!run->net || run->rows[0] != tile.height_px || run->columns[0] != tile.width_px) {
		vae_run_clear(run);
		int rc = vae_run_init(run, &w->nets->net[w->part], 0, tile.height_px, tile.width_px, false, error);
		if (rc)
			return rc;
	}
	w->load(w->context, &tile, vae_run_input(run, 0));
	vae_net_forward(run, w->nets, w->weights, w->at);
	return w->store(w->context, &tile, vae_run_output(run, 0), error);
}

int vae_tiles_run(const struct vae_tiles *tiles, const struct vae_tile_work *work, struct vae_error *error)
{
	size_t threads = (size_t)omp_get_max_threads();
	struct job job = {tiles, work, NULL};
	int rc = vae_alloc(&job.run, threads, sizeof *job.run, error);
	if (rc)
		return rc;
	rc = vae_parallel(vae_tiles_count(tiles), run_tile, &job, error);
	for (size_t i = 0; i < threads; i++)
		vae_run_clear(&job.run[i]);
	free(job.run);
	return rc;
}
