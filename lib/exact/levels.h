/* levels.h - samples that use few values, such as 8 bits stretched to 16, become the numbers of
 * these values. vae-codes(5) has their form. */
#ifndef VAE_EXACT_LEVELS_H
#define VAE_EXACT_LEVELS_H

#include "exact/part.h"

enum { VAE_EXACT_LEVELS = 4096 }; /* at most */

struct vae_exact_levels {
	uint32_t count;                   /* 0, or 2 to VAE_EXACT_LEVELS */
	uint16_t value[VAE_EXACT_LEVELS]; /* of each level, ascending */
	uint16_t number[65536];           /* of each value that is a level */
};

/* Finds the values of a part's exact samples. Returns false, and sets count to 0, if they are too
 * few or too many to be levels, or if no value between them is missing. */
bool vae_exact_levels_find(struct vae_exact_levels *levels, const struct vae_exact_part *part);
int vae_exact_levels_write(const struct vae_exact_levels *levels, struct vae_buffer *buffer,
                           struct vae_error *error);
/* VAE_EDATA for an impossible count, or a level above maxval. */
int vae_exact_levels_read(struct vae_exact_levels *levels, struct vae_exact_bytes *bytes,
                          uint32_t maxval, struct vae_error *error);

#endif
