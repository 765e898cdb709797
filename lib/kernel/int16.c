/* int16.c - the products of integer models, compiled once for each instruction set (see simd.h),
 * and once more for those with VNNI. Sums are exact, so that their order has no influence; the
 * build with one lane is the definition. */
#include "kernel/kernel.h"
#include "base/bytes.h"
#include "base/minmax.h"
#include "base/round.h"

#include "kernel/loops.h"
#include "kernel/simd.h"

#if !defined VAE_VNNI || defined __AVXVNNI__ || defined __AVX512VNNI__

/* Returns where the pairs of the columns from j on start. */
INLINE const int16_t *strip(const struct vae_gemm *g, size_t j)
{
	const int16_t *pairs = (const void *)g->b;
	return pairs + j / VAE_PANEL * VAE_PANEL * ((g->k + 1) / 2 * 2) + j % VAE_PANEL * 2;
}

/* The bounds of a row's largest magnitude: outside them its factor could not be computed. */
#define LEAST_MAGNITUDE 0x1p-100f
#define MOST_MAGNITUDE  0x1p100f

/* Returns the larger of m and |v|, m if v is NaN. */
INLINE vec larger(vec m, vec v) { return vec_max(vec_max(v, vec_sub(vec_all(0), v)), m); }

#if LANES == 1

static int16_t rounded(float v)
{
	v = vec_max(v, -VAE_INT16_MOST);
	return (int16_t)vae_round_half_even(vec_min(v, VAE_INT16_MOST));
}

static float largest_of(const float *a, size_t k)
{
	float m = LEAST_MAGNITUDE;
	for (size_t p = 0; p < k; p++)
		m = larger(m, a[p]);
	return vec_min(m, MOST_MAGNITUDE);
}

static void gemm(const struct vae_gemm *g)
{
	int16_t *a = (void *)g->room;
	for (size_t i = 0; i < g->m; i++) {
		const float *row = g->a + i * g->a_row;
		float m = g->factor == 0 ? largest_of(row, g->k) : 0, scale = m / VAE_INT16_MOST,
			  factor = m > 0 ? VAE_INT16_MOST / m : g->factor;
		for (size_t p = 0; p < g->k; p++)
			a[p] = rounded(row[p] * factor);
		for (size_t j0 = 0; j0 < g->n; j0 += VAE_PANEL) {
			const int16_t *b = strip(g, j0);
			int32_t sum[VAE_PANEL] = {0};
			for (size_t p = 0; p < g->k; p++)
				for (size_t j = 0; j < VAE_PANEL; j++)
					sum[j] += a[p] * b[(p / 2 * VAE_PANEL + j) * 2 + p % 2];
			for (size_t j = 0; j < vae_min(g->n - j0, VAE_PANEL); j++) {
				float v = (float)sum[j] * g->unit[j0 + j];
				if (m > 0)
					v *= scale;
				v += g->bias[j0 + j];
				v = g->slope == 1 || v > 0 ? v : v * g->slope;
				g->c[i * g->c_row + j0 + j] =
					g->residual ? v + g->residual[i * g->residual_row + j0 + j] : v;
			}
		}
	}
}

#else

/* As in kernels.c: a tile of ROWS x VECTORS registers holds the sums of ROWS x WIDTH outputs. Each
 * step multiplies a pair of each of its rows by a row of pairs of b. First the rows of a are
 * rounded into room, as many as it holds and at most BLOCK_ROWS, so that they stay in the
 * second-level cache. */

/* Returns the pairs of a row of a, rounded up to whole vectors. */
INLINE size_t pairs_up(const struct vae_gemm *g)
{
	return ((g->k + 1) / 2 + LANES - 1) / LANES * LANES;
}

INLINE vec bounded(vec v, vec factor)
{
	v = vec_max(vec_mul(v, factor), vec_all(-VAE_INT16_MOST));
	return vec_min(v, vec_all(VAE_INT16_MOST));
}

/* Returns a row's largest magnitude, within its bounds. */
static float largest_of(const float *a, size_t k)
{
	vec m = vec_all(LEAST_MAGNITUDE);
	size_t p = 0;
	for (; p + LANES <= k; p += LANES)
		m = larger(m, vec_load(a + p));
	if (p < k)
		m = larger(m, vec_load_part(a + p, k - p));
	float lane[LANES], most = LEAST_MAGNITUDE;
	vec_store(lane, vec_min(m, vec_all(MOST_MAGNITUDE)));
	for (size_t l = 0; l < LANES; l++)
		most = most > lane[l] ? most : lane[l];
	return most;
}

/* Rounds rows of a and fills them with 0; adds rows of 0 for the last tile. scale: what the rows'
 * sums are multiplied by if they have their own factors. */
static void take_rows(int16_t *packed, float *scale, const struct vae_gemm *g, size_t i0,
                      size_t rows)
{
	vec factor = vec_all(g->factor);
	for (size_t i = 0; i < (rows + ROWS - 1) / ROWS * ROWS; i++) {
		const float *a = g->a + (i0 + i) * g->a_row;
		size_t k = i < rows ? g->k : 0, p = 0;
		if (g->factor == 0) {
			float most = largest_of(a, k);
			factor = vec_all(VAE_INT16_MOST / most);
			scale[i] = most / VAE_INT16_MOST;
		}
		for (; p + 2 * LANES <= k; p += 2 * LANES)
			ivec_store(packed + p, ivec_round(bounded(vec_load(a + p), factor),
			                                  bounded(vec_load(a + p + LANES), factor)));
		for (; p < 2 * pairs_up(g); p += 2 * LANES) {
			float rest[2 * LANES] = {0};
			if (p < k)
				memcpy(rest, a + p, (k - p) * sizeof *rest);
			ivec_store(packed + p, ivec_round(bounded(vec_load(rest), factor),
			                                  bounded(vec_load(rest + LANES), factor)));
		}
		packed += 2 * pairs_up(g);
	}
}

INLINE vec activate(vec v, vec slope) { return vec_positive(v, v, vec_mul(v, slope)); }

/* Stores outputs of a row from their sums. scale: the row's, or NULL. */
static void put(const struct vae_gemm *g, const float *scale, ivec sum, size_t i, size_t j,
                size_t count)
{
	vec v = vec_mul(ivec_floats(sum), vec_get(g->unit + j, count));
	if (scale)
		v = vec_mul(v, vec_all(*scale));
	v = vec_add(v, vec_get(g->bias + j, count));
	if (g->slope != 1)
		v = activate(v, vec_all(g->slope));
	if (g->residual)
		v = vec_add(v, vec_get(g->residual + i * g->residual_row + j, count));
	vec_put(g->c + i * g->c_row + j, v, count);
}

/* Stores the outputs of a tile whose columns all exist; they stay in their registers from step to
 * step. scale: of its rows, or NULL. */
INLINE void put_tile(const struct vae_gemm *g, const size_t rows, const float *scale,
                     ivec sum[ROWS][VECTORS], size_t i, size_t j)
{
	vec out[ROWS][VECTORS];
	size_t row = g->residual_row;
	UNROLL
	for (size_t v = 0; v < VECTORS; v++) {
		vec unit = vec_load(g->unit + j + v * LANES);
		UNROLL
		for (size_t r = 0; r < rows; r++)
			out[r][v] = vec_mul(ivec_floats(sum[r][v]), unit);
	}
	if (scale) {
		UNROLL
		for (size_t r = 0; r < rows; r++)
			UNROLL
		for (size_t v = 0; v < VECTORS; v++)
			out[r][v] = vec_mul(out[r][v], vec_all(scale[r]));
	}
	UNROLL
	for (size_t v = 0; v < VECTORS; v++) {
		vec bias = vec_load(g->bias + j + v * LANES);
		UNROLL
		for (size_t r = 0; r < rows; r++)
			out[r][v] = vec_add(out[r][v], bias);
	}
	if (g->slope != 1) {
		vec slope = vec_all(g->slope);
		UNROLL
		for (size_t r = 0; r < rows; r++)
			UNROLL
		for (size_t v = 0; v < VECTORS; v++)
			out[r][v] = activate(out[r][v], slope);
	}
	if (g->residual) {
		const float *residual = g->residual + i * row + j;
		UNROLL
		for (size_t r = 0; r < rows; r++)
			UNROLL
		for (size_t v = 0; v < VECTORS; v++)
			out[r][v] = vec_add(out[r][v], vec_load(residual + r * row + v * LANES));
	}
	row = g->c_row;
	float *c = g->c + i * row + j;
	UNROLL
	for (size_t r = 0; r < rows; r++)
		UNROLL
	for (size_t v = 0; v < VECTORS; v++)
		vec_store(c + r * row + v * LANES, out[r][v]);
}

/* Computes the tile at (i, j), rows x vectors LANES outputs. ahead: its part of the next strip of
 * b, to be prefetched. scale: as put_tile. whole: all of its columns exist. rows, vectors and whole
 * are constants where this is inlined. */
INLINE void tile(const struct vae_gemm *g, const size_t rows, const size_t vectors,
                 const bool whole, const int16_t *a, const float *scale, const int16_t *b,
                 const int16_t *ahead, size_t i, size_t j)
{
	ivec sum[ROWS][VECTORS];
	UNROLL
	for (size_t r = 0; r < rows; r++)
		UNROLL
	for (size_t v = 0; v < vectors; v++)
		sum[r][v] = ivec_zero();

	/* one pointer for three rows: twelve would not fit the integer registers */
	size_t a_row = 2 * pairs_up(g);
	const int16_t *row[(ROWS + 2) / 3];
	UNROLL
	for (size_t r = 0; r < rows; r += 3)
		row[r / 3] = a + r * a_row;
	for (size_t p = 0; p < (g->k + 1) / 2; p++) {
		ivec y[VECTORS];
		UNROLL
		for (size_t v = 0; v < vectors; v++)
			y[v] = ivec_load(b + 2 * v * LANES);
		b += 2 * VAE_PANEL;
		__builtin_prefetch(ahead, 0, 2);
		ahead += 2 * VAE_PANEL * ROWS / BLOCK_ROWS;
		UNROLL
		for (size_t r = 0; r < rows; r++) {
			ivec x = ivec_pair(row[r / 3] + r % 3 * a_row);
			UNROLL
			for (size_t v = 0; v < vectors; v++)
				sum[r][v] = ivec_dot(sum[r][v], x, y[v]);
		}
		UNROLL
		for (size_t r = 0; r < rows; r += 3)
			row[r / 3] += 2;
	}

	if (whole)
		put_tile(g, rows, scale, sum, i, j);
	else
		UNROLL
	for (size_t r = 0; r < rows; r++)
		UNROLL
	for (size_t v = 0; v < vectors; v++)
		if (i + r < g->m && j + v * LANES < g->n)
			put(g, scale ? scale + r : NULL, sum[r][v], i + r, j + v * LANES,
			    vae_min(g->n - j - v * LANES, LANES));
}

typedef void some_tile(const struct vae_gemm *g, const int16_t *a, const float *scale,
                       const int16_t *b, const int16_t *ahead, size_t i, size_t j);
#define TILE(name, rows, vectors, whole)                                                   \
	static __attribute__((noinline)) void name(const struct vae_gemm *g, const int16_t *a, \
	                                           const float *scale, const int16_t *b,       \
	                                           const int16_t *ahead, size_t i, size_t j)   \
	{                                                                                      \
		tile(g, rows, vectors, whole, a, scale, b, ahead, i, j);                           \
	}
#define WHOLE(rows) TILE(whole_##rows, rows, VECTORS, true)
WHOLE(1)
WHOLE(2)
WHOLE(3)
WHOLE(4)
WHOLE(5)
WHOLE(6)
#if ROWS > 6
WHOLE(7)
WHOLE(8)
WHOLE(9)
WHOLE(10)
WHOLE(11)
WHOLE(12)
#endif
static some_tile *const whole_tiles[ROWS] = {
	whole_1, whole_2, whole_3, whole_4,  whole_5,  whole_6,
#if ROWS > 6
	whole_7, whole_8, whole_9, whole_10, whole_11, whole_12,
#endif
};
TILE(edge_tile, ROWS, VECTORS, false)
TILE(narrow_tile, ROWS, 1, false)

static void gemm(const struct vae_gemm *g)
{
	int16_t *packed = (void *)g->room;
	float scale[BLOCK_ROWS];
	size_t room = 2 * VAE_GEMM_ROOM / (2 * pairs_up(g) + !g->k) / ROWS * ROWS,
		   block = vae_min(room, BLOCK_ROWS);
	for (size_t i0 = 0; i0 < g->m; i0 += block) {
		size_t rows = vae_min(block, g->m - i0);
		take_rows(packed, scale, g, i0, rows);
		for (size_t j = 0; j < g->n; j += WIDTH) {
			const int16_t *b = strip(g, j), *next = j + WIDTH < g->n ? strip(g, j + WIDTH) : b;
			for (size_t i = 0; i < rows; i += ROWS)
				(j + WIDTH <= g->n  ? whole_tiles[vae_min(rows - i, ROWS) - 1]
				 : g->n - j > LANES ? edge_tile
				                    : narrow_tile)(
					g, packed + i * 2 * pairs_up(g), g->factor == 0 ? scale + i : NULL, b,
					next + i * (g->k + 1) / 2 * 2 * VAE_PANEL / BLOCK_ROWS, i0 + i, j);
		}
	}
}

#endif

/* Packs two rows of a panel and sums the magnitudes of its columns; odd: NULL for the last row of
 * an odd k. */
INLINE void pair_up(int16_t *packed, uint32_t *sum, const uint8_t *even, const uint8_t *odd,
                    const size_t columns)
{
	uint16_t row[2][VAE_PANEL] = {{0}};
	memcpy(row[0], even, columns * sizeof **row);
	if (odd)
		memcpy(row[1], odd, columns * sizeof **row);
	EACH
	for (size_t i = 0; i < VAE_PANEL; i++) {
		uint16_t a = row[0][i], b = row[1][i];
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
		a = (uint16_t)(a >> 8 | a << 8);
		b = (uint16_t)(b >> 8 | b << 8);
#endif
		packed[2 * i] = (int16_t)a;
		packed[2 * i + 1] = (int16_t)b;
		sum[i] += (uint32_t)((int16_t)a < 0 ? -(int16_t)a : (int16_t)a) +
		          (uint32_t)((int16_t)b < 0 ? -(int16_t)b : (int16_t)b);
	}
}

static bool pack(float *packed, const uint8_t *source, size_t k, size_t n)
{
	int16_t *pairs = (void *)packed;
	uint32_t most = 0;
	for (size_t j = 0; j < n; j += VAE_PANEL) {
		uint32_t sum[VAE_PANEL] = {0};
		for (size_t p = 0; p < k; p += 2, pairs += 2 * VAE_PANEL) {
			const uint8_t *even = source + 2 * (p * n + j), *odd = p + 1 < k ? even + 2 * n : NULL;
			if (n - j >= VAE_PANEL)
				pair_up(pairs, sum, even, odd, VAE_PANEL);
			else
				pair_up(pairs, sum, even, odd, n - j);
		}
		for (size_t i = 0; i < VAE_PANEL; i++)
			most = vae_max(most, sum[i]);
	}
	return most <= VAE_INT16_SUM;
}

/* Copies row p of a panel, of `columns` columns, and fills it with 0. */
INLINE void take_row(float row[VAE_PANEL], const float *panel, size_t p, size_t step,
                     size_t columns)
{
	if (columns < VAE_PANEL)
		memset(row, 0, VAE_PANEL * sizeof *row);
	memcpy(row, panel + p * step, columns * sizeof *row);
}

/* Finds what 1 is worth in each column of a panel. */
static void find_units(float *unit, const float *panel, size_t k, size_t step, size_t columns)
{
	double sum[VAE_PANEL] = {0};
	float largest[VAE_PANEL] = {0}, row[VAE_PANEL];
	for (size_t p = 0; p < k; p++) {
		take_row(row, panel, p, step, columns);
		EACH
		for (size_t i = 0; i < VAE_PANEL; i++) {
			float magnitude = __builtin_fabsf(row[i]);
			sum[i] += (double)magnitude;
			largest[i] = largest[i] > magnitude ? largest[i] : magnitude;
		}
	}
	for (size_t i = 0; i < VAE_PANEL; i++)
		unit[i] = (float)vae_int16_unit(sum[i], (double)largest[i], k);
}

static void round_matrix(float *packed, float *unit, const struct vae_matrix *m)
{
	int16_t *pairs = (void *)packed;
	for (size_t j = 0; j < m->n; j += VAE_PANEL, unit += VAE_PANEL) {
		const float *panel = m->number + j / VAE_PANEL * m->panel;
		size_t columns = vae_min(m->n - j, VAE_PANEL);
		float many[VAE_PANEL], even[VAE_PANEL], odd[VAE_PANEL];
		find_units(unit, panel, m->k, m->row, columns);
		EACH
		for (size_t i = 0; i < VAE_PANEL; i++)
			many[i] = 1 / unit[i];
		for (size_t p = 0; p < m->k; p += 2, pairs += 2 * VAE_PANEL) {
			take_row(even, panel, p, m->row, columns);
			if (p + 1 < m->k)
				take_row(odd, panel, p + 1, m->row, columns);
			else
				memset(odd, 0, sizeof odd);
			EACH
			for (size_t i = 0; i < VAE_PANEL; i++) {
				pairs[2 * i] = (int16_t)vae_round_half_even(even[i] * many[i]);
				pairs[2 * i + 1] = (int16_t)vae_round_half_even(odd[i] * many[i]);
			}
		}
	}
}

#ifndef VAE_VNNI
extern const struct vae_int16 TABLE(vae_int16); /* used only by dispatch.c */
const struct vae_int16 TABLE(vae_int16) = {
	.kind = (enum vae_int16_kind)ISA, .gemm = gemm, .pack = pack, .round = round_matrix};
#else
static const struct vae_int16 by_vnni = {.kind = LANES == 16 ? VAE_INT16_AVX512_VNNI
                                                             : VAE_INT16_AVX_VNNI,
                                         .gemm = gemm,
                                         .pack = pack,
                                         .round = round_matrix};
#define VNNI &by_vnni
#endif

#else
#define VNNI NULL /* the compiler does not know the instruction */
#endif

#ifdef VAE_VNNI
extern const struct vae_int16 *const TABLE_NAME(TABLE(vae_int16), vnni); /* likewise */
const struct vae_int16 *const TABLE_NAME(TABLE(vae_int16), vnni) = VNNI;
#endif
