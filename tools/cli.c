/* cli.c - the option tables, getopt_long's arrays and --help. */
#include "cli.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <malloc.h>
#include <math.h>
#include <omp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define ROOM   64 /* largest number of rows, the common ones included */
#define MARGIN 27 /* column where the help texts begin */
#define WIDTH  79

enum { KEY_QUIET = 1000, KEY_MAX_PIXELS };

static const struct cli_option common_options[] = {
	{'m', "model", "NAME|FILE", "the model to use"},
	{'o', "output", "FILE", "write to FILE, which appears only when complete"},
	{'T', "threads", "N", "run N threads (default: one for each core)"},
	{KEY_MAX_PIXELS, "max-pixels", "N[k|M]", "refuse larger pictures (default 268435456 pixels)"},
	{'f', "force", NULL, "write binary data even to a terminal"},
	{'v', "verbose", NULL, "report each image on standard error"},
	{KEY_QUIET, "quiet", NULL, "print errors only, no notes and no progress"},
	{'h', "help", NULL, "print this help and exit"},
	{'V', "version", NULL, "print the version and exit"},
};

/* Accepted spellings that --help does not show. */
static const struct {
	const char *spelling, *name;
} other_spellings[] = {
	{"license", "licence"},
	{"optimizer", "optimiser"},
	{"target-size", "max-size"},
};
enum { SPELLINGS = sizeof other_spellings / sizeof *other_spellings };

/* The command line being read; a program has only one. */
static struct {
	const struct cli_program *program;
	struct cli_common *common;
	int argc;
	char **argv;
	struct cli_option row[ROOM]; /* own rows, then common rows */
	int rows;
	struct option longs[ROOM + SPELLINGS + 1];
	char letters[3 * ROOM + 1];
	const struct cli_option *current;
	const char *prefix; /* of errors */
} cli = {.prefix = ""};

static int line_length; /* characters of cli_line on the terminal's line now */

/* Returns to the start of the line for a text of `wanted` characters; wipes a longer one first. */
static void clear_line(int wanted)
{
	if (line_length > wanted)
		fprintf(stderr, "\r%*s", line_length, "");
	if (line_length)
		fprintf(stderr, "\r");
	line_length = 0;
}

/* Prints one line with control characters replaced, since file names may hold escape sequences. */
static void say(const char *prefix, const char *format, va_list arguments)
{
	char *text;

	fflush(stdout);
	if (vasprintf(&text, format, arguments) < 0)
		text = NULL;
	for (char *c = text; c && *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
	clear_line(0);
	fprintf(stderr, "%s: %s%s\n", cli.program->name, prefix, text ? text : "out of memory");
	free(text);
}

void cli_prefix(const char *text) { cli.prefix = text; }

void cli_error(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	say(cli.prefix, format, arguments);
	va_end(arguments);
}

void cli_note(const char *format, ...)
{
	va_list arguments;

	if (cli.common->quiet)
		return;
	va_start(arguments, format);
	say("", format, arguments);
	va_end(arguments);
}

void cli_line(const char *text)
{
	clear_line(text ? (int)(strlen(cli.program->name) + 2 + strlen(text)) : 0);
	if (text)
		line_length = fprintf(stderr, "%s: %s", cli.program->name, text);
	fflush(stderr);
}

static void __attribute__((noreturn)) leave_with_usage(void)
{
	fprintf(stderr, "Try '%s --help' for more information.\n", cli.program->name);
	exit(EXIT_USAGE);
}

void cli_usage(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	say(cli.prefix, format, arguments);
	va_end(arguments);
	leave_with_usage();
}

int fail(struct vae_error *error, enum vae_err code, const char *format, ...)
{
	va_list arguments;

	error->code = code;
	error->offset = -1;
	va_start(arguments, format);
	vsnprintf(error->text, sizeof error->text, format, arguments);
	va_end(arguments);
	return code;
}

/* Formats "-q, --quality Q", or "    --level N". */
static int print_option(char *text, size_t room, const struct cli_option *row)
{
	const char *space = row->argument ? " " : "", *argument = row->argument ? row->argument : "";

	if (row->key < CLI_LONG)
		return snprintf(text, room, "-%c, --%s%s%s", row->key, row->name, space, argument);
	return snprintf(text, room, "    --%s%s%s", row->name, space, argument);
}

/* Prints the help. Rows without a help text share the next row's; the line is broken where it would
 * pass WIDTH. */
static void print_help(void)
{
	const struct cli_program *p = cli.program;
	int column = 0;

	printf("Usage: %s %s\n%s\n\n", p->name, p->usage, p->about);
	for (int i = 0; i < cli.rows; i++) {
		const struct cli_option *row = &cli.row[i];
		char text[96];
		int skip = column && row->key >= CLI_LONG ? 4 : 0,
			length = print_option(text, sizeof text, row) - skip;

		if (column && column + 2 + length > WIDTH) {
			printf(",\n");
			column = skip = 0;
			length = print_option(text, sizeof text, row);
		}
		column += printf("%s%s", column ? ", " : "  ", text + skip);
		if (!row->help)
			continue;
		if (column > MARGIN - 2)
			column = printf("\n") - 1;
		printf("%*s%s\n", MARGIN - column, "", row->help);
		column = 0;
	}
	printf("\nMore: man %s, man vae\n", p->name);
}

static void __attribute__((noreturn)) leave_after_printing(void)
{
	if (fflush(stdout) || ferror(stdout)) {
		cli_error("standard output: %s", strerror(errno));
		exit(EXIT_FAILED);
	}
	exit(EXIT_DONE);
}

static void add_row(const struct cli_option *row)
{
	struct option *l = &cli.longs[cli.rows];
	char *letters = cli.letters + strlen(cli.letters);

	if (cli.rows == ROOM) {
		cli_error("more than %d options", ROOM);
		exit(EXIT_FAILED);
	}
	cli.row[cli.rows++] = *row;
	*l =
		(struct option){row->name, row->argument ? required_argument : no_argument, NULL, row->key};
	if (row->key < CLI_LONG)
		sprintf(letters, "%c%s", row->key, row->argument ? ":" : "");
}

/* Opens standard descriptors that came closed: a file would get their numbers, and notes would end
 * up in the output. /dev/null is opened the wrong way round, so that their use still fails. */
static void occupy_standard_descriptors(void)
{
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd ? O_RDONLY : O_WRONLY) != fd)
			exit(EXIT_FAILED);
}

/* Adds the other spellings of the program's options to cli.longs, from row `at` on. */
static void add_spellings(int at)
{
	for (int i = 0; i < SPELLINGS; i++)
		for (int k = 0; k < cli.rows; k++)
			if (!strcmp(cli.longs[k].name, other_spellings[i].name)) {
				cli.longs[at] = cli.longs[k];
				cli.longs[at++].name = other_spellings[i].spelling;
			}
}

void cli_begin(const struct cli_program *program, struct cli_common *common, int argc, char **argv)
{
	const int commons = sizeof common_options / sizeof *common_options;

	occupy_standard_descriptors();
	/* Large blocks return to the system one by one; otherwise up to 150 MB remain with threads. */
	mallopt(M_MMAP_THRESHOLD, 1 << 20);
	cli.program = program;
	cli.common = common;
	cli.argc = argc;
	cli.argv = argv;
	*common = (struct cli_common){0};
	for (int i = 0; i < program->count; i++)
		add_row(&program->options[i]);
	for (int i = 0; i < commons; i++)
		if (!program->without || common_options[i].key >= CLI_LONG ||
		    !strchr(program->without, common_options[i].key))
			add_row(&common_options[i]);
	add_spellings(cli.rows);
	if (argc > 0)
		argv[0] = (char *)program->name; /* getopt_long's own messages begin with it */
}

/* Returns whether the key was a common option, and stores it. */
static bool take_common(int key)
{
	struct cli_common *c = cli.common;

	switch (key) {
	case 'm': c->model = cli_text(); break;
	case 'o': c->output = cli_text(); break;
	case 'T': c->threads = (int)cli_whole(0, 1024); break;
	case 'f': c->force = true; break;
	case 'v': c->verbose = true; break;
	case KEY_QUIET: c->quiet = true; break;
	case KEY_MAX_PIXELS: c->max_pixels = cli_amount(1, (uint64_t)1 << 48); break;
	case 'h': print_help(); leave_after_printing();
	case 'V': printf("%s (vae-tools) %s\n", cli.program->name, VAE_VERSION); leave_after_printing();
	default: return false;
	}
	return true;
}

static bool is_own(int key)
{
	for (int i = 0; i < cli.program->count; i++)
		if (cli.program->options[i].key == key)
			return true;
	return false;
}

int cli_next(void)
{
	int key;

	while ((key = getopt_long(cli.argc, cli.argv, cli.letters, cli.longs, NULL)) != -1) {
		if (key == '?')
			leave_with_usage();
		cli.current = NULL;
		for (int i = 0; i < cli.rows && !cli.current; i++)
			if (cli.row[i].key == key)
				cli.current = &cli.row[i];
		if (is_own(key) || !take_common(key))
			return key;
	}
	cli.common->operand = cli.argv + optind;
	cli.common->operands = cli.argc - optind;
	if (cli.common->threads)
		omp_set_num_threads(cli.common->threads);
	return -1;
}

char **cli_names(void)
{
	char **names = calloc(cli.argc, sizeof *names);

	if (!names) {
		cli_error("out of memory");
		exit(EXIT_FAILED);
	}
	return names;
}

const char *cli_text(void)
{
	if (!*optarg)
		cli_usage("--%s: empty argument", cli.current->name);
	return optarg;
}

/* Parses a number as strtod does, but no blanks, hexadecimal digits, words, or what follows. */
static bool parse_real(const char *text, size_t length, double *value)
{
	char copy[64], *end;

	if (!length || length >= sizeof copy || strspn(text, "0123456789.eE+-") < length)
		return false;
	memcpy(copy, text, length);
	copy[length] = '\0';
	*value = strtod(copy, &end);
	return end == copy + length && isfinite(*value);
}

double cli_real(double low, double high)
{
	double value;

	if (!parse_real(optarg, strlen(optarg), &value) || value < low || value > high)
		cli_usage("--%s: '%s' is not a number from %g to %g", cli.current->name, optarg, low, high);
	return value;
}

uint64_t cli_whole(uint64_t low, uint64_t high)
{
	char *end;
	unsigned long long value;

	errno = 0;
	value = strtoull(optarg, &end, 10);
	if (!isdigit((unsigned char)*optarg) || *end || errno || value < low || value > high)
		cli_usage("--%s: '%s' is not a whole number from %llu to %llu", cli.current->name, optarg,
		          (unsigned long long)low, (unsigned long long)high);
	return value;
}

uint64_t cli_amount(uint64_t low, uint64_t high)
{
	static const struct {
		char letter;
		double factor;
	} unit[] = {{'k', 1e3}, {'K', 1e3}, {'M', 1e6}};
	size_t length = strlen(optarg);
	double factor = 1, value;

	for (size_t i = 0; length && i < sizeof unit / sizeof *unit; i++)
		if (optarg[length - 1] == unit[i].letter) {
			factor = unit[i].factor;
			length--;
			break;
		}
	if (strspn(optarg, factor > 1 ? "0123456789." : "0123456789") < length ||
	    !parse_real(optarg, length, &value) || value * factor < (double)low ||
	    value * factor > (double)high)
		cli_usage("--%s: '%s' is not a whole number from %llu to %llu, or a number of thousands "
		          "(k) or millions (M)",
		          cli.current->name, optarg, (unsigned long long)low, (unsigned long long)high);
	return (uint64_t)(value * factor + 1e-6);
}

void cli_range(double *low, double *high)
{
	const char *colon = strchr(optarg, ':');

	if (!colon || !parse_real(optarg, colon - optarg, low) ||
	    !parse_real(colon + 1, strlen(colon + 1), high) || *low <= 0 || *low > *high)
		cli_usage("--%s: '%s' is not MIN:MAX with 0 < MIN <= MAX", cli.current->name, optarg);
}

/* Parses the window's four numbers, each up to the longest possible side of a picture. */
void cli_window(struct vae_rect *window)
{
	size_t *number[] = {&window->column, &window->row, &window->columns, &window->rows};
	const char *text = optarg;

	for (int i = 0; i < 4; i++, text++) {
		char *end;
		unsigned long long value = strtoull(text, &end, 10); /* too large a number is ULLONG_MAX */

		if (!isdigit((unsigned char)*text) || value < (i < 2 ? 0 : 1) || value > INT32_MAX ||
		    *end != (i < 3 ? ',' : '\0'))
			cli_usage("--%s: '%s' is not X,Y,W,H, four whole numbers with W and H at least 1",
			          cli.current->name, optarg);
		*number[i] = (size_t)value;
		text = end;
	}
}

void cli_size(uint32_t *width, uint32_t *height)
{
	char *end;
	unsigned long long w = strtoull(optarg, &end, 10),
					   h = *end == 'x' ? strtoull(end + 1, NULL, 10) : 0;

	if (!isdigit((unsigned char)*optarg) || *end != 'x' || !isdigit((unsigned char)end[1]) ||
	    end[1 + strspn(end + 1, "0123456789")] || !w || !h || w > INT32_MAX || h > INT32_MAX)
		cli_usage("--%s: '%s' is not WxH, two whole numbers of at least 1", cli.current->name,
		          optarg);
	*width = (uint32_t)w;
	*height = (uint32_t)h;
}

int cli_choice(void)
{
	const char *word = cli.current->argument;
	size_t length = strlen(optarg);

	for (int i = 0;; i++) {
		size_t span = strcspn(word, "|");

		if (span == length && !memcmp(word, optarg, length))
			return i;
		if (!word[span])
			break;
		word += span + 1;
	}
	cli_usage("--%s: '%s' is none of %s", cli.current->name, optarg, cli.current->argument);
}
