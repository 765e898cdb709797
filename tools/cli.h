/* cli.h - the command line of every program, from one table.
 *
 * A program describes itself in a struct cli_program, whose rows are its own options; cli.c has the
 * rows of the common options. getopt_long's arrays and --help are made from these rows;
 * tools/completion.bash reads --help.
 *
 *     cli_begin(&program, &o.common, argc, argv);
 *     while ((key = cli_next()) != -1)
 *             switch (key) { case 'q': o.quality = cli_real(0, 100); break; ... }
 *
 * An error in the command line prints one line on stderr, with a pointer to --help, and exits
 * with 2. */
#ifndef VAE_TOOLS_CLI_H
#define VAE_TOOLS_CLI_H

#include "vae.h"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

#define CLI_LONG 256 /* first key of options without a letter */

struct cli_option {
	int key;          /* the option's letter, or a number from CLI_LONG up */
	const char *name; /* long name, without its dashes */
	/* Name of the argument, NULL for none; words or numbers separated by |, in lower case, are its
	 * only values. */
	const char *argument;
	const char *help; /* one line; NULL: the next row's help */
};

struct cli_program {
	const char *name;
	const char *usage; /* the usage line after the name */
	const char *about; /* what the program reads and writes, in one or two lines */
	const struct cli_option *options;
	int count;           /* rows in options */
	const char *without; /* letters of common options that it lacks, or NULL */
};

/* Values of the common options. */
struct cli_common {
	const char *output; /* -o, NULL: standard output */
	const char *model;  /* -m, NULL: not given */
	bool verbose, quiet, force;
	int threads;         /* -T, 0: one for each core */
	uint64_t max_pixels; /* 0: the library's default */
	char **operand;      /* [operands], the FILEs in order */
	int operands;
};

void cli_begin(const struct cli_program *program, struct cli_common *common, int argc, char **argv);
/* Returns the next of the program's own options, or -1 after the last. Stores common options;
 * --help and the like exit. */
int cli_next(void);

/* Return the argument of the option that cli_next returned: as text, as a number within [low,
 * high], as "LOW:HIGH" with 0 < LOW <= HIGH, as "X,Y,W,H" or "WxH" with W and H at least 1, or as
 * the index of one of the words of its row's argument. */
const char *cli_text(void);
double cli_real(double low, double high);
uint64_t cli_whole(uint64_t low, uint64_t high);
/* Returns a whole number within [low, high], at most 2^53; with k or M: 1.5M is 1500000. */
uint64_t cli_amount(uint64_t low, uint64_t high);
void cli_range(double *low, double *high);
void cli_window(struct vae_rect *window);
void cli_size(uint32_t *width, uint32_t *height);
int cli_choice(void);

/* Allocates room for the arguments of an option that may be given more than once, as many as the
 * command line can have; the caller's, never NULL. */
char **cli_names(void);

/* Print a line "PROGRAM: ..." on stderr: an error; a note, which --quiet suppresses; a usage error,
 * which exits with 2. */
void cli_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void cli_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
void cli_usage(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
/* Fills *error as the library does, and returns code. */
int fail(struct vae_error *error, enum vae_err code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Sets a text between the program's name and each error (not notes), such as "rank 3: ". text must
 * remain valid. */
void cli_prefix(const char *text);
/* Shows "PROGRAM: text" on a terminal until the next line of any kind; NULL takes it away. */
void cli_line(const char *text);

#endif
