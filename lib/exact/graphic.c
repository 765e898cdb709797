/* A part as graphics: pixels are compared with colours that context has recalled and with
 * neighbours, before samples are coded. */
#include "exact/mix.h"
#include "exact/part.h"

#include <stdlib.h>
#include <string.h>

enum {
	CANDIDATES = 7,
	RECALL_BITS = 16,
	ODDS_BITS = 16,
	PAD = 4,    /* columns left and right of a row */
	ROWS = 4,   /* rows kept */
	LEVELS = 8, /* of how much the surroundings of a sample vary */
	GAMMA = 17, /* bits of a number's length */
	SLOW = 6,
	FAST = 5
};

/* A colour that followed a context. */
struct recall {
	uint64_t colour;
	uint16_t check;      /* of the context, against others of the same place */
	uint16_t confidence; /* how often it was right in a row, up to 7 */
};

/* How samples are coded where no candidate is right. */
struct literal {
	struct vae_odds known[3]; /* that the colour is the recalled one of this first sample */
	struct vae_odds zero[VAE_EXACT_PLANES][LEVELS][4];
	struct vae_odds sign[VAE_EXACT_PLANES][4];
	struct vae_odds length[VAE_EXACT_PLANES][LEVELS][GAMMA];
	struct vae_odds digit[VAE_EXACT_PLANES][GAMMA][GAMMA];
};

struct graphic {
	const struct vae_exact_part *part;
	struct vae_rans coder;
	struct vae_logistic logistic;
	struct literal literal;
	uint32_t pitch;      /* pixels from a row to the next one of `row` */
	uint64_t *row[ROWS]; /* colours, the newest row first; each PAD columns in; parts of `colours`
	                      */
	uint8_t *used[ROWS]; /* which candidate was right, CANDIDATES: none; parts of `uses` */
	uint64_t *colours;   /* owned */
	uint8_t *uses;       /* owned */
	struct recall wide[1 << RECALL_BITS], narrow[1 << RECALL_BITS], same[1 << 12];
	struct vae_odds odds[VAE_MIX_INPUTS][1 << ODDS_BITS];
	struct vae_odds flat[8]; /* that a pixel goes on where all around it is one colour */
	struct vae_mixer mixer[CANDIDATES * 8];
};

/* What surrounds a pixel. */
struct around {
	uint64_t w, n, nw, ne, ww, nn, nee, nne;
	struct recall *wide, *narrow;
	uint16_t wide_check, narrow_check;
	uint32_t pattern; /* which of them are equal */
	uint32_t history; /* which candidates were right around */
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
	a->narrow_check = (uint16_t)narrow;
	a->wide_check = (uint16_t)wide;
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

/* Colours that the pixel may have, the likeliest first, each once. */
static unsigned list(const struct around *a, uint64_t colour[CANDIDATES], uint32_t confidence[2])
{
	uint64_t all[CANDIDATES];
	unsigned count = 0, listed = 0;
	confidence[0] = a->wide->check == a->wide_check ? a->wide->confidence : 0;
	confidence[1] = a->narrow->check == a->narrow_check ? a->narrow->confidence : 0;
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

static inline int32_t code_number(struct graphic *g, unsigned plane, unsigned level,
                                  unsigned before, int32_t number, const bool decode)
{
	struct literal *l = &g->literal;
	struct vae_rans *c = &g->coder;
	if (!vae_odds_bit(c, &l->zero[plane][level][before], number != 0, SLOW, decode))
		return 0;
	unsigned negative = vae_odds_bit(c, &l->sign[plane][before], number < 0, SLOW, decode),
			 length = 0;
	uint32_t size = decode ? 1 : (uint32_t)(negative ? -number : number);
	while (length < GAMMA - 1 &&
	       vae_odds_bit(c, &l->length[plane][level][length], size >> length > 1, SLOW, decode))
		length++;
	uint32_t value = 1;
	for (unsigned i = length; i--;) {
		struct vae_odds *o = &l->digit[plane][length][i];
		value = value << 1 | (i + 2 >= length ? vae_odds_bit(c, o, size >> i & 1, SLOW, decode)
		                                      : vae_rans_bits(c, 0, size >> i & 1, 1, decode));
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
	for (; spread > 0 && level < LEVELS - 1; spread >>= level < 2 ? 1 : 2)
		level++;
	return level;
}

/* Codes a colour sample by sample: the second of three first, as it tells most of the others. */
static uint64_t code_literal(struct graphic *g, const struct around *a, uint64_t colour,
                             const bool decode)
{
	static const uint8_t order[VAE_EXACT_PLANES][VAE_EXACT_PLANES] = {
		{0}, {0, 1}, {1, 0, 2}, {1, 0, 2, 3}};
	const uint8_t *plane = order[g->part->planes - 1];
	int32_t maxval = (int32_t)g->part->tile->maxval, residual = 0;
	uint64_t result = 0;
	struct recall *same = NULL;
	for (unsigned i = 0; i < g->part->planes; i++) {
		unsigned p = plane[i], before = i == 0 ? 0 : residual == 0 ? 1 : residual > 0 ? 2 : 3;
		int32_t guess = predicted(a, p) + (i == 1 || i == 2 ? residual : 0);
		guess = guess < 0 ? 0 : guess > maxval ? maxval : guess;
		int32_t miss =
					code_number(g, p, level_of(a, p), before, sample_of(colour, p) - guess, decode),
				value = guess + miss;
		value = value < 0 ? 0 : value > maxval ? maxval : value;
		residual = value - predicted(a, p);
		result |= (uint64_t)value << 16 * p;
		if (i == 0 && g->part->planes > 1) {
			same = &g->same[mixed(mixed(2, (uint64_t)value), a->w) >> 52];
			bool fits = same->confidence && sample_of(same->colour, p) == value;
			if (fits && vae_odds_bit(&g->coder, &g->literal.known[0], colour == same->colour, SLOW,
			                         decode)) {
				result = same->colour;
				break;
			}
		}
	}
	if (same)
		*same = (struct recall){.colour = result, .confidence = 1};
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
	uint32_t mask = (1 << ODDS_BITS) - 1;
	uint64_t exact = mixed(mixed(a->narrow_check, (uint64_t)(a->narrow - g->narrow)), i);
	struct vae_odds *odds[VAE_MIX_INPUTS] = {
		&g->odds[0][(is << 9 | confidence[0] << 6 | confidence[1] << 3 | i) & mask],
		&g->odds[1][(mixed(mixed(a->pattern, is), i) >> 40) & mask],
		&g->odds[2][(mixed(mixed(a->history, is & 15), i) >> 40) & mask],
		&g->odds[3][exact >> 40 & mask],
		&g->odds[4][(mixed(mixed(mixed(a->w, a->n), i), is) >> 40) & mask],
	};
	struct vae_mixer *m = &g->mixer[i * 8 + confidence[0]];
	return vae_mix_bit(&g->coder, &g->logistic, m, odds, hit, SLOW, decode);
}

static inline void code_pixel(struct graphic *g, uint32_t x, const bool decode)
{
	struct around a;
	uint64_t colour[CANDIDATES], *here = g->row[0] + x;
	uint32_t confidence[2];
	look(g, x, &a);
	if (a.pattern == 255 && a.n == a.nne) {
		struct vae_odds *o = &g->flat[a.history & 7 ? 1 : a.history >> 6 & 7 ? 2 : 0];
		if (!vae_odds_bit(&g->coder, o, *here != a.w, 15, decode)) {
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
	learn(a.wide, a.wide_check, *here);
	learn(a.narrow, a.narrow_check, *here);
}

/* ---- rows ------------------------------------------------------------------------------------ */

static uint64_t load(const struct vae_exact_part *part, uint32_t x, uint32_t y)
{
	uint64_t colour = 0;
	for (unsigned i = 0; i < part->planes; i++) {
		const struct vae_exact_plane *p = &part->tile->plane[part->first + i];
		colour |= (uint64_t)p->sample[y * p->stride + x * p->step] << 16 * i;
	}
	return colour;
}

static void store(const struct vae_exact_part *part, uint32_t x, uint32_t y, uint64_t colour)
{
	for (unsigned i = 0; i < part->planes; i++) {
		const struct vae_exact_plane *p = &part->tile->plane[part->first + i];
		p->sample[y * p->stride + x * p->step] = (uint16_t)sample_of(colour, i);
	}
}

/* Pixels outside the tile are as its nearest one of the row above or, above the tile, 0. */
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
				g->row[0][x] = load(g->part, x, y);
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
	start_odds((struct vae_odds *)&g->literal, sizeof g->literal / sizeof(struct vae_odds));
	for (int i = 0; i < CANDIDATES * 8; i++)
		for (int j = 0; j < VAE_MIX_INPUTS; j++)
			g->mixer[i].weight[j] = 65536 * 3 / 10;
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
		rc = vae_rans_finish(&g->coder, 1, buffer, error);
	close_graphic(g);
	return rc;
}

int vae_exact_graphic_decode(const struct vae_exact_part *part, struct vae_exact_bytes *bytes,
                             struct vae_error *error)
{
	struct graphic *g = NULL;
	int rc = open_graphic(&g, part, error);
	if (!rc)
		rc = vae_rans_start(&g->coder, 1, bytes->next, (size_t)(bytes->end - bytes->next), error);
	if (!rc)
		rc = code_rows(g, error, true);
	if (!rc)
		rc = vae_rans_check(&g->coder, error);
	if (!rc)
		rc = vae_rans_end(&g->coder, 1, error);
	close_graphic(g);
	return rc;
}
