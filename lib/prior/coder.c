/* coder.c - the payload, precisely.
 *
 *   state 0, ..., state STATES - 1 (5 bytes each), words (2 bytes each), least significant first
 *
 * A state x is an integer, 2^24 <= x < 2^40. Symbol n of the payload (from 0) uses state n mod
 * STATES. Decoding a symbol of a table, where cumulative[] ends with 65536:
 *
 *   place = x mod 65536; s = the symbol with cumulative[s] <= place < cumulative[s + 1]
 *   x = (cumulative[s + 1] - cumulative[s]) (x / 65536) + place - cumulative[s]
 *   if x < 2^24: x = 65536 x + the next word
 *
 * s is -bound .. bound, or the escape. After an escape, digits follow through the same state: a
 * digit of k bits, 1 <= k <= 16, is a symbol of a table of 2^k equal counts. With n = |value| -
 * bound of bit length L, 1 <= L <= 20, the digits are: L - 1 times a 1-bit 0; a 1-bit 1; the bits
 * of n above its low 16 and below its leading 1 (if L > 17); the low min(L - 1, 16) bits (if L >
 * 1); the sign (1 bit, 1 is negative). This is Exp-Golomb. After the last symbol no word is left
 * and all states are 2^24.
 *
 * The encoder does the same backwards: states start at 2^24, symbols and digits are taken last to
 * first, words are pushed.
 *
 * These numbers keep x / count above 2^8, so that rounding it loses under 10^-6 bit a symbol, and a
 * step moves at most one word. A state costs 3 bytes more than the information it carries; decoders
 * check them at the end. At most one sequence of symbols has a given payload. Damage that turns one
 * valid payload into another, such as a reversed sign of an escape, needs a checksum to be seen. */
#include "prior/coder.h"

#include "base/bytes.h"

#include <math.h>

#define STATES       ((int)(sizeof(((struct vae_coder_decoder *)0)->state) / sizeof(uint64_t)))
#define LOW          ((uint64_t)1 << 24)
#define STATE_BYTES  5
#define WORD_BYTES   2
#define PREFIX_LIMIT 19 /* L - 1 of the largest n, VAE_SYMBOL_LIMIT - 1 */

_Static_assert(VAE_SYMBOL_LIMIT < 2 << PREFIX_LIMIT, "an escape's value fits its prefix");
_Static_assert(VAE_SCALE_BITS == 16, "words, places and counts are 16 bits");

/* ---- encoder --------------------------------------------------------------------------------- */

/* A symbol takes at most STEPS steps of at most one word each. */
enum { BLOCK = 4096, STEPS = 1 + PREFIX_LIMIT + 1 + 2 + 1 };

struct encoder {
	uint64_t state[STATES];
	uint16_t *word; /* where the next word goes; the payload has them in the opposite order */
};

static inline void push(struct encoder *e, int lane, uint32_t first, uint32_t count)
{
	uint64_t x = e->state[lane];
	if (x >= (uint64_t)count << 24) {
		*e->word++ = (uint16_t)x;
		x >>= 16;
	}
	e->state[lane] = (x / count << 16) + x % count + first;
}

static void push_digit(struct encoder *e, int lane, uint32_t digit, int bits)
{
	push(e, lane, digit << (16 - bits), 1U << (16 - bits));
}

static int bit_length(uint32_t n) { return 32 - __builtin_clz(n); }

static void push_escape(struct encoder *e, int lane, uint32_t n, bool negative)
{
	int rest = bit_length(n) - 1;
	push_digit(e, lane, negative, 1);
	if (rest > 0)
		push_digit(e, lane, rest < 16 ? n ^ 1U << rest : n & 0xffff, rest < 16 ? rest : 16);
	if (rest > 16)
		push_digit(e, lane, n >> 16 ^ 1U << (rest - 16), rest - 16);
	push_digit(e, lane, 1, 1);
	for (int i = 0; i < rest; i++)
		push_digit(e, lane, 0, 1);
}

static inline int encode_symbol(struct encoder *e, const struct vae_cdfs *cdfs, int lane,
                                uint8_t index, int32_t value)
{
	if (index == VAE_CODER_KNOWN && !value)
		return 0;
	if (index >= VAE_SCALES || value > VAE_SYMBOL_LIMIT || value < -VAE_SYMBOL_LIMIT)
		return VAE_EARG;
	int32_t bound = cdfs->bound[index], s = value + bound;
	const uint16_t *c = cdfs->cumulative + cdfs->first[index];
	if ((uint32_t)s > (uint32_t)(2 * bound)) {
		s = 2 * bound + 1;
		push_escape(e, lane, (uint32_t)((value < 0 ? -value : value) - bound), value < 0);
	}
	push(e, lane, c[s], (uint16_t)(c[s + 1] - c[s]));
	return 0;
}

static int append_payload(struct vae_buffer *buffer, const uint64_t *state, const uint16_t *words,
                          size_t count, struct vae_error *error)
{
	uint8_t *p = vae_buffer_extend(buffer, STATES * STATE_BYTES + count * WORD_BYTES, error);
	if (!p)
		return VAE_EMEM;
	for (int lane = 0; lane < STATES; lane++, p += STATE_BYTES) {
		vae_put32(p, (uint32_t)state[lane]);
		p[4] = (uint8_t)(state[lane] >> 32);
	}
	for (size_t i = count; i-- > 0; p += WORD_BYTES)
		vae_put16(p, words[i]);
	return 0;
}

int vae_coder_encode(struct vae_buffer *buffer, const struct vae_cdfs *cdfs, const uint8_t *index,
                     const int32_t *value, size_t count, struct vae_error *error)
{
	int code = 0;
	struct vae_buffer words = {0};
	struct encoder e = {0};
	for (int lane = 0; lane < STATES; lane++)
		e.state[lane] = LOW;
	for (size_t n = count; n > 0;) {
		size_t stop = n > BLOCK ? n - BLOCK : 0;
		uint8_t *room = vae_buffer_extend(&words, (n - stop) * STEPS * sizeof *e.word, error);
		if (!room) {
			code = VAE_EMEM;
			goto out;
		}
		e.word = (uint16_t *)(void *)room;
		while (n-- > stop)
			if (encode_symbol(&e, cdfs, (int)(n % STATES), index[n], value[n])) {
				code = vae_fail(error, VAE_EARG, "symbol %zu, %ld with table %d, cannot be coded",
				                n, (long)value[n], index[n]);
				goto out;
			}
		n = stop;
		words.size = (size_t)((uint8_t *)e.word - words.data);
	}
	code = append_payload(buffer, e.state, (const uint16_t *)(void *)words.data,
	                      words.size / sizeof(uint16_t), error);
out:
	vae_buffer_clear(&words);
	return code;
}

/* ---- decoder --------------------------------------------------------------------------------- */

int vae_coder_start(struct vae_coder_decoder *decoder, const struct vae_cdfs *cdfs,
                    const uint8_t *data, size_t bytes, struct vae_error *error)
{
	struct vae_coder_decoder made = {.cdfs = cdfs};
	if (bytes < (size_t)STATES * STATE_BYTES)
		return vae_fail(error, VAE_EDATA, "coded symbols are truncated: %zu bytes, %d at least",
		                bytes, STATES * STATE_BYTES);
	for (int lane = 0; lane < STATES; lane++) {
		const uint8_t *p = data + lane * STATE_BYTES;
		made.state[lane] = vae_get32(p) | (uint64_t)p[4] << 32;
		if (made.state[lane] < LOW)
			return vae_fail(error, VAE_EDATA,
			                "coded symbols are damaged: coder state %d is too small", lane);
	}
	made.data = data + STATES * STATE_BYTES;
	made.end = data + bytes;
	*decoder = made;
	return 0;
}

/* Takes the last step of decoding a symbol or digit: returns the new state x. */
static inline uint64_t stepped(struct vae_coder_decoder *d, uint64_t x, uint32_t first,
                               uint32_t count)
{
	uint64_t next = count * (x >> 16) + (x & 0xffff) - first;
	if (next >= LOW)
		return next;
	if (d->end - d->data < WORD_BYTES) {
		d->failed = true;
		return x;
	}
	next = next << 16 | vae_get16(d->data);
	d->data += WORD_BYTES;
	return next;
}

static uint32_t pull_digit(struct vae_coder_decoder *d, uint64_t *x, int bits)
{
	uint32_t digit = (uint32_t)(*x & 0xffff) >> (16 - bits);
	*x = stepped(d, *x, digit << (16 - bits), 1U << (16 - bits));
	return digit;
}

static int32_t pull_escape(struct vae_coder_decoder *d, uint64_t *x, int32_t bound)
{
	int rest = 0;
	while (!d->failed && !pull_digit(d, x, 1))
		if (++rest > PREFIX_LIMIT)
			d->failed = true;
	if (d->failed)
		return 0;
	uint32_t n = 1;
	if (rest > 16)
		n = n << (rest - 16) | pull_digit(d, x, rest - 16);
	if (rest > 0) {
		int low = rest < 16 ? rest : 16;
		n = n << low | pull_digit(d, x, low);
	}
	bool negative = pull_digit(d, x, 1);
	int32_t value = (int32_t)n + bound;
	if (value > VAE_SYMBOL_LIMIT)
		d->failed = true;
	return negative ? -value : value;
}

/* Decodes a symbol with the state of a lane; after a failure it is 0. */
static inline __attribute__((always_inline)) int32_t decode_symbol(struct vae_coder_decoder *d,
                                                                   uint64_t *state, int lane,
                                                                   uint8_t index)
{
	const struct vae_cdfs *cdfs = d->cdfs;
	if (index == VAE_CODER_KNOWN || d->failed)
		return 0;
	int32_t bound = cdfs->bound[index];
	const uint16_t *c = cdfs->cumulative + cdfs->first[index];
	int32_t s = vae_cdfs_find(cdfs, index, (uint32_t)(*state & 0xffff));
	*state = stepped(d, *state, c[s], (uint16_t)(c[s + 1] - c[s]));
	if (s <= 2 * bound)
		return d->failed ? 0 : s - bound;
	d->state[lane] = *state;
	int32_t v = pull_escape(d, &d->state[lane], bound);
	*state = d->state[lane];
	return d->failed ? 0 : v;
}

void vae_coder_decode(struct vae_coder_decoder *decoder, const uint8_t *index, int32_t *value,
                      size_t count)
{
	struct vae_coder_decoder d = *decoder;
	uint64_t even = d.state[0], odd = d.state[1]; /* in registers */
	size_t n = 0;
	_Static_assert(STATES == 2, "symbols are decoded in pairs");
	if (d.position % 2 && count)
		value[n++] = decode_symbol(&d, &odd, 1, *index);
	for (; n + 1 < count; n += 2) {
		value[n] = decode_symbol(&d, &even, 0, index[n]);
		value[n + 1] = decode_symbol(&d, &odd, 1, index[n + 1]);
	}
	if (n < count)
		value[n] = decode_symbol(&d, &even, 0, index[n]);
	d.state[0] = even;
	d.state[1] = odd;
	d.position += count;
	*decoder = d;
}

int vae_coder_finish(const struct vae_coder_decoder *decoder, struct vae_error *error)
{
	if (decoder->failed)
		return vae_fail(error, VAE_EDATA, "coded symbols are truncated or damaged");
	if (decoder->data != decoder->end)
		return vae_fail(error, VAE_EDATA, "coded symbols are damaged: %zu bytes are left over",
		                (size_t)(decoder->end - decoder->data));
	for (int lane = 0; lane < STATES; lane++)
		if (decoder->state[lane] != LOW)
			return vae_fail(error, VAE_EDATA,
			                "coded symbols are damaged: they do not end where they should");
	return 0;
}

double vae_coder_bits(const struct vae_cdfs *cdfs, uint8_t index, int32_t value)
{
	if (index == VAE_CODER_KNOWN)
		return 0;
	int32_t bound = cdfs->bound[index], magnitude = value < 0 ? -value : value;
	int32_t s = magnitude <= bound ? value + bound : 2 * bound + 1;
	const uint16_t *c = cdfs->cumulative + cdfs->first[index];
	double bits = VAE_SCALE_BITS - log2((uint16_t)(c[s + 1] - c[s]));
	return magnitude <= bound ? bits : bits + 2 * bit_length((uint32_t)(magnitude - bound));
}
