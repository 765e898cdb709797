/* codec.c - everything from pictures to codes and back: the same bytes for every cut, thread count
 * and instruction set. */
#include <omp.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cpu.h"
#include "base/parallel.h"
#include "same.h"
#include "tap.h"
#include "toy.h"

static struct vae_error error;

/* A picture of waves and noise. */
static struct vae_image *picture(uint32_t width, uint32_t height, uint16_t maxval,
                                 enum vae_tuple tuple)
{
	struct vae_geometry g = {width, height, maxval, VAE_PAM, tuple};
	struct vae_image *x = NULL;
	struct vae_random r;
	size_t colours = (size_t)vae_colours(tuple);
	if (vae_image_new(&x, &g, 0, &error))
		return NULL;
	vae_random_init(&r, width, height, maxval);
	for (size_t i = 0; i < (size_t)width * height * colours; i++) {
		size_t column = i / colours % width, row = i / colours / width;
		uint32_t wave =
			(uint32_t)(column * (3 + i % colours) + row * 5) % 97 * (uint32_t)maxval / 97;
		x->colour[i] = (uint16_t)((wave + vae_random_below(&r, (uint32_t)maxval + 1)) / 2);
	}
	for (size_t i = 0; x->alpha && i < (size_t)width * height; i++)
		x->alpha[i] = (uint16_t)vae_random_below(&r, (uint32_t)maxval + 1);
	return x;
}

static uint64_t hash(uint64_t h, const void *data, size_t bytes)
{
	const uint8_t *p = data;
	for (size_t i = 0; i < bytes; i++)
		h = (h ^ p[i]) * 0x100000001b3; /* FNV-1a */
	return h;
}

static size_t floats_of(const struct vae_latents *l)
{
	return (size_t)l->head.rows * l->head.columns * l->head.channels;
}
static size_t samples_of(const struct vae_image *x)
{
	return (size_t)x->geometry.width * x->geometry.height * (size_t)vae_colours(x->geometry.tuple);
}

/* Everything that is computed from a picture. */
struct results {
	struct vae_latents *y, *quantised[2];
	struct vae_codes *codes[2];
	struct vae_image *back;
	int rc;
};

static struct results run_pipeline(const struct vae_model *m, const struct vae_image *x,
                                   double quality)
{
	struct results t = {0};
	if ((t.rc = vae_encode(&t.y, m, x, quality, &error)))
		return t;
	for (int method = 0; method < 2; method++)
		if ((t.rc = vae_quantise(&t.codes[method], m, t.y, (enum vae_method)method,
		                         VAE_EFFORT_DEFAULT, &error)) ||
		    (t.rc = vae_dequantise(&t.quantised[method], m, t.codes[method], &error)))
			return t;
	t.rc = vae_decode(&t.back, m, t.quantised[0], &error);
	return t;
}

static void results_clear(struct results *t)
{
	vae_latents_free(t->y);
	for (int i = 0; i < 2; i++) {
		vae_latents_free(t->quantised[i]);
		vae_codes_free(t->codes[i]);
	}
	vae_image_free(t->back);
}

static uint64_t results_hash(const struct results *t)
{
	uint64_t h = hash(0xcbf29ce484222325, t->y->y, floats_of(t->y) * sizeof(float));
	for (int i = 0; i < 2; i++)
		for (uint32_t k = 0; k < t->codes[i]->slices; k++)
			h = hash(h, t->codes[i]->slice[k].payload, t->codes[i]->slice[k].bytes);
	h = hash(h, t->quantised[0]->y, floats_of(t->y) * sizeof(float));
	return hash(h, t->back->colour, samples_of(t->back) * sizeof *t->back->colour);
}

/* ---- instruction sets ------------------------------------------------------------------------ */

/* Computes the hash in a process of its own, since the choice is made once in a process. Call it
 * before this process starts a thread. */
static uint64_t hash_in_child(const char *isa)
{
	int ends[2];
	uint64_t h = 0;
	if (pipe(ends))
		return 0;
	pid_t child = fork();
	if (child == 0) {
		setenv("VAE_CPU", isa, 1);
		struct vae_image *x = picture(141, 77, 255, VAE_RGB),
						 *d = picture(7, 9, 255, VAE_GRAYSCALE);
		const char *text[] = {TOY_PHOTO, TOY_ODD, TOY_MLP};
		int rc = 0;
		for (int i = 0; i < 3 && !rc; i++) {
			struct results t = run_pipeline(toy_new(text[i]), i < 2 ? x : d, 70);
			rc = t.rc;
			h = rc ? 0 : results_hash(&t) ^ h << 1;
		}
		_exit(write(ends[1], &h, sizeof h) != sizeof h);
	}
	close(ends[1]);
	if (read(ends[0], &h, sizeof h) != sizeof h)
		h = 0;
	close(ends[0]);
	waitpid(child, NULL, 0);
	return h;
}

static void test_instruction_sets(void)
{
	uint64_t scalar = hash_in_child("scalar");
	ok(scalar != 0, "scalar: there and back");
	for (int isa = 1; isa < VAE_ISA_COUNT; isa++)
		if (vae_isa_runs((enum vae_isa)isa))
			ok(hash_in_child(vae_isa_name((enum vae_isa)isa)) == scalar, "%s: the same bytes",
			   vae_isa_name((enum vae_isa)isa));
		else
			tap_lacks("kernels", vae_isa_name((enum vae_isa)isa));
}

/* ---- pictures of all kinds ------------------------------------------------------------------- */

static void test_picture(const struct vae_model *m, uint32_t width, uint32_t height,
                         uint16_t maxval, enum vae_tuple tuple, double quality)
{
	struct vae_image *x = picture(width, height, maxval, tuple);
	uint64_t first = 0;
	struct results t;
	char what[96];
	snprintf(what, sizeof what, "%u x %u %s maxval %u quality %g", width, height,
	         vae_tuple_name(tuple), maxval, quality);
	for (int threads = 1; threads <= 3; threads++) {
		omp_set_num_threads(threads);
		t = run_pipeline(m, x, quality);
		if (!ok(t.rc == 0, "%s, %d threads%s%s", what, threads, t.rc ? ": " : "",
		        t.rc ? error.text : ""))
			goto out;
		if (threads == 1)
			first = results_hash(&t);
		else
			ok(results_hash(&t) == first, "%s: the same bytes as with one thread", what);
		if (threads < 3)
			results_clear(&t);
	}
	ok(!memcmp(t.quantised[0]->y, t.quantised[1]->y, floats_of(t.y) * sizeof(float)),
	   "%s: both methods give the same y^", what);
	const struct vae_geometry *g = &t.back->geometry;
	ok(g->width == width && g->height == height && g->maxval == maxval && g->format == VAE_PAM &&
	       g->tuple == tuple && !!x->alpha == vae_has_alpha(tuple) &&
	       (!x->alpha ||
	        !memcmp(t.back->alpha, x->alpha, (size_t)width * height * sizeof *x->alpha)),
	   "%s: geometry and alpha come back", what);
	struct vae_rate rate, other;
	double bytes = 0;
	struct vae_exact_share exact = {0};
	for (uint32_t i = 0; i < t.codes[0]->slices; i++)
		bytes += (double)t.codes[0]->slice[i].bytes;
	int rc = vae_exact_shares(&exact, NULL, t.codes[0], &error);
	bytes -= (double)exact.alpha_bytes;
	rc = rc ? rc : vae_rate_estimate(&rate, m, t.codes[0], &error);
	double estimate = (rate.z_bits + rate.y_bits) / 8, slices = t.codes[0]->slices;
	ok(!rc && bytes <= 1.005 * estimate + 64 * slices && bytes >= 0.995 * estimate - 64 * slices,
	   "%s: %g bytes where the tables say %g (floats: y %g of %g bits)", what, bytes, estimate,
	   rate.y_float_bits, rate.y_bits);
	rc = vae_rate_estimate(&other, m, t.codes[1], &error);
	ok(!rc && !memcmp(&rate, &other, sizeof rate), "%s: the estimate does not depend on the method",
	   what);
out:
	results_clear(&t);
	vae_image_free(x);
}

/* ---- parts of pictures ----------------------------------------------------------------------- */

/* Returns whether an image shows the window of the whole. */
static bool shows(const struct vae_image *image, const struct vae_image *all,
                  const struct vae_rect *w)
{
	struct vae_geometry g = all->geometry;
	size_t colours = (size_t)vae_colours(g.tuple);
	g.width = (uint32_t)w->columns;
	g.height = (uint32_t)w->rows;
	if (!same_geometry(&image->geometry, &g) || !image->alpha != !all->alpha)
		return false;
	for (size_t row = 0; row < w->rows; row++) {
		size_t here = row * w->columns, there = (w->row + row) * all->geometry.width + w->column;
		if (memcmp(image->colour + here * colours, all->colour + there * colours,
		           w->columns * colours * sizeof *image->colour) ||
		    (image->alpha &&
		     memcmp(image->alpha + here, all->alpha + there, w->columns * sizeof *image->alpha)))
			return false;
	}
	return true;
}

/* Reads all rows, a few at a time; all at once if seed is 0. */
static int collect(struct vae_image **image, struct vae_image_rows *rows, uint64_t seed)
{
	struct vae_image *z = NULL;
	struct vae_random r;
	const struct vae_geometry *g = &rows->geometry;
	int rc = seed ? vae_image_new(&z, g, 0, &error) : vae_image_rows_collect(image, rows, &error);
	vae_random_init(&r, seed, 0, 0);
	while (seed && !rc && rows->row < g->height) {
		uint32_t left = g->height - rows->row,
				 n = 1 + vae_random_below(&r, left < 100 ? left : 100);
		rc = rows->read(rows, n,
		                z->colour + (size_t)rows->row * g->width * (size_t)vae_colours(g->tuple),
		                z->alpha ? z->alpha + (size_t)rows->row * g->width : NULL, &error);
	}
	if (rc)
		vae_image_free(z);
	else if (seed)
		*image = z;
	return rc;
}

static int decode_part(struct vae_image **image, const struct vae_model *m,
                       struct vae_latents_rows *cells, const struct vae_rect *w, int reduce,
                       uint64_t seed)
{
	struct vae_image_rows *pixels;
	int rc = reduce ? vae_decode_reduced_rows(&pixels, m, cells, reduce, &error)
	                : vae_decode_rows(&pixels, m, cells, w, &error);
	if (rc)
		return rc;
	rc = collect(image, pixels, seed);
	if (!rc && cells->row != cells->head.rows)
		rc = 1; /* not read to the end */
	vae_image_rows_free(pixels);
	return rc;
}

static int window_of_codes(struct vae_image **image, const struct vae_model *m,
                           const struct vae_codes *codes, const struct vae_rect *w, uint64_t seed)
{
	struct vae_latents_rows *cells;
	int rc = vae_dequantise_rows(&cells, m, codes, NULL, w, &error);
	if (rc)
		return rc;
	rc = decode_part(image, m, cells, w, 0, seed);
	vae_latents_rows_free(cells);
	return rc;
}

static int part_of_latents(struct vae_image **image, const struct vae_model *m,
                           const struct vae_latents *y, const struct vae_rect *w, int reduce,
                           uint64_t seed)
{
	struct vae_latents_rows *cells;
	int rc = vae_latents_rows_new(&cells, y, &error);
	if (rc)
		return rc;
	rc = decode_part(image, m, cells, w, reduce, seed);
	vae_latents_rows_free(cells);
	return rc;
}

static bool window_good(const struct vae_model *m, const struct results *t,
                        const struct vae_rect *w, uint64_t seed)
{
	struct vae_image *a = NULL, *b = NULL;
	bool good = !window_of_codes(&a, m, t->codes[0], w, seed) &&
	            !part_of_latents(&b, m, t->quantised[0], w, 0, seed) && shows(a, t->back, w) &&
	            shows(b, t->back, w);
	vae_image_free(a);
	vae_image_free(b);
	return good;
}

static uint32_t side_below(struct vae_random *r,
                           uint32_t limit) /* mostly small ones, and the limit itself */
{
	return 1 + vae_random_below(r, vae_random_below(r, 3) && limit > 40 ? 40 : limit);
}

static void test_windows(const struct vae_model *m, uint32_t width, uint32_t height,
                         uint16_t maxval, enum vae_tuple tuple)
{
	struct vae_image *x = picture(width, height, maxval, tuple);
	struct results t = run_pipeline(m, x, 60);
	struct vae_random r;
	size_t wrong = 0;
	vae_random_init(&r, width, height, 3);
	for (int i = 0; i < 40; i++) {
		struct vae_rect w = {.column = vae_random_below(&r, width),
		                     .row = vae_random_below(&r, height)};
		w.columns = side_below(&r, width - (uint32_t)w.column);
		w.rows = side_below(&r, height - (uint32_t)w.row);
		wrong += !window_good(m, &t, &w, (uint64_t)i & 3);
	}
	wrong += !window_good(m, &t, &(struct vae_rect){0, 0, height, width}, 5);
	wrong += !window_good(m, &t, &(struct vae_rect){height - 1, width - 1, 1, 1}, 0);
	ok(!wrong, "%u x %u %s, %u slices: windows show what the whole shows", width, height,
	   vae_tuple_name(tuple), t.codes[0]->slices);
	results_clear(&t);
	vae_image_free(x);
}

/* Two slices meet at column 1024: garbling one shows which of them a window reads. */
static void test_slices(const struct vae_model *m)
{
	uint32_t halo = (uint32_t)vae_net_halo(&m->nets->net[VAE_SYNTHESIS]) * 16;
	const struct {
		uint32_t left, width;
		bool needs[2];
	} cases[] = {{0, 100, {true, false}},
	             {1024 - halo - 16, 16, {true, false}},
	             {1024 - halo - 16, 17, {true, true}},
	             {1024 + halo - 1, 1, {true, true}},
	             {1024 + halo, 50, {false, true}},
	             {0, 1120, {true, true}}};
	struct vae_image *x = picture(70 * 16, 20, 255, VAE_RGB);
	struct results t = run_pipeline(m, x, 30);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		for (int slice = 0; slice < 2; slice++) {
			struct vae_rect w = {3, cases[i].left, 10, cases[i].width};
			struct vae_slice *s = &t.codes[0]->slice[slice];
			struct vae_image *z = NULL;
			s->bytes -= 3; /* too short to be decoded */
			int rc = window_of_codes(&z, m, t.codes[0], &w, 0);
			s->bytes += 3;
			ok(cases[i].needs[slice] ? rc == VAE_EDATA && !z : !rc && shows(z, t.back, &w),
			   "columns %zu to %zu %s slice %d", w.column, w.column + w.columns,
			   cases[i].needs[slice] ? "need" : "do not need", slice + 1);
			vae_image_free(z);
		}
	static const struct vae_rect outside[] = {
		{0, 0, 1, 0},        {0, 0, 0, 1},       {0, 1120, 1, 1},       {20, 0, 1, 1},
		{0, 1, 1, 1120},     {1, 0, 20, 1},      {9, 9, 1, UINT32_MAX}, {UINT32_MAX, 9, 2, 1},
		{9, 9, 1, SIZE_MAX}, {SIZE_MAX, 9, 2, 1}};
	for (size_t i = 0; i < sizeof outside / sizeof *outside; i++) {
		struct vae_image *z = NULL;
		ok(window_of_codes(&z, m, t.codes[0], &outside[i], 0) == VAE_EARG && !z &&
		       part_of_latents(&z, m, t.quantised[0], &outside[i], 0, 0) == VAE_EARG && !z,
		   "%s", error.text);
	}
	results_clear(&t);
	vae_image_free(x);
}

static long sample_of(const float rgb[3], const struct vae_geometry *g, int colour)
{
	float v =
		(vae_colours(g->tuple) == 3 ? rgb[colour] : (rgb[0] + rgb[1] + rgb[2]) * (1.0f / 3)) + 0.5f;
	return lrintf((v < 0 ? 0 : v > 1 ? 1 : v) * g->maxval);
}

/* Returns a sample of the reduced picture, from its definition: x is the synthesis of the whole. */
static long mean_sample(const float *x, const struct vae_geometry *g, uint32_t reduce, size_t row,
                        size_t column, int colour)
{
	float rgb[3] = {0}, n = 0;
	for (size_t i = row * reduce; i < (row + 1) * reduce && i < g->height; i++)
		for (size_t k = column * reduce; k < (column + 1) * reduce && k < g->width; k++, n++)
			for (int c = 0; c < 3; c++)
				rgb[c] += x[(i * g->width + k) * 3 + (size_t)c];
	for (int c = 0; c < 3; c++)
		rgb[c] /= n;
	return sample_of(rgb, g, colour);
}

/* The same by a model's map to means. */
static long mapped_sample(const struct vae_model *m, const struct vae_latents *y, size_t row,
                          size_t column, int colour)
{
	size_t channels = y->head.channels;
	const float *cell = y->y + (row / 2 * y->head.columns + column / 2) * channels,
				*value = m->means_weights.value;
	const struct vae_params *p = &m->means->params;
	float gain[64], rgb[3];
	vae_position_lerp(gain, value + vae_param_offset(p, "dec.gain_y"), (int)channels,
	                  vae_position_of(m->nets->arch.knots, y->head.quality));
	vae_position_power(gain, (int)channels);
	for (size_t c = 0; c < 3; c++) {
		size_t out = (row % 2 * 2 + column % 2) * 3 + c;
		rgb[c] = value[vae_param_offset(p, "dec.means.bias") + out];
		for (size_t k = 0; k < channels; k++)
			rgb[c] = fmaf(cell[k] * gain[k],
			              value[vae_param_offset(p, "dec.means.weight") + k * 12 + out], rgb[c]);
	}
	return sample_of(rgb, &y->head.geometry, colour);
}

static long mean_alpha(const struct vae_image *x, uint32_t reduce, size_t row, size_t column)
{
	double sum = 0, n = 0;
	for (size_t i = row * reduce; i < (row + 1) * reduce && i < x->geometry.height; i++)
		for (size_t k = column * reduce; k < (column + 1) * reduce && k < x->geometry.width;
		     k++, n++)
			sum += x->alpha[i * x->geometry.width + k];
	return lrint(sum / n);
}

static void test_reduced(const struct vae_model *m, uint32_t width, uint32_t height,
                         uint16_t maxval, enum vae_tuple tuple, uint32_t reduce)
{
	struct vae_image *x = picture(width, height, maxval, tuple), *z = NULL;
	struct results t = run_pipeline(m, x, 60);
	const struct vae_latents *y = t.quantised[0];
	struct vae_geometry g = x->geometry;
	struct vae_run run;
	size_t wrong = 0, colours = (size_t)vae_colours(tuple);
	vae_run_init(&run, &m->nets->net[VAE_SYNTHESIS], 0, height, width, false, &error);
	memcpy(vae_run_input(&run, 0), y->y, floats_of(y) * sizeof *y->y);
	vae_net_forward(&run, m->nets, &m->weights,
	                vae_position_of(m->nets->arch.knots, y->head.quality));
	g.width = (width + reduce - 1) / reduce;
	g.height = (height + reduce - 1) / reduce;
	if (ok(!part_of_latents(&z, m, y, NULL, (int)reduce, width % 5) &&
	           same_geometry(&z->geometry, &g) && !z->alpha == !x->alpha,
	       "%u x %u %s reduced by %u", width, height, vae_tuple_name(tuple), reduce)) {
		for (size_t i = 0; i < samples_of(z); i++) {
			size_t row = i / colours / g.width, column = i / colours % g.width;
			int colour = (int)(i % colours);
			wrong += z->colour[i] != (m->means && reduce == 8
			                              ? mapped_sample(m, y, row, column, colour)
			                              : mean_sample(vae_run_output(&run, 0), &x->geometry,
			                                            reduce, row, column, colour));
		}
		for (size_t i = 0; z->alpha && i < (size_t)g.width * g.height; i++)
			wrong += z->alpha[i] != mean_alpha(x, reduce, i / g.width, i % g.width);
		ok(!wrong, "every sample is the mean of its block%s",
		   m->means ? ", or what is mapped" : "");
	}
	vae_run_clear(&run);
	vae_image_free(z);
	results_clear(&t);
	vae_image_free(x);
}

static void test_parts(const struct vae_model *m)
{
	test_windows(m, 150, 133, 255, VAE_RGB);
	test_windows(m, 1, 1, 255, VAE_RGB);
	test_windows(m, 2100, 40, 1000, VAE_GRAYSCALE_ALPHA);
	test_windows(m, 1030, 1040, 255, VAE_RGB_ALPHA);
	test_slices(m);
	test_reduced(m, 150, 133, 255, VAE_RGB, 4);
	test_reduced(m, 150, 133, 65535, VAE_RGB_ALPHA, 8);
	test_reduced(m, 64, 32, 255, VAE_GRAYSCALE_ALPHA, 8);
	test_reduced(m, 1101, 17, 1000, VAE_GRAYSCALE_ALPHA, 4);
	test_reduced(m, 1, 1, 1, VAE_BLACKANDWHITE_ALPHA, 4);
	test_reduced(m, 3, 70, 255, VAE_RGB, 8);
}

static void test_means(const char *text)
{
	struct vae_model *m = toy_new(text);
	if (!ok(m && !toy_add_means(m, &error), "a model with a map to means"))
		return;
	test_reduced(m, 150, 133, 255, VAE_RGB, 4);
	test_reduced(m, 1101, 137, 65535, VAE_RGB_ALPHA, 8);
	test_reduced(m, 64, 32, 255, VAE_GRAYSCALE_ALPHA, 8);
	test_reduced(m, 1, 1, 1, VAE_BLACKANDWHITE_ALPHA, 8);
	test_reduced(m, 3, 70, 255, VAE_RGB, 8);
	toy_free(m);
}

/* Odd pieces fail; piece 1 fails last. */
static int odd_fails(void *context, size_t i, int thread, struct vae_error *e)
{
	(void)context;
	(void)thread;
	if (i == 1)
		usleep(20000);
	return i & 1 ? vae_fail(e, VAE_EDATA, "piece %zu", i) : 0;
}

/* Fails in a thread that may not run where it might before. context: sets, by thread. */
static int may_run_as_before(void *context, size_t i, int thread, struct vae_error *e)
{
	cpu_set_t mine, *before = context;
	(void)i;
	usleep(1000);
	return sched_getaffinity(0, sizeof mine, &mine) || !CPU_EQUAL(&mine, &before[thread])
	           ? vae_fail(e, VAE_EDATA, "thread %d is bound", thread)
	           : 0;
}

static void test_parallel(void)
{
	enum { MOST = 5 };
	cpu_set_t before[MOST];
	omp_set_num_threads(MOST);
#pragma omp parallel
	sched_getaffinity(0, sizeof *before, &before[omp_get_thread_num()]);
	ok(!vae_parallel(40, may_run_as_before, before, &error), "threads are not bound to processors");
	for (int threads = 1; threads <= 4; threads += 3) {
		omp_set_num_threads(threads);
		memset(&error, 0, sizeof error);
		ok(vae_parallel(64, odd_fails, NULL, &error) == VAE_EDATA && !strcmp(error.text, "piece 1"),
		   "%d threads: the first failure is told", threads);
	}
}

/* The first failing slice is named; no output appears. */
static void test_refusals(const struct vae_model *m)
{
	struct vae_image *x = picture(70 * 16, 40, 255, VAE_RGB);
	struct results t = run_pipeline(m, x, 30);
	struct vae_latents *y = NULL;
	struct vae_codes *c = t.codes[0], *none = NULL;
	struct vae_image *z = NULL;
	if (!ok(!t.rc && c->slices == 2, "two slices"))
		return;
	c->slice[1].bytes -= 3;
	ok(vae_dequantise(&y, m, c, &error) == VAE_EDATA && !y && strstr(error.text, "slice 2 of 2"),
	   "a cut slice: %s", error.text);
	c->slice[1].bytes += 3;
	memset(c->slice[0].payload, 0xa5, c->slice[0].bytes);
	ok(vae_dequantise(&y, m, c, &error) == VAE_EDATA && !y && strstr(error.text, "slice 1 of 2"),
	   "a garbled slice: %s", error.text);
	c = t.codes[1];
	c->head.rows++;
	ok(vae_dequantise(&y, m, c, &error) == VAE_EDATA, "codes of the wrong shape: %s", error.text);
	c->head.rows--;
	c->slices--;
	ok(vae_dequantise(&y, m, c, &error) == VAE_EDATA, "a slice too few: %s", error.text);
	c->slices++;
	c->method = (enum vae_method)2;
	ok(vae_dequantise(&y, m, c, &error) == VAE_EDATA, "a method of the future: %s", error.text);
	c->head.model_id ^= 1;
	ok(vae_dequantise(&y, m, c, &error) == VAE_EMODEL, "another model's codes: %s", error.text);
	t.y->head.columns--;
	ok(vae_quantise(&none, m, t.y, VAE_METHOD_RANGE, 0, &error) == VAE_EARG,
	   "latents of the wrong shape: %s", error.text);
	t.y->head.columns++;
	for (int effort = -1; effort <= VAE_EFFORT_MAX + 1; effort += VAE_EFFORT_MAX + 2)
		ok(vae_quantise(&none, m, t.y, VAE_METHOD_RANGE, effort, &error) == VAE_EARG, "%s",
		   error.text);
	t.y->head.model_id ^= 1;
	ok(vae_decode(&z, m, t.y, &error) == VAE_EMODEL && !z, "another model's latents: %s",
	   error.text);
	ok(vae_encode(&y, m, x, NAN, &error) == VAE_EARG &&
	       vae_encode(&y, m, x, 100.5, &error) == VAE_EARG,
	   "qualities out of range");
	ok(part_of_latents(&z, m, t.quantised[0], NULL, 2, 0) == VAE_EARG && !z, "by 2: %s",
	   error.text);
	for (size_t i = 0; i < floats_of(t.quantised[0]); i++)
		t.quantised[0]->y[i] = i & 1 ? 3e38f : -3e38f;
	ok(vae_decode(&z, m, t.quantised[0], &error) == 0,
	   "latents that overflow: a picture, if not a pretty one");
	vae_image_free(z);
	results_clear(&t);
	vae_image_free(x);
}

static void test_hint(struct vae_model *m)
{
	struct vae_image *x = picture(20, 20, 255, VAE_RGB);
	m->path = strdup("/models/toy.safetensors");
	m->by_path = true;
	struct results t = run_pipeline(m, x, 30);
	ok(!t.rc && !strcmp(t.y->model_hint, m->path) && !strcmp(t.quantised[0]->model_hint, m->path),
	   "latents carry the path of a model given by path");
	results_clear(&t);
	vae_image_free(x);
	free(m->path);
	m->path = NULL;
	m->by_path = false;
}

/* side 0: the model's own size */
static struct vae_image *sample(const struct vae_model *m, uint64_t seed, uint64_t index,
                                uint32_t side)
{
	struct vae_sample_options options = {
		.width = side, .height = side, .quality = 70, .seed = seed, .index = index};
	struct vae_latents_rows *y;
	struct vae_image_rows *rows;
	struct vae_image *x = NULL;
	if (vae_sample_rows(&y, m, &options, &error))
		return NULL;
	if (!vae_decode_rows(&rows, m, y, NULL, &error)) {
		vae_image_rows_collect(&x, rows, &error);
		vae_image_rows_free(rows);
	}
	vae_latents_rows_free(y);
	return x;
}

/* Samples of 2 x 2 slices depend on their seed and number, and not on the number of threads. */
static void test_samples(const struct vae_model *m)
{
	struct vae_sample_options options = {.quality = 50, .max_pixels = 100000};
	struct vae_latents_rows *none = NULL;
	struct vae_image *x[4];
	size_t bytes = 1030 * 1030 * 3 * sizeof(uint16_t);
	for (int i = 0; i < 4; i++) {
		omp_set_num_threads(i == 1 ? 3 : 1);
		x[i] = sample(m, 5 + (i == 3), i == 2, 1030);
	}
	if (ok(x[0] && x[1] && x[2] && x[3], "samples: %s", error.text)) {
		ok(!memcmp(x[0]->colour, x[1]->colour, bytes), "samples: the same from three threads");
		ok(memcmp(x[0]->colour, x[2]->colour, bytes) && memcmp(x[0]->colour, x[3]->colour, bytes),
		   "samples: others for another number or seed");
	}
	for (int i = 0; i < 4; i++)
		vae_image_free(x[i]);
	ok(vae_sample_rows(&none, m, &options, &error) == VAE_ELIMIT && !none, "samples: %s",
	   error.text);
	options.quality = NAN;
	ok(vae_sample_rows(&none, m, &options, &error) == VAE_EARG && !none, "samples: %s", error.text);
	options = (struct vae_sample_options){.width = 20, .quality = 50};
	ok(vae_sample_rows(&none, m, &options, &error) == VAE_EARG && !none, "samples: %s", error.text);
}

static void test_mlp(const struct vae_model *m)
{
	struct vae_image *x = picture(8, 9, 255, VAE_GRAYSCALE), *a = NULL, *b = NULL, *c = NULL;
	struct vae_latents *y = NULL;
	test_picture(m, 7, 9, 255, VAE_GRAYSCALE, 100);
	test_picture(m, 7, 9, 65535, VAE_GRAYSCALE_ALPHA, 0);
	test_picture(m, 7, 9, 1, VAE_BLACKANDWHITE, 50);
	ok(vae_encode(&y, m, x, 50, &error) == VAE_EMODEL && !y, "mlp: %s", error.text);
	a = sample(m, 7, 0, 0);
	b = sample(m, 7, 0, 0);
	c = sample(m, 7, 1, 0);
	ok(a && b && c && a->geometry.format == VAE_PGM && !memcmp(a->colour, b->colour, 63 * 2) &&
	       memcmp(a->colour, c->colour, 63 * 2),
	   "samples: the same for the same index, others for others");
	vae_image_free(a);
	vae_image_free(b);
	vae_image_free(c);
	vae_image_free(x);
	test_windows(m, 7, 9, 255, VAE_GRAYSCALE_ALPHA);
	x = picture(7, 9, 255, VAE_GRAYSCALE);
	a = NULL;
	ok(!vae_encode(&y, m, x, 50, &error) && part_of_latents(&a, m, y, NULL, 4, 0) == VAE_EARG && !a,
	   "mlp: %s", error.text);
	vae_latents_free(y);
	vae_image_free(x);
}

int main(void)
{
	test_instruction_sets();
	struct vae_model *photo = toy_new(TOY_PHOTO), *four = toy_new(TOY_STEPS),
					 *integers = toy_new(TOY_INT16), *mlp = toy_new(TOY_MLP);
	if (!ok(photo && four && integers && mlp, "models"))
		return tap_done();
	test_parallel();
	test_picture(four, 1100, 77, 255, VAE_RGB, 70);
	test_picture(integers, 1100, 77, 255, VAE_RGB, 70);
	test_picture(photo, 1, 1, 255, VAE_RGB, 50);
	test_picture(photo, 70 * 16 - 3, 5 * 16, 255, VAE_RGB, 80);
	test_picture(photo, 1, 2999, 255, VAE_RGB_ALPHA, 100);
	test_picture(photo, 3000, 1, 65535, VAE_RGB, 0);
	test_picture(photo, 131, 200, 1023, VAE_GRAYSCALE_ALPHA, 33.3);
	test_picture(photo, 50, 47, 1, VAE_BLACKANDWHITE, 60);
	test_parts(photo);
	test_means(TOY_PHOTO);
	test_refusals(photo);
	test_samples(photo);
	test_hint(photo);
	test_mlp(mlp);
	toy_free(photo);
	toy_free(four);
	toy_free(integers);
	toy_free(mlp);
	return tap_done();
}
