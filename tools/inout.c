/* inout.c - operands as one stream, the start and end of a filter, models. */
#include "inout.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

double seconds_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + 1e-9 * t.tv_nsec;
}

/* ---- input ----------------------------------------------------------------------------------- */

static char *standard_input[] = {"-"};

static const char *shown(const char *name) { return strcmp(name, "-") ? name : "standard input"; }

static int open_next(struct input *in)
{
	const char *name = in->name[in->opened];

	in->begin[in->opened++] = in->position;
	in->head_bytes = 0;
	in->fd = strcmp(name, "-") ? open(name, O_RDONLY | O_CLOEXEC) : dup(STDIN_FILENO);
	return in->fd;
}

/* Keeps the first bytes of an operand, to recognise a foreign kind. */
static void keep_head(struct input *in, const char *bytes, size_t count)
{
	size_t room = sizeof in->head - in->head_bytes;

	if (count > room)
		count = room;
	memcpy(in->head + in->head_bytes, bytes, count);
	in->head_bytes += count;
}

/* Reads from the operands. A read never spans two of them, so that a picture is written before the
 * next operand is opened. */
static ssize_t read_operands(void *cookie, char *buffer, size_t room)
{
	struct input *in = cookie;

	while (!in->failure) {
		ssize_t got;

		if (in->fd < 0) {
			if (in->opened == in->names)
				return 0;
			if (open_next(in) < 0)
				break;
		}
		do
			got = read(in->fd, buffer, room);
		while (got < 0 && errno == EINTR);
		if (got < 0)
			break;
		if (got > 0) {
			in->position += got;
			keep_head(in, buffer, got);
			return got;
		}
		close(in->fd);
		in->fd = -1;
	}
	if (!in->failure)
		in->failure = errno;
	errno = in->failure;
	return -1;
}

/* Answers ftello's question for the position; nothing else can be asked. */
static int tell_operands(void *cookie, off64_t *offset, int whence)
{
	struct input *in = cookie;

	if (whence != SEEK_CUR || *offset) {
		errno = ESPIPE;
		return -1;
	}
	*offset = in->position;
	return 0;
}

int input_open(struct input *in, char **name, int names, struct vae_error *error)
{
	const cookie_io_functions_t functions = {.read = read_operands, .seek = tell_operands};

	*in =
		(struct input){.name = names ? name : standard_input, .names = names ? names : 1, .fd = -1};
	in->begin = calloc(in->names, sizeof *in->begin);
	in->buffer = malloc(STREAM_BYTES);
	if (!in->begin || !in->buffer || !(in->file = fopencookie(in, "r", functions)) ||
	    setvbuf(in->file, in->buffer, _IOFBF, STREAM_BYTES)) {
		input_close(in);
		return fail(error, VAE_EMEM, "out of memory");
	}
	return 0;
}

void input_close(struct input *in)
{
	if (!in->names)
		return;
	if (in->file)
		fclose(in->file);
	if (in->fd >= 0)
		close(in->fd);
	free(in->buffer);
	free(in->begin);
	*in = (struct input){.fd = -1};
}

void input_mark(struct input *in)
{
	off_t position = ftello(in->file);

	if (position >= 0)
		in->item = position;
	in->items++;
}

/* Returns the operand at this position of the stream; at its end, the last one opened. */
static int operand_at(const struct input *in, int64_t position)
{
	int at = 0;

	for (int i = 1; i < in->opened; i++)
		if (in->begin[i] <= position)
			at = i;
	return at;
}

const char *input_name(const struct input *in) { return shown(in->name[operand_at(in, in->item)]); }

const char *input_path(const struct input *in)
{
	const char *name = in->name[operand_at(in, in->item)];

	return strcmp(name, "-") ? name : NULL;
}

static const char *const other_kind[] = {
	[VAE_KIND_IMAGE] = "this is an image; vae-enc makes latents of it",
	[VAE_KIND_LATENTS] = "these are latents; vae-quant makes codes of them, vae-dec an image",
	[VAE_KIND_CODES] = "these are codes; vae-quant -d makes latents of them, vae-dec an image",
	[VAE_KIND_MODEL] = "this is a model; -m names it",
	[VAE_KIND_UNKNOWN] = NULL,
};

/* Returns what an operand that begins with in->head is, if that is not the kind wanted; NULL:
 * unknown. */
static const char *mistaken_for(const struct input *in)
{
	enum vae_kind kind = VAE_KIND_UNKNOWN;
	FILE *head = in->head_bytes ? fmemopen((void *)in->head, in->head_bytes, "r") : NULL;

	if (head) {
		kind = vae_kind_peek(head);
		fclose(head);
	}
	if (kind == VAE_KIND_UNKNOWN)
		return foreign_kind(in->head, in->head_bytes);
	if (in->wanted == VAE_KIND_END || kind == in->wanted)
		return NULL;
	if (in->either && kind == VAE_KIND_LATENTS)
		return "these are latents behind codes; a stream is all of one kind";
	if (in->either && kind == VAE_KIND_CODES)
		return "these are codes behind latents; a stream is all of one kind";
	return other_kind[kind];
}

void input_report(const struct input *in, const struct vae_error *error)
{
	if (!in->names) { /* the operand could not be opened */
		cli_error("%s", error->text);
	} else if (in->failure) {
		cli_error("%s: %s", shown(in->name[in->opened - 1]), strerror(in->failure));
	} else if (error->offset >= 0) {
		int at = operand_at(in, error->offset);
		bool first = at == in->opened - 1 && error->offset == in->begin[at];
		const char *other = first ? mistaken_for(in) : NULL;

		if (other)
			cli_error("%s: %s", shown(in->name[at]), other);
		else
			cli_error("%s: %s (byte %" PRId64 ")", shown(in->name[at]), error->text,
			          error->offset - in->begin[at]);
	} else {
		cli_error("%s: %s", input_name(in), error->text);
	}
}

int input_expect(struct input *in, enum vae_kind wanted, struct vae_error *error)
{
	enum vae_kind kind = vae_kind_peek(in->file);

	in->wanted = wanted;
	if (kind == wanted || kind == VAE_KIND_END || kind == VAE_KIND_UNKNOWN)
		return 0;
	return fail(error, VAE_EDATA, "%s", other_kind[kind]);
}

int input_unknown(const struct input *in, const char *text, struct vae_error *error)
{
	fail(error, VAE_EDATA, "%s", text);
	error->offset = in->item;
	return VAE_EDATA;
}

/* ---- a filter -------------------------------------------------------------------------------- */

int inout_open(struct input *in, struct output *out, const struct cli_common *common,
               struct vae_error *error)
{
	int status;

	*out = (struct output){0};
	status = input_open(in, common->operand, common->operands, error);
	if (!status)
		status = output_open(out, common->output, !common->force, error);
	if (status < 0)
		input_close(in);
	return status;
}

int inout_refuse(struct input *in, struct output *out, const struct vae_error *error)
{
	cli_error("%s", error->text);
	output_abandon(out);
	input_close(in);
	return EXIT_FAILED;
}

int inout_finish(struct input *in, struct output *out, int status, const struct vae_error *error)
{
	struct vae_error end = *error;

	if (!status && in->failure)
		status = VAE_EIO;
	else if (!status && !in->items)
		status = fail(&end, VAE_EDATA, "empty input");
	if (!status) {
		status = output_close(out, &end);
		if (status)
			cli_error("%s: %s", out->name, end.text);
	} else if (out->file && ferror(out->file)) {
		cli_error("%s: %s", out->name, end.text);
	} else {
		input_report(in, &end);
	}
	output_abandon(out);
	input_close(in);
	return status ? EXIT_FAILED : EXIT_DONE;
}

/* ---- models ---------------------------------------------------------------------------------- */

const char *model_name(const struct vae_model *model, char *text, size_t room)
{
	const char *path = vae_model_path(model), *slash = strrchr(path, '/');
	char *dot;

	snprintf(text, room, "%s", slash ? slash + 1 : path);
	dot = strrchr(text, '.');
	if (dot && dot != text && !strcmp(dot, ".safetensors"))
		*dot = '\0';
	return text;
}

int models_open(struct models *models, const char *name, struct vae_error *error)
{
	*models = (struct models){0};
	return name ? vae_model_find(&models->asked, name, error) : 0;
}

/* Reports that -m named a model other than the stream's. */
static int other_model(const struct vae_model *asked, uint64_t id, const char *hint,
                       struct vae_error *error)
{
	struct vae_error ignored;
	struct vae_model *maker;
	char name[64], asked_name[64];

	model_name(asked, asked_name, sizeof asked_name);
	if (vae_model_find_id(&maker, id, hint, &ignored))
		return fail(error, VAE_EMODEL,
		            "made with the model %016" PRIx64
		            ", which was not found, not with %s (%016" PRIx64 ")",
		            id, asked_name, vae_model_id(asked));
	model_name(maker, name, sizeof name);
	vae_model_free(maker);
	return fail(error, VAE_EMODEL,
	            "made with the model %s (%016" PRIx64 "), not with %s (%016" PRIx64 ")", name, id,
	            asked_name, vae_model_id(asked));
}

int models_get(struct models *models, const struct vae_model **model, const struct vae_head *head,
               const char *hint, struct vae_error *error)
{
	uint64_t id = head->model_id;

	if (!head->channels) {
		*model = NULL;
		return 0;
	}
	if (models->asked) {
		if (vae_model_id(models->asked) != id)
			return other_model(models->asked, id, hint, error);
		*model = models->asked;
		return 0;
	}
	if (!models->last || vae_model_id(models->last) != id) {
		struct vae_model *found;
		int status = vae_model_find_id(&found, id, hint, error);

		if (status < 0)
			return status;
		vae_model_free(models->last);
		models->last = found;
	}
	*model = models->last;
	return 0;
}

void models_close(struct models *models)
{
	vae_model_free(models->asked);
	vae_model_free(models->last);
	*models = (struct models){0};
}
