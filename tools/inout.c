/* inout.c - operands as one stream, output that is whole or not there, models. */
#include "inout.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BUFFER_BYTES (1 << 16)

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

double seconds_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + 1e-9 * t.tv_nsec;
}

/* ---- input ------------------------------------------------------------------------------------------------------------- */

static char *standard_input[] = { "-" };

static const char *shown(const char *name)
{
	return strcmp(name, "-") ? name : "standard input";
}

static int open_next(struct input *in)
{
	const char *name = in->name[in->opened];

	in->begin[in->opened++] = in->position;
	in->fd = strcmp(name, "-") ? open(name, O_RDONLY | O_CLOEXEC) : dup(STDIN_FILENO);
	return in->fd;
}

/* A read never spans two operands, so a picture is written before the next operand is so much as opened. */
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

/* Only what ftello asks: where are we. */
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
	const cookie_io_functions_t functions = { .read = read_operands, .seek = tell_operands };

	*in = (struct input){ .name = names ? name : standard_input, .names = names ? names : 1, .fd = -1 };
	in->begin = calloc(in->names, sizeof *in->begin);
	if (!in->begin || !(in->file = fopencookie(in, "r", functions)) || setvbuf(in->file, NULL, _IOFBF, BUFFER_BYTES)) {
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
	free(in->begin);
	*in = (struct input){ .fd = -1 };
}

void input_mark(struct input *in)
{
	off_t position = ftello(in->file);

	if (position >= 0)
		in->item = position;
	in->items++;
}

/* The operand that holds this position of the stream; the last opened one at its very end. */
static int operand_at(const struct input *in, int64_t position)
{
	int at = 0;

	for (int i = 1; i < in->opened; i++)
		if (in->begin[i] <= position)
			at = i;
	return at;
}

const char *input_name(const struct input *in)
{
	return shown(in->name[operand_at(in, in->item)]);
}

const char *input_path(const struct input *in)
{
	const char *name = in->name[operand_at(in, in->item)];

	return strcmp(name, "-") ? name : NULL;
}

void input_report(const struct input *in, const struct vae_error *error)
{
	if (!in->names) { /* it could not be opened */
		cli_error("%s", error->text);
	} else if (in->failure) {
		cli_error("%s: %s", shown(in->name[in->opened - 1]), strerror(in->failure));
	} else if (error->offset >= 0) {
		int at = operand_at(in, error->offset);

		cli_error("%s: %s (byte %" PRId64 ")", shown(in->name[at]), error->text, error->offset - in->begin[at]);
	} else {
		cli_error("%s: %s", input_name(in), error->text);
	}
}

int input_expect(struct input *in, enum vae_kind wanted, struct vae_error *error)
{
	static const char *const what[] = {
		[VAE_KIND_IMAGE] = "this is an image; vae-enc makes latents of it",
		[VAE_KIND_LATENTS] = "these are latents; vae-quant makes codes of them, vae-dec an image",
		[VAE_KIND_CODES] = "these are codes; vae-quant -d makes latents of them, vae-dec an image",
		[VAE_KIND_MODEL] = "this is a model; -m names it",
	};
	enum vae_kind kind = vae_kind_peek(in->file);

	if (kind == wanted || kind == VAE_KIND_END || kind == VAE_KIND_UNKNOWN)
		return 0;
	return fail(error, VAE_EDATA, "%s", what[kind]);
}

/* ---- output ------------------------------------------------------------------------------------------------------------ */

static const int deadly[] = { SIGINT, SIGTERM, SIGHUP };
static char *volatile incomplete; /* the file to remove when a deadly signal comes */

static void remove_incomplete(int number)
{
	if (incomplete)
		unlink(incomplete);
	signal(number, SIG_DFL);
	raise(number);
}

/* Libraries may end the process too: OpenMP's does where it cannot have memory for its threads. */
static void remove_at_exit(void)
{
	if (incomplete)
		unlink(incomplete);
}

static void block_deadly(int how)
{
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof deadly / sizeof *deadly; i++)
		sigaddset(&set, deadly[i]);
	sigprocmask(how, &set, NULL);
}

static void watch_deadly(void)
{
	struct sigaction now, then = { .sa_handler = remove_incomplete };
	static bool watching;

	if (!watching)
		atexit(remove_at_exit);
	watching = true;
	for (size_t i = 0; i < sizeof deadly / sizeof *deadly; i++)
		if (!sigaction(deadly[i], NULL, &now) && now.sa_handler != SIG_IGN)
			sigaction(deadly[i], &then, NULL);
}

/* A new file gets what umask leaves, one that is replaced keeps its mode. */
static mode_t mode_for(const struct stat *existing)
{
	mode_t mask;

	if (existing)
		return existing->st_mode & 0777;
	mask = umask(0);
	umask(mask);
	return 0666 & ~mask;
}

/* Opens out->temporary beside out->target. */
static FILE *open_temporary(struct output *out, const struct stat *existing)
{
	const char *slash = strrchr(out->target, '/');
	int folder = slash ? (int)(slash + 1 - out->target) : 0, fd;
	FILE *file = NULL;

	if (asprintf(&out->temporary, "%.*s.%.200s.XXXXXX", folder, out->target, out->target + folder) < 0) { /* names have 255 bytes at most */
		out->temporary = NULL;
		return NULL;
	}
	block_deadly(SIG_BLOCK);
	fd = mkostemp(out->temporary, O_CLOEXEC);
	if (fd >= 0) {
		incomplete = out->temporary;
		watch_deadly();
	}
	block_deadly(SIG_UNBLOCK);
	if (fd < 0) {
		free(out->temporary);
		out->temporary = NULL;
	} else if (fchmod(fd, mode_for(existing)) || !(file = fdopen(fd, "w"))) {
		close(fd);
	}
	return file;
}

/* Frees everything; what is still called temporary is removed. */
static void output_clear(struct output *out)
{
	int kept = errno;

	if (out->file && out->file != stdout)
		fclose(out->file);
	if (out->temporary)
		unlink(out->temporary);
	incomplete = NULL;
	free(out->temporary);
	free(out->target);
	*out = (struct output){ .name = out->name };
	errno = kept;
}

static int output_failed(struct vae_error *error)
{
	return fail(error, VAE_EIO, "%s", strerror(errno));
}

int output_open(struct output *out, const char *path, bool binary, struct vae_error *error)
{
	struct stat status;
	bool exists;

	if (path && !strcmp(path, "-"))
		path = NULL;
	*out = (struct output){ .name = path ? path : "standard output" };
	if (!path) {
		out->file = stdout;
	} else if ((exists = !stat(path, &status)) && S_ISDIR(status.st_mode)) {
		errno = EISDIR;
	} else if (exists && !S_ISREG(status.st_mode)) {
		out->file = fopen(path, "we");
	} else if ((out->target = exists ? realpath(path, NULL) : strdup(path))) { /* through a symbolic link, to what it names */
		out->file = open_temporary(out, exists ? &status : NULL);
	}
	if (!out->file) {
		output_clear(out);
		return fail(error, VAE_EIO, "%s: %s", out->name, strerror(errno));
	}
	if (binary && isatty(fileno(out->file))) {
		output_clear(out);
		return fail(error, VAE_EIO, "%s is a terminal, and this is binary data; -f writes it all the same", out->name);
	}
	return 0;
}

int output_check(const char *path, bool binary, struct vae_error *error)
{
	struct stat status;
	struct output out;

	if (path && !stat(path, &status) && !S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode))
		return 0; /* opening a pipe and closing it again would end it for its reader */
	if (output_open(&out, path, binary, error))
		return VAE_EIO;
	output_abandon(&out);
	return 0;
}

int output_flush(struct output *out, struct vae_error *error)
{
	return fflush(out->file) || ferror(out->file) ? output_failed(error) : 0;
}

/* Standard output stays open, as the diagnostics flush it, but its descriptor has been closed once: some file systems fail there. */
static int close_file(FILE *file)
{
	int copy;

	if (file != stdout)
		return fclose(file);
	copy = dup(STDOUT_FILENO);
	return copy < 0 ? -1 : close(copy);
}

int output_close(struct output *out, struct vae_error *error)
{
	int status = output_flush(out, error);
	FILE *file = out->file;

	out->file = NULL;
	if (close_file(file) && !status)
		status = output_failed(error);
	if (!status && out->temporary) {
		if (rename(out->temporary, out->target))
			status = output_failed(error);
		else
			incomplete = NULL;
	}
	if (!status) {
		free(out->temporary);
		out->temporary = NULL;
	}
	output_clear(out);
	return status;
}

void output_abandon(struct output *out)
{
	if (out->file == stdout)
		fflush(stdout);
	output_clear(out);
}

int inout_open(struct input *in, struct output *out, const struct cli_common *common, struct vae_error *error)
{
	int status;

	*out = (struct output){ 0 };
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

/* ---- models ------------------------------------------------------------------------------------------------------------ */

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
	*models = (struct models){ 0 };
	return name ? vae_model_find(&models->asked, name, error) : 0;
}

int models_get(struct models *models, const struct vae_model **model, uint64_t id, const char *hint, struct vae_error *error)
{
	char name[64];

	if (models->asked) {
		if (vae_model_id(models->asked) != id)
			return fail(error, VAE_EMODEL, "made with model %016" PRIx64 ", not with %s (%016" PRIx64 ")", id,
				model_name(models->asked, name, sizeof name), vae_model_id(models->asked));
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
	*models = (struct models){ 0 };
}
