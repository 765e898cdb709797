/* sweep.c - a sweep stores the bits of the network over the whole picture, for any size, area,
 * number of strips, and rows a call. */
#include <omp.h>

#include "base/cpu.h"
#include "nn/sweep.h"
#include "tap.h"
#include "toy.h"

static struct vae_error error;
static struct vae_random rnd;

static size_t between(size_t low, size_t high)
{
	return low + vae_random_below(&rnd, (uint32_t)(high - low + 1));
}

/* A side of the network: an array of height x width x channels, with `scale` of them on a side of a
 * cell. */
struct side {
	float *data;
	size_t height, width, channels, scale;
};

/* Expectations that a sweep is checked against while it runs. */
struct watch {
	struct side in, out;
	struct vae_rect area;
	size_t loaded, needs;   /* rows of cells that load may ask for now */
	size_t stored, storing; /* rows that store may get now */
	size_t first, end;      /* columns that load may ask for */
	uint16_t *count;        /* of the area's cells: times stored */
	size_t *next_load; /* by column of cells of the picture: the next row that load may begin with,
	                      of a strip that begins there */
	int wrong;
};

static bool fits(const struct side *s, const struct vae_block *b)
{
	size_t rows = s->scale == 1 ? b->cells.rows : b->height_px,
		   columns = s->scale == 1 ? b->cells.columns : b->width_px;
	size_t bottom = (b->cells.row + b->cells.rows) * s->scale,
		   right = (b->cells.column + b->cells.columns) * s->scale;
	bottom = bottom < s->height ? bottom : s->height;
	right = right < s->width ? right : s->width;
	return rows && columns && b->cells.row * s->scale + rows == bottom &&
	       b->cells.column * s->scale + columns == right;
}

static size_t line(const struct side *s, const struct vae_block *b)
{
	return (s->scale == 1 ? b->cells.columns : b->width_px) * s->channels;
}
static size_t lines(const struct side *s, const struct vae_block *b)
{
	return s->scale == 1 ? b->cells.rows : b->height_px;
}
static float *place(const struct side *s, const struct vae_block *b, size_t row)
{
	return s->data +
	       ((b->cells.row * s->scale + row) * s->width + b->cells.column * s->scale) * s->channels;
}

static void load(void *context, const struct vae_block *b, float *input)
{
	struct watch *w = context;
	bool good = fits(&w->in, b) && b->cells.row >= w->loaded &&
	            b->cells.row + b->cells.rows <= w->needs && b->cells.column >= w->first &&
	            b->cells.column + b->cells.columns <= w->end &&
	            b->cells.row == w->next_load[b->cells.column];
	w->next_load[b->cells.column] = b->cells.row + b->cells.rows;
	if (!good) {
#pragma omp atomic
		w->wrong++;
		return;
	}
	for (size_t row = 0; row < lines(&w->in, b); row++)
		memcpy(input + row * line(&w->in, b), place(&w->in, b, row),
		       line(&w->in, b) * sizeof *input);
}

static int store(void *context, const struct vae_block *b, const float *output, struct vae_error *e)
{
	struct watch *w = context;
	const struct vae_rect *a = &w->area;
	(void)e;
	if (!fits(&w->out, b) || b->cells.row < w->stored ||
	    b->cells.row + b->cells.rows > w->storing || b->cells.column < a->column ||
	    b->cells.column + b->cells.columns > a->column + a->columns) {
#pragma omp atomic
		w->wrong++;
		return 0;
	}
	for (size_t row = 0; row < lines(&w->out, b); row++)
		memcpy(place(&w->out, b, row), output + row * line(&w->out, b),
		       line(&w->out, b) * sizeof *output);
	for (size_t row = 0; row < b->cells.rows; row++)
		for (size_t column = 0; column < b->cells.columns; column++)
			w->count[(b->cells.row - a->row + row) * a->columns + b->cells.column - a->column +
			         column]++;
	return 0;
}

/* Computes the network's input and output over the whole picture. */
static void whole(const struct vae_model *m, int part, size_t height, size_t width,
                  struct vae_position at, struct side *in, struct side *out)
{
	struct vae_run run;
	size_t rows = (height + 15) / 16, columns = (width + 15) / 16;
	struct side pixels = {NULL, height, width, 3, 16},
				cells = {NULL, rows, columns, (size_t)m->nets->arch.y, 1};
	*in = part == VAE_ANALYSIS ? pixels : cells;
	*out = part == VAE_ANALYSIS ? cells : pixels;
	size_t n = in->height * in->width * in->channels;
	if (vae_run_init(&run, &m->nets->net[part], 0, height, width, false, &error))
		exit(1);
	in->data = malloc(n * sizeof(float));
	for (size_t i = 0; i < n; i++)
		in->data[i] = toy_between(&rnd, -1, 1);
	memcpy(vae_run_input(&run, 0), in->data, n * sizeof(float));
	vae_net_forward(&run, m->nets, &m->weights, at);
	n = out->height * out->width * out->channels;
	out->data = malloc(n * sizeof(float));
	memcpy(out->data, vae_run_output(&run, 0), n * sizeof(float));
	vae_run_clear(&run);
}

/* Returns whether `got` equals `expected` within an area, and is 0xff bytes elsewhere. */
static bool area_only(const struct side *expected, const float *got, const struct vae_rect *a)
{
	static const uint8_t untouched[256] = {[0 ... 255] = 0xff};
	size_t bytes = expected->channels * sizeof(float);
	for (size_t i = 0; i < expected->height * expected->width; i++) {
		size_t row = i / expected->width / expected->scale,
			   column = i % expected->width / expected->scale;
		bool inside = row - a->row < a->rows && column - a->column < a->columns;
		if (memcmp(got + i * expected->channels,
		           inside ? (const void *)(expected->data + i * expected->channels) : untouched,
		           bytes))
			return false;
	}
	return true;
}

/* One sweep over an area, in calls of 1 to most rows. */
static bool sweep_is_whole(const struct vae_model *m, int part, size_t height, size_t width,
                           const struct side *in, const struct side *expected,
                           struct vae_position at, const struct vae_rect *area, size_t threads,
                           size_t most)
{
	struct watch w = {.in = *in, .out = *expected, .area = *area};
	size_t n = expected->height * expected->width * expected->channels, columns = (width + 15) / 16;
	bool all = area->rows == (height + 15) / 16 && area->columns == columns, good = true;
	struct vae_sweep_work work = {m->nets, &m->weights, part, at, load, store, &w};
	struct vae_sweep *s;
	if (vae_sweep_new(&s, &work, height, width, all ? NULL : area, threads, &error))
		return false;
	w.out.data = malloc(n * sizeof(float));
	memset(w.out.data, 0xff, n * sizeof(float));
	w.count = calloc(area->rows * area->columns, sizeof *w.count);
	w.next_load = malloc(columns * sizeof *w.next_load);
	size_t halo = vae_net_halo(&m->nets->net[part]);
	vae_sweep_columns(s, &w.first, &w.end);
	good &= w.first + halo >= area->column && w.first <= area->column &&
	        w.end >= area->column + area->columns && w.end <= columns &&
	        w.end <= area->column + area->columns + halo;
	good &= vae_sweep_loaded(s) + halo >= area->row && vae_sweep_loaded(s) <= area->row &&
	        vae_sweep_stored(s) == area->row;
	for (size_t i = 0; i < columns; i++)
		w.next_load[i] = vae_sweep_loaded(s);
	for (size_t left = area->rows, rows; left && good; left -= rows) {
		rows = between(1, most < left ? most : left);
		w.loaded = vae_sweep_loaded(s);
		w.needs = vae_sweep_needs(s, rows);
		w.stored = vae_sweep_stored(s);
		w.storing = w.stored + rows;
		good &= w.needs <= in->height && w.needs <= w.storing + halo &&
		        vae_sweep_needs(s, 0) == w.loaded;
		good &= !vae_sweep_run(s, rows, &error) && vae_sweep_loaded(s) == w.needs &&
		        vae_sweep_stored(s) == w.storing;
	}
	for (size_t i = 0; i < area->rows * area->columns; i++)
		good &= w.count[i] == 1;
	good &= !w.wrong && area_only(expected, w.out.data, area);
	vae_sweep_free(s);
	free(w.out.data);
	free(w.count);
	free(w.next_load);
	return good;
}

static void test_size(const struct vae_model *m, int part, size_t height, size_t width)
{
	size_t rows = (height + 15) / 16, columns = (width + 15) / 16;
	struct vae_position at = {0, toy_between(&rnd, 0, 1)};
	struct side in, out;
	whole(m, part, height, width, at, &in, &out);
	struct vae_rect all = {0, 0, rows, columns};
	bool good = true;
	for (size_t threads = 1; threads <= 4; threads++)
		good &= sweep_is_whole(m, part, height, width, &in, &out, at, &all, threads,
		                       threads % 2 ? rows : between(1, rows));
	for (int i = 0; i < 6; i++) {
		struct vae_rect a = {.row = between(0, rows - 1), .column = between(0, columns - 1)};
		a.rows = between(1, rows - a.row);
		a.columns = between(1, columns - a.column);
		good &= sweep_is_whole(m, part, height, width, &in, &out, at, &a, between(1, 4),
		                       between(1, a.rows));
	}
	ok(good, "%s of %zu x %zu is that of the whole", m->nets->net[part].name, width, height);
	free(in.data);
	free(out.data);
}

/* A failure of store is returned by the sweep. */
static int refuse(void *context, const struct vae_block *b, const float *output,
                  struct vae_error *e)
{
	(void)context, (void)b, (void)output;
	return vae_fail(e, VAE_EMODEL, "refused");
}

static void load_zeros(void *context, const struct vae_block *b, float *input)
{
	const struct vae_model *m = context;
	memset(input, 0, b->cells.rows * b->cells.columns * (size_t)m->nets->arch.y * sizeof *input);
}

static void test_failure(const struct vae_model *m)
{
	struct vae_sweep_work work = {m->nets,    &m->weights, VAE_SYNTHESIS, {0, 0},
	                              load_zeros, refuse,      (void *)m};
	struct vae_sweep *s = NULL;
	ok(!vae_sweep_new(&s, &work, 40, 700, NULL, 3, &error) &&
	       vae_sweep_run(s, 2, &error) == VAE_EMODEL,
	   "a refusal to store: %s", error.text);
	vae_sweep_free(s);
}

int main(void)
{
	static const char *const texts[] = {"photo enc=16 enc_blocks=1 y=8 hyper=16 ctx=16 z=4 dec=16 "
	                                    "dec_blocks=1 grid=48 grid_layers=1 ctx_blocks=1 knots=2",
	                                    "photo enc=16 enc_blocks=3 y=6 hyper=16 ctx=16 z=4 dec=16 "
	                                    "dec_blocks=2 grid=48 grid_layers=3 ctx_blocks=1 knots=2",
	                                    "photo enc=24 enc_blocks=1 y=4 hyper=16 ctx=16 z=4 dec=16 "
	                                    "dec_blocks=1 grid=64 grid_layers=5 ctx_blocks=1 knots=2",
	                                    TOY_INT16};
	static const struct {
		size_t height, width;
	} sizes[] = {{1, 1},     {1, 300},  {200, 1},   {16, 16},  {17, 15},
	             {149, 101}, {40, 700}, {90, 2999}, {1000, 50}};
	uint64_t state = vae_fp_enter();
	vae_random_init(&rnd, 1, 2, 3);
	omp_set_num_threads(2);
	for (size_t t = 0; t < sizeof texts / sizeof *texts; t++) {
		struct vae_model *m = toy_new(texts[t]);
		if (!ok(m != NULL, "%s", texts[t]))
			continue;
		for (size_t i = 0; i < sizeof sizes / sizeof *sizes + 8; i++) {
			bool given = i < sizeof sizes / sizeof *sizes;
			size_t height = given ? sizes[i].height : between(1, 200),
				   width = given ? sizes[i].width : between(1, i % 2 ? 200 : 600);
			test_size(m, VAE_ANALYSIS, height, width);
			test_size(m, VAE_SYNTHESIS, height, width);
		}
		test_failure(m);
		toy_free(m);
	}
	vae_fp_leave(state);
	return tap_done();
}
