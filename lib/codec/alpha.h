/* alpha.h - samples beside y are lossless, and wait while the networks work on the colour: alpha,
 * and exact cells. */
#ifndef VAE_ALPHA_H
#define VAE_ALPHA_H

#include "base/error.h"

/* Rows of such samples that were read and not yet handed out. Starts as zeros but for width. */
struct vae_alpha_queue {
	uint16_t *sample;   /* rows x width, 0 to maxval; owned */
	size_t width, rows; /* samples of a row of pixels; rows */
	size_t room;        /* rows allocated */
};
/* Rows of pixels that `count` rows of cells from `row` on cover; 0 where nothing is beside y. */
size_t vae_alpha_rows(const struct vae_head *head, size_t row, size_t count);
/* Appends `rows` rows: *place is where the caller fills them in, NULL for 0. VAE_EMEM. */
int vae_alpha_queue_add(struct vae_alpha_queue *queue, size_t rows, uint16_t **place,
                        struct vae_error *error);
/* Removes rows from the front; copies them to `to` unless it is NULL. */
void vae_alpha_queue_take(struct vae_alpha_queue *queue, size_t rows, uint16_t *to);
void vae_alpha_queue_clear(struct vae_alpha_queue *queue);

#endif
