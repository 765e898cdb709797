/* inout.h - what a program takes in and gives out: operands as one stream, an output that is whole
 * or not there, models.
 *
 *     status = inout_open(&in, &out, &common, &error);
 *     while (!status && (status = vae_image_read(&image, in.file, 0, &error)) == 1) {
 *             ... write to out.file, then output_flush(&out, &error) ...
 *             input_mark(&in);
 *     }
 *     return inout_finish(&in, &out, status, &error); */
#ifndef VAE_TOOLS_INOUT_H
#define VAE_TOOLS_INOUT_H

#include "cli.h"
#include "foreign.h"
#include "output.h"

/* Fills *error as the library does, and returns code. */
int fail(struct vae_error *error, enum vae_err code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The operands, one after another, as cat(1) would give them. A file is opened only when the one
 * before it has been read. */
struct input {
	FILE *file;     /* the stream; ftello tells its position */
	uint64_t items; /* things read completely, counted by input_mark */
	int64_t item;   /* position where the thing now being worked on begins: the last mark */
	/* private */
	char **name; /* [names], not owned; "-" is standard input */
	int names;
	int opened;       /* how many of them were opened so far; the last is being read */
	int fd;           /* of the operand being read, -1 between two */
	int64_t position; /* bytes taken from all of them */
	int64_t *begin;   /* [names], position where each opened operand begins, owned */
	int failure;      /* errno of the operand that could not be opened or read, 0 */
	unsigned char head[FOREIGN_BYTES]; /* first bytes of the operand being read */
	size_t head_bytes;                 /* how many of them have been read */
	enum vae_kind wanted;              /* of the last input_expect, VAE_KIND_END: any */
};

/* No names: standard input. The names must stay as long as the input. VAE_EMEM. */
int input_open(struct input *in, char **name, int names, struct vae_error *error);
/* The thing that began at the last mark has been dealt with. */
void input_mark(struct input *in);
/* Prints one line on stderr: the operand's name, what is wrong, and the byte within it where that
 * is known. A fault at the first byte of an operand that is of another kind than wanted, or of none
 * that the suite knows, is named as that. */
void input_report(const struct input *in, const struct vae_error *error);
/* The operand that the thing being worked on comes from, as people are shown it, and as a path,
 * which is NULL where it is standard input. */
const char *input_name(const struct input *in);
const char *input_path(const struct input *in);
/* Returns VAE_EDATA where what comes next is something else that the suite knows: "these are codes;
 * vae-quant -d makes latents of them". All of the input should be of the kind that is wanted. */
int input_expect(struct input *in, enum vae_kind wanted, struct vae_error *error);
/* Returns VAE_EDATA with this text and the place of what comes next, which is of no kind that the
 * program reads. */
int input_unknown(const struct input *in, const char *text, struct vae_error *error);
void input_close(struct input *in);

/* The start of a filter: its operands, and an output for binary data. On failure neither is open.
 */
int inout_open(struct input *in, struct output *out, const struct cli_common *common,
               struct vae_error *error);
/* The end of one that never began to read: says why, releases both, and returns the exit status. */
int inout_refuse(struct input *in, struct output *out, const struct vae_error *error);
/* The end of a filter, where status is what its loop left in it (0: all was read): reports what
 * went wrong, an empty input and a failed close of the output too, and returns the exit status. */
int inout_finish(struct input *in, struct output *out, int status, const struct vae_error *error);

/* The models that a run needs: the one asked for by -m, or the last one that a stream named. */
struct models {
	struct vae_model *asked, *last;
};
/* name NULL: none asked for. */
int models_open(struct models *models, const char *name, struct vae_error *error);
/* Finds the model that a head names, owned by models and good until the next call; NULL for an
 * exact picture's, which needs none. VAE_EMODEL where -m named another: the text names both. */
int models_get(struct models *models, const struct vae_model **model, const struct vae_head *head,
               const char *hint, struct vae_error *error);
void models_close(struct models *models);
/* The model's file name without folder and ending, in text. Returns text. */
const char *model_name(const struct vae_model *model, char *text, size_t room);

double seconds_now(void); /* of a clock that only goes forward */

#endif
