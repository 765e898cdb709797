#include "exact/rans.h"

#include <stdlib.h>
#include <string.h>

int vae_rans_reserve(struct vae_rans *c, size_t count, struct vae_error *error)
{
	size_t need = c->events + count;
	if (need <= c->room)
		return 0;
	return vae_reserve(&c->event, &c->room, need + need / 2, c->events, sizeof *c->event, error);
}

int vae_rans_flush(struct vae_rans *c, unsigned states, struct vae_buffer *buffer,
                   struct vae_error *error)
{
	uint32_t state[VAE_RANS_STATES];
	uint8_t *words, *first, *end;
	size_t most = 2 * c->events + 4 * states, old = buffer->size;
	for (unsigned i = 0; i < states; i++)
		state[i] = VAE_RANS_FLOOR;
	words = vae_buffer_extend(buffer, most, error); /* an event is at most a word */
	if (!words)
		return VAE_EMEM;
	first = end = words + most;
	for (size_t i = c->events; i--;) {
		uint32_t e = c->event[i], count = (e >> 17) + 1, start = e >> 2 & (VAE_RANS_ONE - 1),
				 *x = &state[e & 3];
		if (*x >> 17 >= count) {
			vae_put16(first -= 2, (uint16_t)*x);
			*x >>= 16;
		}
		*x = (*x / count << VAE_RANS_BITS) + *x % count + start;
	}
	for (unsigned i = states; i--;)
		vae_put32(first -= 4, state[i]);
	memmove(words, first, (size_t)(end - first));
	buffer->size = old + (size_t)(end - first);
	c->events = 0;
	return 0;
}

int vae_rans_open(struct vae_rans *c, const uint8_t *data, size_t bytes, struct vae_error *error)
{
	int rc = vae_alloc_raw(&c->words, bytes + VAE_RANS_PAD, sizeof *c->words, error);
	if (rc)
		return rc;
	memcpy(c->words, data, bytes);
	memset(c->words + bytes, 0, VAE_RANS_PAD);
	c->next = c->words;
	c->end = c->words + bytes;
	return 0;
}

static int damaged(struct vae_error *error)
{
	return vae_fail(error, VAE_EDATA, "exact samples are truncated or damaged");
}

int vae_rans_start(struct vae_rans *c, unsigned states, struct vae_error *error)
{
	if (c->next > c->end || (size_t)(c->end - c->next) < 4 * states)
		return damaged(error);
	for (unsigned i = 0; i < states; i++, c->next += 4)
		c->state[i] = vae_get32(c->next);
	return 0;
}

int vae_rans_check(const struct vae_rans *c, struct vae_error *error)
{
	return c->next > c->end ? damaged(error) : 0;
}

int vae_rans_end(const struct vae_rans *c, unsigned states, struct vae_error *error)
{
	bool good = true;
	for (unsigned i = 0; i < states; i++)
		good &= c->state[i] == VAE_RANS_FLOOR;
	return good ? 0 : damaged(error);
}

int vae_rans_close(const struct vae_rans *c, struct vae_error *error)
{
	return c->next == c->end ? 0 : damaged(error);
}

void vae_rans_clear(struct vae_rans *c)
{
	free(c->event);
	free(c->words);
	*c = (struct vae_rans){0};
}
