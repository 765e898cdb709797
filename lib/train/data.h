/* data.h - training pictures kept as bytes, and the random patches cut from them. */
#ifndef VAE_TRAIN_DATA_H
#define VAE_TRAIN_DATA_H

#include "base/memory.h"
#include "base/random.h"

struct vae_data {
	struct vae_data_picture {
		uint8_t *bytes;         /* height x width x channels, owned */
		uint32_t width, height;
		uint64_t first;         /* pixels of all pictures before this one */
	} *picture;                     /* owned */
	size_t count, capacity;
	uint64_t pixels;                /* of all pictures */
	int channels;                   /* 3: pictures become RGB; 1: grey */
};

/* Adds a copy in 8 bits a sample (samples x 255 / maxval, rounded). VAE_EARG for pictures smaller than least x least pixels. */
int vae_data_add(struct vae_data *data, const struct vae_image *image, uint32_t least, struct vae_error *error);
void vae_data_clear(struct vae_data *data);

/* A random size x size patch in a random one of the eight orientations, pictures weighted by their pixels: size x size x channels,
 * samples / 255 - offset. data is not empty and every picture is at least size x size. */
void vae_data_patch(const struct vae_data *data, struct vae_random *random, uint32_t size, float offset, float *patch);
/* The patch in the middle of picture i, as it stands. */
void vae_data_middle(const struct vae_data *data, size_t i, uint32_t width, uint32_t height, float offset, float *patch);

#endif
