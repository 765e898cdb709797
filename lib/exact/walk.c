/* The walk over a plane of a strip, as natural.h describes it. Every loop over k is over lanes,
 * which do not see each other. */
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

#define LANES  for (int k = 0; k < WALK_LANES; k++)
#define ALWAYS static inline __attribute__((always_inline))

/* What is known of the 16 pixels of a step before they are coded. */
struct step {
	int32_t input[WALK_INPUTS][WALK_LANES];
	int32_t base[WALK_LANES], norm[WALK_LANES], prediction[WALK_LANES];
	int32_t level[WALK_LANES], closeness[WALK_LANES], pattern[WALK_LANES];
	uint32_t hash[WALK_LANES]; /* of what the memory goes by */
	int32_t sign[WALK_LANES];  /* of the error; 0 where no pixel was coded */
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

/* The vector dx to the right of, and dy below, the pixels of step t. */
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
	LANES
	{
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

/* Inputs `first` to first + 3, from a plane that is known. */
ALWAYS void take_other(struct step *s, int first, const int32_t *v, int t, int shift)
{
	const int32_t *c = near(v, t, 0, 0), *w = near(v, t, -1, 0), *n = near(v, t, 0, -1);
	const int32_t *nw = near(v, t, -1, -1), *ne = near(v, t, 1, -1);
	LANES
	{
		int32_t base = (n[k] + w[k]) >> 1;
		s->input[first][k] = (c[k] - base) >> shift;
		s->input[first + 1][k] = (w[k] - base) >> shift;
		s->input[first + 2][k] = (nw[k] - base) >> shift;
		s->input[first + 3][k] = (ne[k] - base) >> shift;
	}
}

ALWAYS void predict(struct step *s, const struct walk_plane *p, int inputs, int shift)
{
	LANES
	{
		int32_t sum = 512, norm = 8;
		for (int i = 0; i < inputs; i++) {
			sum += (p->weight[i][k] >> 2) * s->input[i][k];
			norm += size(s->input[i][k]);
		}
		s->norm[k] = norm;
		s->prediction[k] =
			limit(s->base[k] * 16 + (sum >> 10) * (1 << shift), p->low * 16, p->high * 16);
	}
}

ALWAYS void classify(struct step *s, const struct walk_plane *p, const struct walk_plane *before,
                     int t)
{
	static const int32_t threshold[WALK_LEVELS - 1] = {
		40,  47,  56,  67,   80,   95,   113,  135,  160,  191,  227,  271,  322,  383,  456, 543,
		646, 769, 916, 1090, 1297, 1543, 1836, 2185, 2601, 3095, 3683, 4383, 5216, 6207, 7387};
	const int32_t *e = p->error;
	const int32_t *ew = near(e, t, -1, 0), *en = near(e, t, 0, -1), *enw = near(e, t, -1, -1),
				  *ene = near(e, t, 1, -1);
	const int32_t *eww = near(e, t, -2, 0), *enn = near(e, t, 0, -2),
				  *other = before ? near(before->error, t, 0, 0) : NULL;
	LANES
	{
		int32_t energy = 3 * (ew[k] + en[k]) + 2 * (enw[k] + ene[k]) + eww[k] + enn[k], level = 0;
		int32_t closeness = before ? other[k] : eww[k] + enn[k];
		if (before)
			energy = (3 * energy + 12 * other[k]) >> 2;
		for (int i = 0; i < WALK_LEVELS - 1; i++)
			level += energy > threshold[i];
		closeness = (closeness >= (before ? 10 : 20)) + (closeness >= (before ? 30 : 50)) +
		            (closeness >= (before ? 80 : 110));
		s->level[k] = level;
		s->closeness[k] = closeness;
	}
}

ALWAYS void compare(struct step *s, const struct walk_plane *p, const struct walk_plane *before,
                    int t)
{
	const int32_t *v = p->value, *b = before ? before->value : NULL;
	const int32_t *w = near(v, t, -1, 0), *n = near(v, t, 0, -1), *nw = near(v, t, -1, -1),
				  *ne = near(v, t, 1, -1);
	const int32_t *ww = near(v, t, -2, 0), *nn = near(v, t, 0, -2);
	const int32_t *c = b ? near(b, t, 0, 0) : NULL, *bw = b ? near(b, t, -1, 0) : NULL,
				  *bn = b ? near(b, t, 0, -1) : NULL;
	LANES
	{
		int32_t x = s->prediction[k];
		s->pattern[k] = (w[k] * 16 > x) + 2 * (n[k] * 16 > x) + 4 * (nw[k] * 16 > x) +
		                8 * (ne[k] * 16 > x) + 16 * (ww[k] * 16 > x) + 32 * (nn[k] * 16 > x);
		if (before)
			s->pattern[k] += 64 * (2 * c[k] > bn[k] + bw[k]);
	}
}

ALWAYS void hash(struct step *s, const struct walk_plane *p, int t, const unsigned others)
{
	const int32_t *v = p->value, *first = others ? near((p - others)->value, t, 0, 0) : NULL;
	const int32_t *second = others > 1 ? near((p - 1)->value, t, 0, 0) : NULL;
	const int32_t *w = near(v, t, -1, 0), *n = near(v, t, 0, -1), *nw = near(v, t, -1, -1),
				  *ne = near(v, t, 1, -1);
	LANES
	{
		if (others == 1)
			s->hash[k] = (uint32_t)first[k] % WALK_MEMORY;
		else {
			uint32_t sum = others ? (uint32_t)first[k] * 513 + (uint32_t)second[k] * 70001
			                      : (uint32_t)n[k] * 259 + (uint32_t)w[k] * 3001 +
			                            (uint32_t)nw[k] * 17 + (uint32_t)ne[k] * 70001;
			s->hash[k] = sum * 2654435761u >> (32 - WALK_MEMORY_BITS);
		}
	}
}

/* Moves one distribution towards token. */
ALWAYS void adapt(uint16_t *restrict tokens, uint8_t *uses, int token)
{
	int rate = 5 + (*uses >> 4);
	int16_t up = (int16_t)(WALK_WHOLE - WALK_TOKENS + (1 << rate) - 1);
	*uses = (uint8_t)(*uses + (*uses < 48));
	for (int i = 1; i < WALK_TOKENS; i++) {
		int16_t now = (int16_t)tokens[i], aim = (int16_t)(i <= token ? i : up + i);
		tokens[i] = (uint16_t)(now + ((int16_t)(aim - now) >> rate));
	}
}

ALWAYS uint32_t tokens_start(const uint16_t *a, const uint16_t *b, int token)
{
	return token < WALK_TOKENS ? (uint32_t)a[token] + b[token] : VAE_RANS_ONE;
}

ALWAYS int code_token(struct walk_plane *p, struct vae_rans *c, unsigned state,
                      int32_t near_context, int32_t edge_context, int token, const bool decode)
{
	uint16_t *a = p->near[near_context], *b = p->edge[edge_context];
	if (decode) {
		uint16_t slot = (uint16_t)vae_rans_slot(c, state), below = 0;
		for (int i = 0; i < WALK_TOKENS; i++)
			below = (uint16_t)(below + ((uint16_t)(a[i] + b[i]) <= slot));
		token = below - 1;
	}
	uint32_t start = tokens_start(a, b, token), count = tokens_start(a, b, token + 1) - start;
	if (decode)
		vae_rans_take(c, state, start, count);
	else
		vae_rans_put(c, state, start, count);
	adapt(a, &p->near_uses[near_context], token);
	adapt(b, &p->edge_uses[edge_context], token);
	return token;
}

/* A residual's high part beyond the tokens. */
static inline int32_t code_excess(struct walk_plane *p, struct vae_rans *c, unsigned state,
                                  int32_t high, const bool decode)
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
	unsigned upper = more > 15 ? more - 15 : 0;
	uint32_t rest =
		vae_rans_bits(c, state, m >> (more - upper) & ((1u << upper) - 1), upper, decode)
		<< (more - upper);
	rest |= vae_rans_bits(c, state, m & ((1u << (more - upper)) - 1), more - upper, decode);
	m = 1u << more | rest;
	return above ? (int32_t)m + 15 : -15 - (int32_t)m;
}

/* The residual of pixel k, given what it is predicted to be. */
ALWAYS int32_t code_residual(struct step *s, struct walk_plane *p, struct vae_rans *c, int k,
                             int32_t residual, int32_t middle, int32_t w, int32_t n, int32_t ne,
                             unsigned grain, const bool decode)
{
	unsigned state = (unsigned)k % VAE_RANS_STATES;
	int32_t level = s->level[k], recalled = p->memory[s->hash[k]];
	unsigned q = grain + (level > 14 ? (unsigned)(level - 11) >> 2 : 0), low_bits = q < 15 ? q : 15;
	int32_t high = residual >> q;
	uint32_t low = (uint32_t)residual & ((1u << q) - 1);
	int32_t by_memory = limit(((recalled == INT32_MIN ? ne : recalled) - middle) >> q, -2, 2) + 2;
	int32_t by_edge =
		(limit((w - middle) >> q, -3, 3) + 3) * 7 + limit((n - middle) >> q, -3, 3) + 3;
	int token =
		code_token(p, c, state, (level * 4 + s->closeness[k]) * 5 + by_memory,
	               (level >> 1) * 49 + by_edge, high < -15 || high > 15 ? 0 : high + 16, decode);
	high = token ? token - 16 : code_excess(p, c, state, high, decode);
	if (q) {
		uint32_t coded = vae_rans_bits(c, state, low & ((1u << low_bits) - 1), low_bits, decode);
		low = coded | vae_rans_bits(c, state, low >> low_bits, q - low_bits, decode) << low_bits;
	}
	return (int32_t)((uint32_t)high << q | low);
}

ALWAYS void code_pixel(struct step *s, struct walk_plane *p, struct vae_rans *c, int t, int k,
                       int grain, const bool decode)
{
	int32_t *value = walk_at(p->value, t, 0) + k, *error = walk_at(p->error, t, 0) + k;
	const int32_t w = near(p->value, t, -1, 0)[k], n = near(p->value, t, 0, -1)[k],
				  ne = near(p->value, t, 1, -1)[k];
	int32_t *bias = &p->bias[s->pattern[k]][s->level[k] >> 3], predicted = s->prediction[k];
	int32_t centre = predicted + (*bias >> 8) * (1 << grain), middle = (centre + 8) >> 4;
	int32_t residual = code_residual(s, p, c, k, decode ? 0 : *value - middle, middle, w, n, ne,
	                                 (unsigned)grain, decode);
	if (decode)
		*value = limit(limit(residual, -WALK_EXCESS, WALK_EXCESS) + middle, p->low, p->high);
	*error = size(*value * 16 - predicted) >> grain;
	s->sign[k] = sign(*value * 16 - predicted);
	*bias += limit((*value * 16 - centre) >> grain, -512, 512) * 4;
	p->memory[s->hash[k]] = *value;
}

ALWAYS void learn(struct step *s, struct walk_plane *p, const int32_t *rates, int inputs)
{
	int32_t rate[WALK_LANES];
	LANES
	rate[k] = rates[least(s->norm[k] >> 3, WALK_RATES - 1)] * s->sign[k];
	for (int i = 0; i < inputs; i++) {
		int32_t padded[WALK_LANES + 1], *w = p->weight[i];
		padded[0] = w[0];
		LANES
		padded[k + 1] = w[k];
		LANES
		w[k] = limit(w[k] + ((padded[k] - w[k]) >> 2) + ((rate[k] * s->input[i][k]) >> 6), -131072,
		             131072);
	}
}

/* The pixels left of the strip for the row that begins at step t; those right of it for the row
 * that ends there. */
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
	struct step s;
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
		classify(&s, p, before, t);
		compare(&s, p, before, t);
		hash(&s, p, t, others);
		int last = least(t / WALK_SKEW, rows - 1),
			first = t < width ? 0 : (t - width) / WALK_SKEW + 1;
		LANES
		s.sign[k] = 0;
		for (int k = first; k <= last; k++)
			code_pixel(&s, p, c, t, k, grain, decode);
		learn(&s, p, n->rate, inputs);
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
