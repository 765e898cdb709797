/* photo_nets.c - the photo network: a patch transform with a nonlinear correction on both sides,
 * and a renderer at 1/4 (shape "R").
 *
 * Sizes in the comments are of a picture of H x W pixels and the widths in struct vae_arch (E =
 * enc, Y = y, P = hyper, D = dec, G = grid). */
#include "nn/build.h"

/* x (H x W x 3, -0.5 to 0.5) -> y (H/16 x W/16 x Y), in units of the quantiser's step at this
 * quality. */
static void analysis(struct vae_builder *b, const struct vae_arch *a)
{
	int x = vae_build_input(b, 0, 3);
	int t = vae_build_space_to_depth(b, x, 4); /* H/16 x W/16 x 768 */
	t = vae_build_linear(b, "enc.patch", t, a->enc, 1, -1);
	t = vae_build_gain(b, "enc.gain", t, a->knots);
	for (int i = 0; i < a->enc_blocks; i++) {
		char name[40];
		snprintf(name, sizeof name, "enc.block%d", i);
		t = vae_build_block(b, name, t);
	}
	t = vae_build_linear(b, "enc.to_y", t, a->y, 1, -1);
	vae_build_output(b, vae_build_gain(b, "enc.gain_y", t, a->knots));
}

/* y -> z (H/64 x W/64 x Z), which is rounded around its stored mean. */
static void hyper_analysis(struct vae_builder *b, const struct vae_arch *a)
{
	int t = vae_build_linear(b, "prior.ha.in", vae_build_input(b, 4, a->y), a->hyper, 1, -1);
	t = vae_build_gain(b, "prior.ha.gain", t, a->knots);
	t = vae_build_block(b, "prior.ha.block0", t);
	t = vae_build_linear(b, "prior.ha.down0", vae_build_space_to_depth(b, t, 1), a->hyper, 1, -1);
	t = vae_build_block(b, "prior.ha.block1", t);
	t = vae_build_linear(b, "prior.ha.down1", vae_build_space_to_depth(b, t, 1), a->z, 1, -1);
	vae_build_output(b, vae_build_gain(b, "prior.ha.gain_z", t, a->knots));
}

/* z -> features (H/16 x W/16 x P) and the first guess: Y means, then Y log-scales. */
static void hyper_synthesis(struct vae_builder *b, const struct vae_arch *a)
{
	int t = vae_build_linear(b, "prior.hs.up0", vae_build_input(b, 6, a->z), 4 * a->hyper, 1, -1);
	t = vae_build_gain(b, "prior.hs.gain0", vae_build_depth_to_space(b, t, 1), a->knots);
	t = vae_build_block(b, "prior.hs.block0", t);
	t = vae_build_linear(b, "prior.hs.up1", t, 4 * a->hyper, 1, -1);
	t = vae_build_gain(b, "prior.hs.gain1", vae_build_depth_to_space(b, t, 1), a->knots);
	t = vae_build_block(b, "prior.hs.block1", t);
	vae_build_output(b, t);
	int head = vae_build_linear(b, "prior.hs.head", t, 2 * a->y, 1, -1);
	vae_build_output(b, vae_build_shift(b, "prior.hs.shift", head, a->knots));
}

/* The symbols of earlier steps, as residuals around their means with 0 elsewhere; features; the
 * first guess -> the guess for this step. */
static void context_step(struct vae_builder *b, const struct vae_arch *a, const char *prefix)
{
	char name[40];
#define NAMED(...) (snprintf(name, sizeof name, __VA_ARGS__), name)
	int residual = vae_build_input(b, 4, a->y), features = vae_build_input(b, 4, a->hyper),
		guess = vae_build_input(b, 4, 2 * a->y);
	int t = vae_build_linear(b, NAMED("%s.in", prefix), vae_build_concat(b, residual, features),
	                         a->ctx, 1, -1);
	t = vae_build_gain(b, NAMED("%s.gain", prefix), t, a->knots);
	for (int i = 0; i < a->ctx_blocks; i++)
		t = vae_build_block(b, NAMED("%s.block%d", prefix, i), t);
	vae_build_output(b, vae_build_linear(b, NAMED("%s.head", prefix), t, 2 * a->y, 1, guess));
#undef NAMED
}

static void context(struct vae_builder *b, const struct vae_arch *a)
{
	context_step(b, a, "prior.ctx");
}
static void context2(struct vae_builder *b, const struct vae_arch *a)
{
	if (a->steps == 4)
		context_step(b, a, "prior.ctx2");
}
static void context3(struct vae_builder *b, const struct vae_arch *a)
{
	if (a->steps == 4)
		context_step(b, a, "prior.ctx3");
}

/* y, quantised -> x. A body at 1/16 steers gated layers on the 1/4 grid, where each cell becomes a
 * 4 x 4 patch of RGB. */
static void synthesis(struct vae_builder *b, const struct vae_arch *a)
{
	int y = vae_build_gain(b, "dec.gain_y", vae_build_input(b, 4, a->y), a->knots);
	int body = vae_build_linear(b, "dec.in", y, a->dec, 1, -1);
	for (int i = 0; i < a->dec_blocks; i++) {
		char name[40];
		snprintf(name, sizeof name, "dec.block%d", i);
		body = vae_build_block(b, name, body);
	}
	int steer = vae_build_linear(b, "dec.steer", body, 3 * a->grid * a->grid_layers, 1,
	                             -1); /* scale, shift, gate of each layer */
	int content = vae_build_linear(b, "dec.content", y, 16 * a->grid, 1, -1);
	int g = vae_build_linear(b, "dec.feature", body, 16 * a->grid, 1, content);
	g = vae_build_depth_to_space(b, g, 2); /* H/4 x W/4 x G */
	for (int i = 0; i < a->grid_layers; i++) {
		char name[40];
		snprintf(name, sizeof name, "dec.grid%d.dw", i);
		int t = vae_build_depthwise(b, name, vae_build_modulate(b, g, steer, 3 * a->grid * i), 3);
		snprintf(name, sizeof name, "dec.grid%d.w1", i);
		t = vae_build_linear(b, name, t, 2 * a->grid, VAE_LEAK, -1);
		snprintf(name, sizeof name, "dec.grid%d.w2", i);
		t = vae_build_linear(b, name, t, a->grid, 1, -1);
		g = vae_build_gate(b, g, t, steer, 3 * a->grid * i + 2 * a->grid);
	}
	int patch = vae_build_linear(b, "dec.out", g, 48, 1, -1);
	vae_build_output(b, vae_build_depth_to_space(b, patch, 2));
}

void vae_build_photo(struct vae_nets *nets, struct vae_builder *b)
{
	static const struct {
		const char *name;
		bool decoder;
		void (*build)(struct vae_builder *, const struct vae_arch *);
	} parts[VAE_NETS] = {[VAE_ANALYSIS] = {"analysis", false, analysis},
	                     [VAE_H_A] = {"h_a", false, hyper_analysis},
	                     [VAE_H_S] = {"h_s", true, hyper_synthesis},
	                     [VAE_CONTEXT] = {"context", true, context},
	                     [VAE_CONTEXT2] = {"context2", true, context2},
	                     [VAE_CONTEXT3] = {"context3", true, context3},
	                     [VAE_SYNTHESIS] = {"synthesis", true, synthesis}};
	b->knots = (size_t)nets->arch.knots;
	for (int i = 0; i < VAE_NETS; i++) {
		b->net = &nets->net[i];
		b->net->name = parts[i].name;
		b->net->decoder = parts[i].decoder;
		b->net->input_gradient = i != VAE_ANALYSIS;
		bool int16 = nets->arch.arith == VAE_ARITH_INT16;
		b->integer = int16 && parts[i].decoder;
		b->rounded = int16 && !parts[i].decoder;
		parts[i].build(b, &nets->arch);
	}
	/* The density of z: for each channel a Gaussian whose mean is moved by two neighbours and whose
	 * log-scale is interpolated over quality. The prior reads it, not a layer. */
	vae_build_table(b, "prior.z.mean", 1, nets->arch.z);
	vae_build_table(b, "prior.z.left", 1, nets->arch.z);
	vae_build_table(b, "prior.z.up", 1, nets->arch.z);
	vae_build_table(b, "prior.z.log_scale", nets->arch.knots, nets->arch.z);
}

/* y, quantised -> means of blocks of 8 x 8 pixels: one linear map for all qualities. */
void vae_build_means(struct vae_nets *nets, struct vae_builder *b)
{
	struct vae_net *net = b->net = &nets->net[VAE_SYNTHESIS];
	net->name = "means";
	net->decoder = true;
	int y = vae_build_gain(b, "dec.gain_y", vae_build_input(b, 4, nets->arch.y), nets->arch.knots);
	int t = vae_build_linear(b, "dec.means", y, VAE_MEANS, 1, -1);
	vae_build_output(b, vae_build_depth_to_space(b, t, 1));
}
