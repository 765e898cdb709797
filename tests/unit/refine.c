/* The gradient of a slice's cost in its y against finite differences, in the middle of a picture
 * and at its edges; the descent. */
#include "loss/descent.h"
#include "loss/objective.h"
#include "tap.h"
#include "toy.h"

#include <omp.h>

static struct vae_random rnd;

static struct vae_refine_cost cost_of(struct vae_refine *r, bool gradient)
{
	struct vae_error e;
	struct vae_refine_cost cost = {.loss = NAN};
	vae_random_init(&r->rate.random, 5, 0, 0); /* the same draws each time */
	(gradient ? vae_refine_gradient : vae_refine_cost)(r, &cost, &e);
	return cost;
}

/* The rounding of z has no slope, so that y must not reach the loss by that way: h_a's last layer
 * is silenced. And where a symbol is so improbable that its price is cut, the slope goes on: means
 * are made small and scales wide. contexts: whether those may depend on y. */
static void make_smooth(struct vae_model *m, bool contexts)
{
	for (int i = 0; i < m->nets->params.count; i++) {
		const struct vae_param *p = &m->nets->params.list[i];
		bool head = strstr(p->name, "prior.hs.head") || strstr(p->name, "prior.hs.shift") ||
		            strstr(p->name, ".head.");
		for (size_t k = 0; k < p->rows * p->columns && head; k++)
			m->weights.value[p->offset + k] *=
				!strncmp(p->name, "prior.ctx", 9) && !contexts ? 0 : 0.1f;
		for (size_t k = 0; k < p->rows * p->columns && !strcmp(p->name, "prior.hs.shift"); k++)
			m->weights.value[p->offset + k] += k % p->columns >= p->columns / 2 ? 0.5f : 0;
		for (size_t k = 0; k < p->rows * p->columns && !strcmp(p->name, "prior.ha.gain_z"); k++)
			m->weights.value[p->offset + k] = -30;
	}
}

static bool make(struct vae_refine *r, struct vae_weights *w, struct vae_model *m, int loss,
                 double share, const struct vae_refine_place *place)
{
	struct vae_error e;
	if (vae_weights_init(w, &m->nets->params, true, &e))
		return false;
	memcpy(w->value, m->weights.value, m->nets->params.total * sizeof(float));
	vae_weights_pack(w, &m->nets->params);
	if (vae_refine_init(r, m->nets, w, w, 40000, loss, share, place, &e))
		return false;
	for (size_t k = 0;
	     k < r->place.region.cells.rows * r->place.region.cells.columns * r->rate.y_channels; k++)
		r->y[k] = toy_between(&rnd, -2, 2);
	for (size_t k = 0; k < vae_soft_rate_size(&r->rate); k++)
		r->rate.y[k] = toy_between(&rnd, -2, 2);
	for (size_t k = 0; k < r->place.region.height_px * r->place.region.width_px * 3; k++)
		r->x[k] = toy_between(&rnd, -0.5f, 0.5f);
	return true;
}

/* Counts how many of 60 numbers of y have another slope than differences of loss say. */
static void check_slopes(float *y, const float *dy, size_t n, double (*loss)(void *context),
                         void *context, const char *what)
{
	double square = 0;
	int bad = 0;
	for (size_t k = 0; k < n; k++)
		square += (double)dy[k] * dy[k] / (double)n;
	for (int i = 0; i < 60; i++) {
		size_t k = vae_random_below(&rnd, (uint32_t)n);
		float kept = y[k];
		double slope = 0;
		bool good = false;
		for (float h = 1e-2f; h > 5e-4f && !good; h /= 4) {
			y[k] = kept + h;
			double up = loss(context), wide = y[k];
			y[k] = kept - h;
			slope = (up - loss(context)) / (wide - (double)y[k]);
			good = fabs(slope - dy[k]) <= 0.02 * fabs(dy[k]) + 0.02 * sqrt(square);
		}
		y[k] = kept;
		if (!good && ++bad < 5)
			printf("# %zu: %g, by differences %g\n", k, dy[k], slope);
	}
	ok(bad < 3 && square > 0, "%s: gradients of 60 of %zu numbers, rms %g; %d next to an edge",
	   what, n, sqrt(square), bad);
}

/* Pictures that have nothing in common are still alike where both are nearly flat. */
#define FLAT 0.03f
static void make_flat(struct vae_model *m)
{
	for (int i = 0; i < m->nets->params.count; i++) {
		const struct vae_param *p = &m->nets->params.list[i];
		for (size_t k = 0; k < p->rows * p->columns && !strncmp(p->name, "dec.out", 7); k++)
			m->weights.value[p->offset + k] *= FLAT;
	}
}

static double slice_loss(void *context) { return cost_of(context, false).loss; }

/* price: of lambda, so that now the distortion, now the rate is most of the gradient; the metric of
 * loss, if it has one, is all of the distortion. */
static void check_gradient(const char *text, double price, int loss,
                           const struct vae_refine_place *place)
{
	struct vae_model *m = toy_new(text);
	struct vae_refine r;
	struct vae_weights w;
	make_smooth(m, false);
	if (loss == VAE_LOSS_MS_SSIM)
		make_flat(m);
	if (!ok(make(&r, &w, m, loss, loss == VAE_LOSS_MSE ? 0 : 1, place), "%s", text))
		return;
	for (size_t k = 0; k < place->region.height_px * place->region.width_px * 3; k++)
		r.x[k] *= loss == VAE_LOSS_MS_SSIM ? FLAT : 1;
	r.lambda *= price;
	r.rate.rounding = VAE_ROUND_GUMBEL;
	r.rate.temperature = 0.8f;
	cost_of(&r, true);
	check_slopes(r.rate.y, r.dy, vae_soft_rate_size(&r.rate), slice_loss, &r,
	             price < 1                  ? "rate"
	             : loss == VAE_LOSS_VISION  ? "distortion, vision"
	             : loss == VAE_LOSS_MS_SSIM ? "distortion, ms-ssim"
	                                        : "distortion");
	vae_refine_clear(&r);
	vae_weights_clear(&w);
	toy_free(m);
}

/* What is reported of a slice without context is what is descended on; S comes into it by the share
 * alone, and not at all where the picture is too small to have one. */
static void check_costs(void)
{
	const struct vae_refine_place place = {.region = {{0, 0, 4, 5}, 4 * 16 - 9, 5 * 16 - 2},
	                                       .slice = {0, 0, 4, 5}};
	const struct vae_refine_place low = {.region = {{0, 0, 1, 5}, 7, 5 * 16},
	                                     .slice = {0, 0, 1, 5}};
	struct vae_model *m = toy_new(TOY_PHOTO);
	struct vae_refine_cost cost[3];
	double lambda = 0, pixels = (double)(place.region.height_px * place.region.width_px);
	for (int i = 0; i < 3; i++) {
		struct vae_refine r;
		struct vae_weights w;
		vae_random_init(&rnd, 7, 0, 0);
		if (!ok(make(&r, &w, m, VAE_LOSS_VISION, i ? 0.8 : 0, i == 2 ? &low : &place), "costs"))
			return;
		r.rate.rounding = VAE_ROUND;
		cost[i] = cost_of(&r, false);
		lambda = r.lambda;
		vae_refine_clear(&r);
		vae_weights_clear(&w);
	}
	for (int i = 0; i < 3; i++)
		ok(fabs(cost[i].bits + cost[i].distortion - cost[i].loss) < 1e-6 * cost[i].loss,
		   "bits and distortion are the loss: %g", cost[i].loss);
	double of_error = lambda * VAE_ERROR_UNITS / 3,
		   mixed = 0.2 * of_error * cost[1].squared_error +
	               0.8 * vae_metric_weight(VAE_LOSS_VISION, lambda) * cost[1].metric;
	ok(fabs(cost[0].distortion - of_error * cost[0].squared_error) < 1e-6 * cost[0].distortion &&
	       isnan(cost[0].metric),
	   "squared error alone");
	ok(fabs(cost[1].distortion - mixed) < 1e-6 * mixed && cost[1].metric > 0.1 * pixels,
	   "and mixed with S, %g", cost[1].metric / pixels);
	ok(fabs(cost[2].distortion - of_error * cost[2].squared_error) < 1e-6 * cost[2].distortion &&
	       isnan(cost[2].metric),
	   "seven rows of pixels have squared error alone");
	toy_free(m);
}

/* The rate alone, with a linear loss on y^, through the contexts. */
struct linear {
	struct vae_soft_rate rate;
	struct vae_weights weights;
	struct vae_position at;
	float *slope;
};

static double linear_loss(void *context)
{
	struct linear *l = context;
	double z_bits, sum = 0;
	vae_random_init(&l->rate.random, 5, 0, 0);
	vae_soft_rate_forward(&l->rate, &l->weights, l->at);
	for (size_t k = 0; k < vae_soft_rate_size(&l->rate); k++)
		sum += (double)l->slope[k] * l->rate.quantised[k];
	return sum + vae_soft_rate_bits(&l->rate, 1, &z_bits);
}

static void check_contexts(const char *text)
{
	struct vae_model *m = toy_new(text);
	struct linear l = {.at = vae_position_of(m->nets->arch.knots, 40000)};
	struct vae_error e;
	make_smooth(m, true);
	if (!ok(!vae_weights_init(&l.weights, &m->nets->params, true, &e) &&
	            !vae_soft_rate_init(&l.rate, m->nets, 7, 9, true, &e),
	        "%s", text))
		return;
	memcpy(l.weights.value, m->weights.value, m->nets->params.total * sizeof(float));
	vae_weights_pack(&l.weights, &m->nets->params);
	size_t n = vae_soft_rate_size(&l.rate);
	float *dy = calloc(n, sizeof *dy);
	l.slope = calloc(n, sizeof *l.slope);
	for (size_t k = 0; k < n; k++) {
		l.rate.y[k] = toy_between(&rnd, -2, 2);
		l.slope[k] = toy_between(&rnd, -1, 1);
	}
	l.rate.rounding = VAE_ROUND_GUMBEL;
	l.rate.temperature = 0.8f;
	linear_loss(&l);
	vae_soft_rate_backward(&l.rate, &l.weights, l.at, l.slope, NULL, dy);
	check_slopes(l.rate.y, dy, n, linear_loss, &l, "contexts");
	free(dy);
	free(l.slope);
	vae_soft_rate_clear(&l.rate);
	vae_weights_clear(&l.weights);
	toy_free(m);
}

/* 1 and 3 threads, a few steps, by products of one kind: what they began with and came to is
 * counted in float32. */
static void check_descent(const struct vae_bf16 *bf16, double share)
{
	const struct vae_refine_place place = {.region = {{0, 0, 45, 36}, 45 * 16, 36 * 16 - 5},
	                                       .slice = {0, 0, 40, 36}};
	struct vae_model *m = toy_new(TOY_PHOTO);
	struct vae_refine_cost cost[2][9];
	struct vae_error e;
	float *y[2] = {NULL, NULL};
	for (int i = 0; i < 2; i++) {
		struct vae_refine r;
		struct vae_weights w;
		vae_random_init(&rnd, 3, 0, 0);
		omp_set_num_threads(i ? 3 : 1);
		if (!make(&r, &w, m, VAE_LOSS_VISION, share, &place))
			return;
		struct vae_weights steps = {0};
		if (!ok(!vae_weights_init(&steps, &m->nets->params, true, &e), "descent by %s%s",
		        bf16 ? bf16->name : "float32", share > 0 ? ", vision" : ""))
			return;
		memcpy(steps.value, w.value, m->nets->params.total * sizeof(float));
		steps.bf16 = bf16;
		vae_weights_pack(&steps, &m->nets->params);
		r.fast = &steps;
		if (!ok(!vae_refine_descend(&r, 8, 9, cost[i], &e), "descends"))
			return;
		size_t bytes = vae_soft_rate_size(&r.rate) * sizeof(float);
		y[i] = malloc(bytes);
		memcpy(y[i], r.rate.y, bytes);
		ok(i == 0 || !memcmp(y[0], y[1], bytes), "the same bits");
		ok(cost[i][8].loss < cost[i][0].loss, "from %g to %g", cost[i][0].loss, cost[i][8].loss);
		r.rate.rounding = VAE_ROUND;
		ok(cost_of(&r, false).loss == cost[i][8].loss, "as float32 counts it");
		vae_weights_clear(&steps);
		vae_refine_clear(&r);
		vae_weights_clear(&w);
	}
	free(y[0]);
	free(y[1]);
	toy_free(m);
}

int main(void)
{
	vae_random_init(&rnd, 11, 0, 0);
	check_gradient(TOY_PHOTO, 1, VAE_LOSS_MSE,
	               &(struct vae_refine_place){.region = {{0, 0, 5, 6}, 5 * 16 - 7, 6 * 16 - 3},
	                                          .slice = {0, 0, 5, 6}});
	check_gradient(TOY_STEPS, 1e-8, VAE_LOSS_MSE,
	               &(struct vae_refine_place){.region = {{0, 0, 16, 16}, 16 * 16, 16 * 16},
	                                          .slice = {5, 4, 8, 6}});
	check_gradient(TOY_PHOTO, 1, VAE_LOSS_MSE,
	               &(struct vae_refine_place){.region = {{0, 0, 42, 8}, 42 * 16 - 1, 8 * 16},
	                                          .slice = {0, 0, 40, 8}});
	check_gradient(TOY_PHOTO, 1e-8, VAE_LOSS_MSE,
	               &(struct vae_refine_place){.region = {{0, 0, 9, 8}, 9 * 16 - 1, 8 * 16},
	                                          .slice = {0, 0, 9, 8}});
	check_gradient(TOY_PHOTO, 1, VAE_LOSS_VISION,
	               &(struct vae_refine_place){.region = {{0, 0, 5, 6}, 5 * 16 - 7, 6 * 16 - 3},
	                                          .slice = {0, 0, 5, 6}});
	check_gradient(TOY_PHOTO, 1, VAE_LOSS_VISION,
	               &(struct vae_refine_place){.region = {{0, 0, 38, 8}, 38 * 16 - 5, 8 * 16 - 9},
	                                          .slice = {4, 4, 34, 4}});
	check_gradient(TOY_PHOTO, 1, VAE_LOSS_MS_SSIM, /* odd at every scale, or at some */
	               &(struct vae_refine_place){.region = {{0, 0, 12, 13}, 12 * 16 - 5, 13 * 16 - 2},
	                                          .slice = {1, 1, 11, 12}});
	check_costs();
	check_contexts(TOY_PHOTO);
	check_contexts(TOY_STEPS);
	check_descent(NULL, 0);
	check_descent(NULL, 0.8);
	for (int kind = 0; kind < VAE_BF16_KINDS; kind++)
		if (vae_bf16_for((enum vae_bf16_kind)kind))
			check_descent(vae_bf16_for((enum vae_bf16_kind)kind), 0);
		else
			tap_lacks("descent by bf16", kind == VAE_BF16_AMX ? "AMX-BF16" : "AVX512-BF16");
	return tap_done();
}
