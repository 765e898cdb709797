#include "nn/build.h"

#include <string.h>

static int add_slot(struct vae_builder *b, int level, int channels)
{
	if (b->net->slots == VAE_MAX_SLOTS) {
		b->overflow = true;
		return 0;
	}
	b->net->slot[b->net->slots] = (struct vae_slot){level, channels};
	return b->net->slots++;
}

static struct vae_layer *add_layer(struct vae_builder *b, enum vae_op op, int src, int level,
                                   int channels)
{
	static struct vae_layer nowhere;
	if (b->net->layers == VAE_MAX_LAYERS) {
		b->overflow = true;
		return &nowhere;
	}
	struct vae_layer *layer = &b->net->layer[b->net->layers++];
	*layer = (struct vae_layer){.op = op,
	                            .src = src,
	                            .aux = -1,
	                            .third = -1,
	                            .weight = -1,
	                            .bias = -1,
	                            .slope = 1,
	                            .integer = b->integer};
	layer->dst = add_slot(b, level, channels);
	return layer;
}

static int add_param(struct vae_builder *b, const char *name, const char *suffix, size_t rows,
                     size_t columns, bool matrix)
{
	struct vae_params *p = b->params;
	char full[sizeof p->list[0].name];
	snprintf(full, sizeof full, "%s%s", name, suffix);
	int found = vae_param_find(p, full);
	if (found >= 0)
		return found;
	if (p->count == VAE_MAX_PARAMS) {
		b->overflow = true;
		return 0;
	}
	struct vae_param *param = &p->list[p->count];
	*param = (struct vae_param){.rows = rows,
	                            .columns = columns,
	                            .offset = p->total,
	                            .matrix = matrix,
	                            .factor = -1,
	                            .unit = -1};
	strcpy(param->name, full);
	p->total += (rows * columns + 15) / 16 * 16;
	if (matrix) {
		param->packed = p->packed_total;
		param->packed_t = p->packed_t_total;
		param->rounded = b->rounded;
		p->packed_total += b->rounded
		                       ? vae_rounded_size(rows, columns)
		                       : vae_packed_size(b->integer ? (rows + 1) / 2 : rows, columns);
		p->packed_t_total += vae_packed_size(columns, rows);
	}
	return p->count++;
}

static struct vae_slot slot_of(const struct vae_builder *b, int slot) { return b->net->slot[slot]; }

int vae_build_input(struct vae_builder *b, int level, int channels)
{
	return b->net->input[b->net->inputs++] = add_slot(b, level, channels);
}

void vae_build_output(struct vae_builder *b, int slot) { b->net->output[b->net->outputs++] = slot; }

int vae_build_linear(struct vae_builder *b, const char *name, int src, int out, float slope,
                     int residual)
{
	struct vae_slot in = slot_of(b, src);
	struct vae_layer *layer = add_layer(b, VAE_LINEAR, src, in.level, out);
	layer->weight = add_param(b, name, ".weight", (size_t)in.channels, (size_t)out, true);
	layer->bias = add_param(b, name, ".bias", 1, (size_t)out, false);
	if (b->integer) {
		struct vae_param *weight = &b->params->list[layer->weight];
		weight->factor = add_param(b, name, ".factor", b->knots, 1, false);
		weight->unit = add_param(b, name, ".unit", 1, (size_t)out, false);
	}
	layer->slope = slope;
	layer->aux = residual;
	return layer->dst;
}

int vae_build_depthwise(struct vae_builder *b, const char *name, int src, int taps)
{
	struct vae_slot in = slot_of(b, src);
	struct vae_layer *layer = add_layer(b, VAE_DEPTHWISE, src, in.level, in.channels);
	layer->taps = taps;
	layer->weight =
		add_param(b, name, ".weight", (size_t)(taps * taps), (size_t)in.channels, false);
	layer->bias = add_param(b, name, ".bias", 1, (size_t)in.channels, false);
	return layer->dst;
}

int vae_build_space_to_depth(struct vae_builder *b, int src, int shift)
{
	struct vae_slot in = slot_of(b, src);
	struct vae_layer *layer =
		add_layer(b, VAE_SPACE_TO_DEPTH, src, in.level + shift, in.channels << 2 * shift);
	layer->shift = shift;
	return layer->dst;
}

int vae_build_depth_to_space(struct vae_builder *b, int src, int shift)
{
	struct vae_slot in = slot_of(b, src);
	struct vae_layer *layer =
		add_layer(b, VAE_DEPTH_TO_SPACE, src, in.level - shift, in.channels >> 2 * shift);
	layer->shift = shift;
	return layer->dst;
}

static int add_table(struct vae_builder *b, enum vae_op op, const char *name, int src, int knots)
{
	struct vae_slot in = slot_of(b, src);
	struct vae_layer *layer = add_layer(b, op, src, in.level, in.channels);
	layer->weight = add_param(b, name, "", (size_t)knots, (size_t)in.channels, false);
	return layer->dst;
}

int vae_build_gain(struct vae_builder *b, const char *name, int src, int knots)
{
	return add_table(b, VAE_GAIN, name, src, knots);
}
int vae_build_shift(struct vae_builder *b, const char *name, int src, int knots)
{
	return add_table(b, VAE_SHIFT, name, src, knots);
}

int vae_build_concat(struct vae_builder *b, int src, int aux)
{
	struct vae_layer *layer = add_layer(b, VAE_CONCAT, src, slot_of(b, src).level,
	                                    slot_of(b, src).channels + slot_of(b, aux).channels);
	layer->aux = aux;
	return layer->dst;
}

static int add_modulation(struct vae_builder *b, enum vae_op op, int src, int third, int aux,
                          int first)
{
	struct vae_slot in = slot_of(b, src);
	struct vae_layer *layer = add_layer(b, op, src, in.level, in.channels);
	layer->aux = aux;
	layer->third = third;
	layer->first = first;
	layer->shift = slot_of(b, aux).level - in.level;
	return layer->dst;
}

int vae_build_modulate(struct vae_builder *b, int src, int aux, int first)
{
	return add_modulation(b, VAE_MODULATE, src, -1, aux, first);
}
int vae_build_gate(struct vae_builder *b, int src, int third, int aux, int first)
{
	return add_modulation(b, VAE_GATE, src, third, aux, first);
}

int vae_build_block(struct vae_builder *b, const char *name, int src)
{
	int c = slot_of(b, src).channels;
	char part[48];
	snprintf(part, sizeof part, "%s.w1", name);
	int t = vae_build_linear(b, part, src, c, VAE_LEAK, -1);
	snprintf(part, sizeof part, "%s.dw", name);
	t = vae_build_depthwise(b, part, t, 3);
	snprintf(part, sizeof part, "%s.w2", name);
	int x = vae_build_linear(b, part, t, c, 1, src);
	snprintf(part, sizeof part, "%s.w3", name);
	t = vae_build_linear(b, part, x, 2 * c, VAE_LEAK, -1);
	snprintf(part, sizeof part, "%s.w4", name);
	return vae_build_linear(b, part, t, c, 1, x);
}

void vae_build_table(struct vae_builder *b, const char *name, int rows, int columns)
{
	add_param(b, name, "", (size_t)rows, (size_t)columns, false);
}

int vae_param_find(const struct vae_params *params, const char *name)
{
	for (int i = 0; i < params->count; i++)
		if (!strcmp(params->list[i].name, name))
			return i;
	return -1;
}
