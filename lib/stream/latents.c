/* latents.c - vae-latents(5): a text header in the manner of PAM, then y as little-endian binary32, then alpha. */
#include "base/bytes.h"
#include "base/memory.h"
#include "image/image.h"
#include "stream/geometry.h"

#include <math.h>
#include <stdlib.h>

#define MAGIC "VAELATENTS 0"
#define HINT_LIMIT 4096                     /* bytes of a path before it is percent-encoded */
#define LINE_LIMIT (3 * HINT_LIMIT + 16)
#define CHUNK 16384                         /* floats handled at a time */

/* ---- percent-encoding (RFC 3986) --------------------------------------------------------------------------------------- */

static void percent_encode(char *out, const char *text)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/";
	for (; *text; text++)
		if (strchr(plain, *text))
			*out++ = *text;
		else
			out += sprintf(out, "%%%02X", (unsigned char)*text);
	*out = 0;
}

static int hex_digit(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; }

/* In place; false for a malformed triplet or a NUL inside. */
static bool percent_decode(char *text)
{
	char *out = text;
	for (; *text; text++) {
		if (*text != '%') {
			*out++ = *text;
			continue;
		}
		int high = hex_digit(text[1]), low = high < 0 ? -1 : hex_digit(text[2]);
		if (low < 0 || !(high | low))
			return false;
		*out++ = (char)(high << 4 | low);
		text += 2;
	}
	*out = 0;
	return true;
}

/* ---- the header -------------------------------------------------------------------------------------------------------- */

enum key { MODEL, HINT, WIDTH, HEIGHT, FORMAT, TUPLTYPE, MAXVAL, QUALITY, ROWS, COLUMNS, CHANNELS, KEYS };
static const struct { const char *name; uint32_t low, high; } keys[KEYS] = { /* high 0: not a number */
	[MODEL] = {"MODEL", 0, 0}, [HINT] = {"HINT", 0, 0}, [WIDTH] = {"WIDTH", 1, INT32_MAX}, [HEIGHT] = {"HEIGHT", 1, INT32_MAX},
	[FORMAT] = {"FORMAT", 0, 0}, [TUPLTYPE] = {"TUPLTYPE", 0, 0}, [MAXVAL] = {"MAXVAL", 1, 65535}, [QUALITY] = {"QUALITY", 0, VAE_QUALITY_ONE},
	[ROWS] = {"ROWS", 1, INT32_MAX}, [COLUMNS] = {"COLUMNS", 1, INT32_MAX}, [CHANNELS] = {"CHANNELS", 1, VAE_MAX_CHANNELS}};

struct header {
	uint32_t number[KEYS];
	uint64_t model_id;
	char *hint;            /* owned */
	int tuple;
	bool seen[KEYS];
};

/* Decimal digits without sign or leading zeros, as they are written. */
static bool parse_number(uint32_t *number, const char *text, uint32_t low, uint32_t high)
{
	size_t digits = strspn(text, "0123456789");
	if (!digits || digits > 10 || text[digits] || (digits > 1 && *text == '0'))
		return false;
	unsigned long long v = strtoull(text, NULL, 10);
	*number = (uint32_t)v;
	return v >= low && v <= high;
}

static bool parse_id(uint64_t *id, const char *text)
{
	*id = strtoull(text, NULL, 16);
	return strlen(text) == 16 && strspn(text, "0123456789abcdef") == 16;
}

static int parse_value(struct header *h, enum key key, char *value, int64_t offset, struct vae_error *error)
{
	bool good;
	switch (key) {
	case MODEL:
		good = parse_id(&h->model_id, value);
		break;
	case HINT:
		good = *value == '/' && percent_decode(value) && strlen(value) <= HINT_LIMIT;
		if (good && !(h->hint = strdup(value)))
			return vae_fail(error, VAE_EMEM, "out of memory");
		break;
	case FORMAT:
		good = value[0] == 'P' && value[1] >= '4' && value[1] <= '7' && !value[2];
		h->number[FORMAT] = good ? (uint32_t)(value[1] - '0') : 0;
		break;
	case TUPLTYPE:
		good = (h->tuple = vae_tuple_find(value)) >= 0;
		break;
	default:
		good = parse_number(&h->number[key], value, keys[key].low, keys[key].high);
	}
	return good ? 0 : vae_fail_at(error, VAE_EDATA, offset, "latents: %s %.60s is not a possible value", keys[key].name, value);
}

static int parse_line(struct header *h, char *line, int64_t offset, struct vae_error *error)
{
	char *value = strchr(line, ' ');
	if (value)
		*value++ = 0;
	for (int key = 0; value && key < KEYS; key++)
		if (!strcmp(line, keys[key].name)) {
			if (h->seen[key])
				return vae_fail_at(error, VAE_EDATA, offset, "latents: %s is there twice", line);
			h->seen[key] = true;
			return parse_value(h, (enum key)key, value, offset, error);
		}
	return vae_fail_at(error, VAE_EDATA, offset, "latents: a line of the header starts with '%.40s', which is no keyword", line);
}

struct reader {
	struct vae_source source;
	FILE *file;
	char line[LINE_LIMIT];
};

static int file_read(struct vae_source *source, void *data, size_t bytes, struct vae_error *error)
{
	struct reader *r = (struct reader *)source;
	size_t n = fread(data, 1, bytes, r->file);
	source->offset += (int64_t)n;
	if (n == bytes)
		return 0;
	return ferror(r->file) ? vae_fail_errno(error, "cannot read latents") : vae_fail_at(error, VAE_EDATA, source->offset, "latents: truncated");
}

/* Printable ASCII up to a newline, which is dropped. first: EOF before the first byte is the clean end, 0; else returns 1. */
static int read_line(struct reader *r, bool first, struct vae_error *error)
{
	size_t n = 0;
	for (int c; (c = getc(r->file)) != '\n'; r->source.offset++) {
		if (c == EOF && ferror(r->file))
			return vae_fail_errno(error, "cannot read latents");
		if (c == EOF && first && n == 0)
			return 0;
		if (c == EOF)
			return vae_fail_at(error, VAE_EDATA, r->source.offset, "latents: truncated in the header");
		if (c < ' ' || c > '~' || n == sizeof r->line - 1 || (first && (n >= strlen(MAGIC) || c != MAGIC[n])))
			return vae_fail_at(error, VAE_EDATA, r->source.offset, first ? "not latents: the first line is not " MAGIC : "latents: malformed header");
		r->line[n++] = (char)c;
	}
	r->line[n] = 0;
	r->source.offset++;
	return !first || n == strlen(MAGIC) ? 1 : vae_fail_at(error, VAE_EDATA, r->source.offset - 1, "not latents: the first line is not " MAGIC);
}

/* Every key once, HINT at most once, in any order, up to ENDHDR. Returns 1, or 0 at the clean end. */
static int read_header(struct header *h, struct reader *r, struct vae_error *error)
{
	int result = read_line(r, true, error);
	if (result != 1)
		return result;
	for (;;) {
		int64_t offset = r->source.offset;
		if ((result = read_line(r, false, error)) != 1)
			return result;
		if (!strcmp(r->line, "ENDHDR"))
			break;
		if ((result = parse_line(h, r->line, offset, error)))
			return result;
	}
	for (int key = 0; key < KEYS; key++)
		if (!h->seen[key] && key != HINT)
			return vae_fail_at(error, VAE_EDATA, r->source.offset, "latents: the header has no %s", keys[key].name);
	return 1;
}

/* ---- reading ----------------------------------------------------------------------------------------------------------- */

/* count floats; memory grows with what is really there. */
static int read_floats(float **y, size_t count, struct vae_source *source, struct vae_error *error)
{
	struct vae_buffer floats = {0};
	int result = 0;
	for (size_t first = 0; first < count; first += CHUNK) {
		size_t n = count - first < CHUNK ? count - first : CHUNK;
		int64_t start = source->offset;
		uint8_t *bytes = vae_buffer_extend(&floats, 4 * n, error);
		if ((result = bytes ? source->read(source, bytes, 4 * n, error) : VAE_EMEM))
			goto out;
		for (size_t i = 0; i < n; i++) {
			float f = vae_get_float(bytes + 4 * i);
			if (!isfinite(f)) {
				result = vae_fail_at(error, VAE_EDATA, start + 4 * (int64_t)i, "latents: number %zu is not finite", first + i);
				goto out;
			}
			memcpy(bytes + 4 * i, &f, 4);
		}
	}
	*y = (float *)(void *)floats.data;
	floats.data = NULL;
out:
	vae_buffer_clear(&floats);
	return result;
}

static int read_body(struct vae_latents **latents, struct header *h, struct vae_source *source, uint64_t max_pixels, struct vae_error *error)
{
	struct vae_latents *l;
	size_t count;
	int result = vae_alloc(&l, 1, sizeof *l, error);
	if (result)
		return result;
	l->geometry = (struct vae_geometry){h->number[WIDTH], h->number[HEIGHT], (uint16_t)h->number[MAXVAL], (enum vae_format)h->number[FORMAT],
	                                    (enum vae_tuple)h->tuple};
	l->model_id = h->model_id;
	l->model_hint = h->hint;
	h->hint = NULL;
	l->quality = (uint16_t)h->number[QUALITY];
	l->rows = h->number[ROWS];
	l->columns = h->number[COLUMNS];
	l->channels = h->number[CHANNELS];
	if ((result = vae_shape_check(&l->geometry, l->rows, l->columns, l->channels, max_pixels, VAE_EDATA, NULL, error)) ||
	    (result = vae_multiply(&count, l->rows, l->columns, l->channels, error)) || (result = read_floats(&l->y, count, source, error)))
		goto out;
	if (vae_has_alpha(l->geometry.tuple) && (result = vae_alpha_read(&l->alpha, &l->geometry, source, error)))
		goto out;
	*latents = l;
	l = NULL;
out:
	vae_latents_free(l);
	return result;
}

int vae_latents_read(struct vae_latents **latents, FILE *file, uint64_t max_pixels, struct vae_error *error)
{
	struct reader r = {.source = {.read = file_read}, .file = file};
	struct header h = {0};
	off_t here = ftello(file);
	r.source.offset = here < 0 ? 0 : here; /* in a pipe, offsets count from the image's start */
	int result = read_header(&h, &r, error);
	if (result == 1) {
		result = read_body(latents, &h, &r.source, max_pixels, error);
		result = result ? result : 1;
	}
	free(h.hint);
	return result;
}

/* ---- writing ----------------------------------------------------------------------------------------------------------- */

static int check(const struct vae_latents *l, size_t count, struct vae_error *error)
{
	int result = vae_shape_check(&l->geometry, l->rows, l->columns, l->channels, UINT64_MAX, VAE_EARG, NULL, error);
	if (result)
		return result;
	if (vae_has_alpha(l->geometry.tuple) != (l->alpha != NULL))
		return vae_fail(error, VAE_EARG, "latents: alpha samples and tuple type %s do not go together", vae_tuple_name(l->geometry.tuple));
	for (size_t i = 0; i < count; i++)
		if (!isfinite(l->y[i]))
			return vae_fail(error, VAE_EDATA, "latents: number %zu is not finite", i);
	return 0;
}

static bool write_header(const struct vae_latents *l, FILE *file)
{
	const struct vae_geometry *g = &l->geometry;
	char hint[3 * HINT_LIMIT + 1];
	bool good = fprintf(file, MAGIC "\nMODEL %016llx\n", (unsigned long long)l->model_id) > 0;
	if (l->model_hint && *l->model_hint == '/' && strlen(l->model_hint) <= HINT_LIMIT) { /* another is of no use to a reader */
		percent_encode(hint, l->model_hint);
		good = good && fprintf(file, "HINT %s\n", hint) > 0;
	}
	return good && fprintf(file, "WIDTH %u\nHEIGHT %u\nFORMAT P%d\nTUPLTYPE %s\nMAXVAL %u\nQUALITY %u\nROWS %u\nCOLUMNS %u\nCHANNELS %u\nENDHDR\n",
	                       g->width, g->height, (int)g->format, vae_tuple_name(g->tuple), g->maxval, l->quality, l->rows, l->columns, l->channels) > 0;
}

static bool write_data(const struct vae_latents *l, size_t count, FILE *file)
{
	uint8_t bytes[CHUNK * 4];
	for (size_t first = 0; first < count; first += CHUNK) {
		size_t n = count - first < CHUNK ? count - first : CHUNK;
		for (size_t i = 0; i < n; i++)
			vae_put_float(bytes + 4 * i, l->y[first + i]);
		if (fwrite(bytes, 4, n, file) != n)
			return false;
	}
	size_t samples = l->alpha ? (size_t)l->geometry.width * l->geometry.height : 0;
	for (size_t first = 0; first < samples; first += CHUNK) {
		size_t n = vae_alpha_put(bytes, &l->geometry, l->alpha, first, samples - first < CHUNK ? samples - first : CHUNK);
		if (fwrite(bytes, 1, n, file) != n)
			return false;
	}
	return true;
}

int vae_latents_write(const struct vae_latents *latents, FILE *file, struct vae_error *error)
{
	size_t count;
	int result = vae_multiply(&count, latents->rows, latents->columns, latents->channels, error);
	if (result || (result = check(latents, count, error)))
		return result;
	return write_header(latents, file) && write_data(latents, count, file) ? 0 : vae_fail_errno(error, "cannot write latents");
}

void vae_latents_free(struct vae_latents *latents)
{
	if (!latents)
		return;
	free(latents->model_hint);
	free(latents->y);
	free(latents->alpha);
	free(latents);
}
