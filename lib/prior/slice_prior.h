/* slice_prior.h - the prior of one slice: which symbols there are, in which order, and what the
 * prior says about each before it is known.
 *
 *     y --h_a--> z ~> z^ --h_s--> features, guess --> step 0 --context--> step 1 --context2--> ...
 *                 \__ coded 1st                          \__ 2nd              \__ 3rd
 *
 * Every symbol is the residual r of y - mean, an integer near it, and y^ = r + mean. Order: z cell
 * by cell, since a cell's mean leans on its neighbours (prior/z_mean.h); then step 0, step 1 and so
 * on (prior/order.h), cell by cell; rows from the top, channels ascending in each. A model without
 * networks for the prior (mlp) has one cell, no z and one step.
 *
 * vae_prior_pass describes this for all its users, which differ in how a group becomes known:
 *
 *     vae_prior_quantise      round(y - mean), or RDO's choice near it (rdo.h)
 *     vae_prior_decode        what a source gives: decoded (payload.h) or drawn (draw.h)
 *     vae_soft_rate_forward   round(y - mean), with noise for the rate, or a Gumbel mixture
 *                             (loss/rate.h); activations are kept where gradients are wanted
 *
 * All but the last is exact (vae(7), EXACTNESS): call under vae_fp_enter. */
#ifndef VAE_PRIOR_SLICE_PRIOR_H
#define VAE_PRIOR_SLICE_PRIOR_H

#include "nn/net.h"
#include "prior/cdf.h"
#include "prior/order.h"
#include "prior/rdo.h"

/* A model's prior at one quality. Borrowed. */
struct vae_prior {
	const struct vae_nets *nets;
	const struct vae_weights *weights;
	struct vae_position at;
	const struct vae_choice *choice; /* encoder: RDO of y; NULL: to the nearest, as always z */
};

/* Symbols that are decoded at once: a cell of z, a step of y, or all of an mlp's latent. */
struct vae_group {
	int step, steps;                 /* of order.h; z: -1 of 1, mlp: 0 of 1 */
	size_t cells, columns, channels; /* of the picture that it is part of */
	size_t stride;                   /* floats from one row of target, and out, to the next */
	const float *target;             /* the picture before rounding; NULL in the decoder */
	const float *answer;             /* cells x 2 x channels: a cell's means, then its log-scales */
	float *residual;                 /* cells x channels: r */
	float *out;                      /* r + mean; NULL where it is not wanted */
};
/* The group's symbols at one cell: n channels from `channel` on. */
struct vae_group_cell {
	size_t n, channel;
	const float *target, *mean, *log_scale;
	float *residual, *out;
};
static inline struct vae_group_cell vae_group_cell(const struct vae_group *g, size_t cell)
{
	size_t row = cell / g->columns, column = cell % g->columns, first = 0;
	if (g->steps > 1)
		first = vae_order_first_channel(g->step, g->steps, row, column, g->channels);
	size_t at = row * g->stride + column * g->channels + first;
	const float *mean = g->answer + cell * 2 * g->channels + first;
	return (struct vae_group_cell){.n = g->channels / (size_t)g->steps,
	                               .channel = first,
	                               .target = g->target ? g->target + at : NULL,
	                               .mean = mean,
	                               .log_scale = mean + g->channels,
	                               .residual = g->residual + cell * g->channels + first,
	                               .out = g->out ? g->out + at : NULL};
}

/* Fills in the group's residuals. Returns 0 or an error, which ends the pass. */
typedef int vae_decode_group(void *context, const struct vae_group *group, struct vae_error *error);

/* A pass through the prior of one slice. All is borrowed. */
struct vae_prior_pass {
	const struct vae_prior *prior;
	size_t rows, columns; /* of y */
	size_t stride;        /* floats from one row of y, and out, to the next */
	const float *y;       /* before rounding; NULL in the decoder */
	float *out;           /* y^; NULL where it is not wanted */
	float *residual;      /* rows x columns x channels: r, 0 where it is not known yet */
	struct vae_run *run;  /* [VAE_NETS] initialised where needed: h_a (with y), h_s, contexts */
	bool training;        /* each network keeps its own inputs and activations */
	bool exact;           /* VAE_EDATA where y^ or z^ is not finite */
	vae_decode_group *decode_group;
	void *context; /* of decode_group */
};
/* Decodes the slice's symbols, group by group in coding order. VAE_EMEM (for an mlp, or where a run
 * is not initialised), VAE_EDATA, or an error of decode_group; out is then partly written. */
int vae_prior_pass(const struct vae_prior_pass *pass, struct vae_error *error);

/* The symbols of one slice in coding order. */
struct vae_symbols {
	size_t rows, columns, channels;       /* of the slice's y */
	size_t z_rows, z_columns, z_channels; /* of its z; 0 without one */
	size_t steps;          /* 2 or 4, or 1 where a cell's channels are coded at once */
	size_t z_count, count; /* symbols of z; in all */
	int32_t *value;        /* [count], |value| <= VAE_SYMBOL_LIMIT; owned, as are the next three */
	uint8_t *index;        /* [count] table of cdf.h */
	float *mean;           /* [count] what was subtracted before rounding */
	float *log_scale;      /* [count] as the prior said it, not clamped */
	float *residual;       /* of vae_prior_pass; owned, as is the next */
	struct vae_run run[VAE_NETS];
};

/* What decoding takes of a model (vae_model_prepare). */
#define VAE_PRIOR_PARTS \
	(1u << VAE_H_S | 1u << VAE_CONTEXT | 1u << VAE_CONTEXT2 | 1u << VAE_CONTEXT3)

/* rows x columns: the slice's cells of y, 1 to VAE_SLICE_CELLS each. *symbols is zeroed or has
 * served a slice before, whose memory it keeps where the size is the same. The symbols are
 * undefined. On failure *symbols is as after vae_symbols_clear. */
int vae_symbols_fit(struct vae_symbols *symbols, const struct vae_nets *nets, size_t rows,
                    size_t columns, struct vae_error *error);
void vae_symbols_clear(struct vae_symbols *symbols);
/* One for each thread that vae_parallel may run, zeroed; *count of them. Cleared and freed by
 * vae_symbols_free. */
int vae_symbols_new(struct vae_symbols **symbols, size_t *count, struct vae_error *error);
void vae_symbols_free(struct vae_symbols *symbols, size_t count);
/* Where the symbol of a channel of a cell (row x columns + column) of y stands in coding order. */
size_t vae_symbols_place(const struct vae_symbols *symbols, size_t cell, size_t channel);

/* Encoder: fills every array of symbols. Row i of the slice is y + i * stride (floats). VAE_EDATA
 * where y^ would not be finite. */
int vae_prior_quantise(struct vae_symbols *symbols, const struct vae_prior *prior, const float *y,
                       size_t stride, struct vae_error *error);

/* Gives the next n symbols in coding order, whose tables are index[]. Returns 0 or an error. */
typedef int vae_symbol_source(void *context, const uint8_t *index, int32_t *value, size_t n,
                              struct vae_error *error);

/* Decoder: fills every array of symbols, and y with y^ (NULL where only the symbols are wanted).
 * VAE_EDATA where y^ is not finite, else what the source returns; y is then partly written. */
int vae_prior_decode(struct vae_symbols *symbols, const struct vae_prior *prior,
                     vae_symbol_source *source, void *context, float *y, size_t stride,
                     struct vae_error *error);

#endif
