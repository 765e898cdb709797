#include "nn/net.h"
#include "base/memory.h"
#include "base/minmax.h"
#include "base/parallel.h"

#include <stdlib.h>
#include <string.h>

/* ---- weights --------------------------------------------------------------------------------- */

int vae_weights_init(struct vae_weights *weights, const struct vae_params *params, bool training,
                     struct vae_error *error)
{
	struct vae_weights w = {0};
	if (vae_alloc(&w.value, params->total, sizeof(float), error) ||
	    vae_alloc(&w.packed, params->packed_total, sizeof(float), error) ||
	    (training && vae_alloc(&w.packed_t, params->packed_t_total, sizeof(float), error))) {
		vae_weights_clear(&w);
		return VAE_EMEM;
	}
	*weights = w;
	return 0;
}

int vae_weights_reserve(struct vae_weights *weights, const struct vae_params *params,
                        struct vae_error *error)
{
	struct vae_weights w = {0};
	if (vae_alloc_raw(&w.value, params->total, sizeof(float), error) ||
	    vae_alloc_huge(&w.packed, params->packed_total, sizeof(float), error)) {
		vae_weights_clear(&w);
		return VAE_EMEM;
	}
	*weights = w;
	return 0;
}

struct packing {
	struct vae_weights *weights;
	const struct vae_params *params;
};

static int pack_param(void *context, size_t i, int thread, struct vae_error *error)
{
	const struct packing *packing = context;
	const struct vae_param *p = &packing->params->list[i];
	struct vae_weights *weights = packing->weights;
	void (*pack)(float *, const float *, size_t, size_t, size_t, size_t) =
		weights->bf16 ? weights->bf16->pack : vae_pack;
	const float *value = weights->value + p->offset;
	float *packed = weights->packed + p->packed;
	(void)thread;
	(void)error;
	if (!p->matrix)
		return 0;
	if (p->unit >= 0)
		vae_pack_int16(packed, value, p->rows, p->columns);
	else if (p->rounded)
		vae_round_param(packed,
		                &(struct vae_matrix){value, p->rows, p->columns, VAE_PANEL, p->columns});
	else
		pack(packed, value, p->rows, p->columns, p->columns, 1);
	if (weights->packed_t)
		pack(weights->packed_t + p->packed_t, value, p->columns, p->rows, 1, p->columns);
	return 0;
}

void vae_weights_pack(struct vae_weights *weights, const struct vae_params *params)
{
	struct packing packing = {weights, params};
	vae_parallel((size_t)params->count, pack_param, &packing, NULL); /* packing cannot fail */
}

void vae_weights_clear(struct vae_weights *weights)
{
	free(weights->value);
	free(weights->packed);
	free(weights->packed_t);
	memset(weights, 0, sizeof *weights);
}

/* ---- memory of a run ------------------------------------------------------------------------- */

static size_t cells(const struct vae_run *run, int slot)
{
	int level = run->net->slot[slot].level;
	return run->rows[level] * run->columns[level];
}

size_t vae_run_size(const struct vae_run *run, int slot)
{
	return cells(run, slot) * (size_t)run->net->slot[slot].channels;
}

static bool reads(const struct vae_layer *layer, int slot)
{
	return layer->src == slot || layer->aux == slot || layer->third == slot;
}

/* Returns the index of the last layer that needs a slot; outputs are needed to the end. */
static int last_use(const struct vae_net *net, int slot)
{
	for (int i = 0; i < net->outputs; i++)
		if (net->output[i] == slot)
			return net->layers;
	for (int i = net->layers - 1; i >= 0; i--)
		if (reads(&net->layer[i], slot))
			return i;
	return -1;
}

/* Returns whether a layer may overwrite its source: operations with tables over quality work number
 * by number. */
static bool in_place(const struct vae_net *net, int i)
{
	enum vae_op op = net->layer[i].op;
	return (op == VAE_GAIN || op == VAE_SHIFT) && last_use(net, net->layer[i].src) == i;
}

/* Blocks are assigned in the order of the layers. Among the free ones the largest is taken, and
 * grown if necessary, which is close to the minimum in these chains. */
int vae_net_share(const struct vae_net *net, const size_t size[VAE_MAX_SLOTS],
                  int block[VAE_MAX_SLOTS], size_t block_size[VAE_MAX_SLOTS])
{
	int blocks = 0, busy_until[VAE_MAX_SLOTS];
	for (int i = -net->inputs; i < net->layers; i++) {
		int slot = i < 0 ? net->input[-1 - i] : net->layer[i].dst, best = -1;
		block[slot] = -1;
		if (!size[slot])
			continue;
		bool over = i >= 0 && in_place(net, i) && size[net->layer[i].src] == size[slot];
		for (int k = 0; !over && k < blocks; k++)
			if (busy_until[k] < i && (best < 0 || block_size[k] > block_size[best]))
				best = k;
		if (over)
			best = block[net->layer[i].src];
		if (best < 0) {
			best = blocks++;
			block_size[best] = 0;
		}
		if (block_size[best] < size[slot])
			block_size[best] = size[slot];
		int last = last_use(net, slot);
		busy_until[best] = last > i ? last : i;
		block[slot] = best;
	}
	return blocks;
}

/* most: cells of each slot to be held at once, or NULL for all. */
static int plan_shared(struct vae_run *run, const size_t *most, struct vae_error *error)
{
	const struct vae_net *net = run->net;
	size_t size[VAE_MAX_SLOTS] = {0}, block_size[VAE_MAX_SLOTS];
	int block[VAE_MAX_SLOTS];
	for (int slot = 0; slot < net->slots; slot++)
		size[slot] = vae_min(cells(run, slot), most ? most[slot] : SIZE_MAX) *
		             (size_t)net->slot[slot].channels;
	int blocks = vae_net_share(net, size, block, block_size);
	size_t start[VAE_MAX_SLOTS], floats = 0;
	for (int k = 0; k < blocks; k++) {
		start[k] = floats;
		floats += (block_size[k] + 15) / 16 * 16;
	}
	if (vae_alloc_huge(&run->owned[0], floats, sizeof(float), error))
		return VAE_EMEM;
	for (int slot = 0; slot < net->slots; slot++)
		if (block[slot] >= 0)
			run->value[slot] = run->owned[0] + start[block[slot]];
	return 0;
}

/* Finds the slots after a parameter or a wanted input: only their gradients are needed. */
static void wants_gradient(const struct vae_net *net, bool wanted[VAE_MAX_SLOTS])
{
	for (int i = 0; i < net->inputs; i++)
		wanted[net->input[i]] = net->input_gradient;
	for (int i = 0; i < net->layers; i++) {
		const struct vae_layer *l = &net->layer[i];
		wanted[l->dst] = l->weight >= 0 || wanted[l->src] || (l->aux >= 0 && wanted[l->aux]);
	}
}

/* Allocates one block, for large pages; slots are a little apart, since sizes are powers of two and
 * would share places of a cache. */
static int plan_kept(struct vae_run *run, struct vae_error *error)
{
	const struct vae_net *net = run->net;
	bool wanted[VAE_MAX_SLOTS];
	float *room = NULL;
	wants_gradient(net, wanted);
	for (int pass = 0; pass < 2; pass++) {
		size_t floats = 0;
		for (int slot = 0; slot < net->slots; slot++)
			for (int gradient = 0; gradient <= wanted[slot]; gradient++) {
				if (room)
					(gradient ? run->gradient : run->value)[slot] = room + floats;
				floats += (vae_run_size(run, slot) + 15) / 16 * 16 + 17 * 16;
			}
		if (!room && vae_alloc(&room, floats, sizeof *room, error))
			return VAE_EMEM;
		run->owned[0] = room;
	}
	return 0;
}

void vae_run_shrink(struct vae_run *run, int level, size_t rows, size_t columns)
{
	for (int l = level; l < VAE_LEVELS; l++) {
		size_t factor = (size_t)1 << (l - level);
		run->rows[l] = (rows + factor - 1) / factor;
		run->columns[l] = (columns + factor - 1) / factor;
	}
}

int vae_run_scratch(struct vae_run *run, size_t floats, struct vae_error *error)
{
	floats = (floats + 15) / 16 * 16; /* room is aligned as scratch is */
	int rc = vae_alloc_raw(&run->scratch, floats + VAE_GEMM_ROOM, sizeof(float), error);
	if (!rc)
		run->room = run->scratch + floats;
	return rc;
}

static int run_init(struct vae_run *run, const struct vae_net *net, int level, size_t rows,
                    size_t columns, bool training, const size_t *most, struct vae_error *error)
{
	memset(run, 0, sizeof *run);
	run->net = net;
	vae_run_shrink(run, level, rows, columns);
	size_t scratch = 0;
	for (int i = 0; i < net->layers; i++) {
		const struct vae_layer *layer = &net->layer[i];
		size_t need = (size_t)net->slot[layer->dst].channels;
		if (training && layer->op == VAE_LINEAR)
			need = vae_packed_size(cells(run, layer->dst), need);
		else
			need *= 2; /* an interpolated gain and its gradient */
		scratch = vae_max(need, scratch);
	}
	if ((training ? plan_kept(run, error) : plan_shared(run, most, error)) ||
	    vae_run_scratch(run, scratch, error)) {
		vae_run_clear(run);
		return VAE_EMEM;
	}
	return 0;
}

int vae_run_init(struct vae_run *run, const struct vae_net *net, int level, size_t rows,
                 size_t columns, bool training, struct vae_error *error)
{
	return run_init(run, net, level, rows, columns, training, NULL, error);
}

int vae_run_init_part(struct vae_run *run, const struct vae_net *net, int level, size_t rows,
                      size_t columns, const size_t most[VAE_MAX_SLOTS], struct vae_error *error)
{
	return run_init(run, net, level, rows, columns, false, most, error);
}

void vae_run_clear(struct vae_run *run)
{
	for (int i = 0; i < VAE_MAX_SLOTS; i++)
		free(run->owned[i]);
	free(run->scratch);
	memset(run, 0, sizeof *run);
}

/* ---- one layer, forward and backward --------------------------------------------------------- */

/* The data of a layer's passes. */
struct pass {
	const struct vae_kernels *kernels;
	struct vae_run *run;
	const struct vae_params *params;
	const struct vae_weights *weights;
	struct vae_position at;
	float *gradient; /* flat, of the parameters; backward only; NULL: not wanted */
	const struct vae_layer *layer;
	size_t from, end; /* rows of dst; backward: all */
	size_t rows;      /* cells of dst in them */
	size_t in, out;   /* channels of src and dst */
};

/* Returns row r of a slot, counted from the first row at hand of a slot at dst's level. */
static float *row_of(const struct pass *p, int slot, size_t r)
{
	const struct vae_slot *s = &p->run->net->slot[slot];
	return p->run->value[slot] +
	       (r - p->run->first[slot]) * p->run->columns[s->level] * (size_t)s->channels;
}
static float *value(const struct pass *p, int slot) { return row_of(p, slot, p->from); }
static const struct vae_param *param(const struct pass *p, int i) { return &p->params->list[i]; }
static const float *param_value(const struct pass *p, int i)
{
	return p->weights->value + param(p, i)->offset;
}
static float *param_gradient(const struct pass *p, int i)
{
	return p->gradient ? p->gradient + param(p, i)->offset : NULL;
}
static int channels(const struct pass *p, int slot) { return p->run->net->slot[slot].channels; }

/* Returns where a layer adds its part of a slot's gradient; the first one zeroes it. Only linear
 * layers read slots without a gradient. */
static float *target(const struct pass *p, int slot)
{
	struct vae_run *run = p->run;
	if (!run->has_gradient[slot]) {
		memset(run->gradient[slot], 0, vae_run_size(run, slot) * sizeof(float));
		run->has_gradient[slot] = true;
	}
	return run->gradient[slot];
}

/* Adds the gradient of an input that a layer passed on unchanged. */
static void pass_on(const struct pass *p, int slot, const float *dy)
{
	struct vae_run *run = p->run;
	if (run->has_gradient[slot])
		p->kernels->add(run->gradient[slot], dy, vae_run_size(run, slot));
	else
		memcpy(run->gradient[slot], dy, vae_run_size(run, slot) * sizeof(float));
	run->has_gradient[slot] = true;
}

static void multiply(const struct pass *p, struct vae_gemm g)
{
	g.room = p->run->room;
	(p->weights->bf16 ? p->weights->bf16->gemm : p->kernels->gemm)(&g);
}

/* Computes the product of a model's integers for channels from `first` on. 1 in its sum is worth a
 * weight's unit over the factor of the inputs. */
static void multiply_integers(const struct pass *p, struct vae_gemm g, size_t first)
{
	const struct vae_param *weight = param(p, p->layer->weight);
	const float *unit = param_value(p, weight->unit) + first;
	float *worth = p->run->scratch;
	vae_position_lerp(&g.factor, param_value(p, weight->factor), 1, p->at);
	vae_position_power(&g.factor, 1);
#pragma omp simd
	for (size_t j = 0; j < g.n; j++)
		worth[j] = unit[j] / g.factor;
	g.unit = worth;
	vae_int16()->gemm(&g);
}

/* Computes the product of a rounded matrix. unit: those of the product's channels; all units lie
 * before the matrix's integers, to which g.b is moved. */
static void multiply_rounded(const struct pass *p, struct vae_gemm g, const float *unit)
{
	g.b += vae_packed_size(1, p->out);
	g.unit = unit;
	vae_int16()->gemm(&g);
}

#define LEAST_SPARE 24 /* of so many columns one is worth leaving out */

/* Computes channels [first, first + n) of `cells` cells of a linear layer, which are `apart` cells
 * apart, from cell `cell` of the rows on. first is a multiple of VAE_PANEL. */
static void linear_cells(const struct pass *p, size_t cell, size_t apart, size_t count,
                         size_t first, size_t n)
{
	const struct vae_layer *l = p->layer;
	const struct vae_param *w = param(p, l->weight);
	size_t steps = l->integer || w->rounded ? (p->in + 1) / 2 : p->in, at = cell * p->out + first;
	const float *packed = p->weights->packed + w->packed;
	struct vae_gemm g = {.m = count,
	                     .n = n,
	                     .k = p->in,
	                     .a = value(p, l->src) + cell * p->in,
	                     .a_row = apart * p->in,
	                     .a_step = 1,
	                     .b = packed + vae_packed_size(steps, first),
	                     .bias = param_value(p, l->bias) + first,
	                     .slope = l->slope,
	                     .residual = l->aux >= 0 ? value(p, l->aux) + at : NULL,
	                     .residual_row = apart * p->out,
	                     .c = value(p, l->dst) + at,
	                     .c_row = apart * p->out,
	                     .room = p->run->room};
	if (l->integer)
		multiply_integers(p, g, first);
	else if (w->rounded)
		multiply_rounded(p, g, packed + first);
	else
		multiply(p, g);
}

/* Leaves out the columns on which no output depends, if there are so many that shorter products row
 * by row cost less. */
static void linear_forward(const struct pass *p)
{
	int dst = p->layer->dst;
	const size_t *spare = p->run->spare ? p->run->spare[dst] : NULL;
	size_t rows = p->end - p->from, columns = p->run->columns[p->run->net->slot[dst].level],
		   left_out = spare ? spare[0] + spare[1] : 0;
	if (!left_out || (rows > 1 && left_out * LEAST_SPARE < columns)) {
		linear_cells(p, 0, 1, p->rows, 0, p->out);
		return;
	}
	for (size_t row = 0; row < rows; row++)
		linear_cells(p, row * columns + spare[0], 1, columns - left_out, 0, p->out);
}

/* Adds dW += x^T dy, dbias += column sums of dy. */
static void linear_weights(const struct pass *p, const float *dy)
{
	const struct vae_layer *l = p->layer;
	float *dw = param_gradient(p, l->weight);
	p->kernels->column_sum(param_gradient(p, l->bias), dy, p->rows, p->out);
	(p->weights->bf16 ? p->weights->bf16->pack : vae_pack)(p->run->scratch, dy, p->rows, p->out,
	                                                       p->out, 1);
	multiply(p, (struct vae_gemm){.m = p->in,
	                              .n = p->out,
	                              .k = p->rows,
	                              .a = value(p, l->src),
	                              .a_row = 1,
	                              .a_step = p->in,
	                              .b = p->run->scratch,
	                              .slope = 1,
	                              .residual = dw,
	                              .residual_row = p->out,
	                              .c = dw,
	                              .c_row = p->out});
}

/* Adds dx += dy W^T; the residual's gradient is dy itself. */
static void linear_backward(const struct pass *p)
{
	const struct vae_layer *l = p->layer;
	float *dy = p->run->gradient[l->dst];
	if (l->aux >= 0)
		pass_on(p, l->aux, dy);
	if (l->slope != 1)
		p->kernels->slope_backward(dy, value(p, l->dst), l->slope, p->rows * p->out);
	if (p->gradient && !l->integer)
		linear_weights(p, dy);
	if (!p->run->gradient[l->src])
		return;
	if (l->integer) /* W consists of integers; rounding of inputs passes the gradient unchanged */
		p->kernels->gain(dy, dy, param_value(p, param(p, l->weight)->unit), p->rows, p->out);
	bool fresh = !p->run->has_gradient[l->src];
	float *dx = p->run->gradient[l->src];
	p->run->has_gradient[l->src] = true;
	multiply(p, (struct vae_gemm){.m = p->rows,
	                              .n = p->in,
	                              .k = p->out,
	                              .a = dy,
	                              .a_row = p->out,
	                              .a_step = 1,
	                              .b = p->weights->packed_t + param(p, l->weight)->packed_t,
	                              .slope = 1,
	                              .residual = fresh ? NULL : dx,
	                              .residual_row = p->in,
	                              .c = dx,
	                              .c_row = p->in});
}

static void depthwise_forward(const struct pass *p)
{
	const struct vae_layer *l = p->layer;
	int level = p->run->net->slot[l->dst].level;
	p->kernels->depthwise(&(struct vae_depthwise){.rows = p->end - p->from,
	                                              .columns = p->run->columns[level],
	                                              .channels = p->out,
	                                              .taps = (size_t)l->taps,
	                                              .fused = !l->integer,
	                                              .above = p->from,
	                                              .below = p->run->rows[level] - p->end,
	                                              .x = value(p, l->src),
	                                              .w = param_value(p, l->weight),
	                                              .bias = param_value(p, l->bias),
	                                              .y = value(p, l->dst)});
}

static void depthwise_backward(const struct pass *p)
{
	const struct vae_layer *l = p->layer;
	int level = p->run->net->slot[l->dst].level;
	p->kernels->depthwise_backward(
		&(struct vae_depthwise_backward){.rows = p->run->rows[level],
	                                     .columns = p->run->columns[level],
	                                     .channels = p->out,
	                                     .taps = (size_t)l->taps,
	                                     .x = value(p, l->src),
	                                     .w = param_value(p, l->weight),
	                                     .dy = p->run->gradient[l->dst],
	                                     .dx = target(p, l->src),
	                                     .dw = param_gradient(p, l->weight),
	                                     .dbias = param_gradient(p, l->bias)});
}

/* A fine grid (level of pixels) and a coarse one (cells): factor x factor fine pixels are a cell's
 * vector, row by row; fine pixels beyond the edge repeat the last one. The fine grid may begin some
 * cells to the right of the coarse one. */
struct fold {
	size_t fine_rows, fine_columns, coarse_rows, coarse_columns, factor, channels;
	size_t skip; /* cells of the coarse grid left of the fine one */
};

static struct fold fold_of(const struct pass *p, int fine, int coarse)
{
	const struct vae_run *run = p->run;
	int f = run->net->slot[fine].level, c = run->net->slot[coarse].level;
	return (struct fold){run->rows[f],
	                     run->columns[f],
	                     run->rows[c],
	                     run->columns[c],
	                     (size_t)1 << (c - f),
	                     (size_t)run->net->slot[fine].channels,
	                     (run->left[f] >> (c - f)) - run->left[c]};
}

/* Copies one row of pixels into row dy of a row of cells. */
static void fold_gather(const struct fold *f, float *coarse, const float *row, size_t dy)
{
	size_t line = f->factor * f->channels; /* one row of pixels of one cell */
	for (size_t q = 0; q < f->coarse_columns; q++) {
		float *cell = coarse + (q * f->factor + dy) * line;
		size_t whole = vae_min(f->factor, f->fine_columns - q * f->factor);
		memcpy(cell, row + q * line, whole * f->channels * sizeof(float));
		for (size_t dx = whole; dx < f->factor; dx++)
			memcpy(cell + dx * f->channels, row + (f->fine_columns - 1) * f->channels,
			       f->channels * sizeof(float));
	}
}

/* Copies back. line: factor x channels, a constant where that is faster. */
static inline void fold_scatter(const struct fold *f, float *row, const float *coarse, size_t dy,
                                const size_t line)
{
	size_t whole = f->fine_columns / f->factor, part = f->fine_columns % f->factor;
	const float *cell = coarse + (f->skip * f->factor + dy) * line;
	for (size_t q = 0; q < whole; q++, row += line, cell += f->factor * line)
		memcpy(row, cell, line * sizeof(float));
	memcpy(row, cell, part * f->channels * sizeof(float));
}

/* The transposes of the two: sums instead of copies. */
static void fold_gather_backward(const struct fold *f, float *dfine, const float *dcoarse)
{
	for (size_t r = 0; r < f->coarse_rows * f->factor; r++)
		for (size_t q = 0; q < f->coarse_columns * f->factor; q++) {
			float *fine = dfine + (vae_min(r, f->fine_rows - 1) * f->fine_columns +
			                       vae_min(q, f->fine_columns - 1)) *
			                          f->channels;
			const float *coarse =
				dcoarse +
				(((r / f->factor * f->coarse_columns + q / f->factor) * f->factor + r % f->factor) *
			         f->factor +
			     q % f->factor) *
					f->channels;
			for (size_t c = 0; c < f->channels; c++)
				fine[c] += coarse[c];
		}
}

static void fold_scatter_backward(const struct fold *f, float *dcoarse, const float *dfine)
{
	size_t line = f->factor * f->channels;
	for (size_t y = 0; y < f->fine_rows; y++)
		for (size_t q = 0; q < f->coarse_columns; q++) {
			float *cell =
				dcoarse +
				(((y / f->factor) * f->coarse_columns + q) * f->factor + y % f->factor) * line;
			const float *fine = dfine + y * f->fine_columns * f->channels + q * line;
			size_t whole = vae_min(f->factor, f->fine_columns - q * f->factor) * f->channels;
			for (size_t c = 0; c < whole; c++)
				cell[c] += fine[c];
		}
}

/* Interpolates a table's vector. */
static const float *vector_of(const struct pass *p)
{
	float *vector = p->run->scratch;
	vae_position_lerp(vector, param_value(p, p->layer->weight), (int)p->out, p->at);
	if (p->layer->op == VAE_GAIN)
		vae_position_power(vector, (int)p->out);
	return vector;
}

static void table_forward(const struct pass *p)
{
	const struct vae_layer *l = p->layer;
	(l->op == VAE_SHIFT ? p->kernels->shift : p->kernels->gain)(value(p, l->dst), value(p, l->src),
	                                                            vector_of(p), p->rows, p->out);
}

static void table_backward(const struct pass *p)
{
	const struct vae_layer *l = p->layer;
	float *vector = p->run->scratch, *sum = vector + p->out, *dy = p->run->gradient[l->dst];
	memset(sum, 0, p->out * sizeof(float));
	if (l->op == VAE_GAIN) {
		vae_position_lerp(vector, param_value(p, l->weight), (int)p->out, p->at);
		vae_position_power(vector, (int)p->out);
		p->kernels->gain_backward(target(p, l->src), sum, dy, value(p, l->src), vector, p->rows,
		                          p->out);
		for (size_t c = 0; c < p->out; c++)
			sum[c] *= vector[c] * 0.69314718f; /* ln 2 */
	} else {
		pass_on(p, l->src, dy);
		p->kernels->column_sum(sum, dy, p->rows, p->out);
	}
	if (!p->gradient)
		return;
	float *low = param_gradient(p, l->weight) + (size_t)p->at.index * p->out, *high = low + p->out;
	for (size_t c = 0; c < p->out; c++) {
		low[c] += (1 - p->at.fraction) * sum[c];
		high[c] += p->at.fraction * sum[c];
	}
}

static void concat_forward(const struct pass *p)
{
	const struct vae_layer *l = p->layer;
	size_t a = (size_t)channels(p, l->src), b = (size_t)channels(p, l->aux);
	for (size_t r = 0; r < p->rows; r++) {
		memcpy(value(p, l->dst) + r * (a + b), value(p, l->src) + r * a, a * sizeof(float));
		memcpy(value(p, l->dst) + r * (a + b) + a, value(p, l->aux) + r * b, b * sizeof(float));
	}
}

static void concat_backward(const struct pass *p)
{
	const struct vae_layer *l = p->layer;
	size_t a = (size_t)channels(p, l->src), b = (size_t)channels(p, l->aux);
	float *da = target(p, l->src), *db = target(p, l->aux), *dy = p->run->gradient[l->dst];
	for (size_t r = 0; r < p->rows; r++) {
		p->kernels->add(da + r * a, dy + r * (a + b), a);
		p->kernels->add(db + r * b, dy + r * (a + b) + a, b);
	}
}

/* A run of pixels along a row that share a cell's vector of aux (modulation). */
struct steer {
	size_t start, length; /* first pixel of the run, pixels */
	size_t aux;           /* offset of the cell's first channel of aux */
};

/* Finds the n-th run of the rows at hand, row by row; false after the last. */
static bool steer_at(const struct pass *p, size_t n, struct steer *s)
{
	const struct vae_slot *slot = p->run->net->slot;
	const struct vae_layer *l = p->layer;
	size_t columns = p->run->columns[slot[l->dst].level], factor = (size_t)1 << l->shift,
		   wide = (columns + factor - 1) / factor;
	size_t row = n / wide, cell = n % wide,
		   skip = (p->run->left[slot[l->dst].level] >> l->shift) - p->run->left[slot[l->aux].level];
	if (row >= p->end - p->from)
		return false;
	s->start = row * columns + cell * factor;
	s->length = vae_min(factor, columns - cell * factor);
	s->aux = (((p->from + row) >> l->shift) - (p->from >> l->shift)) *
	             p->run->columns[slot[l->aux].level] +
	         skip + cell;
	s->aux = s->aux * (size_t)slot[l->aux].channels + (size_t)l->first;
	return true;
}

static void steered_forward(const struct pass *p)
{
	const struct vae_layer *l = p->layer;
	const float *x = value(p, l->src), *aux = row_of(p, l->aux, p->from >> l->shift);
	float *y = value(p, l->dst);
	struct steer s;
	for (size_t n = 0; steer_at(p, n, &s); n++) {
		size_t o = s.start * p->out;
		if (l->op == VAE_MODULATE)
			p->kernels->modulate(y + o, x + o, aux + s.aux, aux + s.aux + p->out, s.length, p->out,
			                     !l->integer);
		else
			p->kernels->gate(y + o, x + o, value(p, l->third) + o, aux + s.aux, s.length, p->out,
			                 !l->integer);
	}
}

static void steered_backward(const struct pass *p)
{
	const struct vae_layer *l = p->layer;
	const float *x = value(p, l->src), *aux = value(p, l->aux), *dy = p->run->gradient[l->dst];
	float *dx = target(p, l->src), *daux = target(p, l->aux),
		  *dh = l->op == VAE_GATE ? target(p, l->third) : NULL;
	struct steer s;
	for (size_t n = 0; steer_at(p, n, &s); n++) {
		size_t o = s.start * p->out;
		if (l->op == VAE_MODULATE)
			p->kernels->modulate_backward(dx + o, daux + s.aux, daux + s.aux + p->out, dy + o,
			                              x + o, aux + s.aux, s.length, p->out);
		else
			p->kernels->gate_backward(dx + o, dh + o, daux + s.aux, dy + o, value(p, l->third) + o,
			                          aux + s.aux, s.length, p->out);
	}
}

static void space_to_depth_forward(const struct pass *p)
{
	struct fold f = fold_of(p, p->layer->src, p->layer->dst);
	for (size_t r = p->from; r < p->end; r++)
		for (size_t dy = 0; dy < f.factor; dy++)
			fold_gather(&f, row_of(p, p->layer->dst, r),
			            row_of(p, p->layer->src, vae_min(r * f.factor + dy, f.fine_rows - 1)), dy);
}

static void space_to_depth_backward(const struct pass *p)
{
	struct fold f = fold_of(p, p->layer->src, p->layer->dst);
	fold_gather_backward(&f, target(p, p->layer->src), p->run->gradient[p->layer->dst]);
}

static void depth_to_space_forward(const struct pass *p)
{
	struct fold f = fold_of(p, p->layer->dst, p->layer->src);
	size_t line = f.factor * f.channels;
	for (size_t y = p->from; y < p->end; y++) {
		float *row = row_of(p, p->layer->dst, y);
		const float *cells_row = row_of(p, p->layer->src, y / f.factor);
		if (line == 12) /* 4 x 4 patches of RGB */
			fold_scatter(&f, row, cells_row, y % f.factor, 12);
		else
			fold_scatter(&f, row, cells_row, y % f.factor, line);
	}
}

static void depth_to_space_backward(const struct pass *p)
{
	struct fold f = fold_of(p, p->layer->dst, p->layer->src);
	fold_scatter_backward(&f, target(p, p->layer->src), p->run->gradient[p->layer->dst]);
}

static const struct {
	void (*forward)(const struct pass *p);
	void (*backward)(const struct pass *p);
} operations[] = {
	[VAE_LINEAR] = {linear_forward, linear_backward},
	[VAE_DEPTHWISE] = {depthwise_forward, depthwise_backward},
	[VAE_SPACE_TO_DEPTH] = {space_to_depth_forward, space_to_depth_backward},
	[VAE_DEPTH_TO_SPACE] = {depth_to_space_forward, depth_to_space_backward},
	[VAE_GAIN] = {table_forward, table_backward},
	[VAE_SHIFT] = {table_forward, table_backward},
	[VAE_CONCAT] = {concat_forward, concat_backward},
	[VAE_MODULATE] = {steered_forward, steered_backward},
	[VAE_GATE] = {steered_forward, steered_backward},
};

/* ---- the interpreter ------------------------------------------------------------------------- */

static struct pass pass_of(struct vae_run *run, const struct vae_nets *nets,
                           const struct vae_weights *weights, struct vae_position at)
{
	return (struct pass){.kernels = vae_kernels(),
	                     .run = run,
	                     .params = &nets->params,
	                     .weights = weights,
	                     .at = at};
}

static void enter(struct pass *p, const struct vae_layer *layer, size_t from, size_t end)
{
	const struct vae_slot *slot = p->run->net->slot;
	p->layer = layer;
	p->from = from;
	p->end = end;
	p->rows = (end - from) * p->run->columns[slot[layer->dst].level];
	p->in = (size_t)slot[layer->src].channels;
	p->out = (size_t)slot[layer->dst].channels;
}

static size_t rows_of(const struct vae_run *run, const struct vae_layer *layer)
{
	return run->rows[run->net->slot[layer->dst].level];
}

void vae_layer_forward(struct vae_run *run, const struct vae_layer *layer, size_t from, size_t end,
                       const struct vae_nets *nets, const struct vae_weights *weights,
                       struct vae_position at)
{
	struct pass p = pass_of(run, nets, weights, at);
	enter(&p, layer, from, end);
	operations[layer->op].forward(&p);
}

/* Computes what is wanted of the cells of a row of dst whose columns are as odd as `column`. */
static void forward_wanted(const struct pass *p, const float *shift,
                           const struct vae_wanted *wanted, size_t row, size_t column)
{
	const struct vae_layer *l = p->layer;
	size_t columns = p->run->columns[p->run->net->slot[l->dst].level],
		   cell = (row - p->from) * columns + column;
	for (size_t first = wanted->first[row % 2][column]; first < p->out; first += wanted->again) {
		size_t end = first + wanted->count, start = first / VAE_PANEL * VAE_PANEL;
		if (!shift)
			linear_cells(p, cell, 2, (columns - column + 1) / 2, start, end - start);
		for (size_t q = column, at = cell * p->out + first; shift && q < columns;
		     q += 2, at += 2 * p->out)
			p->kernels->shift(value(p, l->dst) + at, value(p, l->src) + at, shift + first, 1,
			                  wanted->count);
	}
}

void vae_layer_forward_wanted(struct vae_run *run, const struct vae_layer *layer, size_t from,
                              size_t end, const struct vae_wanted *wanted,
                              const struct vae_nets *nets, const struct vae_weights *weights,
                              struct vae_position at)
{
	struct pass p = pass_of(run, nets, weights, at);
	enter(&p, layer, from, end);
	const float *shift = layer->op == VAE_SHIFT ? vector_of(&p) : NULL;
	for (size_t row = from; row < end; row++)
		for (size_t column = 0; column < 2; column++)
			forward_wanted(&p, shift, wanted, row, column);
}

void vae_net_forward(struct vae_run *run, const struct vae_nets *nets,
                     const struct vae_weights *weights, struct vae_position at)
{
	for (const struct vae_layer *l = run->net->layer; l < run->net->layer + run->net->layers; l++)
		vae_layer_forward(run, l, 0, rows_of(run, l), nets, weights, at);
}

void vae_run_start_backward(struct vae_run *run)
{
	memset(run->has_gradient, 0, sizeof run->has_gradient);
}

void vae_net_backward(struct vae_run *run, const struct vae_nets *nets,
                      const struct vae_weights *weights, struct vae_position at, float *gradient)
{
	struct pass p = pass_of(run, nets, weights, at);
	p.gradient = gradient;
	for (int i = run->net->layers - 1; i >= 0; i--) {
		const struct vae_layer *l = &run->net->layer[i];
		enter(&p, l, 0, rows_of(run, l));
		if (run->has_gradient[p.layer->dst])
			operations[p.layer->op].backward(&p);
	}
}

double vae_net_macs_pixel(const struct vae_net *net)
{
	double macs = 0;
	for (int i = 0; i < net->layers; i++) {
		const struct vae_layer *l = &net->layer[i];
		double cell = l->op == VAE_LINEAR      ? (double)net->slot[l->src].channels
		              : l->op == VAE_DEPTHWISE ? (double)l->taps * l->taps
		                                       : 0;
		macs += cell * net->slot[l->dst].channels / (double)(1 << 2 * net->slot[l->dst].level);
	}
	return macs;
}

size_t vae_net_halo(const struct vae_net *net)
{
	size_t pixels = 0;
	int coarsest = 0;
	for (int i = 0; i < net->slots; i++)
		coarsest = net->slot[i].level > coarsest ? net->slot[i].level : coarsest;
	for (int i = 0; i < net->layers; i++)
		if (net->layer[i].op == VAE_DEPTHWISE)
			pixels += (size_t)(net->layer[i].taps / 2) << net->slot[net->layer[i].dst].level;
	return (pixels + ((size_t)1 << coarsest) - 1) >> coarsest;
}
