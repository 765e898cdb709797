#include "codec/slice.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "codec/beside.h"
#include "image/image.h"
#include "nn/sweep.h"
#include "prior/draw.h"
#include "prior/payload.h"

#define NO_LIMIT UINT64_MAX /* the reader of the stream has enforced max_pixels */

static int shape_of(struct vae_shape *shape, const struct vae_model *model,
                    const struct vae_geometry *g, struct vae_error *error)
{
	const struct vae_arch *a = &model->nets->arch;
	*shape = (struct vae_shape){1, 1, (size_t)a->y};
	if (a->kind == VAE_ARCH_PHOTO) {
		shape->rows = vae_cells(g->height, VAE_MIN_CELL);
		shape->columns = vae_cells(g->width, VAE_MIN_CELL);
		return 0;
	}
	if (g->width == (uint32_t)a->width && g->height == (uint32_t)a->height &&
	    vae_colours(g->tuple) == 1)
		return 0;
	return vae_fail(error, VAE_EMODEL,
	                "the model takes grey pictures of %d x %d pixels, this one is %u x %u %s",
	                a->width, a->height, g->width, g->height, vae_tuple_name(g->tuple));
}

int vae_shape_of(struct vae_shape *shape, const struct vae_model *model,
                 const struct vae_geometry *geometry, struct vae_error *error)
{
	int rc = vae_geometry_check(geometry, NO_LIMIT, VAE_EARG, error);
	return rc ? rc : shape_of(shape, model, geometry, error);
}

int vae_shape_fits(const struct vae_model *model, const struct vae_head *head,
                   struct vae_error *error)
{
	struct vae_shape shape;
	if (!head->channels)
		return vae_shape_check(head, NO_LIMIT, VAE_EDATA, NULL, error);
	if (!model)
		return vae_fail(error, VAE_EMODEL, "latents of %u channels need a model", head->channels);
	if (head->model_id != model->id)
		return vae_fail(error, VAE_EMODEL,
		                "made with model %016llx, but the model given is %016llx",
		                (unsigned long long)head->model_id, (unsigned long long)model->id);
	int rc = vae_geometry_check(&head->geometry, NO_LIMIT, VAE_EDATA, error);
	if (!rc)
		rc = shape_of(&shape, model, &head->geometry, error);
	if (rc)
		return rc;
	if (head->rows != shape.rows || head->columns != shape.columns ||
	    head->channels != shape.channels)
		return vae_fail(error, VAE_EDATA,
		                "latents of %u x %u x %u where the model has %zu x %zu x %zu", head->rows,
		                head->columns, head->channels, shape.rows, shape.columns, shape.channels);
	return 0;
}

struct vae_head vae_head_of(const struct vae_model *model, const struct vae_geometry *geometry,
                            const struct vae_shape *shape, double quality)
{
	return (struct vae_head){.geometry = *geometry,
	                         .model_id = model->id,
	                         .quality = (uint16_t)(quality / 100 * VAE_QUALITY_ONE + 0.5),
	                         .rows = (uint32_t)shape->rows,
	                         .columns = (uint32_t)shape->columns,
	                         .channels = (uint32_t)shape->channels};
}

_Static_assert(VAE_CELL_PX == 1 << VAE_MIN_CELL, "the cells of photo models");

/* ---- slices ---------------------------------------------------------------------------------- */

struct vae_prior vae_prior_of(const struct vae_model *model, uint16_t quality)
{
	return (struct vae_prior){.nets = model->nets,
	                          .weights = &model->weights,
	                          .at = vae_position_of(model->nets->arch.knots, quality)};
}

int vae_codes_check(const struct vae_codes *codes, const struct vae_model *model,
                    struct vae_error *error)
{
	int rc = vae_shape_fits(model, &codes->head, error);
	if (rc)
		return rc;
	if (codes->method != VAE_METHOD_RANGE && codes->method != VAE_METHOD_ZSTD)
		return vae_fail(error, VAE_EDATA, "method %d is unknown to this version",
		                (int)codes->method);
	if (codes->slices != vae_slice_count(codes->head.rows, codes->head.columns))
		return vae_fail(error, VAE_EDATA, "%u slices where the picture has %llu", codes->slices,
		                (unsigned long long)vae_slice_count(codes->head.rows, codes->head.columns));
	return codes->head.channels ? vae_model_prepare(model, VAE_PRIOR_PARTS, error) : 0;
}

static int decode_payload(struct vae_symbols *s, const struct vae_codes *codes,
                          const struct vae_model *model, size_t i, const struct vae_slice *slice,
                          float *y, size_t stride, struct vae_error *error)
{
	struct vae_prior prior = vae_prior_of(model, codes->head.quality);
	struct vae_payload payload;
	struct vae_cells cells;
	int rc = vae_cells_read(&cells, codes, i, slice, error);
	if (rc)
		return rc;
	const uint8_t *data = slice->bytes ? slice->payload + cells.symbols_begin
	                                   : NULL; /* an empty payload may be NULL */
	rc = vae_payload_start(&payload, s, &model->cdfs, codes->method, data,
	                       slice->bytes - cells.symbols_begin, error);
	if (rc)
		return rc;
	s->known_zero = cells.any ? cells.known_zero : NULL;
	rc = vae_prior_decode(s, &prior, vae_payload_take, &payload, y, stride, error);
	if (!rc)
		rc = vae_payload_finish(&payload, error);
	s->known_zero = NULL;
	vae_payload_clear(&payload);
	return rc;
}

int vae_slice_decode(struct vae_symbols *symbols, const struct vae_codes *codes,
                     const struct vae_model *model, size_t i, const struct vae_slice *slice,
                     float *y, size_t stride, struct vae_error *error)
{
	struct vae_rect p = vae_slice_at(&codes->head, i);
	struct vae_error why = {.offset = -1};
	int rc = vae_symbols_fit(symbols, model->nets, p.rows, p.columns, error);
	if (rc)
		return rc;
	rc = decode_payload(symbols, codes, model, i, slice, y, stride, &why);
	if (!rc)
		return 0;
	return vae_fail(error, (enum vae_err)rc, "slice %zu of %u: %.300s", i + 1, codes->slices,
	                why.text);
}

/* Draws a slice. A dense model was trained with the prior N(0, I): its tables are those of the
 * posteriors' means, which are not the distribution to draw from. */
int vae_slice_draw(struct vae_symbols *symbols, const struct vae_codes *codes,
                   const struct vae_model *model, size_t i, uint64_t seed, uint64_t number,
                   float *y, size_t stride, struct vae_error *error)
{
	struct vae_prior prior = vae_prior_of(model, codes->head.quality);
	struct vae_rect p = vae_slice_at(&codes->head, i);
	struct vae_draw draw = {.cdfs = &model->cdfs};
	vae_random_init(&draw.random, seed, number, i);
	if (model->nets->arch.kind == VAE_ARCH_MLP) {
		for (uint32_t k = 0; k < codes->head.channels; k++)
			y[k] = (float)vae_random_normal(&draw.random);
		return 0;
	}
	int rc = vae_symbols_fit(symbols, model->nets, p.rows, p.columns, error);
	return rc ? rc : vae_prior_decode(symbols, &prior, vae_draw_symbols, &draw, y, stride, error);
}

/* ---- the hint -------------------------------------------------------------------------------- */

int vae_hint_copy(char **hint, const struct vae_model *model, struct vae_error *error)
{
	*hint = NULL;
	if (!model || !model->by_path || !model->path)
		return 0;
	*hint = strdup(model->path);
	return *hint ? 0 : vae_fail(error, VAE_EMEM, "out of memory: %zu bytes", strlen(model->path));
}
