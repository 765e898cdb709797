#include "base/error.h"
#include "base/text.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

static void fill(struct vae_error *error, enum vae_err code, int64_t offset, const char *format,
                 va_list args)
{
	if (!error)
		return;
	error->code = code;
	error->offset = offset;
	vae_text_v(error->text, sizeof error->text, format, args);
	/* Names in the message come from files: keep it one printable line. */
	for (char *c = error->text; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
}

int vae_fail(struct vae_error *error, enum vae_err code, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fill(error, code, -1, format, args);
	va_end(args);
	return code;
}

int vae_fail_at(struct vae_error *error, enum vae_err code, int64_t offset, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fill(error, code, offset, format, args);
	va_end(args);
	return code;
}

int vae_fail_errno(struct vae_error *error, const char *format, ...)
{
	int saved = errno;
	va_list args;
	va_start(args, format);
	fill(error, VAE_EIO, -1, format, args);
	va_end(args);
	if (error) {
		size_t n = strlen(error->text);
		snprintf(error->text + n, sizeof error->text - n, ": %s", strerror(saved ? saved : EIO));
	}
	return VAE_EIO;
}
