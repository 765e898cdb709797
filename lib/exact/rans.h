/* rans.h - the entropy coder of exact samples: rANS (Duda 2013) over probabilities of 15 bits that
 * the caller adapts. vae-codes(5) has the form.
 *
 * An event is an interval [start, start + count) of 0 to 32767, count being its probability times
 * 32768. Each event goes through one of up to four states, which the caller names; independent
 * states let the processor overlap events.
 *
 * rANS decodes first what was encoded last. The encoder therefore keeps the events of a chunk (4
 * bytes each) and walks them backwards at its end. Where chunks end is agreed on by the callers.
 *
 * Both directions share each function: decode is a constant wherever it is called, and value is
 * used when encoding alone.
 */
#ifndef VAE_EXACT_RANS_H
#define VAE_EXACT_RANS_H

#include <stdbool.h>

#include "base/bytes.h"
#include "base/memory.h"

#define VAE_RANS_BITS   15
#define VAE_RANS_ONE    (1 << VAE_RANS_BITS)
#define VAE_RANS_STATES 4
#define VAE_RANS_FLOOR  65536u /* lower limit of states */
#define VAE_RANS_PAD    2048   /* bytes of zeros after the words */

struct vae_rans {
	uint32_t *event;           /* encoding: (count - 1) x 2^17 + start x 4 + state; owned */
	size_t events, room;       /* events held; room for events */
	uint8_t *words;            /* decoding: the words, then VAE_RANS_PAD zeros; owned */
	const uint8_t *next, *end; /* decoding: the next word; the end of the words */
	uint32_t state[VAE_RANS_STATES];
};

/* Makes room for count more events. */
int vae_rans_reserve(struct vae_rans *coder, size_t count, struct vae_error *error);
/* Ends a chunk: appends the coded form of its events, which used the first `states` states, and
 * drops them. */
int vae_rans_flush(struct vae_rans *coder, unsigned states, struct vae_buffer *buffer,
                   struct vae_error *error);
/* Takes a copy of all chunks, which the decoder then starts one by one. */
int vae_rans_open(struct vae_rans *coder, const uint8_t *data, size_t bytes,
                  struct vae_error *error);
/* Starts a chunk. VAE_EDATA if its states are missing. */
int vae_rans_start(struct vae_rans *coder, unsigned states, struct vae_error *error);
/* Returns VAE_EDATA if more words were read than there are. Call it at least every VAE_RANS_PAD / 2
 * events. */
int vae_rans_check(const struct vae_rans *coder, struct vae_error *error);
/* Ends a chunk. VAE_EDATA unless every state is 2^16 again. This is no checksum. */
int vae_rans_end(const struct vae_rans *coder, unsigned states, struct vae_error *error);
/* Returns VAE_EDATA unless every word was read. */
int vae_rans_close(const struct vae_rans *coder, struct vae_error *error);
void vae_rans_clear(struct vae_rans *coder);

static inline void vae_rans_put(struct vae_rans *c, unsigned state, uint32_t start, uint32_t count)
{
	c->event[c->events++] = (count - 1) << 17 | start << 2 | state;
}

static inline uint32_t vae_rans_slot(const struct vae_rans *c, unsigned state)
{
	return c->state[state] & (VAE_RANS_ONE - 1);
}

/* Removes the event that contains slot. */
static inline void vae_rans_take(struct vae_rans *c, unsigned state, uint32_t start, uint32_t count)
{
	uint32_t x = c->state[state];
	x = count * (x >> VAE_RANS_BITS) + (x & (VAE_RANS_ONE - 1)) - start;
	uint32_t more = x < VAE_RANS_FLOOR;
	uint32_t refilled = x << 16 | vae_get16(c->next);
	c->state[state] = more ? refilled : x;
	c->next += 2 * more;
}

/* Codes count <= 15 bits that are 0 or 1 with equal probability. */
static inline uint32_t vae_rans_bits(struct vae_rans *c, unsigned state, uint32_t value,
                                     unsigned count, const bool decode)
{
	unsigned shift = VAE_RANS_BITS - count;
	if (!count)
		return 0;
	if (decode) {
		value = vae_rans_slot(c, state) >> shift;
		vae_rans_take(c, state, value << shift, 1u << shift);
	} else
		vae_rans_put(c, state, value << shift, 1u << shift);
	return value;
}

/* Codes a bit that is 0 with probability zero / 32768, 0 < zero < 32768. */
static inline unsigned vae_rans_bit(struct vae_rans *c, unsigned state, uint32_t zero, unsigned bit,
                                    const bool decode)
{
	if (decode)
		bit = vae_rans_slot(c, state) >= zero;
	uint32_t start = bit ? zero : 0, count = bit ? VAE_RANS_ONE - zero : zero;
	if (decode)
		vae_rans_take(c, state, start, count);
	else
		vae_rans_put(c, state, start, count);
	return bit;
}

#endif
