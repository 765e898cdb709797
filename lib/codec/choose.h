/* choose.h - chooses the exact cells of a picture: those that are cheaper that way. */
#ifndef VAE_CODEC_CHOOSE_H
#define VAE_CODEC_CHOOSE_H

#include "base/rect.h"
#include "model/model.h"

/* A region of a picture, beginning with a whole cell of 16 x 16 pixels. Borrowed. */
struct vae_region {
	const uint16_t *colour; /* its first sample; colours of a pixel are together */
	size_t stride;          /* samples between rows */
	size_t rows, columns;   /* pixels */
	unsigned colours;       /* 1 or 3 */
	uint16_t maxval;
};

/* Sets cells[], one for each cell of the region, row by row, to 1 if exact samples cost less than
 * the photo model's result at a quality of 0 to 100: its bits, and lambda 255^2 times its squared
 * error. First glances at each cell. Suspects are flat, repeat themselves or have few colours; they
 * are encoded on trial, with their surroundings. If most cells are such, all
 * are. If the others are no photograph either, the region is a drawing: all of it becomes exact if
 * that costs at most four times what the cheapest map does, and less at qualities below 30. */
int vae_choose_cells(uint8_t *cells, const struct vae_model *model, double quality,
                     const struct vae_region *region, struct vae_error *error);

#endif
