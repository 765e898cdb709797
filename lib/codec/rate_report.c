/* rate_report.c - the size of codes by the prior's own estimate. For reports: libm is allowed. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/minmax.h"
#include "base/parallel.h"
#include "prior/coder.h"
#include "codec/beside.h"
#include "codec/slice.h"

#define LEAST_MASS 1e-9 /* as in training: a symbol costs at most 30 bits */

/* Returns -log2 of the mass of N(0, e^log_scale) on [r - 1/2, r + 1/2], from the upper tail, which
 * does not cancel far out. */
static double gaussian_bits(double r, double log_scale)
{
	log_scale = log_scale > VAE_LOG_SCALE_MIN ? log_scale
	                                          : VAE_LOG_SCALE_MIN; /* NaN too, as its table is 0 */
	log_scale = log_scale < VAE_LOG_SCALE_MAX ? log_scale : VAE_LOG_SCALE_MAX;
	double unit = exp(-log_scale) / sqrt(2), a = fabs(r);
	double mass = 0.5 * (erfc((a - 0.5) * unit) - erfc((a + 0.5) * unit));
	return -log2(mass > LEAST_MASS ? mass : LEAST_MASS);
}

struct estimate {
	const struct vae_codes *codes;
	const struct vae_model *model;
	struct vae_symbols *symbols; /* one for each thread */
	struct vae_rate *slice;      /* [slices] */
	double *bits;                /* of cells, NULL: only sums */
};

static double symbol_bits(const struct estimate *e, const struct vae_symbols *s, size_t n)
{
	return vae_coder_bits(&e->model->cdfs, s->index[n], s->value[n]);
}

/* Divides the cost of cell number `cell` of z among its cells of y; corner is the slice's first. */
static void share_z(const struct estimate *e, const struct vae_symbols *s, size_t cell,
                    double *corner)
{
	size_t top = cell / s->z_columns * 4, left = cell % s->z_columns * 4;
	size_t rows = vae_min(s->rows - top, 4), columns = vae_min(s->columns - left, 4);
	double bits = 0;
	for (size_t k = 0; k < s->z_channels; k++)
		bits += symbol_bits(e, s, cell * s->z_channels + k);
	for (size_t i = 0; i < rows * columns; i++)
		corner[(top + i / columns) * e->codes->head.columns + left + i % columns] +=
			bits / (double)(rows * columns);
}

/* Reads the cells of a slice, also of exact codes, whose cells are all exact. */
static int cells_of(struct vae_cells *cells, const struct vae_codes *c, size_t i,
                    struct vae_error *error)
{
	struct vae_error why = {.offset = -1};
	if (!c->head.channels) {
		memset(cells->exact, 1, sizeof cells->exact);
		cells->exact_bytes = c->slice[i].bytes;
		cells->alpha_bytes = 0;
		cells->any = true;
		return 0;
	}
	int rc = vae_cells_read(cells, c, i, &c->slice[i], &why);
	return rc ? vae_fail(error, (enum vae_err)rc, "slice %zu of %u: %.300s", i + 1, c->slices,
	                     why.text)
	          : 0;
}

/* Divides the bytes that exact cells take evenly among those of the slice. */
static void share_exact(const struct estimate *e, const struct vae_rect *p,
                        const struct vae_cells *cells)
{
	size_t columns = e->codes->head.columns, count = 0;
	for (size_t k = 0; k < p->rows * p->columns; k++)
		count += cells->exact[k];
	for (size_t k = 0; k < p->rows * p->columns; k++)
		e->bits[(p->row + k / p->columns) * columns + p->column + k % p->columns] +=
			cells->exact[k] ? 8.0 * (double)cells->exact_bytes / (double)count : 0;
}

static int map_slice(void *context, size_t i, int thread, struct vae_error *error)
{
	const struct estimate *e = context;
	const struct vae_codes *c = e->codes;
	struct vae_rect p = vae_slice_at(&c->head, i);
	struct vae_symbols *s = &e->symbols[thread];
	double *corner = e->bits + p.row * c->head.columns + p.column;
	struct vae_cells cells;
	int rc = cells_of(&cells, c, i, error);
	if (rc)
		return rc;
	share_exact(e, &p, &cells);
	rc = c->head.channels ? vae_slice_decode(s, c, e->model, i, &c->slice[i], NULL, 0, error) : 1;
	if (rc)
		return rc < 0 ? rc : 0;
	for (size_t cell = 0; cell < s->z_rows * s->z_columns; cell++)
		share_z(e, s, cell, corner);
	for (size_t n = s->z_count, part = s->channels / s->steps; n < s->count; n++) {
		size_t cell =
			(n - s->z_count) / part % (s->rows * s->columns); /* the inverse of vae_symbols_place */
		corner[cell / s->columns * c->head.columns + cell % s->columns] += symbol_bits(e, s, n);
	}
	return 0;
}

int vae_rate_cells(double *bits, const struct vae_model *model, const struct vae_codes *codes,
                   struct vae_error *error)
{
	struct estimate e = {.codes = codes, .model = model};
	size_t threads = 0, cells = (size_t)codes->head.rows * codes->head.columns;
	int rc = vae_codes_check(codes, model, error);
	if (rc || (rc = vae_alloc(&e.bits, cells, sizeof *e.bits, error)))
		return rc;
	if (!(rc = vae_symbols_new(&e.symbols, &threads, error)) &&
	    !(rc = vae_parallel(codes->slices, map_slice, &e, error)))
		memcpy(bits, e.bits, cells * sizeof *bits);
	vae_symbols_free(e.symbols, threads);
	free(e.bits);
	return rc;
}

int vae_exact_shares(struct vae_exact_share *share, uint8_t *map, const struct vae_codes *codes,
                     struct vae_error *error)
{
	struct vae_exact_share sum = {0};
	struct vae_cells cells;
	for (uint32_t i = 0; i < codes->slices; i++) {
		struct vae_rect p = vae_slice_at(&codes->head, i);
		int rc = cells_of(&cells, codes, i, error);
		if (rc)
			return rc;
		for (size_t k = 0; k < p.rows * p.columns; k++) {
			sum.cells += cells.exact[k];
			if (map)
				map[(p.row + k / p.columns) * codes->head.columns + p.column + k % p.columns] =
					cells.exact[k];
		}
		sum.bytes += cells.any ? cells.exact_bytes : 0;
		sum.alpha_bytes += cells.alpha_bytes;
	}
	*share = sum;
	return 0;
}

static int estimate_slice(void *context, size_t i, int thread, struct vae_error *error)
{
	const struct estimate *e = context;
	struct vae_symbols *s = &e->symbols[thread];
	struct vae_rate rate = {0};
	if (!e->codes->head.channels)
		return 0;
	int rc = vae_slice_decode(s, e->codes, e->model, i, &e->codes->slice[i], NULL, 0, error);
	if (rc)
		return rc;
	for (size_t n = 0; n < s->count; n++) {
		double bits = symbol_bits(e, s, n);
		if (n < s->z_count) {
			rate.z_bits += bits;
		} else {
			rate.y_bits += bits;
			if (s->index[n] != VAE_CODER_KNOWN)
				rate.y_float_bits += gaussian_bits(s->value[n], s->log_scale[n]);
		}
	}
	rate.symbols = s->count;
	e->slice[i] = rate;
	return 0;
}

int vae_rate_estimate(struct vae_rate *rate, const struct vae_model *model,
                      const struct vae_codes *codes, struct vae_error *error)
{
	struct estimate e = {.codes = codes, .model = model};
	size_t threads = 0;
	struct vae_rate sum = {0};
	int rc = vae_codes_check(codes, model, error);
	if (rc || (rc = vae_alloc(&e.slice, codes->slices, sizeof *e.slice, error)))
		return rc;
	if (!(rc = vae_symbols_new(&e.symbols, &threads, error))) {
		for (size_t i = 0; i < threads; i++)
			e.symbols[i].keep = VAE_KEEP_ANSWERS;
		rc = vae_parallel(codes->slices, estimate_slice, &e, error);
	}
	for (size_t i = 0; !rc && i < codes->slices; i++) {
		sum.z_bits += e.slice[i].z_bits;
		sum.y_bits += e.slice[i].y_bits;
		sum.y_float_bits += e.slice[i].y_float_bits;
		sum.symbols += e.slice[i].symbols;
	}
	if (!rc)
		*rate = sum;
	vae_symbols_free(e.symbols, threads);
	free(e.slice);
	return rc;
}
