/* hyper.h - p(y) of one slice: which symbols there are, in which order, and what the prior says
 * about each before it is known.
 *
 *     y --h_a--> z ~> z^ --h_s--> features, guess --> step 0 --context--> step 1 --context2--> ...
 *                 \__ coded 1st                          \__ 2nd              \__ 3rd
 *
 * Every symbol is r = round(y - mean), or near that (prior/rdo.h), and y^ = r + mean. Encoder and
 * decoder walk the same road (hyper.c, walk); they differ in where a symbol comes from. Order: z
 * cell by cell, since a cell's mean leans on its neighbours (prior/near.h); then step 0, step 1 and
 * so on (prior/order.h), cell by cell; rows from the top, channels ascending in each. A model
 * without networks for the prior (mlp) has one cell, no z and one step.
 *
 * All of it is exact (vae(7), EXACTNESS): call under vae_fp_enter. */
#ifndef VAE_PRIOR_HYPER_H
#define VAE_PRIOR_HYPER_H

#include "nn/net.h"
#include "prior/rdo.h"
#include "prior/cdf.h"

/* A model's prior at one quality. Borrowed. */
struct vae_prior {
	const struct vae_nets *nets;
	const struct vae_weights *weights;
	struct vae_position at;
	const struct vae_choice *choice; /* encoder: how y is rounded; NULL: to the nearest. z is always
	                                    rounded to the nearest */
};

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
	float *line;           /* room for a step of y, or z; owned, as are the next two */
	float *residual; /* rows x columns x channels: what the contexts see of the steps before */
	struct vae_run run[VAE_NETS]; /* those that the walk needs: h_a (encoder), h_s, contexts */
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
int vae_hyper_analyse(struct vae_symbols *symbols, const struct vae_prior *prior, const float *y,
                      size_t stride, struct vae_error *error);

/* Gives the next n symbols in coding order, whose tables are index[]. Returns 0 or an error. */
typedef int vae_symbol_source(void *context, const uint8_t *index, int32_t *value, size_t n,
                              struct vae_error *error);

/* Decoder: fills every array of symbols, and y with y^ (NULL where only the symbols are wanted).
 * VAE_EDATA where y^ is not finite, else what the source returns; y is then partly written. */
int vae_hyper_synthesise(struct vae_symbols *symbols, const struct vae_prior *prior,
                         vae_symbol_source *source, void *context, float *y, size_t stride,
                         struct vae_error *error);

#endif
