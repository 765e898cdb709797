/* mlp.c - the classic dense VAE (Kingma and Welling 2014): one small grey picture in, z ~ N(0, I),
 * ReLU, logits out. A "cell" is a whole picture: rows are pictures of a batch. Its latent is the
 * posterior's mean. */
#include "nn/build.h"

void vae_build_mlp(struct vae_nets *nets, struct vae_builder *b)
{
	const struct vae_arch *a = &nets->arch;

	b->net = &nets->net[VAE_ANALYSIS];
	b->net->name = "analysis";
	int t = vae_build_linear(b, "enc.dense0", vae_build_input(b, 0, a->width * a->height),
	                         a->hidden1, 0, -1);
	t = vae_build_linear(b, "enc.dense1", t, a->hidden2, 0, -1);
	vae_build_output(b, vae_build_linear(b, "enc.posterior", t, 2 * a->y, 1,
	                                     -1)); /* means, then log-variances */

	b->net = &nets->net[VAE_SYNTHESIS];
	b->net->name = "synthesis";
	b->net->decoder = true;
	b->net->input_gradient = true;
	t = vae_build_linear(b, "dec.dense0", vae_build_input(b, 0, a->y), a->hidden2, 0, -1);
	t = vae_build_linear(b, "dec.dense1", t, a->hidden1, 0, -1);
	vae_build_output(b, vae_build_linear(b, "dec.logits", t, a->width * a->height, 1, -1));

	nets->net[VAE_H_A].name = "h_a";
	nets->net[VAE_H_S].name = "h_s";
	nets->net[VAE_CONTEXT].name = "context";
	nets->net[VAE_CONTEXT2].name = "context2";
	nets->net[VAE_CONTEXT3].name = "context3";
	/* The prior: z is coded in steps of 1 / gain, as a Gaussian of deviation gain, both by quality.
	 */
	vae_build_table(b, "prior.gain", a->knots, a->y);
	vae_build_table(b, "prior.log_scale", a->knots, a->y);
}
