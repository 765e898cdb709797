/* toy.h - small models with random weights, made in memory: tests of the codec's arithmetic need no
 * trained ones. */
#ifndef TOY_H
#define TOY_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "model/model.h"

#define TOY_PHOTO                                                                                  \
	"photo enc=16 enc_blocks=1 y=8 hyper=16 ctx=16 z=4 dec=16 dec_blocks=1 grid=48 grid_layers=1 " \
	"ctx_blocks=1 knots=2"
/* four steps; contexts of another width than the hyperprior's */
#define TOY_STEPS TOY_PHOTO " steps=4 ctx=20"
#define TOY_INT16 TOY_STEPS " arith=int16"
/* integers; widths that fill no vector and no panel */
#define TOY_ODD                                                                       \
	"photo enc=17 enc_blocks=1 y=10 hyper=19 ctx=21 z=5 dec=23 dec_blocks=1 grid=49 " \
	"grid_layers=1 ctx_blocks=1 knots=2 arith=int16"
#define TOY_MLP "mlp width=7 height=9 hidden1=12 hidden2=10 z=6 knots=3"

static float toy_between(struct vae_random *r, float low, float high)
{
	return low + (high - low) * vae_random_uniform(r);
}

/* Returns what an integer is worth where the largest ones are worth what a float matrix reaches. */
static float toy_unit(const struct vae_nets *nets, int unit)
{
	for (const struct vae_param *p = nets->params.list;; p++)
		if (p->unit == unit)
			return sqrtf(3.0f / (float)p->rows) *
			       fmaxf((float)p->rows / VAE_INT16_SUM, 1.0f / INT16_MAX);
}

/* Fills ranges that keep activations near 1 and give symbols of all sizes. */
static void toy_fill(struct vae_model *m)
{
	struct vae_random r;
	vae_random_init(&r, 7, 0, 0);
	for (int i = 0; i < m->nets->params.count; i++) {
		const struct vae_param *p = &m->nets->params.list[i];
		float *v = m->weights.value + p->offset, reach = p->matrix ? sqrtf(3.0f / (float)p->rows)
		                                                 : strstr(p->name, ".dw") ? 0.5f
		                                                                          : 0.1f;
		float centre = 0;
		if (!strcmp(p->name, "prior.gain")) {
			centre = 1;
			reach = 0.3f;
		} else if (strstr(p->name, "gain")) { /* logarithms to base 2 */
			centre = strstr(p->name, "enc.gain_y") ? 2.6f : 0;
			reach = 0.4f;
		} else if (strstr(p->name, "log_scale")) {
			reach = 1;
		} else if (!strcmp(p->name, "prior.z.mean")) {
			reach = 0.6f;
		} else if (!strcmp(p->name, "prior.z.left") || !strcmp(p->name, "prior.z.up")) {
			reach = 0.5f;
		} else if (p->unit >= 0) { /* integers, whose units bring them back to where floats are */
			reach = (float)VAE_INT16_SUM / (float)p->rows;
			reach = reach < INT16_MAX ? reach : INT16_MAX;
		} else if (strstr(p->name, ".factor")) {
			centre = 10;
			reach = 1;
		} else if (strstr(p->name, ".unit")) {
			centre = toy_unit(m->nets, i);
			reach = 0.1f * centre;
		}
		for (size_t k = 0; k < p->rows * p->columns; k++)
			v[k] = centre + toy_between(&r, -reach, reach);
		for (size_t k = 0; p->unit >= 0 && k < p->rows * p->columns; k++)
			v[k] = truncf(v[k]);
	}
	vae_weights_pack(&m->weights, &m->nets->params);
}

/* Returns NULL on failure. */
static struct vae_model *toy_new(const char *text)
{
	struct vae_arch arch;
	struct vae_error error;
	struct vae_model *m = calloc(1, sizeof *m);
	if (!m || vae_arch_parse(&arch, text, &error) || vae_nets_new(&m->nets, &arch, &error) ||
	    vae_weights_init(&m->weights, &m->nets->params, false, &error) ||
	    vae_cdfs_make(&m->cdfs, NULL, &error))
		return NULL;
	vae_arch_format(&arch, m->arch);
	m->id = 0x0123456789abcdef;
	if (arch.kind == VAE_ARCH_MLP) {
		m->sigmoid = malloc(VAE_SIGMOID_KNOTS * sizeof *m->sigmoid);
		for (int i = 0; i < VAE_SIGMOID_KNOTS; i++)
			m->sigmoid[i] = (float)(1 / (1 + exp(16 - i / 128.0)));
	}
	toy_fill(m);
	return m;
}

/* Gives a photo model a map to means. */
static inline int toy_add_means(struct vae_model *m, struct vae_error *error)
{
	struct vae_random r;
	if (vae_nets_means_new(&m->means, &m->nets->arch, error) ||
	    vae_weights_init(&m->means_weights, &m->means->params, false, error))
		return VAE_EMEM;
	const struct vae_params *p = &m->means->params;
	memcpy(m->means_weights.value + vae_param_offset(p, "dec.gain_y"),
	       m->weights.value + vae_param_offset(&m->nets->params, "dec.gain_y"),
	       (size_t)(m->nets->arch.knots * m->nets->arch.y) * sizeof(float));
	vae_random_init(&r, 8, 0, 0);
	for (size_t i = vae_param_offset(p, "dec.means.weight"); i < p->total; i++)
		m->means_weights.value[i] = toy_between(&r, -0.15f, 0.15f);
	vae_weights_pack(&m->means_weights, p);
	return 0;
}

static void toy_free(struct vae_model *m)
{
	vae_nets_free(m->nets);
	vae_nets_free(m->means);
	vae_weights_clear(&m->weights);
	vae_weights_clear(&m->means_weights);
	vae_cdfs_clear(&m->cdfs);
	free(m->sigmoid);
	free(m);
}

#endif
