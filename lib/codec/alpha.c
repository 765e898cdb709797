#include "codec/alpha.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "stream/geometry.h"

size_t vae_alpha_rows(const struct vae_head *head, size_t row, size_t count)
{
	size_t samples = 0, each = vae_exact_samples(head);
	for (size_t i = 0; i < count; i++)
		samples += vae_row_samples(head, (uint32_t)(row + i));
	return each ? samples / (head->geometry.width * each) : 0;
}

int vae_alpha_queue_add(struct vae_alpha_queue *q, size_t rows, uint16_t **place,
                        struct vae_error *error)
{
	int rc = rows ? vae_reserve(&q->sample, &q->room, q->rows + rows, q->rows,
	                            q->width * sizeof *q->sample, error)
	              : 0;
	if (rc)
		return rc;
	*place = rows ? q->sample + q->rows * q->width : NULL;
	q->rows += rows;
	return 0;
}

void vae_alpha_queue_take(struct vae_alpha_queue *q, size_t rows, uint16_t *to)
{
	if (!rows)
		return;
	if (to)
		memcpy(to, q->sample, rows * q->width * sizeof *to);
	q->rows -= rows;
	memmove(q->sample, q->sample + rows * q->width, q->rows * q->width * sizeof *q->sample);
}

void vae_alpha_queue_clear(struct vae_alpha_queue *q) { free(q->sample); }
