/* walk.h - the interface between natural.c and walk.c, which is compiled once for each instruction
 * set. */
#ifndef VAE_EXACT_WALK_H
#define VAE_EXACT_WALK_H

#include "exact/natural.h"

enum {
	WALK_LANES = VAE_NATURAL_ROWS,
	WALK_SKEW = VAE_NATURAL_SKEW,
	WALK_TOKENS = 32,
	WALK_WHOLE = VAE_RANS_ONE / 2, /* sum of a distribution's counts; two of them are added */
	WALK_LEVELS = 32,
	WALK_INPUTS = 20,
	WALK_RATES = 2048,
	WALK_ENERGIES = 1024,  /* levels of energy, in eighths */
	WALK_HEAVIEST = 24576, /* limit of weights: 1.5 */
	WALK_NEAR = WALK_LEVELS * 4 * 5,
	WALK_EDGE = WALK_LEVELS / 2 * 7 * 7,
	WALK_MEMORY_BITS = 14,
	WALK_MEMORY = 1 << WALK_MEMORY_BITS,
	WALK_USES = 32, /* limit of a distribution's counted uses */
	WALK_GAMMA = 20,
	WALK_EXCESS = 1 << 20, /* no residual is larger */
	WALK_FIRST = 4,        /* position of lane 0 in a step; lanes -1 to -3 are above the strip */
	WALK_STRIDE = WALK_LANES + WALK_FIRST,
	WALK_PAD = 4 * WALK_SKEW + 1 /* steps before pixel 0 of row 0 */
};

/* A distribution of tokens: cumulative counts that begin with 0. */
struct walk_tokens {
	_Alignas(64) int16_t start[WALK_TOKENS];
};

struct walk_plane {
	int32_t *value, *error; /* of a strip, WALK_STRIDE for each step; owned */
	/* 3 rows of (value, error), nearest first, and WALK_SKEW columns around; owned */
	int32_t *above;
	int32_t low, high;
	unsigned number; /* of planes before this one */
	/* before and after steps of even number; from index 1 on, since lane 0 reads index 0, too */
	int32_t weight[2][WALK_INPUTS][1 + WALK_LANES];
	unsigned turn; /* index of the current weights */
	int32_t bias[128 * 4];
	struct walk_tokens near[WALK_NEAR], edge[WALK_EDGE];
	uint8_t near_uses[WALK_NEAR], edge_uses[WALK_EDGE]; /* up to WALK_USES */
	int32_t memory[WALK_MEMORY]; /* the value that last followed a hash; INT32_MIN: none */
	uint16_t gamma[WALK_GAMMA];
};

typedef int walk_strip(struct vae_natural *natural, struct walk_plane *plane,
                       struct vae_rans *coder, bool decode, uint32_t width, uint32_t rows,
                       struct vae_error *error);

struct vae_natural {
	walk_strip *walk; /* for this machine */
	uint32_t width;
	unsigned planes, grain, shift;
	int32_t rate[WALK_RATES];     /* learning rates, by an eighth of the norm */
	int32_t level[WALK_ENERGIES]; /* by an eighth of the energy */
	/* target counts, by rate - 5 and token */
	int16_t aim[WALK_USES / 16 + 1][WALK_TOKENS][WALK_TOKENS];
	struct walk_plane plane[VAE_NATURAL_PLANES];
};

/* Pixel x of row y of the strip. */
static inline int32_t *walk_at(int32_t *steps, int x, int y)
{
	return steps + (ptrdiff_t)(WALK_PAD + x + WALK_SKEW * y) * WALK_STRIDE + WALK_FIRST + y;
}

walk_strip walk_strip_scalar, walk_strip_avx2, walk_strip_avx512, walk_strip_neon;

#endif
