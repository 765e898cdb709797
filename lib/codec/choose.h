/* choose.h - which cells of a picture are exact: those that are cheaper so. */
#ifndef VAE_CODEC_CHOOSE_H
#define VAE_CODEC_CHOOSE_H

#include "base/rect.h"
#include "model/model.h"

/* A region of a picture, beginning with a whole cell of 16 x 16 pixels. Borrowed. */
struct vae_region {
	const uint16_t *colour; /* its first sample; colours of a pixel are together */
	size_t stride;          /* samples from a row to the next */
	size_t rows, columns;   /* pixels */
	unsigned colours;       /* 1 or 3 */
	uint16_t maxval;
};

/* Sets cells[], one for each cell of the region, row by row, to 1 where exact samples cost less
 * than what the photo model makes of the cell at a quality of 0 to 100: its bits and lambda 255^2
 * times its squared error. A glance at each cell comes first. Where it finds cells that are flat,
 * repeat themselves or have few colours, these and what is around them are encoded on trial. */
int vae_choose_cells(uint8_t *cells, const struct vae_model *model, double quality,
                     const struct vae_region *region, struct vae_error *error);

#endif
