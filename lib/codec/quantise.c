/* quantise.c - p(y), forwards: codes latents slice by slice. */
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/minmax.h"
#include "base/parallel.h"
#include "prior/rdo.h"
#include "prior/payload.h"
#include "codec/beside.h"
#include "codec/slice.h"

/* Some rows of slices: y and samples of the latents' next rows of cells, or codes whose symbols are
 * packed again. */
struct quantisation {
	const struct vae_model *model;
	struct vae_codes *codes;         /* the result */
	const struct vae_codes *packed;  /* source of the symbols, or NULL: y */
	const float *y;                  /* from row `row` of cells on */
	uint16_t *samples;               /* of their pixels, beside y */
	size_t row, first;               /* the first slice */
	const struct vae_choice *choice; /* or NULL */
	struct vae_symbols *symbols;     /* one for each thread */
};

/* Returns the samples beside y of a row of pixels. */
static size_t samples_line(const struct quantisation *q)
{
	return q->codes->head.geometry.width * (size_t)vae_exact_samples(&q->codes->head);
}

/* Returns the first sample of a slice, or NULL if there is none. */
static uint16_t *corner_of(const struct quantisation *q, const struct vae_rect *p)
{
	const struct vae_head *head = &q->codes->head;
	struct vae_rect px = vae_cell_pixels(head, *p);
	struct vae_rect above = vae_cell_pixels(head, (struct vae_rect){q->row, 0, 1, 1});
	return q->samples ? q->samples + (px.row - above.row) * samples_line(q) +
	                        px.column * vae_exact_samples(head)
	                  : NULL;
}

static int round_slice(struct vae_symbols *symbols, const struct quantisation *q,
                       const struct vae_rect *p, struct vae_error *error)
{
	const struct vae_codes *c = q->codes;
	struct vae_prior prior = vae_prior_of(q->model, c->head.quality);
	struct vae_cells cells = {.any = false};
	prior.choice = q->choice;
	size_t stride = (size_t)c->head.columns * c->head.channels;
	int rc = vae_symbols_fit(symbols, q->model->nets, p->rows, p->columns, error);
	if (rc)
		return rc;
	if (c->head.mixed)
		vae_cells_take(&cells, &c->head, p, corner_of(q, p), samples_line(q));
	symbols->known_zero = cells.any ? cells.known_zero : NULL;
	rc = vae_prior_quantise(symbols, &prior,
	                        q->y + (p->row - q->row) * stride + p->column * c->head.channels,
	                        stride, error);
	symbols->known_zero = NULL;
	return rc;
}

/* Appends what a slice has beside its symbols. */
static int put_samples(struct vae_buffer *buffer, const struct quantisation *q,
                       const struct vae_rect *p, size_t i, struct vae_error *error)
{
	if (!q->packed)
		return q->samples
		           ? vae_beside_encode(buffer, q->codes, i, corner_of(q, p), samples_line(q), error)
		           : 0;
	const struct vae_slice *packed = &q->packed->slice[i];
	struct vae_cells cells = {.symbols_begin = packed->bytes};
	int rc = q->codes->head.channels ? vae_cells_read(&cells, q->packed, i, packed, error) : 0;
	return rc || !cells.symbols_begin
	           ? rc
	           : vae_buffer_append(buffer, packed->payload, cells.symbols_begin, error);
}

static int pack_slice(void *context, size_t piece, int thread, struct vae_error *error)
{
	const struct quantisation *q = context;
	size_t i = q->first + piece;
	struct vae_rect p = vae_slice_at(&q->codes->head, i);
	struct vae_symbols *symbols = &q->symbols[thread];
	struct vae_buffer buffer = {0};
	bool exact = !q->codes->head.channels;
	int rc = exact       ? 0
	         : q->packed ? vae_slice_decode(symbols, q->packed, q->model, i, &q->packed->slice[i],
	                                        NULL, 0, error)
	                     : round_slice(symbols, q, &p, error);
	if (rc)
		return rc;
	if (!(rc = put_samples(&buffer, q, &p, i, error)) && !exact)
		rc = vae_payload_write(&buffer, symbols, &q->model->cdfs, q->codes->method, error);
	if (rc)
		vae_buffer_clear(&buffer);
	else
		q->codes->slice[i] =
			(struct vae_slice){.payload = buffer.data, .bytes = (uint32_t)buffer.size};
	return rc;
}

static int pack_slices(struct quantisation *q, size_t count, struct vae_error *error)
{
	size_t threads;
	int rc = vae_symbols_new(&q->symbols, &threads, error);
	if (rc)
		return rc;
	rc = vae_parallel(count, pack_slice, q, error);
	vae_symbols_free(q->symbols, threads);
	return rc;
}

/* Makes codes of this head, with room for their slices. */
static int new_codes(struct vae_codes **codes, const struct vae_head *head, enum vae_method method,
                     bool coded_alpha, struct vae_error *error)
{
	struct vae_codes *c;
	int rc;
	if (method != VAE_METHOD_RANGE && method != VAE_METHOD_ZSTD)
		return vae_fail(error, VAE_EARG, "method %d is neither range nor zstd", (int)method);
	if ((rc = vae_alloc(&c, 1, sizeof *c, error)))
		return rc;
	c->head = *head;
	c->method = head->channels ? method : VAE_METHOD_RANGE;
	c->coded_alpha = coded_alpha;
	c->slices = (uint32_t)vae_slice_count(c->head.rows, c->head.columns);
	if ((rc = vae_alloc(&c->slice, c->slices, sizeof *c->slice, error)))
		free(c);
	else
		*codes = c;
	return rc;
}

/* Prepares the choice of symbols at a quality. Returns 1; 0 if the model does not know the cost of
 * errors. The model is prepared. */
static int new_choice(struct vae_choice *choice, const struct vae_model *model, uint16_t quality,
                      int effort, struct vae_error *error)
{
	int channels = model->nets->arch.y, knots = model->nets->arch.knots;
	if (!effort || !model->sensitivity)
		return 0;
	float sensitivity[VAE_MAX_CHANNELS];
	vae_position_lerp(sensitivity, model->sensitivity, channels, vae_position_of(knots, quality));
	int rc = vae_choice_init(choice, &model->cdfs, sensitivity, (size_t)channels, quality, effort,
	                         error);
	return rc ? rc : 1;
}

int vae_quantise_rows(struct vae_codes **codes, const struct vae_model *model,
                      struct vae_latents_rows *latents, enum vae_method method, int effort,
                      struct vae_error *error)
{
	const struct vae_head *l = &latents->head;
	struct vae_codes *c = NULL;
	struct vae_choice choice = {0};
	float *y = NULL;
	uint16_t *samples = NULL;
	if (effort < 0 || effort > VAE_EFFORT_MAX)
		return vae_fail(error, VAE_EARG, "effort %d is not 0 to %d", effort, VAE_EFFORT_MAX);
	int rc = vae_shape_fits(model, l, error);
	if (!rc && l->channels)
		rc = vae_model_prepare(model, 1u << VAE_H_A | VAE_PRIOR_PARTS, error);
	if (rc)
		return rc;
	uint32_t band = vae_slice_band(l, (uint32_t)omp_get_max_threads());
	int chosen = l->channels ? new_choice(&choice, model, l->quality, effort, error) : 0;
	if ((rc = chosen < 0 ? chosen : 0) ||
	    (rc = new_codes(&c, l, method, vae_has_alpha(l->geometry.tuple), error)) ||
	    (rc = vae_latents_alloc(&y, &samples, l, band, error)))
		goto out;
	struct quantisation q = {
		.model = model, .codes = c, .y = y, .samples = samples, .choice = chosen ? &choice : NULL};
	while (!rc && latents->row < l->rows) {
		uint32_t rows = (uint32_t)vae_min(l->rows - latents->row, band);
		size_t slices = vae_slice_count(rows, l->columns);
		q.row = latents->row;
		if (!(rc = latents->read(latents, rows, y, samples, error)))
			rc = pack_slices(&q, slices, error);
		q.first += slices;
	}
	if (!rc) {
		vae_codes_settle(c);
		*codes = c;
		c = NULL;
	}
out:
	vae_choice_clear(&choice);
	vae_codes_free(c);
	free(y);
	free(samples);
	return rc;
}

int vae_quantise(struct vae_codes **codes, const struct vae_model *model,
                 const struct vae_latents *latents, enum vae_method method, int effort,
                 struct vae_error *error)
{
	struct vae_latents_rows *cells;
	int rc = vae_latents_rows_new(&cells, latents, error);
	if (rc)
		return rc;
	rc = vae_quantise_rows(codes, model, cells, method, effort, error);
	vae_latents_rows_free(cells);
	return rc;
}

int vae_repack(struct vae_codes **codes, const struct vae_model *model,
               const struct vae_codes *packed, enum vae_method method, struct vae_error *error)
{
	struct vae_codes *c;
	int rc = vae_codes_check(packed, model, error);
	if (rc || (rc = new_codes(&c, &packed->head, method, packed->coded_alpha, error)))
		return rc;
	struct quantisation q = {.model = model, .codes = c, .packed = packed};
	rc = pack_slices(&q, c->slices, error);
	if (rc)
		vae_codes_free(c);
	else
		*codes = c;
	return rc;
}
