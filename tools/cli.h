/* cli.h - the command line of every program, from one table.
 *
 * A program describes itself in a struct cli_program whose rows name its own options; the options
 * that all programs share are rows in cli.c. getopt_long's arrays and --help are made from these
 * rows; tools/completion.bash reads --help.
 *
 *     cli_begin(&program, &o.common, argc, argv);
 *     while ((key = cli_next()) != -1)
 *             switch (key) { case 'q': o.quality = cli_real(0, 100); break; ... }
 *
 * Whatever is wrong with the command line is said in one line on stderr, with a pointer to --help,
 * and the program exits with 2. */
#ifndef VAE_TOOLS_CLI_H
#define VAE_TOOLS_CLI_H

#include "vae.h"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

#define CLI_LONG 256 /* keys of a program's options without a letter count from here */

struct cli_option {
	int key;          /* the option's letter, or a number from CLI_LONG up: what cli_next returns */
	const char *name; /* long name, without its dashes */
	const char *argument; /* name of the argument; words separated by | in lower case, or numbers,
	                         are its only values; NULL: takes none */
	const char *help;     /* one line; NULL: shown together with the next row that has one */
};

struct cli_program {
	const char *name;
	const char *usage; /* what follows the name on the usage line */
	const char *about; /* what it reads and writes, one or two lines */
	const struct cli_option *options;
	int count;           /* rows in options */
	const char *without; /* letters of the common options that it does not have, or NULL */
};

/* What the common options say. */
struct cli_common {
	const char *output; /* -o, NULL: standard output */
	const char *model;  /* -m, NULL: not given */
	bool verbose, quiet, force;
	int threads;         /* -T, 0: one a core */
	uint64_t max_pixels; /* 0: the library's default */
	char **operand;      /* [operands], the FILEs in their order */
	int operands;
};

void cli_begin(const struct cli_program *program, struct cli_common *common, int argc, char **argv);
/* The next of the program's own options, or -1 when all are read; common options are stored, --help
 * and the like never return. */
int cli_next(void);

/* The argument of the option that cli_next returned: as text, strictly as a number within [low,
 * high], as "LOW:HIGH" with 0 < LOW <= HIGH, as "X,Y,W,H" or "WxH" with W and H at least 1, or as
 * the index of one of the words of its row's argument. */
const char *cli_text(void);
double cli_real(double low, double high);
uint64_t cli_whole(uint64_t low, uint64_t high);
/* A whole number within [low, high], at most 2^53, that may be written with k or M behind it: 1.5M
 * is 1500000. */
uint64_t cli_amount(uint64_t low, uint64_t high);
void cli_range(double *low, double *high);
void cli_window(struct vae_rect *window);
void cli_size(uint32_t *width, uint32_t *height);
int cli_choice(void);

/* Room for the arguments of an option that may be given more than once, as many as the command line
 * can hold; the caller's, never NULL. */
char **cli_names(void);

/* Lines on stderr, each "PROGRAM: ...": an error; a note, which --quiet silences; a usage error,
 * which exits with 2. */
void cli_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void cli_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
void cli_usage(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
/* What stands between the program's name and each error, but no note, from now on: "rank 3: ". text
 * must stay. */
void cli_prefix(const char *text);
/* Shows "PROGRAM: text" on a terminal until the next line of any kind; NULL takes it away. */
void cli_line(const char *text);

#endif
