#include "train/tables.h"
#include "stream/geometry.h"
#include "nn/sweep.h"
#include "prior/slice_prior.h"

#include <string.h>

#define PATCHES 48

int vae_tables_see(struct vae_cdfs_seen *seen, const struct vae_tables_source *source,
                   const float *sensitivity, int knot, struct vae_objective *o,
                   struct vae_error *error)
{
	const struct vae_arch *a = &o->nets->arch;
	struct vae_run *analysis = &o->run[VAE_ANALYSIS];
	uint16_t quality = vae_knot_quality(a->knots, knot);
	size_t columns = o->columns / VAE_CELL_PX,
		   cells = columns < VAE_SLICE_CELLS
	                   ? columns
	                   : VAE_SLICE_CELLS; /* the first slice of a larger patch */
	struct vae_symbols symbols = {0};
	struct vae_choice choice;
	struct vae_prior prior = {.nets = o->nets,
	                          .weights = source->weights,
	                          .at = vae_position_of(a->knots, quality),
	                          .choice = &choice};
	int rc = vae_choice_init(&choice, source->cdfs, sensitivity, (size_t)a->y, quality,
	                         VAE_EFFORT_DEFAULT, error);
	if (rc)
		return rc;
	rc = vae_symbols_fit(&symbols, o->nets, cells, cells, error);
	for (uint64_t i = 0; i < PATCHES && !rc; i++) {
		vae_random_init(&o->random, source->seed, VAE_STREAM_TABLES,
		                i); /* the same patches at every knot */
		vae_data_patch(source->data, &o->random, (uint32_t)o->rows, 0.5f,
		               vae_run_input(analysis, 0));
		vae_net_forward(analysis, o->nets, source->weights, prior.at);
		if (!(rc = vae_prior_quantise(&symbols, &prior, vae_run_output(analysis, 0),
		                              columns * (size_t)a->y, error)))
			vae_cdfs_see(seen, symbols.index, symbols.value, symbols.count);
	}
	vae_symbols_clear(&symbols);
	vae_choice_clear(&choice);
	return rc;
}
