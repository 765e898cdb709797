#include "loss/objective.h"
#include "base/memory.h"
#include "loss/ms_ssim.h"
#include "loss/vision.h"

#include <stdlib.h>
#include <string.h>

void vae_objective_add(struct vae_objective_sums *to, const struct vae_objective_sums *from)
{
	to->samples += from->samples;
	to->loss += from->loss;
	to->bpp += from->bpp;
	to->z_bpp += from->z_bpp;
	to->mse += from->mse;
	to->metric += from->metric;
	to->elbo += from->elbo;
	to->kl += from->kl;
}

int vae_objective_init(struct vae_objective *o, const struct vae_nets *nets, int loss, size_t rows,
                       size_t columns, struct vae_error *error)
{
	const struct vae_arch *a = &nets->arch;
	memset(o, 0, sizeof *o);
	o->nets = nets;
	o->loss = loss;
	o->rows = o->samples = rows;
	o->columns = columns;
	size_t channels = a->kind == VAE_ARCH_PHOTO ? 3 : (size_t)(a->width * a->height);
	int rc = vae_alloc(&o->x, rows * columns, channels * sizeof(float), error);
	if (!rc)
		rc = a->kind == VAE_ARCH_PHOTO
		         ? vae_soft_rate_init(&o->rate, nets, rows / 16, columns / 16, true, error)
		         : vae_alloc(&o->noise, rows * (size_t)a->y * 2, sizeof(float), error);
	size_t room = loss == VAE_LOSS_MS_SSIM  ? vae_ms_ssim_room(rows, columns)
	              : loss == VAE_LOSS_VISION ? vae_vision_room(rows, columns)
	                                        : 0;
	if (!rc && room)
		rc = vae_alloc(&o->metric_room, room, sizeof(float), error);
	for (int i = 0; i < VAE_NETS && !rc; i += VAE_SYNTHESIS - VAE_ANALYSIS)
		rc = vae_run_init(&o->run[i], &nets->net[i], 0, rows, columns, true, error);
	if (rc)
		vae_objective_clear(o);
	return rc;
}

int vae_objective_learn_synthesis(struct vae_objective *o, const struct vae_cdfs *cdfs,
                                  const float *sensitivity, struct vae_error *error)
{
	o->sensitivity = sensitivity;
	return vae_choice_init(&o->choice, cdfs, sensitivity, (size_t)o->nets->arch.y, 0,
	                       VAE_EFFORT_DEFAULT, error);
}

void vae_objective_clear(struct vae_objective *o)
{
	vae_choice_clear(&o->choice);
	free(o->x);
	free(o->noise);
	free(o->metric_room);
	vae_soft_rate_clear(&o->rate);
	for (int i = 0; i < VAE_NETS; i++)
		if (o->run[i].net)
			vae_run_clear(&o->run[i]);
	memset(o, 0, sizeof *o);
}

void vae_objective_pass(struct vae_objective *o, const struct vae_weights *weights,
                        uint16_t quality, bool training, double weight, float *gradient,
                        struct vae_objective_sums *sums)
{
	struct vae_objective_sums s = {0};
	if (o->nets->arch.kind == VAE_ARCH_PHOTO)
		vae_objective_photo(o, weights, quality, training, weight, gradient, &s);
	else
		vae_objective_mlp(o, weights, training, weight, gradient, &s);
	vae_objective_add(sums, &s);
}
