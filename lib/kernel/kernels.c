/* kernels.c - compiled once for each instruction set (see simd.h); the build with one lane defines
 * the result. */
#include "kernel/kernel.h"
#include "base/bytes.h"
#include "base/minmax.h"

#include "kernel/loops.h"
#include "kernel/simd.h"

/* ---- matrix product -------------------------------------------------------------------------- */

#if LANES == 1

/* The definition. (A panel's columns advance together only because 32 chains in flight are faster
 * than one.) */
static void gemm(const struct vae_gemm *g)
{
	for (size_t i = 0; i < g->m; i++)
		for (size_t j0 = 0; j0 < g->n; j0 += VAE_PANEL) {
			size_t columns = vae_min(g->n - j0, VAE_PANEL);
			float chain[VAE_PANEL];
			for (size_t j = 0; j < columns; j++)
				chain[j] = g->bias ? g->bias[j0 + j] : 0;
			for (size_t p = 0; p < g->k; p++)
				for (size_t j = 0; j < columns; j++)
					chain[j] = __builtin_fmaf(g->a[i * g->a_row + p * g->a_step],
					                          g->b[j0 * g->k + p * VAE_PANEL + j], chain[j]);
			for (size_t j = 0; j < columns; j++) {
				float v = g->slope == 1 || chain[j] > 0 ? chain[j] : chain[j] * g->slope;
				g->c[i * g->c_row + j0 + j] =
					g->residual ? v + g->residual[i * g->residual_row + j0 + j] : v;
			}
		}
}

#else

/* The outer product: a tile of ROWS x VECTORS registers holds the chains of ROWS x WIDTH outputs.
 * Step p multiplies a column of a, one broadcast float for each row, by a row of b.
 *
 *               b[p]  [ vector 0 ][ vector 1 ]
 *      a[0][p]        chain 0,0    chain 0,1
 *      a[1][p]        chain 1,0    chain 1,1       ... ROWS
 *
 * A step loads ROWS + VECTORS registers for ROWS x VECTORS fused multiply-adds; all of them
 * together must fit the registers. */

/* A block of BLOCK_ROWS x BLOCK_COLUMNS outputs is computed in passes of at most BLOCK_STEPS along
 * k. Its chains rest in memory between passes: storing and loading a float changes nothing. Then a
 * strip of b (BLOCK_STEPS x WIDTH) and a tile of a share the first-level cache, and the block of a
 * is in the second. */
#define BLOCK_COLUMNS 384
#define BLOCK_STEPS   256

struct pass {
	const struct vae_gemm *g;
	size_t steps;
	bool first, last;
};

INLINE vec activate(vec v, float slope)
{
	return slope == 1 ? v : vec_positive(v, v, vec_mul(v, vec_all(slope)));
}

/* Stores the outputs of a tile at the right edge from the chains at rest. */
static __attribute__((noinline)) void finish(const struct vae_gemm *g, const float *chain,
                                             size_t rows, size_t columns, size_t i, size_t j)
{
	for (size_t r = 0; r < rows; r++)
		for (size_t q = 0; q < columns; q += LANES) {
			size_t count = vae_min(columns - q, LANES);
			vec v = activate(vec_load(chain + r * WIDTH + q), g->slope);
			if (g->residual)
				v = vec_add(v, vec_get(g->residual + (i + r) * g->residual_row + j + q, count));
			vec_put(g->c + (i + r) * g->c_row + j + q, v, count);
		}
}

/* Sets the sums of a tile to the bias, or to the chains at rest. */
INLINE void start_sums(const struct pass *pass, const size_t rows, const size_t vectors,
                       vec sum[ROWS][VECTORS], const float *chain, size_t columns, size_t j)
{
	const struct vae_gemm *g = pass->g;
	bool whole = columns >= vectors * LANES;
	if (pass->first) {
		UNROLL
		for (size_t v = 0; v < vectors; v++) {
			vec start = vec_all(0);
			if (g->bias)
				start = whole
				            ? vec_load(g->bias + j + v * LANES)
				            : vec_load_part(g->bias + j + v * LANES,
				                            vae_min(columns - vae_min(columns, v * LANES), LANES));
			UNROLL
			for (size_t r = 0; r < rows; r++)
				sum[r][v] = start;
		}
	} else {
		UNROLL
		for (size_t r = 0; r < rows; r++)
			UNROLL
		for (size_t v = 0; v < vectors; v++)
			sum[r][v] = vec_load(chain + r * WIDTH + v * LANES);
	}
}

/* Stores the outputs of a whole tile. */
INLINE void store_outputs(const struct vae_gemm *g, const size_t rows, const size_t vectors,
                          vec sum[ROWS][VECTORS], size_t i, size_t j)
{
	float *c = g->c + i * g->c_row + j;
	const float *residual = g->residual ? g->residual + i * g->residual_row + j : NULL;
	UNROLL
	for (size_t r = 0; r < rows; r++)
		UNROLL
	for (size_t v = 0; v < vectors; v++) {
		vec out = activate(sum[r][v], g->slope);
		if (residual)
			out = vec_add(out, vec_load(residual + r * g->residual_row + v * LANES));
		vec_store(c + r * g->c_row + v * LANES, out);
	}
}

/* Runs one pass over one tile at (i, j). rows and vectors are constants where this is inlined.
 * ahead: this tile's part of the next strip of b, which the tiles of a block prefetch. */
INLINE void tile(const struct pass *pass, const size_t rows, const size_t vectors, const float *a,
                 size_t a_row, size_t a_step, const float *b, const float *ahead, float *chain,
                 size_t i, size_t j)
{
	const struct vae_gemm *g = pass->g;
	size_t columns = g->n - j;
	bool whole = columns >= vectors * LANES;
	vec sum[ROWS][VECTORS];

	start_sums(pass, rows, vectors, sum, chain, columns, j);

	/* Prefetch the outputs: gradients of weights, which are added to, do not fit the caches. */
	if (pass->last)
		UNROLL
	for (size_t r = 0; r < rows; r++)
		UNROLL
	for (size_t v = 0; v < vectors; v += vae_min(vectors, 16 / LANES))
		__builtin_prefetch(g->c + (i + r) * g->c_row + j + v * LANES, 1);

	/* One pointer for three rows: twelve would not fit the integer registers. */
	const float *row[(ROWS + 2) / 3];
	UNROLL
	for (size_t r = 0; r < rows; r += 3)
		row[r / 3] = a + r * a_row;
	for (size_t p = 0; p < pass->steps; p++) {
		vec y[VECTORS];
		UNROLL
		for (size_t v = 0; v < vectors; v++)
			y[v] = vec_load(b + v * LANES);
		b += VAE_PANEL;
		__builtin_prefetch(ahead, 0, 2);
		ahead += VAE_PANEL * ROWS / BLOCK_ROWS;
		UNROLL
		for (size_t r = 0; r < rows; r++) {
			vec x = vec_all(row[r / 3][r % 3 * a_row]);
			UNROLL
			for (size_t v = 0; v < vectors; v++)
				sum[r][v] = vec_fma(x, y[v], sum[r][v]);
		}
		UNROLL
		for (size_t r = 0; r < rows; r += 3)
			row[r / 3] += a_step;
	}

	if (!pass->last || !whole) {
		UNROLL
		for (size_t r = 0; r < rows; r++)
			UNROLL
		for (size_t v = 0; v < vectors; v++)
			vec_store(chain + r * WIDTH + v * LANES, sum[r][v]);
		if (pass->last)
			finish(g, chain, rows, columns, i, j);
		return;
	}
	store_outputs(g, rows, vectors, sum, i, j);
}

#define TILE(rows, vectors)                                                                   \
	static __attribute__((noinline)) void tile_##rows##_##vectors(                            \
		const struct pass *pass, const float *a, size_t a_row, size_t a_step, const float *b, \
		const float *ahead, float *chain, size_t i, size_t j)                                 \
	{                                                                                         \
		tile(pass, rows, vectors, a, a_row, a_step, b, ahead, chain, i, j);                   \
	}
#define TILE_(rows, vectors) TILE(rows, vectors)
#define TILES(rows) \
	TILE(rows, 1)   \
	TILE_(rows, VECTORS)
TILES(1)
TILES(2)
TILES(3)
TILES(4)
TILES(5)
TILES(6)
#if ROWS > 6
TILES(7)
TILES(8)
TILES(9)
TILES(10)
TILES(11)
TILES(12)
#endif
/* VECTORS is expanded before it is pasted. */
#define PASTE_(rows, vectors) tile_##rows##_##vectors
#define PASTE(rows, vectors)  PASTE_(rows, vectors)
#define BOTH(rows)                           \
	{                                        \
		PASTE(rows, 1), PASTE(rows, VECTORS) \
	}

static void (*const tiles[ROWS][2])(const struct pass *, const float *, size_t, size_t,
                                    const float *, const float *, float *, size_t, size_t) = {
	BOTH(1), BOTH(2), BOTH(3), BOTH(4),  BOTH(5),  BOTH(6),
#if ROWS > 6
	BOTH(7), BOTH(8), BOTH(9), BOTH(10), BOTH(11), BOTH(12),
#endif
};

/* Packs a block of a transposed a: its floats for one tile and step are adjacent, but the steps are
 * far apart. */
static void gather(float *packed, const struct vae_gemm *g, size_t i0, size_t p0, size_t rows,
                   size_t steps)
{
	size_t whole = g->a_row == 1 ? rows / ROWS * ROWS : 0;
	for (size_t p = 0; p < steps; p++) {
		const float *a = g->a + i0 * g->a_row + (p0 + p) * g->a_step;
		for (size_t i = 0; i < whole; i += ROWS) {
			__builtin_prefetch(a + i + 16 * g->a_step);
			memcpy(packed + i * steps + p * ROWS, a + i, ROWS * sizeof *a);
		}
		for (size_t i = whole; i < rows; i++)
			packed[i / ROWS * ROWS * steps + p * ROWS + i % ROWS] = a[i * g->a_row];
	}
}

/* Returns where row p of the columns from j on starts in packed b. */
INLINE const float *strip(const struct vae_gemm *g, size_t p, size_t j)
{
	return g->b + j / VAE_PANEL * VAE_PANEL * g->k + p * VAE_PANEL + j % VAE_PANEL;
}

/* Runs one pass of the block at (i0, j0). */
static void gemm_pass(const struct pass *pass, float *chains, float *packed, size_t i0, size_t j0,
                      size_t p0)
{
	const struct vae_gemm *g = pass->g;
	size_t rows = vae_min(BLOCK_ROWS, g->m - i0), end = vae_min(j0 + BLOCK_COLUMNS, g->n);
	const float *a = g->a + i0 * g->a_row + p0;
	size_t a_row = g->a_row, a_step = 1;
	if (g->a_step != 1) {
		gather(packed, g, i0, p0, rows, pass->steps);
		a = packed;
		a_row = pass->steps; /* of a whole tile, whose rows are interleaved */
		a_step = ROWS;
	}
	for (size_t j = j0; j < end; j += WIDTH) {
		const float *b = strip(g, p0, j);
		const float *next = j + WIDTH < end ? strip(g, p0, j + WIDTH)
		                    : pass->last    ? b
		                                    : strip(g, p0 + pass->steps, j0);
		for (size_t i = 0; i < rows; i += ROWS)
			tiles[vae_min(rows - i, ROWS) - 1][end - j > LANES](
				pass, a + i * a_row, a_step == 1 ? a_row : 1, a_step, b,
				next + i * pass->steps * VAE_PANEL / BLOCK_ROWS,
				chains + (j - j0) * BLOCK_ROWS + i * WIDTH, i0 + i, j);
	}
}

static void gemm(const struct vae_gemm *g)
{
	_Static_assert(BLOCK_ROWS * (BLOCK_COLUMNS + BLOCK_STEPS) <= VAE_GEMM_ROOM,
	               "chains, then the packed block of a");
	float *chains = g->room, *packed = chains + BLOCK_ROWS * BLOCK_COLUMNS;
	size_t passes = g->k ? (g->k + BLOCK_STEPS - 1) / BLOCK_STEPS : 1;
	size_t steps = (g->k + passes - 1) / passes;

	for (size_t i0 = 0; i0 < g->m; i0 += BLOCK_ROWS)
		for (size_t j0 = 0; j0 < g->n; j0 += BLOCK_COLUMNS)
			for (size_t p0 = 0, n = 0; n < passes; n++, p0 += steps) {
				struct pass pass = {g, vae_min(steps, g->k - p0), n == 0, n == passes - 1};
				gemm_pass(&pass, chains, packed, i0, j0, p0);
			}
}

#endif

/* ---- binary16 weights ------------------------------------------------------------------------ */

/* Converts one row of a panel. largest collects magnitudes; those of infinities and NaNs are the
 * largest. */
INLINE void widen(float *packed, uint16_t *largest, const uint8_t *source, const size_t columns)
{
	uint16_t half[VAE_PANEL] = {0};
	memcpy(half, source, columns * sizeof *half);
	EACH
	for (size_t i = 0; i < VAE_PANEL; i++) {
		uint16_t h = half[i], magnitude;
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
		h = (uint16_t)(h >> 8 | h << 8);
#endif
		magnitude = h & 0x7fff;
		largest[i] = largest[i] > magnitude ? largest[i] : magnitude;
		packed[i] = vae_float_from_finite_half(h);
	}
}

static bool pack_half(float *packed, const uint8_t *source, size_t k, size_t n)
{
	uint16_t largest[VAE_PANEL] = {0}, most = 0;
	for (size_t j = 0; j < n; j += VAE_PANEL)
		for (size_t p = 0; p < k; p++, packed += VAE_PANEL) {
			const uint8_t *row = source + 2 * (p * n + j);
			if (n - j >= VAE_PANEL)
				widen(packed, largest, row, VAE_PANEL);
			else
				widen(packed, largest, row, n - j);
		}
	for (size_t i = 0; i < VAE_PANEL; i++)
		most = most > largest[i] ? most : largest[i];
	return most < 0x7c00;
}

/* ---- depthwise convolution ------------------------------------------------------------------- */

/* Rows of a block: two if the registers hold 8 chains, 8 inputs and the weights of a row. */
#if defined VAE_ISA_avx512 || defined VAE_ISA_neon
#define DOWN 2
#else
#define DOWN 1
#endif

/* The convolution, or the gradient of its input: the convolution of dy with the mirrored taps,
 * added to dx. */
struct depthwise {
	size_t rows, columns, channels;
	size_t above, height; /* rows of x before the first of y; rows of x */
	const float *x, *w;   /* w: the tap at the top left */
	ptrdiff_t w_step;     /* to the next tap */
	const float *start;   /* first values of the chains: start[r * start_row + q * start_column + c]
	                       */
	size_t start_row, start_column;
	float *y;
};

/* Computes `count` channels of a block of `down` x `across` neighbouring outputs, so that a load
 * serves several. taps, fused, down, across, within and whole are constants where this is inlined.
 * within: every tap is in a column of the picture. */
INLINE void depthwise_block(const struct depthwise *d, const size_t taps, const bool fused,
                            const size_t down, const size_t across, const bool within,
                            const bool whole, size_t r, size_t q, size_t c, size_t part)
{
	size_t half = taps / 2, columns = d->columns, channels = d->channels,
		   count = whole ? LANES : part;
	float *y = d->y + (r * columns + q) * channels + c;
	vec sum[2][4];
	UNROLL
	for (size_t v = 0; v < down; v++)
		UNROLL
	for (size_t u = 0; u < across; u++)
		sum[v][u] =
			vec_get(d->start + (r + v) * d->start_row + (q + u) * d->start_column + c, count);
	UNROLL
	for (size_t i = 0; i < taps + down - 1; i++) {
		const float *x = d->x + (ptrdiff_t)(((r + i - half) * columns + q - half) * channels + c);
		vec near[4 + 4];
		if (d->above + r + i - half < d->height) {
			UNROLL
			for (size_t j = 0; j < taps + across - 1; j++)
				near[j] = within || q + j - half < columns ? vec_get(x + j * channels, count)
				                                           : vec_all(0);
		} else {
			UNROLL
			for (size_t j = 0; j < taps + across - 1; j++)
				near[j] = vec_all(0);
		}
		UNROLL
		for (size_t v = 0; v < down; v++) {
			if (i < v || i - v >= taps)
				continue;
			UNROLL
			for (size_t j = 0; j < taps; j++) {
				vec w = vec_get(d->w + (ptrdiff_t)((i - v) * taps + j) * d->w_step + c, count);
				UNROLL
				for (size_t u = 0; u < across; u++)
					sum[v][u] = fused ? vec_fma(near[j + u], w, sum[v][u])
					                  : vec_add(vec_mul(near[j + u], w), sum[v][u]);
			}
		}
	}
	UNROLL
	for (size_t v = 0; v < down; v++)
		UNROLL
	for (size_t u = 0; u < across; u++)
		vec_put(y + (v * columns + u) * channels, sum[v][u], count);
}

/* Computes the channels of a block that fill whole vectors. */
INLINE void depthwise_channels(const struct depthwise *d, const size_t taps, const bool fused,
                               const size_t down, const size_t across, const bool within, size_t r,
                               size_t q)
{
	for (size_t c = 0; c + LANES <= d->channels; c += LANES)
		depthwise_block(d, taps, fused, down, across, within, true, r, q, c, 0);
}

INLINE void depthwise_picture(const struct depthwise *d, const size_t taps, const bool fused)
{
	size_t half = taps / 2, rows = d->rows, columns = d->columns, channels = d->channels,
		   last = channels % LANES;
	for (size_t r = 0; r < rows;) {
		size_t down = r + DOWN <= rows ? DOWN : 1;
		for (size_t q = 0; q < columns;) {
			size_t across = q + 4 <= columns ? 4 : 1;
			if (across == 1)
				for (size_t v = 0; v < down; v++)
					depthwise_channels(d, taps, fused, 1, 1, false, r + v, q);
			else if (down < DOWN)
				depthwise_channels(d, taps, fused, 1, 4, false, r, q);
			else if (q >= half && q + 3 + half < columns)
				depthwise_channels(d, taps, fused, DOWN, 4, true, r, q);
			else
				depthwise_channels(d, taps, fused, DOWN, 4, false, r, q);
			for (size_t i = 0; last && i < down * across; i++)
				depthwise_block(d, taps, fused, 1, 1, false, false, r + i / across, q + i % across,
				                channels - last, last);
			q += across;
		}
		r += down;
	}
}

/* Passed by value: storing outputs cannot change a copy, so its fields stay in registers. */
static void depthwise_3(struct depthwise d) { depthwise_picture(&d, 3, true); }
static void depthwise_5(struct depthwise d) { depthwise_picture(&d, 5, true); }
static void rounded_3(struct depthwise d) { depthwise_picture(&d, 3, false); }
static void rounded_5(struct depthwise d) { depthwise_picture(&d, 5, false); }

static void depthwise(const struct vae_depthwise *d)
{
	(d->fused       ? d->taps == 3 ? depthwise_3 : depthwise_5
	 : d->taps == 3 ? rounded_3
	                : rounded_5)((struct depthwise){d->rows, d->columns, d->channels, d->above,
	                                                d->above + d->rows + d->below, d->x, d->w,
	                                                (ptrdiff_t)d->channels, d->bias, 0, 0, d->y});
}

/* Adds to dw and dbias from `across` neighbouring outputs. */
INLINE void depthwise_weights(const struct vae_depthwise_backward *d, const size_t taps,
                              const size_t across, const bool within, const bool whole, size_t r,
                              size_t q, size_t c, size_t part)
{
	size_t half = taps / 2, count = whole ? LANES : part;
	vec dy[8], sum = vec_get(d->dbias + c, count);
	UNROLL
	for (size_t u = 0; u < across; u++) {
		dy[u] = vec_get(d->dy + (r * d->columns + q + u) * d->channels + c, count);
		sum = vec_add(sum, dy[u]);
	}
	vec_put(d->dbias + c, sum, count);
	for (size_t i = 0; i < taps; i++) {
		if (r + i - half >= d->rows)
			continue;
		const float *x =
			d->x + (ptrdiff_t)(((r + i - half) * d->columns + q - half) * d->channels + c);
		float *dw = d->dw + i * taps * d->channels + c;
		vec near[8 + 4];
		UNROLL
		for (size_t j = 0; j < taps + across - 1; j++)
			near[j] = within || q + j - half < d->columns ? vec_get(x + j * d->channels, count)
			                                              : vec_all(0);
		UNROLL
		for (size_t j = 0; j < taps; j++) {
			sum = vec_get(dw + j * d->channels, count);
			UNROLL
			for (size_t u = 0; u < across; u++)
				sum = vec_fma(dy[u], near[j + u], sum);
			vec_put(dw + j * d->channels, sum, count);
		}
	}
}

INLINE void depthwise_weights_picture(const struct vae_depthwise_backward *d, const size_t taps)
{
	size_t half = taps / 2, whole = d->channels / LANES * LANES;
	for (size_t r = 0; r < d->rows; r++)
		for (size_t q = 0; q < d->columns;) {
			size_t across = q + 8 <= d->columns ? 8 : 1;
			if (across == 1)
				for (size_t c = 0; c < whole; c += LANES)
					depthwise_weights(d, taps, 1, false, true, r, q, c, 0);
			else if (q >= half && q + 7 + half < d->columns)
				for (size_t c = 0; c < whole; c += LANES)
					depthwise_weights(d, taps, 8, true, true, r, q, c, 0);
			else
				for (size_t c = 0; c < whole; c += LANES)
					depthwise_weights(d, taps, 8, false, true, r, q, c, 0);
			for (size_t u = 0; whole < d->channels && u < across; u++)
				depthwise_weights(d, taps, 1, false, false, r, q + u, whole, d->channels - whole);
			q += across;
		}
}

static void weights_3(struct vae_depthwise_backward d) { depthwise_weights_picture(&d, 3); }
static void weights_5(struct vae_depthwise_backward d) { depthwise_weights_picture(&d, 5); }

static void depthwise_backward(const struct vae_depthwise_backward *d)
{
	(d->taps == 3 ? depthwise_3 : depthwise_5)(
		(struct depthwise){d->rows, d->columns, d->channels, 0, d->rows, d->dy,
	                       d->w + (d->taps * d->taps - 1) * d->channels, -(ptrdiff_t)d->channels,
	                       d->dx, d->columns * d->channels, d->channels, d->dx});
	if (d->dw)
		(d->taps == 3 ? weights_3 : weights_5)(*d);
}

/* ---- pointwise ------------------------------------------------------------------------------- */

static void gain(float *y, const float *x, const float *g, size_t rows, size_t channels)
{
	for (; rows--; x += channels, y += channels)
		EACH
	for (size_t c = 0; c < channels; c++)
		y[c] = x[c] * g[c];
}

static void shift(float *y, const float *x, const float *s, size_t rows, size_t channels)
{
	for (; rows--; x += channels, y += channels)
		EACH
	for (size_t c = 0; c < channels; c++)
		y[c] = x[c] + s[c];
}

static void add(float *y, const float *x, size_t n)
{
	EACH
	for (size_t i = 0; i < n; i++)
		y[i] += x[i];
}

/* Returns a b + c, rounded once if fused, else twice. fused is a constant where this is inlined. */
INLINE float times_plus(float a, float b, float c, const bool fused)
{
	return fused ? __builtin_fmaf(a, b, c) : a * b + c;
}

INLINE void modulate_by(float *y, const float *x, const float *scale, const float *offset,
                        size_t rows, size_t channels, const bool fused)
{
	for (; rows--; x += channels, y += channels)
		EACH
	for (size_t c = 0; c < channels; c++)
		y[c] = times_plus(x[c], 1 + scale[c], offset[c], fused);
}
static void modulate(float *y, const float *x, const float *scale, const float *offset, size_t rows,
                     size_t channels, bool fused)
{
	if (fused)
		modulate_by(y, x, scale, offset, rows, channels, true);
	else
		modulate_by(y, x, scale, offset, rows, channels, false);
}

INLINE void gate_by(float *y, const float *x, const float *h, const float *open, size_t rows,
                    size_t channels, const bool fused)
{
	for (; rows--; x += channels, h += channels, y += channels)
		EACH
	for (size_t c = 0; c < channels; c++)
		y[c] = times_plus(h[c], 1 + open[c], x[c], fused);
}
static void gate(float *y, const float *x, const float *h, const float *open, size_t rows,
                 size_t channels, bool fused)
{
	if (fused)
		gate_by(y, x, h, open, rows, channels, true);
	else
		gate_by(y, x, h, open, rows, channels, false);
}

static void slope_backward(float *dy, const float *y, float slope, size_t n)
{
	EACH
	for (size_t i = 0; i < n; i++)
		dy[i] *= y[i] > 0 ? 1 : slope;
}

static void column_sum(float *db, const float *dy, size_t rows, size_t channels)
{
	for (; rows--; dy += channels)
		add(db, dy, channels);
}

static void gain_backward(float *dx, float *dg, const float *dy, const float *x, const float *g,
                          size_t rows, size_t channels)
{
	for (; rows--; x += channels, dx += channels, dy += channels)
		EACH
	for (size_t c = 0; c < channels; c++) {
		dx[c] += dy[c] * g[c];
		dg[c] += dy[c] * x[c];
	}
}

static void modulate_backward(float *dx, float *dscale, float *dshift, const float *dy,
                              const float *x, const float *scale, size_t rows, size_t channels)
{
	for (; rows--; x += channels, dx += channels, dy += channels)
		EACH
	for (size_t c = 0; c < channels; c++) {
		dx[c] += dy[c] * (1 + scale[c]);
		dscale[c] += dy[c] * x[c];
		dshift[c] += dy[c];
	}
}

static void gate_backward(float *dx, float *dh, float *dgate, const float *dy, const float *h,
                          const float *open, size_t rows, size_t channels)
{
	for (; rows--; h += channels, dx += channels, dh += channels, dy += channels)
		EACH
	for (size_t c = 0; c < channels; c++) {
		dx[c] += dy[c];
		dh[c] += dy[c] * (1 + open[c]);
		dgate[c] += dy[c] * h[c];
	}
}

/* ---- training: the rate of a Gaussian, and Adam ---------------------------------------------- */

INLINE float clamp(float x, float low, float high) { return x < low ? low : x > high ? high : x; }

/* Computes e^x = power * (1 + rest), power = 2^round(x / ln 2), for -87 <= x <= 88; x is clamped to
 * that. */
INLINE void split_exp(float x, float *power, float *rest)
{
	x = clamp(x, -87, 88);
	float shifted = x * 1.44269504f + 12582912; /* 1.5 x 2^23: the last bits are the integer */
	float n = shifted - 12582912;
	float r = x - n * 0.693359375f - n * -2.12194440e-4f;
	*power = float_of((bits_of(shifted) << 23) + 0x3f800000);
	*rest =
		r + r * r *
				(0.5f + r * (1 / 6.f + r * (1 / 24.f +
	                                        r * (1 / 120.f + r * (1 / 720.f + r * (1 / 5040.f))))));
}

INLINE float fast_exp(float x)
{
	float power, rest;
	split_exp(x, &power, &rest);
	return power + power * rest;
}

INLINE float fast_expm1(float x)
{
	float power, rest;
	split_exp(x, &power, &rest);
	return power - 1 + power * rest;
}

/* For normal positive x. With m = x / 2^e in [sqrt 1/2, sqrt 2): log m = 2 artanh((m - 1) / (m +
 * 1)). */
INLINE float fast_log2(float x)
{
	uint32_t e = (bits_of(x) - 0x3f3504f3) & 0xff800000;
	float m = float_of(bits_of(x) - e), q = (m - 1) / (m + 1), s = q * q;
	return (float)((int32_t)e >> 23) +
	       2.88539008f * q * (1 + s * (1 / 3.f + s * (1 / 5.f + s * (1 / 7.f + s * (1 / 9.f)))));
}

/* Returns e^(z^2) erfc(z), with a relative error of 5e-8 on [0, 11]: a Chebyshev fit of the
 * quotient by t = 1 / (1 + z/2). */
INLINE float scaled_erfc(float z)
{
	float t = 1 / (1 + 0.5f * z);
	return t * (0.2820808353f +
	            t * (0.2824816312f +
	                 t * (0.2422748463f +
	                      t * (0.2061551778f +
	                           t * (-0.03519023522f +
	                                t * (0.2909239608f +
	                                     t * (-0.4987234074f +
	                                          t * (0.2902427624f + t * -0.06024561627f))))))));
}

/* With lo, hi = (|d| -+ 1/2) / sigma, Q the upper tail and phi the density of N(0, 1): P = Q(lo) -
 * Q(hi). Since phi(hi) = phi(lo) e^-x, x = |d| / sigma^2, both derivatives of P are phi(lo) times a
 * function of decay = e^-x - 1, without cancellation. Beyond lo = 6, where P < 1e-9 for every
 * sigma, everything stays as at 6: the cost no longer grows, but d is still drawn back. */
static double gaussian_bits(const float *d, const float *log_scale, size_t n, float weight,
                            float *dd, float *ds)
{
	enum { BLOCK = 64 };
	double sums[8] = {0};
	for (size_t i0 = 0; i0 < n; i0 += BLOCK) {
		size_t count = vae_min(n - i0, BLOCK);
		float bits[BLOCK] = {0}, to_d[BLOCK], to_s[BLOCK];
		EACH
		for (size_t i = 0; i < count; i++) {
			float s = log_scale[i0 + i], distance = d[i0 + i];
			float inverse = fast_exp(-clamp(s, VAE_LOG_SCALE_MIN, VAE_LOG_SCALE_MAX)),
				  lo = (__builtin_fabsf(distance) - 0.5f) * inverse;
			lo = lo > 6 ? 6 : lo;
			float hi = lo + inverse, side = __builtin_copysignf(1, lo);
			float decay = fast_expm1(-0.5f * (lo + hi) * inverse),
				  density = fast_exp(-0.5f * lo * lo);
			float q_lo = scaled_erfc(lo * side * 0.707106781f),
				  q_hi = scaled_erfc(hi * 0.707106781f);
			float mass = 0.5f - 0.5f * side + 0.5f * density * (side * q_lo - q_hi - q_hi * decay);
			float unit = weight * -(1.44269504f * 0.398942280f) * density / mass;
			float g_s = unit * (-inverse - hi * decay);
			int outward = (s < VAE_LOG_SCALE_MIN) & (g_s > 0);
			outward |= (s > VAE_LOG_SCALE_MAX) & (g_s < 0);
			bits[i] = -fast_log2(mass < 1e-9f ? 1e-9f : mass);
			to_d[i] = unit * decay * inverse * __builtin_copysignf(1, distance);
			to_s[i] = outward ? 0 : g_s;
		}
		if (dd)
			add(dd + i0, to_d, count);
		if (ds)
			add(ds + i0, to_s, count);
		for (size_t i = 0; i < BLOCK; i += 8)
			for (size_t j = 0; j < 8; j++)
				sums[j] += bits[i + j];
	}
	return ((sums[0] + sums[4]) + (sums[2] + sums[6])) +
	       ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

static void adam(float *w, float *m, float *v, float *average, const float *g, size_t n,
                 float scale, float rate, float b1, float b2, float eps, float ema)
{
	for (size_t i = 0, count; i < n; i += count) {
		count = vae_min(n - i, LANES);
		vec slope = vec_mul(vec_all(scale), vec_get(g + i, count));
		vec first = vec_fma(vec_all(b1), vec_get(m + i, count), vec_mul(vec_all(1 - b1), slope));
		vec second = vec_fma(vec_all(b2), vec_get(v + i, count),
		                     vec_mul(vec_mul(vec_all(1 - b2), slope), slope));
		vec step = vec_div(first, vec_add(vec_sqrt(second), vec_all(eps)));
		vec weight = vec_fma(vec_all(-rate), step, vec_get(w + i, count)),
			mean = vec_get(average + i, count);
		vec_put(m + i, first, count);
		vec_put(v + i, second, count);
		vec_put(w + i, weight, count);
		vec_put(average + i, vec_fma(vec_all(ema), vec_sub(weight, mean), mean), count);
	}
}

static void momentum(float *x, float *m, const float *g, size_t n, float scale, float keep)
{
	for (size_t i = 0, count; i < n; i += count) {
		count = vae_min(n - i, LANES);
		vec news = vec_mul(vec_all((1 - keep) * scale), vec_get(g + i, count));
		vec mean = vec_fma(vec_all(keep), vec_get(m + i, count), news);
		vec_put(m + i, mean, count);
		vec_put(x + i, vec_fma(vec_all(keep), mean, news), count);
	}
}

static void descend(float *w, float *average, const float *d, size_t n, float rate, float ema)
{
	for (size_t i = 0, count; i < n; i += count) {
		count = vae_min(n - i, LANES);
		vec weight = vec_fma(vec_all(-rate), vec_get(d + i, count), vec_get(w + i, count)),
			mean = vec_get(average + i, count);
		vec_put(w + i, weight, count);
		vec_put(average + i, vec_fma(vec_all(ema), vec_sub(weight, mean), mean), count);
	}
}

/* ---- similarity of two pictures -------------------------------------------------------------- */

/* columns of windows that are processed down all rows together, so that the ring below stays in the
 * first-level cache */
#define STRIP   128
/* length of a line: a strip's gradient needs ten more columns of windows */
#define LINE    (STRIP + 16)
#define CHAINS  8
#define MOMENTS 4

/* Filters the eleven floats x[0], x[step], x[2 step] ... */
INLINE float window(const float *x, const size_t step, const float t[6])
{
	return t[5] * (x[0] + x[10 * step]) + t[4] * (x[step] + x[9 * step]) +
	       t[3] * (x[2 * step] + x[8 * step]) + t[2] * (x[3 * step] + x[7 * step]) +
	       t[1] * (x[4 * step] + x[6 * step]) + t[0] * x[5 * step];
}

/* A row of the ring: the four moments of a row of samples, filtered along it. */
struct moments {
	float at[MOMENTS][LINE];
};

INLINE void moments_along(struct moments *m, const float *a, const float *b, const size_t n,
                          const float tap[6])
{
	float t[6] = {tap[0], tap[1], tap[2], tap[3], tap[4], tap[5]}, squares[LINE + VAE_WINDOW - 1],
		  product[LINE + VAE_WINDOW - 1];
	EACH
	for (size_t i = 0; i < n + VAE_WINDOW - 1; i++) {
		squares[i] = a[i] * a[i] + b[i] * b[i];
		product[i] = a[i] * b[i];
	}
	EACH
	for (size_t i = 0; i < n; i++)
		m->at[0][i] = window(a + i, 1, t);
	EACH
	for (size_t i = 0; i < n; i++)
		m->at[1][i] = window(b + i, 1, t);
	EACH
	for (size_t i = 0; i < n; i++)
		m->at[2][i] = window(squares + i, 1, t);
	EACH
	for (size_t i = 0; i < n; i++)
		m->at[3][i] = window(product + i, 1, t);
}

/* r: eleven rows of the ring. Contrast x structure is (2 cov + C2) / (var + var + C2), luminance (2
 * mu mu + C1) / (mu^2 + mu^2 + C1). */
INLINE void windows_down(float *out, const struct moments *const r[VAE_WINDOW], const size_t n,
                         const float tap[6], const bool luminance)
{
	const float c1 = 0.01f * 0.01f, c2 = 0.03f * 0.03f, black = -0.5f;
	float t[6] = {tap[0], tap[1], tap[2], tap[3], tap[4], tap[5]};
	const struct moments *r0 = r[0], *r1 = r[1], *r2 = r[2], *r3 = r[3], *r4 = r[4], *r5 = r[5];
	const struct moments *r6 = r[6], *r7 = r[7], *r8 = r[8], *r9 = r[9], *r10 = r[10];
	EACH
	for (size_t i = 0; i < n; i++) {
		float m[MOMENTS];
		UNROLL
		for (size_t q = 0; q < MOMENTS; q++) {
			float near[VAE_WINDOW] = {r0->at[q][i], r1->at[q][i], r2->at[q][i], r3->at[q][i],
			                          r4->at[q][i], r5->at[q][i], r6->at[q][i], r7->at[q][i],
			                          r8->at[q][i], r9->at[q][i], r10->at[q][i]};
			m[q] = window(near, 1, t);
		}
		float s = (2 * (m[3] - m[0] * m[1]) + c2) / (m[2] - (m[0] * m[0] + m[1] * m[1]) + c2);
		if (luminance) {
			float a = m[0] - black, b = m[1] - black;
			s *= (2 * (a * b) + c1) / (a * a + b * b + c1);
		}
		out[i] = s;
	}
}

static void sum_chains(double chain[CHAINS], const float *x, size_t n)
{
	double sum[CHAINS];
	size_t whole = n - n % CHAINS;
	memcpy(sum, chain, sizeof sum);
	for (size_t i = 0; i < whole; i += CHAINS)
		UNROLL
	for (size_t k = 0; k < CHAINS; k++)
		sum[k] += x[i + k];
	for (size_t i = whole; i < n; i++)
		sum[0] += x[i];
	memcpy(chain, sum, sizeof sum);
}

static double end_chains(const double chain[CHAINS])
{
	double sum = 0;
	for (size_t k = 0; k < CHAINS; k++)
		sum += chain[k];
	return sum;
}

/* Computes the windows of n columns down all rows. n is a constant except for the last strip. */
INLINE void similarity_strip(const struct vae_similarity *s, size_t left, const size_t n,
                             double (*chain)[CHAINS])
{
	struct moments ring[VAE_WINDOW];
	const float *a = s->a + left, *b = s->b + left;
	for (size_t y = 0; y < s->rows + VAE_WINDOW - 1; y++) {
		moments_along(&ring[y % VAE_WINDOW], a + y * s->row, b + y * s->row, n, s->tap);
		if (y < VAE_WINDOW - 1)
			continue;
		const struct moments *r[VAE_WINDOW];
		float value[STRIP];
		for (size_t k = 0; k < VAE_WINDOW; k++)
			r[k] = &ring[(y + 1 + k) % VAE_WINDOW];
		if (s->luminance)
			windows_down(value, r, n, s->tap, true);
		else
			windows_down(value, r, n, s->tap, false);
		sum_chains(chain[y - (VAE_WINDOW - 1)], value, n);
	}
}

static void similarity_whole(const struct vae_similarity *s, size_t left, double (*chain)[CHAINS])
{
	similarity_strip(s, left, STRIP, chain);
}
static void similarity_part(const struct vae_similarity *s, size_t left, size_t n,
                            double (*chain)[CHAINS])
{
	similarity_strip(s, left, n, chain);
}

static void similarity(const struct vae_similarity *s)
{
	double chain[VAE_SIMILARITY_ROWS][CHAINS] = {{0}};
	size_t left = 0;
	for (; left + STRIP <= s->columns; left += STRIP)
		similarity_whole(s, left, chain);
	if (left < s->columns)
		similarity_part(s, left, s->columns - left, chain);
	for (size_t y = 0; y < s->rows; y++)
		s->sum[y] = end_chains(chain[y]);
}

/* Filters down a column of eleven lines. */
INLINE void filter_down(float *out, const float *const r[VAE_WINDOW], const size_t n,
                        const float tap[6])
{
	float t[6] = {tap[0], tap[1], tap[2], tap[3], tap[4], tap[5]};
	const float *r0 = r[0], *r1 = r[1], *r2 = r[2], *r3 = r[3], *r4 = r[4], *r5 = r[5], *r6 = r[6],
				*r7 = r[7], *r8 = r[8], *r9 = r[9], *r10 = r[10];
	EACH
	for (size_t i = 0; i < n; i++)
		out[i] = t[5] * (r0[i] + r10[i]) + t[4] * (r1[i] + r9[i]) + t[3] * (r2[i] + r8[i]) +
		         t[2] * (r3[i] + r7[i]) + t[1] * (r4[i] + r6[i]) + t[0] * r5[i];
}

#define SLOPES 3 /* of a window's similarity, by the moments b, a^2 + b^2 and ab */
struct slopes {
	float at[SLOPES][LINE];
};

/* s = n / d, n = 2 (ab - mu mu) + C2, d = var + var + C2: ds/db = 2 (s mu_b - mu_a) / d,
 * ds/d(squares) = -s / d, ds/d(ab) = 2 / d; likewise for luminance. */
INLINE void windows_slopes(float *value, struct slopes *slope, const float m[MOMENTS][LINE],
                           const bool luminance)
{
	const float c1 = 0.01f * 0.01f, c2 = 0.03f * 0.03f, black = -0.5f;
	EACH
	for (size_t i = 0; i < LINE; i++) {
		float ma = m[0][i], mb = m[1][i], inverse = 1 / (m[2][i] - (ma * ma + mb * mb) + c2);
		float s = (2 * (m[3][i] - ma * mb) + c2) * inverse, l = 1, dl = 0;
		if (luminance) {
			float a = ma - black, b = mb - black, unit = 1 / (a * a + b * b + c1);
			l = (2 * (a * b) + c1) * unit;
			dl = 2 * (a - l * b) * unit;
		}
		value[i] = s * l;
		slope->at[0][i] = 2 * (s * mb - ma) * inverse * l + s * dl;
		slope->at[1][i] = -s * inverse * l;
		slope->at[2][i] = 2 * inverse * l;
	}
}

/* Copies a line of samples from ten columns left of the strip on, 0 outside the picture. */
INLINE void padded_line(float *line, const float *row, size_t left, size_t columns)
{
	size_t skip = left < VAE_WINDOW - 1 ? VAE_WINDOW - 1 - left : 0,
		   from = left + skip - (VAE_WINDOW - 1);
	size_t count = vae_min(columns - from, LINE + VAE_WINDOW - 1 - skip);
	memset(line, 0, skip * sizeof *line);
	memcpy(line + skip, row + from, count * sizeof *line);
	memset(line + skip + count, 0, (LINE + VAE_WINDOW - 1 - skip - count) * sizeof *line);
}

/* Computes d(sum)/db of a row of the strip, from the slopes of the eleven rows of windows that
 * contain it: the transpose of the filter is the filter. */
INLINE void samples_slopes(float *db, const float *a, const float *b, const struct slopes *ring,
                           size_t newest, const size_t n, const float tap[6])
{
	float down[SLOPES][LINE], t[6] = {tap[0], tap[1], tap[2], tap[3], tap[4], tap[5]};
	for (size_t q = 0; q < SLOPES; q++) {
		const float *r[VAE_WINDOW];
		for (size_t k = 0; k < VAE_WINDOW; k++)
			r[k] = ring[(newest + 1 + k) % VAE_WINDOW].at[q];
		filter_down(down[q], r, LINE, tap);
	}
	EACH
	for (size_t i = 0; i < n; i++)
		db[i] = window(down[0] + i, 1, t) + 2 * b[i] * window(down[1] + i, 1, t) +
		        a[i] * window(down[2] + i, 1, t);
}

/* Computes the gradient of the columns from `left` on; returns the sum of the windows that begin in
 * them. Index 0 of a line of windows begins at left - 10: the first window with a sample of the
 * strip. All lines have the same constant length, so that vectors leave no rest; values outside the
 * picture are 0. */
INLINE double gradient_strip(const struct vae_similarity_backward *s, size_t left,
                             const bool luminance)
{
	const size_t before = VAE_WINDOW - 1, windows = s->columns - before, lines = s->rows - before,
				 n = vae_min(STRIP, s->columns - left);
	size_t first = left < before ? before - left : 0,
		   end = vae_min(windows + before - left, n + before), own = vae_min(before, end);
	struct moments moments[VAE_WINDOW];
	struct slopes slopes[VAE_WINDOW];
	double chain[CHAINS] = {0};
	memset(slopes, 0, sizeof slopes);
	for (size_t y = 0; y < s->rows + before; y++) {
		if (y < s->rows) {
			float a[LINE + VAE_WINDOW - 1], b[LINE + VAE_WINDOW - 1];
			padded_line(a, s->a + y * s->columns, left, s->columns);
			padded_line(b, s->b + y * s->columns, left, s->columns);
			moments_along(&moments[y % VAE_WINDOW], a, b, LINE, s->tap);
		}
		if (y < before)
			continue;
		size_t line =
			y - before; /* of windows, and of samples that no later line of windows contains */
		struct slopes *slope = &slopes[line % VAE_WINDOW];
		if (line < lines) {
			float m[MOMENTS][LINE], value[LINE];
			for (size_t q = 0; q < MOMENTS; q++) {
				const float *r[VAE_WINDOW];
				for (size_t k = 0; k < VAE_WINDOW; k++)
					r[k] = moments[(y + 1 + k) % VAE_WINDOW].at[q];
				filter_down(m[q], r, LINE, s->tap);
			}
			windows_slopes(value, slope, m, luminance);
			for (size_t q = 0; q < SLOPES; q++) {
				memset(slope->at[q], 0, first * sizeof(float));
				memset(slope->at[q] + end, 0, (LINE - end) * sizeof(float));
			}
			sum_chains(chain, value + own, end - own);
		} else {
			memset(slope, 0, sizeof *slope);
		}
		size_t at = line * s->columns + left;
		if (n == STRIP)
			samples_slopes(s->db + at, s->a + at, s->b + at, slopes, line % VAE_WINDOW, STRIP,
			               s->tap);
		else
			samples_slopes(s->db + at, s->a + at, s->b + at, slopes, line % VAE_WINDOW, n, s->tap);
	}
	return end_chains(chain);
}

static double similarity_backward(const struct vae_similarity_backward *s)
{
	double sum = 0;
	for (size_t left = 0; left < s->columns; left += STRIP)
		sum += s->luminance ? gradient_strip(s, left, true) : gradient_strip(s, left, false);
	return sum;
}

static double squared_error(const uint16_t *a, const uint16_t *b, size_t n, double fa, double fb)
{
	double sum[CHAINS] = {0};
	size_t whole = n - n % CHAINS;
	for (size_t i = 0; i < whole; i += CHAINS)
		UNROLL
	for (size_t k = 0; k < CHAINS; k++) {
		double d = fa * a[i + k] - fb * b[i + k];
		sum[k] += d * d;
	}
	for (size_t i = whole; i < n; i++) {
		double d = fa * a[i] - fb * b[i];
		sum[0] += d * d;
	}
	return end_chains(sum);
}

static void planes(float *plane, size_t stride, const uint16_t *row, size_t pixels, size_t colours,
                   uint16_t maxval)
{
	const float white = maxval;
	if (colours == 1) {
		EACH
		for (size_t i = 0; i < pixels; i++)
			plane[i] = row[i] / white - 0.5f;
		return;
	}
	EACH
	for (size_t i = 0; i < pixels; i++) {
		plane[i] = row[3 * i] / white - 0.5f;
		plane[stride + i] = row[3 * i + 1] / white - 0.5f;
		plane[2 * stride + i] = row[3 * i + 2] / white - 0.5f;
	}
}

static void halve(float *out, const float *above, const float *below, size_t n)
{
	EACH
	for (size_t i = 0; i < n; i++)
		out[i] = ((above[2 * i] + above[2 * i + 1]) + (below[2 * i] + below[2 * i + 1])) * 0.25f;
}

extern const struct vae_kernels TABLE(vae_kernels); /* used only by dispatch.c */
const struct vae_kernels TABLE(vae_kernels) = {
	.isa = ISA,
	.gemm = gemm,
	.pack_half = pack_half,
	.depthwise = depthwise,
	.depthwise_backward = depthwise_backward,
	.gain = gain,
	.shift = shift,
	.add = add,
	.modulate = modulate,
	.gate = gate,
	.slope_backward = slope_backward,
	.column_sum = column_sum,
	.gain_backward = gain_backward,
	.modulate_backward = modulate_backward,
	.gate_backward = gate_backward,
	.gaussian_bits = gaussian_bits,
	.adam = adam,
	.momentum = momentum,
	.descend = descend,
	.similarity = similarity,
	.squared_error = squared_error,
	.planes = planes,
	.halve = halve,
	.similarity_backward = similarity_backward,
};
