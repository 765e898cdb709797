#include "nn/sweep.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/minmax.h"
#include "base/parallel.h"

#define CELL_LEVEL 4 /* VAE_CELL_PX is 2^CELL_LEVEL */
/* cells: a narrower strip would be mostly margin, which more threads cannot compensate */
#define LEAST_SIDE 8
/* cells: in a wider strip, rows of pixels leave the second-level cache between two layers */
#define MOST_SIDE  128
/* cells of a step, about: a block of the matrix product; the arrays of more leave the second-level
 * cache */
#define STEP_CELLS 96
#define FINE_PX    4    /* within a step, finer levels advance by this many rows of pixels, */
#define FINE_CELLS 256  /* or by a multiple with about this many squares of FINE_PX */
#define PLAN_ROW   4096 /* a row of cells far from both edges of an endless picture */

static size_t quotient_up(size_t a, size_t b) { return (a + b - 1) / b; }

/* For each slot, the row (at its level) before which everything is done. Wanted rows may be above
 * the picture: then there is nothing to do yet. */
struct front {
	ptrdiff_t row[VAE_MAX_SLOTS];
};

/* The end of a step: in rows of cells for slots at their level, in pixels for finer ones. */
struct end {
	ptrdiff_t cells, pixels;
};

/* Columns of cells, and the memory that moves down them. */
struct strip {
	size_t column, columns;         /* of stored cells */
	struct vae_run run;             /* the windows of the slots */
	size_t spare[VAE_MAX_SLOTS][2]; /* run.spare */
	struct front done;
	float *inside; /* rows of cells to be stored, without their margin; NULL if they have none */
};

struct vae_sweep {
	struct vae_sweep_work work;
	const struct vae_net *net;
	size_t height_px, width_px;
	struct vae_rect area;
	ptrdiff_t rows[VAE_MAX_SLOTS];  /* of the picture, at the slot's level */
	struct front start;             /* first rows that the area needs */
	size_t reach[VAE_MAX_SLOTS];    /* columns of a slot on each side that a strip needs */
	size_t margin[VAE_LEVELS];      /* cells on each side that a strip computes at a level */
	size_t capacity[VAE_MAX_SLOTS]; /* rows of a slot's window */
	bool kept[VAE_MAX_SLOTS];       /* whether the next step needs some of them again */
	ptrdiff_t step, fine;           /* rows of cells; pixels */
	/* Row of cells: rows before it are stored. It starts above the area, so that no step is longer
	 * than others. */
	ptrdiff_t next;
	size_t count;
	struct strip *strip;
};

/* ---- dependencies --------------------------------------------------------------------------- */

static int input_of(const struct vae_sweep *s) { return s->net->input[0]; }
static int output_of(const struct vae_sweep *s) { return s->net->output[0]; }
static int level_of(const struct vae_sweep *s, int slot) { return s->net->slot[slot].level; }

/* Returns log2 of the rows of dst for each row of a source; below 0 if dst is coarser. */
static int finer(const struct vae_sweep *s, const struct vae_layer *l, int source)
{
	return level_of(s, source) - level_of(s, l->dst);
}

static ptrdiff_t half_of(const struct vae_layer *l, int source)
{
	return l->op == VAE_DEPTHWISE && source == l->src ? l->taps / 2 : 0;
}

/* Returns the row of a source before which rows [.., end) of dst read; and the first that row `row`
 * of dst reads. */
static ptrdiff_t end_needed(const struct vae_sweep *s, const struct vae_layer *l, int source,
                            ptrdiff_t end)
{
	int f = finer(s, l, source);
	return f < 0 ? end * ((ptrdiff_t)1 << -f)
	             : ((end + ((ptrdiff_t)1 << f) - 1) >> f) + half_of(l, source);
}

static ptrdiff_t first_needed(const struct vae_sweep *s, const struct vae_layer *l, int source,
                              ptrdiff_t row)
{
	int f = finer(s, l, source);
	return f < 0 ? row * ((ptrdiff_t)1 << -f) : (row >> f) - half_of(l, source);
}

static void sources_of(const struct vae_layer *l, int source[3])
{
	source[0] = l->src;
	source[1] = l->aux;
	source[2] = l->third;
}

/* Returns how far every slot must be for the output to reach a row, in a picture of `rows` rows. */
static struct front front_of(const struct vae_sweep *s, const ptrdiff_t rows[VAE_MAX_SLOTS],
                             ptrdiff_t row)
{
	const struct vae_net *net = s->net;
	struct front f;
	for (int i = 0; i < net->slots; i++)
		f.row[i] = PTRDIFF_MIN / 64;
	f.row[output_of(s)] = vae_min_signed(row, rows[output_of(s)]);
	for (const struct vae_layer *l = net->layer + net->layers; l-- > net->layer;) {
		int source[3];
		sources_of(l, source);
		for (int k = 0; k < 3; k++)
			if (source[k] >= 0) {
				ptrdiff_t end =
					vae_min_signed(end_needed(s, l, source[k], f.row[l->dst]), rows[source[k]]);
				f.row[source[k]] = vae_max_signed(f.row[source[k]], end);
			}
	}
	return f;
}

/* Returns how far every slot must be at the end of a step, or at a part of it. */
static struct front front_at(const struct vae_sweep *s, const ptrdiff_t rows[VAE_MAX_SLOTS],
                             struct end end)
{
	int level = level_of(s, output_of(s));
	struct front fine = front_of(s, rows, (end.pixels + ((ptrdiff_t)1 << level) - 1) >> level),
				 coarse = front_of(s, rows, end.cells * VAE_CELL_PX >> level);
	for (int i = 0; i < s->net->slots; i++)
		if (level_of(s, i) == CELL_LEVEL || i == input_of(s))
			fine.row[i] = coarse.row[i];
	return fine;
}

/* Returns the first row of a slot that is still needed when its readers have reached `done`; of the
 * output, the first row not stored. */
static ptrdiff_t first_kept(const struct vae_sweep *s, int slot, const struct front *done,
                            ptrdiff_t stored)
{
	ptrdiff_t first = slot == output_of(s) ? stored : done->row[slot];
	for (const struct vae_layer *l = s->net->layer; l < s->net->layer + s->net->layers; l++)
		if (l->src == slot || l->aux == slot || l->third == slot)
			first = vae_min_signed(first, first_needed(s, l, slot, done->row[l->dst]));
	return first;
}

/* ---- the plan -------------------------------------------------------------------------------- */

/* Computes the rows and columns around the area that each slot is needed for, by the longest path
 * to the output. */
static void plan_margins(struct vae_sweep *s)
{
	const struct vae_net *net = s->net;
	size_t *reach = s->reach;
	for (int i = 0; i < net->slots; i++)
		s->start.row[i] = s->rows[i];
	s->start.row[output_of(s)] =
		(ptrdiff_t)(s->area.row * VAE_CELL_PX >> level_of(s, output_of(s)));
	for (const struct vae_layer *l = net->layer + net->layers; l-- > net->layer;) {
		int source[3];
		sources_of(l, source);
		for (int k = 0; k < 3; k++) {
			if (source[k] < 0)
				continue;
			ptrdiff_t first =
				vae_max_signed(0, first_needed(s, l, source[k], s->start.row[l->dst]));
			s->start.row[source[k]] = vae_min_signed(s->start.row[source[k]], first);
			reach[source[k]] = vae_max(
				reach[source[k]], (size_t)end_needed(s, l, source[k], (ptrdiff_t)reach[l->dst]));
		}
	}
	/* whole cells are loaded */
	int in = input_of(s), shift = CELL_LEVEL - level_of(s, in);
	s->start.row[in] = s->start.row[in] >> shift << shift;
	for (int i = 0; i < net->slots; i++)
		s->margin[level_of(s, i)] = vae_max(s->margin[level_of(s, i)],
		                                    quotient_up(reach[i] << level_of(s, i), VAE_CELL_PX));
	/* every slot starts at or before its first needed row */
	size_t margin = s->margin[level_of(s, in)];
	s->next = (ptrdiff_t)vae_max(s->area.row, margin) - (ptrdiff_t)(2 * margin);
}

/* Sizes the windows by simulating two steps far from both edges, where the most rows are live. */
static void plan_windows(struct vae_sweep *s)
{
	ptrdiff_t endless[VAE_MAX_SLOTS];
	for (int i = 0; i < s->net->slots; i++)
		endless[i] = PTRDIFF_MAX / 64;
	struct front done = front_at(s, endless, (struct end){PLAN_ROW, PLAN_ROW * VAE_CELL_PX});
	int shift = level_of(s, output_of(s));
	for (ptrdiff_t row = PLAN_ROW; row < PLAN_ROW + 2 * s->step; row += s->step)
		for (ptrdiff_t from = row * VAE_CELL_PX, end = (row + s->step) * VAE_CELL_PX; from < end;
		     from += s->fine) {
			ptrdiff_t to = vae_min_signed(from + s->fine, end);
			struct front need = front_at(s, endless, (struct end){row + s->step, to});
			for (int i = 0; i < s->net->slots; i++) {
				size_t held =
					(size_t)(need.row[i] - first_kept(s, i, &done, row * VAE_CELL_PX >> shift));
				s->capacity[i] = vae_max(s->capacity[i], held);
				s->kept[i] |= first_kept(s, i, &need,
				                         (to < end ? row : row + s->step) * VAE_CELL_PX >> shift) <
				              need.row[i];
			}
			done = need;
		}
	for (int i = 0; i < s->net->slots; i++) {
		if (s->kept[i]) /* room to move the kept rows only now and then */
			s->capacity[i] += s->capacity[i] / 2;
		s->capacity[i] = vae_min(s->capacity[i], (size_t)s->rows[i]);
	}
}

/* Returns the number of strips: as many as threads, or a multiple; more if strips would be too
 * wide, fewer if they would be mostly margin. */
static size_t strips_of(const struct vae_rect *area, size_t threads)
{
	size_t strips = quotient_up(area->columns, threads * MOST_SIDE) * threads;
	return vae_max(1, vae_min(strips, area->columns / LEAST_SIDE));
}

/* ---- strips ---------------------------------------------------------------------------------- */

static size_t window_floats(const struct vae_sweep *s, const struct strip *t, int slot)
{
	const struct vae_slot *v = &s->net->slot[slot];
	return (s->capacity[slot] * t->run.columns[v->level] * (size_t)v->channels + 15) / 16 * 16;
}

/* Allocates, in one piece, the windows of kept rows and the blocks that the other slots share. */
static int strip_reserve(struct strip *t, const struct vae_sweep *s, struct vae_error *error)
{
	const struct vae_net *net = s->net;
	size_t size[VAE_MAX_SLOTS], block_size[VAE_MAX_SLOTS], floats = 0, scratch = 0;
	int block[VAE_MAX_SLOTS];
	for (int i = 0; i < net->slots; i++) {
		size[i] = s->kept[i] ? 0 : window_floats(s, t, i);
		floats += s->kept[i] ? window_floats(s, t, i) : 0;
		scratch = vae_max(scratch, (size_t)net->slot[i].channels);
	}
	int blocks = vae_net_share(net, size, block, block_size);
	for (int k = 0; k < blocks; k++)
		floats += block_size[k];
	if (vae_alloc_huge(&t->run.owned[0], floats, sizeof(float), error) ||
	    vae_run_scratch(&t->run, scratch, error))
		return VAE_EMEM;
	float *next = t->run.owned[0], *shared[VAE_MAX_SLOTS];
	for (int k = 0; k < blocks; next += block_size[k++])
		shared[k] = next;
	for (int i = 0; i < net->slots; i++) {
		t->run.value[i] = s->kept[i] ? next : shared[block[i]];
		next += s->kept[i] ? window_floats(s, t, i) : 0;
	}
	int o = output_of(s), level = level_of(s, o);
	if (s->margin[level]) {
		size_t line = (t->columns * VAE_CELL_PX >> level) * (size_t)net->slot[o].channels;
		if (vae_alloc_raw(&t->inside, (size_t)(s->step * VAE_CELL_PX >> level) * line,
		                  sizeof(float), error))
			return VAE_EMEM;
	}
	return 0;
}

/* Widens columns of cells by a margin on both sides, cut at the picture's edges. */
static void widen(const struct vae_sweep *s, size_t margin, size_t *first, size_t *end)
{
	*first -= vae_min(*first, margin);
	*end = vae_min(*end + margin, quotient_up(s->width_px, VAE_CELL_PX));
}

/* Finds the columns of a slot that are in the margin of its level, but not within its own reach. */
static void find_spare(struct strip *t, const struct vae_sweep *s, int slot)
{
	int level = level_of(s, slot);
	size_t left = t->run.left[level], columns = t->run.columns[level],
		   first = (t->column * VAE_CELL_PX >> level) - left,
		   end = vae_min(((t->column + t->columns) * VAE_CELL_PX >> level) - left, columns);
	t->spare[slot][0] = first - vae_min(first, s->reach[slot]);
	t->spare[slot][1] = columns - vae_min(columns, end + s->reach[slot]);
}

static int strip_init(struct strip *t, const struct vae_sweep *s, size_t column, size_t columns,
                      struct vae_error *error)
{
	t->column = column;
	t->columns = columns;
	t->run.net = s->net;
	for (int level = 0; level <= CELL_LEVEL; level++) {
		size_t first = column, end = column + columns, side = (size_t)1 << level;
		widen(s, s->margin[level], &first, &end);
		t->run.rows[level] = quotient_up(s->height_px, side);
		t->run.left[level] = first * VAE_CELL_PX >> level;
		t->run.columns[level] =
			vae_min(end * VAE_CELL_PX >> level, quotient_up(s->width_px, side)) -
			t->run.left[level];
	}
	t->done = s->start;
	t->run.spare = t->spare;
	for (int i = 0; i < s->net->slots; i++) {
		t->run.first[i] = (size_t)s->start.row[i];
		find_spare(t, s, i);
	}
	return strip_reserve(t, s, error);
}

/* Makes room in a slot's window for rows up to end, by dropping rows that are no longer needed. */
static void make_room(struct strip *t, const struct vae_sweep *s, int slot, ptrdiff_t end,
                      ptrdiff_t stored)
{
	struct vae_run *run = &t->run;
	const struct vae_slot *v = &s->net->slot[slot];
	size_t first = run->first[slot], line = run->columns[v->level] * (size_t)v->channels;
	if (s->kept[slot] && (size_t)end - first <= s->capacity[slot])
		return;
	size_t keep = (size_t)first_kept(s, slot, &t->done, stored), done = (size_t)t->done.row[slot];
	keep = vae_min(vae_max(keep, first), done);
	memmove(run->value[slot], run->value[slot] + (keep - first) * line,
	        (done - keep) * line * sizeof(float));
	run->first[slot] = keep;
}

static struct vae_block block_of(const struct vae_sweep *s, size_t row, size_t end, size_t column,
                                 size_t columns)
{
	return (struct vae_block){{row, column, end - row, columns},
	                          vae_min(end * VAE_CELL_PX, s->height_px) - row * VAE_CELL_PX,
	                          vae_min((column + columns) * VAE_CELL_PX, s->width_px) -
	                              column * VAE_CELL_PX};
}

static float *row_of(const struct strip *t, const struct vae_sweep *s, int slot, size_t row)
{
	const struct vae_slot *v = &s->net->slot[slot];
	return t->run.value[slot] +
	       (row - t->run.first[slot]) * t->run.columns[v->level] * (size_t)v->channels;
}

/* Returns rows of a slot as rows of cells; the last may be partly filled. */
static size_t cells_of(const struct vae_sweep *s, int slot, ptrdiff_t rows)
{
	return quotient_up((size_t)rows << level_of(s, slot), VAE_CELL_PX);
}

static void load(struct strip *t, const struct vae_sweep *s, ptrdiff_t end)
{
	int in = input_of(s);
	size_t first = t->column, right = t->column + t->columns;
	if (end <= t->done.row[in])
		return;
	make_room(t, s, in, end, 0);
	widen(s, s->margin[level_of(s, in)], &first, &right);
	struct vae_block block =
		block_of(s, cells_of(s, in, t->done.row[in]), cells_of(s, in, end), first, right - first);
	s->work.load(s->work.context, &block, row_of(t, s, in, (size_t)t->done.row[in]));
	t->done.row[in] = end;
}

/* Stores rows of cells [row, end). */
static int store(struct strip *t, const struct vae_sweep *s, size_t row, size_t end,
                 struct vae_error *error)
{
	int o = output_of(s), level = level_of(s, o);
	struct vae_block block = block_of(s, row, end, t->column, t->columns);
	size_t channels = (size_t)s->net->slot[o].channels, first = row * VAE_CELL_PX >> level;
	const float *from = row_of(t, s, o, first);
	if (t->inside) {
		size_t skip = (t->column * VAE_CELL_PX >> level) - t->run.left[level],
			   wide = quotient_up(block.width_px, (size_t)1 << level);
		for (size_t r = first; r < (size_t)t->done.row[o]; r++)
			memcpy(t->inside + (r - first) * wide * channels, row_of(t, s, o, r) + skip * channels,
			       wide * channels * sizeof *from);
		from = t->inside;
	}
	return s->work.store(s->work.context, &block, from, error);
}

/* Runs one step: rows of cells before `next` are stored, those before end will be. */
static int strip_step(struct strip *t, const struct vae_sweep *s, ptrdiff_t next, ptrdiff_t end,
                      struct vae_error *error)
{
	const struct vae_sweep_work *w = &s->work;
	ptrdiff_t first = vae_max_signed(next, (ptrdiff_t)s->area.row);
	ptrdiff_t stored = first * VAE_CELL_PX >> level_of(s, output_of(s));
	for (ptrdiff_t from = next * VAE_CELL_PX, to; from < end * VAE_CELL_PX; from = to) {
		to = vae_min_signed(from + s->fine, end * VAE_CELL_PX);
		struct front need = front_at(s, s->rows, (struct end){end, to});
		load(t, s, need.row[input_of(s)]);
		for (const struct vae_layer *l = s->net->layer; l < s->net->layer + s->net->layers; l++) {
			if (need.row[l->dst] <= t->done.row[l->dst])
				continue;
			make_room(t, s, l->dst, need.row[l->dst], stored);
			vae_layer_forward(&t->run, l, (size_t)t->done.row[l->dst], (size_t)need.row[l->dst],
			                  w->nets, w->weights, w->at);
			t->done.row[l->dst] = need.row[l->dst];
		}
	}
	return end > first ? store(t, s, (size_t)first, (size_t)end, error) : 0;
}

/* ---- the sweep ------------------------------------------------------------------------------- */

int vae_sweep_new(struct vae_sweep **sweep, const struct vae_sweep_work *work, size_t height_px,
                  size_t width_px, const struct vae_rect *area, size_t threads,
                  struct vae_error *error)
{
	struct vae_sweep *s;
	int rc = vae_alloc(&s, 1, sizeof *s, error);
	if (rc)
		return rc;
	s->work = *work;
	s->net = &work->nets->net[work->part];
	s->height_px = height_px;
	s->width_px = width_px;
	s->area = area ? *area
	               : (struct vae_rect){0, 0, quotient_up(height_px, VAE_CELL_PX),
	                                   quotient_up(width_px, VAE_CELL_PX)};
	for (int i = 0; i < s->net->slots; i++)
		s->rows[i] = (ptrdiff_t)quotient_up(height_px, (size_t)1 << level_of(s, i));
	size_t strips = strips_of(&s->area, threads), side = quotient_up(s->area.columns, strips);
	s->step = (ptrdiff_t)vae_max(1, STEP_CELLS / side);
	s->fine = (ptrdiff_t)vae_max(1, FINE_CELLS / (VAE_CELL_PX / FINE_PX * side)) * FINE_PX;
	plan_margins(s);
	plan_windows(s);
	if ((rc = vae_alloc(&s->strip, strips, sizeof *s->strip, error)))
		goto out;
	for (s->count = 0; s->count < strips && !rc; s->count++) {
		size_t from = s->area.columns * s->count / strips,
			   end = s->area.columns * (s->count + 1) / strips;
		rc = strip_init(&s->strip[s->count], s, s->area.column + from, end - from, error);
	}
	if (!rc) {
		*sweep = s;
		s = NULL;
	}
out:
	vae_sweep_free(s);
	return rc;
}

void vae_sweep_free(struct vae_sweep *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->count; i++) {
		vae_run_clear(&s->strip[i].run);
		free(s->strip[i].inside);
	}
	free(s->strip);
	free(s);
}

/* Returns the rows of input cells that a front has reached. */
static size_t loaded_at(const struct vae_sweep *s, ptrdiff_t next)
{
	int in = input_of(s);
	return cells_of(
		s, in,
		vae_max_signed(s->start.row[in],
	                   front_at(s, s->rows, (struct end){next, next * VAE_CELL_PX}).row[in]));
}

size_t vae_sweep_loaded(const struct vae_sweep *s) { return loaded_at(s, s->next); }
size_t vae_sweep_stored(const struct vae_sweep *s)
{
	return (size_t)vae_max_signed(s->next, (ptrdiff_t)s->area.row);
}
size_t vae_sweep_needs(const struct vae_sweep *s, size_t rows)
{
	return rows ? loaded_at(s, (ptrdiff_t)(vae_sweep_stored(s) + rows)) : vae_sweep_loaded(s);
}

void vae_sweep_columns(const struct vae_sweep *s, size_t *first, size_t *end)
{
	*first = s->area.column;
	*end = s->area.column + s->area.columns;
	widen(s, s->margin[level_of(s, input_of(s))], first, end);
}

struct call {
	struct vae_sweep *sweep;
	ptrdiff_t end; /* row of cells */
};

static int run_strip(void *context, size_t i, int thread, struct vae_error *error)
{
	const struct call *call = context;
	const struct vae_sweep *s = call->sweep;
	int rc = 0;
	(void)thread;
	for (ptrdiff_t next = s->next, end; next < call->end && !rc; next = end) {
		end = vae_min_signed(next + s->step, call->end);
		rc = strip_step(&s->strip[i], s, next, end, error);
	}
	return rc;
}

int vae_sweep_run(struct vae_sweep *s, size_t rows, struct vae_error *error)
{
	struct call call = {s, (ptrdiff_t)(vae_sweep_stored(s) + rows)};
	if (!rows)
		return 0;
	int rc = vae_parallel(s->count, run_strip, &call, error);
	if (!rc)
		s->next = call.end;
	return rc;
}
