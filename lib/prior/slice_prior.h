/* slice_prior.h - the prior of one slice: which symbols there are, their order, and the
 * distribution of each before it is known.
 *
 *     y --h_a--> z ~> z^ --h_s--> features, guess --> step 0 --context--> step 1 --context2--> ...
 *                 \__ coded 1st                          \__ 2nd              \__ 3rd
 *
 * Every symbol is the residual r of y - mean, an integer near it, and y^ = r + mean. Order: z cell
 * by cell, since a cell's mean depends on its neighbours (prior/z_mean.h); then step 0, step 1 and
 * so on (prior/order.h), cell by cell; rows from the top, channels ascending in each. A model
 * without networks for the prior (mlp) has one cell, no z and one step.
 *
 * vae_prior_pass implements this for all its users, which differ in how a group becomes known:
 *
 *     vae_prior_quantise      round(y - mean), or RDO's choice near it (rdo.h)
 *     vae_prior_decode        symbols of a source: decoded (payload.h) or drawn (draw.h)
 *     vae_soft_rate_forward   round(y - mean), with noise for the rate, or a Gumbel mixture
 *                             (loss/rate.h); activations are kept for gradients
 *
 * All but the last are exact (vae(7), EXACTNESS): call them under vae_fp_enter. */
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
	/* Encoder: RDO of y; NULL: rounding to the nearest, as always for z. */
	const struct vae_choice *choice;
};

/* Symbols that are decoded together: a cell of z, a step of y, or an mlp's whole latent. */
struct vae_group {
	int step, steps;                 /* of order.h; z: -1 of 1, mlp: 0 of 1 */
	size_t row;                      /* of the picture, where the arrays begin */
	size_t cells, columns, channels; /* in the group; of the picture that it is part of */
	size_t stride;                   /* floats between rows of target, and of out */
	const float *target;             /* the picture before rounding; NULL in the decoder */
	const float *answer;             /* cells x 2 x channels: a cell's means, then its log-scales */
	float *residual;                 /* cells x channels: r */
	float *out;                      /* r + mean, or NULL */
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
		first = vae_order_first_channel(g->step, g->steps, g->row + row, column, g->channels);
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

/* Fills in the group's residuals. Returns 0, or an error, which ends the pass. */
typedef int vae_decode_group(void *context, const struct vae_group *group, struct vae_error *error);

/* A pass through the prior of one slice. Everything is borrowed. */
struct vae_prior_pass {
	const struct vae_prior *prior;
	size_t rows, columns; /* of y */
	/* Of any pass that shares run, whose networks get memory for so many; 0 where all are alike. */
	size_t most_rows, most_columns;
	size_t stride;       /* floats between rows of y, and of out */
	const float *y;      /* before rounding; NULL in the decoder */
	float *out;          /* y^, or NULL */
	float *residual;     /* rows x columns x channels: r, 0 until it is known */
	struct vae_run *run; /* [VAE_NETS] initialised as needed: h_a (with y), h_s, contexts */
	bool training;       /* each network keeps its own inputs and activations */
	bool exact;          /* VAE_EDATA if y^ or z^ is not finite */
	vae_decode_group *decode_group;
	void *context; /* of decode_group */
};
/* Decodes the slice's symbols, group by group in coding order. VAE_EMEM (for an mlp, or if a run is
 * not initialised), VAE_EDATA, or an error of decode_group; out is then partly written. */
int vae_prior_pass(const struct vae_prior_pass *pass, struct vae_error *error);

enum vae_symbols_keep {
	VAE_KEEP_SYMBOLS, /* value and index */
	VAE_KEEP_ANSWERS, /* mean and log_scale, too */
	VAE_KEEP_NONE     /* value and index hold the group that is decoded, and serve nobody else */
};

/* The symbols of one slice in coding order. */
struct vae_symbols {
	size_t rows, columns, channels;       /* of the slice's y */
	size_t most_rows, most_columns;       /* that there is memory for */
	size_t z_rows, z_columns, z_channels; /* of its z; 0 without one */
	size_t steps;                         /* 2 or 4, or 1 if a cell's channels are coded together */
	size_t z_count, count;                /* symbols of z; of z and y */
	/* [rows x columns] of y, not 0 if a cell's symbols are known to be 0; those of a cell of z are
	 * if those of all its cells are. NULL: none are. Borrowed: whoever sets it also resets it. */
	const uint8_t *known_zero;
	enum vae_symbols_keep keep; /* set before the first vae_symbols_fit */
	int32_t *value;             /* [count], |value| <= VAE_SYMBOL_LIMIT */
	uint8_t *index;             /* [count] table of cdf.h, or VAE_CODER_KNOWN */
	/* [count] subtracted before rounding; NULL unless answers are kept, as is the next. */
	float *mean;
	float *log_scale; /* [count] the prior's, not clamped */
	float *residual;  /* of vae_prior_pass */
	float *room;      /* memory of the five; owned, as is the next */
	struct vae_run run[VAE_NETS];
};

/* The parts of a model that decoding needs (vae_model_prepare). */
#define VAE_PRIOR_PARTS \
	(1u << VAE_H_S | 1u << VAE_CONTEXT | 1u << VAE_CONTEXT2 | 1u << VAE_CONTEXT3)

/* Prepares symbols for rows x columns cells of y, 1 to VAE_SLICE_CELLS each. *symbols is zeroed
 * (but for keep) or has served slices of the same networks before; it keeps its memory if this
 * slice is no higher and no wider than it had room for. The symbols are undefined. On failure
 * *symbols is as after vae_symbols_clear. */
int vae_symbols_fit(struct vae_symbols *symbols, const struct vae_nets *nets, size_t rows,
                    size_t columns, struct vae_error *error);
void vae_symbols_clear(struct vae_symbols *symbols);
/* Allocates zeroed symbols for each thread that vae_parallel may run, *count in all. Free with
 * vae_symbols_free. */
int vae_symbols_new(struct vae_symbols **symbols, size_t *count, struct vae_error *error);
void vae_symbols_free(struct vae_symbols *symbols, size_t count);
/* Returns the place in coding order of a channel's symbol at a cell of y (row x columns + column).
 */
size_t vae_symbols_place(const struct vae_symbols *symbols, size_t cell, size_t channel);

/* Quantises a slice (encoder): fills every array of symbols. Row i of the slice is y + i * stride
 * (floats). VAE_EDATA if y^ would not be finite. */
int vae_prior_quantise(struct vae_symbols *symbols, const struct vae_prior *prior, const float *y,
                       size_t stride, struct vae_error *error);

/* Stores the next n symbols in coding order, with tables index[]. Returns 0 or an error. */
typedef int vae_symbol_source(void *context, const uint8_t *index, int32_t *value, size_t n,
                              struct vae_error *error);

/* Decodes a slice: fills every array of symbols, and y with y^ unless it is NULL. VAE_EDATA if y^
 * is not finite, else the source's error; y is then partly written. */
int vae_prior_decode(struct vae_symbols *symbols, const struct vae_prior *prior,
                     vae_symbol_source *source, void *context, float *y, size_t stride,
                     struct vae_error *error);

#endif
