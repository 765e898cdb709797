#include "prior/hyper.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/minmax.h"
#include "prior/z_mean.h"
#include "prior/order.h"

/* ---- the symbols of a slice ------------------------------------------------------------------ */

int vae_symbols_fit(struct vae_symbols *symbols, const struct vae_nets *nets, size_t rows,
                    size_t columns, struct vae_error *error)
{
	bool photo = nets->arch.kind == VAE_ARCH_PHOTO;
	struct vae_symbols s = {.rows = rows,
	                        .columns = columns,
	                        .channels = (size_t)nets->arch.y,
	                        .steps = photo ? (size_t)nets->arch.steps : 1};
	if (photo) {
		s.z_rows = (rows + 3) / 4;
		s.z_columns = (columns + 3) / 4;
		s.z_channels = (size_t)nets->arch.z;
	}
	s.z_count = s.z_rows * s.z_columns * s.z_channels;
	s.count = s.z_count + rows * columns * s.channels;
	if (symbols->count == s.count && symbols->rows == rows && symbols->columns == columns)
		return 0;
	vae_symbols_clear(symbols);
	*symbols = s;
	size_t line = (s.count - s.z_count) / s.steps;
	line = vae_max(line, s.z_count); /* z may be larger in very small slices */
	if (!vae_alloc_raw(&symbols->value, s.count, sizeof *s.value, error) &&
	    !vae_alloc_raw(&symbols->index, s.count, sizeof *s.index, error) &&
	    !vae_alloc_raw(&symbols->mean, s.count, sizeof *s.mean, error) &&
	    !vae_alloc_raw(&symbols->log_scale, s.count, sizeof *s.log_scale, error) &&
	    !vae_alloc_raw(&symbols->line, line, sizeof *s.line, error) &&
	    !vae_alloc_raw(&symbols->residual, photo ? rows * columns * s.channels : 0,
	                   sizeof *s.residual, error))
		return 0;
	vae_symbols_clear(symbols);
	return VAE_EMEM;
}

void vae_symbols_clear(struct vae_symbols *s)
{
	free(s->value);
	free(s->index);
	free(s->mean);
	free(s->log_scale);
	free(s->line);
	free(s->residual);
	for (int i = 0; i < VAE_NETS; i++)
		vae_run_clear(&s->run[i]);
	memset(s, 0, sizeof *s);
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

/* ---- the walk -------------------------------------------------------------------------------- */

/* A picture of cells whose rows lie `stride` floats apart. */
struct view {
	float *data;
	size_t stride;
};

/* What one walk needs. The encoder has y, the decoder a source. */
struct walk {
	struct vae_symbols *s;
	const struct vae_prior *prior;
	const float *y; /* encoder: the slice before rounding */
	size_t y_stride;
	vae_symbol_source *source; /* decoder */
	void *context;
	struct view out; /* y^, data NULL where nobody wants it */
};

/* One run of symbols, consecutive in coding order: a cell of z, or one step of y, or all of an
 * mlp's latent. */
struct group {
	size_t first; /* its first symbol */
	size_t cells, columns;
	size_t channels, part; /* of a cell; coded of them in this group */
	int step, steps;       /* of order.h, -1 where part is channels */
};

/* One cell of z: the next one has to wait for it. */
static struct group group_z(const struct vae_symbols *s, size_t cell)
{
	return (struct group){cell * s->z_channels, 1, 1, s->z_channels, s->z_channels, -1, 0};
}

static struct group group_y(const struct vae_symbols *s, int step)
{
	size_t cells = s->rows * s->columns, part = s->channels / s->steps;
	return (struct group){s->z_count + (size_t)step * cells * part,
	                      cells,
	                      s->columns,
	                      s->channels,
	                      part,
	                      s->steps > 1 ? step : -1,
	                      (int)s->steps};
}

/* First channel that the group codes at a cell. */
static size_t first_channel(const struct group *g, size_t row, size_t column)
{
	return g->step < 0 ? 0 : vae_order_first_channel(g->step, g->steps, row, column, g->channels);
}

/* The group's channels of a picture, in coding order, and back. */
static void gather(float *out, const struct group *g, const float *picture, size_t stride)
{
	for (size_t cell = 0; cell < g->cells; cell++, out += g->part) {
		size_t row = cell / g->columns, column = cell % g->columns;
		memcpy(out, picture + row * stride + column * g->channels + first_channel(g, row, column),
		       g->part * sizeof *out);
	}
}

static void scatter(const struct view *picture, const struct group *g, const float *in)
{
	for (size_t cell = 0; cell < g->cells; cell++, in += g->part) {
		size_t row = cell / g->columns, column = cell % g->columns;
		memcpy(picture->data + row * picture->stride + column * g->channels +
		           first_channel(g, row, column),
		       in, g->part * sizeof *in);
	}
}

/* The group's means and log-scales from a network's answer: `channels` means, then as many
 * log-scales, for each cell. */
static void predict(struct vae_symbols *s, const struct group *g, const float *answer)
{
	size_t at = g->first;
	for (size_t cell = 0; cell < g->cells; cell++, at += g->part) {
		const float *of_cell = answer + cell * 2 * g->channels +
		                       first_channel(g, cell / g->columns, cell % g->columns);
		memcpy(s->mean + at, of_cell, g->part * sizeof *s->mean);
		memcpy(s->log_scale + at, of_cell + g->channels, g->part * sizeof *s->log_scale);
	}
}

/* Makes the group's symbols known: rounds target (in coding order) about the means, or asks the
 * source where target is NULL. */
static int know(const struct walk *w, const struct group *g, const float *target,
                struct vae_error *error)
{
	struct vae_symbols *s = w->s;
	size_t n = g->cells * g->part;
	const float *mean = s->mean + g->first;
	int32_t *value = s->value + g->first;
	uint8_t *index = s->index + g->first;
	for (size_t i = 0; i < n; i++)
		index[i] = vae_scale_index(s->log_scale[g->first + i]);
	if (!target)
		return w->source(w->context, index, value, n, error);
	for (size_t i = 0; i < n; i++)
		value[i] = vae_round_symbol(target[i] - mean[i]);
	return 0;
}

/* Encoder: a step's symbols, rounded and with their tables known, chosen anew for what they cost.
 */
static void choose(const struct walk *w, const struct group *g, const float *target)
{
	struct vae_symbols *s = w->s;
	size_t at = g->first;
	for (size_t cell = 0; cell < g->cells; cell++, at += g->part, target += g->part)
		vae_rdo(w->prior->choice, first_channel(g, cell / g->columns, cell % g->columns),
		        s->index + at, target, s->mean + at, s->value + at, g->part);
}

/* y^ = r + mean of a group, in coding order. False where one is not finite. */
static bool reconstruct(float *out, const struct vae_symbols *s, const struct group *g)
{
	size_t n = g->cells * g->part;
	bool finite = true;
	for (size_t i = 0; i < n; i++) {
		out[i] = (float)s->value[g->first + i] + s->mean[g->first + i];
		finite &= out[i] - out[i] == 0;
	}
	return finite;
}

static int not_finite(struct vae_error *error)
{
	return vae_fail(error, VAE_EDATA, "the prior leads to latents that are not finite numbers");
}

/* Step `step` of y, whose means and log-scales are known. */
static int code_step(const struct walk *w, int step, struct vae_error *error)
{
	struct group g = group_y(w->s, step);
	float *line = w->s->line;
	if (w->y)
		gather(line, &g, w->y, w->y_stride);
	int rc = know(w, &g, w->y ? line : NULL, error);
	if (rc)
		return rc;
	if (w->y && w->prior->choice)
		choose(w, &g, line);
	if (!reconstruct(line, w->s, &g))
		return not_finite(error);
	if (w->out.data)
		scatter(&w->out, &g, line);
	return 0;
}

static const float *table_of(const struct vae_prior *prior, const char *name)
{
	return prior->weights->value + vae_param_offset(&prior->nets->params, name);
}

/* A network's memory, ready for its inputs. NULL: error is filled. */
static struct vae_run *run_of(const struct walk *w, int part, struct vae_error *error)
{
	struct vae_run *run = &w->s->run[part];
	if (!run->net &&
	    vae_run_init(run, &w->prior->nets->net[part], 4, w->s->rows, w->s->columns, false, error))
		return NULL;
	return run;
}

static void forward(struct vae_run *run, const struct walk *w)
{
	vae_net_forward(run, w->prior->nets, w->prior->weights, w->prior->at);
}

/* Encoder: z before rounding, in coding order, which for z is that of the picture. NULL: no memory.
 */
static const float *analyse_z(const struct walk *w, struct vae_error *error)
{
	struct vae_run *run = run_of(w, VAE_H_A, error);
	size_t line = w->s->columns * w->s->channels;
	if (!run)
		return NULL;
	for (size_t row = 0; row < w->s->rows; row++)
		memcpy(vae_run_input(run, 0) + row * line, w->y + row * w->y_stride, line * sizeof *w->y);
	forward(run, w);
	return vae_run_output(run, 0);
}

/* z to z^, into h_s's input, which is where the cells' means come from. */
static int code_z(const struct walk *w, float *input, struct vae_error *error)
{
	struct vae_symbols *s = w->s;
	struct vae_z_mean near = vae_z_mean_of(&w->prior->nets->params, w->prior->weights->value);
	const float *z = NULL;
	if (w->y && !(z = analyse_z(w, error)))
		return VAE_EMEM;
	for (size_t cell = 0; cell < s->z_rows * s->z_columns; cell++) {
		struct group g = group_z(s, cell);
		vae_z_mean_mean(s->mean + g.first, &near, input, cell, s->z_columns, s->z_channels);
		vae_position_lerp(s->log_scale + g.first, table_of(w->prior, "prior.z.log_scale"),
		                  (int)s->z_channels, w->prior->at);
		int rc = know(w, &g, z ? z + g.first : NULL, error);
		if (rc)
			return rc;
		if (!reconstruct(input + g.first, s, &g))
			return not_finite(error);
	}
	return 0;
}

/* Adds a step to what the contexts after it see: its residuals, 0 where nothing is known yet. */
static void show_step(const struct vae_symbols *s, int step)
{
	struct group g = group_y(s, step);
	for (size_t i = 0; i < g.cells * g.part; i++)
		s->line[i] = (float)s->value[g.first + i];
	if (step == 0)
		memset(s->residual, 0, s->rows * s->columns * s->channels * sizeof *s->residual);
	scatter(&(struct view){s->residual, s->columns * s->channels}, &g, s->line);
}

/* The answer of the context before a step (1 or later); h_s has run. NULL: no memory. */
static const float *ask_context(const struct walk *w, int step, struct vae_error *error)
{
	struct vae_symbols *s = w->s;
	struct vae_run *context = run_of(w, VAE_CONTEXT + step - 1, error), *h_s = &s->run[VAE_H_S];
	if (!context)
		return NULL;
	show_step(s, step - 1);
	vae_run_lend(context, 0, s->residual);
	for (int i = 0; i < 2; i++) /* features and guess, where h_s left them */
		vae_run_lend(context, 1 + i, vae_run_output(h_s, i));
	forward(context, w);
	return vae_run_output(context, 0);
}

static int walk_photo(const struct walk *w, struct vae_error *error)
{
	struct vae_symbols *s = w->s;
	struct vae_run *h_s = run_of(w, VAE_H_S, error);
	if (!h_s)
		return VAE_EMEM;
	int rc = code_z(w, vae_run_input(h_s, 0), error);
	if (rc)
		return rc;
	forward(h_s, w);
	for (int step = 0; !rc && step < (int)s->steps; step++) {
		struct group g = group_y(s, step);
		const float *answer = step ? ask_context(w, step, error) : vae_run_output(h_s, 1);
		if (!answer)
			return VAE_EMEM;
		predict(s, &g, answer);
		rc = code_step(w, step, error);
	}
	return rc;
}

/* Steps of 1 / gain: r = round(y gain), y^ = r (1 / gain), the division rounded once. */
static int walk_mlp(const struct walk *w, struct vae_error *error)
{
	struct vae_symbols *s = w->s;
	struct group g = group_y(s, 0);
	size_t n = s->channels;
	float *gain = NULL;
	int rc = vae_alloc_raw(&gain, 3 * n, sizeof *gain, error);
	if (rc)
		return rc;
	float *log_scale = gain + n, *line = gain + 2 * n;
	vae_position_lerp(gain, table_of(w->prior, "prior.gain"), (int)n, w->prior->at);
	vae_position_lerp(log_scale, table_of(w->prior, "prior.log_scale"), (int)n, w->prior->at);
	memset(s->mean, 0, n * sizeof *s->mean);
	memcpy(s->log_scale, log_scale, n * sizeof *s->log_scale);
	for (size_t i = 0; w->y && i < n; i++)
		line[i] = w->y[i] * gain[i];
	rc = know(w, &g, w->y ? line : NULL, error);
	for (size_t i = 0; !rc && i < n; i++) {
		float step = 1 / gain[i], y = (float)s->value[i] * step;
		if (!(y - y == 0))
			rc = not_finite(error);
		else if (w->out.data)
			w->out.data[i] = y;
	}
	free(gain);
	return rc;
}

static int walk(const struct walk *w, struct vae_error *error)
{
	return (w->s->steps > 1 ? walk_photo : walk_mlp)(w, error);
}

int vae_hyper_analyse(struct vae_symbols *symbols, const struct vae_prior *prior, const float *y,
                      size_t stride, struct vae_error *error)
{
	return walk(&(struct walk){.s = symbols, .prior = prior, .y = y, .y_stride = stride}, error);
}

int vae_hyper_synthesise(struct vae_symbols *symbols, const struct vae_prior *prior,
                         vae_symbol_source *source, void *context, float *y, size_t stride,
                         struct vae_error *error)
{
	return walk(
		&(struct walk){
			.s = symbols, .prior = prior, .source = source, .context = context, .out = {y, stride}},
		error);
}
