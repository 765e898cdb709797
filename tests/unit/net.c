/* net.c - every network's backward pass against finite differences, for parameters and inputs, at
 * odd sizes too; both memory plans agree. */
#include "base/random.h"
#include "nn/net.h"
#include "tap.h"

#include <fenv.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

static struct vae_random rnd;

static void fill(float *p, size_t n, float scale)
{
	for (size_t i = 0; i < n; i++)
		p[i] = scale * (2 * vae_random_uniform(&rnd) - 1);
}

struct setup {
	struct vae_nets *nets;
	struct vae_weights weights;
	struct vae_run run;
	const struct vae_net *net;
	struct vae_position at;
	float *seed[2]; /* the loss is the sum of output x seed */
};

static double loss(struct setup *s)
{
	double sum = 0;
	vae_weights_pack(&s->weights, &s->nets->params);
	vae_net_forward(&s->run, s->nets, &s->weights, s->at);
	for (int o = 0; o < s->net->outputs; o++)
		for (size_t i = 0; i < vae_run_size(&s->run, s->net->output[o]); i++)
			sum += (double)vae_run_output(&s->run, o)[i] * s->seed[o][i];
	return sum;
}

/* Compares the gradient with the slope of the loss along one number, measured on both sides at
 * distance h. A kink of a leaky ReLU between them makes the two sides disagree. */
static bool slope_matches_at(struct setup *s, float *number, double gradient, double scale, float h)
{
	float kept = *number;
	double middle = loss(s);
	*number = kept + h;
	double up = (loss(s) - middle) / (double)(*number - kept);
	*number = kept - h;
	double down = (middle - loss(s)) / (double)(kept - *number);
	*number = kept;
	double tolerance = 0.01 * scale + 0.02 * fabs(gradient);
	if (fabs(up - down) > tolerance)
		return true; /* a kink */
	return fabs((up + down) / 2 - gradient) <= tolerance;
}

static bool slope_matches(struct setup *s, float *number, double gradient, double scale)
{
	return slope_matches_at(s, number, gradient, scale, 1e-3f) ||
	       slope_matches_at(s, number, gradient, scale, 1e-4f) ||
	       slope_matches_at(s, number, gradient, scale, 1e-2f);
}

/* Computes the guesses of the first step, the last of the outputs, by the last `layers` layers
 * again, into memory full of NaN; compares them with all of them. */
static bool wanted_match(struct setup *s, struct vae_run *run, int layers)
{
	int out = s->net->output[s->net->outputs - 1], level = s->net->slot[out].level;
	size_t rows = run->rows[level], columns = run->columns[level], bad = 0,
		   channels = (size_t)s->net->slot[out].channels, q = channels / 4,
		   bytes = vae_run_size(run, out) * sizeof(float);
	struct vae_wanted wanted = {{{0, q}, {q, 0}}, q, 2 * q};
	float *whole = malloc(bytes), *again = run->value[out];
	memcpy(whole, again, bytes);
	memset(again, 255, bytes);
	for (int i = s->net->layers - layers; i < s->net->layers; i++)
		vae_layer_forward_wanted(run, &s->net->layer[i], 0, rows, &wanted, s->nets, &s->weights,
		                         s->at);
	for (size_t i = 0; i < rows * columns * channels; i++) {
		size_t first = wanted.first[i / channels / columns % 2][i / channels % columns % 2],
			   channel = i % channels % wanted.again;
		bad +=
			channel >= first && channel < first + q && memcmp(again + i, whole + i, sizeof *again);
	}
	free(whole);
	return !bad;
}

static void check(struct vae_nets *nets, int part, int level, size_t rows, size_t columns)
{
	struct vae_error e;
	struct setup s = {.nets = nets, .net = &nets->net[part], .at = {0, 0.3f}};
	if (vae_weights_init(&s.weights, &nets->params, true, &e) ||
	    vae_run_init(&s.run, s.net, level, rows, columns, true, &e)) {
		ok(0, "%s", e.text);
		return;
	}
	for (int i = 0; i < nets->params.count; i++) {
		const struct vae_param *p = &nets->params.list[i];
		fill(s.weights.value + p->offset, p->rows * p->columns,
		     p->matrix ? 1.5f / sqrtf((float)p->rows) : 0.5f);
	}
	for (int i = 0; i < s.net->inputs; i++)
		fill(vae_run_input(&s.run, i), vae_run_size(&s.run, s.net->input[i]), 1);
	for (int o = 0; o < s.net->outputs; o++) {
		s.seed[o] = malloc(vae_run_size(&s.run, s.net->output[o]) * sizeof(float));
		fill(s.seed[o], vae_run_size(&s.run, s.net->output[o]), 1);
	}
	float *gradient = calloc(nets->params.total, sizeof(float));
	loss(&s);

	struct vae_run shared;
	bool same = vae_run_init(&shared, s.net, level, rows, columns, false, &e) == 0;
	for (int i = 0; same && i < s.net->inputs; i++)
		memcpy(vae_run_input(&shared, i), vae_run_input(&s.run, i),
		       vae_run_size(&s.run, s.net->input[i]) * sizeof(float));
	vae_net_forward(&shared, nets, &s.weights, s.at);
	for (int o = 0; o < s.net->outputs; o++)
		same = same && !memcmp(vae_run_output(&shared, o), vae_run_output(&s.run, o),
		                       vae_run_size(&s.run, s.net->output[o]) * sizeof(float));
	ok(same, "%s %zu x %zu: shared memory gives the same numbers", s.net->name, rows, columns);
	if (part == VAE_H_S || part == VAE_CONTEXT)
		ok(wanted_match(&s, &shared, part == VAE_H_S ? 2 : 1),
		   "%s %zu x %zu: what is wanted of the guesses is the same", s.net->name, rows, columns);
	vae_run_clear(&shared);

	vae_run_start_backward(&s.run);
	for (int o = 0; o < s.net->outputs; o++) {
		memcpy(s.run.gradient[s.net->output[o]], s.seed[o],
		       vae_run_size(&s.run, s.net->output[o]) * sizeof(float));
		s.run.has_gradient[s.net->output[o]] = true;
	}
	vae_net_backward(&s.run, nets, &s.weights, s.at, gradient);

	int bad = 0, tried = 0, touched = 0;
	for (int i = 0; i < nets->params.count; i++) {
		const struct vae_param *p = &nets->params.list[i];
		double norm = 0;
		size_t n = p->rows * p->columns;
		for (size_t k = 0; k < n; k++)
			norm += (double)gradient[p->offset + k] * gradient[p->offset + k];
		if (norm == 0)
			continue; /* of another network */
		touched++;
		for (int t = 0; t < 6; t++, tried++) {
			size_t k = vae_random_below(&rnd, (uint32_t)n);
			if (!slope_matches(&s, &s.weights.value[p->offset + k], gradient[p->offset + k],
			                   sqrt(norm / (double)n)) &&
			    ++bad < 4)
				printf("# %s[%zu]: %g\n", p->name, k, gradient[p->offset + k]);
		}
	}
	ok(!bad && touched > 2, "%s %zu x %zu: gradients of %d parameters (%d numbers)", s.net->name,
	   rows, columns, touched, tried);
	bad = 0;
	for (int i = 0; s.net->input_gradient && i < s.net->inputs; i++) {
		int slot = s.net->input[i];
		float *g = malloc(vae_run_size(&s.run, slot) * sizeof(float));
		memcpy(g, s.run.gradient[slot], vae_run_size(&s.run, slot) * sizeof(float));
		for (int t = 0; t < 20; t++) {
			size_t k = vae_random_below(&rnd, (uint32_t)vae_run_size(&s.run, slot));
			bad += !slope_matches(&s, &s.run.value[slot][k], g[k], 0.3);
		}
		free(g);
	}
	ok(!bad, "%s %zu x %zu: gradients of the inputs", s.net->name, rows, columns);
	for (int o = 0; o < s.net->outputs; o++)
		free(s.seed[o]);
	free(gradient);
	vae_run_clear(&s.run);
	vae_weights_clear(&s.weights);
}

static void check_power(void)
{
	double worst = 0;
	for (int i = -3100; i <= 3100; i++) {
		float v = (float)i / 100 + 0.0037f, t = v < -30 ? -30 : v > 30 ? 30 : v;
		vae_position_power(&v, 1);
		worsen(&worst, fabs(v / exp2(t) - 1));
	}
	float nan = NAN;
	vae_position_power(&nan, 1);
	ok(worst < 2e-7 && nan == 0x1p-30f, "powers of two, to %g of themselves", worst);
}

/* Sets the direction of rounding in each of OpenMP's threads, where vae_fp_enter sets it, too. */
static void round_everywhere(int direction)
{
#if defined __x86_64__ || defined __aarch64__
#pragma omp parallel
	fesetround(direction);
#else
	(void)direction;
#endif
}

/* Packs matrices in a floating-point state that a host may have left behind. */
static void check_state(const struct vae_nets *nets)
{
	struct vae_error e;
	struct vae_weights w;
	const struct vae_params *p = &nets->params;
	size_t bytes = p->packed_total * sizeof(float);
	float *packed = malloc(bytes);
	bool good = !vae_weights_init(&w, p, false, &e);
	if (good) {
		fill(w.value, p->total, 1);
		vae_weights_pack(&w, p);
		memcpy(packed, w.packed, bytes);
		omp_set_num_threads(3);
		round_everywhere(FE_UPWARD);
		int state = fegetround();
		vae_weights_pack(&w, p);
		good = fegetround() == state && !memcmp(packed, w.packed, bytes);
		round_everywhere(FE_TONEAREST);
		omp_set_num_threads(1);
		vae_weights_clear(&w);
	}
	ok(good, "matrices are packed alike in any floating-point state, which stays");
	free(packed);
}

int main(void)
{
	struct vae_error e;
	struct vae_arch arch;
	struct vae_nets *nets;
	char line[VAE_ARCH_TEXT];
	check_power();
	omp_set_num_threads(1); /* tiny products: threads would only wait for each other */
	vae_random_init(&rnd, 1, 0, 0);
	ok(vae_arch_parse(&arch,
	                  "photo enc=16 enc_blocks=1 y=6 hyper=16 ctx=16 z=3 dec=16 dec_blocks=1 "
	                  "grid=48 grid_layers=2 knots=3",
	                  &e) == 0,
	   "a small photo line");
	vae_arch_format(&arch, line);
	struct vae_arch again;
	char second[VAE_ARCH_TEXT];
	ok(vae_arch_parse(&again, line, &e) == 0 &&
	       (vae_arch_format(&again, second), !strcmp(line, second)),
	   "canonical: %s", line);
	static const char *const wrong[] = {
		"",          "photo enc=0",   "photo enc=99999", "photo y=7",        "photo wide=3",
		"photo enc", "photo enc=16x", "mlp lambda=1:2",  "photo lambda=2:1", "photo lambda=nan:1",
		"video"};
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		ok(vae_arch_parse(&again, wrong[i], &e) == VAE_EARG, "refused: '%s' (%s)", wrong[i],
		   e.text);
	if (!ok(vae_nets_new(&nets, &arch, &e) == 0, "networks"))
		return tap_done();
	check(nets, VAE_ANALYSIS, 0, 32, 48);
	check(nets, VAE_ANALYSIS, 0, 19, 35);
	check(nets, VAE_H_A, 4, 3, 5);
	check(nets, VAE_H_S, 4, 5, 3);
	check(nets, VAE_CONTEXT, 4, 3, 4);
	check(nets, VAE_CONTEXT, 4, 2, 1);
	check(nets, VAE_SYNTHESIS, 0, 32, 32);
	check(nets, VAE_SYNTHESIS, 0, 21, 37);
	check(nets, VAE_SYNTHESIS, 0, 1, 1);
	vae_nets_free(nets);
	arch.arith = VAE_ARITH_INT16;
	if (!ok(vae_nets_new(&nets, &arch, &e) == 0, "networks of integers"))
		return tap_done();
	check_state(nets);
	vae_nets_free(nets);
	vae_arch_parse(&arch, "mlp width=6 height=5 hidden1=12 hidden2=9 z=4", &e);
	if (!ok(vae_nets_new(&nets, &arch, &e) == 0, "dense networks"))
		return tap_done();
	check(nets, VAE_ANALYSIS, 0, 7, 1);
	check(nets, VAE_SYNTHESIS, 0, 7, 1);
	vae_nets_free(nets);
	struct vae_position end = vae_position_of(8, VAE_QUALITY_ONE), start = vae_position_of(8, 0);
	ok(end.index == 6 && end.fraction == 1 && start.index == 0 && start.fraction == 0,
	   "the ends of the quality scale");
	return tap_done();
}
