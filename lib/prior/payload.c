#include "prior/payload.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

/* ---- planes ---------------------------------------------------------------------------------- */

/* Calls visit for every symbol in the order of the planes, with its place in coding order. */
static void for_planes(const struct vae_symbols *s, void (*visit)(void *context, size_t place),
                       void *context)
{
	for (size_t c = 0; c < s->z_channels; c++)
		for (size_t cell = 0; cell < s->z_rows * s->z_columns; cell++)
			visit(context, cell * s->z_channels + c);
	for (size_t c = 0; c < s->channels; c++)
		for (size_t cell = 0; cell < s->rows * s->columns; cell++)
			visit(context, vae_symbols_place(s, cell, c));
}

struct planes {
	int32_t *value; /* in coding order */
	uint8_t *out;   /* where the next symbol is written, or read */
	const uint8_t *in;
	int width;
	bool outside; /* whether a symbol read exceeds VAE_SYMBOL_LIMIT */
};

static void put_symbol(void *context, size_t place)
{
	struct planes *p = context;
	uint32_t v = (uint32_t)p->value[place];
	for (int i = 0; i < p->width; i++)
		*p->out++ = (uint8_t)(v >> 8 * i);
}

static void get_symbol(void *context, size_t place)
{
	struct planes *p = context;
	int32_t v = p->width == 1   ? (int8_t)p->in[0]
	            : p->width == 2 ? (int16_t)vae_get16(p->in)
	                            : (int32_t)vae_get32(p->in);
	p->in += p->width;
	if (v < -VAE_SYMBOL_LIMIT || v > VAE_SYMBOL_LIMIT) {
		p->outside = true;
		v = 0;
	}
	p->value[place] = v;
}

static int least_width(const struct vae_symbols *s)
{
	int32_t low = 0, high = 0;
	for (size_t i = 0; i < s->count; i++) {
		low = s->value[i] < low ? s->value[i] : low;
		high = s->value[i] > high ? s->value[i] : high;
	}
	return low >= INT8_MIN && high <= INT8_MAX ? 1 : low >= INT16_MIN && high <= INT16_MAX ? 2 : 4;
}

static int write_planes(struct vae_buffer *buffer, const struct vae_symbols *s,
                        struct vae_error *error)
{
	int width = least_width(s);
	uint8_t *bytes = vae_buffer_extend(buffer, 1 + s->count * (size_t)width, error);
	if (!bytes)
		return VAE_EMEM;
	bytes[0] = (uint8_t)width;
	for_planes(s, put_symbol,
	           &(struct planes){.value = s->value, .out = bytes + 1, .width = width});
	return 0;
}

static int read_planes(struct vae_payload *payload, const struct vae_symbols *s,
                       const uint8_t *data, size_t bytes, struct vae_error *error)
{
	int width = bytes ? data[0] : 0;
	if (width != 1 && width != 2 && width != 4)
		return vae_fail(error, VAE_EDATA, "symbols of %d bytes: there are 1, 2 and 4", width);
	if (bytes != 1 + s->count * (size_t)width)
		return vae_fail(error, VAE_EDATA, "%zu bytes where %zu symbols take %zu", bytes, s->count,
		                1 + s->count * (size_t)width);
	int rc = vae_alloc_raw(&payload->planes, s->count, sizeof *payload->planes, error);
	if (rc)
		return rc;
	struct planes p = {.value = payload->planes, .in = data + 1, .width = width};
	for_planes(s, get_symbol, &p);
	if (!p.outside)
		return 0;
	vae_payload_clear(payload);
	return vae_fail(error, VAE_EDATA, "a symbol is outside +-%d", VAE_SYMBOL_LIMIT);
}

/* ---- both methods ---------------------------------------------------------------------------- */

int vae_payload_write(struct vae_buffer *buffer, const struct vae_symbols *s,
                      const struct vae_cdfs *cdfs, enum vae_method method, struct vae_error *error)
{
	if (method == VAE_METHOD_ZSTD)
		return write_planes(buffer, s, error);
	return vae_coder_encode(buffer, cdfs, s->index, s->value, s->count, error);
}

int vae_payload_start(struct vae_payload *payload, const struct vae_symbols *s,
                      const struct vae_cdfs *cdfs, enum vae_method method, const uint8_t *data,
                      size_t bytes, struct vae_error *error)
{
	struct vae_payload p = {.method = method, .count = s->count};
	int rc = method == VAE_METHOD_ZSTD ? read_planes(&p, s, data, bytes, error)
	                                   : vae_coder_start(&p.range, cdfs, data, bytes, error);
	if (!rc)
		*payload = p;
	return rc;
}

int vae_payload_take(void *context, const uint8_t *index, int32_t *value, size_t n,
                     struct vae_error *error)
{
	struct vae_payload *p = context;
	if (n > p->count - p->taken)
		return vae_fail(error, VAE_EDATA, "more symbols are wanted than there are");
	if (p->method == VAE_METHOD_ZSTD) {
		bool good = true;
		memcpy(value, p->planes + p->taken, n * sizeof *value);
		for (size_t i = 0; i < n; i++)
			good &= index[i] != VAE_CODER_KNOWN || !value[i];
		if (!good)
			return vae_fail(error, VAE_EDATA, "symbols of exact cells are not 0");
	} else
		vae_coder_decode(&p->range, index, value, n);
	p->taken += n;
	if (p->method == VAE_METHOD_RANGE && p->range.failed)
		return vae_fail(error, VAE_EDATA, "the entropy-coded symbols are damaged");
	return 0;
}

int vae_payload_finish(const struct vae_payload *p, struct vae_error *error)
{
	if (p->method == VAE_METHOD_RANGE)
		return vae_coder_finish(&p->range, error);
	return p->taken == p->count
	           ? 0
	           : vae_fail(error, VAE_EDATA, "%zu symbols are left over", p->count - p->taken);
}

void vae_payload_clear(struct vae_payload *p)
{
	free(p->planes);
	memset(p, 0, sizeof *p);
}
