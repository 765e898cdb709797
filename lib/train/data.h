/* data.h - training pictures kept as bytes, and random patches of them.
 *
 * A patch is a window of a picture, reduced by area averaging, oriented, and converted to float:
 *
 *     bytes H x W -> window of size/factor a side -> box filter -> size x size -> orientation */
#ifndef VAE_TRAIN_DATA_H
#define VAE_TRAIN_DATA_H

#include "base/memory.h"
#include "base/random.h"

struct vae_data {
	struct vae_data_picture {
		uint8_t *bytes; /* height x width x channels, owned */
		uint32_t width, height;
		double least, most; /* bounds of the random factor, 1/16 to 1 */
		uint64_t first;     /* weight of all pictures before this one */
	} * picture;            /* owned */
	size_t count, capacity;
	/* Of all pictures: pixels x least x most each, its pixels after reduction by the geometric mean
	 * of the bounds. */
	uint64_t weight;
	int channels; /* 3: pictures are converted to RGB; 1: to grey */
};

#define VAE_REDUCE_LEAST 0.0625 /* the smallest factor */

/* Adds a copy in 8 bits a sample (samples x 255 / maxval, rounded), for patches reduced by least to
 * most (VAE_REDUCE_LEAST <= least <= most <= 1). VAE_EARG for pictures smaller than size x size. */
int vae_data_add(struct vae_data *data, const struct vae_image *image, uint32_t size, double least,
                 double most, struct vae_error *error);
void vae_data_clear(struct vae_data *data);
/* Returns a hash of all pictures in their order, and of their reductions. */
uint64_t vae_data_hash(const struct vae_data *data);

/* Stream numbers for vae_random_init in place of a step's number: no step's samples share them. */
#define VAE_STREAM_START       UINT64_MAX
#define VAE_STREAM_VALIDATION  (UINT64_MAX - 1)
#define VAE_STREAM_SENSITIVITY (UINT64_MAX - 2)
#define VAE_STREAM_TABLES      (UINT64_MAX - 3)
#define VAE_STREAM_RANGES      (UINT64_MAX - 4)

/* Draws a random size x size patch in one of the eight orientations: size x size x channels,
 * samples / 255 - offset. Pictures are weighted by their pixels after reduction. The factor is
 * drawn evenly in the logarithm between the picture's bounds; these are raised if the window would
 * not fit the picture. data is not empty and every picture is at least size x size. */
void vae_data_patch(const struct vae_data *data, struct vae_random *random, uint32_t size,
                    float offset, float *patch);
/* Copies the unreduced patch in the middle of picture i. */
void vae_data_middle(const struct vae_data *data, size_t i, uint32_t width, uint32_t height,
                     float offset, float *patch);

#endif
