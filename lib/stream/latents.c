/* latents.c - vae-latents(5): a text header in the style of PAM; then, for each row of cells, y as
 * little-endian binary32 and the samples of its pixels that are stored beside it: alpha (version
 * 1); all samples of an exact picture, or the map of exact cells, their colours, and alpha (version
 * 2). */
#include "base/bytes.h"
#include "base/memory.h"
#include "base/minmax.h"
#include "image/image.h"
#include "stream/geometry.h"

#include <math.h>
#include <stdlib.h>

#define MAGIC       "VAELATENTS "
#define NEWEST      2    /* version */
#define HINT_LIMIT  4096 /* bytes of a path before it is percent-encoded */
#define LINE_LIMIT  (3 * HINT_LIMIT + 16)
#define CHUNK       16384 /* bytes processed at a time */
#define BAND_FLOATS ((uint64_t)1 << 22)
#define EXACT_CELL_FLOATS \
	(16 * 16 * 4 / 2) /* memory of an exact cell of 4 samples of 2 bytes a pixel */

/* ---- percent-encoding (RFC 3986) ------------------------------------------------------------- */

static void percent_encode(char *out, const char *text)
{
	static const char plain[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/";
	for (; *text; text++)
		if (strchr(plain, *text))
			*out++ = *text;
		else
			out += sprintf(out, "%%%02X", (unsigned char)*text);
	*out = 0;
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	                              : -1;
}

/* Decodes in place; false for a malformed triplet or an encoded NUL. */
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

/* ---- the header ------------------------------------------------------------------------------ */

enum key {
	MODEL,
	HINT,
	WIDTH,
	HEIGHT,
	FORMAT,
	TUPLTYPE,
	MAXVAL,
	QUALITY,
	ROWS,
	COLUMNS,
	CHANNELS,
	EXACT,
	KEYS
};
static const struct {
	const char *name;
	uint32_t low, high;
} keys[KEYS] = {/* high 0: not a number */
                [MODEL] = {"MODEL", 0, 0},
                [HINT] = {"HINT", 0, 0},
                [WIDTH] = {"WIDTH", 1, INT32_MAX},
                [HEIGHT] = {"HEIGHT", 1, INT32_MAX},
                [FORMAT] = {"FORMAT", 0, 0},
                [TUPLTYPE] = {"TUPLTYPE", 0, 0},
                [MAXVAL] = {"MAXVAL", 1, 65535},
                [QUALITY] = {"QUALITY", 0, VAE_QUALITY_ONE},
                [ROWS] = {"ROWS", 1, INT32_MAX},
                [COLUMNS] = {"COLUMNS", 1, INT32_MAX},
                [CHANNELS] = {"CHANNELS", 1, VAE_MAX_CHANNELS},
                [EXACT] = {"EXACT", 0, 0}};

/* What headers say of EXACT. */
enum exact { NO_CELLS, SOME_CELLS, ALL_CELLS };

/* Returns whether a header has the key: all have the picture's keys, those with a y its keys. */
static bool belongs(enum key key, enum exact exact)
{
	return (key >= WIDTH && key <= MAXVAL) ||
	       (key == EXACT ? exact != NO_CELLS : exact != ALL_CELLS);
}

struct header {
	int version; /* 1 or 2 */
	enum exact exact;
	uint32_t number[KEYS];
	uint64_t model_id;
	char *hint; /* owned */
	int tuple;
	bool seen[KEYS];
};

/* Parses decimal digits without sign or leading zeros, as they are written. */
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

static int parse_value(struct header *h, enum key key, char *value, int64_t offset,
                       struct vae_error *error)
{
	bool good;
	switch (key) {
	case MODEL: good = parse_id(&h->model_id, value); break;
	case HINT:
		good = *value == '/' && percent_decode(value) && strlen(value) <= HINT_LIMIT;
		if (good && !(h->hint = strdup(value)))
			return vae_fail(error, VAE_EMEM, "out of memory");
		break;
	case FORMAT:
		good = value[0] == 'P' && value[1] >= '4' && value[1] <= '7' && !value[2];
		h->number[FORMAT] = good ? (uint32_t)(value[1] - '0') : 0;
		break;
	case TUPLTYPE: good = (h->tuple = vae_tuple_find(value)) >= 0; break;
	case EXACT:
		h->exact = !strcmp(value, "all") ? ALL_CELLS : SOME_CELLS;
		good = h->exact == ALL_CELLS || !strcmp(value, "cells");
		break;
	default: good = parse_number(&h->number[key], value, keys[key].low, keys[key].high);
	}
	return good ? 0
	            : vae_fail_at(error, VAE_EDATA, offset, "latents: %s %.60s is not a possible value",
	                          keys[key].name, value);
}

static int parse_line(struct header *h, char *line, int64_t offset, struct vae_error *error)
{
	char *value = strchr(line, ' ');
	if (value)
		*value++ = 0;
	for (int key = 0; value && key < KEYS; key++)
		if ((key != EXACT || h->version == 2) && !strcmp(line, keys[key].name)) {
			if (h->seen[key])
				return vae_fail_at(error, VAE_EDATA, offset, "latents: %s is there twice", line);
			h->seen[key] = true;
			return parse_value(h, (enum key)key, value, offset, error);
		}
	return vae_fail_at(error, VAE_EDATA, offset,
	                   "latents: a line of the header starts with '%.40s', which is no keyword",
	                   line);
}

struct reader {
	FILE *file;
	int64_t offset; /* of the next byte in the input, for messages */
	char line[LINE_LIMIT];
};

/* Reads printable ASCII up to a newline, which is dropped. first: EOF before the first byte is the
 * clean end, 0; else returns 1. */
static int read_line(struct reader *r, bool first, struct vae_error *error)
{
	size_t n = 0, magic = first ? strlen(MAGIC) : 0;
	for (int c; (c = getc(r->file)) != '\n'; r->offset++) {
		if (c == EOF && ferror(r->file))
			return vae_fail_errno(error, "cannot read latents");
		if (c == EOF && first && n == 0)
			return 0;
		if (c == EOF)
			return vae_fail_at(error, VAE_EDATA, r->offset, "latents: truncated in the header");
		if (c < ' ' || c > '~' || n == sizeof r->line - 1 || (n < magic && c != MAGIC[n]))
			return vae_fail_at(error, VAE_EDATA, r->offset,
			                   first ? "not latents: the first line is not " MAGIC "1 or 2"
			                         : "latents: malformed header");
		r->line[n++] = (char)c;
	}
	r->line[n] = 0;
	r->offset++;
	return 1;
}

/* Reads the first line. Returns 1, or 0 at the clean end. */
static int read_version(int *version, struct reader *r, struct vae_error *error)
{
	uint32_t number = 0;
	int result = read_line(r, true, error);
	if (result != 1)
		return result;
	if (strlen(r->line) < strlen(MAGIC) ||
	    !parse_number(&number, r->line + strlen(MAGIC), 1, UINT32_MAX))
		return vae_fail_at(error, VAE_EDATA, r->offset - 1,
		                   "not latents: the first line is not " MAGIC "1 or 2");
	if (number > NEWEST)
		return vae_fail_at(error, VAE_EDATA, r->offset - 1,
		                   "latents of the newer format version %u; this program reads versions 1 "
		                   "to %d",
		                   number, NEWEST);
	*version = (int)number;
	return 1;
}

/* Checks that every key is there that belongs to the header, and no other. */
static int check_keys(const struct header *h, int64_t offset, struct vae_error *error)
{
	enum exact exact = h->version == 2 && !h->seen[EXACT] ? SOME_CELLS : h->exact;
	for (int key = 0; key < KEYS; key++) {
		bool wanted = belongs((enum key)key, exact);
		if (h->seen[key] && !wanted)
			return vae_fail_at(error, VAE_EDATA, offset,
			                   "latents: the header of an exact picture has a %s", keys[key].name);
		if (!h->seen[key] && wanted && key != HINT)
			return vae_fail_at(error, VAE_EDATA, offset, "latents: the header has no %s",
			                   keys[key].name);
	}
	return 0;
}

/* Reads the header up to ENDHDR: every key once, HINT at most once, in any order. Returns 1, or 0
 * at the clean end. */
static int read_header(struct header *h, struct reader *r, struct vae_error *error)
{
	int result = read_version(&h->version, r, error);
	if (result != 1)
		return result;
	for (;;) {
		int64_t offset = r->offset;
		if ((result = read_line(r, false, error)) != 1)
			return result;
		if (!strcmp(r->line, "ENDHDR"))
			break;
		if ((result = parse_line(h, r->line, offset, error)))
			return result;
	}
	result = check_keys(h, r->offset, error);
	return result ? result : 1;
}

/* ---- reading --------------------------------------------------------------------------------- */

struct file_rows {
	struct vae_latents_rows rows;
	FILE *file;
	int64_t offset;
	uint8_t *map; /* where mixed: a row of cells, not 0 where one is exact; owned */
};

static int file_read(struct file_rows *r, void *data, size_t bytes, struct vae_error *error)
{
	size_t n = fread(data, 1, bytes, r->file);
	r->offset += (int64_t)n;
	if (n == bytes)
		return 0;
	return ferror(r->file) ? vae_fail_errno(error, "cannot read latents")
	                       : vae_fail_at(error, VAE_EDATA, r->offset, "latents: truncated");
}

/* Reads floats; y NULL: checks them and drops them. */
static int read_floats(struct file_rows *r, float *y, size_t count, struct vae_error *error)
{
	uint8_t bytes[CHUNK];
	for (size_t first = 0; first < count; first += CHUNK / 4) {
		size_t n = vae_min(count - first, CHUNK / 4);
		int64_t start = r->offset;
		int result = file_read(r, bytes, 4 * n, error);
		if (result)
			return result;
		for (size_t i = 0; i < n; i++) {
			float f = vae_get_float(bytes + 4 * i);
			if (!isfinite(f))
				return vae_fail_at(error, VAE_EDATA, start + 4 * (int64_t)i,
				                   "latents: a number is not finite");
			if (y)
				y[first + i] = f;
		}
	}
	return 0;
}

/* Reads samples; samples NULL: checks them and drops them. */
static int read_samples(struct file_rows *r, uint16_t *samples, size_t count,
                        struct vae_error *error)
{
	const struct vae_geometry *g = &r->rows.head.geometry;
	size_t width = vae_sample_bytes(g);
	uint8_t bytes[CHUNK];
	uint16_t none[CHUNK / 2];
	for (size_t first = 0; first < count; first += CHUNK / 2) {
		size_t n = vae_min(count - first, CHUNK / 2);
		int64_t start = r->offset;
		int result = file_read(r, bytes, n * width, error);
		if (!result &&
		    (result = vae_samples_get(samples ? samples + first : none, g, bytes, n, error)) &&
		    error)
			error->offset = start;
		if (result)
			return result;
	}
	return 0;
}

static int read_map(struct file_rows *r, struct vae_error *error)
{
	int64_t start = r->offset;
	size_t columns = r->rows.head.columns;
	int result = file_read(r, r->map, columns, error);
	for (size_t i = 0; i < columns && !result; i++)
		if (r->map[i] > 1)
			result = vae_fail_at(error, VAE_EDATA, start + (int64_t)i,
			                     "latents: the map of cells has a %u, where 0 and 1 are possible",
			                     r->map[i]);
	return result;
}

/* Reads a row of cells of a mixed picture: the map, then the stored samples of each pixel. */
static int read_mixed(struct file_rows *r, uint16_t *samples, struct vae_error *error)
{
	const struct vae_head *head = &r->rows.head;
	size_t width = head->geometry.width, each = vae_exact_samples(head),
		   alpha = vae_has_alpha(head->geometry.tuple), colours = each - 1 - alpha,
		   lines = vae_row_samples(head, r->rows.row) / (width * each);
	int result = read_map(r, error);
	for (size_t i = 0; i < lines * width && !result; i++) {
		uint16_t none[VAE_MIXED_SAMPLES] = {0}, *pixel = samples ? samples + i * each : none;
		size_t exact = r->map[i % width >> VAE_MIN_CELL];
		memset(pixel, 0, each * sizeof *pixel);
		pixel[0] = (uint16_t)exact;
		result = read_samples(r, pixel + 1 + (exact ? 0 : colours), exact * colours + alpha, error);
	}
	return result;
}

static int read_rows(struct vae_latents_rows *rows, uint32_t count, float *y, uint16_t *samples,
                     struct vae_error *error)
{
	struct file_rows *r = (struct file_rows *)rows;
	size_t line = (size_t)rows->head.columns * rows->head.channels;
	for (; count; count--) {
		size_t beside = vae_row_samples(&rows->head, rows->row);
		int result = read_floats(r, y, line, error);
		if (!result && beside)
			result = rows->head.mixed ? read_mixed(r, samples, error)
			                          : read_samples(r, samples, beside, error);
		if (result)
			return result;
		y = y ? y + line : NULL;
		samples = samples ? samples + beside : NULL;
		rows->row++;
	}
	return 0;
}

static void release_rows(struct vae_latents_rows *rows)
{
	free(((struct file_rows *)rows)->map);
	free(rows->model_hint);
	free(rows);
}

static int new_rows(struct vae_latents_rows **rows, struct header *h, const struct reader *reader,
                    uint64_t max_pixels, struct vae_error *error)
{
	struct vae_head head = {
		.geometry = {h->number[WIDTH], h->number[HEIGHT], (uint16_t)h->number[MAXVAL],
	                 (enum vae_format)h->number[FORMAT], (enum vae_tuple)h->tuple},
		.model_id = h->model_id,
		.quality = (uint16_t)h->number[QUALITY],
		.rows = h->number[ROWS],
		.columns = h->number[COLUMNS],
		.channels = h->number[CHANNELS],
		.mixed = h->exact == SOME_CELLS};
	if (h->exact == ALL_CELLS) {
		head.rows = vae_cells(head.geometry.height, VAE_MIN_CELL);
		head.columns = vae_cells(head.geometry.width, VAE_MIN_CELL);
	}
	struct file_rows *r;
	int result = vae_shape_check(&head, max_pixels, VAE_EDATA, NULL, error);
	if (result || (result = vae_alloc(&r, 1, sizeof *r, error)))
		return result;
	*r = (struct file_rows){
		{head, NULL, 0, read_rows, release_rows}, reader->file, reader->offset, NULL};
	if (head.mixed && (result = vae_alloc(&r->map, head.columns, sizeof *r->map, error))) {
		free(r);
		return result;
	}
	r->rows.model_hint = h->hint;
	h->hint = NULL;
	*rows = &r->rows;
	return 0;
}

int vae_latents_rows_open(struct vae_latents_rows **rows, FILE *file, uint64_t max_pixels,
                          struct vae_error *error)
{
	struct reader r = {.file = file};
	struct header h = {0};
	off_t here = ftello(file);
	r.offset = here < 0 ? 0 : here; /* in a pipe, offsets count from the image's start */
	int result = read_header(&h, &r, error);
	if (result == 1 && !(result = new_rows(rows, &h, &r, max_pixels, error)))
		result = 1;
	free(h.hint);
	return result;
}

int vae_latents_read(struct vae_latents **latents, FILE *file, uint64_t max_pixels,
                     struct vae_error *error)
{
	struct vae_latents_rows *rows;
	int result = vae_latents_rows_open(&rows, file, max_pixels, error);
	if (result != 1)
		return result;
	result = vae_latents_rows_collect(latents, rows, error);
	vae_latents_rows_free(rows);
	return result ? result : 1;
}

/* ---- writing --------------------------------------------------------------------------------- */

static bool write_header(const struct vae_latents_rows *rows, FILE *file)
{
	const struct vae_head *l = &rows->head;
	const char *path = rows->model_hint;
	const struct vae_geometry *g = &l->geometry;
	char hint[3 * HINT_LIMIT + 1];
	if (!l->channels)
		return fprintf(file,
		               MAGIC "2\nEXACT all\nWIDTH %u\nHEIGHT %u\nFORMAT P%d\nTUPLTYPE %s\n"
		                     "MAXVAL %u\nENDHDR\n",
		               g->width, g->height, (int)g->format, vae_tuple_name(g->tuple),
		               g->maxval) > 0;
	bool good = fprintf(file, MAGIC "%s\nMODEL %016llx\n", l->mixed ? "2\nEXACT cells" : "1",
	                    (unsigned long long)l->model_id) > 0;
	if (path && *path == '/' &&
	    strlen(path) <= HINT_LIMIT) { /* readers cannot use any other path */
		percent_encode(hint, path);
		good = good && fprintf(file, "HINT %s\n", hint) > 0;
	}
	return good && fprintf(file,
	                       "WIDTH %u\nHEIGHT %u\nFORMAT P%d\nTUPLTYPE %s\nMAXVAL %u\nQUALITY "
	                       "%u\nROWS %u\nCOLUMNS %u\nCHANNELS %u\nENDHDR\n",
	                       g->width, g->height, (int)g->format, vae_tuple_name(g->tuple), g->maxval,
	                       l->quality, l->rows, l->columns, l->channels) > 0;
}

static int check_finite(const float *y, size_t count, struct vae_error *error)
{
	for (size_t i = 0; i < count; i++)
		if (!isfinite(y[i]))
			return vae_fail(error, VAE_EDATA, "latents: a number is not finite");
	return 0;
}

static int write_floats(const float *y, size_t count, FILE *file, struct vae_error *error)
{
	uint8_t bytes[CHUNK];
	for (size_t first = 0; first < count; first += CHUNK / 4) {
		size_t n = vae_min(count - first, CHUNK / 4);
		for (size_t i = 0; i < n; i++)
			vae_put_float(bytes + 4 * i, y[first + i]);
		if (fwrite(bytes, 4, n, file) != n)
			return vae_fail_errno(error, "cannot write latents");
	}
	return 0;
}

static int write_samples(const struct vae_geometry *g, const uint16_t *samples, size_t count,
                         FILE *file, struct vae_error *error)
{
	uint8_t bytes[CHUNK];
	size_t width = vae_sample_bytes(g);
	for (size_t first = 0; first < count; first += CHUNK / 2) {
		size_t n = vae_min(count - first, CHUNK / 2);
		vae_samples_put(bytes, g, samples + first, n);
		if (fwrite(bytes, width, n, file) != n)
			return vae_fail_errno(error, "cannot write latents");
	}
	return 0;
}

/* Writes a row of cells of a mixed picture. */
static int write_mixed(const struct vae_head *head, const uint16_t *samples, size_t count,
                       FILE *file, struct vae_error *error)
{
	size_t width = head->geometry.width, each = vae_exact_samples(head),
		   alpha = vae_has_alpha(head->geometry.tuple);
	for (size_t cell = 0; cell < head->columns; cell++)
		if (putc(samples[(cell << VAE_MIN_CELL) * each] ? 1 : 0, file) == EOF)
			return vae_fail_errno(error, "cannot write latents");
	for (size_t i = 0; i < count / each; i++) {
		const uint16_t *pixel = samples + i * each;
		bool exact = samples[(i % width >> VAE_MIN_CELL << VAE_MIN_CELL) * each];
		size_t skip = exact ? 1 : each - alpha;
		int result = write_samples(&head->geometry, pixel + skip, each - skip, file, error);
		if (result)
			return result;
	}
	return 0;
}

/* Passes the next rows of cells through y and samples; writes the header before the first. */
static int pass_rows(struct vae_latents_rows *rows, uint32_t count, float *y, uint16_t *samples,
                     FILE *file, struct vae_error *error)
{
	const struct vae_head *head = &rows->head;
	size_t line = (size_t)head->columns * head->channels;
	uint32_t row = rows->row;
	int result = rows->read(rows, count, y, samples, error);
	if (!result)
		result = check_finite(y, count * line, error);
	/* The header waits for the first rows: if they cannot be read, nothing is written. */
	if (!result && row == 0 && !write_header(rows, file))
		result = vae_fail_errno(error, "cannot write latents");
	for (; count && !result; count--, row++, y += line) {
		size_t beside = vae_row_samples(head, row);
		if ((result = write_floats(y, line, file, error)))
			break;
		if (beside)
			result = head->mixed ? write_mixed(head, samples, beside, file, error)
			                     : write_samples(&head->geometry, samples, beside, file, error);
		samples = samples ? samples + beside : NULL;
	}
	return result;
}

/* Returns the rows of cells that BAND_FLOATS floats hold, at least 1. */
static uint32_t default_band(const struct vae_head *head)
{
	size_t cell = head->channels ? head->channels : EXACT_CELL_FLOATS,
		   band = BAND_FLOATS / (head->columns * cell);
	return band ? (uint32_t)band : 1;
}

int vae_latents_rows_write(struct vae_latents_rows *rows, uint32_t band, FILE *file,
                           struct vae_error *error)
{
	const struct vae_head *head = &rows->head;
	float *y = NULL;
	uint16_t *samples = NULL;
	int result = vae_shape_check(head, UINT64_MAX, VAE_EARG, NULL, error);
	if (result)
		return result;
	if (!band)
		band = default_band(head);
	band = band < head->rows ? band : head->rows;
	if ((result = vae_latents_alloc(&y, &samples, head, band, error)))
		return result;
	while (!result && rows->row < head->rows)
		result = pass_rows(rows, (uint32_t)vae_min(head->rows - rows->row, band), y, samples, file,
		                   error);
	free(y);
	free(samples);
	return result;
}

int vae_latents_write(const struct vae_latents *latents, FILE *file, struct vae_error *error)
{
	struct vae_latents_rows *rows;
	int result = vae_latents_rows_new(&rows, latents, error);
	if (result)
		return result;
	result = vae_latents_rows_write(rows, 0, file, error);
	vae_latents_rows_free(rows);
	return result;
}

/* ---- in memory ------------------------------------------------------------------------------- */

struct memory_rows {
	struct vae_latents_rows rows;
	const struct vae_latents *latents;
	size_t samples; /* of those beside y, handed out so far */
};

static int read_memory(struct vae_latents_rows *rows, uint32_t count, float *y, uint16_t *samples,
                       struct vae_error *error)
{
	struct memory_rows *m = (struct memory_rows *)rows;
	size_t line = (size_t)rows->head.columns * rows->head.channels, beside = 0;
	(void)error;
	if (y && line)
		memcpy(y, m->latents->y + rows->row * line, count * line * sizeof *y);
	for (; count; count--, rows->row++)
		beside += vae_row_samples(&rows->head, rows->row);
	if (y && samples && beside)
		memcpy(samples, m->latents->samples + m->samples, beside * sizeof *samples);
	m->samples += beside;
	return 0;
}

static void release_memory(struct vae_latents_rows *rows) { free(rows); }

int vae_latents_rows_new(struct vae_latents_rows **rows, const struct vae_latents *l,
                         struct vae_error *error)
{
	struct memory_rows *m;
	int result = vae_shape_check(&l->head, UINT64_MAX, VAE_EARG, NULL, error);
	if (result)
		return result;
	if (!vae_exact_samples(&l->head) != !l->samples)
		return vae_fail(error, VAE_EARG,
		                "latents: samples, %u channels and tuple type %s do not go together",
		                l->head.channels, vae_tuple_name(l->head.geometry.tuple));
	if ((result = vae_alloc(&m, 1, sizeof *m, error)))
		return result;
	m->rows = (struct vae_latents_rows){l->head, l->model_hint, 0, read_memory, release_memory};
	m->latents = l;
	*rows = &m->rows;
	return 0;
}

void vae_latents_rows_free(struct vae_latents_rows *rows)
{
	if (rows)
		rows->release(rows);
}

int vae_latents_rows_collect(struct vae_latents **latents, struct vae_latents_rows *rows,
                             struct vae_error *error)
{
	const struct vae_head *head = &rows->head;
	struct vae_latents *l;
	int result = vae_alloc(&l, 1, sizeof *l, error);
	if (result)
		return result;
	l->head = *head;
	if (rows->model_hint && !(l->model_hint = strdup(rows->model_hint)))
		result = vae_fail(error, VAE_EMEM, "out of memory");
	if (!result && !(result = vae_latents_alloc(&l->y, &l->samples, head, head->rows, error)))
		result = rows->read(rows, head->rows, l->y, l->samples, error);
	if (result)
		vae_latents_free(l);
	else
		*latents = l;
	return result;
}

size_t vae_row_samples(const struct vae_head *head, uint32_t row)
{
	unsigned samples = vae_exact_samples(head);
	if (!samples)
		return 0;
	struct vae_rect cells = {row, 0, 1, head->columns}, pixels = vae_cell_pixels(head, cells);
	return pixels.rows * pixels.columns * samples;
}

int vae_latents_alloc(float **y, uint16_t **samples, const struct vae_head *head, uint32_t rows,
                      struct vae_error *error)
{
	struct vae_rect cells = {0, 0, rows, head->columns}, pixels = vae_cell_pixels(head, cells);
	size_t floats, beside;
	int result = vae_multiply(&floats, rows, head->columns, head->channels, error);
	if (result ||
	    (result =
	         vae_multiply(&beside, pixels.rows, pixels.columns, vae_exact_samples(head), error)) ||
	    (result = vae_alloc_huge(y, floats, sizeof **y, error)))
		return result;
	*samples = NULL;
	if (beside && (result = vae_alloc_raw(samples, beside, sizeof **samples, error))) {
		free(*y);
		*y = NULL;
	}
	return result;
}

void vae_latents_free(struct vae_latents *latents)
{
	if (!latents)
		return;
	free(latents->model_hint);
	free(latents->y);
	free(latents->samples);
	free(latents);
}
