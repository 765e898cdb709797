/* net.h - a network is an ordered list of layers over numbered slots; one interpreter runs it
 * forward and backward.
 *
 * A slot is an array rows x columns x channels at a level: level L is the picture reduced by 2^L,
 * ceil(height / 2^L) x ceil(width / 2^L). A layer reads one or two slots and writes a new one: read
 * from top to bottom, the list is the data flow; from bottom to top, the backward pass. The same
 * list serves inference (slots share memory) and training (every slot is kept).
 *
 *     analysis   x 1/1 x3 -> patch 16 -> 1/16 -> blocks -> y 1/16
 *     h_a        y 1/16 -> 1/32 -> z 1/64
 *     h_s        z 1/64 -> 1/32 -> features and (mean, log-scale) at 1/16
 *     context    decoded symbols, features -> (mean, log-scale) of the next step; one for each
 *                step after the first
 *     synthesis  y 1/16 -> body 1/16 -> grid 1/4 -> x 1/1 x3 */
#ifndef VAE_NN_NET_H
#define VAE_NN_NET_H

#include "kernel/kernel.h"
#include "nn/arch.h"

#define VAE_LEVELS     7 /* 0 to 6: 1/1 to 1/64 */
#define VAE_MAX_LAYERS 96
#define VAE_MAX_SLOTS  96
#define VAE_MAX_PARAMS 512

/* ---- parameters ------------------------------------------------------------------------------ */

/* A tensor, rows x columns floats, row-major. A weight matrix is inputs x outputs; a table over
 * quality is knots x channels. */
struct vae_param {
	char name[48];
	size_t rows, columns;
	size_t offset; /* floats from the start of the flat array; a multiple of 16 */
	bool matrix;   /* a LINEAR layer's weight: stored in 16 bits, packed for the kernels */
	size_t packed; /* matrix: offset of its packed form; packed_t of its packed transpose */
	size_t packed_t;
	/* Matrix of integers, else -1: the parameters of the inputs' factor, a table over quality like
	 * a gain's, and of the worth of 1, by column. */
	int factor, unit;
	/* Matrix of an encoder whose model is one of integers: forward passes round it, and each cell's
	 * inputs, to integers. Its packed form is vae_packed_size(1, columns) units, then the integers.
	 */
	bool rounded;
};
struct vae_params {
	int count;
	struct vae_param list[VAE_MAX_PARAMS];
	size_t total; /* floats of the flat array, padding included */
	size_t packed_total, packed_t_total;
};
/* Returns the floats of a rounded matrix's packed form. */
static inline size_t vae_rounded_size(size_t rows, size_t columns)
{
	return vae_packed_size(1 + (rows + 1) / 2, columns);
}
/* Rounds a matrix to its packed form. */
static inline void vae_round_param(float *packed, const struct vae_matrix *m)
{
	vae_int16()->round(packed + vae_packed_size(1, m->n), packed, m);
}
/* Returns the index of a parameter by name, or -1. */
int vae_param_find(const struct vae_params *params, const char *name);
/* Returns where an existing parameter starts in the flat array, in floats. */
static inline size_t vae_param_offset(const struct vae_params *params, const char *name)
{
	return params->list[vae_param_find(params, name)].offset;
}

/* The numbers of a network: flat array and, for the kernels, packed matrices. */
struct vae_weights {
	float *value;    /* params->total, owned; integers are whole numbers */
	float *packed;   /* params->packed_total, owned */
	float *packed_t; /* params->packed_t_total, owned; for backward passes, else NULL */
	/* Training and refinement: packs the matrices and multiplies; NULL: float32, as always for
	 * exact results. */
	const struct vae_bf16 *bf16;
};
int vae_weights_init(struct vae_weights *weights, const struct vae_params *params, bool training,
                     struct vae_error *error); /* all 0 */
/* For inference, undefined: memory is used only as far as it is written. */
int vae_weights_reserve(struct vae_weights *weights, const struct vae_params *params,
                        struct vae_error *error);
/* Packs the matrices after value changed; uses OpenMP threads, each in the floating-point state
 * that exact arithmetic needs. */
void vae_weights_pack(struct vae_weights *weights, const struct vae_params *params);
void vae_weights_clear(struct vae_weights *weights);

/* ---- layers ---------------------------------------------------------------------------------- */

enum vae_op {
	VAE_LINEAR,    /* dst = act(bias + src W) (+ aux): 1x1 convolution, dense layer */
	VAE_DEPTHWISE, /* taps x taps for each channel */
	/* Factor 2^shift: channel (dy f + dx) C + c of a cell is channel c of its pixel (dy, dx); edges
	 * replicate. */
	VAE_SPACE_TO_DEPTH,
	VAE_DEPTH_TO_SPACE, /* the inverse; cells past the edge are cut */
	/* Times 2^t, one t a channel, interpolated over the quality knots: gains that cancel at the
	 * knots do between them. */
	VAE_GAIN,
	VAE_SHIFT,  /* plus one number a channel, likewise */
	VAE_CONCAT, /* channels of src, then of aux */
	/* fma(src, 1 + scale, shift): scale and shift are channels [first, first + 2C) of aux, `shift`
	 * levels coarser. */
	VAE_MODULATE,
	/* fma(src, 1 + gate, third): gate is channels [first, first + C) of aux, as much coarser. */
	VAE_GATE
};
struct vae_layer {
	enum vae_op op;
	int dst, src, aux, third; /* slots, -1 for none */
	int taps;                 /* DEPTHWISE */
	int shift;                /* log2 of a factor */
	int first;                /* first channel of aux */
	float slope;              /* LINEAR: leaky ReLU's, 1 for none */
	int weight, bias;         /* parameters, -1 for none; GAIN and SHIFT: weight is the table */
	/* LINEAR: a product of integers (struct vae_int16); DEPTHWISE, MODULATE, GATE: products are
	 * rounded before they are added to. */
	bool integer;
};
struct vae_slot {
	int level, channels;
};

struct vae_net {
	const char *name; /* of the part, as vae-stat prints it */
	bool decoder;     /* used for decoding */
	int layers, slots, inputs, outputs;
	struct vae_layer layer[VAE_MAX_LAYERS];
	struct vae_slot slot[VAE_MAX_SLOTS];
	int input[3], output[2]; /* slots */
	bool input_gradient;     /* whether the backward pass reaches the inputs */
};
/* Returns the multiply-accumulates for each pixel (level 0) of a large picture. */
double vae_net_macs_pixel(const struct vae_net *net);
/* Returns how far an output sees beyond its own cell, on each side, in cells of the network's
 * coarsest level: half the taps of every depthwise layer. */
size_t vae_net_halo(const struct vae_net *net);

/* All networks of an architecture, and their parameters. Read-only once built. */
enum {
	VAE_ANALYSIS,
	VAE_H_A,
	VAE_H_S,
	VAE_CONTEXT,
	VAE_CONTEXT2,
	VAE_CONTEXT3,
	VAE_SYNTHESIS,
	VAE_NETS
};
struct vae_nets {
	struct vae_arch arch;
	struct vae_params params;
	/* A context for each step of y after the first; mlp has analysis and synthesis; the others have
	 * no layers. */
	struct vae_net net[VAE_NETS];
};
/* Builds the lists. VAE_EARG if the architecture is too large for the tables above. */
int vae_nets_new(struct vae_nets **nets, const struct vae_arch *arch, struct vae_error *error);
/* Builds a network from a photo's y to the means of blocks of VAE_MEANS_PX x VAE_MEANS_PX pixels,
 * at level 3: net[VAE_SYNTHESIS] of nets without others. Its tables are dec.gain_y, the
 * synthesis's, and "dec.means", which is fitted, not trained (train/means.h). */
#define VAE_MEANS_PX 8
#define VAE_MEANS    12 /* of one cell of y: 2 x 2 blocks of three colours */
int vae_nets_means_new(struct vae_nets **nets, const struct vae_arch *arch,
                       struct vae_error *error);
void vae_nets_free(struct vae_nets *nets);

/* ---- running --------------------------------------------------------------------------------- */

/* The memory of one pass of one network over one picture or slice, or of a sweep down a strip of
 * columns (sweep.h). A slot's rows from first on are held; of a whole picture all rows, from 0. */
struct vae_run {
	const struct vae_net *net;
	size_t rows[VAE_LEVELS]; /* of the picture, at each level from the given one on */
	/* Held, and the picture's column of the first: a whole cell's, and no farther left than finer
	 * levels'. */
	size_t columns[VAE_LEVELS], left[VAE_LEVELS];
	/* [VAE_MAX_SLOTS] columns of a slot at the left and the right on which no output depends: a
	 * product may leave them undefined. Borrowed; NULL: there are none. */
	const size_t (*spare)[2];
	size_t first[VAE_MAX_SLOTS]; /* the picture's row at the start of value */
	float *value[VAE_MAX_SLOTS];
	float *gradient[VAE_MAX_SLOTS]; /* training only; NULL if nothing before the slot is trained */
	bool has_gradient[VAE_MAX_SLOTS]; /* set by the writer of gradient[slot] */
	float *owned[VAE_MAX_SLOTS];      /* allocations behind value and gradient */
	float *scratch;                   /* packing, interpolated gains; owned */
	float *room;                      /* of products, behind scratch */
};
/* Allocates run->scratch, of `floats`, and run->room, for runs made by hand. */
int vae_run_scratch(struct vae_run *run, size_t floats, struct vae_error *error);
/* rows x columns is the size at `level`, the finest that the network uses. training keeps every
 * slot and makes room for gradients. */
int vae_run_init(struct vae_run *run, const struct vae_net *net, int level, size_t rows,
                 size_t columns, bool training, struct vae_error *error);
/* Does the same, without training, for a run whose layers are run one by one: at most most[slot]
 * cells of a slot are held at once; 0 of an input that is lent. */
int vae_run_init_part(struct vae_run *run, const struct vae_net *net, int level, size_t rows,
                      size_t columns, const size_t most[VAE_MAX_SLOTS], struct vae_error *error);
/* Changes the size at `level`, to at most that of vae_run_init in each direction. */
void vae_run_shrink(struct vae_run *run, int level, size_t rows, size_t columns);
void vae_run_clear(struct vae_run *run);

static inline float *vae_run_input(const struct vae_run *run, int i)
{
	return run->value[run->net->input[i]];
}
static inline float *vae_run_output(const struct vae_run *run, int i)
{
	return run->value[run->net->output[i]];
}
/* Sets input i to the caller's array, which the run reads and does not own. Not for training. */
static inline void vae_run_lend(struct vae_run *run, int i, float *input)
{
	run->value[run->net->input[i]] = input;
}
/* Returns the floats of a slot of this run. */
size_t vae_run_size(const struct vae_run *run, int slot);

/* Computes all other slots from the inputs, which it may overwrite. One thread; call vae_fp_enter
 * first. */
void vae_net_forward(struct vae_run *run, const struct vae_nets *nets,
                     const struct vae_weights *weights, struct vae_position at);
/* Computes rows [from, end) of a layer's dst. The run must hold them, and the rows of its sources
 * that they need. */
void vae_layer_forward(struct vae_run *run, const struct vae_layer *layer, size_t from, size_t end,
                       const struct vae_nets *nets, const struct vae_weights *weights,
                       struct vae_position at);
/* The channels of dst that somebody reads: at a cell, `count` from first[row % 2][column % 2] on,
 * and as many each time `again` channels later. */
struct vae_wanted {
	size_t first[2][2], count, again;
};
/* Does the same for what is wanted of a LINEAR or SHIFT layer; other channels of dst are undefined.
 */
void vae_layer_forward_wanted(struct vae_run *run, const struct vae_layer *layer, size_t from,
                              size_t end, const struct vae_wanted *wanted,
                              const struct vae_nets *nets, const struct vae_weights *weights,
                              struct vae_position at);
/* Lets slots whose lifetimes, in the order of the layers, do not overlap share a block of memory.
 * size: floats of each slot, 0 for none; block: of each slot (-1: none), block_size: floats.
 * Returns the number of blocks. */
int vae_net_share(const struct vae_net *net, const size_t size[VAE_MAX_SLOTS],
                  int block[VAE_MAX_SLOTS], size_t block_size[VAE_MAX_SLOTS]);
/* Runs backward, after a forward pass with training: the caller has written gradient[] of the
 * outputs and set has_gradient for them (and cleared the rest with vae_run_start_backward). Adds
 * the parameters' gradients to `gradient` (flat, params->total; NULL: not wanted) and leaves those
 * of the inputs. */
void vae_run_start_backward(struct vae_run *run);
/* Returns where the gradient of output i goes, and marks it as present. */
static inline float *vae_run_start_gradient(struct vae_run *run, int i)
{
	run->has_gradient[run->net->output[i]] = true;
	return run->gradient[run->net->output[i]];
}
void vae_net_backward(struct vae_run *run, const struct vae_nets *nets,
                      const struct vae_weights *weights, struct vae_position at, float *gradient);

#endif
