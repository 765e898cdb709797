#include "train/ranks.h"

int vae_ranks_sum_floats(const struct vae_cluster *c, float *array, size_t count,
                         struct vae_error *error)
{
	return c ? c->sum_floats(c->context, array, count, error) : 0;
}

int vae_ranks_sum(const struct vae_cluster *c, double *array, size_t count, struct vae_error *error)
{
	return c ? c->sum_doubles(c->context, array, count, error) : 0;
}

int vae_ranks_share(const struct vae_cluster *c, void *data, size_t size_bytes,
                    struct vae_error *error)
{
	return c ? c->share(c->context, data, size_bytes, error) : 0;
}

int vae_ranks_all(const struct vae_cluster *c, bool *flag, struct vae_error *error)
{
	double lack = !*flag;
	int rc = vae_ranks_sum(c, &lack, 1, error);
	*flag = lack == 0;
	return rc;
}

int vae_ranks_same(const struct vae_cluster *c, uint64_t number, const char *what,
                   struct vae_error *error)
{
	uint64_t leaders = number;
	int rc = vae_ranks_share(c, &leaders, sizeof leaders, error);
	double others = leaders != number;
	if (!rc)
		rc = vae_ranks_sum(c, &others, 1, error);
	return !rc && others > 0
	           ? vae_fail(error, VAE_EDATA, "the %s of %.0f of %zu ranks are not those of rank 0",
	                      what, others, vae_ranks(c))
	           : rc;
}
