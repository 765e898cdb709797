/* inout.h - input and output of a program: operands as one stream, a complete output or none,
 * models.
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

/* The operands, concatenated as by cat(1). A file is opened when the one before has been read. */
struct input {
	FILE *file;     /* the stream; ftello tells its position */
	uint64_t items; /* items read completely: calls of input_mark */
	int64_t item;   /* position where the current item begins: the last mark */
	bool either;    /* the program reads codes or latents, and one stream is all of one kind */
	/* private */
	char **name; /* [names], not owned; "-" is standard input */
	int names;
	int opened;       /* operands opened so far; the last is being read */
	int fd;           /* of the operand being read, or -1 */
	int64_t position; /* bytes read from all operands */
	char *buffer;     /* of file, owned */
	int64_t *begin;   /* [names], position where each opened operand begins, owned */
	int failure;      /* errno of an operand that could not be opened or read, or 0 */
	unsigned char head[FOREIGN_BYTES]; /* first bytes of the operand being read */
	size_t head_bytes;                 /* number of bytes in head */
	enum vae_kind wanted;              /* of the last input_expect; VAE_KIND_END: any */
};

/* Opens the operands; no names: standard input. The names must remain valid. VAE_EMEM. */
int input_open(struct input *in, char **name, int names, struct vae_error *error);
/* Marks the end of an item. */
void input_mark(struct input *in);
/* Prints one line on stderr: the operand's name, the fault, and its byte offset if known. If an
 * operand is of the wrong kind, or of a foreign one, says so instead. */
void input_report(const struct input *in, const struct vae_error *error);
/* Return the current item's operand: for messages; as a path, NULL for standard input. */
const char *input_name(const struct input *in);
const char *input_path(const struct input *in);
/* Returns VAE_EDATA if the next item is of another kind that the suite knows: "these are codes;
 * vae-quant -d makes latents of them". The whole input should be of the kind that is wanted. */
int input_expect(struct input *in, enum vae_kind wanted, struct vae_error *error);
/* Returns VAE_EDATA with this text and the position of the next item, whose kind the program does
 * not read. */
int input_unknown(const struct input *in, const char *text, struct vae_error *error);
void input_close(struct input *in);

/* Starts a filter: opens its operands, and a binary output. On failure neither is open. */
int inout_open(struct input *in, struct output *out, const struct cli_common *common,
               struct vae_error *error);
/* Ends a filter that has read nothing: reports the error, releases both, and returns the status. */
int inout_refuse(struct input *in, struct output *out, const struct vae_error *error);
/* Ends a filter. status: the result of its loop (0: everything was read). Reports that error, an
 * empty input or a failed close of the output, and returns the exit status. */
int inout_finish(struct input *in, struct output *out, int status, const struct vae_error *error);

/* The models that a run needs: the one given by -m, or the last one that a stream named. */
struct models {
	struct vae_model *asked, *last;
};
/* name NULL: none given. */
int models_open(struct models *models, const char *name, struct vae_error *error);
/* Finds the model that a head names; models owns it until the next call. NULL for an exact picture,
 * which needs none. VAE_EMODEL if -m named another; the text names both. */
int models_get(struct models *models, const struct vae_model **model, const struct vae_head *head,
               const char *hint, struct vae_error *error);
void models_close(struct models *models);
/* Stores the model's file name without folder and suffix in text. Returns text. */
const char *model_name(const struct vae_model *model, char *text, size_t room);

double seconds_now(void); /* of a monotonic clock */

#endif
