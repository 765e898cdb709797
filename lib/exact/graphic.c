#include "exact/graphic.h"

#include "exact/mix.h"
#include "exact/part.h"

#include <stdlib.h>
#include <string.h>

enum {
	CANDIDATES = 7,
	RECALL_BITS = 16,
	SAME_BITS = 12,
	KNOWN = 2,
	ODDS_BITS = 16,
	PAD = 4,      /* columns left and right of a row */
	ROWS = 4,     /* rows kept */
	LEVELS = 8,   /* levels of variation around a sample */
	LENGTHS = 18, /* of numbers */
	NODES = 128,  /* of a number's code that have weights of their own */
	USES = 33,    /* limit of counted uses of odds */
};

/* A colour that followed a context. */
struct recall {
	uint64_t colour;
	uint16_t check;      /* of the context, against other contexts of the same entry */
	uint16_t confidence; /* number of times in a row that it was right, up to 7 */
};

/* Contexts of a sample that no candidate predicted, each with the bits of a number's code below it.
 */
struct literal {
	struct vae_odds known[KNOWN][8]; /* that the colour is the one recalled for this first sample */
	struct vae_odds odds[VAE_MIX_INPUTS][1 << ODDS_BITS];
	struct vae_mixer mixer[VAE_EXACT_PART_PLANES][NODES];
};

struct graphic {
	const struct vae_exact_part *part;
	struct vae_rans coder;
	struct vae_logistic logistic;
	struct literal literal;
	/* newest row first; each points PAD columns into colours or uses */
	uint64_t *row[ROWS];
	uint8_t *used[ROWS]; /* the candidate that was right; 7: none */
	uint64_t *colours;   /* owned */
	uint8_t *uses;       /* owned */
	struct recall wide[1 << RECALL_BITS], narrow[1 << RECALL_BITS];
	struct recall same[KNOWN][1 << SAME_BITS], *place[KNOWN];
	struct vae_odds odds[VAE_MIX_INPUTS][1 << ODDS_BITS];
	struct vae_odds flat[8]; /* that a pixel continues a uniform surrounding */
	struct vae_mixer mixer[CANDIDATES * 8];
};

/* The surroundings of a pixel. */
struct around {
	uint64_t w, n, nw, ne, ww, nn, nee, nne;
	struct recall *wide, *narrow;
	uint64_t wide_hash, narrow_hash;
	uint32_t pattern; /* equalities among them */
	uint32_t history; /* candidates that were right around the pixel */
};

/* ---- contexts -------------------------------------------------------------------------------- */

static uint64_t mixed(uint64_t hash, uint64_t more)
{
	hash = (hash ^ more) * 0x9e3779b97f4a7c15u;
	return hash ^ hash >> 29;
}

static void look(struct graphic *g, uint32_t x, struct around *a)
{
	const uint64_t *c = g->row[0] + x, *n = g->row[1] + x, *nn = g->row[2] + x;
	const uint8_t *u = g->used[0] + x, *un = g->used[1] + x;
	*a = (struct around){.w = c[-1],
	                     .ww = c[-2],
	                     .n = n[0],
	                     .nw = n[-1],
	                     .ne = n[1],
	                     .nee = n[2],
	                     .nn = nn[0],
	                     .nne = nn[1]};
	uint64_t narrow = mixed(mixed(mixed(mixed(1, a->w), a->n), a->nw), a->ne);
	uint64_t wide = mixed(
		mixed(mixed(mixed(mixed(mixed(narrow, a->ww), a->nn), a->nee), a->nne), nn[-1]), n[-2]);
	a->narrow = &g->narrow[narrow >> (64 - RECALL_BITS)];
	a->wide = &g->wide[wide >> (64 - RECALL_BITS)];
	a->narrow_hash = narrow;
	a->wide_hash = wide;
	a->pattern = (a->w == a->n) | (a->n == a->ne) << 1 | (a->w == a->nw) << 2 |
	             (a->n == a->nw) << 3 | (a->n == a->nn) << 4 | (a->w == a->ww) << 5 |
	             (a->ne == a->nee) << 6 | (a->w == a->ne) << 7;
	a->history = (uint32_t)(u[-1] | un[0] << 3 | un[1] << 6 | un[-1] << 9);
}

static void learn(struct recall *r, uint16_t check, uint64_t colour)
{
	if (r->check == check && r->colour == colour)
		r->confidence = (uint16_t)(r->confidence + (r->confidence < 7));
	else if (r->check == check && r->confidence > 1)
		r->confidence /= 2;
	else
		*r = (struct recall){colour, check, 1};
}

/* Lists the candidate colours of the pixel, most probable first, each once. Returns their number.
 */
static unsigned list(const struct around *a, uint64_t colour[CANDIDATES], uint32_t confidence[2])
{
	uint64_t all[CANDIDATES];
	unsigned count = 0, listed = 0;
	confidence[0] = a->wide->check == (uint16_t)a->wide_hash ? a->wide->confidence : 0;
	confidence[1] = a->narrow->check == (uint16_t)a->narrow_hash ? a->narrow->confidence : 0;
	if (confidence[0])
		all[count++] = a->wide->colour;
	if (confidence[1])
		all[count++] = a->narrow->colour;
	all[count++] = a->w;
	all[count++] = a->n;
	all[count++] = a->ne;
	all[count++] = a->nw;
	all[count++] = a->nn;
	for (unsigned i = 0; i < count; i++) {
		unsigned j = 0;
		while (j < listed && colour[j] != all[i])
			j++;
		if (j == listed)
			colour[listed++] = all[i];
	}
	return listed;
}

/* ---- samples --------------------------------------------------------------------------------- */

static int32_t sample_of(uint64_t colour, unsigned plane)
{
	return (int32_t)(colour >> 16 * plane & 65535);
}

/* Codes one bit of a number in its contexts. node: its position in the number's code. */
static inline unsigned code_digit(struct graphic *g, unsigned plane,
                                  const uint64_t context[VAE_MIX_INPUTS], unsigned node,
                                  unsigned bit, const bool decode)
{
	struct vae_odds *odds[VAE_MIX_INPUTS];
	for (int i = 0; i < VAE_MIX_INPUTS; i++)
		odds[i] = &g->literal.odds[i][mixed(context[i], node) >> (64 - ODDS_BITS)];
	return vae_mix_bit(&g->coder, &g->logistic, &g->literal.mixer[plane][node % NODES], odds, bit,
	                   USES, decode);
}

/* Codes a number: whether it is 0, its sign, its length in bits, its bits below the first. Only the
 * first three of those bits are modelled. */
static inline int32_t code_number(struct graphic *g, unsigned plane,
                                  const uint64_t context[VAE_MIX_INPUTS], int32_t number,
                                  const bool decode)
{
	if (!code_digit(g, plane, context, 0, number != 0, decode))
		return 0;
	unsigned negative = code_digit(g, plane, context, 1, number < 0, decode), length = 0;
	uint32_t size = decode ? 1 : (uint32_t)(negative ? -number : number), value = 1;
	while (length < LENGTHS - 1 && code_digit(g, plane, context, 2 + length + LENGTHS * negative,
	                                          size >> length > 1, decode))
		length++;
	for (unsigned i = length; i--;) {
		unsigned bit = size >> i & 1;
		if (i + 3 >= length)
			bit = code_digit(g, plane, context, 64 + (length << 4 | value << 1 | negative), bit,
			                 decode);
		else
			bit = vae_rans_bits(&g->coder, 0, bit, 1, decode);
		value = value << 1 | bit;
	}
	return negative ? -(int32_t)value : (int32_t)value;
}

static int32_t predicted(const struct around *a, unsigned plane)
{
	int32_t n = sample_of(a->n, plane), w = sample_of(a->w, plane), nw = sample_of(a->nw, plane);
	int32_t low = n < w ? n : w, high = n < w ? w : n, plain = n + w - nw;
	return plain < low ? low : plain > high ? high : plain;
}

static unsigned level_of(const struct around *a, unsigned plane)
{
	int32_t n = sample_of(a->n, plane), w = sample_of(a->w, plane), nw = sample_of(a->nw, plane),
			ne = sample_of(a->ne, plane);
	int32_t spread = abs(n - nw) + abs(w - nw) + abs(ne - n);
	unsigned level = 0;
	for (; spread > 0 && level < LEVELS - 1; level++)
		spread >>= level ? 2 : 1;
	return level;
}

static int32_t quantised(int32_t v)
{
	int32_t size = abs(v), q = size < 3 ? size : size < 6 ? 3 : size < 14 ? 4 : size < 40 ? 5 : 6;
	return v < 0 ? -q : q;
}

/* Computes the contexts of a plane's residual. done: residuals of the planes coded before; value:
 * the sample before. */
static void find_contexts(const struct around *a, unsigned plane, int32_t guess,
                          const int32_t done[2], int32_t value, uint64_t context[VAE_MIX_INPUTS])
{
	int32_t n = sample_of(a->n, plane), w = sample_of(a->w, plane), ne = sample_of(a->ne, plane);
	unsigned sign = done[0] == 0 ? 0 : done[0] > 0 ? 1 : 2;
	int32_t ww = sample_of(a->ww, plane), nn = sample_of(a->nn, plane);
	context[0] = mixed(
		mixed(mixed(plane * 8 + level_of(a, plane), sign), (uint64_t)quantised(2 * w - ww - guess)),
		(uint64_t)quantised(2 * n - nn - guess));
	context[1] = mixed(mixed(plane + 8, (uint64_t)done[0]), (uint64_t)quantised(done[1]));
	context[2] = mixed(mixed(plane + 16, (uint64_t)w), (uint64_t)n);
	context[3] = mixed(mixed(plane + 24, (uint64_t)value), (uint64_t)guess);
	context[4] = mixed(mixed(mixed(mixed(plane + 32, (uint64_t)quantised(n - guess)),
	                               (uint64_t)quantised(w - guess)),
	                         (uint64_t)quantised(ne - guess)),
	                   sign);
}

/* Codes whether the colour is the one recalled for its first sample and W, or for the sample alone.
 */
static inline bool code_known(struct graphic *g, const struct around *a, unsigned plane,
                              int32_t value, uint64_t *colour, const bool decode)
{
	const uint64_t key[KNOWN] = {mixed(mixed(2, (uint64_t)value), a->w), mixed(3, (uint64_t)value)};
	uint64_t offered = UINT64_MAX;
	bool found = false;
	for (unsigned i = 0; i < KNOWN; i++)
		g->place[i] = &g->same[i][key[i] >> (64 - SAME_BITS)];
	for (unsigned i = 0; i < KNOWN && !found; i++) {
		const struct recall *r = g->place[i];
		if (!r->confidence || sample_of(r->colour, plane) != value || r->colour == offered)
			continue;
		found = vae_odds_bit(&g->coder, &g->logistic, &g->literal.known[i][r->confidence],
		                     *colour == r->colour, USES, decode);
		offered = r->colour;
		if (found)
			*colour = offered;
	}
	for (unsigned i = 0; i < KNOWN && found; i++)
		learn(g->place[i], 0, *colour);
	return found;
}

/* Codes a colour sample by sample; the second of three comes first, since it predicts the others
 * best. */
static uint64_t code_literal(struct graphic *g, const struct around *a, uint64_t colour,
                             const bool decode)
{
	static const uint8_t order[VAE_EXACT_PART_PLANES] = {1, 0, 2};
	int32_t maxval = (int32_t)g->part->tile->maxval, done[2] = {0, 0}, value = 0;
	uint64_t result = 0, context[VAE_MIX_INPUTS];
	for (unsigned i = 0; i < g->part->planes; i++) {
		unsigned p = g->part->planes == 3 ? order[i] : i;
		int32_t guess = predicted(a, p) + (i ? done[0] : 0);
		guess = guess < 0 ? 0 : guess > maxval ? maxval : guess;
		find_contexts(a, p, guess, done, value, context);
		value = guess + code_number(g, p, context, sample_of(colour, p) - guess, decode);
		value = value < 0 ? 0 : value > maxval ? maxval : value;
		done[1] = done[0];
		done[0] = value - predicted(a, p);
		result |= (uint64_t)value << 16 * p;
		if (i == 0 && g->part->planes > 1 && code_known(g, a, p, value, &colour, decode))
			return colour;
	}
	for (int i = 0; i < KNOWN && g->part->planes > 1; i++)
		learn(g->place[i], 0, result);
	return result;
}

/* ---- pixels ---------------------------------------------------------------------------------- */

static inline unsigned code_choice(struct graphic *g, const struct around *a,
                                   const uint32_t confidence[2], const uint64_t *colour, unsigned i,
                                   unsigned hit, const bool decode)
{
	uint32_t is = (colour[i] == a->w) | (colour[i] == a->n) << 1 | (colour[i] == a->ne) << 2 |
	              (colour[i] == a->nw) << 3 | (confidence[0] && colour[i] == a->wide->colour) << 4 |
	              (confidence[1] && colour[i] == a->narrow->colour) << 5;
	const uint64_t context[VAE_MIX_INPUTS - 1] = {
		mixed(mixed(a->pattern, is), i), mixed(mixed(a->history, is & 15), i),
		mixed(a->narrow_hash, i), mixed(mixed(mixed(a->w, a->n), i), is)};
	struct vae_odds *odds[VAE_MIX_INPUTS] = {
		&g->odds[0][is << 9 | confidence[0] << 6 | confidence[1] << 3 | i]};
	for (int j = 1; j < VAE_MIX_INPUTS; j++)
		odds[j] = &g->odds[j][context[j - 1] >> (64 - ODDS_BITS)];
	struct vae_mixer *m = &g->mixer[i * 8 + confidence[0]];
	return vae_mix_bit(&g->coder, &g->logistic, m, odds, hit, USES, decode);
}

static inline void code_pixel(struct graphic *g, uint32_t x, const bool decode)
{
	struct around a;
	uint64_t colour[CANDIDATES], *here = g->row[0] + x;
	uint32_t confidence[2];
	look(g, x, &a);
	if (a.pattern == 255 && a.n == a.nne) {
		struct vae_odds *o = &g->flat[a.history & 7 ? 1 : a.history >> 6 & 7 ? 2 : 0];
		if (!vae_odds_bit(&g->coder, &g->logistic, o, *here != a.w, VAE_ODDS_USES - 1, decode)) {
			*here = a.w;
			g->used[0][x] = 0;
			return;
		}
	}
	unsigned count = list(&a, colour, confidence), i = 0;
	while (i < count && !code_choice(g, &a, confidence, colour, i, *here == colour[i], decode))
		i++;
	if (decode && i < count)
		*here = colour[i];
	else if (i == count)
		*here = code_literal(g, &a, *here, decode);
	g->used[0][x] = (uint8_t)(i < count ? i : 7);
	learn(a.wide, (uint16_t)a.wide_hash, *here);
	learn(a.narrow, (uint16_t)a.narrow_hash, *here);
}

/* ---- rows ------------------------------------------------------------------------------------ */

static void store(const struct vae_exact_part *part, uint32_t x, uint32_t y, uint64_t colour)
{
	for (unsigned i = 0; i < part->planes; i++)
		*vae_exact_sample(part, i, x, y) = (uint16_t)sample_of(colour, i);
}

/* Starts a row. Pixels outside the tile equal its nearest one in the row above or, above the tile,
 * 0. */
static void next_row(struct graphic *g, uint32_t width)
{
	uint64_t *oldest = g->row[ROWS - 1];
	uint8_t *oldest_used = g->used[ROWS - 1];
	for (int i = 0; i < PAD; i++)
		g->row[0][(int)width + i] = g->row[0][width - 1];
	memmove(g->row + 1, g->row, (ROWS - 1) * sizeof *g->row);
	memmove(g->used + 1, g->used, (ROWS - 1) * sizeof *g->used);
	g->row[0] = oldest;
	g->used[0] = oldest_used;
	for (int i = 1; i <= PAD; i++)
		oldest[-i] = g->row[1][0];
}

static inline int code_rows(struct graphic *g, struct vae_error *error, const bool decode)
{
	const struct vae_exact_tile *tile = g->part->tile;
	uint32_t columns = (tile->width + VAE_EXACT_CELL - 1) / VAE_EXACT_CELL;
	for (uint32_t y = 0; y < tile->height; y++) {
		const uint8_t *cells =
			tile->cells ? tile->cells + (size_t)(y / VAE_EXACT_CELL) * columns : NULL;
		next_row(g, tile->width);
		for (uint32_t x = 0; x < tile->width; x++) {
			int rc = decode ? vae_rans_check(&g->coder, error)
			                : vae_rans_reserve(&g->coder, VAE_RANS_PAD / 2, error);
			if (rc)
				return rc;
			if (cells && !cells[x / VAE_EXACT_CELL]) {
				g->row[0][x] = *(g->row[0] + x - 1);
				g->used[0][x] = 0;
				continue;
			}
			if (!decode)
				g->row[0][x] = vae_exact_colour(g->part, x, y);
			code_pixel(g, x, decode);
			if (decode)
				store(g->part, x, y, g->row[0][x]);
		}
	}
	return 0;
}

/* ---- parts ----------------------------------------------------------------------------------- */

static void start_odds(struct vae_odds *odds, size_t count)
{
	for (size_t i = 0; i < count; i++)
		odds[i] = (struct vae_odds){32768, 0};
}

static void start_mixers(struct vae_mixer *mixer, size_t count)
{
	for (size_t i = 0; i < count; i++)
		for (int j = 0; j < VAE_MIX_INPUTS; j++)
			mixer[i].weight[j] = 65536 * 3 / 10;
}

static int open_graphic(struct graphic **graphic, const struct vae_exact_part *part,
                        struct vae_error *error)
{
	struct graphic *g;
	uint32_t pitch = part->tile->width + 2 * PAD;
	int rc = vae_alloc(&g, 1, sizeof *g, error);
	if (rc)
		return rc;
	*graphic = g;
	if ((rc = vae_alloc(&g->colours, (size_t)ROWS * pitch, sizeof *g->colours, error)) ||
	    (rc = vae_alloc(&g->uses, (size_t)ROWS * pitch, 1, error)))
		return rc;
	for (int i = 0; i < ROWS; i++) {
		g->row[i] = g->colours + (size_t)i * pitch + PAD;
		g->used[i] = g->uses + (size_t)i * pitch + PAD;
	}
	g->part = part;
	vae_logistic_init(&g->logistic);
	start_odds(g->odds[0], sizeof g->odds / sizeof **g->odds);
	start_odds(g->flat, sizeof g->flat / sizeof *g->flat);
	start_odds(g->literal.known[0], KNOWN * 8);
	start_odds(g->literal.odds[0], sizeof g->literal.odds / sizeof **g->literal.odds);
	start_mixers(g->literal.mixer[0], sizeof g->literal.mixer / sizeof **g->literal.mixer);
	start_mixers(g->mixer, sizeof g->mixer / sizeof *g->mixer);
	return 0;
}

static void close_graphic(struct graphic *g)
{
	if (!g)
		return;
	vae_rans_clear(&g->coder);
	free(g->colours);
	free(g->uses);
	free(g);
}

int vae_exact_graphic_encode(struct vae_buffer *buffer, const struct vae_exact_part *part,
                             struct vae_error *error)
{
	struct graphic *g = NULL;
	uint8_t mode = VAE_EXACT_GRAPHIC;
	int rc = open_graphic(&g, part, error);
	if (!rc)
		rc = vae_buffer_append(buffer, &mode, 1, error);
	if (!rc)
		rc = code_rows(g, error, false);
	if (!rc)
		rc = vae_rans_flush(&g->coder, 1, buffer, error);
	close_graphic(g);
	return rc;
}

int vae_exact_graphic_decode(const struct vae_exact_part *part, struct vae_exact_bytes *bytes,
                             struct vae_error *error)
{
	struct graphic *g = NULL;
	int rc = open_graphic(&g, part, error);
	if (!rc)
		rc = vae_rans_open(&g->coder, bytes->next, (size_t)(bytes->end - bytes->next), error);
	if (!rc)
		rc = vae_rans_start(&g->coder, 1, error);
	if (!rc)
		rc = code_rows(g, error, true);
	if (!rc)
		rc = vae_rans_end(&g->coder, 1, error);
	if (!rc)
		rc = vae_rans_close(&g->coder, error);
	close_graphic(g);
	return rc;
}
