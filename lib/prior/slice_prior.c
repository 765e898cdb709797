#include "prior/slice_prior.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/minmax.h"
#include "prior/coder.h"
#include "prior/z_mean.h"

/* cells: about so many at a time make products that are at their best, and arrays that stay in the
 * second-level cache */
#define STEP_CELLS 192

#define GUESS_LAYERS 2 /* at the end of h_s: they make the guess */

/* ---- the symbols of a slice ------------------------------------------------------------------ */

static void set_shape(struct vae_symbols *s, const struct vae_arch *a, size_t rows, size_t columns)
{
	bool photo = a->kind == VAE_ARCH_PHOTO;
	s->rows = rows;
	s->columns = columns;
	s->channels = (size_t)a->y;
	s->steps = photo ? (size_t)a->steps : 1;
	s->z_rows = photo ? (rows + 3) / 4 : 0;
	s->z_columns = photo ? (columns + 3) / 4 : 0;
	s->z_channels = photo ? (size_t)a->z : 0;
	s->z_count = s->z_rows * s->z_columns * s->z_channels;
	s->count = s->z_count + rows * columns * s->channels;
}

static size_t whole_lines(size_t symbols) { return (symbols + 63) / 64 * 64; }

/* Returns the most symbols that are decoded together (rows_at_once). */
static size_t largest_group(const struct vae_symbols *s)
{
	size_t cells = s->steps > 1 ? vae_max(STEP_CELLS, s->columns) : 1;
	return whole_lines(vae_max(cells * s->channels / s->steps, s->z_channels));
}

int vae_symbols_fit(struct vae_symbols *symbols, const struct vae_nets *nets, size_t rows,
                    size_t columns, struct vae_error *error)
{
	bool more = rows > symbols->most_rows || columns > symbols->most_columns;
	if (more)
		vae_symbols_clear(symbols);
	set_shape(symbols, &nets->arch, rows, columns);
	bool answers = symbols->keep == VAE_KEEP_ANSWERS;
	size_t line = whole_lines(symbols->count),
		   coded = symbols->keep == VAE_KEEP_NONE ? largest_group(symbols) : line;
	if (more) {
		if (vae_alloc_huge(&symbols->room, (answers ? 3 : 1) * line + coded + coded / 4,
		                   sizeof(float), error)) {
			vae_symbols_clear(symbols);
			return VAE_EMEM;
		}
		symbols->most_rows = rows;
		symbols->most_columns = columns;
	}
	float *room = symbols->room;
	symbols->value = (int32_t *)(void *)room;
	symbols->index = (uint8_t *)(room + coded);
	symbols->residual = room + coded + coded / 4;
	symbols->mean = answers ? symbols->residual + line : NULL;
	symbols->log_scale = answers ? symbols->mean + line : NULL;
	return 0;
}

void vae_symbols_clear(struct vae_symbols *s)
{
	enum vae_symbols_keep keep = s->keep;
	free(s->room);
	for (int i = 0; i < VAE_NETS; i++)
		vae_run_clear(&s->run[i]);
	memset(s, 0, sizeof *s);
	s->keep = keep;
}

int vae_symbols_new(struct vae_symbols **symbols, size_t *count, struct vae_error *error)
{
	*count = (size_t)omp_get_max_threads();
	return vae_alloc(symbols, *count, sizeof **symbols, error);
}

void vae_symbols_free(struct vae_symbols *symbols, size_t count)
{
	for (size_t i = 0; symbols && i < count; i++)
		vae_symbols_clear(&symbols[i]);
	free(symbols);
}

size_t vae_symbols_place(const struct vae_symbols *s, size_t cell, size_t channel)
{
	size_t part = s->channels / s->steps, cells = s->rows * s->columns, step = 0;
	while (step + 1 < s->steps &&
	       vae_order_first_channel((int)step, (int)s->steps, cell / s->columns, cell % s->columns,
	                               s->channels) != channel / part * part)
		step++;
	return s->z_count + (step * cells + cell) * part + channel % part;
}

/* ---- a pass through the prior ---------------------------------------------------------------- */

static const float *table_of(const struct vae_prior *prior, const char *name)
{
	return prior->weights->value + vae_param_offset(&prior->nets->params, name);
}

/* Returns whether wide arrays, which nobody needs later, are made some rows at a time, and only as
 * far as a step reads them. They stay in the cache, and take little memory. */
static bool in_pieces(const struct vae_prior_pass *p) { return p->exact && !p->training; }

/* Sets the cells of each slot that are held at once: all, but of those made in pieces, and none of
 * inputs that are lent (set_input). */
static void plan_cells(size_t most[VAE_MAX_SLOTS], const struct vae_net *net, int part,
                       size_t columns)
{
	size_t piece = vae_max(STEP_CELLS, columns);
	for (int i = 0; i < net->slots; i++)
		most[i] = SIZE_MAX;
	if (part == VAE_H_A)
		return;
	for (int i = net->layers - (part == VAE_H_S ? GUESS_LAYERS : 1); i < net->layers; i++)
		most[net->layer[i].dst] = piece;
	if (part == VAE_H_S)
		return;
	most[net->layer[0].dst] = piece;
	for (int i = 0; i < net->inputs; i++)
		most[net->input[i]] = 0;
}

static int run_reserve(const struct vae_prior_pass *p, struct vae_run *run, int part,
                       struct vae_error *error)
{
	const struct vae_net *net = &p->prior->nets->net[part];
	size_t rows = vae_max(p->rows, p->most_rows), columns = vae_max(p->columns, p->most_columns),
		   most[VAE_MAX_SLOTS];
	if (!in_pieces(p))
		return vae_run_init(run, net, 4, rows, columns, p->training, error);
	plan_cells(most, net, part, columns);
	return vae_run_init_part(run, net, 4, rows, columns, most, error);
}

/* Returns a network's memory, ready for its inputs, or NULL with *error filled. */
static struct vae_run *run_of(const struct vae_prior_pass *p, int part, struct vae_error *error)
{
	struct vae_run *run = &p->run[part];
	if (!run->net && run_reserve(p, run, part, error))
		return NULL;
	vae_run_shrink(run, 4, p->rows, p->columns);
	return run;
}

static void forward(const struct vae_prior_pass *p, struct vae_run *run)
{
	vae_net_forward(run, p->prior->nets, p->prior->weights, p->prior->at);
}

/* Sets input i of a network; copies it if activations are kept. */
static void set_input(const struct vae_prior_pass *p, struct vae_run *run, int i, float *input)
{
	if (p->training)
		memcpy(vae_run_input(run, i), input, vae_run_size(run, run->net->input[i]) * sizeof *input);
	else
		vae_run_lend(run, i, input);
}

/* Returns z before rounding, or NULL with *error filled. */
static const float *analyse_z(const struct vae_prior_pass *p, struct vae_error *error)
{
	struct vae_run *run = run_of(p, VAE_H_A, error);
	size_t line = p->columns * (size_t)p->prior->nets->arch.y;
	if (!run)
		return NULL;
	for (size_t row = 0; row < p->rows; row++)
		memcpy(vae_run_input(run, 0) + row * line, p->y + row * p->stride, line * sizeof *p->y);
	forward(p, run);
	return vae_run_output(run, 0);
}

static int not_finite(struct vae_error *error)
{
	return vae_fail(error, VAE_EDATA, "the prior leads to latents that are not finite numbers");
}

/* Returns whether all r + mean are finite. */
static bool sums_are_finite(const struct vae_group_cell *at)
{
	float zero = 0; /* v - v is 0, or NaN */
#pragma omp simd reduction(+ : zero)
	for (size_t c = 0; c < at->n; c++) {
		float y = at->residual[c] + at->mean[c];
		zero += y - y;
	}
	return zero == 0;
}

/* Decodes a group, and writes r + mean. */
static int decode(const struct vae_prior_pass *p, const struct vae_group *g,
                  struct vae_error *error)
{
	int rc = p->decode_group(p->context, g, error);
	bool finite = true;
	for (size_t cell = 0; !rc && cell < g->cells; cell++) {
		struct vae_group_cell at = vae_group_cell(g, cell);
		finite &= sums_are_finite(&at);
		if (at.out)
#pragma omp simd
			for (size_t c = 0; c < at.n; c++)
				at.out[c] = at.residual[c] + at.mean[c];
	}
	return finite || !p->exact ? rc : not_finite(error);
}

/* Decodes z into h_s's input, from which the means of later cells are computed. */
static int decode_z(const struct vae_prior_pass *p, float *input, struct vae_error *error)
{
	const struct vae_nets *nets = p->prior->nets;
	struct vae_z_mean near = vae_z_mean_of(&nets->params, p->prior->weights->value);
	size_t n = (size_t)nets->arch.z, columns = (p->columns + 3) / 4,
		   count = (p->rows + 3) / 4 * columns * n;
	float mean[2 * VAE_MAX_Z], *log_scale = mean + n; /* of one cell, as a network's output */
	const float *z = NULL;
	int rc = 0;
	if (p->y && !(z = analyse_z(p, error)))
		return VAE_EMEM;
	vae_position_lerp(log_scale, table_of(p->prior, "prior.z.log_scale"), (int)n, p->prior->at);
	for (size_t at = 0; !rc && at < count; at += n) {
		struct vae_group g = {.step = -1,
		                      .steps = 1,
		                      .cells = 1,
		                      .columns = 1,
		                      .channels = n,
		                      .target = z ? z + at : NULL,
		                      .answer = mean,
		                      .residual = input + at,
		                      .out = input + at};
		vae_z_mean_mean(mean, &near, input, at / n, columns, n);
		rc = decode(p, &g, error);
	}
	return rc;
}

/* Decodes rows [from, end) of step `step` of y, given a network's output for them. */
static int decode_rows(const struct vae_prior_pass *p, int step, size_t from, size_t end,
                       const float *answer, struct vae_error *error)
{
	const struct vae_arch *a = &p->prior->nets->arch;
	struct vae_group g = {.step = step,
	                      .steps = a->steps,
	                      .row = from,
	                      .cells = (end - from) * p->columns,
	                      .columns = p->columns,
	                      .channels = (size_t)a->y,
	                      .stride = p->stride,
	                      .target = p->y ? p->y + from * p->stride : NULL,
	                      .answer = answer,
	                      .residual = p->residual + from * p->columns * (size_t)a->y,
	                      .out = p->out ? p->out + from * p->stride : NULL};
	return decode(p, &g, error);
}

/* Returns how many rows to work on at a time. */
static size_t rows_at_once(const struct vae_prior_pass *p)
{
	return in_pieces(p) ? vae_max(1, STEP_CELLS / p->columns) : p->rows;
}

/* Runs layers [first, end) of a network for rows [from, to). The arrays of all but the last of them
 * begin with these rows. */
static void run_layers(const struct vae_prior_pass *p, struct vae_run *run, int first, int end,
                       size_t from, size_t to)
{
	for (const struct vae_layer *l = run->net->layer + first; l < run->net->layer + end; l++) {
		run->first[l->dst] = l + 1 < run->net->layer + end ? from : 0;
		vae_layer_forward(run, l, from, to, p->prior->nets, p->prior->weights, p->prior->at);
	}
}

/* Runs layers [first, end) of a network, each for all of its rows. */
static void run_whole(const struct vae_prior_pass *p, struct vae_run *run, int first, int end)
{
	for (int i = first; i < end; i++)
		run_layers(p, run, i, i + 1, 0, run->rows[run->net->slot[run->net->layer[i].dst].level]);
}

/* Runs the last `count` layers of a network for rows [from, to), with which their arrays begin, as
 * far as step `step` reads them. */
static void run_head(const struct vae_prior_pass *p, struct vae_run *run, int count, int step,
                     size_t from, size_t to)
{
	const struct vae_arch *a = &p->prior->nets->arch;
	const struct vae_layer *end = run->net->layer + run->net->layers;
	size_t y = (size_t)a->y;
	struct vae_wanted wanted = {.count = y / (size_t)a->steps, .again = y};
	for (size_t i = 0; i < 4; i++)
		wanted.first[i / 2][i % 2] = vae_order_first_channel(step, a->steps, i / 2, i % 2, y);
	for (const struct vae_layer *l = end - count; l < end; l++) {
		run->first[l->dst] = from;
		vae_layer_forward_wanted(run, l, from, to, &wanted, p->prior->nets, p->prior->weights,
		                         p->prior->at);
	}
}

/* Decodes the first step of y from the guess of h_s. */
static int decode_first(const struct vae_prior_pass *p, struct vae_run *h_s,
                        struct vae_error *error)
{
	size_t rows = rows_at_once(p);
	int rc = 0;
	for (size_t from = 0; !rc && from < p->rows; from += rows) {
		size_t end = vae_min(from + rows, p->rows);
		if (in_pieces(p))
			run_head(p, h_s, GUESS_LAYERS, 0, from, end);
		rc = decode_rows(p, 0, from, end, vae_run_output(h_s, 1), error);
	}
	return rc;
}

/* Runs a context, whose inputs are in place, and decodes its step. */
static int decode_context(const struct vae_prior_pass *p, int step, struct vae_run *run,
                          struct vae_run *h_s, struct vae_error *error)
{
	const struct vae_net *net = run->net;
	int last = net->layers - 1, rc = 0;
	size_t rows = rows_at_once(p);
	for (size_t from = 0; from < p->rows; from += rows)
		run_layers(p, run, 0, 2, from, vae_min(from + rows, p->rows));
	run_whole(p, run, 2, last);
	for (size_t from = 0; !rc && from < p->rows; from += rows) {
		size_t end = vae_min(from + rows, p->rows);
		if (in_pieces(p)) {
			run_head(p, h_s, GUESS_LAYERS, step, from, end);
			run->first[net->input[2]] = from;
			run_head(p, run, 1, step, from, end);
		} else
			run_layers(p, run, last, net->layers, from, end);
		rc = decode_rows(p, step, from, end, vae_run_output(run, 0), error);
	}
	return rc;
}

static int pass_photo(const struct vae_prior_pass *p, struct vae_error *error)
{
	const struct vae_arch *a = &p->prior->nets->arch;
	struct vae_run *h_s = run_of(p, VAE_H_S, error);
	if (!h_s)
		return VAE_EMEM;
	int rc = decode_z(p, vae_run_input(h_s, 0), error);
	if (rc)
		return rc;
	if (in_pieces(p))
		run_whole(p, h_s, 0, h_s->net->layers - GUESS_LAYERS);
	else
		forward(p, h_s);
	memset(p->residual, 0, p->rows * p->columns * (size_t)a->y * sizeof *p->residual);
	rc = decode_first(p, h_s, error);
	for (int step = 1; !rc && step < a->steps; step++) {
		struct vae_run *context = run_of(p, VAE_CONTEXT + step - 1, error);
		if (!context)
			return VAE_EMEM;
		set_input(p, context, 0, p->residual);
		for (int i = 0; i < 2; i++) /* features and guess */
			set_input(p, context, 1 + i, vae_run_output(h_s, i));
		rc = decode_context(p, step, context, h_s, error);
	}
	return rc;
}

/* Decodes with steps of 1 / gain: r = round(y gain), y^ = r (1 / gain), where the division is
 * rounded once. */
static int pass_mlp(const struct vae_prior_pass *p, struct vae_error *error)
{
	size_t n = (size_t)p->prior->nets->arch.y;
	float *gain = NULL;
	int rc = vae_alloc(&gain, 4 * n, sizeof *gain, error);
	if (rc)
		return rc;
	float *answer = gain + n, *target = gain + 3 * n; /* means are 0 */
	vae_position_lerp(gain, table_of(p->prior, "prior.gain"), (int)n, p->prior->at);
	vae_position_lerp(answer + n, table_of(p->prior, "prior.log_scale"), (int)n, p->prior->at);
	for (size_t i = 0; p->y && i < n; i++)
		target[i] = p->y[i] * gain[i];
	struct vae_group g = {.steps = 1,
	                      .cells = 1,
	                      .columns = 1,
	                      .channels = n,
	                      .target = p->y ? target : NULL,
	                      .answer = answer,
	                      .residual = p->residual};
	rc = p->decode_group(p->context, &g, error);
	for (size_t i = 0; !rc && i < n; i++) {
		float step = 1 / gain[i], y = p->residual[i] * step;
		if (!(y - y == 0))
			rc = not_finite(error);
		else if (p->out)
			p->out[i] = y;
	}
	free(gain);
	return rc;
}

int vae_prior_pass(const struct vae_prior_pass *p, struct vae_error *error)
{
	return (p->prior->nets->arch.kind == VAE_ARCH_PHOTO ? pass_photo : pass_mlp)(p, error);
}

/* ---- exact symbols --------------------------------------------------------------------------- */

/* The source or destination of symbols. */
struct coding {
	struct vae_symbols *s;
	size_t known;                    /* symbols so far */
	const struct vae_choice *choice; /* encoder: RDO of y, or NULL */
	vae_symbol_source *source;       /* decoder */
	void *context;                   /* of source */
};

/* Returns whether the group's symbols at a cell are known to be 0. */
static bool known_zero(const struct coding *w, const struct vae_group *g, size_t cell)
{
	const struct vae_symbols *s = w->s;
	bool zero = s->known_zero;
	if (zero && g->step >= 0)
		return s->known_zero[g->row * g->columns + cell];
	size_t at = zero ? w->known / s->z_channels : 0, top = zero ? at / s->z_columns * 4 : 0,
		   left = zero ? at % s->z_columns * 4 : 0;
	for (size_t row = top; row < vae_min(top + 4, s->rows) && zero; row++)
		for (size_t column = left; column < vae_min(left + 4, s->columns); column++)
			zero &= s->known_zero[row * s->columns + column] != 0;
	return zero;
}

/* Finds the tables of a cell's symbols, and rounds its target around the means (with RDO, if there
 * is a choice). */
static void code_cell(const struct coding *w, const struct vae_group *g, size_t cell,
                      const struct vae_group_cell *at, uint8_t *index, int32_t *value)
{
	if (known_zero(w, g, cell)) {
		memset(index, VAE_CODER_KNOWN, at->n);
		if (at->target)
			memset(value, 0, at->n * sizeof *value);
		return;
	}
#pragma omp simd
	for (size_t c = 0; c < at->n; c++)
		index[c] = vae_scale_index(at->log_scale[c]);
	if (!at->target)
		return;
#pragma omp simd
	for (size_t c = 0; c < at->n; c++)
		value[c] = vae_round_symbol(at->target[c] - at->mean[c]);
	if (w->choice && g->steps > 1)
		vae_rdo(w->choice, at->channel, index, at->target, at->mean, value, at->n);
}

/* Codes a group: tables and, of a target, symbols; without one, symbols come from the source. */
static int code_group(void *context, const struct vae_group *g, struct vae_error *error)
{
	struct coding *w = context;
	size_t place = w->s->keep == VAE_KEEP_NONE ? 0 : w->known;
	int32_t *value = w->s->value + place;
	uint8_t *index = w->s->index + place;
	size_t i = 0;
	for (size_t cell = 0; cell < g->cells; cell++) {
		struct vae_group_cell at = vae_group_cell(g, cell);
		if (w->s->keep == VAE_KEEP_ANSWERS) {
			memcpy(w->s->mean + w->known + i, at.mean, at.n * sizeof *at.mean);
			memcpy(w->s->log_scale + w->known + i, at.log_scale, at.n * sizeof *at.log_scale);
		}
		code_cell(w, g, cell, &at, index + i, value + i);
		i += at.n;
	}
	w->known += i;
	int rc = g->target ? 0 : w->source(w->context, index, value, i, error);
	for (size_t cell = 0; !rc && cell < g->cells; cell++) {
		struct vae_group_cell at = vae_group_cell(g, cell);
#pragma omp simd
		for (size_t c = 0; c < at.n; c++)
			at.residual[c] = (float)value[c];
		value += at.n;
	}
	return rc;
}

static int code(struct coding *w, struct vae_prior_pass pass, struct vae_error *error)
{
	pass.rows = w->s->rows;
	pass.columns = w->s->columns;
	pass.most_rows = w->s->most_rows;
	pass.most_columns = w->s->most_columns;
	pass.residual = w->s->residual;
	pass.run = w->s->run;
	pass.exact = true;
	pass.decode_group = code_group;
	pass.context = w;
	return vae_prior_pass(&pass, error);
}

int vae_prior_quantise(struct vae_symbols *symbols, const struct vae_prior *prior, const float *y,
                       size_t stride, struct vae_error *error)
{
	return code(&(struct coding){.s = symbols, .choice = prior->choice},
	            (struct vae_prior_pass){.prior = prior, .y = y, .stride = stride}, error);
}

int vae_prior_decode(struct vae_symbols *symbols, const struct vae_prior *prior,
                     vae_symbol_source *source, void *context, float *y, size_t stride,
                     struct vae_error *error)
{
	return code(&(struct coding){.s = symbols, .source = source, .context = context},
	            (struct vae_prior_pass){.prior = prior, .out = y, .stride = stride}, error);
}
