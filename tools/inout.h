/* inout.h - what a program takes in and gives out: operands as one stream, an output that is whole or not there, models.
 *
 *     status = inout_open(&in, &out, &common, &error);
 *     while (!status && (status = vae_image_read(&image, in.file, 0, &error)) == 1) {
 *             ... write to out.file, then output_flush(&out, &error) ...
 *             input_mark(&in);
 *     }
 *     return inout_finish(&in, &out, status, &error);
 */
#ifndef VAE_TOOLS_INOUT_H
#define VAE_TOOLS_INOUT_H

#include "cli.h"

/* Fills *error as the library does, and returns code. */
int fail(struct vae_error *error, enum vae_err code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The operands, one after another, as cat(1) would give them. A file is opened only when the one before it has been read. */
struct input {
	FILE *file;        /* the stream; ftello tells its position */
	uint64_t items;    /* things read completely, counted by input_mark */
	int64_t item;      /* position where the thing now being worked on begins: the last mark */
	/* private */
	char **name;       /* [names], not owned; "-" is standard input */
	int names;
	int opened;        /* how many of them were opened so far; the last is being read */
	int fd;            /* of the operand being read, -1 between two */
	int64_t position;  /* bytes taken from all of them */
	int64_t *begin;    /* [names], position where each opened operand begins, owned */
	int failure;       /* errno of the operand that could not be opened or read, 0 */
};

/* No names: standard input. The names must stay as long as the input. VAE_EMEM. */
int input_open(struct input *in, char **name, int names, struct vae_error *error);
/* The thing that began at the last mark has been dealt with. */
void input_mark(struct input *in);
/* One line on stderr: the operand's name, what is wrong, and the byte within it where that is known. */
void input_report(const struct input *in, const struct vae_error *error);
/* The operand that the thing being worked on comes from, as people are shown it, and as a path, which is NULL where it is standard input. */
const char *input_name(const struct input *in);
const char *input_path(const struct input *in);
/* VAE_EDATA where what comes next is something else that the suite knows: "these are codes; vae-quant -d makes latents of them". */
int input_expect(struct input *in, enum vae_kind wanted, struct vae_error *error);
void input_close(struct input *in);

/* Standard output, or a file that takes its name only when it is complete. INT, TERM and HUP remove what is incomplete. */
struct output {
	FILE *file;
	const char *name;  /* for diagnostics */
	/* private */
	char *target;      /* the name that the finished file takes; NULL where FILE is written directly (a device, a pipe) */
	char *temporary;   /* beside it */
};

/* path NULL: standard output. binary: refuse a terminal. The error names the file here, but not in the two calls below. */
int output_open(struct output *out, const char *path, bool binary, struct vae_error *error);
/* Whether output_open would succeed, for a program that has hours of work to do first. */
int output_check(const char *path, bool binary, struct vae_error *error);
int output_flush(struct output *out, struct vae_error *error);
/* Makes the file appear. On failure nothing is left behind. */
int output_close(struct output *out, struct vae_error *error);
void output_abandon(struct output *out);

/* The start of a filter: its operands, and an output for binary data. On failure neither is open. */
int inout_open(struct input *in, struct output *out, const struct cli_common *common, struct vae_error *error);
/* The end of one that never began to read: says why, releases both, and returns the exit status. */
int inout_refuse(struct input *in, struct output *out, const struct vae_error *error);
/* The end of a filter, where status is what its loop left in it (0: all was read): reports what went wrong, an empty input and a
 * failed close of the output too, and returns the exit status. */
int inout_finish(struct input *in, struct output *out, int status, const struct vae_error *error);

/* The models that a run needs: the one asked for by -m, or the last one that a stream named. */
struct models {
	struct vae_model *asked, *last;
};
/* name NULL: none asked for. */
int models_open(struct models *models, const char *name, struct vae_error *error);
/* The model for a stream's id, owned by models and good until the next call. VAE_EMODEL where -m named another. */
int models_get(struct models *models, const struct vae_model **model, uint64_t id, const char *hint, struct vae_error *error);
void models_close(struct models *models);
/* The model's file name without folder and ending, in text. Returns text. */
const char *model_name(const struct vae_model *model, char *text, size_t room);

double seconds_now(void); /* of a clock that only goes forward */

#endif
