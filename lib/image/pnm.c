/* pnm.c - reads and writes pictures as PNM and PAM; the only file that includes libnetpbm.
 *
 * libnetpbm reports a fault by printing it and leaving the process, unless it is given a message
 * function and a jump buffer, and it keeps both in globals. struct session holds the state of one
 * call; guarded() sets the globals, runs a function, and restores them.
 *
 *     guarded(s, read_raster) --> setjmp -- read_raster(s) -- pnm_readpamrow -- pm_error --.
 *                                   ^                                                      |
 *                                   |           on_error keeps the text in s               |
 *                                   '---------------------- longjmp -----------------------'
 *
 * Everything that changes between setjmp and longjmp is in *s, which guarded's caller owns: no
 * local variable can be lost.
 *
 * Headers are parsed here. libnetpbm's parser grows a string with every comment (quadratic in a
 * hostile file), leaks that string when it fails, and cannot continue a stream whose first bytes
 * have been read. Raw samples of one or two bytes are read and written here, too: libnetpbm handles
 * plain formats, PBM and the writing of headers. Rows are processed in pieces of at most PIECE
 * pixels (a multiple of 8, so that PBM's packed rows split at bytes): libnetpbm's tuples take up to
 * 40 bytes a pixel, and a header of 30 bytes may claim a very wide row. */
#include <errno.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <netpbm/pam.h>

#include "base/error.h"
#include "base/memory.h"
#include "base/text.h"
#include "image/image.h"

#define PIECE 2048

struct session {
	jmp_buf jump;
	char message[200]; /* libnetpbm's message, empty if it did not fail */
	int error_number;  /* errno at that moment */
	bool done;         /* whether the function returned */
	/* Of the whole picture; pam.size says that the fields behind tuple_type do not exist. */
	struct pam pam;
	tuple *row;    /* PIECE tuples, allocated by libnetpbm */
	uint32_t rows; /* the work: `rows` rows of these samples; alpha NULL: none */
	uint16_t *colour, *alpha;
	bool has_alpha;
};

/* The session inside guarded(): libnetpbm's message function takes no context. */
static struct session *current;

static void on_error(const char *message)
{
	current->error_number = errno;
	snprintf(current->message, sizeof current->message, "%s", message);
}

static void on_message(const char *message) { (void)message; }

static bool guarded(struct session *s, void (*work)(struct session *))
{
	jmp_buf *outer;
	int plain = pm_plain_output;

	current = s;
	s->done = false;
	s->message[0] = 0;
	s->error_number = 0;
	pm_setusererrormsgfn(on_error);
	pm_setusermessagefn(on_message);
	pm_plain_output = 0;
	pm_setjmpbufsave(&s->jump, &outer);
	if (!setjmp(s->jump)) {
		work(s);
		s->done = true;
	}
	pm_setjmpbuf(outer);
	pm_plain_output = plain;
	pm_setusermessagefn(NULL);
	pm_setusererrormsgfn(NULL);
	current = NULL;
	return s->done;
}

static void session_init(struct session *s, const struct vae_geometry *g, FILE *file)
{
	memset(s, 0, sizeof *s);
	s->pam.size = s->pam.len =
		offsetof(struct pam, tuple_type) +
		sizeof s->pam.tuple_type; /* PAM_STRUCT_SIZE dereferences a null pointer */
	s->pam.file = file;
	s->pam.width = (int)g->width;
	s->pam.height = (int)g->height;
	s->pam.maxval = g->maxval;
	s->pam.depth = (unsigned)(vae_colours(g->tuple) + vae_has_alpha(g->tuple));
	s->pam.bytes_per_sample = g->maxval < 256 ? 1 : 2;
	s->pam.format = 'P' * 256 + '0' + (int)g->format;
	snprintf(s->pam.tuple_type, sizeof s->pam.tuple_type, "%s", vae_tuple_name(g->tuple));
}

static void session_clear(struct session *s)
{
	if (s->row)
		pnm_freepamrow(s->row);
}

static void alloc_row(struct session *s)
{
	struct pam part = s->pam;
	if (s->row)
		return;
	part.width = PIECE;
	s->row = pnm_allocpamrow(&part);
}

static int piece_width(uint32_t width, uint32_t x)
{
	return width - x < PIECE ? (int)(width - x) : PIECE;
}

/* ---- raw samples ----------------------------------------------------------------------------- */

/* Returns whether raw samples are read and written here: libnetpbm's tuples take three times as
 * long. */
static bool is_packed(const struct session *s) { return s->pam.format >= 'P' * 256 + '5'; }

/* Unpacks samples of `bytes` bytes, most significant byte first. */
static void unpack(uint16_t *restrict out, const uint8_t *restrict in, size_t count, size_t bytes)
{
	if (bytes == 1) {
#pragma omp simd
		for (size_t i = 0; i < count; i++)
			out[i] = in[i];
	} else {
#pragma omp simd
		for (size_t i = 0; i < count; i++)
			out[i] = (uint16_t)(in[2 * i] << 8 | in[2 * i + 1]);
	}
}

static void pack(uint8_t *restrict out, const uint16_t *restrict in, size_t count, size_t bytes)
{
	if (bytes == 1) {
#pragma omp simd
		for (size_t i = 0; i < count; i++)
			out[i] = (uint8_t)in[i];
	} else {
#pragma omp simd
		for (size_t i = 0; i < count; i++) {
			out[2 * i] = (uint8_t)(in[i] >> 8);
			out[2 * i + 1] = (uint8_t)in[i];
		}
	}
}

static uint16_t largest(const uint16_t *samples, size_t count)
{
	uint16_t most = 0;
#pragma omp simd reduction(max : most)
	for (size_t i = 0; i < count; i++)
		most = samples[i] > most ? samples[i] : most;
	return most;
}

static bool check_samples(struct session *s, const uint16_t *samples, size_t count)
{
	uint16_t most =
		s->pam.maxval == (s->pam.bytes_per_sample == 1 ? 255 : 65535) ? 0 : largest(samples, count);
	if (most > s->pam.maxval)
		snprintf(s->message, sizeof s->message, "a sample of %u exceeds the maxval of %lu", most,
		         s->pam.maxval);
	return most <= s->pam.maxval;
}

/* Returns false with errno or s->message set, as libnetpbm's functions do. Without alpha the
 * samples need no separation. */
static bool read_packed(struct session *s)
{
	size_t depth = s->pam.depth, bytes = (size_t)s->pam.bytes_per_sample,
		   colours = depth - s->has_alpha;
	uint64_t left = (uint64_t)s->rows * (uint32_t)s->pam.width;
	uint16_t *colour = s->colour, *alpha = s->alpha, tuples[4 * PIECE];
	uint8_t raw[8 * PIECE];

	s->message[0] = 0;
	while (left) {
		size_t n = left < PIECE ? (size_t)left : PIECE,
			   got = fread(raw, depth * bytes, n, s->pam.file);
		s->error_number = errno;
		if (got < n)
			return false;
		unpack(alpha ? tuples : colour, raw, n * depth, bytes);
		if (!check_samples(s, alpha ? tuples : colour, n * depth))
			return false;
		for (size_t i = 0; alpha && i < n; i++) {
			for (size_t c = 0; c < colours; c++)
				colour[i * colours + c] = tuples[i * depth + c];
			*alpha++ = tuples[i * depth + colours];
		}
		colour += n * colours;
		left -= n;
	}
	return true;
}

static bool write_packed(struct session *s)
{
	size_t depth = s->pam.depth, bytes = (size_t)s->pam.bytes_per_sample,
		   colours = depth - s->has_alpha;
	uint64_t left = (uint64_t)s->rows * (uint32_t)s->pam.width;
	const uint16_t *colour = s->colour, *alpha = s->alpha;
	uint16_t tuples[4 * PIECE];
	uint8_t raw[8 * PIECE];

	while (left) {
		size_t n = left < PIECE ? (size_t)left : PIECE;
		for (size_t i = 0; alpha && i < n; i++) {
			for (size_t c = 0; c < colours; c++)
				tuples[i * depth + c] = colour[i * colours + c];
			tuples[i * depth + colours] = *alpha++;
		}
		pack(raw, alpha ? tuples : colour, n * depth, bytes);
		if (fwrite(raw, depth * bytes, n, s->pam.file) < n) {
			s->error_number = errno;
			return false;
		}
		colour += n * colours;
		left -= n;
	}
	return true;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* Reports the fault that stopped the reading of `part`: a read error, the end of the file, or else
 * `what`. */
static int fault(FILE *file, const char *part, const char *what, struct vae_error *error)
{
	if (ferror(file))
		return vae_fail_errno(error, "cannot read an image");
	if (feof(file))
		return vae_fail_at(error, VAE_EDATA, ftello(file),
		                   "truncated image: the input ends inside the %s", part);
	return vae_fail_at(error, VAE_EDATA, ftello(file), "damaged image: %s", what);
}

/* Returns the first byte that is not white space, or EOF. libnetpbm allows white space between
 * images, even raw ones. */
static int skip_space(FILE *file)
{
	int c;
	do
		c = getc(file);
	while (c != EOF && vae_is_space(c));
	return c;
}

/* Returns the next character of a PNM header; a comment counts as the line end that closes it. */
static int header_char(FILE *file)
{
	int c = getc(file);
	if (c == '#')
		do
			c = getc(file);
		while (c != EOF && c != '\n' && c != '\r');
	return c;
}

static bool is_gap(int c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

/* Reads a decimal number and the one white space behind it; false if there is none or it exceeds
 * 2^31 - 1. */
static bool read_number(FILE *file, uint32_t *value)
{
	uint64_t v = 0;
	int c;
	do
		c = header_char(file);
	while (is_gap(c));
	if (!vae_is_digit(c))
		return false;
	for (; vae_is_digit(c); c = header_char(file)) {
		v = v * 10 + (uint64_t)(c - '0');
		if (v > INT32_MAX)
			return false;
	}
	*value = (uint32_t)v;
	return is_gap(c);
}

static int read_pnm_header(struct vae_geometry *g, FILE *file, struct vae_error *error)
{
	uint32_t maxval = 1;

	if (!read_number(file, &g->width) || !read_number(file, &g->height))
		return fault(file, "header", "no width and height where they should be", error);
	if (g->format != VAE_PBM && !read_number(file, &maxval))
		return fault(file, "header", "no maxval where it should be", error);
	if (!maxval || maxval > 65535)
		return vae_fail_at(error, VAE_EDATA, ftello(file),
		                   "damaged image: maxval %u is not within 1 to 65535", maxval);
	g->maxval = (uint16_t)maxval;
	g->tuple = g->format == VAE_PBM   ? VAE_BLACKANDWHITE
	           : g->format == VAE_PGM ? VAE_GRAYSCALE
	                                  : VAE_RGB;
	return 0;
}

#define LINE 256

/* Reads a line without its end and the white space around it; a comment of any length is read as an
 * empty line. */
static bool read_line(FILE *file, char line[LINE])
{
	size_t n = 0;
	int c = getc(file);
	if (c == '#') {
		while (c != EOF && c != '\n')
			c = getc(file);
	} else {
		for (; c != EOF && c != '\n'; c = getc(file)) {
			if (!c || n == LINE - 1)
				return false;
			if (n || !vae_is_space(c))
				line[n++] = (char)c;
		}
	}
	while (n && vae_is_space(line[n - 1]))
		n--;
	line[n] = 0;
	return c == '\n';
}

static bool parse_number(const char *text, uint32_t *value)
{
	uint64_t v = 0;
	if (!*text)
		return false;
	for (; *text; text++) {
		if (!vae_is_digit(*text))
			return false;
		v = v * 10 + (uint64_t)(*text - '0');
		if (v > INT32_MAX)
			return false;
	}
	*value = (uint32_t)v;
	return true;
}

struct pam_header {
	uint32_t width, height, depth, maxval; /* 0 until read */
	char type[LINE]; /* several TUPLTYPE lines are joined by spaces, as pam(5) says */
	bool ended;
};

/* Parses a line "LABEL value" of a PAM header; false if it is not valid. */
static bool take_line(struct pam_header *h, char *line)
{
	char *value = line + strcspn(line, " \t\r\f\v");
	if (*value)
		*value++ = 0;
	value += strspn(value, " \t\r\f\v");
	if (!*line)
		return true;
	if (!strcmp(line, "ENDHDR"))
		return h->ended = true;
	if (!strcmp(line, "WIDTH"))
		return parse_number(value, &h->width);
	if (!strcmp(line, "HEIGHT"))
		return parse_number(value, &h->height);
	if (!strcmp(line, "DEPTH"))
		return parse_number(value, &h->depth);
	if (!strcmp(line, "MAXVAL"))
		return parse_number(value, &h->maxval);
	size_t old = strlen(h->type);
	if (strcmp(line, "TUPLTYPE") || !*value || old + 1 + strlen(value) >= sizeof h->type)
		return false;
	snprintf(h->type + old, sizeof h->type - old, "%s%s", old ? " " : "", value);
	return true;
}

static int read_pam_header(struct vae_geometry *g, FILE *file, struct vae_error *error)
{
	struct pam_header h = {0};
	char line[LINE];

	if (!read_line(file, line))
		return fault(file, "header", "not a PNM/PAM image", error);
	if (*line) /* "P7 332" is an XV thumbnail */
		return vae_fail_at(error, VAE_EDATA, ftello(file), "not a PNM/PAM image");
	while (!h.ended)
		if (!read_line(file, line) || !take_line(&h, line))
			return fault(file, "header", "a line of the PAM header is not what it should be",
			             error);
	if (!h.width || !h.height || !h.depth || !h.maxval || h.maxval > 65535)
		return vae_fail_at(error, VAE_EDATA, ftello(file),
		                   "damaged image: the PAM header says %u x %u pixels, depth %u, maxval %u",
		                   h.width, h.height, h.depth, h.maxval);
	int type = vae_tuple_find(h.type);
	if (type < 0 || h.depth != (uint32_t)(vae_colours(type) + vae_has_alpha(type)))
		return vae_fail_at(error, VAE_EDATA, ftello(file),
		                   "unsupported PAM: tuple type %s, depth %u", *h.type ? h.type : "\"\"",
		                   h.depth);
	g->width = h.width;
	g->height = h.height;
	g->maxval = (uint16_t)h.maxval;
	g->tuple = type;
	return 0;
}

/* Reads magic number and header. *format is the stream's, plain or raw, '1' to '7'. Returns 1, 0 at
 * the end of the stream, or an error. */
static int read_header(struct vae_geometry *g, int *format, FILE *file, struct vae_error *error)
{
	int c = skip_space(file);
	if (c == EOF)
		return ferror(file) ? vae_fail_errno(error, "cannot read an image") : 0;
	int64_t start = ftello(file);
	if (start > 0)
		start--;
	int digit = c == 'P' ? getc(file) : 0;
	if (digit == EOF)
		return fault(file, "header", "", error);
	if (digit < '1' || digit > '7')
		return vae_fail_at(error, VAE_EDATA, start, "not a PNM/PAM image");
	*format = digit;
	g->format = digit < '4' ? digit - '0' + 3 : digit - '0';
	int rc = digit == '7' ? read_pam_header(g, file, error) : read_pnm_header(g, file, error);
	return rc ? rc : 1;
}

static void read_raster(struct session *s)
{
	struct pam part = s->pam;
	size_t colours = s->pam.depth - s->has_alpha;
	uint16_t *colour = s->colour, *alpha = s->alpha;

	alloc_row(s);
	for (uint32_t y = 0; y < s->rows; y++)
		for (uint32_t x = 0; x < (uint32_t)s->pam.width; x += PIECE) {
			part.width = piece_width((uint32_t)s->pam.width, x);
			pnm_readpamrow(&part, s->row);
			for (int i = 0; i < part.width; i++) {
				for (size_t c = 0; c < colours; c++)
					*colour++ = (uint16_t)s->row[i][c];
				if (alpha)
					*alpha++ = (uint16_t)s->row[i][colours];
			}
		}
}

struct file_rows {
	struct vae_image_rows rows;
	struct session session;
};

static int read_rows(struct vae_image_rows *rows, uint32_t count, uint16_t *colour, uint16_t *alpha,
                     struct vae_error *error)
{
	struct session *s = &((struct file_rows *)rows)->session;

	s->rows = count;
	s->colour = colour;
	s->alpha = s->has_alpha ? alpha : NULL;
	if (is_packed(s) ? read_packed(s) : guarded(s, read_raster)) {
		rows->row += count;
		return 0;
	}
	if (!s->row && !is_packed(s))
		return vae_fail(error, VAE_EMEM, "cannot read an image: %s", s->message);
	errno = s->error_number;
	return fault(s->pam.file, "raster", s->message, error);
}

static void release_rows(struct vae_image_rows *rows)
{
	session_clear(&((struct file_rows *)rows)->session);
	free(rows);
}

int vae_image_rows_open(struct vae_image_rows **rows, FILE *file, uint64_t max_pixels,
                        struct vae_error *error)
{
	struct vae_geometry g = {0};
	struct file_rows *r;
	int format = 0;

	int rc = read_header(&g, &format, file, error);
	if (rc <= 0)
		return rc;
	rc = vae_geometry_check(&g, max_pixels, VAE_EDATA, error);
	if (rc && error)
		error->offset = ftello(file);
	if (rc || (rc = vae_alloc(&r, 1, sizeof *r, error)))
		return rc;
	r->rows = (struct vae_image_rows){g, 0, read_rows, release_rows};
	session_init(&r->session, &g, file);
	r->session.has_alpha = vae_has_alpha(g.tuple);
	r->session.pam.format = 'P' * 256 + format;
	*rows = &r->rows;
	return 1;
}

int vae_image_read(struct vae_image **image, FILE *file, uint64_t max_pixels,
                   struct vae_error *error)
{
	struct vae_image_rows *rows;
	int rc = vae_image_rows_open(&rows, file, max_pixels, error);
	if (rc <= 0)
		return rc;
	rc = vae_image_rows_collect(image, rows, error);
	vae_image_rows_free(rows);
	return rc ? rc : 1;
}

/* ---- writing --------------------------------------------------------------------------------- */

#define BAND_PIXELS ((uint64_t)1 << 22)

static void write_header(struct session *s)
{
	pnm_writepaminit(&s->pam);
	if (ferror(s->pam.file))
		pm_error("cannot write the header");
}

static void write_raster(struct session *s)
{
	struct pam part = s->pam;
	size_t colours = s->pam.depth - s->has_alpha;
	const uint16_t *colour = s->colour, *alpha = s->alpha;

	alloc_row(s);
	for (uint32_t y = 0; y < s->rows; y++)
		for (uint32_t x = 0; x < (uint32_t)s->pam.width; x += PIECE) {
			part.width = piece_width((uint32_t)s->pam.width, x);
			for (int i = 0; i < part.width; i++) {
				for (size_t c = 0; c < colours; c++)
					s->row[i][c] = *colour++;
				if (alpha)
					s->row[i][colours] = *alpha++;
			}
			pnm_writepamrow(&part, s->row);
		}
}

static int write_step(struct session *s, bool done, struct vae_error *error)
{
	if (!done && !ferror(s->pam.file))
		return vae_fail(error, VAE_EMEM, "cannot write an image: %s", s->message);
	if (!done || ferror(s->pam.file)) {
		errno = s->error_number;
		return vae_fail_errno(error, "cannot write an image");
	}
	return 0;
}

/* Reads the next rows into the session's arrays and writes them. */
static int pass_rows(struct session *s, struct vae_image_rows *rows, uint32_t count,
                     struct vae_error *error)
{
	const struct vae_geometry *g = &rows->geometry;
	size_t pixels = (size_t)g->width * count;
	int rc = rows->read(rows, count, s->colour, s->alpha, error);
	if (rc)
		return rc;
	if (largest(s->colour, pixels * (size_t)vae_colours(g->tuple)) > g->maxval ||
	    (s->alpha && largest(s->alpha, pixels) > g->maxval))
		return vae_fail(error, VAE_EARG, "a sample exceeds the picture's maxval of %u", g->maxval);
	s->rows = count;
	/* The header waits for the first rows: if they cannot be read, nothing is written. */
	rc = rows->row == count ? write_step(s, guarded(s, write_header), error) : 0;
	return rc ? rc
	          : write_step(s, is_packed(s) ? write_packed(s) : guarded(s, write_raster), error);
}

int vae_image_rows_write(struct vae_image_rows *rows, uint32_t band, FILE *file,
                         struct vae_error *error)
{
	const struct vae_geometry *g = &rows->geometry;
	struct session s;
	int rc = vae_geometry_check(g, UINT64_MAX, VAE_EARG, error);
	if (rc)
		return rc;
	if (!band) /* whole cells, so that a network need not hold back rows of pixels */
		band = BAND_PIXELS / g->width > 16 ? (uint32_t)(BAND_PIXELS / g->width / 16 * 16) : 16;
	band = band < g->height ? band : g->height;
	session_init(&s, g, file);
	s.has_alpha = vae_has_alpha(g->tuple);
	if ((rc = vae_image_alloc(&s.colour, &s.alpha, g, band, error)))
		return rc;
	while (!rc && rows->row < g->height)
		rc =
			pass_rows(&s, rows, g->height - rows->row < band ? g->height - rows->row : band, error);
	session_clear(&s);
	free(s.colour);
	free(s.alpha);
	return rc;
}

int vae_image_write(const struct vae_image *image, FILE *file, struct vae_error *error)
{
	struct vae_image_rows *rows;
	int rc = vae_image_rows_new(&rows, image, error);
	if (rc)
		return rc;
	rc = vae_image_rows_write(rows, 0, file, error);
	vae_image_rows_free(rows);
	return rc;
}
