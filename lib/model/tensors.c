#include "model/tensors.h"
#include "base/bytes.h"
#include "prior/cdf.h"

#include <math.h>
#include <string.h>

const struct vae_dtypes vae_dtypes[] = {[VAE_F16] = {"F16", 2},
                                        [VAE_F32] = {"F32", 4},
                                        [VAE_I16] = {"I16", 2},
                                        [VAE_I32] = {"I32", 4},
                                        [VAE_U16] = {"U16", 2}};

static void add(struct vae_tensors *l, const char *name, enum vae_dtype dtype, int rank,
                size_t rows, size_t columns)
{
	struct vae_tensor *t = &l->tensor[l->count++];
	*t = (struct vae_tensor){.name = name,
	                         .dtype = dtype,
	                         .rank = rank,
	                         .count = (uint64_t)rows * columns,
	                         .begin = l->bytes};
	t->shape[0] = rank == 2 ? rows : columns;
	t->shape[1] = rank == 2 ? columns : 1;
	l->bytes = t->end = t->begin + t->count * vae_dtypes[dtype].bytes;
}

void vae_tensors_init(struct vae_tensors *l, const struct vae_nets *nets, size_t entries,
                      bool sensitivity, bool means)
{
	memset(l, 0, sizeof *l);
	l->sensitivity = l->means = -1;
	for (int i = 0; i < nets->params.count; i++) {
		const struct vae_param *p = &nets->params.list[i];
		add(l, p->name,
		    p->unit >= 0 ? VAE_I16
		    : p->matrix  ? VAE_F16
		                 : VAE_F32,
		    p->matrix || p->rows > 1 ? 2 : 1, p->rows, p->columns);
	}
	add(l, "prior.scales.bound", VAE_I32, 1, 1, VAE_SCALES);
	add(l, "prior.scales.cumulative", VAE_U16, 1, 1, entries);
	if (nets->arch.kind == VAE_ARCH_MLP)
		add(l, "dec.sigmoid", VAE_F32, 1, 1, VAE_SIGMOID_KNOTS);
	if (sensitivity) {
		l->sensitivity = l->count;
		add(l, VAE_TENSOR_SENSITIVITY, VAE_F32, 2, (size_t)nets->arch.knots, (size_t)nets->arch.y);
	}
	if (means) {
		l->means = l->count;
		add(l, VAE_TENSOR_MEANS, VAE_F16, 2, (size_t)nets->arch.y, VAE_MEANS);
		add(l, "dec.means.bias", VAE_F32, 1, 1, VAE_MEANS);
	}
}

size_t vae_tensor_put(uint8_t *out, const struct vae_tensor *t, size_t first, size_t n)
{
	for (size_t i = 0; i < n; i++)
		switch (t->dtype) {
		case VAE_F16: {
			uint16_t half = vae_half_from_float(((const float *)t->data)[first + i]);
			if ((half & 0x7c00) == 0x7c00)
				return i;
			vae_put16(out + 2 * i, half);
			break;
		}
		case VAE_F32: {
			float f = ((const float *)t->data)[first + i];
			if (!isfinite(f))
				return i;
			vae_put_float(out + 4 * i, f);
			break;
		}
		case VAE_I16: {
			float f = ((const float *)t->data)[first + i];
			if (!(f >= -INT16_MAX && f <= INT16_MAX))
				return i;
			vae_put16(out + 2 * i, (uint16_t)(int16_t)f);
			break;
		}
		case VAE_I32:
			vae_put32(out + 4 * i, (uint32_t)((const int32_t *)t->data)[first + i]);
			break;
		case VAE_U16: vae_put16(out + 2 * i, ((const uint16_t *)t->data)[first + i]);
		}
	return n;
}

size_t vae_tensor_get(void *out, const struct vae_tensor *t, const uint8_t *in)
{
	float *floats = out;
	size_t good = 0;
	switch (t->dtype) {
	case VAE_F16:
		while (good < t->count &&
		       isfinite(floats[good] = vae_float_from_half(vae_get16(in + 2 * good))))
			good++;
		return good;
	case VAE_F32:
		while (good < t->count && isfinite(floats[good] = vae_get_float(in + 4 * good)))
			good++;
		return good;
	case VAE_I16:
		for (size_t i = 0; i < t->count; i++)
			floats[i] = (int16_t)vae_get16(in + 2 * i);
		break;
	case VAE_I32:
		for (size_t i = 0; i < t->count; i++)
			((int32_t *)out)[i] = (int32_t)vae_get32(in + 4 * i);
		break;
	case VAE_U16:
		for (size_t i = 0; i < t->count; i++)
			((uint16_t *)out)[i] = vae_get16(in + 2 * i);
	}
	return t->count;
}
