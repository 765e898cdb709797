#include "train/integer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/parallel.h"
#include "loss/objective.h"

#define PATCHES 32   /* at each knot */
#define MARGIN  1.5f /* times the largest magnitude found before a product */

/* The largest magnitudes before each product, by the index of its weight. */
struct ranges {
	float most[VAE_MAX_PARAMS];
};

/* The measurement of ranges: the networks in floats. */
struct survey {
	const struct vae_nets *nets; /* in integers; the weights' networks have the same layers */
	const struct vae_nets *floats;
	struct vae_weights weights;
	const struct vae_data *data;
	uint32_t patch_px;
	uint64_t seed;
	struct ranges *of_knot; /* [knots] */
};

static void widen_ranges(struct ranges *ranges, const struct vae_net *net,
                         const struct vae_run *run)
{
	for (const struct vae_layer *l = net->layer; l < net->layer + net->layers; l++) {
		if (!l->integer || l->op != VAE_LINEAR)
			continue;
		float *most = &ranges->most[l->weight];
		size_t n = vae_run_size(run, l->src);
		for (size_t i = 0; i < n; i++)
			*most = fmaxf(*most, fabsf(run->value[l->src][i]));
	}
}

static int survey_knot(void *context, size_t knot, int thread, struct vae_error *error)
{
	const struct survey *s = context;
	struct vae_objective o;
	struct vae_objective_sums unused = {0};
	int rc = vae_objective_init(&o, s->floats, VAE_LOSS_MSE, s->patch_px, s->patch_px, error);
	(void)thread;
	if (rc)
		return rc;
	for (uint64_t i = 0; i < PATCHES; i++) {
		vae_random_init(&o.random, s->seed, VAE_STREAM_RANGES, i);
		vae_data_patch(s->data, &o.random, s->patch_px, 0.5f, o.x);
		vae_objective_pass(&o, &s->weights, vae_knot_quality(s->floats->arch.knots, (int)knot),
		                   false, 0, NULL, &unused);
		for (int part = VAE_H_S; part < VAE_NETS; part++)
			widen_ranges(&s->of_knot[knot], &s->nets->net[part],
			             part == VAE_SYNTHESIS ? &o.run[part] : &o.rate.run[part]);
	}
	vae_objective_clear(&o);
	return 0;
}

/* Rounds one weight, column by column. */
static void round_matrix(const struct vae_nets *nets, const struct vae_param *p, float *value,
                         const float *from)
{
	float *unit = value + nets->params.list[p->unit].offset;
	for (size_t j = 0; j < p->columns; j++) {
		double sum = 0, largest = 0;
		for (size_t i = 0; i < p->rows; i++) {
			sum += fabs((double)from[i * p->columns + j]);
			largest = fmax(largest, fabs((double)from[i * p->columns + j]));
		}
		double worth = vae_int16_unit(sum, largest, p->rows);
		for (size_t i = 0; i < p->rows; i++)
			value[p->offset + i * p->columns + j] = (float)rint(from[i * p->columns + j] / worth);
		unit[j] = (float)worth;
	}
}

/* Sets the logarithms of the factors that bring the largest inputs to VAE_INT16_MOST, less the
 * margin. */
static void set_factors(float *factor, int weight, const struct ranges *of_knot, int knots)
{
	for (int k = 0; k < knots; k++) {
		float most = of_knot[k].most[weight];
		factor[k] = log2f(VAE_INT16_MOST / (MARGIN * (most > 0 ? most : 1)));
	}
}

static void round_all(const struct vae_nets *nets, float *value, const struct vae_nets *floats,
                      const float *from, const struct ranges *of_knot)
{
	for (int i = 0; i < floats->params.count; i++) {
		const struct vae_param *f = &floats->params.list[i];
		int found = vae_param_find(&nets->params, f->name);
		const struct vae_param *to = &nets->params.list[found];
		if (to->unit >= 0) {
			round_matrix(nets, to, value, from + f->offset);
			set_factors(value + nets->params.list[to->factor].offset, found, of_knot,
			            nets->arch.knots);
		} else {
			memcpy(value + to->offset, from + f->offset, f->rows * f->columns * sizeof *value);
		}
	}
}

int vae_integer(const struct vae_nets *nets, float *value, const struct vae_model *model,
                const struct vae_data *data, uint32_t patch_px, uint64_t seed,
                struct vae_error *error)
{
	size_t knots = (size_t)model->nets->arch.knots;
	struct survey s = {
		.nets = nets, .floats = model->nets, .data = data, .patch_px = patch_px, .seed = seed};
	int rc = vae_alloc(&s.of_knot, knots, sizeof *s.of_knot, error);
	if (!rc)
		rc = vae_weights_init(&s.weights, &model->nets->params, false, error);
	if (!rc)
		rc = vae_model_values(model, s.weights.value, error);
	if (!rc) {
		vae_weights_pack(&s.weights, &model->nets->params);
		rc = vae_parallel(knots, survey_knot, &s, error);
	}
	if (!rc)
		round_all(nets, value, model->nets, s.weights.value, s.of_knot);
	vae_weights_clear(&s.weights);
	free(s.of_knot);
	return rc;
}
