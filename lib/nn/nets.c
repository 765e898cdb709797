/* nets.c - all networks of an architecture. */
#include "base/memory.h"
#include "nn/build.h"

#include <stdlib.h>

static int new_nets(struct vae_nets **out, const struct vae_arch *arch,
                    void (*build)(struct vae_nets *, struct vae_builder *), struct vae_error *error)
{
	struct vae_nets *nets;
	if (vae_alloc(&nets, 1, sizeof *nets, error))
		return VAE_EMEM;
	nets->arch = *arch;
	struct vae_builder b = {.params = &nets->params};
	build(nets, &b);
	if (b.overflow) {
		free(nets);
		return vae_fail(error, VAE_EARG, "architecture: too many blocks");
	}
	*out = nets;
	return 0;
}

int vae_nets_new(struct vae_nets **nets, const struct vae_arch *arch, struct vae_error *error)
{
	return new_nets(nets, arch, arch->kind == VAE_ARCH_PHOTO ? vae_build_photo : vae_build_mlp,
	                error);
}

int vae_nets_means_new(struct vae_nets **nets, const struct vae_arch *arch, struct vae_error *error)
{
	return new_nets(nets, arch, vae_build_means, error);
}

void vae_nets_free(struct vae_nets *nets) { free(nets); }
