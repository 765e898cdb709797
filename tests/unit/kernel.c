/* kernel.c - every kernel of every instruction set that this machine runs, against plain chains
 * written here. Inputs end at an unreadable page and outputs are between canaries, so that an
 * access outside is detected. */
#include "base/bytes.h"
#include "base/random.h"
#include "kernel/kernel.h"
#include "tap.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct vae_random random_state;

/* ---- arrays ---------------------------------------------------------------------------------- */

/* Allocates n floats that end at an unreadable page, with a canary before the first (as near as the
 * page's start allows). */
#define CANARY 16
struct array {
	float *data;
	size_t n, map_bytes;
	void *map;
};

static const float canary = 1234.5f;

static struct array array_new(size_t n)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE),
		   bytes = ((n + CANARY) * sizeof(float) + page - 1) / page * page;
	struct array a = {.n = n, .map_bytes = bytes + page};
	a.map = mmap(NULL, a.map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (a.map == MAP_FAILED || mprotect((char *)a.map + bytes, page, PROT_NONE)) {
		printf("Bail out! no memory\n");
		exit(1);
	}
	a.data = (float *)((char *)a.map + bytes) - n;
	for (size_t i = 1; i <= CANARY; i++)
		a.data[-(ptrdiff_t)i] = canary;
	return a;
}

static bool array_intact(const struct array *a)
{
	for (size_t i = 1; i <= CANARY; i++)
		if (a->data[-(ptrdiff_t)i] != canary)
			return false;
	return true;
}

static void array_free(struct array *a) { munmap(a->map, a->map_bytes); }

static float value(void)
{
	uint32_t kind = vae_random_below(&random_state, 64);
	if (kind == 0)
		return 0;
	if (kind == 1)
		return -0.0f;
	float x = (float)vae_random_normal(&random_state);
	return kind == 2 ? x * 1e-39f : x;
}

static struct array array_random(size_t n)
{
	struct array a = array_new(n);
	for (size_t i = 0; i < n; i++)
		a.data[i] = value();
	return a;
}

static struct array array_copy(const struct array *from)
{
	struct array a = array_new(from->n);
	memcpy(a.data, from->data, a.n * sizeof(float));
	return a;
}

/* Compares bits; for NaN only that it is one (IEEE 754 leaves its sign and payload to the machine).
 */
static bool same(const float *x, const float *y, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (memcmp(x + i, y + i, sizeof *x) && !(isnan(x[i]) && isnan(y[i])))
			return false;
	return true;
}

static bool close_to(const float *x, const double *y, size_t n, double tolerance)
{
	for (size_t i = 0; i < n; i++)
		if (!(fabs(x[i] - y[i]) <= tolerance * (1 + fabs(y[i]))))
			return false;
	return true;
}

static double *doubles(const float *x, size_t n)
{
	double *y = calloc(n + 1, sizeof *y);
	for (size_t i = 0; y && i < n; i++)
		y[i] = x[i];
	return y;
}

static size_t below(size_t n) { return vae_random_below(&random_state, (uint32_t)n); }

/* ---- matrix product -------------------------------------------------------------------------- */

static float activate(float v, float slope) { return slope == 1 ? v : v > 0 ? v : v * slope; }

static void plain_gemm(const struct vae_gemm *g, const float *b)
{
	for (size_t i = 0; i < g->m; i++)
		for (size_t j = 0; j < g->n; j++) {
			float chain = g->bias ? g->bias[j] : 0;
			for (size_t p = 0; p < g->k; p++)
				chain = fmaf(g->a[i * g->a_row + p * g->a_step], b[p * g->n + j], chain);
			chain = activate(chain, g->slope);
			g->c[i * g->c_row + j] =
				g->residual ? chain + g->residual[i * g->residual_row + j] : chain;
		}
}

struct gemm_case {
	size_t m, n, k;
	bool transposed, bias, leaky, residual, inplace, special;
};

/* Allocates the working memory of products, at the edge of an unreadable page and full of NaN. */
static struct array room_new(void)
{
	struct array room = array_new(VAE_GEMM_ROOM);
	for (size_t i = 0; i < room.n; i++)
		room.data[i] = NAN;
	return room;
}

/* Compares the whole of c, so that rows outside the n columns must be unchanged. */
static bool gemm_case_agrees(const struct vae_kernels *kernels, const struct gemm_case *t)
{
	size_t gap = below(3) * below(9), c_row = t->n + below(3) * below(9),
		   residual_row = t->inplace ? c_row : t->n + below(5);
	size_t a_row = t->transposed ? 1 : t->k + gap, a_step = t->transposed ? t->m + gap : 1;
	size_t a_size = t->m && t->k ? (t->m - 1) * a_row + (t->k - 1) * a_step + 1 : 0;
	size_t c_size = t->m && t->n ? (t->m - 1) * c_row + t->n : 0;
	struct array a = array_random(a_size), b = array_random(t->k * t->n), bias = array_random(t->n);
	struct array residual = array_random(t->m && t->n ? (t->m - 1) * residual_row + t->n : 0);
	struct array c = array_random(c_size), expected = array_copy(&c), split = array_copy(&c),
				 work = room_new();
	float *packed =
		aligned_alloc(64, (vae_packed_size(t->k, t->n) * sizeof(float) + 63) / 64 * 64 + 64);
	if (t->special && a_size)
		a.data[below(a_size)] = below(2) ? INFINITY : NAN;

	vae_pack(packed, b.data, t->k, t->n, t->n, 1);
	struct vae_gemm g = {
		.m = t->m,
		.n = t->n,
		.k = t->k,
		.a = a.data,
		.a_row = a_row,
		.a_step = a_step,
		.b = packed,
		.bias = t->bias ? bias.data : NULL,
		.slope = t->leaky ? 0.125f : 1,
		.c_row = c_row,
		.residual = t->residual ? residual.data : NULL,
		.residual_row = residual_row,
		.room = work.data,
	};
	struct array *const into[] = {&expected, &c, &split};
	for (int run = 0; run < 3; run++) {
		g.c = into[run]->data;
		if (t->residual && t->inplace)
			g.residual = g.c;
		if (run == 0)
			plain_gemm(&g, b.data);
		else if (run == 1)
			kernels->gemm(&g);
		else { /* any split of the rows */
			struct vae_gemm head = g, tail = g;
			head.m = below(t->m + 1);
			tail.m = t->m - head.m;
			tail.a += head.m * a_row;
			tail.c += head.m * c_row;
			if (g.residual)
				tail.residual += head.m * residual_row;
			kernels->gemm(&tail);
			kernels->gemm(&head);
		}
	}
	bool good = same(c.data, expected.data, c_size) && same(split.data, expected.data, c_size) &&
	            array_intact(&c) && array_intact(&split) && array_intact(&work);
	free(packed);
	struct array *all[] = {&a, &b, &bias, &residual, &c, &expected, &split, &work};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		array_free(all[i]);
	return good;
}

static void test_gemm(const struct vae_kernels *kernels)
{
#define SHAPE(rows, columns, steps) .m = rows, .n = columns, .k = steps
	static const struct gemm_case fixed[] = {
		{SHAPE(0, 0, 0)},
		{SHAPE(0, 5, 3)},
		{SHAPE(5, 0, 3)},
		{SHAPE(1, 1, 0), .bias = true},
		{SHAPE(1, 1, 1)},
		{SHAPE(13, 33, 0), .bias = true, .leaky = true, .residual = true},
		{SHAPE(96, 256, 64), .leaky = true},
		{SHAPE(97, 257, 65), .bias = true},
		{SHAPE(200, 48, 256), .residual = true, .inplace = true},
		{SHAPE(30, 80, 257), .bias = true, .leaky = true},
		{SHAPE(100, 300, 513), .residual = true},
		{SHAPE(64, 96, 1000), .transposed = true, .residual = true, .inplace = true},
		{SHAPE(128, 320, 300), .transposed = true},
		{SHAPE(26, 40, 70), .bias = true, .special = true},
		{SHAPE(26, 40, 70), .leaky = true, .special = true},
	};
	int wrong = 0;
	for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
		wrong += !gemm_case_agrees(kernels, &fixed[i]);
	ok(!wrong, "%s: gemm: chosen shapes are the plain chain, bit for bit",
	   vae_isa_name(kernels->isa));
	wrong = 0;
	for (int i = 0; i < 400; i++) {
		struct gemm_case t = {
			.m = below(40),
			.n = below(i % 8 ? 70 : 600),
			.k = below(i % 16 ? 40 : 600),
			.transposed = below(3) == 0,
			.bias = below(2),
			.leaky = below(2),
			.residual = below(2),
			.inplace = below(2),
			.special = below(4) == 0,
		};
		if (!gemm_case_agrees(kernels, &t)) {
			wrong++;
			printf("# m %zu n %zu k %zu transposed %d bias %d leaky %d residual %d inplace %d "
			       "special %d\n",
			       t.m, t.n, t.k, t.transposed, t.bias, t.leaky, t.residual, t.inplace, t.special);
		}
	}
	ok(!wrong, "%s: gemm: random shapes, in one piece or two, are the plain chain, bit for bit",
	   vae_isa_name(kernels->isa));
}

/* Rounds to nearest, ties to even; numbers under 2^-126 become 0, as the instructions do. */
static double rounded_to_bf16(float x)
{
	uint32_t bits;
	memcpy(&bits, &x, sizeof bits);
	bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000;
	memcpy(&x, &bits, sizeof bits);
	return fabsf(x) < 0x1p-126f ? 0 : x;
}

/* Sums rounded operands in double: results of bf16 may differ only by the roundings of their float
 * sums. */
static void rounded_gemm(const struct vae_gemm *g, const float *b, size_t b_row, size_t b_step,
                         double *c, double *room)
{
	for (size_t i = 0; i < g->m; i++)
		for (size_t j = 0; j < g->n; j++) {
			double sum = g->bias ? g->bias[j] : 0, size = fabs(sum);
			for (size_t p = 0; p < g->k; p++) {
				double x = rounded_to_bf16(g->a[i * g->a_row + p * g->a_step]) *
				           rounded_to_bf16(b[p * b_row + j * b_step]);
				sum += x;
				size += fabs(x);
			}
			sum = sum > 0 ? sum : sum * g->slope;
			if (g->residual)
				sum += g->residual[i * g->residual_row + j];
			c[i * g->c_row + j] = sum;
			room[i * g->c_row + j] = 2e-7 * sqrt((double)g->k + 4) * (size + fabs(sum));
		}
}

static bool bf16_case_agrees(const struct vae_bf16 *bf16, const struct gemm_case *t, bool turned)
{
	size_t gap = below(3) * below(9), c_row = t->n + below(3) * below(9),
		   residual_row = t->inplace ? c_row : t->n + below(5);
	size_t a_row = t->transposed ? 1 : t->k + gap, a_step = t->transposed ? t->m + gap : 1;
	size_t b_row = turned ? 1 : t->n + gap, b_step = turned ? t->k + gap : 1,
		   size = vae_packed_size((t->k + 1) / 2, t->n);
	size_t c_size = t->m && t->n ? (t->m - 1) * c_row + t->n : 0;
	struct array a = array_random(t->m && t->k ? (t->m - 1) * a_row + (t->k - 1) * a_step + 1 : 0),
				 bias = array_random(t->n);
	struct array b = array_random(t->n && t->k ? (t->n - 1) * b_step + (t->k - 1) * b_row + 1 : 0),
				 c = array_random(c_size);
	struct array residual = array_random(t->m && t->n ? (t->m - 1) * residual_row + t->n : 0),
				 work = room_new();
	double *expected = doubles(c.data, c_size), *room = calloc(c_size + 1, sizeof *room);
	float *packed = aligned_alloc(64, (size + 16) * sizeof(float));
	bool good = expected && room && packed && size <= vae_packed_size(t->k, t->n);
	struct vae_gemm g = {
		.m = t->m,
		.n = t->n,
		.k = t->k,
		.a = a.data,
		.a_row = a_row,
		.a_step = a_step,
		.b = packed,
		.bias = t->bias ? bias.data : NULL,
		.slope = t->leaky ? 0.125f : 1,
		.c = c.data,
		.c_row = c_row,
		.residual_row = residual_row,
		.residual = !t->residual ? NULL
	                : t->inplace ? c.data
	                             : residual.data,
		.room = work.data,
	};
	packed[size] = canary;
	bf16->pack(packed, b.data, t->k, t->n, b_row, b_step);
	rounded_gemm(&g, b.data, b_row, b_step, expected, room);
	bf16->gemm(&g);
	for (size_t i = 0; i < c_size; i++)
		good &= fabs(c.data[i] - expected[i]) <= room[i];
	good &= packed[size] == canary && array_intact(&c) && array_intact(&work);
	free(packed);
	free(expected);
	free(room);
	struct array *all[] = {&a, &b, &bias, &residual, &c, &work};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		array_free(all[i]);
	return good;
}

static void test_bf16(const struct vae_bf16 *bf16)
{
	int wrong = 0;
	for (int i = 0; i < 600; i++) {
		struct gemm_case t = {
			.m = below(i % 8 ? 40 : 250),
			.n = below(i % 8 ? 70 : 500),
			.k = below(i % 16 ? 80 : 1500),
			.transposed = below(2),
			.bias = below(2),
			.leaky = below(2),
			.residual = below(2),
			.inplace = below(2),
		};
		bool turned = below(2);
		if (!bf16_case_agrees(bf16, &t, turned) && wrong++ < 5)
			printf("# m %zu n %zu k %zu transposed %d bias %d leaky %d residual %d inplace %d, b "
			       "turned %d\n",
			       t.m, t.n, t.k, t.transposed, t.bias, t.leaky, t.residual, t.inplace, turned);
	}
	ok(!wrong,
	   "%s: gemm: random shapes are sums of the rounded operands, whose transposes pack alike",
	   bf16->name);
}

static void test_pack(void)
{
	int wrong = 0;
	for (int i = 0; i < 200; i++) {
		size_t k = below(50), n = below(100), row, step, gap = below(4);
		bool transposed = below(2);
		row = transposed ? 1 : n + gap;
		step = transposed ? k + gap : 1;
		size_t size = vae_packed_size(k, n);
		struct array source = array_random(k && n ? (k - 1) * row + (n - 1) * step + 1 : 0);
		float *packed = aligned_alloc(64, size * sizeof(float) + 64);
		packed[size] = canary;
		vae_pack(packed, source.data, k, n, row, step);
		wrong += size != (n + 31) / 32 * 32 * k || packed[size] != canary;
		for (size_t j = 0; j < (n + 31) / 32 * 32; j++)
			for (size_t p = 0; p < k; p++) {
				float expected = j < n ? source.data[p * row + j * step] : 0;
				wrong += !same(packed + j / 32 * 32 * k + p * 32 + j % 32, &expected, 1);
			}
		free(packed);
		array_free(&source);
	}
	ok(!wrong, "pack: matrices and transposes, padded with 0");
}

/* ---- integer products ------------------------------------------------------------------------ */

/* Rounds half to even after bounding; NaN becomes the lower bound. */
static int64_t plain_integer(float v, float factor)
{
	float x = v * factor;
	x = x > -VAE_INT16_MOST ? x : -VAE_INT16_MOST;
	x = x < VAE_INT16_MOST ? x : VAE_INT16_MOST;
	return lrintf(x);
}

/* The largest magnitude of a row, within the bounds of kernel.h; NaN is not greater. */
static float plain_largest(const float *a, size_t k)
{
	float most = 0x1p-100f;
	for (size_t p = 0; p < k; p++)
		most = fabsf(a[p]) > most ? fabsf(a[p]) : most;
	return most < 0x1p100f ? most : 0x1p100f;
}

static void plain_int16(const struct vae_gemm *g, const int16_t *b)
{
	static int64_t a[VAE_INT16_STEPS];
	for (size_t i = 0; i < g->m; i++) {
		float most = plain_largest(g->a + i * g->a_row, g->k), scale = most / VAE_INT16_MOST,
			  factor = g->factor == 0 ? VAE_INT16_MOST / most : g->factor;
		for (size_t p = 0; p < g->k; p++)
			a[p] = plain_integer(g->a[i * g->a_row + p], factor);
		for (size_t j = 0; j < g->n; j++) {
			int64_t sum = 0;
			for (size_t p = 0; p < g->k; p++)
				sum += a[p] * b[p * g->n + j];
			float product = (float)sum * g->unit[j];
			product = g->factor == 0 ? product * scale : product;
			float v = activate(product + g->bias[j], g->slope);
			g->c[i * g->c_row + j] = g->residual ? v + g->residual[i * g->residual_row + j] : v;
		}
	}
}

/* Fills b with integers whose columns sum up to VAE_INT16_SUM at most, some of them exactly. */
static void random_integers(int16_t *b, size_t k, size_t n)
{
	for (size_t j = 0; j < n; j++) {
		uint32_t left = VAE_INT16_SUM;
		for (size_t p = 0; p < k; p++) {
			uint32_t most = left < INT16_MAX ? left : INT16_MAX,
					 size = below(4) ? vae_random_below(&random_state, most / (1 + below(k)) + 1)
			                         : most;
			left -= size;
			b[p * n + j] = (int16_t)(below(2) ? (int32_t)size : -(int32_t)size);
		}
	}
}

/* own: rows have their own factors; special: an input is not finite. */
static bool int16_case_agrees(const struct vae_int16 *products, size_t m, size_t n, size_t k,
                              bool leaky, bool residual, bool own, bool special)
{
	size_t a_row = k + below(9), c_row = n + below(9), size = vae_packed_size((k + 1) / 2, n);
	struct array a = array_random(m ? (m - 1) * a_row + k : 0), bias = array_random(n),
				 unit = array_random(n), c = array_random(m && n ? (m - 1) * c_row + n : 0),
				 expected = array_copy(&c), work = room_new();
	int16_t *b = malloc(2 * k * n + 1);
	uint8_t *bytes = malloc(2 * k * n + 1);
	float *packed = aligned_alloc(64, size * sizeof(float) + 64);
	float *from_floats = aligned_alloc(64, size * sizeof(float) + 64);
	struct array floats = array_new(k * n);
	if (special && a.n)
		a.data[below(a.n)] = below(2) ? -INFINITY : NAN;
	random_integers(b, k, n);
	for (size_t i = 0; i < k * n; i++) {
		vae_put16(bytes + 2 * i, (uint16_t)b[i]);
		floats.data[i] = b[i];
	}
	packed[size] = canary;
	bool good = products->pack(packed, bytes, k, n) && packed[size] == canary;
	vae_pack_int16(from_floats, floats.data, k, n);
	good &= !memcmp(packed, from_floats, size * sizeof *packed);
	struct vae_gemm g = {.m = m, .n = n, .k = k, .a = a.data, .a_row = a_row, .a_step = 1};
	g.b = packed;
	g.bias = bias.data;
	g.slope = leaky ? 0.125f : 1;
	g.residual_row = g.c_row = c_row;
	g.room = work.data;
	g.factor = own ? 0 : (float)(8 << below(14));
	g.unit = unit.data;
	g.c = expected.data;
	g.residual = residual ? g.c : NULL;
	plain_int16(&g, b);
	g.c = c.data;
	g.residual = residual ? g.c : NULL;
	products->gemm(&g);
	good &= same(c.data, expected.data, c.n) && array_intact(&c) && array_intact(&work);
	free(b);
	free(bytes);
	free(packed);
	free(from_floats);
	struct array *all[] = {&a, &bias, &unit, &c, &expected, &work, &floats};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		array_free(all[i]);
	return good;
}

/* Whether a column of integers is a column of numbers, each rounded, and as fine as it can be. */
static bool column_is_rounded(const float *packed, float unit, const struct vae_matrix *m, size_t j)
{
	const int16_t *pairs = (const void *)packed;
	double sum = 0, largest = 0;
	uint64_t integers = 0;
	bool good = true;
	for (size_t p = 0; p < m->k; p++) {
		double v = (double)m->number[p * m->row + j];
		sum += fabs(v);
		largest = fmax(largest, fabs(v));
	}
	good &= unit == (float)vae_int16_unit(sum, largest, m->k);
	for (size_t p = 0; p < m->k; p++) {
		int16_t q = pairs[(j / 32 * 32 * ((m->k + 1) / 2) + p / 2 * 32 + j % 32) * 2 + p % 2];
		double exact = (double)m->number[p * m->row + j] / (double)unit;
		good &= fabs((double)q - exact) < 0.505;
		integers += (uint64_t)abs(q);
	}
	return good && integers <= VAE_INT16_SUM &&
	       (largest < 1e-20 || (double)integers > 0.99 * VAE_INT16_SUM - (double)m->k ||
	        largest / (double)unit > INT16_MAX - 1);
}

static void test_rounding(const struct vae_int16 *products)
{
	int wrong = 0;
	for (int i = 0; i < 60; i++) {
		size_t k = below(i % 8 ? 60 : 800), n = 1 + below(100);
		size_t size = vae_packed_size((k + 1) / 2, n), units = vae_packed_size(1, n);
		struct array source = array_random(k * n);
		for (size_t p = 0; p < k; p++) { /* columns of 0, of tiny numbers, of one large one */
			source.data[p * n] = 0;
			if (n > 1)
				source.data[p * n + 1] *= 0x1p-120f;
			if (n > 2)
				source.data[p * n + 2] *= p == k / 2 ? 1e20f : 1e10f;
		}
		struct vae_matrix rows = {source.data, k, n, 32, n};
		float *whole = aligned_alloc(64, (vae_packed_size(k, n) + 16) * sizeof *whole);
		float *packed[2], *unit[2];
		vae_pack(whole, source.data, k, n, n, 1);
		for (int panels = 0; panels < 2; panels++) {
			packed[panels] = aligned_alloc(64, (size + 16) * sizeof *whole);
			unit[panels] = aligned_alloc(64, (units + 16) * sizeof *whole);
			packed[panels][size] = unit[panels][units] = canary;
			products->round(packed[panels], unit[panels],
			                panels ? &(struct vae_matrix){whole, k, n, k * 32, 32} : &rows);
			wrong += packed[panels][size] != canary || unit[panels][units] != canary;
		}
		wrong += memcmp(packed[0], packed[1], size * sizeof *whole) != 0;
		wrong += memcmp(unit[0], unit[1], units * sizeof *whole) != 0;
		for (size_t j = 0; j < n; j++)
			wrong += !column_is_rounded(packed[0], unit[0][j], &rows, j);
		for (int panels = 0; panels < 2; panels++) {
			free(packed[panels]);
			free(unit[panels]);
		}
		free(whole);
		array_free(&source);
	}
	ok(!wrong, "%s: matrices are rounded by column, as finely as their sums allow",
	   vae_int16_name(products->kind));
}

static void test_int16(const struct vae_int16 *products)
{
	const char *name = vae_int16_name(products->kind);
	int wrong = 0;
	for (int i = 0; i < 120; i++) {
		size_t m = below(i % 8 ? 40 : 200), n = below(i % 8 ? 70 : 400),
			   k = below(i % 16 ? 90 : 700);
		wrong += !int16_case_agrees(products, m, n, k, i % 2, i % 3 == 0, i % 7 > 3, i % 5 == 0);
	}
	wrong += !int16_case_agrees(products, 30, 40, VAE_INT16_STEPS, true, false, false, false);
	wrong += !int16_case_agrees(products, 30, 40, VAE_INT16_STEPS, true, false, true, false);
	wrong += !int16_case_agrees(products, 25, 33, 0, true, true, false, false);
	wrong += !int16_case_agrees(products, 25, 33, 0, true, true, true, false);
	ok(!wrong, "%s: integer products are the plain sums, bit for bit", name);

	/* One more than a column may sum up to, by any sign and in any row. */
	int taken = 0;
	for (size_t k = 5; k < 9; k++)
		for (size_t over = 0; over < 2; over++) {
			int16_t b[9 * 3] = {0};
			uint8_t bytes[sizeof b];
			float *packed = aligned_alloc(64, vae_packed_size(5, 3) * sizeof *packed);
			for (uint32_t p = 0, left = VAE_INT16_SUM + (uint32_t)over; p < k; p++) {
				uint32_t size = left < INT16_MAX ? left : INT16_MAX;
				b[(k - 1 - p) * 3 + k % 3] = (int16_t)(p % 2 ? (int32_t)size : -(int32_t)size);
				left -= size;
			}
			for (size_t p = 0; p < 3 * k; p++)
				vae_put16(bytes + 2 * p, (uint16_t)b[p]);
			taken += products->pack(packed, bytes, k, 3) != !over;
			free(packed);
		}
	ok(!taken, "%s: pack refuses a column whose magnitudes sum up to more than 32 bits bear", name);
}

/* ---- binary16 weights ------------------------------------------------------------------------ */

/* Tests every binary16 number, and matrices of all widths at any address, against conversion one by
 * one and vae_pack. */
static void test_pack_half(const struct vae_kernels *kernels)
{
	int wrong = 0;
	for (int i = 0; i < 200; i++) {
		size_t k = i ? below(50) : 1024, n = i ? below(100) : 64, bytes = 2 * k * n,
			   size = vae_packed_size(k, n);
		struct array room = array_new((bytes + 3) / 4 + 1); /* ends at the unreadable page */
		struct array plain = array_new(k * n);
		uint8_t *source = (uint8_t *)(room.data + room.n) - bytes - below(2);
		bool finite = true;
		for (size_t j = 0; j < k * n; j++) {
			uint16_t half = (uint16_t)(i ? below(65536) & (i % 4 ? 0xbfff : 0xffff) : j);
			vae_put16(source + 2 * j, half);
			plain.data[j] = vae_float_from_half(half);
			finite &= isfinite(plain.data[j]);
		}
		float *packed = aligned_alloc(64, size * sizeof(float) + 64),
			  *expected = aligned_alloc(64, size * sizeof(float) + 64);
		packed[size] = canary;
		vae_pack(expected, plain.data, k, n, n, 1);
		wrong += kernels->pack_half(packed, source, k, n) != finite || packed[size] != canary;
		for (size_t j = 0; j < size; j++)
			wrong += isfinite(expected[j]) && memcmp(packed + j, expected + j, sizeof *packed);
		free(packed);
		free(expected);
		array_free(&room);
		array_free(&plain);
	}
	ok(!wrong, "%s: pack_half: every binary16 number, bit for bit, and whether all are finite",
	   vae_isa_name(kernels->isa));
}

/* ---- depthwise ------------------------------------------------------------------------------- */

static float at(const struct vae_depthwise *d, size_t r, size_t q, size_t c)
{
	bool inside = d->above + r < d->above + d->rows + d->below && q < d->columns;
	return inside ? d->x[(ptrdiff_t)((r * d->columns + q) * d->channels + c)] : 0;
}

/* Returns a b + c, rounded once if fused, else twice. */
static float times_plus(float a, float b, float c, bool fused)
{
	float product = a * b;
	return fused ? fmaf(a, b, c) : product + c;
}

static void plain_depthwise(const struct vae_depthwise *d)
{
	size_t t = d->taps;
	for (size_t r = 0; r < d->rows; r++)
		for (size_t q = 0; q < d->columns; q++)
			for (size_t c = 0; c < d->channels; c++) {
				float chain = d->bias[c];
				for (size_t i = 0; i < t; i++)
					for (size_t j = 0; j < t; j++)
						chain = times_plus(at(d, r + i - t / 2, q + j - t / 2, c),
						                   d->w[(i * t + j) * d->channels + c], chain, d->fused);
				d->y[(r * d->columns + q) * d->channels + c] = chain;
			}
}

static bool depthwise_backward_agrees(const struct vae_kernels *kernels,
                                      const struct vae_depthwise *d)
{
	size_t t = d->taps, n = d->rows * d->columns * d->channels, w = t * t * d->channels;
	struct array dy = array_random(n), dx = array_random(n), dw = array_random(w),
				 dbias = array_random(d->channels);
	double *x_sum = doubles(dx.data, n), *w_sum = doubles(dw.data, w),
		   *bias_sum = doubles(dbias.data, d->channels);
	for (size_t r = 0; r < d->rows; r++)
		for (size_t q = 0; q < d->columns; q++)
			for (size_t c = 0; c < d->channels; c++) {
				double g = dy.data[(r * d->columns + q) * d->channels + c];
				bias_sum[c] += g;
				for (size_t i = 0; i < t; i++)
					for (size_t j = 0; j < t; j++) {
						size_t rr = r + i - t / 2, qq = q + j - t / 2;
						if (rr >= d->rows || qq >= d->columns)
							continue;
						x_sum[(rr * d->columns + qq) * d->channels + c] +=
							g * d->w[(i * t + j) * d->channels + c];
						w_sum[(i * t + j) * d->channels + c] += g * at(d, rr, qq, c);
					}
			}
	kernels->depthwise_backward(&(struct vae_depthwise_backward){
		d->rows, d->columns, d->channels, t, d->x, d->w, dy.data, dx.data, dw.data, dbias.data});
	bool good = close_to(dx.data, x_sum, n, 2e-5) && close_to(dw.data, w_sum, w, 2e-5) &&
	            close_to(dbias.data, bias_sum, d->channels, 2e-5) && array_intact(&dx) &&
	            array_intact(&dw) && array_intact(&dbias);
	free(x_sum);
	free(w_sum);
	free(bias_sum);
	struct array *all[] = {&dy, &dx, &dw, &dbias};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		array_free(all[i]);
	return good;
}

static void test_depthwise(const struct vae_kernels *kernels)
{
	int forward = 0, backward = 0;
	for (int i = 0; i < 150; i++) {
		struct vae_depthwise d = {.rows = below(12),
		                          .columns = below(i % 2 ? 9 : 24),
		                          .channels = below(i % 5 ? 40 : 150),
		                          .taps = below(2) ? 3 : 5,
		                          .fused = i % 2};
		size_t n = d.rows * d.columns * d.channels, line = d.columns * d.channels,
			   half = d.taps / 2;
		if (i % 3) { /* a window's rows; only the count may say whether further rows exist */
			d.above = below(half + 1);
			d.below = below(half + 1);
		}
		struct array x = array_random((d.above + d.rows + d.below) * line),
					 w = array_random(d.taps * d.taps * d.channels),
					 bias = array_random(d.channels);
		struct array y = array_random(n), expected = array_new(n);
		bool infinite = i % 4 == 1 && w.n;
		if (infinite)
			w.data[below(w.n)] =
				INFINITY; /* times the +0 outside: NaN; skipping the tap would give a number */
		d.x = x.data + d.above * line;
		d.above += d.above == half ? below(9) : 0;
		d.below += d.below == half ? below(9) : 0;
		d.w = w.data;
		d.bias = bias.data;
		d.y = expected.data;
		plain_depthwise(&d);
		d.y = y.data;
		kernels->depthwise(&d);
		forward += !(same(y.data, expected.data, n) && array_intact(&y));
		d.above = d.below = 0;
		backward += !infinite && !depthwise_backward_agrees(kernels, &d);
		struct array *all[] = {&x, &w, &bias, &y, &expected};
		for (size_t a = 0; a < sizeof all / sizeof *all; a++)
			array_free(all[a]);
	}
	ok(!forward, "%s: depthwise 3x3 and 5x5 are the plain chain, bit for bit",
	   vae_isa_name(kernels->isa));
	ok(!backward, "%s: depthwise backward", vae_isa_name(kernels->isa));
}

/* ---- pointwise ------------------------------------------------------------------------------- */

enum { PICTURES = 5, VECTORS = 3 };

/* Tests each kernel on five pictures p and three channel vectors v: once on floats, and its formula
 * on doubles. */
static void test_pointwise(const struct vae_kernels *kernels)
{
	int forward = 0, backward = 0;
	for (int round = 0; round < 60; round++) {
		size_t rows = below(20), channels = below(70), n = rows * channels;
		struct array p[PICTURES], v[VECTORS], y = array_random(n), same_place;
		double *sum[PICTURES], *vector_sum[VECTORS];
		for (int i = 0; i < PICTURES; i++)
			p[i] = array_random(n);
		for (int i = 0; i < VECTORS; i++)
			v[i] = array_random(channels);
		const float *x = p[0].data, *h = p[1].data, *s = v[0].data, *o = v[1].data;
		struct array expected = array_new(n);
		float *e = expected.data;

#define FORWARD(formula, call, call_in_place)                                                 \
	do {                                                                                      \
		for (size_t i = 0; i < n; i++) {                                                      \
			size_t c = i % channels;                                                          \
			(void)c;                                                                          \
			e[i] = formula;                                                                   \
		}                                                                                     \
		call;                                                                                 \
		same_place = array_copy(&p[0]);                                                       \
		call_in_place;                                                                        \
		forward += !(same(y.data, e, n) && same(same_place.data, e, n) && array_intact(&y) && \
		             array_intact(&same_place));                                              \
		array_free(&same_place);                                                              \
	} while (0)
		FORWARD(x[i] * s[c], kernels->gain(y.data, x, s, rows, channels),
		        kernels->gain(same_place.data, same_place.data, s, rows, channels));
		FORWARD(x[i] + s[c], kernels->shift(y.data, x, s, rows, channels),
		        kernels->shift(same_place.data, same_place.data, s, rows, channels));
		bool fused = round % 2;
		FORWARD(times_plus(x[i], 1 + s[c], o[c], fused),
		        kernels->modulate(y.data, x, s, o, rows, channels, fused),
		        kernels->modulate(same_place.data, same_place.data, s, o, rows, channels, fused));
		FORWARD(times_plus(h[i], 1 + s[c], x[i], fused),
		        kernels->gate(y.data, x, h, s, rows, channels, fused),
		        kernels->gate(same_place.data, same_place.data, h, s, rows, channels, fused));
		FORWARD(x[i] + h[i], (n ? memcpy(y.data, x, n * sizeof *x) : 0, kernels->add(y.data, h, n)),
		        kernels->add(same_place.data, h, n));
		FORWARD(x[i] * (h[i] > 0 ? 1 : 0.25f),
		        (n ? memcpy(y.data, x, n * sizeof *x) : 0,
		         kernels->slope_backward(y.data, h, 0.25f, n)),
		        kernels->slope_backward(same_place.data, h, 0.25f, n));

		for (int i = 0; i < PICTURES; i++)
			sum[i] = doubles(p[i].data, n);
		for (int i = 0; i < VECTORS; i++)
			vector_sum[i] = doubles(v[i].data, channels);
		/* p[3], p[4], v[1], v[2] accumulate; dy is p[2], the layer's input p[0], its vector v[0] */
		const float *dy = p[2].data;
		kernels->column_sum(v[1].data, dy, rows, channels);
		kernels->gain_backward(p[3].data, v[2].data, dy, x, s, rows, channels);
		kernels->modulate_backward(p[3].data, v[1].data, v[2].data, dy, x, s, rows, channels);
		kernels->gate_backward(p[3].data, p[4].data, v[1].data, dy, h, s, rows, channels);
		for (size_t i = 0; i < n; i++) {
			size_t c = i % channels;
			double g = dy[i];
			sum[3][i] += g * s[c] + g * (1 + s[c]) + g;
			sum[4][i] += g * (1 + s[c]);
			vector_sum[1][c] += g + g * x[i] + g * h[i];
			vector_sum[2][c] += g * x[i] + g;
		}
		for (int i = 0; i < PICTURES; i++)
			backward += !close_to(p[i].data, sum[i], n, 2e-5) + !array_intact(&p[i]);
		for (int i = 0; i < VECTORS; i++)
			backward += !close_to(v[i].data, vector_sum[i], channels, 2e-5) + !array_intact(&v[i]);
		for (int i = 0; i < PICTURES; i++)
			array_free(&p[i]), free(sum[i]);
		for (int i = 0; i < VECTORS; i++)
			array_free(&v[i]), free(vector_sum[i]);
		array_free(&y);
		array_free(&expected);
	}
	ok(!forward, "%s: pointwise forward kernels, also in place, bit for bit",
	   vae_isa_name(kernels->isa));
	ok(!backward, "%s: pointwise backward kernels", vae_isa_name(kernels->isa));
}

/* ---- training -------------------------------------------------------------------------------- */

static double clamped(double s) { return fmin(fmax(s, VAE_LOG_SCALE_MIN), VAE_LOG_SCALE_MAX); }

static double mass(double d, double s)
{
	double sigma = exp(s), far = fabs(d);
	return 0.5 * (erfc((far - 0.5) / sigma * M_SQRT1_2) - erfc((far + 0.5) / sigma * M_SQRT1_2));
}

static double plain_bits(double d, double s) { return -log2(fmax(mass(d, s), 1e-9)); }

static bool near(double x, double y, double relative, double absolute)
{
	return fabs(x - y) <= relative * fabs(y) + absolute;
}

static void test_gaussian(const struct vae_kernels *kernels)
{
	enum { N = 4003 };
	struct array d = array_new(N), s = array_new(N), dd = array_random(N), ds = array_random(N);
	for (int i = 0; i < N; i++) {
		s.data[i] = -3 + 10 * vae_random_uniform(&random_state);
		d.data[i] = (float)(vae_random_normal(&random_state) * exp(fmin(s.data[i], 6.2)) * 2 +
		                    vae_random_normal(&random_state) * 0.3);
	}
	d.data[0] = 0;
	d.data[1] = 0.5f;
	d.data[2] = -0.5f;
	struct array dd_before = array_copy(&dd), ds_before = array_copy(&ds);
	double total = 0, worst_bits = 0;
	for (int i = 0; i < N; i++) {
		double bits = plain_bits(d.data[i], clamped(s.data[i]));
		double got = kernels->gaussian_bits(d.data + i, s.data + i, 1, 1, NULL, NULL);
		worsen(&worst_bits, fabs(got - bits) / (bits + 0.01));
		total += bits;
	}
	double sum = kernels->gaussian_bits(d.data, s.data, N, 0.5f, dd.data, ds.data);
	ok(worst_bits < 1e-4, "%s: bits of a Gaussian, worst relative error %.1e",
	   vae_isa_name(kernels->isa), worst_bits);
	ok(near(sum, total, 1e-5, 0) && array_intact(&dd) && array_intact(&ds), "%s: the sum of bits",
	   vae_isa_name(kernels->isa));

	int wrong = 0, checked = 0;
	for (int i = 0; i < N; i++) {
		double x = d.data[i], y = clamped(s.data[i]), step = 1e-4;
		if (mass(x, y) < 1.1e-9)
			continue;
		double to_d = (plain_bits(x + step, y) - plain_bits(x - step, y)) / (2 * step);
		double to_s = (plain_bits(x, y + step) - plain_bits(x, y - step)) / (2 * step);
		if ((s.data[i] < y && to_s > 0) || (s.data[i] > y && to_s < 0))
			to_s = 0;
		bool good = near(dd.data[i] - dd_before.data[i], 0.5 * to_d, 1e-3, 1e-5) &&
		            near(ds.data[i] - ds_before.data[i], 0.5 * to_s, 1e-3, 1e-5);
		if (!good && wrong++ < 5)
			printf("# d %g log_scale %g: dd %g for %g, ds %g for %g\n", x, y,
			       dd.data[i] - dd_before.data[i], 0.5 * to_d, ds.data[i] - ds_before.data[i],
			       0.5 * to_s);
		checked++;
	}
	ok(!wrong && checked > N / 2, "%s: gradients of the bits by differences (%d points)",
	   vae_isa_name(kernels->isa), checked);

	float far[] = {1e6f, -1e6f, 40}, scale[] = {0, 0, -2}, to_d[3] = {0}, to_s[3] = {0};
	double bits = kernels->gaussian_bits(far, scale, 3, 1, to_d, to_s);
	ok(near(bits, 3 * -log2(1e-9), 1e-6, 0) && to_d[0] > 1 && to_d[0] < 100 &&
	       to_d[1] == -to_d[0] && to_s[0] < 0 && isfinite(to_s[0]) && to_d[2] > 0,
	   "%s: far away the cost is capped and the gradient finite and alive",
	   vae_isa_name(kernels->isa));
	struct array *all[] = {&d, &s, &dd, &ds, &dd_before, &ds_before};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		array_free(all[i]);
}

static void test_adam(const struct vae_kernels *kernels)
{
	enum { N = 77 };
	struct array w = array_random(N), m = array_random(N), v = array_random(N),
				 average = array_random(N), g = array_random(N);
	for (int i = 0; i < N; i++)
		v.data[i] = fabsf(v.data[i]);
	double *e_w = doubles(w.data, N), *e_m = doubles(m.data, N), *e_v = doubles(v.data, N),
		   *e_a = doubles(average.data, N);
	float scale = 0.5f, rate = 1e-2f, b1 = 0.9f, b2 = 0.99f, eps = 1e-6f, ema = 0.01f;
	for (int i = 0; i < N; i++) {
		double x = g.data[i] * scale;
		e_m[i] = b1 * e_m[i] + (1 - b1) * x;
		e_v[i] = b2 * e_v[i] + (1 - b2) * x * x;
		e_w[i] -= rate * e_m[i] / (sqrt(e_v[i]) + eps);
		e_a[i] += ema * (e_w[i] - e_a[i]);
	}
	kernels->adam(w.data, m.data, v.data, average.data, g.data, N, scale, rate, b1, b2, eps, ema);
	ok(close_to(w.data, e_w, N, 1e-5) && close_to(m.data, e_m, N, 1e-6) &&
	       close_to(v.data, e_v, N, 1e-6) && close_to(average.data, e_a, N, 1e-6) &&
	       array_intact(&w) && array_intact(&m) && array_intact(&v) && array_intact(&average),
	   "%s: a step of Adam", vae_isa_name(kernels->isa));
	struct array *all[] = {&w, &m, &v, &average, &g};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		array_free(all[i]);
	free(e_w);
	free(e_m);
	free(e_v);
	free(e_a);
}

static void test_momentum(const struct vae_kernels *kernels)
{
	enum { N = 77 };
	struct array w = array_random(N), m = array_random(N), x = array_random(N),
				 average = array_random(N), g = array_random(N);
	double *e_w = doubles(w.data, N), *e_m = doubles(m.data, N), *e_x = doubles(x.data, N),
		   *e_a = doubles(average.data, N);
	float scale = 0.5f, rate = 1e-2f, keep = 0.9f, ema = 0.01f;
	for (int i = 0; i < N; i++) {
		double y = g.data[i] * scale;
		e_m[i] = keep * e_m[i] + (1 - keep) * y;
		e_x[i] = keep * e_m[i] + (1 - keep) * y;
		e_w[i] -= rate * e_x[i];
		e_a[i] += ema * (e_w[i] - e_a[i]);
	}
	kernels->momentum(x.data, m.data, g.data, N, scale, keep);
	ok(close_to(m.data, e_m, N, 1e-6) && close_to(x.data, e_x, N, 1e-6) && array_intact(&m) &&
	       array_intact(&x),
	   "%s: momentum", vae_isa_name(kernels->isa));
	kernels->descend(w.data, average.data, x.data, N, rate, ema);
	ok(close_to(w.data, e_w, N, 1e-6) && close_to(average.data, e_a, N, 1e-6) && array_intact(&w) &&
	       array_intact(&average),
	   "%s: a step along it", vae_isa_name(kernels->isa));
	struct array *all[] = {&w, &m, &x, &average, &g};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		array_free(all[i]);
	free(e_w);
	free(e_m);
	free(e_x);
	free(e_a);
}

/* ---- similarity ----------------------------------------------------------------------------- */

static float plain_window(const float *x, size_t step, const float *t)
{
	return t[5] * (x[0] + x[10 * step]) + t[4] * (x[step] + x[9 * step]) +
	       t[3] * (x[2 * step] + x[8 * step]) + t[2] * (x[3 * step] + x[7 * step]) +
	       t[1] * (x[4 * step] + x[6 * step]) + t[0] * x[5 * step];
}

/* Returns the similarity of the window at the top left of a and b. */
static float plain_similarity(const float *a, const float *b, size_t row, const float *tap,
                              bool luminance)
{
	float m[4], along[4][VAE_WINDOW], value_of[4][VAE_WINDOW];
	for (size_t y = 0; y < VAE_WINDOW; y++)
		for (size_t q = 0; q < 4; q++) {
			for (size_t x = 0; x < VAE_WINDOW; x++) {
				float u = a[y * row + x], v = b[y * row + x];
				value_of[q][x] = q == 0 ? u : q == 1 ? v : q == 2 ? u * u + v * v : u * v;
			}
			along[q][y] = plain_window(value_of[q], 1, tap);
		}
	for (size_t q = 0; q < 4; q++)
		m[q] = plain_window(along[q], 1, tap);
	float s = (2 * (m[3] - m[0] * m[1]) + 0.03f * 0.03f) /
	          (m[2] - (m[0] * m[0] + m[1] * m[1]) + 0.03f * 0.03f);
	float u = m[0] + 0.5f, v = m[1] + 0.5f;
	return luminance ? s * ((2 * (u * v) + 0.01f * 0.01f) / (u * u + v * v + 0.01f * 0.01f)) : s;
}

static double plain_chains(const float *x, size_t n)
{
	double chain[8] = {0}, sum = 0;
	for (size_t i = 0; i < n; i++)
		chain[i < n / 8 * 8 ? i % 8 : 0] += x[i];
	for (size_t k = 0; k < 8; k++)
		sum += chain[k];
	return sum;
}

static bool similarity_agrees(const struct vae_kernels *kernels, size_t rows, size_t columns,
                              bool luminance)
{
	static const float tap[6] = {0.266f, 0.213f, 0.109f, 0.036f, 0.0076f, 0.001f};
	size_t row = columns + 10 + below(4), size = (rows + 9) * row + columns + 10;
	struct array a = array_new(size), b = array_new(size);
	double sum[VAE_SIMILARITY_ROWS];
	float line[512];
	bool good = true;
	for (size_t i = 0; i < size; i++) {
		a.data[i] = vae_random_uniform(&random_state) - 0.5f;
		b.data[i] = below(3) ? a.data[i] : vae_random_uniform(&random_state) - 0.5f;
	}
	kernels->similarity(
		&(struct vae_similarity){rows, columns, a.data, b.data, row, tap, luminance, sum});
	for (size_t y = 0; y < rows; y++) {
		for (size_t x = 0; x < columns; x++)
			line[x] =
				plain_similarity(a.data + y * row + x, b.data + y * row + x, row, tap, luminance);
		good &= sum[y] == plain_chains(line, columns);
	}
	array_free(&a);
	array_free(&b);
	return good;
}

/* Adds the gradient of one window's similarity, its top left at a and b; returns the similarity. In
 * doubles, from the plain formula: s = n / d with ds = (dn - s dd) / d, and the same for luminance.
 */
static double plain_slopes(double *db, const float *a, const float *b, size_t row, const float *tap,
                           bool luminance)
{
	double m[4] = {0};
	for (int y = -5; y <= 5; y++)
		for (int x = -5; x <= 5; x++) {
			size_t k = (size_t)(y + 5) * row + (size_t)(x + 5);
			double w = (double)tap[abs(y)] * tap[abs(x)];
			m[0] += w * a[k];
			m[1] += w * b[k];
			m[2] += w * ((double)a[k] * a[k] + (double)b[k] * b[k]);
			m[3] += w * a[k] * b[k];
		}
	double d = m[2] - m[0] * m[0] - m[1] * m[1] + 9e-4, s = (2 * (m[3] - m[0] * m[1]) + 9e-4) / d,
		   u = m[0] + 0.5, v = m[1] + 0.5;
	double unit = u * u + v * v + 1e-4, l = luminance ? (2 * u * v + 1e-4) / unit : 1;
	for (int y = -5; y <= 5; y++)
		for (int x = -5; x <= 5; x++) {
			size_t k = (size_t)(y + 5) * row + (size_t)(x + 5);
			double w = (double)tap[abs(y)] * tap[abs(x)];
			double ds = (2 * w * (a[k] - m[0]) - s * 2 * w * (b[k] - m[1])) / d,
				   dl = luminance ? (2 * w * u - l * 2 * w * v) / unit : 0;
			db[k] += ds * l + s * dl;
		}
	return s * l;
}

static bool similarity_backward_agrees(const struct vae_kernels *kernels, size_t rows,
                                       size_t columns, bool luminance)
{
	float tap[6];
	vae_similarity_taps(tap);
	struct array a = array_new(rows * columns), b = array_new(rows * columns),
				 db = array_new(rows * columns);
	double *expected = calloc(rows * columns, sizeof *expected), sum = 0, most = 0, worst = 0;
	for (size_t i = 0; i < a.n; i++) {
		a.data[i] = vae_random_uniform(&random_state) - 0.5f;
		b.data[i] = below(3) ? a.data[i] : vae_random_uniform(&random_state) - 0.5f;
	}
	for (size_t y = 0; y + VAE_WINDOW <= rows; y++)
		for (size_t k = y * columns; k + VAE_WINDOW <= (y + 1) * columns; k++)
			sum += plain_slopes(expected + k, a.data + k, b.data + k, columns, tap, luminance);
	double value = kernels->similarity_backward(
		&(struct vae_similarity_backward){rows, columns, a.data, b.data, tap, luminance, db.data});
	for (size_t i = 0; i < db.n; i++) {
		most = fabs(expected[i]) > most ? fabs(expected[i]) : most;
		worst = !(fabs(expected[i] - db.data[i]) <= worst) ? fabs(expected[i] - db.data[i]) : worst;
	}
	bool good = array_intact(&db) && worst < 1e-5 * most &&
	            fabs(value - sum) < 1e-6 * (double)(rows * columns);
	array_free(&a);
	array_free(&b);
	array_free(&db);
	free(expected);
	return good;
}

static bool planes_agree(const struct vae_kernels *kernels, size_t pixels, size_t colours)
{
	struct array in = array_new((pixels * colours + 1) / 2), out = array_new(pixels * colours);
	uint16_t *row = (uint16_t *)(in.data + in.n) - pixels * colours; /* ends where the array does */
	unsigned maxval = 1 + (unsigned)below(65535);
	for (size_t i = 0; i < pixels * colours; i++)
		row[i] = (uint16_t)below(maxval + 1);
	kernels->planes(out.data, pixels, row, pixels, colours, (uint16_t)maxval);
	bool good = array_intact(&out);
	for (size_t i = 0; i < pixels * colours; i++)
		good &=
			out.data[i % colours * pixels + i / colours] == (float)row[i] / (float)maxval - 0.5f;
	array_free(&in);
	array_free(&out);
	return good;
}

static bool halve_agrees(const struct vae_kernels *kernels, size_t n)
{
	struct array above = array_random(2 * n), below_it = array_random(2 * n), out = array_new(n),
				 expected = array_new(n);
	for (size_t i = 0; i < n; i++)
		expected.data[i] = ((above.data[2 * i] + above.data[2 * i + 1]) +
		                    (below_it.data[2 * i] + below_it.data[2 * i + 1])) *
		                   0.25f;
	kernels->halve(out.data, above.data, below_it.data, n);
	bool good = array_intact(&out) && same(out.data, expected.data, n);
	array_free(&above);
	array_free(&below_it);
	array_free(&out);
	array_free(&expected);
	return good;
}

/* Squares that are not integers, so that the order of the sum matters. */
static bool squared_error_agrees(const struct vae_kernels *kernels, size_t n)
{
	struct array in = array_new(n);
	uint16_t *a = (uint16_t *)in.data, *b = a + n;
	double chain[8] = {0}, sum = 0, fa = 1 / 3.0, fb = 1 / 7.0;
	for (size_t i = 0; i < 2 * n; i++)
		a[i] = (uint16_t)below(65536);
	for (size_t i = 0; i < n; i++) {
		double d = fa * a[i] - fb * b[i];
		chain[i < n / 8 * 8 ? i % 8 : 0] += d * d;
	}
	for (size_t k = 0; k < 8; k++)
		sum += chain[k];
	bool good = kernels->squared_error(a, b, n, fa, fb) == sum;
	array_free(&in);
	return good;
}

static void test_likeness(const struct vae_kernels *kernels)
{
	static const size_t rows[] = {1, 2, 10, 11, 13, VAE_SIMILARITY_ROWS},
						columns[] = {1, 7, 8, 9, 31, 127, 128, 129, 144, 300};
	bool similarity = true, backward = true, planes = true, halve = true, squares = true;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		for (size_t j = 0; j < sizeof columns / sizeof *columns; j++)
			similarity &= similarity_agrees(kernels, rows[i], columns[j], (i + j) % 2);
	for (size_t i = 0; i < 4; i++)
		for (size_t j = 0; j < sizeof columns / sizeof *columns; j++)
			backward &=
				similarity_backward_agrees(kernels, rows[i] + 10, columns[j] + 10, (i + j) % 2);
	for (size_t n = 0; n < 150; n++) {
		planes &= planes_agree(kernels, n, 1) && planes_agree(kernels, n, 3);
		halve &= halve_agrees(kernels, n);
		squares &= squared_error_agrees(kernels, n);
	}
	ok(similarity, "similarity: the definition's bits");
	ok(backward, "similarity_backward: the sum and its gradient");
	ok(planes, "planes: the definition's bits");
	ok(halve, "halve: the definition's bits");
	ok(squares, "squared_error: the definition's bits");
}

int main(void)
{
	ok(vae_kernels() == vae_kernels_for(vae_isa_choose()),
	   "the table is that of the chosen instruction set");
	vae_random_init(&random_state, 1, 0, 0);
	test_pack();
	for (int kind = 0; kind < VAE_BF16_KINDS; kind++) {
		const struct vae_bf16 *bf16 = vae_bf16_for((enum vae_bf16_kind)kind);
		if (bf16)
			test_bf16(bf16);
		else
			tap_lacks("gemm of bf16", kind == VAE_BF16_AMX ? "AMX-BF16" : "AVX512-BF16");
	}
	for (int kind = 0; kind < VAE_INT16_KINDS; kind++) {
		const struct vae_int16 *products = vae_int16_for((enum vae_int16_kind)kind);
		if (!products) {
			tap_lacks("integer products", vae_int16_name((enum vae_int16_kind)kind));
			continue;
		}
		test_int16(products);
		test_rounding(products);
	}
	for (int isa = 0; isa < VAE_ISA_COUNT; isa++) {
		const struct vae_kernels *kernels = vae_kernels_for((enum vae_isa)isa);
		if (!kernels) {
			tap_lacks("kernels", vae_isa_name((enum vae_isa)isa));
			continue;
		}
		vae_random_init(&random_state, 2, 0, 0);
		ok(kernels->isa == (enum vae_isa)isa, "%s runs here", vae_isa_name(kernels->isa));
		test_gemm(kernels);
		test_pack_half(kernels);
		test_depthwise(kernels);
		test_pointwise(kernels);
		test_gaussian(kernels);
		test_adam(kernels);
		test_momentum(kernels);
		test_likeness(kernels);
	}
	return tap_done();
}
