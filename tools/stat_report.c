/* stat_report.c - formats records for people, as TSV or as JSON. */
#include "stat_report.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

void report_begin(struct report *r, FILE *file, enum report_layout layout)
{
	*r = (struct report){.file = file, .layout = layout};
}

static struct report_field *add(struct report *r, const char *key)
{
	assert(r->fields < (int)(sizeof r->field / sizeof *r->field));
	r->field[r->fields] = (struct report_field){.key = key};
	return &r->field[r->fields++];
}

void report_open(struct report *r, const char *kind, const char *file, bool block)
{
	r->kind = kind;
	r->block = block;
	r->fields = 0;
	report_text(r, "file", file);
}

void report_text(struct report *r, const char *key, const char *value)
{
	struct report_field *f = add(r, key);

	f->type = REPORT_TEXT;
	f->text = value;
}

void report_count(struct report *r, const char *key, uint64_t value)
{
	struct report_field *f = add(r, key);

	f->type = REPORT_COUNT;
	f->count = value;
}

void report_real(struct report *r, const char *key, double value, int decimals)
{
	struct report_field *f = add(r, key);

	f->type = REPORT_REAL;
	f->real = value;
	f->decimals = decimals;
}

void report_flag(struct report *r, const char *key, bool value)
{
	struct report_field *f = add(r, key);

	f->type = REPORT_FLAG;
	f->count = value;
}

/* Returns the bytes of the well-formed UTF-8 sequence at s, or 0 (RFC 3629, section 4). */
static int utf8_length(const unsigned char *s)
{
	int length = s[0] < 0x80   ? 1
	             : s[0] < 0xc2 ? 0
	             : s[0] < 0xe0 ? 2
	             : s[0] < 0xf0 ? 3
	             : s[0] < 0xf5 ? 4
	                           : 0;

	for (int i = 1; i < length; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return length;
}

static void put_json_text(FILE *file, const char *text)
{
	const unsigned char *s = (const unsigned char *)text;

	putc('"', file);
	while (*s) {
		int length = utf8_length(s);

		if (!length)
			fputs("\\ufffd", file);
		else if (*s == '"' || *s == '\\')
			fprintf(file, "\\%c", *s);
		else if (*s < 0x20 || *s == 0x7f)
			fprintf(file, "\\u%04x", *s);
		else
			fwrite(s, 1, length, file);
		s += length ? length : 1;
	}
	putc('"', file);
}

static void put_tsv_text(FILE *file, const char *text)
{
	for (; *text; text++) {
		if (*text == '\t')
			fputs("\\t", file);
		else if (*text == '\n')
			fputs("\\n", file);
		else if (*text == '\\')
			fputs("\\\\", file);
		else
			putc(*text, file);
	}
}

static void put_json_value(FILE *file, const struct report_field *f)
{
	if (f->type == REPORT_TEXT && f->text)
		put_json_text(file, f->text);
	else if (f->type == REPORT_COUNT)
		fprintf(file, "%" PRIu64, f->count);
	else if (f->type == REPORT_FLAG)
		fputs(f->count ? "true" : "false", file);
	else if (f->type == REPORT_REAL && isfinite(f->real))
		fprintf(file, "%.9g", f->real);
	else
		fputs("null", file);
}

static void put_json(struct report *r)
{
	fprintf(r->file, "%s{\"kind\": \"%s\"", r->records ? ",\n " : "[", r->kind);
	for (int i = 0; i < r->fields; i++) {
		fprintf(r->file, ", \"%s\": ", r->field[i].key);
		put_json_value(r->file, &r->field[i]);
	}
	putc('}', r->file);
}

static void put_tsv_value(FILE *file, const struct report_field *f)
{
	putc('\t', file);
	if (f->type == REPORT_TEXT)
		put_tsv_text(file, f->text ? f->text : "");
	else if (f->type == REPORT_COUNT)
		fprintf(file, "%" PRIu64, f->count);
	else if (f->type == REPORT_FLAG)
		fputs(f->count ? "yes" : "no", file);
	else
		fprintf(file, "%.9g", f->real);
}

static void put_tsv(struct report *r)
{
	if (!r->last_kind || strcmp(r->last_kind, r->kind)) {
		fputs("kind", r->file);
		for (int i = 0; i < r->fields; i++)
			fprintf(r->file, "\t%s", r->field[i].key);
		putc('\n', r->file);
	}
	fputs(r->kind, r->file);
	for (int i = 0; i < r->fields; i++)
		put_tsv_value(r->file, &r->field[i]);
	putc('\n', r->file);
}

/* Prints text with control characters as ?, which a terminal would obey. */
static void put_people_text(FILE *file, const char *text)
{
	for (; *text; text++)
		putc((unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text, file);
}

static void put_people_value(FILE *file, const struct report_field *f, int width)
{
	if (f->type == REPORT_TEXT) {
		const char *text = f->text ? f->text : "-";
		int room = width - (int)strlen(text);

		fprintf(file, "%*s", room > 0 ? room : 0, "");
		put_people_text(file, text);
	} else if (f->type == REPORT_COUNT) {
		fprintf(file, "%*" PRIu64, width, f->count);
	} else if (f->type == REPORT_FLAG) {
		fprintf(file, "%*s", width, f->count ? "yes" : "no");
	} else if (isnan(f->real)) {
		fprintf(file, "%*s", width, "-");
	} else {
		fprintf(file, "%*.*f", width, f->decimals, f->real);
	}
}

static void put_block(struct report *r)
{
	int widest = 0;

	for (int i = 1; i < r->fields; i++)
		if ((int)strlen(r->field[i].key) > widest)
			widest = strlen(r->field[i].key);
	if (r->records)
		putc('\n', r->file);
	put_people_text(r->file, r->field[0].text);
	fprintf(r->file, ": %s\n", r->kind);
	for (int i = 1; i < r->fields; i++) {
		if (r->field[i].type == REPORT_TEXT && (!r->field[i].text || !*r->field[i].text))
			continue;
		fprintf(r->file, "  %-*s  ", widest, r->field[i].key);
		put_people_value(r->file, &r->field[i], 0);
		putc('\n', r->file);
	}
}

/* Sets the width of each column: its heading's, its first value's, or that of usual values. */
static void set_widths(struct report *r)
{
	enum { NUMBER = 7, TEXT = 9 }; /* GRAYSCALE, synthesis */

	for (int i = 1; i < r->fields; i++) {
		const struct report_field *f = &r->field[i];
		int heading = strlen(f->key),
			value = f->type == REPORT_TEXT ? f->text ? (int)strlen(f->text) : TEXT : NUMBER;
		int least = f->type == REPORT_TEXT ? TEXT : NUMBER;

		r->width[i] = heading > value ? heading : value;
		if (r->width[i] < least)
			r->width[i] = least;
	}
}

/* Prints a table's line. The file comes last, so that names of any length leave the columns
 * straight. */
static void put_line(struct report *r)
{
	if (!r->last_kind || strcmp(r->last_kind, r->kind)) {
		if (r->records)
			putc('\n', r->file);
		set_widths(r);
		for (int i = 1; i < r->fields; i++)
			fprintf(r->file, "%*s  ", r->width[i], r->field[i].key);
		fputs("file\n", r->file);
	}
	for (int i = 1; i < r->fields; i++) {
		put_people_value(r->file, &r->field[i], r->width[i]);
		fputs("  ", r->file);
	}
	put_people_text(r->file, r->field[0].text);
	putc('\n', r->file);
}

void report_put(struct report *r)
{
	if (r->layout == REPORT_JSON)
		put_json(r);
	else if (r->layout == REPORT_TSV)
		put_tsv(r);
	else if (r->block)
		put_block(r);
	else
		put_line(r);
	r->last_kind = r->kind;
	r->records++;
}

void report_end(struct report *r)
{
	if (r->layout == REPORT_JSON)
		fputs(r->records ? "]\n" : "[]\n", r->file);
}
