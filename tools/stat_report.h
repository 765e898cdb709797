/* stat_report.h - records of named values, formatted for people, as TSV or as JSON.
 *
 * Every record has a kind and a file. For people, a record is a block, or a line in a table of
 * neighbouring records of its kind. TSV has a header line wherever the kind changes. JSON is one
 * array of flat objects of all kinds. All three use the same names of values. */
#ifndef VAE_TOOLS_STAT_REPORT_H
#define VAE_TOOLS_STAT_REPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum report_layout { REPORT_PEOPLE, REPORT_TSV, REPORT_JSON };

#define REPORT_FIELDS 48 /* most fields of a record */

struct report_field {
	const char *key;
	enum { REPORT_TEXT, REPORT_COUNT, REPORT_REAL, REPORT_FLAG } type;
	const char *text;
	uint64_t count;
	double real;
	int decimals;
};

struct report {
	FILE *file;
	enum report_layout layout;
	const char *kind, *last_kind; /* constant strings; last_kind NULL before the first record */
	bool block;
	uint64_t records;
	struct report_field field[REPORT_FIELDS];
	int fields;
	int width[REPORT_FIELDS]; /* of the columns for people, set by a table's first line */
};

void report_begin(struct report *r, FILE *file, enum report_layout layout);

/* A record is opened, given its values in order, and printed. Texts must remain valid until then;
 * NULL is a missing text. NaN and infinity are null in JSON. */
void report_open(struct report *r, const char *kind, const char *file, bool block);
void report_text(struct report *r, const char *key, const char *value);
void report_count(struct report *r, const char *key, uint64_t value);
void report_real(struct report *r, const char *key, double value, int decimals);
void report_flag(struct report *r, const char *key, bool value);
void report_put(struct report *r);

void report_end(struct report *r);

#endif
