#include "train/grow.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "model/model.h"

int vae_grow_check(const struct vae_arch *from, const struct vae_arch *to, struct vae_error *error)
{
	struct vae_arch same = *to;
	same.enc_blocks = from->enc_blocks;
	same.ctx_blocks = from->ctx_blocks;
	same.dec_blocks = from->dec_blocks;
	same.grid_layers = from->grid_layers;
	same.arith = from->arith;
	char a[VAE_ARCH_TEXT], b[VAE_ARCH_TEXT];
	vae_arch_format(from, a);
	vae_arch_format(&same, b);
	if (from->kind == VAE_ARCH_PHOTO && !strcmp(a, b) && to->enc_blocks >= from->enc_blocks &&
	    to->ctx_blocks >= from->ctx_blocks && to->dec_blocks >= from->dec_blocks &&
	    to->grid_layers >= from->grid_layers)
		return 0;
	return vae_fail(error, VAE_EARG,
	                "a network can only grow by blocks and layers (enc_blocks, ctx_blocks, "
	                "dec_blocks, grid_layers)");
}

/* Copies a parameter row by row; of integers what they are worth. */
static void copy_param(float *value, const struct vae_param *to, const float *values,
                       const struct vae_params *old, const struct vae_param *from)
{
	const float *unit = from->unit >= 0 ? values + old->list[from->unit].offset : NULL;
	for (size_t r = 0; r < from->rows; r++)
		for (size_t c = 0; c < from->columns; c++)
			value[to->offset + r * to->columns + c] =
				values[from->offset + r * from->columns + c] * (unit ? unit[c] : 1);
}

int vae_grow(const struct vae_nets *nets, float *value, const struct vae_model *model,
             struct vae_error *error)
{
	const struct vae_params *old = &model->nets->params;
	float *values;
	int rc = vae_alloc(&values, old->total, sizeof *values, error);
	if (rc)
		return rc;
	rc = vae_model_values(model, values, error);
	for (int i = 0; i < old->count && !rc; i++) {
		const struct vae_param *from = &old->list[i];
		int found = vae_param_find(&nets->params, from->name);
		if (found >= 0)
			copy_param(value, &nets->params.list[found], values, old, from);
	}
	free(values);
	return rc;
}
