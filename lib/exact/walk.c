/* walk.c - the walk over a plane of a strip, as vae-codes(5) describes it. Every loop over k is
 * over independent lanes. */
#include "exact/walk.h"

#if defined VAE_ISA_avx512
#define WALK_NAME walk_strip_avx512
#elif defined VAE_ISA_avx2
#define WALK_NAME walk_strip_avx2
#elif defined VAE_ISA_neon
#define WALK_NAME walk_strip_neon
#else
#define WALK_NAME walk_strip_scalar
#endif

#if defined VAE_ISA_avx512 || defined VAE_ISA_avx2
#include <immintrin.h>
#endif

/* A loop with independent iterations. */
#define EACH_LANE(k) _Pragma("omp simd") for (int k = 0; k < WALK_LANES; k++)
#define ALWAYS       static inline __attribute__((always_inline))

/* The 16 pixels of a step. */
struct step {
	/* before coding */
	int32_t input[WALK_INPUTS][WALK_LANES], base[WALK_LANES], norm[WALK_LANES];
	int32_t prediction[WALK_LANES], centre[WALK_LANES], middle[WALK_LANES];
	int32_t level[WALK_LANES], closeness[WALK_LANES], q[WALK_LANES];
	int32_t bias[WALK_LANES];                   /* number of its context */
	int32_t memory[WALK_LANES];                 /* its hash */
	int32_t near[WALK_LANES], edge[WALK_LANES]; /* numbers of contexts */
	/* parts of the residual */
	int32_t token[WALK_LANES], high[WALK_LANES], low[WALK_LANES];
	/* after coding */
	int32_t value[WALK_LANES], sign[WALK_LANES], drift[WALK_LANES];
};

ALWAYS int32_t least(int32_t a, int32_t b) { return a < b ? a : b; }
ALWAYS int32_t most(int32_t a, int32_t b) { return a > b ? a : b; }
ALWAYS int32_t limit(int32_t v, int32_t low, int32_t high) { return most(low, least(v, high)); }
ALWAYS int32_t size(int32_t v) { return most(v, -v); }
ALWAYS int32_t sign(int32_t v) { return (v > 0) - (v < 0); }
ALWAYS int32_t median(int32_t n, int32_t w, int32_t nw)
{
	return limit(n + w - nw, least(n, w), most(n, w));
}

/* Returns the vector dx to the right of, and dy below, the pixels of step t. */
ALWAYS const int32_t *near(const int32_t *steps, int t, int dx, int dy)
{
	return steps + (ptrdiff_t)(WALK_PAD + t + dx + WALK_SKEW * dy) * WALK_STRIDE + WALK_FIRST + dy;
}

ALWAYS void take_own(struct step *s, const int32_t *v, int t, int shift)
{
	const int32_t *w = near(v, t, -1, 0), *ww = near(v, t, -2, 0), *www = near(v, t, -3, 0),
				  *n = near(v, t, 0, -1);
	const int32_t *nw = near(v, t, -1, -1), *nww = near(v, t, -2, -1), *ne = near(v, t, 1, -1),
				  *nee = near(v, t, 2, -1);
	const int32_t *nn = near(v, t, 0, -2), *nnw = near(v, t, -1, -2), *nne = near(v, t, 1, -2),
				  *nnn = near(v, t, 0, -3);
	EACH_LANE (k) {
		int32_t base = (n[k] + w[k]) >> 1;
		s->base[k] = base;
		s->input[0][k] = (w[k] - base) >> shift;
		s->input[1][k] = (nw[k] - base) >> shift;
		s->input[2][k] = (ne[k] - base) >> shift;
		s->input[3][k] = (ww[k] - base) >> shift;
		s->input[4][k] = (nn[k] - base) >> shift;
		s->input[5][k] = (nee[k] - base) >> shift;
		s->input[6][k] = (median(n[k], w[k], nw[k]) - base) >> shift;
		s->input[7][k] = (nne[k] - ne[k]) >> shift;
		s->input[8][k] = (nww[k] - nw[k]) >> shift;
		s->input[9][k] = (nnw[k] - nw[k]) >> shift;
		s->input[10][k] = (www[k] - ww[k]) >> shift;
		s->input[11][k] = (nnn[k] - nn[k]) >> shift;
	}
}

/* Computes inputs `first` to first + 3 from a plane that is known. */
ALWAYS void take_other(struct step *s, int first, const int32_t *v, int t, int shift)
{
	const int32_t *c = near(v, t, 0, 0), *w = near(v, t, -1, 0), *n = near(v, t, 0, -1);
	const int32_t *nw = near(v, t, -1, -1), *ne = near(v, t, 1, -1);
	EACH_LANE (k) {
		int32_t base = (n[k] + w[k]) >> 1;
		s->input[first][k] = (c[k] - base) >> shift;
		s->input[first + 1][k] = (w[k] - base) >> shift;
		s->input[first + 2][k] = (nw[k] - base) >> shift;
		s->input[first + 3][k] = (ne[k] - base) >> shift;
	}
}

ALWAYS void predict(struct step *s, const struct walk_plane *p, int inputs, int shift)
{
	const int32_t(*weight)[1 + WALK_LANES] = p->weight[p->turn];
	EACH_LANE (k) {
		int32_t sum = 512, norm = 8;
		for (int i = 0; i < inputs; i++) {
			sum += weight[i][k + 1] * s->input[i][k];
			norm += size(s->input[i][k]);
		}
		s->norm[k] = norm;
		s->prediction[k] =
			limit(s->base[k] * 16 + (sum >> 10) * (1 << shift), p->low * 16, p->high * 16);
	}
}

ALWAYS void classify(struct step *s, const struct walk_plane *p, const struct walk_plane *before,
                     const int32_t *levels, int t, int grain)
{
	const int32_t *e = p->error;
	const int32_t *ew = near(e, t, -1, 0), *en = near(e, t, 0, -1), *enw = near(e, t, -1, -1),
				  *ene = near(e, t, 1, -1);
	const int32_t *eww = near(e, t, -2, 0), *enn = near(e, t, 0, -2),
				  *other = before ? near(before->error, t, 0, 0) : NULL;
	int32_t eighth[WALK_LANES];
	EACH_LANE (k) {
		int32_t energy = 3 * (ew[k] + en[k]) + 2 * (enw[k] + ene[k]) + eww[k] + enn[k];
		int32_t closeness = before ? other[k] : eww[k] + enn[k];
		if (before)
			energy = (3 * energy + 6 * other[k]) >> 2;
		closeness = (closeness >= (before ? 10 : 20)) + (closeness >= (before ? 30 : 50)) +
		            (closeness >= (before ? 80 : 110));
		s->closeness[k] = closeness;
		eighth[k] = least(energy >> 3, WALK_ENERGIES - 1);
	}
	EACH_LANE (k) {
		s->level[k] = levels[eighth[k]];
		s->q[k] = grain + (most(s->level[k] - 11, 0) >> 2);
	}
}

/* Adds the bias of each pixel's context to its prediction. */
ALWAYS void correct(struct step *s, const struct walk_plane *p, const struct walk_plane *before,
                    int t, int grain)
{
	const int32_t *v = p->value, *b = before ? before->value : NULL;
	const int32_t *w = near(v, t, -1, 0), *n = near(v, t, 0, -1), *nw = near(v, t, -1, -1),
				  *ne = near(v, t, 1, -1);
	const int32_t *ww = near(v, t, -2, 0), *nn = near(v, t, 0, -2);
	const int32_t *c = b ? near(b, t, 0, 0) : NULL, *bw = b ? near(b, t, -1, 0) : NULL,
				  *bn = b ? near(b, t, 0, -1) : NULL;
	EACH_LANE (k) {
		int32_t x = s->prediction[k];
		int32_t pattern = (w[k] * 16 > x) + 2 * (n[k] * 16 > x) + 4 * (nw[k] * 16 > x) +
		                  8 * (ne[k] * 16 > x) + 16 * (ww[k] * 16 > x) + 32 * (nn[k] * 16 > x);
		if (before)
			pattern += 64 * (2 * c[k] > bn[k] + bw[k]);
		s->bias[k] = 4 * pattern + (s->level[k] >> 3);
	}
	EACH_LANE (k) {
		s->centre[k] = s->prediction[k] + (p->bias[s->bias[k]] >> 8) * (1 << grain);
		s->middle[k] = (s->centre[k] + 8) >> 4;
	}
}

ALWAYS void hash(struct step *s, const struct walk_plane *p, int t, const unsigned others)
{
	const int32_t *v = p->value, *first = others ? near((p - others)->value, t, 0, 0) : NULL;
	const int32_t *second = others > 1 ? near((p - 1)->value, t, 0, 0) : NULL;
	const int32_t *w = near(v, t, -1, 0), *n = near(v, t, 0, -1), *nw = near(v, t, -1, -1),
				  *ne = near(v, t, 1, -1);
	EACH_LANE (k) {
		uint32_t sum = others == 1 ? 0
		               : others    ? (uint32_t)first[k] * 513 + (uint32_t)second[k] * 70001
		                           : (uint32_t)n[k] * 259 + (uint32_t)w[k] * 3001 +
		                              (uint32_t)nw[k] * 17 + (uint32_t)ne[k] * 70001;
		s->memory[k] = others == 1 ? (first[k] * 67 + w[k]) & (WALK_MEMORY - 1)
		                           : (int32_t)(sum * 2654435761u >> (32 - WALK_MEMORY_BITS));
	}
}

/* Computes the contexts of the tokens. */
ALWAYS void choose(struct step *s, const struct walk_plane *p, int t)
{
	const int32_t *w = near(p->value, t, -1, 0), *n = near(p->value, t, 0, -1),
				  *ne = near(p->value, t, 1, -1);
	int32_t recalled[WALK_LANES];
	EACH_LANE (k)
		recalled[k] = p->memory[s->memory[k]];
	EACH_LANE (k) {
		int32_t middle = s->middle[k], q = s->q[k],
				known = recalled[k] == INT32_MIN ? ne[k] : recalled[k];
		s->near[k] =
			(s->level[k] * 4 + s->closeness[k]) * 5 + limit((known - middle) >> q, -2, 2) + 2;
		s->edge[k] = (s->level[k] >> 1) * 49 + (limit((w[k] - middle) >> q, -3, 3) + 3) * 7 +
		             limit((n[k] - middle) >> q, -3, 3) + 3;
	}
}

/* Returns how many of 32 sums a[i] + b[i] are at most slot. */
ALWAYS int count_sums(const int16_t *a, const int16_t *b, int slot)
{
#if defined VAE_ISA_avx512
	__m512i sum = _mm512_add_epi16(_mm512_load_si512(a), _mm512_load_si512(b));
	return __builtin_popcount(_mm512_cmple_epi16_mask(sum, _mm512_set1_epi16((short)slot)));
#elif defined VAE_ISA_avx2
	__m256i limit = _mm256_set1_epi16((short)slot);
	__m256i low = _mm256_add_epi16(_mm256_load_si256((const __m256i *)a),
	                               _mm256_load_si256((const __m256i *)b));
	__m256i high = _mm256_add_epi16(_mm256_load_si256((const __m256i *)a + 1),
	                                _mm256_load_si256((const __m256i *)b + 1));
	__m256i above =
		_mm256_packs_epi16(_mm256_cmpgt_epi16(low, limit), _mm256_cmpgt_epi16(high, limit));
	return 32 - __builtin_popcount((unsigned)_mm256_movemask_epi8(above));
#else
	int16_t count = 0;
	for (int i = 0; i < WALK_TOKENS; i++)
		count = (int16_t)(count + ((int16_t)(a[i] + b[i]) <= (int16_t)slot));
	return count;
#endif
}

/* Moves a distribution towards token. */
ALWAYS void adapt(const struct vae_natural *n, struct walk_tokens *tokens, uint8_t *uses, int token)
{
	int age = *uses >> 4, rate = 5 + age;
	const int16_t *aim = n->aim[age][token];
	int16_t *start = tokens->start;
	*uses = (uint8_t)(*uses + (*uses < WALK_USES));
	_Pragma("omp simd") for (int i = 0; i < WALK_TOKENS; i++) start[i] =
		(int16_t)(start[i] + ((int16_t)(aim[i] - start[i]) >> rate));
}

ALWAYS int code_token(const struct walk_plane *p, struct vae_rans *c, unsigned state,
                      int32_t near_context, int32_t edge_context, int token, const bool decode)
{
	const int16_t *a = p->near[near_context].start, *b = p->edge[edge_context].start;
	if (decode)
		token = count_sums(a, b, (int)vae_rans_slot(c, state)) - 1;
	uint32_t start = (uint32_t)(a[token] + b[token]);
	uint32_t end = token < WALK_TOKENS - 1 ? (uint32_t)(a[token + 1] + b[token + 1]) : VAE_RANS_ONE;
	if (decode)
		vae_rans_take(c, state, start, end - start);
	else
		vae_rans_put(c, state, start, end - start);
	return token;
}

/* Codes the high part of a residual beyond the tokens. */
static __attribute__((noinline)) int32_t code_excess(struct walk_plane *p, struct vae_rans *c,
                                                     unsigned state, int32_t high,
                                                     const bool decode)
{
	unsigned above = vae_rans_bits(c, state, high > 15, 1, decode), more = 0;
	uint32_t m = decode ? 0 : (uint32_t)(above ? high - 15 : -15 - high);
	while (more < WALK_GAMMA - 1) {
		uint16_t *zero = &p->gamma[more];
		unsigned bit = vae_rans_bit(c, state, *zero, decode ? 0 : m >> more > 1, decode);
		*zero = (uint16_t)(*zero + (bit ? -(*zero >> 5) : (VAE_RANS_ONE - *zero) >> 5));
		if (!bit)
			break;
		more++;
	}
	unsigned upper = more > 15 ? more - 15 : 0, lower = more - upper;
	uint32_t rest = vae_rans_bits(c, state, m >> lower & ((1u << upper) - 1), upper, decode)
	                << lower;
	rest |= vae_rans_bits(c, state, m & ((1u << lower) - 1), lower, decode);
	m = 1u << more | rest;
	return above ? (int32_t)m + 15 : -15 - (int32_t)m;
}

ALWAYS void split(struct step *s, const int32_t *value)
{
	EACH_LANE (k) {
		int32_t residual = value[k] - s->middle[k], high = residual >> s->q[k];
		s->high[k] = high;
		s->token[k] = high < -15 || high > 15 ? 0 : high + 16;
		s->low[k] = residual & ((1 << s->q[k]) - 1);
	}
}

ALWAYS void code_lane(struct step *s, struct walk_plane *p, struct vae_rans *c, int k,
                      const bool decode)
{
	unsigned state = (unsigned)k % VAE_RANS_STATES;
	int token = code_token(p, c, state, s->near[k], s->edge[k], decode ? 0 : s->token[k], decode);
	if (decode) {
		s->token[k] = token;
		s->high[k] = token - 16;
	}
	if (!token)
		s->high[k] = code_excess(p, c, state, s->high[k], decode);
	s->low[k] = (int32_t)vae_rans_bits(c, state, decode ? 0 : (uint32_t)s->low[k],
	                                   (unsigned)s->q[k], decode);
}

/* Stores the values and errors of lanes first to last. */
ALWAYS void join(struct step *s, const struct walk_plane *p, int t, int first, int last, int grain,
                 const bool decode)
{
	int32_t *value = walk_at(p->value, t, 0), *error = walk_at(p->error, t, 0);
	EACH_LANE (k) {
		bool coded = k >= first && k <= last;
		int32_t residual = (int32_t)(((uint32_t)s->high[k] << s->q[k]) + (uint32_t)s->low[k]);
		int32_t x = value[k];
		if (decode)
			x = limit(limit(residual, -WALK_EXCESS, WALK_EXCESS) + s->middle[k], p->low, p->high);
		int32_t miss = x * 16 - s->prediction[k];
		s->value[k] = x;
		s->sign[k] = coded ? sign(miss) : 0;
		s->drift[k] = limit((x * 16 - s->centre[k]) >> grain, -512, 512) * 4;
		value[k] = coded ? x : value[k];
		error[k] = coded ? size(miss) >> grain : error[k];
	}
}

/* Limits the weights at every eighth step, often enough to keep sums within 32 bits. */
ALWAYS void limit_weights(struct walk_plane *p, int inputs)
{
	for (int i = 0; i < inputs; i++)
		for (int k = 1; k <= WALK_LANES; k++)
			p->weight[p->turn][i][k] =
				limit(p->weight[p->turn][i][k], -WALK_HEAVIEST, WALK_HEAVIEST);
}

ALWAYS void learn(const struct vae_natural *n, struct step *s, struct walk_plane *p, int first,
                  int last, int inputs)
{
	const int32_t(*now)[1 + WALK_LANES] = p->weight[p->turn];
	int32_t(*then)[1 + WALK_LANES] = p->weight[p->turn ^= 1], rate[WALK_LANES];
	for (int k = first; k <= last; k++) {
		adapt(n, &p->near[s->near[k]], &p->near_uses[s->near[k]], s->token[k]);
		adapt(n, &p->edge[s->edge[k]], &p->edge_uses[s->edge[k]], s->token[k]);
		p->bias[s->bias[k]] += s->drift[k];
		p->memory[s->memory[k]] = s->value[k];
	}
	EACH_LANE (k)
		rate[k] = n->rate[least(s->norm[k] >> 3, WALK_RATES - 1)] * s->sign[k];
	for (int i = 0; i < inputs; i++) {
		const int32_t *w = now[i];
		int32_t *to = then[i];
		EACH_LANE (k)
			to[k + 1] = w[k + 1] + (((w[k] - w[k + 1]) >> 2) & (k ? -1 : 0)) +
			            ((rate[k] * s->input[i][k]) >> 8);
	}
}

/* Sets the pixels left of the strip for the row that begins at step t, and those right of it for
 * the row that ends there. */
ALWAYS void edges(int32_t *v, int t, int width, int rows)
{
	int begins = t / WALK_SKEW, ends = (t - width + 1) / WALK_SKEW;
	if (t % WALK_SKEW == 0 && begins < rows)
		for (int i = 1; i <= WALK_SKEW; i++)
			*walk_at(v, -i, begins) = *walk_at(v, 0, begins - 1);
	if (t >= width && (t - width) % WALK_SKEW == 0 && (ends = (t - width) / WALK_SKEW) < rows)
		for (int i = 0; i < WALK_SKEW; i++)
			*walk_at(v, width + i, ends) = *walk_at(v, width - 1, ends);
}

ALWAYS int walk(struct vae_natural *n, struct walk_plane *p, struct vae_rans *c, int width,
                int rows, const unsigned others, struct vae_error *error, const bool decode)
{
	const int inputs = 12 + 4 * (int)others, grain = (int)n->grain, shift = (int)n->shift;
	const struct walk_plane *before = others ? p - 1 : NULL;
	struct step s = {0};
	for (int t = 0; t < width + WALK_SKEW * (rows - 1); t++) {
		int rc = decode ? vae_rans_check(c, error) : vae_rans_reserve(c, VAE_RANS_PAD / 2, error);
		if (rc)
			return rc;
		edges(p->value, t, width, rows);
		edges(p->error, t, width, rows);
		take_own(&s, p->value, t, shift);
		for (unsigned i = 0; i < others; i++)
			take_other(&s, 12 + 4 * (int)i, n->plane[i].value, t, shift);
		predict(&s, p, inputs, shift);
		classify(&s, p, before, n->level, t, grain);
		correct(&s, p, before, t, grain);
		hash(&s, p, t, others);
		choose(&s, p, t);
		int last = least(t / WALK_SKEW, rows - 1),
			first = t < width ? 0 : (t - width) / WALK_SKEW + 1;
		if (!decode)
			split(&s, walk_at(p->value, t, 0));
		for (int k = first; k <= last; k++)
			code_lane(&s, p, c, k, decode);
		join(&s, p, t, first, last, grain, decode);
		learn(n, &s, p, first, last, inputs);
		if (t % 8 == 7)
			limit_weights(p, inputs);
	}
	return 0;
}

int WALK_NAME(struct vae_natural *n, struct walk_plane *p, struct vae_rans *c, bool decode,
              uint32_t width, uint32_t rows, struct vae_error *error)
{
	switch (p->number * 2 + decode) {
	case 0: return walk(n, p, c, (int)width, (int)rows, 0, error, false);
	case 1: return walk(n, p, c, (int)width, (int)rows, 0, error, true);
	case 2: return walk(n, p, c, (int)width, (int)rows, 1, error, false);
	case 3: return walk(n, p, c, (int)width, (int)rows, 1, error, true);
	case 4: return walk(n, p, c, (int)width, (int)rows, 2, error, false);
	default: return walk(n, p, c, (int)width, (int)rows, 2, error, true);
	}
}
