/* The walk is compiled once for each instruction set (the Makefile's ISAS): loops over lanes become
 * vectors. */
#include "exact/natural.h"

#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "exact/walk.h"

/* ---- a tile's state -------------------------------------------------------------------------- */

/* Cumulative counts of a distribution that falls by fall / 2^16 for each step away from token 16;
 * the excess gets 1/64 more. */
static void start_tokens(int16_t *tokens, uint32_t fall)
{
	uint32_t weight[WALK_TOKENS], sum = 0, so_far = 0, w = 1 << 16;
	for (int j = 0; j <= 16; j++) {
		if (j < 16)
			weight[16 + j] = w;
		weight[16 - j] = w;
		w = (uint32_t)((uint64_t)w * fall >> 16);
	}
	weight[0] += 1 << 10;
	for (int i = 0; i < WALK_TOKENS; i++)
		sum += weight[i];
	for (int i = 0; i < WALK_TOKENS; i++) {
		tokens[i] = (int16_t)((uint64_t)so_far * (WALK_WHOLE - WALK_TOKENS) / sum + (uint32_t)i);
		so_far += weight[i];
	}
}

static void start_plane(struct walk_plane *p, unsigned number)
{
	/* exp(-1 / b) x 2^16, b being a level's mean error in tokens, at least 0.3 */
	static const uint16_t fall[WALK_LEVELS] = {
		2337,  2337,  2337,  2337,  2337,  2337,  4285,  7394,  12234, 16759, 22014,
		26403, 30884, 35749, 39914, 30479, 34497, 38239, 41598, 30479, 34497, 38239,
		41696, 30682, 34578, 38303, 41744, 30682, 34659, 38366, 41793, 30758};
	for (int i = 0; i < WALK_LEVELS; i++) {
		int16_t tokens[WALK_TOKENS];
		start_tokens(tokens, fall[i]);
		for (int j = 0; j < 4 * 5; j++)
			memcpy(p->near[i * 20 + j].start, tokens, sizeof tokens);
		for (int j = 0; j < 7 * 7 && i % 2 == 0; j++)
			memcpy(p->edge[i / 2 * 49 + j].start, tokens, sizeof tokens);
	}
	for (int i = 0; i < WALK_MEMORY; i++)
		p->memory[i] = INT32_MIN;
	for (int i = 0; i < WALK_GAMMA; i++)
		p->gamma[i] = VAE_RANS_ONE / 2;
	for (int k = 0; k <= WALK_LANES; k++) {
		p->weight[0][0][k] = p->weight[0][2][k] = 2000;
		p->weight[0][6][k] = 6000;
	}
	p->number = number;
}

static void start_tables(struct vae_natural *n)
{
	static const uint16_t threshold[WALK_LEVELS - 1] = {
		1,  2,  3,   4,   6,   8,   10,  13,  16,  20,  24,  29,  36,  44,  57, 68,
		81, 96, 114, 136, 162, 193, 230, 273, 325, 387, 460, 548, 652, 776, 923};
	for (int j = 0; j < WALK_RATES; j++)
		n->rate[j] = 163840 / (8 * j + 4);
	for (int j = 0, level = 0; j < WALK_ENERGIES; j++) {
		level += level < WALK_LEVELS - 1 && j >= threshold[level];
		n->level[j] = level;
	}
	for (int age = 0; age <= WALK_USES / 16; age++)
		for (int token = 0; token < WALK_TOKENS; token++)
			for (int i = 0; i < WALK_TOKENS; i++)
				n->aim[age][token][i] =
					(int16_t)(i <= token ? i : WALK_WHOLE - WALK_TOKENS + i + (1 << (5 + age)) - 1);
}

static walk_strip *choose_walk(void)
{
	switch (vae_isa_choose()) {
#if defined __x86_64__
	case VAE_ISA_AVX2: return walk_strip_avx2;
	case VAE_ISA_AVX512: return walk_strip_avx512;
#elif defined __aarch64__
	case VAE_ISA_NEON: return walk_strip_neon;
#endif
	default: return walk_strip_scalar;
	}
}

int vae_natural_new(struct vae_natural **natural, uint32_t width, unsigned planes,
                    const struct vae_natural_range *range, unsigned grain, struct vae_error *error)
{
	struct vae_natural *n;
	uint32_t widest = 0;
	int rc = vae_alloc(&n, 1, sizeof *n, error);
	if (rc)
		return rc;
	n->planes = planes;
	n->width = width;
	n->grain = grain;
	n->walk = choose_walk();
	start_tables(n);
	for (unsigned i = 0; i < planes; i++) {
		struct walk_plane *p = &n->plane[i];
		size_t steps = width + 2 * WALK_PAD + WALK_SKEW * WALK_LANES;
		if ((rc = vae_alloc(&p->value, steps * WALK_STRIDE, sizeof *p->value, error)) ||
		    (rc = vae_alloc(&p->error, steps * WALK_STRIDE, sizeof *p->error, error)) ||
		    (rc = vae_alloc_raw(&p->above, 6 * (width + 2 * WALK_SKEW), sizeof *p->above, error))) {
			vae_natural_free(n);
			return rc;
		}
		p->low = range[i].low;
		p->high = range[i].high;
		for (size_t j = 0; j < 6 * (width + 2 * WALK_SKEW); j++)
			p->above[j] = j % 2 ? VAE_NATURAL_START : (p->low + p->high) >> 1;
		for (size_t j = 0; j < steps * WALK_STRIDE && p->low != p->high; j++)
			p->value[j] = (p->low + p->high) >> 1; /* what lanes see that code nothing */
		start_plane(p, i);
		if ((uint32_t)(p->high - p->low) > widest)
			widest = (uint32_t)(p->high - p->low);
	}
	while (widest >> n->shift > 2047)
		n->shift++;
	*natural = n;
	return 0;
}

void vae_natural_free(struct vae_natural *n)
{
	if (!n)
		return;
	for (unsigned i = 0; i < n->planes; i++) {
		free(n->plane[i].value);
		free(n->plane[i].error);
		free(n->plane[i].above);
	}
	free(n);
}

/* ---- strips ---------------------------------------------------------------------------------- */

/* Between the rows above the strip and lanes -1, -2, -3. Columns of `above` start WALK_SKEW left of
 * the tile. */
static void load_above(struct walk_plane *p, uint32_t tile_width, uint32_t left, uint32_t width)
{
	for (int row = 1; row <= 3; row++) {
		const int32_t *from =
			p->above + 2 * ((size_t)(row - 1) * (tile_width + 2 * WALK_SKEW) + left);
		for (int x = -WALK_SKEW; x < (int)width + WALK_SKEW; x++, from += 2) {
			*walk_at(p->value, x, -row) = from[0];
			*walk_at(p->error, x, -row) = from[1];
		}
	}
}

static void save_above(struct walk_plane *p, uint32_t tile_width, uint32_t left, uint32_t width,
                       uint32_t rows)
{
	uint32_t whole = tile_width + 2 * WALK_SKEW;
	for (int row = 1; row <= 3 && row <= (int)rows; row++) {
		int32_t *line = p->above + 2 * (size_t)(row - 1) * whole,
				*to = line + 2 * (left + WALK_SKEW);
		for (int x = 0; x < (int)width; x++, to += 2) {
			to[0] = *walk_at(p->value, x, (int)rows - row);
			to[1] = *walk_at(p->error, x, (int)rows - row);
		}
		for (int i = 0; i < WALK_SKEW; i++) {
			memcpy(line + 2 * i, line + 2 * WALK_SKEW, 2 * sizeof *line);
			memcpy(line + 2 * (whole - 1 - i), line + 2 * (whole - 1 - WALK_SKEW),
			       2 * sizeof *line);
		}
	}
}

/* Copies a strip's values between steps and rows, in blocks that stay in the cache. */
static void copy(struct walk_plane *p, bool out, uint32_t width, uint32_t rows, int32_t *value,
                 size_t stride)
{
	for (uint32_t block = 0; block < width; block += 32)
		for (uint32_t y = 0; y < rows; y++) {
			int32_t *steps = walk_at(p->value, (int)block, (int)y),
					*row = value + y * stride + block;
			uint32_t count = width - block < 32 ? width - block : 32;
			for (uint32_t x = 0; x < count && out; x++)
				row[x] = steps[x * WALK_STRIDE];
			for (uint32_t x = 0; x < count && !out; x++)
				steps[x * WALK_STRIDE] = row[x];
		}
}

int vae_natural_code(struct vae_natural *n, struct vae_rans *coder, bool decode, uint32_t left,
                     uint32_t width, uint32_t rows, int32_t *const *value, size_t stride,
                     struct vae_error *error)
{
	for (unsigned i = 0; i < n->planes; i++) {
		struct walk_plane *p = &n->plane[i];
		if (p->low == p->high)
			continue;
		load_above(p, n->width, left, width);
		if (!decode)
			copy(p, false, width, rows, value[i], stride);
		int rc = n->walk(n, p, coder, decode, width, rows, error);
		if (rc)
			return rc;
		if (decode)
			copy(p, true, width, rows, value[i], stride);
		save_above(p, n->width, left, width, rows);
	}
	return 0;
}
