/* gradient.c - one pass of the trainer's objective over the middle of a picture, with all its
 * inputs and outputs, for vae-train-torch.
 *
 *     gradient MODEL IMAGE QUALITY PATCH [vision SHARE] > dump.safetensors
 *
 * QUALITY is 0 to 65535, PATCH the side of the patch in pixels; SHARE is SSIMULACRA 2's in the
 * distortion, which otherwise is squared error alone. The dump has float32 tensors: the patch (x),
 * the noise and the rounded residuals of z and y, the outputs of the five networks and of the
 * layers with a leaky ReLU (leaky.NAME), the gradient of the sample's loss by parameter
 * (gradient.NAME), as sums the loss, bits a pixel of all and of z, the mean squared error and the
 * metric, and the metric's weights and filter (vision.weight, vision.taps). Shapes of arrays are
 * rows, columns, channels. */
#include "vae_train.h"
#include "prior/z_mean.h"
#include "prior/order.h"
#include "model/model.h"
#include "train/data.h"
#include "loss/objective.h"
#include "measure/ssimulacra2.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TENSORS = VAE_MAX_PARAMS + VAE_NETS * VAE_MAX_LAYERS + 16, SEED = 5 };

struct dump {
	int count;
	struct tensor {
		char name[64];
		size_t shape[3];
		const float *values;
	} tensor[TENSORS];
};

static void add(struct dump *d, const char *name, const float *values, size_t rows, size_t columns,
                size_t channels)
{
	struct tensor *t = &d->tensor[d->count++];
	snprintf(t->name, sizeof t->name, "%s", name);
	memcpy(t->shape, (size_t[]){rows, columns, channels}, sizeof t->shape);
	t->values = values;
}

static size_t size_of(const struct tensor *t) { return t->shape[0] * t->shape[1] * t->shape[2]; }

/* Writes the floats in native byte order: the reader runs on this machine. */
static void write_dump(const struct dump *d)
{
	char *text;
	size_t length, at = 0;
	FILE *header = open_memstream(&text, &length);
	fputc('{', header);
	for (const struct tensor *t = d->tensor; t < d->tensor + d->count; t++) {
		size_t end = at + size_of(t) * sizeof(float);
		fprintf(header,
		        "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[%zu,%zu,%zu],\"data_offsets\":[%zu,%zu]}",
		        t == d->tensor ? "" : ",", t->name, t->shape[0], t->shape[1], t->shape[2], at, end);
		at = end;
	}
	fputc('}', header);
	fclose(header);
	uint64_t n = length;
	fwrite(&n, sizeof n, 1, stdout);
	fwrite(text, 1, length, stdout);
	for (const struct tensor *t = d->tensor; t < d->tensor + d->count; t++)
		fwrite(t->values, sizeof(float), size_of(t), stdout);
	free(text);
}

static float *floats(size_t n)
{
	float *p = calloc(n, sizeof *p);
	if (!p) {
		fprintf(stderr, "gradient: out of memory\n");
		exit(1);
	}
	return p;
}

static const struct vae_run *run_of(const struct vae_objective *o, int net)
{
	return net == VAE_ANALYSIS || net == VAE_SYNTHESIS ? &o->run[net] : &o->rate.run[net];
}

/* Adds a copy of a slot, whose memory the next pass overwrites. */
static const float *add_slot(struct dump *d, const char *name, const struct vae_run *run, int slot)
{
	int level = run->net->slot[slot].level;
	float *copy = floats(vae_run_size(run, slot));
	memcpy(copy, run->value[slot], vae_run_size(run, slot) * sizeof *copy);
	add(d, name, copy, run->rows[level], run->columns[level],
	    (size_t)run->net->slot[slot].channels);
	return copy;
}

static const float *add_output(struct dump *d, const char *name, const struct vae_objective *o,
                               int net, int output)
{
	return add_slot(d, name, run_of(o, net), run_of(o, net)->net->output[output]);
}

/* Adds the output of each layer with a leaky ReLU, under the name of its weight without the last
 * word. */
static void add_leaky(struct dump *d, const struct vae_objective *o)
{
	for (int net = 0; net < VAE_NETS; net++) {
		const struct vae_net *n = &o->nets->net[net];
		for (const struct vae_layer *layer = n->layer; layer < n->layer + n->layers; layer++) {
			char name[64];
			if (layer->op != VAE_LINEAR || layer->slope == 1)
				continue;
			snprintf(name, sizeof name, "leaky.%s", o->nets->params.list[layer->weight].name);
			*strrchr(name, '.') = '\0';
			add_slot(d, name, run_of(o, net), layer->dst);
		}
	}
}

/* Adds the noise of the pass, in its order: z's, then y's. */
static void add_noise(struct dump *d, const struct vae_objective *o)
{
	const struct vae_arch *a = &o->nets->arch;
	struct vae_random random;
	vae_random_init(&random, SEED, 0, 0);
	for (int i = 0; i < 2; i++) {
		size_t cell = i ? 16 : 64, channels = (size_t)(i ? a->y : a->z),
			   n = o->rows / cell * (o->columns / cell) * channels;
		float *noise = floats(n);
		for (size_t k = 0; k < n; k++)
			noise[k] = vae_random_uniform(&random) - 0.5f;
		add(d, i ? "noise.y" : "noise.z", noise, o->rows / cell, o->columns / cell, channels);
	}
}

/* Adds the integers that z and y were rounded to, relative to their means. */
static void add_rounded(struct dump *d, const struct vae_objective *o, const struct vae_weights *w,
                        const float *y, const float *z, const float *const guess[4])
{
	const struct vae_params *p = &o->nets->params;
	struct vae_z_mean near = vae_z_mean_of(p, w->value);
	size_t rows = o->rows / 16, columns = o->columns / 16, channels = (size_t)o->nets->arch.y,
		   z_channels = (size_t)o->nets->arch.z;
	size_t z_size = rows / 4 * (columns / 4) * z_channels;
	float *ry = floats(rows * columns * channels), *rz = floats(z_size), *z_hat = floats(z_size),
		  *mean = floats(z_channels);
	for (size_t k = 0; k < z_size; k++) {
		if (k % z_channels == 0)
			vae_z_mean_mean(mean, &near, z_hat, k / z_channels, columns / 4, z_channels);
		rz[k] = rintf(z[k] - mean[k % z_channels]);
		z_hat[k] = rz[k] + mean[k % z_channels];
	}
	int steps = o->nets->arch.steps;
	for (int step = 0; step < steps; step++)
		for (size_t i = 0; i < rows * columns; i++) {
			size_t first = vae_order_first_channel(step, steps, i / columns, i % columns, channels);
			for (size_t c = first; c < first + channels / (size_t)steps; c++)
				ry[i * channels + c] =
					rintf(y[i * channels + c] - guess[step][i * 2 * channels + c]);
		}
	free(z_hat);
	free(mean);
	add(d, "rounded.z", rz, rows / 4, columns / 4, z_channels);
	add(d, "rounded.y", ry, rows, columns, channels);
}

/* Adds the weights and the filter of the loss "vision". */
static void add_metric(struct dump *d)
{
	enum { WEIGHTS = sizeof vae_s2_weight / sizeof(double) };
	static float weight[WEIGHTS], tap[VAE_S2_REACH + 1];
	const double *of = &vae_s2_weight[0][0][0][0];
	for (size_t i = 0; i < WEIGHTS; i++)
		weight[i] = (float)of[i];
	vae_s2_taps(tap);
	add(d, "vision.weight", weight, 1, 1, WEIGHTS);
	add(d, "vision.taps", tap, 1, 1, VAE_S2_REACH + 1);
}

static int pass(struct vae_objective *o, const struct vae_weights *w, uint16_t quality)
{
	static struct dump d;
	const struct vae_params *p = &o->nets->params;
	struct vae_objective_sums sums = {0};
	float *gradient = floats(p->total);
	vae_random_init(&o->random, SEED, 0, 0);
	vae_objective_pass(o, w, quality, true, 1, NULL, &sums);
	add(&d, "x", o->x, o->rows, o->columns, 3);
	const float *y = add_output(&d, "y", o, VAE_ANALYSIS, 0),
				*z = add_output(&d, "z", o, VAE_H_A, 0);
	add_output(&d, "features", o, VAE_H_S, 0);
	const float *guess[4] = {add_output(&d, "guess0", o, VAE_H_S, 1)};
	static const char *const names[4] = {NULL, "guess1", "guess2", "guess3"};
	for (int step = 1; step < o->nets->arch.steps; step++)
		guess[step] = add_output(&d, names[step], o, VAE_CONTEXT + step - 1, 0);
	add_output(&d, "x_hat", o, VAE_SYNTHESIS, 0);
	add_noise(&d, o);
	add_rounded(&d, o, w, y, z, guess);
	add_leaky(&d, o);

	sums = (struct vae_objective_sums){0};
	vae_random_init(&o->random, SEED, 0, 0);
	vae_objective_pass(o, w, quality, true, 1, gradient, &sums);
	float figures[] = {(float)sums.loss, (float)sums.bpp, (float)sums.z_bpp, (float)sums.mse,
	                   (float)sums.metric};
	add(&d, "sums", figures, 1, 1, 5);
	add_metric(&d);
	for (int i = 0; i < p->count; i++) {
		char name[64];
		snprintf(name, sizeof name, "gradient.%s", p->list[i].name);
		add(&d, name, gradient + p->list[i].offset, 1, p->list[i].rows, p->list[i].columns);
	}
	write_dump(&d);
	free(gradient);
	for (struct tensor *t = d.tensor + 1; strcmp(t->name, "sums"); t++)
		free((void *)t->values);
	return ferror(stdout) || fflush(stdout);
}

int main(int argc, char **argv)
{
	struct vae_error e = {.text = "usage: gradient MODEL IMAGE QUALITY PATCH [vision SHARE]"};
	bool vision = argc == 7 && !strcmp(argv[5], "vision"), usable = argc == 5 || vision;
	int quality = usable ? atoi(argv[3]) : -1, patch = usable ? atoi(argv[4]) : 0, status = 1;
	struct vae_model *model = NULL;
	struct vae_image *image = NULL;
	struct vae_data data = {.channels = 3};
	struct vae_weights weights = {0};
	struct vae_objective o = {0};
	FILE *file = NULL;
	if (quality < 0 || quality > VAE_QUALITY_ONE || patch < 64 || patch > 4096 || patch % 64)
		goto out;
	if (!(file = fopen(argv[2], "rb"))) {
		vae_fail_errno(&e, "%s", argv[2]);
		goto out;
	}
	if (vae_image_read(&image, file, 0, &e) < 0 || vae_model_load(&model, argv[1], &e))
		goto out;
	if (!image || model->nets->arch.kind != VAE_ARCH_PHOTO) {
		vae_fail(&e, VAE_EARG, "no picture in %s, or %s is no photo model", argv[2], argv[1]);
		goto out;
	}
	if (vae_data_add(&data, image, (uint32_t)patch, 1, 1, &e) ||
	    vae_weights_init(&weights, &model->nets->params, true, &e) ||
	    vae_model_values(model, weights.value, &e) ||
	    vae_objective_init(&o, model->nets, vision ? VAE_LOSS_VISION : VAE_LOSS_MSE, (size_t)patch,
	                       (size_t)patch, &e))
		goto out;
	o.share = vision ? atof(argv[6]) : 0;
	vae_weights_pack(&weights, &model->nets->params);
	vae_data_middle(&data, 0, (uint32_t)patch, (uint32_t)patch, 0.5f, o.x);
	status = pass(&o, &weights, (uint16_t)quality);
out:
	if (status)
		fprintf(stderr, "gradient: %s\n", e.text);
	vae_objective_clear(&o);
	vae_weights_clear(&weights);
	vae_data_clear(&data);
	vae_image_free(image);
	vae_model_free(model);
	if (file)
		fclose(file);
	return status;
}
