/* bf16.c - the products of training and refinement in mixed precision. On AVX512-BF16, vdpbf16ps
 * adds a pair of bf16 products to each of 16 sums; on AMX, tdpbf16ps adds 16 such pairs to each of
 * 16 x 16, between registers of a kilobyte. Both use the same packed b. */
#include "kernel/kernel.h"
#include "base/minmax.h"

#ifdef __AVX512BF16__

#include <immintrin.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#if defined __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 32")
#endif

/* A tile of 12 x 32 sums fills 24 registers (AMX: 32 x 32, four of eight). A block's a, two numbers
 * in 4 bytes, stays in the second-level cache; a strip of b (BLOCK_PAIRS x 32 pairs) and a tile of
 * a share the first. */
enum { ROWS = 12, LANES = 16, BLOCK_ROWS = 96, BLOCK_COLUMNS = 384, BLOCK_PAIRS = 256 };

INLINE size_t up_to_lanes(size_t n) { return (n + LANES - 1) / LANES * LANES; }
INLINE __mmask16 mask_of(size_t count)
{
	return (__mmask16)(count < LANES ? (1u << count) - 1 : 0xffff);
}

/* Rounds 32 floats to bf16, the low ones first, in memory order. */
INLINE __m512i round_to_bf16(__m512 low, __m512 high)
{
	return (__m512i)_mm512_cvtne2ps_pbh(high, low);
}

/* Rounds 16 columns of two rows: lane j holds even[j], odd[j]. */
INLINE __m512i pair_up(__m512 even, __m512 odd)
{
	const __m512i low = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
	const __m512i order =
		_mm512_or_si512(low, _mm512_slli_epi32(_mm512_add_epi32(low, _mm512_set1_epi32(16)), 16));
	return _mm512_permutexvar_epi16(order, round_to_bf16(even, odd));
}

/* ---- packing --------------------------------------------------------------------------------- */

/* Packs one panel of a row-major matrix. */
static void pack_rows(uint32_t *packed, const float *source, size_t k, size_t n, size_t row)
{
	for (size_t p = 0; p < k; p += 2, source += 2 * row)
		for (size_t j = 0; j < VAE_PANEL; j += LANES, packed += LANES) {
			__mmask16 there = mask_of(n > j ? n - j : 0);
			_mm512_store_si512(
				packed, pair_up(_mm512_maskz_loadu_ps(there, source + j),
			                    _mm512_maskz_loadu_ps(p + 1 < k ? there : 0, source + row + j)));
		}
}

/* Packs one panel of a transposed matrix: 16 pairs of each column at once, transposed through the
 * first-level cache. */
static void pack_columns(uint32_t *packed, const float *source, size_t k, size_t n, size_t step)
{
	_Alignas(64) uint32_t square[VAE_PANEL][LANES] = {{0}};
	for (size_t p = 0; p < k; p += 2 * LANES, packed += LANES * VAE_PANEL) {
		size_t left = k - p;
		for (size_t j = 0; j < n; j++) {
			const float *column = source + j * step + p;
			_mm512_store_si512(
				square[j],
				round_to_bf16(_mm512_maskz_loadu_ps(mask_of(left), column),
			                  _mm512_maskz_loadu_ps(mask_of(left > LANES ? left - LANES : 0),
			                                        column + LANES)));
		}
		for (size_t i = 0; i < vae_min((left + 1) / 2, LANES); i++)
			for (size_t j = 0; j < VAE_PANEL; j++)
				packed[i * VAE_PANEL + j] = square[j][i];
	}
}

static void pack(float *packed, const float *source, size_t k, size_t n, size_t row, size_t step)
{
	for (size_t j = 0; j < n; j += VAE_PANEL) {
		uint32_t *panel = (uint32_t *)(void *)packed + j * ((k + 1) / 2);
		if (step == 1)
			pack_rows(panel, source + j, k, vae_min(n - j, VAE_PANEL), row);
		else
			pack_columns(panel, source + j * step, k, vae_min(n - j, VAE_PANEL), step);
	}
}

/* ---- the product ----------------------------------------------------------------------------- */

/* Packs a block of a as pairs, with rows of 0 up to a multiple of four: row i at packed[i *
 * pairs_up], pairs_up a multiple of 16. */
static void take_rows(uint32_t *packed, const struct vae_gemm *g, size_t i0, size_t p0, size_t rows,
                      size_t pairs_up)
{
	size_t steps = vae_min(g->k - p0, 2 * pairs_up);
	for (size_t i = 0; i < (rows + 3) / 4 * 4; i++) {
		const float *a = g->a + (i0 + i) * g->a_row + p0;
		for (size_t p = 0; p < steps; p += 2 * LANES, packed += LANES) {
			size_t left = i < rows ? steps - p : 0;
			_mm512_store_si512(packed, round_to_bf16(_mm512_maskz_loadu_ps(mask_of(left), a + p),
			                                         _mm512_maskz_loadu_ps(
														 mask_of(left > LANES ? left - LANES : 0),
														 a + p + LANES)));
		}
	}
}

/* Does the same for a transposed a: the rows of a tile are interleaved. */
static void take_columns(uint32_t *packed, const struct vae_gemm *g, size_t i0, size_t p0,
                         size_t rows, size_t pairs)
{
	for (size_t p = 0; p < pairs; p++) {
		const float *even = g->a + i0 + (p0 + 2 * p) * g->a_step, *odd = even + g->a_step;
		bool two = p0 + 2 * p + 1 < g->k;
		for (size_t i = 0; i < rows; i += ROWS) {
			__mmask16 there = mask_of(vae_min(rows - i, ROWS));
			_mm_prefetch((const char *)(even + i + 8 * g->a_step), _MM_HINT_T0);
			_mm_prefetch((const char *)(odd + i + 8 * g->a_step), _MM_HINT_T0);
			_mm512_mask_storeu_epi32(packed + i * pairs + p * ROWS, (1 << ROWS) - 1,
			                         pair_up(_mm512_maskz_loadu_ps(there, even + i),
			                                 _mm512_maskz_loadu_ps(two ? there : 0, odd + i)));
		}
	}
}

/* The place of a tile in a pass of up to BLOCK_PAIRS pairs along k. */
struct place {
	size_t i, j;          /* first output; not on AMX, which writes a block's outputs at once */
	size_t rows, columns; /* existing outputs, at most 12 x 32, on AMX 32 x 32 */
	size_t pairs;
	bool first, last;
};

INLINE void put(const struct vae_gemm *g, __m512 sum, size_t i, size_t j, __mmask16 there)
{
	if (g->bias)
		sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(there, g->bias + j));
	if (g->slope != 1)
		sum = _mm512_mask_mul_ps(sum, _mm512_cmp_ps_mask(sum, _mm512_setzero_ps(), _CMP_NGT_UQ),
		                         sum, _mm512_set1_ps(g->slope));
	if (g->residual)
		sum =
			_mm512_add_ps(sum, _mm512_maskz_loadu_ps(there, g->residual + i * g->residual_row + j));
	_mm512_mask_storeu_ps(g->c + i * g->c_row + j, there, sum);
}

/* Computes a tile. rows and vectors are constants where this is inlined. ahead: this tile's part of
 * the next strip of b, to be prefetched. */
INLINE void tile(const struct vae_gemm *g, const struct place *at, const size_t rows,
                 const size_t vectors, const uint32_t *a, size_t a_row, size_t a_step,
                 const uint32_t *b, const uint32_t *ahead, float *chain)
{
	__m512 sum[ROWS][2];
	UNROLL
	for (size_t r = 0; r < rows; r++)
		UNROLL
	for (size_t v = 0; v < vectors; v++)
		sum[r][v] =
			at->first ? _mm512_setzero_ps() : _mm512_load_ps(chain + r * VAE_PANEL + v * LANES);

	/* The outputs are added to the gradient of all weights, which does not fit the caches. */
	const float *c = g->c + at->i * g->c_row + at->j;
	UNROLL
	for (size_t r = 0; r < rows; r++)
		if (at->last && r < at->rows) {
			__builtin_prefetch(c + r * g->c_row, 1);
			__builtin_prefetch(c + r * g->c_row + at->columns - 1, 1);
		}

	/* one pointer for three rows: twelve would not fit the integer registers */
	const uint32_t *row[(ROWS + 2) / 3];
	UNROLL
	for (size_t r = 0; r < rows; r += 3)
		row[r / 3] = a + r * a_row;
	for (size_t p = 0; p < at->pairs; p++, b += VAE_PANEL, ahead += VAE_PANEL * ROWS / BLOCK_ROWS) {
		__m512bh y[2];
		UNROLL
		for (size_t v = 0; v < vectors; v++)
			y[v] = (__m512bh)_mm512_load_si512(b + v * LANES);
		_mm_prefetch((const char *)ahead, _MM_HINT_T1);
		UNROLL
		for (size_t r = 0; r < rows; r++) {
			__m512bh x = (__m512bh)_mm512_set1_epi32((int)row[r / 3][r % 3 * a_row]);
			UNROLL
			for (size_t v = 0; v < vectors; v++)
				sum[r][v] = _mm512_dpbf16_ps(sum[r][v], x, y[v]);
		}
		UNROLL
		for (size_t r = 0; r < rows; r += 3)
			row[r / 3] += a_step;
	}

	UNROLL
	for (size_t r = 0; r < rows; r++)
		UNROLL
	for (size_t v = 0; v < vectors; v++) {
		if (!at->last)
			_mm512_store_ps(chain + r * VAE_PANEL + v * LANES, sum[r][v]);
		else if (r < at->rows)
			put(g, sum[r][v], at->i + r, at->j + v * LANES, mask_of(at->columns - v * LANES));
	}
}

#define TILE(rows, vectors)                                                                \
	static __attribute__((noinline)) void tile_##rows##_##vectors(                         \
		const struct vae_gemm *g, const struct place *at, const uint32_t *a, size_t a_row, \
		size_t a_step, const uint32_t *b, const uint32_t *ahead, float *chain)             \
	{                                                                                      \
		tile(g, at, rows, vectors, a, a_row, a_step, b, ahead, chain);                     \
	}
TILE(4, 1)
TILE(4, 2)
TILE(8, 1)
TILE(8, 2)
TILE(12, 1)
TILE(12, 2)

static void (*const tiles[3][2])(const struct vae_gemm *, const struct place *, const uint32_t *,
                                 size_t, size_t, const uint32_t *, const uint32_t *, float *) = {
	{tile_4_1, tile_4_2}, {tile_8_1, tile_8_2}, {tile_12_1, tile_12_2}};

/* Returns where pair p of the columns from j on starts in packed b; j is a multiple of VAE_PANEL.
 */
INLINE const uint32_t *strip(const struct vae_gemm *g, size_t p, size_t j)
{
	return (const uint32_t *)(const void *)g->b + j * ((g->k + 1) / 2) + p * VAE_PANEL;
}

/* Runs one pass of the block at (i0, j0) over `pairs` pairs from p0. */
static void pass(const struct vae_gemm *g, struct place at, uint32_t *packed, float *chains,
                 size_t i0, size_t j0, size_t p0)
{
	size_t rows = vae_min(BLOCK_ROWS, g->m - i0), end = vae_min(j0 + BLOCK_COLUMNS, g->n),
		   up = up_to_lanes(at.pairs);
	bool transposed = g->a_step != 1;
	if (transposed)
		take_columns(packed, g, i0, 2 * p0, rows, at.pairs);
	else
		take_rows(packed, g, i0, 2 * p0, rows, up);
	for (size_t j = j0; j < end; j += VAE_PANEL) {
		const uint32_t *b = strip(g, p0, j);
		const uint32_t *next = j + VAE_PANEL < end ? strip(g, p0, j + VAE_PANEL)
		                       : at.last           ? b
		                                           : strip(g, p0 + at.pairs, j0);
		at.j = j;
		at.columns = vae_min(end - j, VAE_PANEL);
		for (size_t i = 0; i < rows; i += ROWS) {
			at.i = i0 + i;
			at.rows = vae_min(rows - i, ROWS);
			tiles[(at.rows - 1) / 4][at.columns > LANES](
				g, &at, packed + i * (transposed ? at.pairs : up), transposed ? 1 : up,
				transposed ? ROWS : 1, b, next + i * at.pairs * VAE_PANEL / BLOCK_ROWS,
				chains + (j - j0) * BLOCK_ROWS + i * VAE_PANEL);
		}
	}
}

typedef void pass_function(const struct vae_gemm *, struct place, uint32_t *, float *, size_t,
                           size_t, size_t);

/* Runs block by block, each in equal passes except the last. */
INLINE void gemm_by(pass_function *one_pass, const struct vae_gemm *g)
{
	_Static_assert(BLOCK_ROWS * (BLOCK_COLUMNS + BLOCK_PAIRS) <= VAE_GEMM_ROOM,
	               "chains, then the packed block of a");
	float *chains = g->room;
	uint32_t *packed = (uint32_t *)(void *)(chains + BLOCK_ROWS * BLOCK_COLUMNS);
	size_t pairs = (g->k + 1) / 2, passes = pairs ? (pairs + BLOCK_PAIRS - 1) / BLOCK_PAIRS : 1;
	size_t step = up_to_lanes((pairs + passes - 1) / passes);

	for (size_t i0 = 0; i0 < g->m; i0 += BLOCK_ROWS)
		for (size_t j0 = 0; j0 < g->n; j0 += BLOCK_COLUMNS)
			for (size_t p0 = 0, n = 0; n < passes; n++, p0 += step)
				one_pass(g,
				         (struct place){.pairs = vae_min(step, pairs - p0),
				                        .first = n == 0,
				                        .last = n == passes - 1},
				         packed, chains, i0, j0, p0);
}

static void gemm(const struct vae_gemm *g) { gemm_by(pass, g); }

static const struct vae_bf16 by_avx512 = {
	.kind = VAE_BF16_AVX512, .name = "avx512-bf16", .gemm = gemm, .pack = pack};
#define AVX512 &by_avx512
#else
#define AVX512 NULL
#endif

/* ---- the same on AMX ------------------------------------------------------------------------- */

#if defined __AVX512BF16__ && defined __AMX_BF16__

/* Of the eight registers, 0 to 3 hold sums, 4 and 5 a, 6 and 7 b. All are 16 rows of 64 bytes. The
 * intrinsics do not tell the compiler that they access memory. */
enum { TILE = LANES * LANES };
/* A step along k multiplies 16 pairs of a strip, 2 lines each, and a strip is multiplied once for
 * each 32 rows of a block: each step prefetches enough lines of the next strip that it is complete
 * after the last. */
enum { AHEAD = (2 * LANES + BLOCK_ROWS / (2 * LANES) - 1) / (BLOCK_ROWS / (2 * LANES)) };
#define TOUCHED __asm__ volatile("" ::: "memory")

static const struct {
	uint8_t palette, start, reserved[14];
	uint16_t row_bytes[16];
	uint8_t rows[16];
} __attribute__((aligned(64))) registers = {
	.palette = 1,
	.row_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
	.rows = {LANES, LANES, LANES, LANES, LANES, LANES, LANES, LANES},
};

/* Transposes: lane j of v[i] and lane i of v[j] are exchanged. */
INLINE void turn(__m512i v[LANES])
{
	__m512i w[LANES];
	UNROLL
	for (int i = 0; i < LANES; i += 2) {
		w[i] = _mm512_unpacklo_epi32(v[i], v[i + 1]);
		w[i + 1] = _mm512_unpackhi_epi32(v[i], v[i + 1]);
	}
	UNROLL
	for (int i = 0; i < LANES; i += 4)
		UNROLL
	for (int j = 0; j < 2; j++) {
		v[i + 2 * j] = _mm512_unpacklo_epi64(w[i + j], w[i + j + 2]);
		v[i + 2 * j + 1] = _mm512_unpackhi_epi64(w[i + j], w[i + j + 2]);
	}
	/* v[4 h + j]: in each quarter q, lane 4 q + j of four rows from 4 h on */
	UNROLL
	for (int j = 0; j < 4; j++) {
		w[j] = _mm512_shuffle_i32x4(v[j], v[4 + j], 0x88);
		w[4 + j] = _mm512_shuffle_i32x4(v[j], v[4 + j], 0xdd);
		w[8 + j] = _mm512_shuffle_i32x4(v[8 + j], v[12 + j], 0x88);
		w[12 + j] = _mm512_shuffle_i32x4(v[8 + j], v[12 + j], 0xdd);
	}
	UNROLL
	for (int j = 0; j < 4; j++) {
		v[j] = _mm512_shuffle_i32x4(w[j], w[8 + j], 0x88);
		v[4 + j] = _mm512_shuffle_i32x4(w[4 + j], w[12 + j], 0x88);
		v[8 + j] = _mm512_shuffle_i32x4(w[j], w[8 + j], 0xdd);
		v[12 + j] = _mm512_shuffle_i32x4(w[4 + j], w[12 + j], 0xdd);
	}
}

/* Packs a block of a for the registers: 16 rows x 16 pairs, tile after tile along k, filled with 0.
 * Reads in memory order, row by row. */
static void take_row_tiles(uint32_t *packed, const struct vae_gemm *g, size_t i0, size_t p0,
                           size_t rows, size_t up)
{
	size_t steps = vae_min(g->k - p0, 2 * up);
	for (size_t i = 0; i < (rows + LANES - 1) / LANES * LANES; i++) {
		const float *a = g->a + (i0 + i) * g->a_row + p0;
		uint32_t *out = packed + i / LANES * LANES * up + i % LANES * LANES;
		for (size_t p = 0; p < 2 * up; p += 2 * LANES, out += TILE) {
			size_t left = i < rows ? steps - p : 0;
			_mm512_store_si512(
				out, round_to_bf16(_mm512_maskz_loadu_ps(mask_of(left), a + p),
			                       _mm512_maskz_loadu_ps(mask_of(left > LANES ? left - LANES : 0),
			                                             a + p + LANES)));
		}
	}
}

/* Does the same for a transposed a. */
static void take_column_tiles(uint32_t *packed, const struct vae_gemm *g, size_t i0, size_t p0,
                              size_t rows, size_t up)
{
	size_t steps = g->k - p0;
	for (size_t p = 0; p < up; p += LANES)
		for (size_t i = 0; i < rows; i += LANES) {
			const float *a = g->a + i0 + i + (p0 + 2 * p) * g->a_step;
			__mmask16 there = mask_of(rows - i);
			__m512i v[LANES];
			UNROLL
			for (size_t q = 0; q < LANES; q++, a += 2 * g->a_step) {
				size_t at = 2 * (p + q);
				_mm_prefetch((const char *)(a + 2 * LANES * g->a_step), _MM_HINT_T0);
				_mm_prefetch((const char *)(a + (2 * LANES + 1) * g->a_step), _MM_HINT_T0);
				v[q] = pair_up(_mm512_maskz_loadu_ps(at < steps ? there : 0, a),
				               _mm512_maskz_loadu_ps(at + 1 < steps ? there : 0, a + g->a_step));
			}
			turn(v);
			UNROLL
			for (size_t r = 0; r < LANES; r++)
				_mm512_store_si512(packed + i * up + p * LANES + r * LANES, v[r]);
		}
}

INLINE void multiply_tiles(const int rows, const int columns, const uint32_t *a, size_t a_next,
                           const uint32_t *b)
{
	_tile_loadd(6, b, VAE_PANEL * 4);
	_tile_loadd(4, a, 64);
	_tile_dpbf16ps(0, 4, 6);
	if (columns > 1) {
		_tile_loadd(7, b + LANES, VAE_PANEL * 4);
		_tile_dpbf16ps(1, 4, 7);
	}
	if (rows > 1) {
		_tile_loadd(5, a + a_next, 64);
		_tile_dpbf16ps(2, 5, 6);
		if (columns > 1)
			_tile_dpbf16ps(3, 5, 7);
	}
}

/* Sums tiles. rows and columns, in registers, are constants where this is inlined. tail: the pairs
 * of b that do not fill a register, then 0. ahead: this tile's part of the next strip of b, to be
 * prefetched. */
INLINE void sum_tiles(const struct place *at, const int rows, const int columns, const uint32_t *a,
                      const uint32_t *b, const uint32_t *tail, const uint32_t *ahead, float *sums)
{
	size_t a_next = up_to_lanes(at->pairs) * LANES;
	TOUCHED;
	if (at->first) {
		_tile_zero(0);
		_tile_zero(1);
		_tile_zero(2);
		_tile_zero(3);
	} else {
		_tile_loadd(0, sums, VAE_PANEL * 4);
		_tile_loadd(1, sums + LANES, VAE_PANEL * 4);
		_tile_loadd(2, sums + LANES * VAE_PANEL, VAE_PANEL * 4);
		_tile_loadd(3, sums + LANES * VAE_PANEL + LANES, VAE_PANEL * 4);
	}
	for (size_t p = 0; p < at->pairs / LANES; p++, a += TILE, b += LANES * VAE_PANEL) {
		UNROLL
		for (size_t i = 0; i < AHEAD; i++, ahead += LANES)
			_mm_prefetch((const char *)ahead, _MM_HINT_T1);
		multiply_tiles(rows, columns, a, a_next, b);
	}
	if (at->pairs % LANES)
		multiply_tiles(rows, columns, a, a_next, tail);
	_tile_stored(0, sums, VAE_PANEL * 4);
	_tile_stored(1, sums + LANES, VAE_PANEL * 4);
	_tile_stored(2, sums + LANES * VAE_PANEL, VAE_PANEL * 4);
	_tile_stored(3, sums + LANES * VAE_PANEL + LANES, VAE_PANEL * 4);
	TOUCHED;
}

static void pass_amx(const struct vae_gemm *g, struct place at, uint32_t *packed, float *chains,
                     size_t i0, size_t j0, size_t p0)
{
	_Alignas(64) uint32_t tail[LANES * VAE_PANEL] = {0};
	size_t rows = vae_min(BLOCK_ROWS, g->m - i0), end = vae_min(j0 + BLOCK_COLUMNS, g->n),
		   up = up_to_lanes(at.pairs), whole = at.pairs / LANES * LANES;
	(g->a_step == 1 ? take_row_tiles : take_column_tiles)(packed, g, i0, 2 * p0, rows, up);
	for (size_t j = j0; j < end; j += VAE_PANEL) {
		const uint32_t *b = strip(g, p0, j);
		const uint32_t *next = j + VAE_PANEL < end ? strip(g, p0, j + VAE_PANEL)
		                                           : strip(g, at.last ? 0 : p0 + at.pairs,
		                                                   !at.last     ? j0
		                                                   : end < g->n ? end
		                                                                : 0);
		memcpy(tail, b + whole * VAE_PANEL, (at.pairs - whole) * VAE_PANEL * sizeof *tail);
		at.columns = vae_min(end - j, VAE_PANEL);
		for (size_t i = 0; i < rows; i += 2 * LANES, next += AHEAD * whole) {
			const uint32_t *a = packed + i * up;
			float *sums = chains + (j - j0) * BLOCK_ROWS + i * VAE_PANEL;
			at.rows = vae_min(rows - i, 2 * LANES);
			if (at.rows > LANES && at.columns > LANES)
				sum_tiles(&at, 2, 2, a, b, tail, next, sums);
			else if (at.rows > LANES)
				sum_tiles(&at, 2, 1, a, b, tail, next, sums);
			else if (at.columns > LANES)
				sum_tiles(&at, 1, 2, a, b, tail, next, sums);
			else
				sum_tiles(&at, 1, 1, a, b, tail, next, sums);
		}
	}
	/* Row by row, in the memory order of the outputs and of their addends, which come from far
	 * away. */
	for (size_t i = 0; at.last && i < rows; i++)
		for (size_t j = j0; j < end; j += LANES) {
			__builtin_prefetch(g->c + (i0 + i + 2) * g->c_row + j, 1);
			if (g->residual && g->residual != g->c)
				__builtin_prefetch(g->residual + (i0 + i + 2) * g->residual_row + j);
			put(g,
			    _mm512_load_ps(chains + (j - j0) / VAE_PANEL * VAE_PANEL * BLOCK_ROWS +
			                   i * VAE_PANEL + j % VAE_PANEL),
			    i0 + i, j, mask_of(end - j));
		}
}

static void gemm_amx(const struct vae_gemm *g)
{
	_tile_loadconfig(&registers);
	gemm_by(pass_amx, g);
	_tile_release();
}

static const struct vae_bf16 by_amx = {
	.kind = VAE_BF16_AMX, .name = "amx-bf16", .gemm = gemm_amx, .pack = pack};
#define AMX &by_amx
#else
#define AMX NULL
#endif

/* Used only by dispatch.c. */
extern const struct vae_bf16 *const vae_bf16_avx512, *const vae_bf16_amx;
const struct vae_bf16 *const vae_bf16_avx512 = AVX512, *const vae_bf16_amx = AMX;
